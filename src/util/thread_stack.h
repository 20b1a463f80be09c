/*
 * How large a thread's stack is made. C libraries put the thread-local variables of the program and its
 * libraries into the same block, and a host may have more of them than we have stack.
 */
#ifndef SANDLOCK_UTIL_THREAD_STACK_H
#define SANDLOCK_UTIL_THREAD_STACK_H

#include <stddef.h>

/* Size for pthread_attr_setstacksize() that leaves `bytes` for the thread itself. Any thread. */
size_t thread_stack_size(size_t bytes);

#endif
