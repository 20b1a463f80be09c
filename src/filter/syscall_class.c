/*
 * The class table. The compiler proves that it is complete: an unknown name in the list is not an
 * identifier, a name given twice is two enumerators of one name, and the count is compared with the
 * number of names.
 */
#include "filter/syscall_class.h"

#include "kernel/arch_ids.h"

enum {
#define SYSCALL(name, class) ROW_OF_##name,
#define SYSCALL_RULES(name, set) ROW_OF_##name,
#include "filter/syscall_class.def"
#undef SYSCALL
#undef SYSCALL_RULES
    ROW_COUNT
};

_Static_assert((int)ROW_COUNT == (int)SYSCALL_ID_COUNT,
               "syscall_class.def lacks a system call that some architecture has");

static const struct syscall_class_row rows[SYSCALL_ID_COUNT] = {
#define SYSCALL(name, class) [SYSCALL_ID_##name] = {CLASS_##class, RULES_none},
#define SYSCALL_RULES(name, set) [SYSCALL_ID_##name] = {CLASS_ARGUMENTS, RULES_##set},
#include "filter/syscall_class.def"
#undef SYSCALL
#undef SYSCALL_RULES
};

struct syscall_class_row syscall_class_of(unsigned id)
{
    return id < SYSCALL_ID_COUNT ? rows[id] : (struct syscall_class_row){CLASS_MISSING, RULES_none};
}
