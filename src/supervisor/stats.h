/* Counters of one supervisor: notifications per system call and answers, for --stats and the tests.
 * Written by the receiver and workers, read after the run; relaxed atomics. */
#ifndef SANDLOCK_SUPERVISOR_STATS_H
#define SANDLOCK_SUPERVISOR_STATS_H

#include "kernel/arch.h"
#include "util/buffer.h"

#include <stdatomic.h>
#include <stdint.h>

#define STATS_NUMBERS 512 /* numbers above are counted together in the last slot */

struct stats {
    int64_t started_ns; /* CLOCK_MONOTONIC */
    atomic_uint_fast64_t notifications[STATS_NUMBERS];
    atomic_uint_fast64_t refused;
    atomic_uint_fast64_t worker_jobs;
};

void stats_start(struct stats *stats);
void stats_count(struct stats *stats, int number);
uint64_t stats_total(const struct stats *stats);

/* Text for people: "sandlock: stats: N notifications in S s", then one line per call, most first:
 * count, per second, name. With no notification a single line saying so. */
void stats_print(const struct stats *stats, const struct arch *arch, struct buffer *out);

#endif
