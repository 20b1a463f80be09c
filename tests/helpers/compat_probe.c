/*
 * Asks for its process id through the 32-bit entry (int 0x80) of x86-64, where system call numbers mean
 * other calls: 20 is getpid there and writev in the 64-bit table. Prints "getpid: OK" if the answer is
 * this process. "all" first makes every 32-bit number with arguments that change nothing in a child
 * each, and prints how each child ended: "exit CODE" or "signal NUMBER", once per different ending.
 */
#include "probe.h"

#include <sys/wait.h>

#ifdef __x86_64__
static long compat_call(long number, long first)
{
    long result;

    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(0L), "d"(0L)
                     : "memory");
    return result;
}
#endif

int main(int argc, char **argv)
{
#ifdef __x86_64__
    if (argc > 1 && strcmp(argv[1], "all") == 0) {
        int endings[512] = {0};
        for (long number = 0; number < 512; number++) {
            pid_t child = fork();
            int status = 0;
            if (child == 0) {
                compat_call(number, -1);
                _exit(0);
            }
            waitpid(child, &status, 0);
            endings[number] = status;
        }
        for (long number = 0; number < 512; number++) {
            long earlier = 0;
            while (endings[earlier] != endings[number])
                earlier++;
            if (earlier == number && WIFSIGNALED(endings[number]))
                printf("ending: signal %d\n", WTERMSIG(endings[number]));
            else if (earlier == number)
                printf("ending: exit %d\n", WEXITSTATUS(endings[number]));
        }
        return 0;
    }
    long pid = compat_call(20, 0);
    if (pid != getpid()) {
        errno = pid < 0 ? (int)-pid : EINVAL;
        pid = -1;
    }
    probe_report("getpid", pid);
    return pid < 0;
#else
    (void)argc;
    (void)argv;
    puts("getpid: no such entry");
    return 2;
#endif
}
