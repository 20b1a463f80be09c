/*
 * The tree: see compile.h. Runs of values with the same answer become the leaves of a balanced tree of
 * JGE tests; single values that differ from their surroundings share a leaf with them and are told apart
 * by JEQ, which makes the program shorter and the ways through it longer.
 */
#include "filter/compile.h"

#include "util/fd.h"

#include <stdlib.h>

/* Segments that share a leaf: all of `background`, except single values. */
struct leaf {
    size_t begin, end; /* segments */
    bpf_label background;
};

struct tree {
    struct bpf_assembler *assembler;
    const struct segment *segments;
    size_t segment_count;
    size_t chain;
    struct leaf *leaves;
    size_t leaf_count;
};

static bool is_single(const struct tree *tree, size_t segment)
{
    return segment + 1 < tree->segment_count &&
           tree->segments[segment + 1].first == tree->segments[segment].first + 1;
}

/* How far a leaf reaches that begins at a segment and has this background. */
static size_t leaf_end(const struct tree *tree, size_t begin, bpf_label background)
{
    size_t exceptions = 0;
    size_t end;

    for (end = begin; end < tree->segment_count; end++) {
        if (tree->segments[end].label == background)
            continue;
        if (exceptions == tree->chain || !is_single(tree, end))
            break;
        exceptions++;
    }
    return end;
}

static void find_leaves(struct tree *tree)
{
    for (size_t begin = 0; begin < tree->segment_count;) {
        struct leaf leaf = {.begin = begin, .background = tree->segments[begin].label};
        leaf.end = leaf_end(tree, begin, leaf.background);
        if (begin + 1 < tree->segment_count) {
            bpf_label other = tree->segments[begin + 1].label;
            size_t end = leaf_end(tree, begin, other);
            if (end > leaf.end) {
                leaf.end = end;
                leaf.background = other;
            }
        }
        tree->leaves[tree->leaf_count++] = leaf;
        begin = leaf.end;
    }
}

static bpf_label emit_leaf(struct tree *tree, const struct leaf *leaf)
{
    bpf_label label = leaf->background;

    for (size_t i = leaf->end; i-- > leaf->begin;) {
        const struct segment *segment = &tree->segments[i];
        if (segment->label != leaf->background)
            label = bpf_emit_jump(tree->assembler, BPF_JEQ | BPF_K, segment->first, segment->label,
                                  label);
    }
    return label;
}

static bpf_label emit_leaves(struct tree *tree, size_t begin, size_t end)
{
    size_t middle = begin + (end - begin) / 2;
    bpf_label left, right;

    if (end - begin == 1)
        return emit_leaf(tree, &tree->leaves[begin]);
    right = emit_leaves(tree, middle, end);
    left = emit_leaves(tree, begin, middle);
    return bpf_emit_jump(tree->assembler, BPF_JGE | BPF_K,
                         tree->segments[tree->leaves[middle].begin].first, right, left);
}

bpf_label tree_emit(struct bpf_assembler *assembler, const struct segment *segments, size_t count,
                    size_t chain)
{
    CLEANUP_FREE struct leaf *leaves = calloc(count, sizeof(*leaves));
    struct tree tree = {.assembler = assembler,
                        .segments = segments,
                        .segment_count = count,
                        .chain = chain,
                        .leaves = leaves};

    if (leaves == NULL) {
        assembler->failed = true;
        return segments[0].label;
    }
    find_leaves(&tree);
    return emit_leaves(&tree, 0, tree.leaf_count);
}
