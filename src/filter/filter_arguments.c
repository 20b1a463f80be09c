/*
 * Argument blocks: the rules of one number, see compile.h. Rules are tested one after the other, but
 * neighbours that compare the same word of the same argument become one tree over its values, in which
 * each stretch of values knows the first rule that holds there. Nothing is loaded or masked that is in
 * the accumulator already, and nothing is tested that earlier rules have settled, which also makes the
 * ends of different numbers' rules alike, so that they are written once.
 */
#include "filter/compile.h"

#include "util/fd.h"

#include <stdlib.h>
#include <string.h>

/* Fewer comparisons than this are not worth a tree. */
#define RUN_MIN 2

/* What is left of a run for some value are seldom more rules. */
#define STRETCH_RULES 4

/* Which values are frequent is not known. */
static const struct tree_shape argument_shape = {0};

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

/* The highest value that a comparison names. */
static uint32_t highest_value(const struct arg_test *test)
{
    return test->op == ARG_IN_RANGE ? test->value_high : test->value;
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

static bpf_label emit_rules(struct bpf_assembler *assembler, const struct filter_rule *rules,
                            size_t count, struct accumulator state, bpf_label fall);

/* Values first..last of an argument, between which no comparison of a run changes. */
struct stretch {
    uint32_t first, last;
    bpf_label after; /* what decides where no rule of the run does; 0: the rules after the run */
};

static int compare_stretches(const void *left, const void *right)
{
    const struct stretch *a = left, *b = right;

    return (a->first > b->first) - (a->first < b->first);
}

/* The stretches in which no comparison of the run changes, in order. */
static size_t find_stretches(const struct filter_rule *rules, size_t count,
                             struct stretch *stretches)
{
    size_t found = 0, kept = 0;

    stretches[found++].first = 0;
    for (size_t i = 0; i < count; i++) {
        const struct arg_test *test = &rules[i].tests[0];
        stretches[found++].first = test->value;
        if (highest_value(test) != UINT32_MAX)
            stretches[found++].first = highest_value(test) + 1;
    }
    qsort(stretches, found, sizeof(stretches[0]), compare_stretches);
    for (size_t i = 1; i < found; i++) {
        if (stretches[i].first == stretches[kept].first)
            continue;
        stretches[kept++].last = stretches[i].first - 1;
        stretches[kept].first = stretches[i].first;
    }
    stretches[kept++].last = UINT32_MAX;
    return kept;
}

/* The rule that decides for all values of a stretch of an unmasked argument without a look at anything
 * else: its index, or `count` if none of them holds. False: it depends. */
static bool find_decision(const struct filter_rule *rules, size_t count, unsigned arg,
                          const struct stretch *stretch, size_t *decision)
{
    for (size_t i = 0; i < count; i++) {
        const struct arg_test *test = &rules[i].tests[0];
        if (rules[i].test_count == 0 || test->arg != arg || !is_comparison(test))
            return false;
        uint32_t mask = effective_mask(test);
        uint32_t high = highest_value(test);
        /* Masking changes nothing in this stretch, or at least makes no value greater. */
        bool exact = (mask & (mask + 1)) == 0 && stretch->last <= mask;
        uint64_t highest = exact ? high : (uint64_t)high + (uint32_t)~mask;
        bool apart = test->value > stretch->last || highest < stretch->first || high < test->value;
        bool inside = exact && test->value <= stretch->first && stretch->last <= high;
        if (!apart && !inside)
            return false;
        if (inside == (test->op == ARG_NOT_EQUAL))
            continue; /* does not hold */
        *decision = i;
        return rules[i].test_count == 1;
    }
    *decision = count;
    return true;
}

/* What is left of the rules of a run for a stretch of values: those whose comparison holds there,
 * without it. Most stretches have one or none, and a block of memory for each would cost more than all the rest. */
static bpf_label emit_stretch(struct bpf_assembler *assembler, const struct filter_rule *rules,
                              size_t count, uint32_t value, struct accumulator state,
                              bpf_label rest)
{
    struct filter_rule few[STRETCH_RULES];
    CLEANUP_FREE struct filter_rule *many = NULL;
    struct filter_rule *left = few;
    size_t holding = 0, kept = 0;

    for (size_t i = 0; i < count; i++)
        holding += comparison_holds(&rules[i].tests[0], value) ? 1 : 0;
    if (holding > STRETCH_RULES) {
        many = calloc(holding, sizeof(*many));
        left = many;
    }
    if (left == NULL) {
        assembler->failed = true;
        return rest;
    }
    for (size_t i = 0; i < count; i++) {
        if (!comparison_holds(&rules[i].tests[0], value))
            continue;
        left[kept] = (struct filter_rule){.action = rules[i].action,
                                          .test_count = (uint8_t)(rules[i].test_count - 1)};
        memcpy(left[kept].tests, rules[i].tests + 1,
               left[kept].test_count * sizeof(left[kept].tests[0]));
        if (left[kept++].test_count == 0)
            break;
    }
    return emit_rules(assembler, left, kept, state, rest);
}

/* Whether rules of a run hold for a value only if other tests hold as well. */
static bool is_conditional(const struct filter_rule *rules, size_t run, uint32_t value)
{
    bool conditional = false;

    for (size_t i = 0; i < run; i++) {
        if (!comparison_holds(&rules[i].tests[0], value))
            continue;
        if (rules[i].test_count == 1)
            return false;
        conditional = true;
    }
    return conditional;
}

/* Finds stretches for which the rules after the run, rules[run..count), need not be asked. Most values
 * of ioctl are decided so by the first of its runs. What already the first of those rules says may as well
 * be said there. Returns whether the accumulator is as the run left it on all ways to those rules. */
static bool skip_rest(struct bpf_assembler *assembler, const struct filter_rule *rules, size_t run,
                      size_t count, bpf_label fall, struct stretch *stretches, size_t stretch_count)
{
    const struct arg_test *test = &rules[0].tests[0];
    const struct filter_rule *rest = rules + run;
    size_t rest_count = count - run;
    bool untouched = true;

    for (size_t i = 0; i < stretch_count; i++) {
        struct stretch *stretch = &stretches[i];
        bool conditional = is_conditional(rules, run, stretch->first);
        size_t decision;
        if (effective_mask(test) == UINT32_MAX &&
            find_decision(rest, rest_count, test->arg, stretch, &decision) &&
            (conditional || decision > 0))
            stretch->after =
                decision == rest_count ? fall : bpf_emit_return(assembler, rest[decision].action);
        else if (conditional)
            untouched = false;
    }
    return untouched;
}

/* The run is rules[0..run); the others follow it, fall comes after all. */
static bpf_label emit_run(struct bpf_assembler *assembler, const struct filter_rule *rules,
                          size_t run, size_t count, struct accumulator state, bpf_label fall)
{
    const struct arg_test *test = &rules[0].tests[0];
    struct accumulator wanted = {true, low_word(test->arg), effective_mask(test)};
    struct accumulator raw = {true, wanted.word, UINT32_MAX};
    CLEANUP_FREE struct stretch *stretches = calloc(2 * run + 1, sizeof(*stretches));
    CLEANUP_FREE struct segment *segments = calloc(2 * run + 1, sizeof(*segments));

    if (stretches == NULL || segments == NULL) {
        assembler->failed = true;
        return fall;
    }
    size_t stretch_count = find_stretches(rules, run, stretches);
    bool untouched = skip_rest(assembler, rules, run, count, fall, stretches, stretch_count);
    bpf_label rest =
        emit_rules(assembler, rules + run, count - run, untouched ? wanted : nothing_known, fall);
    size_t used = 0;
    for (size_t i = 0; i < stretch_count; i++) {
        bpf_label after = stretches[i].after == 0 ? rest : stretches[i].after;
        bpf_label label = emit_stretch(assembler, rules, run, stretches[i].first, wanted, after);
        if (used == 0 || segments[used - 1].label != label)
            segments[used++] = (struct segment){.first = stretches[i].first, .label = label};
    }
    bpf_label label = tree_emit(assembler, segments, used, &argument_shape);
    if (wanted.mask != UINT32_MAX && !holds_same(&state, &wanted))
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

/* ---- Tests that are settled --------------------------------------------------------------------- */

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_HOLDS,
    OUTCOME_FAILS,
};

/* What a test comes to if the equality that it asks for, or for the opposite of, comes to `of_equality`. */
static enum outcome outcome_of(const struct arg_test *test, enum outcome of_equality)
{
    if (test->op != ARG_NOT_EQUAL || of_equality == OUTCOME_OPEN)
        return of_equality;
    return of_equality == OUTCOME_HOLDS ? OUTCOME_FAILS : OUTCOME_HOLDS;
}

/* What a test comes to where another one of the same argument has failed before. */
static enum outcome outcome_after(const struct arg_test *test, const struct arg_test *failed)
{
    uint32_t mask = effective_mask(test), failed_mask = effective_mask(failed);

    if (!is_comparison(test) || !is_comparison(failed))
        return OUTCOME_OPEN;
    if (failed->op == ARG_NOT_EQUAL) { /* some bits are known */
        if (test->op == ARG_IN_RANGE)
            return OUTCOME_OPEN;
        if (((test->value ^ failed->value) & mask & failed_mask) != 0)
            return outcome_of(test, OUTCOME_FAILS);
        bool all = (mask & ~failed_mask) == 0 && (test->value & ~mask) == 0;
        return all ? outcome_of(test, OUTCOME_HOLDS) : OUTCOME_OPEN;
    }
    bool inside = mask == failed_mask && failed->value <= test->value &&
                  highest_value(test) <= highest_value(failed);
    return inside ? outcome_of(test, OUTCOME_FAILS) : OUTCOME_OPEN;
}

static enum outcome outcome_after_rules(const struct arg_test *test,
                                        const struct filter_rule *rules, size_t count)
{
    enum outcome outcome = OUTCOME_OPEN;

    for (size_t i = 0; i < count && outcome == OUTCOME_OPEN; i++) {
        if (rules[i].test_count == 1 && rules[i].tests[0].arg == test->arg)
            outcome = outcome_after(test, &rules[i].tests[0]);
    }
    return outcome;
}

/* Copies the rules without what those of a single test before them have settled: tests that must hold,
 * rules that cannot. Returns how many are left. */
static size_t drop_settled(const struct filter_rule *rules, size_t count, struct filter_rule *left)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct filter_rule *copy = &left[kept];
        bool possible = true;
        *copy = (struct filter_rule){.action = rules[i].action};
        for (size_t t = 0; t < rules[i].test_count; t++) {
            enum outcome outcome = outcome_after_rules(&rules[i].tests[t], left, kept);
            if (outcome == OUTCOME_OPEN)
                copy->tests[copy->test_count++] = rules[i].tests[t];
            possible = possible && outcome != OUTCOME_FAILS;
        }
        kept += possible;
    }
    return kept;
}

bpf_label argument_block_emit(struct bpf_assembler *assembler, const struct filter_rule *rules,
                              size_t count, uint32_t otherwise)
{
    CLEANUP_FREE struct filter_rule *left = calloc(count, sizeof(*left));
    bpf_label fall = bpf_emit_return(assembler, otherwise);

    if (left == NULL && count > 0) {
        assembler->failed = true;
        return fall;
    }
    return emit_rules(assembler, left, drop_settled(rules, count, left), nothing_known, fall);
}
