/* One of many (crowd.c of the bench): says that it runs, and ends when standard input ends. Words are
 * ignored; they mark the process for whoever looks for what was left behind. */
#include <unistd.h>

#define PATIENCE 120 /* seconds, should the spawner die */

int main(void)
{
    char byte;

    alarm(PATIENCE);
    if (write(STDOUT_FILENO, "", 1) != 1)
        return 1;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
