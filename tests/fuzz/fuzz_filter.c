/*
 * libFuzzer target: bytes become a plan, which is compiled and proven against its meaning. Aborts
 * when program and plan differ, or when a program that fits is refused.
 */
#include "input.h"

#include "filter/filter.h"

#include "util/fd.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer inputs only repeat what shorter ones do, at the verifier's price. */
#define INPUT_MAX 512

static uint32_t next_word(struct input *input)
{
    uint32_t word = next_byte(input);

    /* Small values and values with one bit are where comparisons differ. */
    if (word < 0xC0)
        return word % 32 < 16 ? word : 1U << (word % 32);
    for (int i = 0; i < 3; i++)
        word = (word << 8) | next_byte(input);
    return word;
}

static uint32_t next_action(struct input *input)
{
    switch (next_byte(input) % 4) {
    case 0:
        return FILTER_ALLOW;
    case 1:
        return FILTER_NOTIFY;
    default:
        return FILTER_ERRNO(next_byte(input));
    }
}

static struct filter_rule next_rule(struct input *input)
{
    struct filter_rule rule = {.test_count = next_byte(input) % (FILTER_TESTS_MAX + 1)};

    for (size_t i = 0; i < rule.test_count; i++) {
        struct arg_test *test = &rule.tests[i];
        uint8_t kind = next_byte(input);
        test->arg = kind % 6;
        test->op = kind / 6 % (ARG_NOT_NULL + 1);
        test->mask = next_word(input);
        test->value = next_word(input);
        test->value_high = test->op == ARG_IN_RANGE ? next_word(input) : 0;
        if (test->op == ARG_SAME_AS)
            test->value %= 6;
    }
    rule.action = next_action(input);
    return rule;
}

static struct filter_plan *next_plan(struct input *input)
{
    static const struct arch *const archs[] = {&arch_x86_64, &arch_aarch64, &arch_riscv64};
    struct filter_plan *plan = filter_plan_new(archs[next_byte(input) % 3], next_action(input));

    while (plan != NULL && input->left > 0) {
        uint8_t what = next_byte(input);
        int number = next_byte(input) | (what & 1) << 8;
        struct filter_rule rule;
        if ((what & 2) != 0) {
            filter_plan_set(plan, number, next_action(input));
            continue;
        }
        rule = next_rule(input);
        if (!filter_plan_add_rule(plan, number, &rule))
            abort();
    }
    return plan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct error err = {0};
    struct filter_plan *plan;

    if (size > INPUT_MAX)
        return 0;
    plan = next_plan(&input);
    if (plan == NULL)
        return 0;
    /* An input of this size never needs 4096 instructions. */
    if (!filter_compile(plan, &program, &err) || !filter_verify(plan, &program, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    filter_plan_free(plan);
    return 0;
}
