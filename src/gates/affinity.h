/* Processor masks as sched_setaffinity(2) takes them: the pure part of the cpu-affinity feature. */
#ifndef SANDLOCK_GATES_AFFINITY_H
#define SANDLOCK_GATES_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many as the largest kernel configuration has. */
#define AFFINITY_CPUS_MAX 8192
#define AFFINITY_MASK_SIZE (AFFINITY_CPUS_MAX / 8)

struct affinity_mask {
    uint64_t words[AFFINITY_CPUS_MAX / 64];
};

/* Numbers outside the mask are ignored. */
void affinity_mask_set(struct affinity_mask *mask, uint32_t cpu);

/* mask = mask & allowed. False: nothing is left. */
bool affinity_mask_intersect(struct affinity_mask *mask, const struct affinity_mask *allowed);

#endif
