/*
 * The tree: see compile.h. First all runs of values are written down as one chain of tests, from the
 * highest value to the lowest: "from here on" for a run, "this one" for a single value that differs from
 * the run around it. That takes the fewest tests. The chain is then cut into a tree at tests that it has
 * anyway, so the tree costs hardly more instructions, and only as far as the ways become too long: every
 * part that ends costs a jump of its own, to where its last test does not lead.
 */
#include "filter/compile.h"

#include "util/fd.h"

#include <stdlib.h>

/* Tests that follow one another before the chain is cut once more. A cut takes the kernel's compiler two
 * more instructions, which costs as much at the installation as a hundred steps on the way through; a
 * longer chain costs that way, which the kernel follows once for every number. Around this value the sum
 * of both is lowest, and flat. */
#define CHAIN_MAX 8

/* The cut behind which early values are asked for: few others share the way through those tests. */
#define EARLY_DEPTH 3

/* Values that pass the test are at `label`, the others go on. */
struct step {
    uint32_t value;
    bool single; /* this value; else it and all above, as far as no step before has taken them */
    bpf_label label;
};

struct tree {
    struct bpf_assembler *assembler;
    const struct tree_shape *shape;
    const struct segment *segments;
    size_t segment_count;
    struct step *steps; /* descending values */
    size_t step_count;
};

/* Steps begin..end-1 and what is left of the values low..high after them. */
struct part {
    size_t begin, end;
    bpf_label rest;
    uint32_t low, high;
};

static bool is_single(const struct tree *tree, size_t segment)
{
    return segment + 1 < tree->segment_count &&
           tree->segments[segment + 1].first == tree->segments[segment].first + 1;
}

/* The segment that continues a run below `segment`, with nothing but single values between, of which
 * `segment` is the highest. False: the run ends above it. */
static bool find_continuation(const struct tree *tree, size_t segment, bpf_label run, size_t *found)
{
    for (size_t singles = 0; singles <= CHAIN_MAX && singles <= segment; singles++) {
        *found = segment - singles;
        if (tree->segments[*found].label == run)
            return true;
        if (!is_single(tree, *found))
            return false;
    }
    return false;
}

static void add_step(struct tree *tree, size_t segment, bool single, bpf_label label)
{
    tree->steps[tree->step_count++] = (struct step){tree->segments[segment].first, single, label};
}

/* Returns the label of the values below all steps. */
static bpf_label find_steps(struct tree *tree)
{
    size_t first = tree->segment_count - 1; /* of the run */
    bpf_label run = tree->segments[first].label;

    while (first > 0) {
        size_t next;
        if (find_continuation(tree, first - 1, run, &next)) {
            while (--first > next)
                add_step(tree, first, true, tree->segments[first].label);
        } else {
            add_step(tree, first, false, run);
            first--;
            run = tree->segments[first].label;
        }
    }
    return run;
}

static bpf_label emit_step(struct tree *tree, const struct step *step, bpf_label rest)
{
    uint16_t test = step->single ? BPF_JEQ : BPF_JGE;

    return bpf_emit_jump(tree->assembler, test | BPF_K, step->value, step->label, rest);
}

/* How far a cut at a step is from halving the part. */
static uint64_t imbalance(const struct tree *tree, const struct part *part, size_t step)
{
    uint64_t upper = step - part->begin, lower = part->end - 1 - step;

    if (tree->shape->by_values) {
        upper = part->high - tree->steps[step].value;
        lower = tree->steps[step].value - part->low;
    }
    uint64_t away = upper > lower ? upper - lower : lower - upper;
    /* A cut at a single value takes one more test. */
    return tree->steps[step].single ? away + (upper + lower) / 2 : away;
}

static size_t find_cut(const struct tree *tree, const struct part *part)
{
    uint64_t least = UINT64_MAX;
    size_t best = part->begin;

    for (size_t step = part->begin; step < part->end; step++) {
        uint64_t away = imbalance(tree, part, step);
        if (away < least) {
            least = away;
            best = step;
        }
    }
    return best;
}

/* The label that the steps before this one leave for the values down to its own. */
static bpf_label label_around(const struct tree *tree, const struct part *part, size_t step)
{
    for (; step < part->end; step++)
        if (!tree->steps[step].single)
            return tree->steps[step].label;
    return part->rest;
}

static bpf_label emit_early(struct tree *tree, const struct part *part, bpf_label label)
{
    for (size_t i = tree->shape->early_count; i-- > 0;) {
        const struct segment *early = &tree->shape->early[i];
        if (part->low <= early->first && early->first <= part->high)
            label =
                bpf_emit_jump(tree->assembler, BPF_JEQ | BPF_K, early->first, early->label, label);
    }
    return label;
}

static bpf_label emit_part(struct tree *tree, const struct part *part, unsigned depth);

static bpf_label emit_chain(struct tree *tree, const struct part *part)
{
    bpf_label label = part->rest;

    for (size_t step = part->end; step-- > part->begin;)
        label = emit_step(tree, &tree->steps[step], label);
    return label;
}

static bpf_label emit_halves(struct tree *tree, const struct part *part, unsigned depth)
{
    size_t cut = find_cut(tree, part);
    const struct step *at = &tree->steps[cut];
    const struct part upper = {part->begin, cut + at->single, label_around(tree, part, cut),
                               at->value, part->high};
    const struct part lower = {cut + 1, part->end, part->rest, part->low, at->value - 1};
    bpf_label right = emit_part(tree, &upper, depth + 1);
    bpf_label left = emit_part(tree, &lower, depth + 1);

    return bpf_emit_jump(tree->assembler, BPF_JGE | BPF_K, at->value, right, left);
}

static bpf_label emit_part(struct tree *tree, const struct part *part, unsigned depth)
{
    bool ends = part->end - part->begin <= CHAIN_MAX;
    bpf_label label = ends ? emit_chain(tree, part) : emit_halves(tree, part, depth);

    if (depth == EARLY_DEPTH || (ends && depth < EARLY_DEPTH))
        label = emit_early(tree, part, label);
    return label;
}

bpf_label tree_emit(struct bpf_assembler *assembler, const struct segment *segments, size_t count,
                    const struct tree_shape *shape)
{
    CLEANUP_FREE struct step *steps = calloc(count, sizeof(*steps));
    struct tree tree = {.assembler = assembler,
                        .shape = shape,
                        .segments = segments,
                        .segment_count = count,
                        .steps = steps};

    if (steps == NULL) {
        assembler->failed = true;
        return segments[0].label;
    }
    bpf_label rest = find_steps(&tree);
    const struct part all = {0, tree.step_count, rest, 0, segments[count - 1].first};
    return emit_part(&tree, &all, 0);
}
