/*
 * The parts of the compiler: see filter_compile.c. A tree tells values apart, be they system call
 * numbers or words of arguments; argument blocks are what hangs on the leaf of a number. Internal to
 * this room.
 */
#ifndef SANDLOCK_FILTER_COMPILE_H
#define SANDLOCK_FILTER_COMPILE_H

#include "filter/filter.h"

/* The values from `first` up to the next segment's. */
struct segment {
    uint32_t first;
    bpf_label label;
};

/* Which ways through a tree matter; all zero: those to all tested values alike. */
struct tree_shape {
    bool by_values; /* those to all values: cuts halve the values, not the tests */
    const struct segment
        *early; /* single values that are asked for near the root, in this order; the
                                  * segments need not tell them apart */
    size_t early_count;
};

/* Emits a search for the segment of the value that is in the accumulator. segments[0] holds for all
 * values below the second's; neighbours have different labels. On failure the assembler remembers it. */
bpf_label tree_emit(struct bpf_assembler *assembler, const struct segment *segments, size_t count,
                    const struct tree_shape *shape);

/* Emits what decides by the rules in order, and `otherwise` if none holds. */
bpf_label argument_block_emit(struct bpf_assembler *assembler, const struct filter_rule *rules,
                              size_t count, uint32_t otherwise);

#endif
