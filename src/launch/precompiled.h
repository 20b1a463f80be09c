/*
 * Filters that were compiled and proven when sandlock was built: those of policies that name no system
 * calls themselves, and the guardian's. The tables are written by tools/gen_filters.c.
 */
#ifndef SANDLOCK_LAUNCH_PRECOMPILED_H
#define SANDLOCK_LAUNCH_PRECOMPILED_H

#include "kernel/bpf.h"

#include <stddef.h>
#include <stdint.h>

struct precompiled_filter {
    uint64_t key; /* member_filter_key() */
    struct bpf_program program;
};

extern const struct precompiled_filter precompiled_filters[];
extern const size_t precompiled_filter_count;

/* ROLE_GUARDIAN of supervisor/wall.h. */
extern const struct bpf_program precompiled_guardian_filter;
extern const struct bpf_program precompiled_tracing_guardian_filter;

/* NULL if there is none for this key. */
const struct bpf_program *precompiled_members_filter(uint64_t key);

#endif
