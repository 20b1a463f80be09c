/* System call tables: names and numbers of every supported architecture. */
#include "kernel/arch.h"

#include "kernel/arch_ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

static const struct {
    const char *name;
    int x86_64, aarch64, riscv64;
} known[] = {
    {"read", 0, 63, 63},
    {"open", 2, -1, -1},
    {"openat", 257, 56, 56},
    {"newfstatat", 262, 79, 79},
    {"execve", 59, 221, 221},
    {"clone", 56, 220, 220},
    {"renameat", 264, 38, -1},
    {"riscv_hwprobe", -1, -1, 258},
    {"riscv_flush_icache", -1, -1, 259},
    {"uretprobe", 335, -1, -1},
    {"clone3", 435, 435, 435},
    {"memfd_secret", 447, 447, 447},
    {"cachestat", 451, 451, 451},
    {"mseal", 462, 462, 462},
    {"removexattrat", 466, 466, 466},
    {"file_setattr", 469, 469, 469},
};

static void names_have_the_kernels_numbers(void **state)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_int_equal(arch_syscall_number(&arch_x86_64, known[i].name), known[i].x86_64);
        assert_int_equal(arch_syscall_number(&arch_aarch64, known[i].name), known[i].aarch64);
        assert_int_equal(arch_syscall_number(&arch_riscv64, known[i].name), known[i].riscv64);
        assert_true(arch_name_known_anywhere(known[i].name));
    }
}

static void native_numbers_are_those_of_the_headers(void **state)
{
    assert_int_equal(arch_syscall_number(arch_native, "write"), SYS_write);
    assert_int_equal(arch_syscall_number(arch_native, "exit_group"), SYS_exit_group);
    assert_int_equal(arch_syscall_number(arch_native, "prlimit64"), SYS_prlimit64);
    assert_int_equal(arch_syscall_number(arch_native, "setns"), SYS_setns);
    assert_int_equal(arch_syscall_number(arch_native, "socketpair"), SYS_socketpair);
}

static void every_number_leads_back_to_itself(void **state)
{
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        const struct arch *arch = arch_all[a];
        bool used[SYSCALL_ID_COUNT] = {false};
        int count = 0;

        assert_int_equal(arch->index, a);
        assert_int_equal(arch->newest, 469);
        assert_non_null(arch_syscall_name(arch, arch->newest));
        for (int number = 0; number <= arch->newest; number++) {
            const char *name = arch_syscall_name(arch, number);
            if (name == NULL) {
                assert_int_equal(arch->ids[number], SYSCALL_ID_COUNT);
                continue;
            }
            count++;
            assert_int_equal(arch_syscall_number(arch, name), number);
            assert_in_range(arch->ids[number], 0, SYSCALL_ID_COUNT - 1);
            assert_false(used[arch->ids[number]]);
            used[arch->ids[number]] = true;
        }
        assert_in_range(count, 300, 400);
    }
}

/* From the first unified number on there is no hole, on any architecture. */
static void new_calls_are_complete(void **state)
{
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (int number = 424; number <= arch_all[a]->newest; number++) {
            assert_non_null(arch_syscall_name(arch_all[a], number));
            assert_string_equal(arch_syscall_name(arch_all[a], number),
                                arch_syscall_name(&arch_x86_64, number));
        }
    }
}

static void fstatat_is_newfstatat(void **state)
{
    for (size_t a = 0; arch_all[a] != NULL; a++)
        assert_int_equal(arch_syscall_number(arch_all[a], "fstatat"),
                         arch_syscall_number(arch_all[a], "newfstatat"));
    assert_true(arch_name_known_anywhere("fstatat"));
}

static void unknown_names_and_numbers_are_unknown(void **state)
{
    assert_int_equal(arch_syscall_number(arch_native, "no_such_call"), -1);
    assert_int_equal(arch_syscall_number(arch_native, ""), -1);
    assert_int_equal(arch_syscall_number(arch_native, "READ"), -1);
    assert_false(arch_name_known_anywhere("socketcall")); /* 32-bit only */
    assert_null(arch_syscall_name(&arch_x86_64, -1));
    assert_null(arch_syscall_name(&arch_x86_64, 470));
    assert_null(arch_syscall_name(&arch_x86_64, 400));
    assert_null(arch_syscall_name(&arch_x86_64, 0x40000000));
}

static void audit_values_are_the_kernels(void **state)
{
    assert_int_equal(arch_x86_64.audit_arch, 0xC000003E);
    assert_int_equal(arch_aarch64.audit_arch, 0xC00000B7);
    assert_int_equal(arch_riscv64.audit_arch, 0xC00000F3);
    assert_true(arch_x86_64.has_x32);
    assert_false(arch_aarch64.has_x32);
    assert_false(arch_riscv64.has_x32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_the_kernels_numbers),
        cmocka_unit_test(native_numbers_are_those_of_the_headers),
        cmocka_unit_test(every_number_leads_back_to_itself),
        cmocka_unit_test(new_calls_are_complete),
        cmocka_unit_test(fstatat_is_newfstatat),
        cmocka_unit_test(unknown_names_and_numbers_are_unknown),
        cmocka_unit_test(audit_values_are_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
