/*
 * Filter plans: the table from system call numbers to rules on registers, and its meaning.
 */
#include "filter/filter.h"

#include <errno.h>
#include <stdlib.h>

struct filter_plan *filter_plan_new(const struct arch *arch, uint32_t otherwise)
{
    struct filter_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL)
        return NULL;
    plan->arch = arch;
    plan->foreign_arch = SECCOMP_RET_KILL_PROCESS;
    plan->unknown = FILTER_ERRNO(ENOSYS);
    plan->entries = calloc((size_t)arch->newest + 1, sizeof(*plan->entries));
    if (plan->entries == NULL) {
        free(plan);
        return NULL;
    }
    for (int number = 0; number <= arch->newest; number++)
        plan->entries[number].otherwise =
            arch_syscall_name(arch, number) == NULL ? plan->unknown : otherwise;
    return plan;
}

void filter_plan_free(struct filter_plan *plan)
{
    if (plan == NULL)
        return;
    for (int number = 0; number <= plan->arch->newest; number++)
        free(plan->entries[number].rules);
    free(plan->entries);
    free(plan);
}

void filter_plan_set(struct filter_plan *plan, int number, uint32_t action)
{
    struct filter_entry *entry;

    if (arch_syscall_name(plan->arch, number) == NULL)
        return;
    entry = &plan->entries[number];
    free(entry->rules);
    *entry = (struct filter_entry){.otherwise = action};
}

static bool rule_is_valid(const struct filter_rule *rule)
{
    if (rule->test_count > FILTER_TESTS_MAX)
        return false;
    for (size_t i = 0; i < rule->test_count; i++) {
        const struct arg_test *test = &rule->tests[i];
        if (test->arg > 5 || (test->op == ARG_SAME_AS && test->value > 5))
            return false;
    }
    return true;
}

bool filter_plan_add_rule(struct filter_plan *plan, int number, const struct filter_rule *rule)
{
    struct filter_entry *entry;

    if (!rule_is_valid(rule))
        return false;
    if (arch_syscall_name(plan->arch, number) == NULL)
        return true;
    entry = &plan->entries[number];
    size_t count = entry->rule_count;
    if ((count & (count - 1)) == 0) { /* full: there is room for a power of two */
        size_t room = count == 0 ? 1 : 2 * count;
        struct filter_rule *grown = realloc(entry->rules, room * sizeof(*grown));
        if (grown == NULL)
            return false;
        entry->rules = grown;
    }
    entry->rules[entry->rule_count++] = *rule;
    return true;
}

static bool test_holds(const struct arg_test *test, const uint64_t args[6])
{
    uint32_t low = (uint32_t)args[test->arg];
    uint32_t mask = test->mask == 0 ? UINT32_MAX : test->mask;

    switch (test->op) {
    case ARG_EQUAL:
        return (low & mask) == test->value;
    case ARG_NOT_EQUAL:
        return (low & mask) != test->value;
    case ARG_ANY_BIT:
        return (low & mask) != 0;
    case ARG_NO_BIT:
        return (low & mask) == 0;
    case ARG_IN_RANGE:
        return (low & mask) >= test->value && (low & mask) <= test->value_high;
    case ARG_IS_NULL:
        return args[test->arg] == 0;
    case ARG_NOT_NULL:
        return args[test->arg] != 0;
    case ARG_SAME_AS:
        return low == (uint32_t)args[test->value];
    }
    return false;
}

bool filter_rule_holds(const struct filter_rule *rule, const uint64_t args[6])
{
    for (size_t i = 0; i < rule->test_count; i++) {
        if (!test_holds(&rule->tests[i], args))
            return false;
    }
    return true;
}

uint32_t filter_plan_evaluate(const struct filter_plan *plan, const struct seccomp_data *data)
{
    uint64_t args[6];
    const struct filter_entry *entry;

    if (data->arch != plan->arch->audit_arch)
        return plan->foreign_arch;
    /* Unsigned, so that -1 and the x32 numbers from 0x40000000 on are unknown like all others. */
    if ((uint32_t)data->nr > (uint32_t)plan->arch->newest)
        return plan->unknown;
    entry = &plan->entries[data->nr];
    for (size_t i = 0; i < 6; i++)
        args[i] = data->args[i];
    for (size_t i = 0; i < entry->rule_count; i++) {
        if (filter_rule_holds(&entry->rules[i], args))
            return entry->rules[i].action;
    }
    return entry->otherwise;
}
