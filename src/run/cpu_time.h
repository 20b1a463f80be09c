/*
 * The command line and its caller's limit of CPU time (ulimit -t). The limit is for each process, this one too: the
 * soft one is left to the command, and a while before the hard one, at which the kernel would kill us without a word,
 * the run is ended in order.
 */
#ifndef SANDLOCK_RUN_CPU_TIME_H
#define SANDLOCK_RUN_CPU_TIME_H

#include "supervisor/loop.h"

#include <stdbool.h>
#include <sys/time.h>

struct cpu_time {
    struct itimerval timer; /* 0: there is no limit */
    int signal_fd;
    struct loop *loop; /* watches that */
};

#define CPU_TIME_INIT ((struct cpu_time){.signal_fd = -1})

/* Before the launch: blocks the signal on this thread, hence on those it makes. The loop calls `spent` when it is time
 * to end, which is to call cpu_time_finish(). False, with errno. */
bool cpu_time_watch(struct cpu_time *cpu_time, struct loop *loop, loop_callback spent, void *data);

/* After the launch, since the command has the limit as it was. */
void cpu_time_count(const struct cpu_time *cpu_time);

/* Before the signal is unblocked. Idempotent. */
void cpu_time_finish(struct cpu_time *cpu_time);

#endif
