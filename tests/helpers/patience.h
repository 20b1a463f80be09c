/* How long a race goes on: for a time, and where a busy machine does not let it run, until it was tried often enough. */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>
#include <time.h>

#define PATIENCE_MS 20000

static inline double now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static inline bool goes_on(double end, long tries, long enough)
{
    return now_ms() < end || (tries < enough && now_ms() < end + PATIENCE_MS);
}

#endif
