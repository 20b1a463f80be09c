/*
 * Classic BPF: assembler and interpreter. The interpreter checks and runs a program the way
 * kernel/seccomp.c and net/core/filter.c do (Linux 6.18), so that a filter can be proven against
 * its meaning in a unit test, without installing it.
 */
#include "kernel/bpf.h"

#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define JUMP_REACH 255 /* jt and jf are bytes */
#define JUMP_PROBES 16 /* places in which a jump may be remembered */

/* No plan comes near it; a bound on memory while a program that is too long is being written. */
#define ASSEMBLER_MAX (1U << 20)

void bpf_program_free(struct bpf_program *program)
{
    free(program->instructions);
    *program = BPF_PROGRAM_INIT;
}

/* ---- Validity -------------------------------------------------------------------------------- */

/* seccomp_check_filter() and bpf_check_classic(): what does not depend on other instructions. */
static bool instruction_is_valid(const struct sock_filter *instruction)
{
    switch (instruction->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return instruction->k < sizeof(struct seccomp_data) && (instruction->k & 3) == 0;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_ALU | BPF_ADD | BPF_K: /* NOLINT(misc-redundant-expression): both are 0 */
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_JMP | BPF_JA:
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
        return true;
    case BPF_ALU | BPF_DIV | BPF_K:
        return instruction->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
        return instruction->k < 32;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return instruction->k < BPF_MEMWORDS;
    default:
        return false;
    }
}

static bool jump_is_valid(const struct bpf_program *program, size_t position)
{
    const struct sock_filter *instruction = &program->instructions[position];
    size_t left = program->length - position - 1; /* instructions behind this one */

    if (BPF_CLASS(instruction->code) != BPF_JMP)
        return true;
    if (BPF_OP(instruction->code) == BPF_JA)
        return instruction->k < left;
    return instruction->jt < left && instruction->jf < left;
}

/* check_load_and_stores(): no path may read a scratch word that it has not written. Jumps only go
 * forward, so one pass suffices; written[i] holds the words written on every path to i. */
static bool memory_is_valid(const struct bpf_program *program)
{
    CLEANUP_FREE uint16_t *written = malloc(program->length * sizeof(*written));
    uint16_t now = 0;

    if (written == NULL)
        return false;
    memset(written, 0xFF, program->length * sizeof(*written));
    for (size_t i = 0; i < program->length; i++) {
        const struct sock_filter *instruction = &program->instructions[i];
        now &= written[i];
        switch (instruction->code) {
        case BPF_ST:
        case BPF_STX:
            now |= (uint16_t)(1U << instruction->k);
            break;
        case BPF_LD | BPF_MEM:
        case BPF_LDX | BPF_MEM:
            if ((now & (1U << instruction->k)) == 0)
                return false;
            break;
        case BPF_JMP | BPF_JA:
            written[i + 1 + instruction->k] &= now;
            now = 0xFFFF;
            break;
        default:
            if (BPF_CLASS(instruction->code) == BPF_JMP) {
                written[i + 1 + instruction->jt] &= now;
                written[i + 1 + instruction->jf] &= now;
                now = 0xFFFF;
            }
        }
    }
    return true;
}

bool bpf_program_is_valid(const struct bpf_program *program)
{
    if (program->length == 0 || program->length > BPF_PROGRAM_MAX)
        return false;
    for (size_t i = 0; i < program->length; i++) {
        if (!instruction_is_valid(&program->instructions[i]) || !jump_is_valid(program, i))
            return false;
    }
    if (BPF_CLASS(program->instructions[program->length - 1].code) != BPF_RET)
        return false;
    return memory_is_valid(program);
}

/* ---- Execution ------------------------------------------------------------------------------- */

struct machine {
    uint32_t a, x;
    uint32_t memory[BPF_MEMWORDS];
};

/* False: division by zero, which ends the program with the value 0. */
static bool run_alu(struct machine *machine, const struct sock_filter *instruction)
{
    uint32_t operand = BPF_SRC(instruction->code) == BPF_X ? machine->x : instruction->k;

    switch (BPF_OP(instruction->code)) {
    case BPF_ADD:
        machine->a += operand;
        break;
    case BPF_SUB:
        machine->a -= operand;
        break;
    case BPF_MUL:
        machine->a *= operand;
        break;
    case BPF_DIV:
        if (operand == 0)
            return false;
        machine->a /= operand;
        break;
    case BPF_AND:
        machine->a &= operand;
        break;
    case BPF_OR:
        machine->a |= operand;
        break;
    case BPF_XOR:
        machine->a ^= operand;
        break;
    case BPF_LSH:
        machine->a <<= operand & 31;
        break;
    case BPF_RSH:
        machine->a >>= operand & 31;
        break;
    default: /* BPF_NEG */
        machine->a = 0U - machine->a;
    }
    return true;
}

static size_t jump_distance(const struct machine *machine, const struct sock_filter *instruction)
{
    uint32_t operand = BPF_SRC(instruction->code) == BPF_X ? machine->x : instruction->k;
    bool holds;

    switch (BPF_OP(instruction->code)) {
    case BPF_JA:
        return instruction->k;
    case BPF_JEQ:
        holds = machine->a == operand;
        break;
    case BPF_JGT:
        holds = machine->a > operand;
        break;
    case BPF_JGE:
        holds = machine->a >= operand;
        break;
    default: /* BPF_JSET */
        holds = (machine->a & operand) != 0;
    }
    return holds ? instruction->jt : instruction->jf;
}

static void run_load(struct machine *machine, const struct sock_filter *instruction,
                     const struct seccomp_data *data)
{
    uint32_t value = instruction->k; /* BPF_IMM */

    switch (BPF_MODE(instruction->code)) {
    case BPF_ABS:
        memcpy(&value, (const char *)data + instruction->k, sizeof(value));
        break;
    case BPF_LEN:
        value = sizeof(struct seccomp_data);
        break;
    case BPF_MEM:
        value = machine->memory[instruction->k];
        break;
    default:
        break;
    }
    if (BPF_CLASS(instruction->code) == BPF_LD)
        machine->a = value;
    else
        machine->x = value;
}

uint32_t bpf_run_valid(const struct bpf_program *program, const struct seccomp_data *data)
{
    struct machine machine = {0};

    for (size_t pc = 0;; pc++) {
        const struct sock_filter *instruction = &program->instructions[pc];
        switch (BPF_CLASS(instruction->code)) {
        case BPF_LD:
        case BPF_LDX:
            run_load(&machine, instruction, data);
            break;
        case BPF_ST:
            machine.memory[instruction->k] = machine.a;
            break;
        case BPF_STX:
            machine.memory[instruction->k] = machine.x;
            break;
        case BPF_ALU:
            if (!run_alu(&machine, instruction))
                return 0;
            break;
        case BPF_JMP:
            pc += jump_distance(&machine, instruction);
            break;
        case BPF_RET:
            return BPF_RVAL(instruction->code) == BPF_A ? machine.a : instruction->k;
        default: /* BPF_MISC */
            if (BPF_MISCOP(instruction->code) == BPF_TAX)
                machine.x = machine.a;
            else
                machine.a = machine.x;
        }
    }
}

uint32_t bpf_run(const struct bpf_program *program, const struct seccomp_data *data, bool *invalid)
{
    bool valid = bpf_program_is_valid(program);

    if (invalid != NULL)
        *invalid = !valid;
    return valid ? bpf_run_valid(program, data) : SECCOMP_RET_KILL_PROCESS;
}

/* ---- Assembler ------------------------------------------------------------------------------- */

void bpf_assembler_free(struct bpf_assembler *assembler)
{
    free(assembler->reversed);
    *assembler = BPF_ASSEMBLER_INIT;
}

static bpf_label append(struct bpf_assembler *assembler, struct sock_filter instruction)
{
    if (assembler->length == assembler->capacity && !assembler->failed) {
        size_t capacity = assembler->capacity == 0 ? 256 : assembler->capacity * 2;
        struct sock_filter *grown =
            capacity > ASSEMBLER_MAX
                ? NULL
                : realloc(assembler->reversed, capacity * sizeof(*assembler->reversed));
        if (grown == NULL) {
            assembler->failed = true;
        } else {
            assembler->reversed = grown;
            assembler->capacity = capacity;
        }
    }
    if (assembler->failed)
        return assembler->length;
    assembler->reversed[assembler->length++] = instruction;
    return assembler->length;
}

/* How many instructions the next one has to skip to reach a label. */
static size_t distance(const struct bpf_assembler *assembler, bpf_label label)
{
    return assembler->length - label;
}

static bool is_return_of(const struct sock_filter *instruction, uint32_t value)
{
    return instruction->code == (BPF_RET | BPF_K) && instruction->k == value;
}

static bool is_same(const struct sock_filter *left, const struct sock_filter *right)
{
    return left->code == right->code && left->k == right->k && left->jt == right->jt &&
           left->jf == right->jf;
}

/* The label of an instruction among the newest `window` that does what jumping to `label` does; 0
 * if there is none. */
static bpf_label find_bridge(const struct bpf_assembler *assembler, bpf_label label, size_t window)
{
    const struct sock_filter *target = &assembler->reversed[label - 1];

    for (size_t back = 0; back < window && back < assembler->length; back++) {
        size_t index = assembler->length - 1 - back;
        const struct sock_filter *candidate = &assembler->reversed[index];
        if (target->code == (BPF_RET | BPF_K) && is_return_of(candidate, target->k))
            return index + 1;
        if (candidate->code == (BPF_JMP | BPF_JA) && index - candidate->k == label)
            return index + 1;
    }
    return 0;
}

/* A label that is reached from an instruction written `slack` instructions from now. A copy of a
 * return costs as much as a trampoline and shortens the way. */
static bpf_label bring_near(struct bpf_assembler *assembler, bpf_label label, size_t slack)
{
    bpf_label bridge;

    if (assembler->failed || distance(assembler, label) + slack <= JUMP_REACH)
        return label;
    bridge = find_bridge(assembler, label, JUMP_REACH - slack);
    if (bridge != 0)
        return bridge;
    if (assembler->reversed[label - 1].code == (BPF_RET | BPF_K))
        return append(assembler, assembler->reversed[label - 1]);
    return append(assembler, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
                                                          (uint32_t)distance(assembler, label)));
}

bpf_label bpf_emit_return(struct bpf_assembler *assembler, uint32_t value)
{
    bpf_label label;

    for (size_t i = 0; i < assembler->return_count; i++) {
        if (assembler->reversed[assembler->returns[i] - 1].k == value)
            return assembler->returns[i];
    }
    for (label = assembler->length; label > 0; label--) {
        if (is_return_of(&assembler->reversed[label - 1], value))
            break;
    }
    if (label == 0)
        label = append(assembler, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value));
    if (assembler->return_count < BPF_RETURNS_KEPT && !assembler->failed)
        assembler->returns[assembler->return_count++] = label;
    return label;
}

bpf_label bpf_emit(struct bpf_assembler *assembler, uint16_t code, uint32_t k, bpf_label next)
{
    const struct sock_filter instruction = BPF_STMT(code, k);

    if (next < assembler->length && is_same(&assembler->reversed[next], &instruction))
        return next + 1; /* it stands before `next` already */
    if (next != assembler->length)
        append(assembler,
               (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)distance(assembler, next)));
    return append(assembler, instruction);
}

/* A copy or trampoline of the same target does not count: then there are two. */
static bool leads_to(const struct bpf_assembler *assembler, bpf_label jump, uint16_t code,
                     uint32_t k, bpf_label if_true, bpf_label if_false)
{
    const struct sock_filter *one = &assembler->reversed[jump - 1];

    return one->code == code && one->k == k && jump - 1 - one->jt == if_true &&
           jump - 1 - one->jf == if_false;
}

/* Where such a jump is remembered, or may be: then in place of another only if all places near are taken. */
static uint16_t *remembered_jump(struct bpf_assembler *assembler, uint16_t code, uint32_t k,
                                 bpf_label if_true, bpf_label if_false)
{
    uint32_t hash = (k ^ code) * 0x9E3779B1U;

    hash = (hash ^ (uint32_t)if_true) * 0x85EBCA6BU;
    hash = (hash ^ (uint32_t)if_false) * 0xC2B2AE35U;
    for (uint32_t probe = 0; probe < JUMP_PROBES; probe++) {
        uint16_t *kept = &assembler->jumps[((hash >> 16) + probe) % BPF_JUMPS_KEPT];
        if (*kept == 0 || leads_to(assembler, *kept, code, k, if_true, if_false))
            return kept;
    }
    return &assembler->jumps[(hash >> 16) % BPF_JUMPS_KEPT];
}

bpf_label bpf_emit_jump(struct bpf_assembler *assembler, uint16_t test, uint32_t k,
                        bpf_label if_true, bpf_label if_false)
{
    uint16_t code = BPF_JMP | test;
    uint16_t *kept = remembered_jump(assembler, code, k, if_true, if_false);

    if (*kept != 0 && !assembler->failed && leads_to(assembler, *kept, code, k, if_true, if_false))
        return *kept;
    /* Bringing the second target near may put one instruction between the first and the jump. */
    bpf_label near_true = bring_near(assembler, if_true, 1);
    bpf_label near_false = bring_near(assembler, if_false, 0);
    bpf_label label = append(
        assembler, (struct sock_filter)BPF_JUMP(code, k, (uint8_t)distance(assembler, near_true),
                                                (uint8_t)distance(assembler, near_false)));
    if (label <= UINT16_MAX && !assembler->failed)
        *kept = (uint16_t)label;
    return label;
}

bool bpf_assembler_finish(struct bpf_assembler *assembler, bpf_label start,
                          struct bpf_program *program, struct error *err)
{
    if (!assembler->failed && start != assembler->length)
        append(assembler, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
                                                       (uint32_t)distance(assembler, start)));
    if (assembler->length > BPF_PROGRAM_MAX)
        return error_config(err,
                            "the system call filter needs %zu instructions, the kernel takes %d",
                            assembler->length, BPF_PROGRAM_MAX);
    if (assembler->failed)
        return error_runtime(err, ENOMEM, "system call filter");
    for (size_t i = 0, j = assembler->length; i + 1 < j; i++) {
        struct sock_filter other = assembler->reversed[--j];
        assembler->reversed[j] = assembler->reversed[i];
        assembler->reversed[i] = other;
    }
    *program = (struct bpf_program){assembler->reversed, assembler->length};
    *assembler = BPF_ASSEMBLER_INIT;
    return true;
}
