/*
 * Makes calls that sandlock's supervisor answers and prints the nanoseconds per call, the median over
 * batches. With 0 batches it makes none but waits for a byte on standard input, makes CALLS, waits for
 * another, and says each time ("ready", "done") that it is there: for looking at the supervisor's memory.
 *
 * Usage: bench-helper-refused priority|limit|mode|times BATCHES CALLS [FILE]
 *   priority  setpriority on all processes of the user: registers alone tell that it is refused
 *   limit     prlimit64 on process 1: refused after a look at who that is
 *   mode      fchmod on FILE: performed on behalf of the caller
 *   times     utimensat on FILE by its path, as programs do that unpack: the same
 */
#include "timing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCHES_MAX 1000

static int file = -1;
static const char *file_path;

static int call_priority(void)
{
    return setpriority(PRIO_USER, 0, 1) == -1 && errno == EPERM;
}

static int call_limit(void)
{
    struct rlimit64 {
        unsigned long long now, most;
    } limit = {64, 64};

    return syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, &limit, NULL) == -1 && errno == EPERM;
}

static int call_mode(void)
{
    return fchmod(file, 0600) == 0;
}

static int call_times(void)
{
    static const struct timespec times[2] = {{1, 0}, {2, 0}};

    return utimensat(AT_FDCWD, file_path, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct {
    const char *name;
    int (*call)(void); /* 1: the answer was the expected one */
} calls[] = {
    {"priority", call_priority}, {"limit", call_limit}, {"mode", call_mode}, {"times", call_times}};

static void repeat(int (*call)(void), int count)
{
    for (int i = 0; i < count; i++) {
        if (!call()) {
            perror("bench-helper-refused: unexpected answer");
            exit(1);
        }
    }
}

static double measure(int (*call)(void), int batches, int count)
{
    static double results[BATCHES_MAX];

    repeat(call, count); /* the first calls find cold caches */
    for (int batch = 0; batch < batches; batch++) {
        double start = now_ns();
        repeat(call, count);
        results[batch] = (now_ns() - start) / count;
    }
    return median_of(results, batches);
}

static void say_and_wait(const char *text)
{
    char byte;

    if (write(STDOUT_FILENO, text, strlen(text)) < 0 || read(STDIN_FILENO, &byte, 1) < 0)
        exit(1);
}

int main(int argc, char **argv)
{
    int (*call)(void) = NULL;
    int batches = argc >= 4 ? atoi(argv[2]) : -1;
    int count = argc >= 4 ? atoi(argv[3]) : 0;

    for (size_t i = 0; argc >= 4 && i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(argv[1], calls[i].name) == 0)
            call = calls[i].call;
    if (call == NULL || batches < 0 || batches > BATCHES_MAX || count < 1)
        return 2;
    if (argc > 4)
        file_path = argv[4];
    if (file_path != NULL)
        file = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (batches == 0) {
        say_and_wait("ready\n");
        repeat(call, count);
        say_and_wait("done\n");
        return 0;
    }
    printf("%s %.1f\n", argv[1], measure(call, batches, count));
    return 0;
}
