/* Which process this is, also among copies of it that have its number, in another pid namespace. */
#ifndef SANDLOCK_UTIL_PROCESS_H
#define SANDLOCK_UTIL_PROCESS_H

#include <stdint.h>

/* The same number for all threads of a process, and another one than any that it was forked from ever got. Always 0
 * where the kernel has no memory that a fork loses (before Linux 4.14). */
uint64_t process_generation(void);

#endif
