/*
 * The supported architectures and their system call tables. Names are the kernel's; the tables are
 * generated at build time from libseccomp's data and `syscalls_new.def`, so no list is kept by
 * hand.
 */
#ifndef SANDLOCK_KERNEL_ARCH_H
#define SANDLOCK_KERNEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arch {
    const char *name;    /* "x86_64", "aarch64", "riscv64" */
    uint32_t audit_arch; /* AUDIT_ARCH_* */
    bool has_x32;        /* numbers >= 0x40000000 are the x32 spelling of the same calls */
    int newest;          /* highest number this build knows */
    const uint16_t *ids; /* by number: enum syscall_id (generated kernel/arch_ids.h), the key of
                            tables over all names; SYSCALL_ID_COUNT for holes */
    unsigned index;      /* position in arch_all */
};

extern const struct arch arch_x86_64;
extern const struct arch arch_aarch64;
extern const struct arch arch_riscv64;
extern const struct arch *const arch_all[]; /* NULL-terminated */

/* The architecture this code runs on. */
extern const struct arch *const arch_native;

/* The number of a call, -1 if the architecture lacks it. The kernel's spelling, plus libc's where
 * they differ (newfstatat and fstatat, on every architecture). */
int arch_syscall_number(const struct arch *arch, const char *name);

/* The kernel's name, NULL for holes and unknown numbers. */
const char *arch_syscall_name(const struct arch *arch, int number);

/* True if any supported architecture has a call of this name. */
bool arch_name_known_anywhere(const char *name);

#endif
