/*
 * Measures calls that no sandbox decides anything about: getppid, a read of /dev/zero, and an ioctl of
 * a pipe, for which a filter has to look at an argument. Prints the nanoseconds per call, medians over
 * batches.
 * Usage: bench-helper-loop BATCHES CALLS-PER-BATCH
 */
#include "timing.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCHES_MAX 1000

typedef void (*call_function)(int fd);

static void call_getppid(int fd)
{
    (void)fd;
    syscall(SYS_getppid);
}

static void call_read(int fd)
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        exit(1);
}

static void call_ioctl(int fd)
{
    int queued;

    if (ioctl(fd, FIONREAD, &queued) != 0)
        exit(1);
}

static double measure(call_function call, int fd, int batches, int calls)
{
    static double results[BATCHES_MAX];

    for (int batch = 0; batch < batches; batch++) {
        double start = now_ns();
        for (int i = 0; i < calls; i++)
            call(fd);
        results[batch] = (now_ns() - start) / calls;
    }
    return median_of(results, batches);
}

int main(int argc, char **argv)
{
    int batches = argc == 3 ? atoi(argv[1]) : 0;
    int calls = argc == 3 ? atoi(argv[2]) : 0;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), ends[2];

    if (batches < 1 || batches > BATCHES_MAX || calls < 1 || fd < 0 || pipe(ends) != 0)
        return 2;
    printf("getppid %.2f\n", measure(call_getppid, fd, batches, calls));
    printf("read %.2f\n", measure(call_read, fd, batches, calls));
    printf("ioctl %.2f\n", measure(call_ioctl, ends[0], batches, calls));
    return 0;
}
