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

/* The same without an exit signal and without the signal handlers of the caller, which the child has
 * not: CLONE_CLEAR_SIGHAND, Linux 5.5. Handled signals are at their default there, ignored ones stay
 * ignored. -ENOSYS or -EPERM: no clone3 (containers refuse it); use bare_clone(). */
long bare_clone_without_handlers(unsigned long flags, void *stack_top, int *pidfd,
                                 int (*function)(void *), void *argument);

#endif
