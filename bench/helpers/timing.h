/* Time and medians for the helpers, which print nanoseconds. */
#ifndef SANDLOCK_BENCH_TIMING_H
#define SANDLOCK_BENCH_TIMING_H

#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int compare_samples(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

/* Sorts them. */
static inline double median_of(double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof(samples[0]), compare_samples);
    return samples[count / 2];
}

#endif
