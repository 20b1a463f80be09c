/*
 * The supervisor's side of seccomp user notification (seccomp_unotify(2)): receive, answer, inject
 * a descriptor. Every function returns 0 or -errno unless it says otherwise, and touches nothing
 * but the listener.
 *
 * An answer that fails with -ENOENT is not an error of ours: the task died, or a signal interrupted
 * the call and it will be raised again under a new id. Whoever has effects outside (a reservation,
 * an open file) undoes them then.
 */
#ifndef SANDLOCK_KERNEL_NOTIFY_H
#define SANDLOCK_KERNEL_NOTIFY_H

#include "kernel/sys.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h> /* what the SECCOMP_IOCTL_* macros are made of */

/* Compares the kernel's structure sizes with the buffers used here. -ENOTSUP: the kernel's are
 * larger than anything foreseen (then no listener may be used); other -errno: no seccomp. */
int notify_check_sizes(void);

/* Takes one notification. Blocks if none is queued, O_NONBLOCK or not: poll first.
 * 1: *notification is filled; its `pid` is a thread id, 0 if not visible in our pid namespace.
 * 0: nothing received (EINTR, or ENOENT because the task died while queued); the listener is fine.
 * -errno: the listener is not usable any more. */
int notify_receive(int listener, struct seccomp_notif *notification);

/* The kernel executes the call as it stands, re-reading all memory it points to. */
int notify_continue(int listener, uint64_t id);

/* The call fails with `error` (a positive errno, 1..4095; anything else is answered as EIO). */
int notify_error(int listener, uint64_t id, int error);

/* The call returns `value`. Negative values between -4095 and -1 would be errors and are refused
 * with -EINVAL. */
int notify_value(int listener, uint64_t id, int64_t value);

/* 0: the notification is still pending, so what was read from the task's memory or /proc before
 * this call really was the task's. -ENOENT: it is not. */
int notify_check_id(int listener, uint64_t id);

/* Puts a duplicate of `fd` into the task's table and answers the call with its number, atomically
 * (Linux 5.14). Returns that number or -errno; after a failure such as -EMFILE the notification is
 * still pending. An O_PATH descriptor fails with -EBADF. */
int notify_answer_fd(int listener, uint64_t id, int fd, bool close_on_exec);

/* The same into the number `at`, which is replaced as by dup3(): -EBADF where the task's limit of open
 * files does not allow the number. */
int notify_answer_fd_at(int listener, uint64_t id, int fd, int at, bool close_on_exec);

/* The same without answering. `at` < 0 takes the lowest free number, otherwise the number is
 * replaced as by dup3(). Returns the number or -errno. */
int notify_add_fd(int listener, uint64_t id, int fd, int at, bool close_on_exec);

/* Asks the kernel to switch straight between the task and the supervisor on the same CPU
 * (Linux 6.6). A refusal costs speed only; ignore it. */
int notify_set_sync_wake_up(int listener);

#endif
