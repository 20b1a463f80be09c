/*
 * When a process of ours that the caller allows only so much CPU time (RLIMIT_CPU) has to end the run: at the
 * hard limit the kernel kills it, and the members would be left. Kept for the end is the last second, or
 * half of it if that is all.
 */
#ifndef SANDLOCK_BARE_CPU_RESERVE_H
#define SANDLOCK_BARE_CPU_RESERVE_H

#include <stdint.h>
#include <sys/time.h>

#define CPU_RESERVE_LAST_US 500000
#define CPU_SECONDS_MAX 1000000000 /* more than any run takes */

/* For ITIMER_PROF; `hard` is the limit in seconds. All 0: the time is as good as unlimited. */
static inline struct itimerval cpu_reserve_timer(uint64_t hard)
{
    struct itimerval timer = {.it_value = {0, 0}};

    if (hard > CPU_SECONDS_MAX)
        return timer;
    if (hard <= 1) /* 0 counts as 1 */
        timer.it_value.tv_usec = 1000000 - CPU_RESERVE_LAST_US;
    else
        timer.it_value.tv_sec = (time_t)hard - 1;
    return timer;
}

#endif
