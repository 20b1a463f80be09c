/*
 * The members' filter: from a policy and the traps of its features to a plan.
 *
 * One number may meet several judges. The order is deny list, argument rules, traps, and allow at
 * the end: an argument rule that refuses comes before every trap, one that passes leaves the
 * decision to the traps. A call is trapped as soon as one of its traps wants it, so the conditions
 * under which it may pass by are the intersection over its traps; an intersection that does not fit
 * into a rule is left out, which traps too much and never too little.
 */
#include "filter/argument_rules.h"
#include "filter/filter.h"
#include "filter/syscall_class.h"
#include "policy/network.h"
#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Conditions kept per number. */
#define PASSES_MAX 32

struct passes {
    struct filter_rule rules[PASSES_MAX];
    size_t count;
    bool trapped; /* false: no trap names the number */
};

struct builder {
    const struct arch *arch;
    const struct policy *policy;
    const struct member_filter_options *options;
    struct filter_plan *plan;
    const bool *is_trapped; /* by number */
    bool sends_trapped;
    struct network_shape shape;
};

/* ---- Traps that meet ------------------------------------------------------------------------- */

static bool same_test(const struct arg_test *left, const struct arg_test *right)
{
    return left->arg == right->arg && left->op == right->op && left->mask == right->mask &&
           left->value == right->value && left->value_high == right->value_high;
}

static bool has_test(const struct filter_rule *rule, const struct arg_test *test)
{
    for (size_t i = 0; i < rule->test_count; i++) {
        if (same_test(&rule->tests[i], test))
            return true;
    }
    return false;
}

/* The values of the low word for which the test can hold. True: and it holds for all of them. False
 * with *low > *high cannot happen: what is not an interval of its own is everything. */
static bool interval_of(const struct arg_test *test, uint32_t *low, uint32_t *high)
{
    bool masked = test->mask != 0 && test->mask != UINT32_MAX;

    *low = 0;
    *high = UINT32_MAX;
    if (test->op == ARG_EQUAL) {
        *low = test->value;
        *high = masked ? test->value | ~test->mask : test->value;
        return !masked;
    }
    if (test->op != ARG_IN_RANGE || masked)
        return false;
    *low = test->value;
    *high = test->value_high;
    return true;
}

enum meeting {
    MEETING_NONE,       /* the tests have nothing to say about each other */
    MEETING_JOINED,     /* *left now stands for both */
    MEETING_IMPOSSIBLE, /* they never hold together */
};

/* Tests of one argument often exclude or contain each other; the filter need not ask twice. */
static enum meeting meet(struct arg_test *left, const struct arg_test *right)
{
    uint32_t low, high, right_low, right_high;
    bool exact, right_exact;

    if (left->arg != right->arg)
        return MEETING_NONE;
    exact = interval_of(left, &low, &high);
    if (left->op == ARG_EQUAL && right->op == ARG_NOT_EQUAL && exact &&
        (right->mask == 0 || right->mask == UINT32_MAX))
        return low == right->value ? MEETING_IMPOSSIBLE : MEETING_JOINED;
    right_exact = interval_of(right, &right_low, &right_high);
    if (right_low > high || right_high < low)
        return MEETING_IMPOSSIBLE;
    if (right_exact && low >= right_low && high <= right_high)
        return MEETING_JOINED;
    if (!exact || !right_exact)
        return MEETING_NONE;
    low = low > right_low ? low : right_low;
    high = high < right_high ? high : right_high;
    *left = low == high
                ? (struct arg_test){.arg = left->arg, .op = ARG_EQUAL, .value = low}
                : (struct arg_test){
                      .arg = left->arg, .op = ARG_IN_RANGE, .value = low, .value_high = high};
    return MEETING_JOINED;
}

/* False: it cannot hold, or needs more tests than a rule has. */
static bool add_test(struct filter_rule *rule, const struct arg_test *test)
{
    if (has_test(rule, test))
        return true;
    for (size_t i = 0; i < rule->test_count; i++) {
        enum meeting meeting = meet(&rule->tests[i], test);
        if (meeting != MEETING_NONE)
            return meeting == MEETING_JOINED;
    }
    if (rule->test_count == FILTER_TESTS_MAX)
        return false;
    rule->tests[rule->test_count++] = *test;
    return true;
}

/* The rule that holds when both hold. False: there is none that could be told. */
static bool both_hold(const struct filter_rule *left, const struct filter_rule *right,
                      struct filter_rule *both)
{
    *both = *left;
    for (size_t i = 0; i < right->test_count; i++) {
        if (!add_test(both, &right->tests[i]))
            return false;
    }
    return true;
}

static bool same_rule(const struct filter_rule *left, const struct filter_rule *right)
{
    if (left->test_count != right->test_count)
        return false;
    for (size_t i = 0; i < left->test_count; i++) {
        if (!has_test(right, &left->tests[i]))
            return false;
    }
    return true;
}

static void keep(struct passes *passes, const struct filter_rule *rule)
{
    for (size_t i = 0; i < passes->count; i++) {
        if (same_rule(&passes->rules[i], rule))
            return;
    }
    if (passes->count < PASSES_MAX)
        passes->rules[passes->count++] = *rule;
}

static void add_trap(struct passes *passes, const struct filter_trap *trap)
{
    struct filter_rule before[PASSES_MAX];
    size_t count = passes->count;

    if (!passes->trapped) {
        passes->trapped = true;
        for (size_t i = 0; i < trap->pass_count; i++)
            keep(passes, &trap->passes[i]);
        return;
    }
    memcpy(before, passes->rules, count * sizeof(before[0]));
    passes->count = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < trap->pass_count; j++) {
            struct filter_rule both;
            if (both_hold(&before[i], &trap->passes[j], &both))
                keep(passes, &both);
        }
    }
}

static void collect_traps(const struct builder *builder, int number, struct passes *passes)
{
    passes->count = 0;
    passes->trapped = false;
    if (!builder->is_trapped[number])
        return;
    for (size_t i = 0; i < builder->options->trap_count; i++) {
        if (builder->options->traps[i].number == number)
            add_trap(passes, &builder->options->traps[i]);
    }
}

/* ---- One number ------------------------------------------------------------------------------ */

static bool takes_part(const struct builder *builder, enum rule_condition when, bool trapped)
{
    bool gate =
        builder->options->supervised && (builder->policy->without & FEATURE_PROCESS_GATE) == 0;

    switch (when) {
    case RULE_ALWAYS:
        return true;
    case RULE_SUPERVISED:
        return builder->options->supervised;
    case RULE_UNGATED:
        return !gate || !trapped;
    case RULE_SENDS_TRAPPED:
        return builder->sends_trapped;
    case RULE_UDP_CLOSED:
        return builder->shape.udp == UDP_CLOSED;
    case RULE_UDP_POSSIBLE:
        return builder->shape.udp != UDP_CLOSED;
    case RULE_UDP_UNUSED:
        return builder->shape.udp != UDP_OPEN;
    case RULE_UDP_UNSURE:
        return builder->shape.udp != UDP_OPEN || builder->shape.named_hosts;
    case RULE_PING_CLOSED:
        return !builder->shape.ping;
    case RULE_PING_POSSIBLE:
        return builder->shape.ping;
    case RULE_NETLINK_TRAPPED:
        return builder->options->netlink_view;
    case RULE_INTERFACES_TRAPPED:
        return builder->options->interface_view;
    case RULE_TRACED:
        return builder->options->traced;
    case RULE_HUGE_PAGES_OFF:
        return builder->policy->no_huge_pages;
    case RULE_PRIVILEGED:
        return builder->options->privileged;
    case RULE_CORES_UNGATED:
        return builder->policy->cpu_core_count > 0 && !trapped;
    case RULE_KEEPS_SESSION:
        return builder->options->keeps_session;
    case RULE_EARLY_TRUNCATION:
        return builder->options->early_truncation;
    }
    return true;
}

static bool add_rule(struct builder *builder, int number, struct filter_rule rule, uint32_t action)
{
    rule.action = action;
    return filter_plan_add_rule(builder->plan, number, &rule);
}

/* What the traps decide where `condition` holds. */
static bool add_passing_row(struct builder *builder, int number,
                            const struct filter_rule *condition, const struct passes *passes)
{
    struct filter_rule both;

    for (size_t i = 0; i < passes->count; i++) {
        if (!both_hold(condition, &passes->rules[i], &both))
            continue;
        if (!add_rule(builder, number, both, FILTER_ALLOW))
            return false;
        if (same_rule(condition, &both))
            return true; /* it passes whenever the condition holds */
    }
    return add_rule(builder, number, *condition, passes->trapped ? FILTER_NOTIFY : FILTER_ALLOW);
}

static bool is_explained(const struct builder *builder)
{
    return builder->policy->explain && builder->options->supervised &&
           !builder->options->unexplained;
}

/* EPERM, EACCES, and sockets that the kernel would have made, are worth a record; the other refusals repeat what
 * the kernel says about calls that make no sense, or send programs on another way of theirs. */
static uint32_t refusal_of(const struct builder *builder, enum rule_set set, uint32_t action)
{
    bool socket = set == RULES_socket || set == RULES_socketpair;
    bool kind = action == FILTER_ERRNO(EAFNOSUPPORT) || action == FILTER_ERRNO(EPROTONOSUPPORT);
    bool permission = action == FILTER_ERRNO(EPERM) || action == FILTER_ERRNO(EACCES);
    bool policy = permission || (socket && kind);

    return policy && is_explained(builder) ? FILTER_NOTIFY : action;
}

static bool add_argument_rules(struct builder *builder, int number, enum rule_set set,
                               const struct passes *passes)
{
    struct argument_rules rules = argument_rules_get(set);

    for (size_t i = 0; i < rules.count; i++) {
        const struct argument_rule *row = &rules.rows[i];
        bool added;
        if (!takes_part(builder, row->when, passes->trapped))
            continue;
        if (row->rule.action == RULE_PASS)
            added = add_passing_row(builder, number, &row->rule, passes);
        else
            added =
                add_rule(builder, number, row->rule, refusal_of(builder, set, row->rule.action));
        if (!added)
            return false;
    }
    return true;
}

static bool is_denied_by_policy(const struct policy *policy, int number)
{
    for (size_t i = 0; i < policy->denied_count; i++) {
        if (policy->denied_numbers[i] == number)
            return true;
    }
    return false;
}

/* The errno that a call gets whatever its arguments; 0 if it is judged further. */
static int class_errno(enum syscall_class class, const struct policy *policy, bool supervised,
                       bool privileged)
{
    switch (class) {
    case CLASS_ALLOW:
    case CLASS_ARGUMENTS:
        return 0;
    case CLASS_DENY:
        return EPERM;
    case CLASS_DENY_SUPERVISED:
        return supervised ? EPERM : 0;
    case CLASS_DENY_PRIVILEGED:
        return supervised || privileged ? EPERM : 0;
    case CLASS_ENOSYS:
        return ENOSYS;
    case CLASS_ENOSYS_SUPERVISED:
        return supervised ? ENOSYS : 0;
    case CLASS_SYSV:
        return policy->sysv_ipc_allowed ? 0 : EPERM;
    case CLASS_MISSING:
        break;
    }
    return ENOSYS;
}

static bool plan_number(struct builder *builder, int number)
{
    struct syscall_class_row row = syscall_class_of(builder->arch->ids[number]);
    int error = class_errno(row.class, builder->policy, builder->options->supervised,
                            builder->options->privileged);
    struct passes passes;

    if (is_denied_by_policy(builder->policy, number))
        error = EPERM;
    if (error != 0) {
        /* Under --explain the supervisor gives the same answer and records it. Hidden calls stay in
         * the filter: libcs probe them all the time. */
        bool explained = error == EPERM && is_explained(builder);
        filter_plan_set(builder->plan, number, explained ? FILTER_NOTIFY : FILTER_ERRNO(error));
        return true;
    }
    collect_traps(builder, number, &passes);
    filter_plan_set(builder->plan, number, passes.trapped ? FILTER_NOTIFY : FILTER_ALLOW);
    if (!add_argument_rules(builder, number, row.rules, &passes))
        return false;
    for (size_t i = 0; i < passes.count; i++) {
        if (!add_rule(builder, number, passes.rules[i], FILTER_ALLOW))
            return false;
    }
    return true;
}

static bool any_send_is_trapped(const struct builder *builder)
{
    static const char *const sends[] = {"sendto", "sendmsg", "sendmmsg"};
    bool any = false;

    for (size_t i = 0; i < sizeof(sends) / sizeof(sends[0]); i++)
        any = any || builder->is_trapped[arch_syscall_number(builder->arch, sends[i])];
    return any;
}

static void mark_trapped(const struct arch *arch, const struct member_filter_options *options,
                         bool *is_trapped)
{
    for (size_t i = 0; i < options->trap_count; i++) {
        int number = options->traps[i].number;
        if (number >= 0 && number <= arch->newest)
            is_trapped[number] = true;
    }
}

struct filter_plan *member_filter_plan(const struct arch *arch, const struct policy *policy,
                                       const struct member_filter_options *options,
                                       struct error *err)
{
    CLEANUP_FREE bool *is_trapped = calloc((size_t)arch->newest + 1, sizeof(*is_trapped));
    struct builder builder = {
        .arch = arch, .policy = policy, .options = options, .is_trapped = is_trapped};

    if (!options->supervised && options->trap_count > 0) {
        error_runtime(err, 0, "system call filter: traps without a supervisor to answer them");
        return NULL;
    }
    /* A number without a class would be hidden, not open. */
    builder.plan = filter_plan_new(arch, FILTER_ERRNO(ENOSYS));
    if (builder.plan == NULL || is_trapped == NULL) {
        error_runtime(err, ENOMEM, "system call filter");
        filter_plan_free(builder.plan);
        return NULL;
    }
    mark_trapped(arch, options, is_trapped);
    builder.sends_trapped = any_send_is_trapped(&builder);
    builder.shape = network_shape_of(policy);
    for (int number = 0; number <= arch->newest; number++) {
        if (arch_syscall_name(arch, number) != NULL && !plan_number(&builder, number)) {
            error_runtime(err, ENOMEM, "system call filter");
            filter_plan_free(builder.plan);
            return NULL;
        }
    }
    return builder.plan;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* FNV-1a. The inputs are the tables of this build, not a member's or a user's. */
static void mix(uint64_t *key, uint64_t value)
{
    for (int byte = 0; byte < 8; byte++) {
        *key ^= (value >> (8 * byte)) & 0xff;
        *key *= 0x100000001b3ULL;
    }
}

static void mix_rule(uint64_t *key, const struct filter_rule *rule)
{
    mix(key, rule->test_count);
    for (size_t i = 0; i < rule->test_count; i++) {
        const struct arg_test *test = &rule->tests[i];
        mix(key, (uint64_t)test->arg << 32 | (uint64_t)test->op);
        mix(key, (uint64_t)test->mask << 32 | test->value);
        mix(key, test->value_high);
    }
}

uint64_t member_filter_key(const struct policy *policy, const struct member_filter_options *options)
{
    uint64_t key = 0xcbf29ce484222325ULL;

    if (policy->denied_count > 0 || policy->sysv_ipc_allowed || policy->explain)
        return 0;
    struct network_shape shape = network_shape_of(policy);
    mix(&key, (uint64_t)options->keeps_session << 4 | (uint64_t)options->early_truncation << 3 |
                  (uint64_t)options->privileged << 2 | (uint64_t)options->traced << 1 |
                  options->supervised);
    mix(&key, (uint64_t)shape.named_hosts << 6 | (uint64_t)shape.udp << 3 |
                  (uint64_t)shape.ping << 2 | (uint64_t)options->netlink_view << 1 |
                  options->interface_view);
    mix(&key, policy->without & FEATURE_PROCESS_GATE);
    mix(&key, (uint64_t)policy->no_huge_pages << 1 | (policy->cpu_core_count > 0));
    for (size_t i = 0; i < options->trap_count; i++) {
        const struct filter_trap *trap = &options->traps[i];
        mix(&key, (uint64_t)trap->number << 32 | trap->pass_count);
        for (size_t pass = 0; pass < trap->pass_count; pass++)
            mix_rule(&key, &trap->passes[pass]);
    }
    return key;
}

/* ---- Reasons --------------------------------------------------------------------------------- */

const char *member_filter_denial_reason(const struct arch *arch, const struct policy *policy,
                                        bool supervised, int number)
{
    struct syscall_class_row row;

    if (arch_syscall_name(arch, number) == NULL)
        return "unknown system call";
    if (is_denied_by_policy(policy, number))
        return "extra-deny-syscall";
    row = syscall_class_of(arch->ids[number]);
    if (class_errno(row.class, policy, supervised, false) == 0)
        return NULL;
    switch (row.class) {
    case CLASS_SYSV:
        return "sysv_ipc is not allowed";
    case CLASS_ENOSYS:
    case CLASS_ENOSYS_SUPERVISED:
        return "hidden system call";
    default:
        return "built-in deny list";
    }
}
