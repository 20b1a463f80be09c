/*
 * clone(2) that starts a function on a stack of its own, without libc: no fork handlers, no TLS
 * set-up, no errno. The child shares whatever `flags` say; the function's return value becomes its
 * exit status.
 */
#ifndef SANDLOCK_BARE_CLONE_H
#define SANDLOCK_BARE_CLONE_H

/* Returns the new process's id or -errno. `stack_top` must be 16-byte aligned. `parent_tid` receives
 * the pidfd when CLONE_PIDFD is set. */
long bare_clone(unsigned long flags, void *stack_top, int *parent_tid, int *child_tid,
                int (*function)(void *), void *argument);

#endif
