/* The class of every system call name; see syscall_class.def. */
#ifndef SANDLOCK_FILTER_SYSCALL_CLASS_H
#define SANDLOCK_FILTER_SYSCALL_CLASS_H

#include "filter/argument_rules.h"

#include <stdint.h>

enum syscall_class {
    CLASS_MISSING, /* no row: never in a build that passed */
    CLASS_ALLOW,
    CLASS_DENY,
    CLASS_DENY_SUPERVISED,
    CLASS_DENY_PRIVILEGED,
    CLASS_ENOSYS,
    CLASS_ENOSYS_SUPERVISED,
    CLASS_SYSV,
    CLASS_ARGUMENTS,
};

struct syscall_class_row {
    uint8_t class; /* enum syscall_class */
    uint8_t rules; /* enum rule_set of CLASS_ARGUMENTS */
};

/* The row of an identifier of kernel/arch_ids.h. */
struct syscall_class_row syscall_class_of(unsigned id);

#endif
