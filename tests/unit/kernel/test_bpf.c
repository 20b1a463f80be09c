/* The BPF interpreter agrees with the kernel; the assembler never truncates a jump. */
#include "kernel/bpf.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define ARG_LOW(n) ((uint32_t)(offsetof(struct seccomp_data, args) + (n)*8))

/* ---- Against the kernel ---------------------------------------------------------------------- */

static const struct {
    const char *what;
    bool valid;
    struct sock_filter code[6];
    size_t length;
} programs[] = {
    {"one return", true, {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}, 1},
    {"return of the accumulator", true, {BPF_STMT(BPF_RET | BPF_A, 0)}, 1},
    {"no return", false, {BPF_STMT(BPF_LD | BPF_IMM, 0)}, 1},
    {"return of X", false, {BPF_STMT(BPF_RET | BPF_X, 0)}, 1},
    {"last aligned load",
     true,
     {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"load behind the data",
     false,
     {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"unaligned load",
     false,
     {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"half-word load",
     false,
     {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"indirect load",
     false,
     {BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"length loads",
     true,
     {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
      BPF_STMT(BPF_RET | BPF_K, 0)},
     3},
    {"jump to the last instruction",
     true,
     {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 0)},
     3},
    {"jump behind the end",
     false,
     {BPF_STMT(BPF_JMP | BPF_JA, 2), BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 0)},
     3},
    {"huge jump", false, {BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX), BPF_STMT(BPF_RET | BPF_K, 0)}, 2},
    {"true branch behind the end",
     false,
     {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"false branch behind the end",
     false,
     {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"division by zero",
     false,
     {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"division by X",
     true,
     {BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"modulo", false, {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), BPF_STMT(BPF_RET | BPF_K, 0)}, 2},
    {"shift by 31",
     true,
     {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 31), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"shift by 32",
     false,
     {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"memory read after write",
     true,
     {BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LDX | BPF_MEM, 15), BPF_STMT(BPF_RET | BPF_K, 0)},
     3},
    {"memory read before write",
     false,
     {BPF_STMT(BPF_LD | BPF_MEM, 0), BPF_STMT(BPF_RET | BPF_K, 0)},
     2},
    {"memory written on one of two ways",
     false,
     {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_ST, 3),
      BPF_STMT(BPF_LD | BPF_MEM, 3), BPF_STMT(BPF_RET | BPF_K, 0)},
     4},
    {"memory word 16", false, {BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET | BPF_K, 0)}, 2},
    {"unknown code", false, {BPF_STMT(0xFF, 0), BPF_STMT(BPF_RET | BPF_K, 0)}, 2},
};

/* True if seccomp(2) takes the program. The child dies in some way if it does. */
static bool kernel_accepts(const struct sock_filter *code, size_t length)
{
    struct sock_fprog fprog = {(unsigned short)length, (struct sock_filter *)code};
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGILL, SIG_DFL); /* cmocka catches it */
        signal(SIGSEGV, SIG_DFL);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            _exit(99);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) != 0)
            _exit(errno == EINVAL ? 22 : 98);
        __builtin_trap();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 22);
    return !WIFEXITED(status);
}

static void validity_is_the_kernels(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        struct bpf_program program = {(struct sock_filter *)programs[i].code, programs[i].length};
        struct seccomp_data data = {0};
        bool invalid = false;

        if (bpf_program_is_valid(&program) != programs[i].valid ||
            kernel_accepts(programs[i].code, programs[i].length) != programs[i].valid)
            fail_msg("%s", programs[i].what);
        if (programs[i].valid)
            continue;
        assert_int_equal(bpf_run(&program, &data, &invalid), SECCOMP_RET_KILL_PROCESS);
        assert_true(invalid);
    }
}

static void an_empty_program_is_invalid(void **state)
{
    struct bpf_program program = BPF_PROGRAM_INIT;
    struct seccomp_data data = {0};
    bool invalid = false;

    assert_int_equal(bpf_run(&program, &data, &invalid), SECCOMP_RET_KILL_PROCESS);
    assert_true(invalid);
    assert_int_equal(bpf_run(&program, &data, NULL), SECCOMP_RET_KILL_PROCESS);
}

static uint64_t random_state = 0x9E3779B97F4A7C15ULL;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

#define RANDOM_STEPS 24
#define PROLOGUE 3
#define EPILOGUE 3
#define PROBED_CALL SYS_getppid

static struct sock_filter random_step(size_t left)
{
    static const uint16_t alu[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND,
                                   BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH};
    static const uint16_t tests[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
    uint16_t source = next_random() % 2 == 0 ? BPF_K : BPF_X;
    uint32_t k = next_random() % 3 == 0 ? next_random() : next_random() % 40;
    uint16_t op;

    switch (next_random() % 8) {
    case 0:
        return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(next_random() % 6));
    case 1:
        return (struct sock_filter)BPF_STMT(BPF_MISC | (k % 2 == 0 ? BPF_TAX : BPF_TXA), 0);
    case 2:
        return (struct sock_filter)BPF_STMT(k % 2 == 0 ? BPF_LDX | BPF_IMM : BPF_LD | BPF_IMM, k);
    case 3:
        return (struct sock_filter)BPF_JUMP(
            (uint16_t)(BPF_JMP | tests[next_random() % ARRAY_SIZE(tests)] | source), k,
            (uint8_t)(next_random() % left), (uint8_t)(next_random() % left));
    case 4:
        return (struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, 0);
    default:
        op = alu[next_random() % ARRAY_SIZE(alu)];
        if (op == BPF_LSH || op == BPF_RSH)
            k %= 32;
        if (op == BPF_DIV)
            k |= 1;
        return (struct sock_filter)BPF_STMT((uint16_t)(BPF_ALU | op | source), k);
    }
}

/* "If this is the probed call, compute something from its arguments and make 12 bits of it the
 * errno; else allow." */
static void random_program(struct sock_filter *code)
{
    size_t length = PROLOGUE;

    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    code[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBED_CALL, 1, 0);
    code[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < RANDOM_STEPS; i++)
        code[length++] = random_step(RANDOM_STEPS - i);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x7FF);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
}

#define CASES 8

/* What the probed call returns under the filter for each set of arguments. */
static void run_in_kernel(const struct sock_filter *code, size_t length, uint64_t args[CASES][6],
                          long *results)
{
    struct sock_fprog fprog = {(unsigned short)length, (struct sock_filter *)code};
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) != 0)
            _exit(1);
        for (size_t i = 0; i < CASES; i++) {
            results[i] =
                sys_call6(PROBED_CALL, (long)args[i][0], (long)args[i][1], (long)args[i][2],
                          (long)args[i][3], (long)args[i][4], (long)args[i][5]);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* A program that divides by zero answers 0, which kills the thread. */
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGSYS);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void execution_is_the_kernels(void **state)
{
    long *results = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(results, MAP_FAILED);
    for (size_t round = 0; round < 150; round++) {
        struct sock_filter code[PROLOGUE + RANDOM_STEPS + EPILOGUE];
        struct bpf_program program = {code, ARRAY_SIZE(code)};
        uint64_t args[CASES][6];

        random_program(code);
        for (size_t i = 0; i < CASES; i++) {
            results[i] = 1;
            for (size_t a = 0; a < 6; a++)
                args[i][a] = ((uint64_t)next_random() << 32) | (next_random() % (i + 2));
        }
        run_in_kernel(code, ARRAY_SIZE(code), args, results);
        for (size_t i = 0; i < CASES; i++) {
            struct seccomp_data data = {.nr = PROBED_CALL};
            bool invalid = true;
            uint32_t answer;

            memcpy(data.args, args[i], sizeof(data.args));
            answer = bpf_run(&program, &data, &invalid);
            assert_false(invalid);
            if (answer == 0) {
                assert_int_equal(results[i], 1); /* killed there */
                break;
            }
            assert_int_equal(answer & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ERRNO);
            assert_int_equal(results[i], -(long)(answer & SECCOMP_RET_DATA));
        }
    }
    munmap(results, 4096);
}

/* ---- Assembler ------------------------------------------------------------------------------- */

static uint32_t run_with_number(const struct bpf_program *program, int number)
{
    struct seccomp_data data = {.nr = number};
    bool invalid = true;
    uint32_t answer = bpf_run(program, &data, &invalid);

    assert_false(invalid);
    return answer;
}

/* A chain of tests: number i answers i. As many returns as numbers, so jumps must cross the program
 * in copies. */
static bool build_chain(uint32_t count, struct bpf_program *program, struct error *err)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    bpf_label *returns = calloc(count, sizeof(*returns));
    bpf_label label = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);
    bool built;

    for (uint32_t i = 0; i < count; i++)
        returns[i] = bpf_emit_return(&assembler, SECCOMP_RET_ERRNO | i);
    for (uint32_t i = count; i-- > 0;)
        label = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, i, returns[i], label);
    label = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, 0, label);
    free(returns);
    built = bpf_assembler_finish(&assembler, label, program, err);
    return built;
}

static void far_returns_are_reached(void **state)
{
    static const uint32_t counts[] = {1, 100, 127, 128, 129, 200, 254, 255, 256, 300, 600, 1300};

    for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
        struct error err = {0};

        if (!build_chain(counts[c], &program, &err))
            fail_msg("%s", err.text);
        for (uint32_t i = 0; i < counts[c]; i++)
            assert_int_equal(run_with_number(&program, (int)i), SECCOMP_RET_ERRNO | i);
        assert_int_equal(run_with_number(&program, (int)counts[c]), SECCOMP_RET_ALLOW);
    }
}

/* A block that is more than a return needs a trampoline, which many jumps share. */
static void far_blocks_are_reached_by_shared_trampolines(void **state)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    bpf_label block = bpf_emit_return(&assembler, SECCOMP_RET_ERRNO | 1);
    bpf_label label = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);
    struct error err = {0};
    size_t trampolines = 0;

    block = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, 7, label, block);
    block = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, ARG_LOW(0), block);
    for (uint32_t i = 1000; i-- > 0;)
        label = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, i, block, label);
    label = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, 0, label);
    assert_true(bpf_assembler_finish(&assembler, label, &program, &err));
    for (size_t i = 0; i < program.length; i++)
        trampolines += program.instructions[i].code == (BPF_JMP | BPF_JA);
    assert_in_range(trampolines, 3, 4);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(run_with_number(&program, i), SECCOMP_RET_ERRNO | 1);
    assert_int_equal(run_with_number(&program, 1000), SECCOMP_RET_ALLOW);
}

static void equal_returns_are_one(void **state)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    bpf_label first = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);
    bpf_label other = bpf_emit_return(&assembler, SECCOMP_RET_ERRNO);

    assert_int_equal(bpf_emit_return(&assembler, SECCOMP_RET_ALLOW), first);
    assert_int_not_equal(other, first);
    assert_int_equal(assembler.length, 2);
}

/* Two numbers with the same two tests on arguments. */
static void equal_instructions_are_one(void **state)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    bpf_label allow = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);
    bpf_label refuse = bpf_emit_return(&assembler, SECCOMP_RET_ERRNO | 1);
    bpf_label blocks[3];

    for (uint32_t i = 0; i < 3; i++) {
        blocks[i] = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, i < 2 ? 7 : 8, allow, refuse);
        blocks[i] = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, ARG_LOW(0), blocks[i]);
    }
    assert_int_equal(blocks[0], blocks[1]);
    assert_int_not_equal(blocks[0], blocks[2]);
    bpf_label start = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, 20, blocks[2], blocks[0]);
    start = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, 0, start);
    assert_true(bpf_assembler_finish(&assembler, start, &program, NULL));
    for (uint32_t value = 6; value < 10; value++) {
        struct seccomp_data data = {.nr = 20, .args = {value}};
        assert_int_equal(bpf_run(&program, &data, NULL),
                         value == 8 ? SECCOMP_RET_ALLOW : (SECCOMP_RET_ERRNO | 1));
        data.nr = 21;
        assert_int_equal(bpf_run(&program, &data, NULL),
                         value == 7 ? SECCOMP_RET_ALLOW : (SECCOMP_RET_ERRNO | 1));
    }
}

static void a_start_that_is_not_the_front_is_jumped_to(void **state)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    bpf_label start = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);
    struct error err = {0};

    bpf_emit_return(&assembler, SECCOMP_RET_ERRNO);
    assert_true(bpf_assembler_finish(&assembler, start, &program, &err));
    assert_int_equal(program.length, 3);
    assert_int_equal(run_with_number(&program, 0), SECCOMP_RET_ALLOW);
}

static bool build_of_length(size_t length, struct bpf_program *program, struct error *err)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    bpf_label label = bpf_emit_return(&assembler, SECCOMP_RET_ALLOW);

    while (assembler.length < length && !assembler.failed)
        label = bpf_emit(&assembler, BPF_LD | BPF_IMM, 0, label);
    return bpf_assembler_finish(&assembler, label, program, err);
}

static void the_kernels_limit_is_kept(void **state)
{
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct bpf_program none = BPF_PROGRAM_INIT;
    struct error err = {0};

    assert_true(build_of_length(BPF_PROGRAM_MAX, &program, &err));
    assert_int_equal(program.length, BPF_PROGRAM_MAX);
    assert_int_equal(run_with_number(&program, 0), SECCOMP_RET_ALLOW);
    assert_true(kernel_accepts(program.instructions, program.length));

    assert_false(build_of_length(BPF_PROGRAM_MAX + 1, &none, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "4097"));
    assert_null(none.instructions);
    assert_false(build_of_length(2000000, &none, &err));
    assert_null(none.instructions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity_is_the_kernels),
        cmocka_unit_test(an_empty_program_is_invalid),
        cmocka_unit_test(execution_is_the_kernels),
        cmocka_unit_test(far_returns_are_reached),
        cmocka_unit_test(far_blocks_are_reached_by_shared_trampolines),
        cmocka_unit_test(equal_returns_are_one),
        cmocka_unit_test(equal_instructions_are_one),
        cmocka_unit_test(a_start_that_is_not_the_front_is_jumped_to),
        cmocka_unit_test(the_kernels_limit_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
