/*
 * System call tables of the supported architectures. The arrays are generated at build time
 * (tools/gen_arch_tables.c); names are looked up by bisection, because a launch does so for every
 * trap of every feature.
 */
#include "kernel/arch.h"

#include "kernel/arch_ids.h"

#include <linux/audit.h>
#include <linux/elf-em.h>
#include <stdlib.h>
#include <string.h>

#ifndef EM_RISCV
#define EM_RISCV 243
#endif
#ifndef AUDIT_ARCH_RISCV64
#define AUDIT_ARCH_RISCV64 (EM_RISCV | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#endif

#define SYSCALL_NAME_SIZE 28 /* the generator checks it */

struct name_row {
    char name[SYSCALL_NAME_SIZE]; /* in the row, so that a position-independent program has nothing
                                    to relocate at its start */
    int16_t numbers[3];           /* by struct arch's index; -1: the architecture lacks it */
};

#include "kernel/arch_tables.h"

const struct arch arch_x86_64 = {
    .name = "x86_64",
    .audit_arch = AUDIT_ARCH_X86_64,
    .has_x32 = true,
    .newest = ARCH_NEWEST,
    .ids = ids_x86_64,
    .index = 0,
};

const struct arch arch_aarch64 = {
    .name = "aarch64",
    .audit_arch = AUDIT_ARCH_AARCH64,
    .newest = ARCH_NEWEST,
    .ids = ids_aarch64,
    .index = 1,
};

const struct arch arch_riscv64 = {
    .name = "riscv64",
    .audit_arch = AUDIT_ARCH_RISCV64,
    .newest = ARCH_NEWEST,
    .ids = ids_riscv64,
    .index = 2,
};

const struct arch *const arch_all[] = {&arch_x86_64, &arch_aarch64, &arch_riscv64, NULL};

#if defined(__x86_64__) && !defined(__ILP32__)
const struct arch *const arch_native = &arch_x86_64;
#elif defined(__aarch64__) && !defined(__ILP32__)
const struct arch *const arch_native = &arch_aarch64;
#elif defined(__riscv) && __riscv_xlen == 64
const struct arch *const arch_native = &arch_riscv64;
#else
#error "sandlock supports x86_64, aarch64 and riscv64"
#endif

static int compare_name(const void *key, const void *row)
{
    return strcmp(key, ((const struct name_row *)row)->name);
}

static const struct name_row *find_row(const char *name)
{
    /* libc calls it fstatat on every architecture; the kernel's 64-bit tables say newfstatat. */
    if (strcmp(name, "fstatat") == 0)
        name = "newfstatat";
    return bsearch(name, name_rows, SYSCALL_ID_COUNT, sizeof(name_rows[0]), compare_name);
}

int arch_syscall_number(const struct arch *arch, const char *name)
{
    const struct name_row *row = find_row(name);

    return row == NULL ? -1 : row->numbers[arch->index];
}

const char *arch_syscall_name(const struct arch *arch, int number)
{
    if (number < 0 || number > arch->newest)
        return NULL;
    uint16_t id = arch->ids[number];

    return id == SYSCALL_ID_COUNT ? NULL : name_rows[id].name;
}

bool arch_name_known_anywhere(const char *name)
{
    return find_row(name) != NULL;
}
