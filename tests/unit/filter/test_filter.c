/* Plans mean what they say, and the emitted program says the same. */
#include "filter/filter.h"

#include "util/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define OPEN 2
#define HOLE 400
#define DIRTY 0xDEADBEEF00000000ULL

static uint64_t random_state;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static struct filter_plan *new_plan(void)
{
    struct filter_plan *plan = filter_plan_new(&arch_x86_64, FILTER_ALLOW);

    assert_non_null(plan);
    return plan;
}

static uint32_t ask(const struct filter_plan *plan, int number, uint64_t arg0, uint64_t arg1)
{
    struct seccomp_data data = {.nr = number, .arch = plan->arch->audit_arch};

    data.args[0] = arg0;
    data.args[1] = arg1;
    return filter_plan_evaluate(plan, &data);
}

static void compile_and_verify(const struct filter_plan *plan, struct bpf_program *program)
{
    struct error err = {0};

    if (!filter_compile(plan, program, &err) || !filter_verify(plan, program, &err))
        fail_msg("%s", err.text);
}

/* ---- Meaning --------------------------------------------------------------------------------- */

static void a_new_plan_answers_one_thing(void **state)
{
    struct filter_plan *plan = new_plan();
    struct seccomp_data data = {.nr = OPEN, .arch = arch_aarch64.audit_arch};

    assert_int_equal(ask(plan, OPEN, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, HOLE, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(plan, 470, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(plan, 0x40000000 | OPEN, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(plan, -1, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(filter_plan_evaluate(plan, &data), SECCOMP_RET_KILL_PROCESS);
    filter_plan_free(plan);
}

static void holes_and_bad_numbers_cannot_be_set(void **state)
{
    struct filter_plan *plan = new_plan();
    struct filter_rule rule = {.action = FILTER_ALLOW};

    filter_plan_set(plan, HOLE, FILTER_ALLOW);
    filter_plan_set(plan, -1, FILTER_ALLOW);
    filter_plan_set(plan, 1 << 20, FILTER_ALLOW);
    assert_true(filter_plan_add_rule(plan, -1, &rule));
    assert_true(filter_plan_add_rule(plan, HOLE, &rule));
    assert_int_equal(ask(plan, HOLE, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(plan, -1, 0, 0), FILTER_ERRNO(ENOSYS));
    filter_plan_free(plan);
}

static void rules_about_arguments_that_do_not_exist_are_refused(void **state)
{
    struct filter_plan *plan = new_plan();
    struct filter_rule bad[] = {
        {.test_count = 1, .tests = {{.arg = 6}}},
        {.test_count = 1, .tests = {{.arg = 0, .op = ARG_SAME_AS, .value = 6}}},
        {.test_count = FILTER_TESTS_MAX + 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(filter_plan_add_rule(plan, OPEN, &bad[i]));
    filter_plan_free(plan);
}

static const struct {
    struct arg_test test;
    uint64_t arg0, arg1;
    bool holds;
} operator_cases[] = {
    {{.op = ARG_EQUAL, .value = 7}, 7, 0, true},
    {{.op = ARG_EQUAL, .value = 7}, DIRTY | 7, 0, true},
    {{.op = ARG_EQUAL, .value = 7}, 8, 0, false},
    {{.op = ARG_EQUAL, .mask = 0xF, .value = 7}, 0x57, 0, true},
    {{.op = ARG_EQUAL, .mask = 0xF, .value = 7}, 0x58, 0, false},
    {{.op = ARG_EQUAL, .mask = 0xF, .value = 0x17}, 0x17, 0, false},
    {{.op = ARG_NOT_EQUAL, .value = 7}, DIRTY | 7, 0, false},
    {{.op = ARG_NOT_EQUAL, .value = 7}, 6, 0, true},
    {{.op = ARG_NOT_EQUAL, .mask = 0xF, .value = 7}, 0x57, 0, false},
    {{.op = ARG_ANY_BIT, .mask = 0x30}, 0x10, 0, true},
    {{.op = ARG_ANY_BIT, .mask = 0x30}, DIRTY | 0xF, 0, false},
    {{.op = ARG_ANY_BIT}, DIRTY, 0, false},
    {{.op = ARG_ANY_BIT}, 1, 0, true},
    {{.op = ARG_NO_BIT, .mask = 0x30}, DIRTY | 0xF, 0, true},
    {{.op = ARG_NO_BIT, .mask = 0x30}, 0x20, 0, false},
    {{.op = ARG_IN_RANGE, .value = 5, .value_high = 9}, 4, 0, false},
    {{.op = ARG_IN_RANGE, .value = 5, .value_high = 9}, 5, 0, true},
    {{.op = ARG_IN_RANGE, .value = 5, .value_high = 9}, DIRTY | 9, 0, true},
    {{.op = ARG_IN_RANGE, .value = 5, .value_high = 9}, 10, 0, false},
    {{.op = ARG_IN_RANGE, .mask = 0xFF, .value = 5, .value_high = 9}, 0x106, 0, true},
    {{.op = ARG_IN_RANGE, .value = 0, .value_high = UINT32_MAX}, 0xFFFFFFFF, 0, true},
    {{.op = ARG_IS_NULL}, 0, 0, true},
    {{.op = ARG_IS_NULL}, 1, 0, false},
    {{.op = ARG_IS_NULL}, 1ULL << 32, 0, false},
    {{.op = ARG_NOT_NULL}, 0, 0, false},
    {{.op = ARG_NOT_NULL}, 1, 0, true},
    {{.op = ARG_NOT_NULL}, 1ULL << 63, 0, true},
    {{.op = ARG_SAME_AS, .value = 1}, 5, DIRTY | 5, true},
    {{.op = ARG_SAME_AS, .value = 1}, 5, 6, false},
    {{.arg = 1, .op = ARG_SAME_AS, .value = 1}, 5, 6, true},
};

static void every_operator_does_what_it_says(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(operator_cases); i++) {
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
        struct filter_plan *plan = new_plan();
        struct filter_rule rule = {.test_count = 1, .action = FILTER_ERRNO(EPERM)};
        uint64_t args[6] = {operator_cases[i].arg0, operator_cases[i].arg1};

        rule.tests[0] = operator_cases[i].test;
        assert_int_equal(filter_rule_holds(&rule, args), operator_cases[i].holds);
        assert_true(filter_plan_add_rule(plan, OPEN, &rule));
        assert_int_equal(ask(plan, OPEN, args[0], args[1]),
                         operator_cases[i].holds ? FILTER_ERRNO(EPERM) : FILTER_ALLOW);
        assert_int_equal(ask(plan, OPEN + 1, args[0], args[1]), FILTER_ALLOW);
        compile_and_verify(plan, &program);
        filter_plan_free(plan);
    }
}

static void the_first_rule_that_holds_decides(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct filter_plan *plan = new_plan();
    const struct filter_rule rules[] = {
        {.test_count = 1, .tests = {{.op = ARG_EQUAL, .value = 1}}, .action = FILTER_ERRNO(1)},
        {.test_count = 2,
         .tests = {{.op = ARG_IN_RANGE, .value = 1, .value_high = 5},
                   {.arg = 1, .op = ARG_IS_NULL}},
         .action = FILTER_NOTIFY},
        {.test_count = 0, .action = FILTER_ERRNO(2)},
        {.test_count = 1, .tests = {{.op = ARG_EQUAL, .value = 9}}, .action = FILTER_ERRNO(3)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        assert_true(filter_plan_add_rule(plan, OPEN, &rules[i]));
    assert_int_equal(ask(plan, OPEN, 1, 0), FILTER_ERRNO(1));
    assert_int_equal(ask(plan, OPEN, 2, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, OPEN, 2, 1), FILTER_ERRNO(2));
    assert_int_equal(ask(plan, OPEN, 9, 0), FILTER_ERRNO(2));
    compile_and_verify(plan, &program);

    filter_plan_set(plan, OPEN, FILTER_NOTIFY);
    assert_int_equal(ask(plan, OPEN, 1, 0), FILTER_NOTIFY);
    filter_plan_free(plan);
}

/* ---- Program --------------------------------------------------------------------------------- */

static struct filter_rule random_rule(void)
{
    static const uint32_t values[] = {0, 1, 2, 0x10, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    static const uint32_t masks[] = {0, 0xF, 0x7E020000, 0xFFFFFFF7, 1};
    static const uint32_t actions[] = {FILTER_ALLOW, FILTER_NOTIFY, FILTER_ERRNO(1),
                                       FILTER_ERRNO(95)};
    struct filter_rule rule = {.test_count = (uint8_t)(next_random() % (FILTER_TESTS_MAX + 1)),
                               .action = actions[next_random() % ARRAY_SIZE(actions)]};

    for (size_t t = 0; t < rule.test_count; t++) {
        struct arg_test *test = &rule.tests[t];
        test->arg = (uint8_t)(next_random() % 3);
        test->op = next_random() % (ARG_NOT_NULL + 1);
        test->mask = masks[next_random() % ARRAY_SIZE(masks)];
        test->value = values[next_random() % ARRAY_SIZE(values)];
        test->value_high = values[next_random() % ARRAY_SIZE(values)];
        if (test->op == ARG_SAME_AS)
            test->value = next_random() % 6;
    }
    return rule;
}

static struct filter_plan *random_plan(const struct arch *arch, unsigned changes)
{
    struct filter_plan *plan = filter_plan_new(arch, FILTER_ALLOW);

    assert_non_null(plan);
    for (unsigned i = 0; i < changes; i++) {
        int number = (int)(next_random() % ((unsigned)arch->newest + 1));
        struct filter_rule rule = random_rule();
        if (next_random() % 2 == 0)
            filter_plan_set(plan, number, FILTER_ERRNO(next_random() % 5));
        for (unsigned copies = next_random() % 4; copies > 0; copies--) {
            assert_true(filter_plan_add_rule(plan, number, &rule));
            if (next_random() % 2 == 0)
                rule = random_rule();
        }
    }
    return plan;
}

static void random_plans_compile_to_their_meaning(void **state)
{
    for (unsigned seed = 1; seed <= 60; seed++) {
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
        struct filter_plan *plan;

        random_state = seed * 0x9E3779B97F4A7C15ULL;
        plan = random_plan(arch_all[seed % 3], seed * 3);
        compile_and_verify(plan, &program);
        filter_plan_free(plan);
    }
}

/* Steps of the kernel until the answer. */
static size_t way_length(const struct bpf_program *program, const struct seccomp_data *data)
{
    const uint32_t *words = (const uint32_t *)(const void *)data;
    uint32_t a = 0;

    for (size_t pc = 0, steps = 1;; pc++, steps++) {
        const struct sock_filter *instruction = &program->instructions[pc];
        bool holds = false;
        switch (instruction->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = words[instruction->k / sizeof(words[0])];
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= instruction->k;
            continue;
        case BPF_JMP | BPF_JA:
            pc += instruction->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            holds = a == instruction->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            holds = a >= instruction->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            holds = a > instruction->k;
            break;
        default:
            return steps;
        }
        pc += holds ? instruction->jt : instruction->jf;
    }
}

/* 64 single requests, 8 of them under a condition, then 16 ranges of their low halves. */
static struct filter_plan *plan_of_many_comparisons(int number)
{
    struct filter_plan *plan = new_plan();

    for (uint32_t i = 0; i < 64; i++) {
        struct filter_rule rule = {.test_count = i % 8 == 0 ? 2 : 1,
                                   .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 0x5400 + 3 * i},
                                             {.arg = 2, .op = ARG_NOT_EQUAL, .value = 7}},
                                   .action = FILTER_ERRNO(1 + i % 3)};
        assert_true(filter_plan_add_rule(plan, number, &rule));
    }
    for (uint32_t i = 0; i < 16; i++) {
        struct filter_rule rule = {.test_count = 1,
                                   .tests = {{.arg = 1,
                                              .op = ARG_IN_RANGE,
                                              .mask = 0xFFFF,
                                              .value = 0x9000 + 0x100 * i,
                                              .value_high = 0x9020 + 0x100 * i}},
                                   .action = FILTER_ERRNO(9)};
        assert_true(filter_plan_add_rule(plan, number, &rule));
    }
    return plan;
}

static void many_comparisons_of_one_argument_are_a_short_way(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    int ioctl_number = arch_syscall_number(&arch_x86_64, "ioctl");
    struct filter_plan *plan = plan_of_many_comparisons(ioctl_number);
    struct seccomp_data data = {.nr = ioctl_number, .arch = arch_x86_64.audit_arch};

    compile_and_verify(plan, &program);
    data.args[1] = 0x541B; /* decided by the first run */
    assert_in_range(way_length(&program, &data), 5, 16);
    data.args[1] = 0x80049140; /* by both */
    assert_in_range(way_length(&program, &data), 8, 24);
    filter_plan_free(plan);
}

static void comparisons_of_any_shape_compile_to_their_meaning(void **state)
{
    static const enum arg_operator operators[] = {ARG_EQUAL, ARG_IN_RANGE, ARG_NOT_EQUAL};
    static const uint32_t masks[] = {0, 0, 0xFF, 0xFFFF, 0xF0F0};

    for (unsigned seed = 1; seed <= 300; seed++) {
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
        struct filter_plan *plan = new_plan();
        uint32_t mask = 0;

        random_state = seed * 0x9E3779B97F4A7C15ULL;
        for (unsigned i = 0; i < 1 + seed % 30; i++) {
            struct filter_rule rule = {.test_count = (uint8_t)(1 + next_random() % 8 / 6),
                                       .action = FILTER_ERRNO(next_random() % 5)};
            if (next_random() % 5 == 0)
                mask = masks[next_random() % ARRAY_SIZE(masks)];
            for (unsigned t = 0; t < rule.test_count; t++) {
                struct arg_test *test = &rule.tests[t];
                test->arg = (uint8_t)(t + next_random() % 12 / 11);
                test->op = operators[next_random() % 7 % 3];
                test->mask = mask;
                test->value = next_random() % 48 + (next_random() % 9 == 0 ? 0xFFFFFFC0U : 0);
                test->value_high = test->value + next_random() % 9 - (next_random() % 16 == 0);
            }
            assert_true(filter_plan_add_rule(plan, OPEN, &rule));
        }
        compile_and_verify(plan, &program);
        filter_plan_free(plan);
    }
}

/* 470 numbers with 470 different answers: no two share a leaf, and the program is far longer than a
 * jump. */
static void long_programs_are_correct(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct filter_plan *plan = new_plan();

    for (int number = 0; number <= arch_x86_64.newest; number++) {
        struct filter_rule rule = {.test_count = 1,
                                   .tests = {{.op = ARG_EQUAL, .value = (uint32_t)number}},
                                   .action = FILTER_ERRNO(number % 90)};
        filter_plan_set(plan, number, FILTER_ERRNO(1000 + number));
        if (number % 2 == 0)
            assert_true(filter_plan_add_rule(plan, number, &rule));
    }
    compile_and_verify(plan, &program);
    assert_in_range(program.length, 1000, BPF_PROGRAM_MAX);
    filter_plan_free(plan);
}

static void too_long_programs_are_refused(void **state)
{
    struct bpf_program program = BPF_PROGRAM_INIT;
    struct filter_plan *plan = new_plan();
    struct error err = {0};

    for (uint32_t i = 0; i < 4100; i++) {
        struct filter_rule rule = {.test_count = 1,
                                   .tests = {{.op = ARG_EQUAL, .value = i}},
                                   .action = FILTER_ERRNO(1 + i % 4000)};
        assert_true(filter_plan_add_rule(plan, OPEN, &rule));
    }
    assert_false(filter_compile(plan, &program, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "4096"));
    assert_null(program.instructions);
    filter_plan_free(plan);
}

static size_t length_of(const struct filter_plan *plan)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;

    compile_and_verify(plan, &program);
    return program.length;
}

static void a_number_that_differs_takes_one_instruction(void **state)
{
    struct filter_plan *plan = new_plan();
    size_t before;

    filter_plan_set(plan, 10, FILTER_NOTIFY);
    before = length_of(plan);
    for (int number = 20; number < 60; number += 10)
        filter_plan_set(plan, number, FILTER_NOTIFY);
    assert_int_equal(length_of(plan), before + 4);
    filter_plan_free(plan);
}

static void what_earlier_rules_settle_is_not_tested(void **state)
{
    const struct filter_rule first = {
        .test_count = 1,
        .tests = {{.op = ARG_NOT_EQUAL, .mask = 0xFFFFFFF7, .value = 2}},
        .action = FILTER_ERRNO(EPERM),
    };
    const struct filter_rule never = {
        .test_count = 2,
        .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 5}, {.op = ARG_EQUAL, .value = 16}},
        .action = FILTER_NOTIFY,
    };
    const struct filter_rule always = {
        .test_count = 2,
        .tests = {{.op = ARG_NOT_EQUAL, .value = 16}, {.arg = 1, .op = ARG_EQUAL, .value = 6}},
        .action = FILTER_ERRNO(EPERM),
    };
    const struct filter_rule shorter = {.test_count = 1,
                                        .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 6}},
                                        .action = always.action};
    struct filter_plan *plan = new_plan(), *plain = new_plan();

    assert_true(filter_plan_add_rule(plan, OPEN, &first));
    assert_true(filter_plan_add_rule(plan, OPEN, &never));
    assert_true(filter_plan_add_rule(plan, OPEN, &always));
    assert_true(filter_plan_add_rule(plain, OPEN, &first));
    assert_true(filter_plan_add_rule(plain, OPEN, &shorter));
    assert_int_equal(length_of(plan), length_of(plain));
    filter_plan_free(plan);
    filter_plan_free(plain);
}

/* sendmsg is asked for near the root; its neighbour must not be taken for another number. */
static void a_frequent_number_may_answer_as_the_next(void **state)
{
    const struct filter_rule rule = {.test_count = 1,
                                     .tests = {{.arg = 2, .op = ARG_ANY_BIT, .mask = 0x20000000}},
                                     .action = FILTER_ERRNO(EOPNOTSUPP)};

    for (size_t i = 0; i < 3; i++) {
        struct filter_plan *plan = filter_plan_new(arch_all[i], FILTER_ALLOW);
        int sendmsg_number = arch_syscall_number(arch_all[i], "sendmsg");

        for (int number = sendmsg_number; number <= sendmsg_number + 1; number++)
            assert_true(filter_plan_add_rule(plan, number, &rule));
        length_of(plan);
        assert_true(filter_plan_add_rule(plan, sendmsg_number - 1, &rule));
        length_of(plan);
        filter_plan_free(plan);
    }
}

/* seccomp_is_const_allow(): the kernel's way of finding numbers that need no filter run. */
static bool kernel_sees_constant_allow(const struct bpf_program *program, const struct arch *arch,
                                       uint32_t number)
{
    uint32_t a = 0;

    for (size_t pc = 0; pc < program->length; pc++) {
        const struct sock_filter *instruction = &program->instructions[pc];
        bool jump = false;
        switch (instruction->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (instruction->k == offsetof(struct seccomp_data, nr))
                a = number;
            else if (instruction->k == offsetof(struct seccomp_data, arch))
                a = arch->audit_arch;
            else
                return false;
            continue;
        case BPF_RET | BPF_K:
            return instruction->k == SECCOMP_RET_ALLOW;
        case BPF_JMP | BPF_JA:
            pc += instruction->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = a == instruction->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jump = a >= instruction->k;
            break;
        default:
            return false;
        }
        pc += jump ? instruction->jt : instruction->jf;
    }
    return false;
}

static void numbers_without_rules_stay_in_the_kernels_bitmap(void **state)
{
    random_state = 4711;
    for (unsigned round = 0; round < 20; round++) {
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
        struct filter_plan *plan = random_plan(&arch_x86_64, 100);

        compile_and_verify(plan, &program);
        for (int number = 0; number <= arch_x86_64.newest; number++) {
            const struct filter_entry *entry = &plan->entries[number];
            if (entry->rule_count == 0)
                assert_int_equal(kernel_sees_constant_allow(&program, plan->arch, (uint32_t)number),
                                 entry->otherwise == FILTER_ALLOW);
        }
        filter_plan_free(plan);
    }
}

/* ---- The verifier itself --------------------------------------------------------------------- */

/* Every jump and return of a program matters, so a program in which one is wrong must be found. */
static void a_wrong_program_is_found(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct filter_plan *plan = new_plan();
    struct filter_rule rules[] = {
        {.test_count = 1, .tests = {{.op = ARG_EQUAL, .value = 5}}, .action = FILTER_ERRNO(1)},
        {.test_count = 2,
         .tests = {{.arg = 1, .op = ARG_ANY_BIT, .mask = 0x7E020000},
                   {.arg = 2, .op = ARG_IS_NULL}},
         .action = FILTER_ERRNO(2)},
        {.test_count = 1,
         .tests = {{.arg = 3, .op = ARG_IN_RANGE, .value = 10, .value_high = 20}},
         .action = FILTER_NOTIFY},
        {.test_count = 1,
         .tests = {{.arg = 4, .op = ARG_EQUAL, .mask = 0xF, .value = 3}},
         .action = FILTER_ERRNO(3)},
        {.test_count = 1, .tests = {{.arg = 5, .op = ARG_SAME_AS}}, .action = FILTER_ERRNO(4)},
    };
    struct error err = {0};

    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        assert_true(filter_plan_add_rule(plan, OPEN, &rules[i]));
    filter_plan_set(plan, 100, FILTER_NOTIFY);
    compile_and_verify(plan, &program);
    for (size_t i = 0; i < program.length; i++) {
        struct sock_filter *instruction = &program.instructions[i];
        struct sock_filter saved = *instruction;

        bool uses_constant =
            BPF_CLASS(saved.code) != BPF_MISC && saved.code != (BPF_JMP | BPF_JEQ | BPF_X);

        if (uses_constant) {
            instruction->k ^= BPF_CLASS(instruction->code) == BPF_LD ? 4 : 1;
            if (filter_verify(plan, &program, &err))
                fail_msg("changed constant of instruction %zu not found", i);
            *instruction = saved;
        }
        if (BPF_CLASS(instruction->code) == BPF_JMP && BPF_OP(instruction->code) != BPF_JA) {
            instruction->jt = saved.jf;
            instruction->jf = saved.jt;
            if (filter_verify(plan, &program, &err))
                fail_msg("swapped jump of instruction %zu not found", i);
            *instruction = saved;
        }
    }
    assert_true(filter_verify(plan, &program, &err));
    program.length--;
    assert_false(filter_verify(plan, &program, &err));
    assert_non_null(strstr(err.text, "refuse"));
    filter_plan_free(plan);
}

static void the_difference_is_named(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct filter_plan *plan = new_plan();
    struct error err = {0};

    assert_true(filter_compile(plan, &program, &err));
    filter_plan_set(plan, OPEN, FILTER_ERRNO(EPERM));
    assert_false(filter_verify(plan, &program, &err));
    assert_non_null(strstr(err.text, "number 2 (open)"));
    filter_plan_free(plan);
}

static void a_program_can_be_read(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct filter_plan *plan = new_plan();
    struct filter_rule rule = {
        .test_count = 1, .tests = {{.op = ARG_IS_NULL}}, .action = FILTER_ERRNO(EPERM)};
    size_t lines = 0;

    assert_true(filter_plan_add_rule(plan, OPEN, &rule));
    filter_plan_set(plan, OPEN + 10, FILTER_NOTIFY);
    compile_and_verify(plan, &program);
    filter_print(&program, &text);
    for (const char *c = buffer_text(&text); *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(lines, program.length);
    assert_non_null(strstr(buffer_text(&text), "0000  load arch\n"));
    assert_non_null(strstr(buffer_text(&text), "load arg0 high\n"));
    assert_non_null(strstr(buffer_text(&text), "return errno 1\n"));
    assert_non_null(strstr(buffer_text(&text), "return notify\n"));
    filter_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_plan_answers_one_thing),
        cmocka_unit_test(holes_and_bad_numbers_cannot_be_set),
        cmocka_unit_test(rules_about_arguments_that_do_not_exist_are_refused),
        cmocka_unit_test(every_operator_does_what_it_says),
        cmocka_unit_test(the_first_rule_that_holds_decides),
        cmocka_unit_test(random_plans_compile_to_their_meaning),
        cmocka_unit_test(many_comparisons_of_one_argument_are_a_short_way),
        cmocka_unit_test(comparisons_of_any_shape_compile_to_their_meaning),
        cmocka_unit_test(long_programs_are_correct),
        cmocka_unit_test(too_long_programs_are_refused),
        cmocka_unit_test(a_number_that_differs_takes_one_instruction),
        cmocka_unit_test(what_earlier_rules_settle_is_not_tested),
        cmocka_unit_test(a_frequent_number_may_answer_as_the_next),
        cmocka_unit_test(numbers_without_rules_stay_in_the_kernels_bitmap),
        cmocka_unit_test(a_wrong_program_is_found),
        cmocka_unit_test(the_difference_is_named),
        cmocka_unit_test(a_program_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
