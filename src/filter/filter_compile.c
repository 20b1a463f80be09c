/*
 * From a plan to a program.
 *
 * Runs of numbers with the same answer become the leaves of a balanced tree of JGE tests; up to
 * CHAIN_MAX single numbers that differ from their surroundings share one leaf and are told apart by
 * JEQ. Arguments are loaded only behind the leaf of the number they belong to: the kernel finds out
 * at installation which numbers are allowed whatever their arguments (seccomp_cache_prepare, Linux
 * 5.11) and does not run the filter for those.
 *
 * The end of the program holds the returns, before them the argument blocks, before those the tree.
 */
#include "filter/filter.h"

#include "util/fd.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

/* Each step makes the program shorter and the ways through it longer. The kernel checks and
 * compiles every instruction at installation and follows the way of every number; around this value
 * the sum of both is lowest, and flat. */
#define CHAIN_MAX 4

#define OFFSET_NUMBER ((uint32_t)offsetof(struct seccomp_data, nr))
#define OFFSET_ARCH ((uint32_t)offsetof(struct seccomp_data, arch))

/* The low half comes first on all supported architectures, which are little-endian. */
static uint32_t low_word(unsigned arg)
{
    return (uint32_t)(offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t));
}

static uint32_t high_word(unsigned arg)
{
    return low_word(arg) + (uint32_t)sizeof(uint32_t);
}

/* ---- Argument blocks ------------------------------------------------------------------------- */

/* What the accumulator is known to hold: a word of the data, masked. */
struct accumulator {
    bool known;
    uint32_t word;
    uint32_t mask;
};

static const struct accumulator nothing_known = {0};

static bool holds_same(const struct accumulator *left, const struct accumulator *right)
{
    return left->known && right->known && left->word == right->word && left->mask == right->mask;
}

/* How one test is emitted, given what the tests before it leave in the accumulator. */
struct test_code {
    bool load, mask;
};

static uint32_t effective_mask(const struct arg_test *test)
{
    return test->mask == 0 ? UINT32_MAX : test->mask;
}

/* The mask that must have been applied before the comparison. JSET brings its own. */
static uint32_t comparison_mask(const struct arg_test *test)
{
    bool compares = test->op == ARG_EQUAL || test->op == ARG_NOT_EQUAL || test->op == ARG_IN_RANGE;

    return compares ? effective_mask(test) : UINT32_MAX;
}

/* Decides how a test is emitted and follows the accumulator through it. */
static struct test_code plan_test(const struct arg_test *test, const struct accumulator *before,
                                  struct accumulator *if_held, struct accumulator *if_failed)
{
    struct accumulator wanted = {true, low_word(test->arg), comparison_mask(test)};
    struct accumulator raw = {true, wanted.word, UINT32_MAX};
    struct test_code code;

    code.load = !holds_same(before, &wanted) && !holds_same(before, &raw);
    code.mask = !holds_same(before, &wanted) && wanted.mask != UINT32_MAX;
    *if_held = *if_failed = wanted;
    if (test->op == ARG_SAME_AS)
        code.load = true; /* the other argument passes through the accumulator */
    if (test->op == ARG_IS_NULL || test->op == ARG_NOT_NULL)
        *if_held = *if_failed = nothing_known;
    return code;
}

static bpf_label emit_load(struct bpf_assembler *assembler, uint32_t word, bpf_label next)
{
    return bpf_emit(assembler, BPF_LD | BPF_W | BPF_ABS, word, next);
}

static bpf_label emit_null_test(struct bpf_assembler *assembler, unsigned arg, bpf_label null,
                                bpf_label not_null)
{
    bpf_label high = bpf_emit_jump(assembler, BPF_JEQ | BPF_K, 0, null, not_null);

    high = emit_load(assembler, high_word(arg), high);
    return bpf_emit_jump(assembler, BPF_JEQ | BPF_K, 0, high, not_null);
}

static bpf_label emit_range_test(struct bpf_assembler *assembler, const struct arg_test *test,
                                 bpf_label held, bpf_label failed)
{
    bpf_label top = bpf_emit_jump(assembler, BPF_JGT | BPF_K, test->value_high, failed, held);

    return bpf_emit_jump(assembler, BPF_JGE | BPF_K, test->value, top, failed);
}

static bpf_label emit_test(struct bpf_assembler *assembler, const struct arg_test *test,
                           struct test_code code, bpf_label held, bpf_label failed)
{
    bpf_label label = 0;
    uint32_t mask = effective_mask(test);

    switch (test->op) {
    case ARG_EQUAL:
        label = bpf_emit_jump(assembler, BPF_JEQ | BPF_K, test->value, held, failed);
        break;
    case ARG_NOT_EQUAL:
        label = bpf_emit_jump(assembler, BPF_JEQ | BPF_K, test->value, failed, held);
        break;
    case ARG_ANY_BIT:
        label = bpf_emit_jump(assembler, BPF_JSET | BPF_K, mask, held, failed);
        break;
    case ARG_NO_BIT:
        label = bpf_emit_jump(assembler, BPF_JSET | BPF_K, mask, failed, held);
        break;
    case ARG_IN_RANGE:
        label = emit_range_test(assembler, test, held, failed);
        break;
    case ARG_IS_NULL:
        label = emit_null_test(assembler, test->arg, held, failed);
        break;
    case ARG_NOT_NULL:
        label = emit_null_test(assembler, test->arg, failed, held);
        break;
    case ARG_SAME_AS:
        label = bpf_emit_jump(assembler, BPF_JEQ | BPF_X, 0, held, failed);
        break;
    }
    if (code.mask)
        label = bpf_emit(assembler, BPF_ALU | BPF_AND | BPF_K, mask, label);
    if (code.load)
        label = emit_load(assembler, low_word(test->arg), label);
    if (test->op == ARG_SAME_AS) {
        label = bpf_emit(assembler, BPF_MISC | BPF_TAX, 0, label);
        label = emit_load(assembler, low_word(test->value), label);
    }
    return label;
}

/* Follows the accumulator through one rule: *state is what it holds where the rule begins, and
 * where the next one begins afterwards, on whatever way that is reached. */
static void plan_rule(const struct filter_rule *rule, struct accumulator *state,
                      struct test_code codes[FILTER_TESTS_MAX])
{
    struct accumulator inside = *state;

    for (size_t i = 0; i < rule->test_count; i++) {
        struct accumulator held, failed;
        codes[i] = plan_test(&rule->tests[i], &inside, &held, &failed);
        if (i == 0)
            *state = failed;
        else if (!holds_same(state, &failed))
            *state = nothing_known;
        inside = held;
    }
}

/* An entry without the rules that decide nothing. */
static struct filter_entry effective_entry(const struct filter_entry *entry)
{
    struct filter_entry effective = *entry;

    for (size_t i = 0; i < entry->rule_count; i++) {
        if (entry->rules[i].test_count == 0) {
            effective.rule_count = i;
            effective.otherwise = entry->rules[i].action;
            break;
        }
    }
    while (effective.rule_count > 0 &&
           effective.rules[effective.rule_count - 1].action == effective.otherwise)
        effective.rule_count--;
    return effective;
}

static bpf_label emit_entry(struct bpf_assembler *assembler, const struct filter_entry *entry)
{
    bpf_label label = bpf_emit_return(assembler, entry->otherwise);
    struct accumulator state = nothing_known;
    struct test_code(*codes)[FILTER_TESTS_MAX];

    if (entry->rule_count == 0)
        return label;
    codes = calloc(entry->rule_count, sizeof(*codes));
    if (codes == NULL) {
        assembler->failed = true;
        return label;
    }
    for (size_t i = 0; i < entry->rule_count; i++)
        plan_rule(&entry->rules[i], &state, codes[i]);
    for (size_t i = entry->rule_count; i-- > 0;) {
        const struct filter_rule *rule = &entry->rules[i];
        bpf_label failed = label;
        label = bpf_emit_return(assembler, rule->action);
        for (size_t t = rule->test_count; t-- > 0;)
            label = emit_test(assembler, &rule->tests[t], codes[i][t], label, failed);
    }
    free(codes);
    return label;
}

/* ---- The tree -------------------------------------------------------------------------------- */

/* Numbers with the same answer. */
struct segment {
    uint32_t first;
    struct filter_entry entry; /* rules borrowed from the plan */
    bpf_label label;
};

/* Segments that share a leaf: all of `background`, except `exceptions` segments of one number. */
struct leaf {
    size_t begin, end; /* segments */
    bpf_label background;
};

struct tree {
    struct bpf_assembler *assembler;
    struct segment *segments;
    size_t segment_count;
    struct leaf *leaves;
    size_t leaf_count;
};

static bool same_test(const struct arg_test *left, const struct arg_test *right)
{
    return left->arg == right->arg && left->op == right->op &&
           effective_mask(left) == effective_mask(right) && left->value == right->value &&
           left->value_high == right->value_high;
}

static bool same_entry(const struct filter_entry *left, const struct filter_entry *right)
{
    if (left->otherwise != right->otherwise || left->rule_count != right->rule_count)
        return false;
    for (size_t i = 0; i < left->rule_count; i++) {
        const struct filter_rule *a = &left->rules[i];
        const struct filter_rule *b = &right->rules[i];
        if (a->action != b->action || a->test_count != b->test_count)
            return false;
        for (size_t t = 0; t < a->test_count; t++) {
            if (!same_test(&a->tests[t], &b->tests[t]))
                return false;
        }
    }
    return true;
}

/* Writes the segments, or only counts them if `segments` is NULL: a launch pays for every page that
 * it touches. */
static size_t find_segments(const struct filter_plan *plan, struct segment *segments)
{
    uint32_t numbers = (uint32_t)plan->arch->newest + 1;
    struct filter_entry last = {0};
    size_t count = 0;

    for (uint32_t number = 0; number <= numbers; number++) {
        struct filter_entry entry = {.otherwise = plan->unknown};
        if (number < numbers)
            entry = effective_entry(&plan->entries[number]);
        if (number > 0 && same_entry(&last, &entry))
            continue;
        if (segments != NULL)
            segments[count] = (struct segment){.first = number, .entry = entry};
        count++;
        last = entry;
    }
    return count;
}

/* Entries with the same rules share one block, wherever their numbers are. */
static void emit_blocks(struct tree *tree)
{
    for (size_t i = 0; i < tree->segment_count; i++) {
        struct segment *segment = &tree->segments[i];
        size_t candidates = segment->entry.rule_count > 0 ? i : 0;
        for (size_t earlier = 0; earlier < candidates && segment->label == 0; earlier++) {
            if (same_entry(&tree->segments[earlier].entry, &segment->entry))
                segment->label = tree->segments[earlier].label;
        }
        if (segment->label == 0)
            segment->label = emit_entry(tree->assembler, &segment->entry);
    }
}

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
        if (exceptions == CHAIN_MAX || !is_single(tree, end))
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

static bpf_label emit_tree(struct tree *tree, size_t begin, size_t end)
{
    size_t middle = begin + (end - begin) / 2;
    bpf_label left, right;

    if (end - begin == 1)
        return emit_leaf(tree, &tree->leaves[begin]);
    right = emit_tree(tree, middle, end);
    left = emit_tree(tree, begin, middle);
    return bpf_emit_jump(tree->assembler, BPF_JGE | BPF_K,
                         tree->segments[tree->leaves[middle].begin].first, right, left);
}

bool filter_compile(const struct filter_plan *plan, struct bpf_program *program, struct error *err)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    size_t count = find_segments(plan, NULL);
    CLEANUP_FREE struct segment *segments = calloc(count, sizeof(*segments));
    CLEANUP_FREE struct leaf *leaves = calloc(count, sizeof(*leaves));
    struct tree tree = {
        .assembler = &assembler, .segments = segments, .segment_count = count, .leaves = leaves};
    bpf_label start;

    if (segments == NULL || leaves == NULL)
        return error_runtime(err, ENOMEM, "system call filter");
    find_segments(plan, segments);
    emit_blocks(&tree);
    find_leaves(&tree);
    start = emit_tree(&tree, 0, tree.leaf_count);
    start = emit_load(&assembler, OFFSET_NUMBER, start);
    start = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, plan->arch->audit_arch, start,
                          bpf_emit_return(&assembler, plan->foreign_arch));
    start = emit_load(&assembler, OFFSET_ARCH, start);
    return bpf_assembler_finish(&assembler, start, program, err);
}
