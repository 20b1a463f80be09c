/*
 * Argument blocks: the rules of one number, see compile.h. Rules are tested one after the other, but
 * neighbours that compare the same word of the same argument become one tree over its values, in which
 * each stretch of values knows the first rule that holds there. Nothing is loaded or masked that is in
 * the accumulator already.
 */
#include "filter/compile.h"

#include "util/fd.h"

#include <stdlib.h>
#include <string.h>

/* Fewer comparisons than this are not worth a tree. */
#define RUN_MIN 2

/* Values that differ from their surroundings in one leaf of it: what makes the program shorter here
 * is run by every call of the number. */
#define ARGUMENT_CHAIN 2

/* The low half comes first on all supported architectures, which are little-endian. */
static uint32_t low_word(unsigned arg)
{
    return (uint32_t)(offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t));
}

static uint32_t high_word(unsigned arg)
{
    return low_word(arg) + (uint32_t)sizeof(uint32_t);
}

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
    bpf_label label = held;

    if (test->value_high != UINT32_MAX)
        label = bpf_emit_jump(assembler, BPF_JGT | BPF_K, test->value_high, failed, label);
    if (test->value != 0)
        label = bpf_emit_jump(assembler, BPF_JGE | BPF_K, test->value, label, failed);
    return label;
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

/* ---- Runs of comparisons ------------------------------------------------------------------------ */

static bool is_comparison(const struct arg_test *test)
{
    return test->op == ARG_EQUAL || test->op == ARG_NOT_EQUAL || test->op == ARG_IN_RANGE;
}

/* How many rules from the first on begin with a comparison of the same word under the same mask. */
static size_t run_length(const struct filter_rule *rules, size_t count)
{
    const struct arg_test *first = &rules[0].tests[0];
    size_t length = 0;

    while (length < count && rules[length].test_count > 0) {
        const struct arg_test *test = &rules[length].tests[0];
        if (!is_comparison(test) || test->arg != first->arg ||
            effective_mask(test) != effective_mask(first))
            break;
        length++;
    }
    return length;
}

/* Whether a comparison holds for all values of a stretch at whose ends it may change. */
static bool comparison_holds(const struct arg_test *test, uint32_t value)
{
    switch (test->op) {
    case ARG_EQUAL:
        return value == test->value;
    case ARG_NOT_EQUAL:
        return value != test->value;
    default:
        return test->value <= value && value <= test->value_high;
    }
}

static int compare_values(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

/* The first values of the stretches in which no comparison of the run changes, in order. */
static size_t find_stretches(const struct filter_rule *rules, size_t count, uint32_t *values)
{
    size_t found = 0, kept = 1;

    values[found++] = 0;
    for (size_t i = 0; i < count; i++) {
        const struct arg_test *test = &rules[i].tests[0];
        uint32_t last = test->op == ARG_IN_RANGE ? test->value_high : test->value;
        values[found++] = test->value;
        if (last != UINT32_MAX)
            values[found++] = last + 1;
    }
    qsort(values, found, sizeof(values[0]), compare_values);
    for (size_t i = 1; i < found; i++)
        if (values[i] != values[kept - 1])
            values[kept++] = values[i];
    return kept;
}

static bpf_label emit_rules(struct bpf_assembler *assembler, const struct filter_rule *rules,
                            size_t count, struct accumulator state, bpf_label fall);

/* Rules after a run for values first..last of the argument, without a mask: true if they decide
 * without a look at anything else. Most values of ioctl are decided so by the first of its runs. */
static bool is_decided(struct bpf_assembler *assembler, const struct filter_rule *rules,
                       size_t count, unsigned arg, uint32_t first, uint32_t last, bpf_label *label)
{
    for (size_t i = 0; i < count; i++) {
        const struct arg_test *test = &rules[i].tests[0];
        if (rules[i].test_count == 0 || test->arg != arg || !is_comparison(test))
            return false;
        uint32_t mask = effective_mask(test);
        uint32_t high = test->op == ARG_IN_RANGE ? test->value_high : test->value;
        /* Masking changes nothing in this stretch, or at least makes no value greater. */
        bool exact = (mask & (mask + 1)) == 0 && last <= mask;
        uint64_t highest = exact ? high : (uint64_t)high + (uint32_t)~mask;
        bool apart = test->value > last || highest < first || high < test->value;
        bool inside = exact && test->value <= first && last <= high;
        if (!apart && !inside)
            return false;
        if (inside == (test->op == ARG_NOT_EQUAL))
            continue; /* does not hold */
        if (rules[i].test_count > 1)
            return false;
        *label = bpf_emit_return(assembler, rules[i].action);
        return true;
    }
    return true;
}

/* What is left of the rules of a run for a stretch of values: those whose comparison holds there,
 * without it. */
static bpf_label emit_stretch(struct bpf_assembler *assembler, const struct filter_rule *rules,
                              size_t count, uint32_t value, struct accumulator state,
                              bpf_label rest)
{
    CLEANUP_FREE struct filter_rule *left = calloc(count, sizeof(*left));
    size_t kept = 0;

    if (left == NULL) {
        assembler->failed = true;
        return rest;
    }
    for (size_t i = 0; i < count; i++) {
        if (!comparison_holds(&rules[i].tests[0], value))
            continue;
        left[kept].action = rules[i].action;
        left[kept].test_count = (uint8_t)(rules[i].test_count - 1);
        memcpy(left[kept].tests, rules[i].tests + 1,
               left[kept].test_count * sizeof(left[kept].tests[0]));
        if (left[kept++].test_count == 0)
            break;
    }
    return emit_rules(assembler, left, kept, state, rest);
}

static bool has_conditions(const struct filter_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rules[i].test_count > 1)
            return true;
    return false;
}

/* The run is rules[0..run); the others follow it, fall comes after all. */
static bpf_label emit_run(struct bpf_assembler *assembler, const struct filter_rule *rules,
                          size_t run, size_t count, struct accumulator state, bpf_label fall)
{
    const struct arg_test *test = &rules[0].tests[0];
    struct accumulator wanted = {true, low_word(test->arg), effective_mask(test)};
    struct accumulator raw = {true, wanted.word, UINT32_MAX};
    bool masks = wanted.mask != UINT32_MAX;
    CLEANUP_FREE uint32_t *values = calloc(2 * run + 1, sizeof(*values));
    CLEANUP_FREE struct segment *segments = calloc(2 * run + 1, sizeof(*segments));

    if (values == NULL || segments == NULL) {
        assembler->failed = true;
        return fall;
    }
    size_t stretches = find_stretches(rules, run, values);
    bpf_label rest = emit_rules(assembler, rules + run, count - run,
                                has_conditions(rules, run) ? nothing_known : wanted, fall);
    size_t used = 0;
    for (size_t i = 0; i < stretches; i++) {
        uint32_t last = i + 1 < stretches ? values[i + 1] - 1 : UINT32_MAX;
        bpf_label after = fall;
        if (masks ||
            !is_decided(assembler, rules + run, count - run, test->arg, values[i], last, &after))
            after = rest;
        bpf_label label = emit_stretch(assembler, rules, run, values[i], wanted, after);
        if (used == 0 || segments[used - 1].label != label)
            segments[used++] = (struct segment){.first = values[i], .label = label};
    }
    bpf_label label = tree_emit(assembler, segments, used, ARGUMENT_CHAIN);
    if (masks && !holds_same(&state, &wanted))
        label = bpf_emit(assembler, BPF_ALU | BPF_AND | BPF_K, wanted.mask, label);
    if (!holds_same(&state, &wanted) && !holds_same(&state, &raw))
        label = emit_load(assembler, wanted.word, label);
    return label;
}

static bpf_label emit_rule(struct bpf_assembler *assembler, const struct filter_rule *rule,
                           const struct test_code *codes, bpf_label failed)
{
    bpf_label label = bpf_emit_return(assembler, rule->action);

    for (size_t t = rule->test_count; t-- > 0;)
        label = emit_test(assembler, &rule->tests[t], codes[t], label, failed);
    return label;
}

/* `state` is what the accumulator holds on whatever way this is reached; `fall` may be reached with
 * anything in it. */
static bpf_label emit_rules(struct bpf_assembler *assembler, const struct filter_rule *rules,
                            size_t count, struct accumulator state, bpf_label fall)
{
    struct test_code codes[FILTER_TESTS_MAX];

    if (count == 0)
        return fall;
    if (rules[0].test_count == 0)
        return bpf_emit_return(assembler, rules[0].action);
    size_t run = run_length(rules, count);
    if (run >= RUN_MIN)
        return emit_run(assembler, rules, run, count, state, fall);
    plan_rule(&rules[0], &state, codes);
    bpf_label failed = emit_rules(assembler, rules + 1, count - 1, state, fall);
    return emit_rule(assembler, &rules[0], codes, failed);
}

bpf_label argument_block_emit(struct bpf_assembler *assembler, const struct filter_rule *rules,
                              size_t count, uint32_t otherwise)
{
    return emit_rules(assembler, rules, count, nothing_known,
                      bpf_emit_return(assembler, otherwise));
}
