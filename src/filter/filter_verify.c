/*
 * Proof that a program says what its plan says, by running both over every number and every case of
 * every argument that a rule looks at; and the listing of a program for people.
 *
 * A test on an argument can only change its answer at a few values: those named by the test, their
 * neighbours, and the same with other bits of the masked-out part or the high half. The cases of an
 * entry are these values for each argument, alone and in pairs, around every point where one of its
 * rules holds.
 */
#include "filter/filter.h"

#include <string.h>

#define ARGS 6

/* Interesting values of one argument. An entry with more has the rest left out here; random values
 * still reach them. */
#define VALUES_MAX 512

/* Numbers without rules must not look at arguments at all, so a few cases show it. */
#define RANDOM_CASES 64
#define RANDOM_CASES_WITHOUT_RULES 4

/* Above this many values two arguments are not combined in full. */
#define PAIR_VALUES_MAX 48

struct values {
    uint64_t items[VALUES_MAX];
    size_t count;
};

struct proof {
    const struct filter_plan *plan;
    const struct bpf_program *program;
    struct seccomp_data data;
    uint64_t random;
    struct error *err;
};

static bool check(struct proof *proof)
{
    uint32_t want = filter_plan_evaluate(proof->plan, &proof->data);
    uint32_t got = bpf_run_valid(proof->program, &proof->data);
    const struct seccomp_data *data = &proof->data;
    const char *name;

    if (want == got)
        return true;
    name = arch_syscall_name(proof->plan->arch, data->nr);
    return error_runtime(
        proof->err, 0,
        "filter for %s: number %d (%s), arch %#x, arguments %#llx %#llx %#llx %#llx %#llx %#llx: "
        "the program answers %#x, the plan %#x",
        proof->plan->arch->name, data->nr, name == NULL ? "no name" : name, data->arch,
        (unsigned long long)data->args[0], (unsigned long long)data->args[1],
        (unsigned long long)data->args[2], (unsigned long long)data->args[3],
        (unsigned long long)data->args[4], (unsigned long long)data->args[5], got, want);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void add_one(struct values *values, uint64_t value)
{
    for (size_t i = 0; i < values->count; i++) {
        if (values->items[i] == value)
            return;
    }
    if (values->count < VALUES_MAX)
        values->items[values->count++] = value;
}

/* A value of the low word, with a clean and with a dirty high half. */
static void add_value(struct values *values, uint32_t value)
{
    add_one(values, value);
    add_one(values, 0xA5A5A5A500000000ULL | value);
}

static void add_around(struct values *values, uint32_t value, uint32_t mask)
{
    add_value(values, value);
    add_value(values, value - 1);
    add_value(values, value + 1);
    add_value(values, value | ~mask);
    add_value(values, value ^ (mask & -mask)); /* the lowest bit that counts */
    add_value(values, value ^ 0x80000000U);
}

static void add_test_values(struct values values[ARGS], const struct arg_test *test)
{
    struct values *mine = &values[test->arg];
    uint32_t mask = test->mask == 0 ? UINT32_MAX : test->mask;

    switch (test->op) {
    case ARG_EQUAL:
    case ARG_NOT_EQUAL:
        add_around(mine, test->value, mask);
        break;
    case ARG_IN_RANGE:
        add_around(mine, test->value, mask);
        add_around(mine, test->value_high, mask);
        break;
    case ARG_ANY_BIT:
    case ARG_NO_BIT:
        for (unsigned bit = 0; bit < 32; bit++) {
            if ((mask & (1U << bit)) != 0 || bit == 31)
                add_one(mine, 1U << bit);
        }
        add_value(mine, mask);
        add_value(mine, ~mask);
        break;
    case ARG_IS_NULL:
    case ARG_NOT_NULL:
        add_value(mine, 1);
        add_one(mine, 1ULL << 32);
        add_one(mine, 1ULL << 63);
        break;
    case ARG_SAME_AS:
        add_value(mine, 1000);
        add_value(mine, 1001);
        add_value(&values[test->value], 1000);
        add_value(&values[test->value], 0);
        break;
    }
}

/* The smallest change to the arguments that makes a test hold. */
static void make_hold(const struct arg_test *test, uint64_t args[ARGS])
{
    uint32_t mask = test->mask == 0 ? UINT32_MAX : test->mask;
    uint64_t *arg = &args[test->arg];

    switch (test->op) {
    case ARG_EQUAL:
    case ARG_IN_RANGE:
        *arg = (*arg & ~(uint64_t)mask) | test->value;
        break;
    case ARG_NOT_EQUAL:
        if (((uint32_t)*arg & mask) == test->value)
            *arg ^= mask & -mask;
        break;
    case ARG_ANY_BIT:
        *arg |= mask & -mask;
        break;
    case ARG_NO_BIT:
        *arg &= ~(uint64_t)mask;
        break;
    case ARG_IS_NULL:
        *arg = 0;
        break;
    case ARG_NOT_NULL:
        *arg |= 1ULL << 32;
        break;
    case ARG_SAME_AS:
        *arg = args[test->value];
        break;
    }
}

/* ---- Cases ----------------------------------------------------------------------------------- */

/* Every argument over all its values, and two of them together, the others as they are. */
static bool check_around(struct proof *proof, const struct values values[ARGS])
{
    struct seccomp_data base = proof->data;

    if (!check(proof))
        return false;
    for (size_t a = 0; a < ARGS; a++) {
        for (size_t i = 0; i < values[a].count; i++) {
            proof->data = base;
            proof->data.args[a] = values[a].items[i];
            if (!check(proof))
                return false;
            for (size_t b = a + 1; b < ARGS && values[a].count <= PAIR_VALUES_MAX; b++) {
                for (size_t j = 0; j < values[b].count && j < PAIR_VALUES_MAX; j++) {
                    proof->data.args[b] = values[b].items[j];
                    if (!check(proof))
                        return false;
                }
                proof->data.args[b] = base.args[b];
            }
        }
    }
    proof->data = base;
    return true;
}

static uint64_t next_random(struct proof *proof)
{
    proof->random ^= proof->random << 13;
    proof->random ^= proof->random >> 7;
    proof->random ^= proof->random << 17;
    return proof->random;
}

/* Values of all arguments mixed, and some that nobody named. `values` may be NULL. */
static bool check_random(struct proof *proof, const struct values *values, size_t rounds)
{
    for (size_t round = 0; round < rounds; round++) {
        for (size_t a = 0; a < ARGS; a++) {
            uint64_t random = next_random(proof);
            bool named = values != NULL && values[a].count > 0 && random % 8 != 0;
            proof->data.args[a] =
                named ? values[a].items[random / 8 % values[a].count] : next_random(proof);
        }
        if (!check(proof))
            return false;
    }
    return true;
}

static void set_args(struct proof *proof, const uint64_t args[ARGS])
{
    for (size_t i = 0; i < ARGS; i++)
        proof->data.args[i] = args[i];
}

static const uint64_t zeros[ARGS];
static const uint64_t ones[ARGS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                    UINT64_MAX, UINT64_MAX, UINT64_MAX};

static bool check_entry(struct proof *proof, const struct filter_entry *entry)
{
    struct values values[ARGS];

    memset(values, 0, sizeof(values));
    for (size_t r = 0; r < entry->rule_count; r++) {
        for (size_t t = 0; t < entry->rules[r].test_count; t++)
            add_test_values(values, &entry->rules[r].tests[t]);
    }
    for (size_t a = 0; a < ARGS; a++) {
        if (values[a].count > 0)
            add_value(&values[a], 0);
    }
    set_args(proof, zeros);
    if (!check_around(proof, values))
        return false;
    set_args(proof, ones);
    if (!check_around(proof, values))
        return false;
    for (size_t r = 0; r < entry->rule_count; r++) {
        uint64_t args[ARGS] = {0};
        for (size_t t = 0; t < entry->rules[r].test_count; t++)
            make_hold(&entry->rules[r].tests[t], args);
        set_args(proof, args);
        if (!check_around(proof, values))
            return false;
    }
    return check_random(proof, values, RANDOM_CASES);
}

static bool check_number(struct proof *proof, uint32_t number)
{
    proof->data.nr = (int)number;
    if (number <= (uint32_t)proof->plan->arch->newest &&
        proof->plan->entries[number].rule_count > 0)
        return check_entry(proof, &proof->plan->entries[number]);
    set_args(proof, zeros);
    if (!check(proof))
        return false;
    set_args(proof, ones);
    return check(proof) && check_random(proof, NULL, RANDOM_CASES_WITHOUT_RULES);
}

bool filter_verify(const struct filter_plan *plan, const struct bpf_program *program,
                   struct error *err)
{
    static const uint32_t x32 = 0x40000000U;
    static const uint32_t strange[] = {0x3FFFFFFFU, 0x7FFFFFFFU, 0x80000000U, UINT32_MAX - 1,
                                       UINT32_MAX};
    struct proof proof = {
        .plan = plan, .program = program, .random = 88172645463325252ULL, .err = err};
    uint32_t foreign[] = {0,
                          0x40000003U /* i386 */,
                          0x40000028U /* arm */,
                          ~plan->arch->audit_arch,
                          plan->arch->audit_arch ^ 0x80000000U,
                          plan->arch->audit_arch ^ 0x40000000U,
                          plan->arch->audit_arch ^ 1U};

    if (!bpf_program_is_valid(program))
        return error_runtime(err, 0, "filter for %s: the kernel would refuse the program",
                             plan->arch->name);
    proof.data.arch = plan->arch->audit_arch;
    for (uint32_t number = 0; number <= (uint32_t)plan->arch->newest + 64; number++) {
        if (!check_number(&proof, number) || !check_number(&proof, x32 | number))
            return false;
    }
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        if (!check_number(&proof, strange[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        proof.data.arch = foreign[i];
        for (int number = 0; number <= plan->arch->newest + 1; number++) {
            proof.data.nr = number;
            if (!check(&proof))
                return false;
        }
    }
    return true;
}

/* ---- Listing --------------------------------------------------------------------------------- */

static void print_return(uint32_t value, struct buffer *out)
{
    switch (value & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        buffer_append_text(out, "return allow\n");
        break;
    case SECCOMP_RET_USER_NOTIF:
        buffer_append_text(out, "return notify\n");
        break;
    case SECCOMP_RET_ERRNO:
        buffer_printf(out, "return errno %u\n", value & SECCOMP_RET_DATA);
        break;
    case SECCOMP_RET_KILL_PROCESS:
        buffer_append_text(out, "return kill process\n");
        break;
    case SECCOMP_RET_TRAP:
        buffer_append_text(out, "return trap\n");
        break;
    default:
        buffer_printf(out, "return %#x\n", value);
    }
}

static void print_load(uint32_t offset, struct buffer *out)
{
    uint32_t args = (uint32_t)offsetof(struct seccomp_data, args);

    if (offset == offsetof(struct seccomp_data, nr))
        buffer_append_text(out, "load number\n");
    else if (offset == offsetof(struct seccomp_data, arch))
        buffer_append_text(out, "load arch\n");
    else if (offset >= args)
        buffer_printf(out, "load arg%u %s\n", (offset - args) / 8,
                      (offset - args) % 8 == 0 ? "low" : "high");
    else
        buffer_printf(out, "load %#x\n", offset);
}

static void print_jump(const struct sock_filter *instruction, size_t position, struct buffer *out)
{
    static const char *const operators[] = {"", "==", ">", ">=", "&"}; /* by BPF_OP >> 4 */
    unsigned op = BPF_OP(instruction->code) >> 4;

    if (BPF_OP(instruction->code) == BPF_JA) {
        buffer_printf(out, "goto %04zu\n", position + 1 + instruction->k);
        return;
    }
    if (BPF_SRC(instruction->code) == BPF_X)
        buffer_printf(out, "if %s x", operators[op < 5 ? op : 0]);
    else
        buffer_printf(out, "if %s %#x", operators[op < 5 ? op : 0], instruction->k);
    buffer_printf(out, " goto %04zu else %04zu\n", position + 1 + instruction->jt,
                  position + 1 + instruction->jf);
}

void filter_print(const struct bpf_program *program, struct buffer *out)
{
    for (size_t i = 0; i < program->length; i++) {
        const struct sock_filter *instruction = &program->instructions[i];
        buffer_printf(out, "%04zu  ", i);
        if (instruction->code == (BPF_LD | BPF_W | BPF_ABS))
            print_load(instruction->k, out);
        else if (instruction->code == (BPF_RET | BPF_K))
            print_return(instruction->k, out);
        else if (BPF_CLASS(instruction->code) == BPF_JMP)
            print_jump(instruction, i, out);
        else if (instruction->code == (BPF_ALU | BPF_AND | BPF_K))
            buffer_printf(out, "and %#x\n", instruction->k);
        else if (instruction->code == (BPF_MISC | BPF_TAX))
            buffer_append_text(out, "x = loaded\n");
        else
            buffer_printf(out, "code %#x k %#x jt %u jf %u\n", instruction->code, instruction->k,
                          instruction->jt, instruction->jf);
    }
}
