/*
 * The process index: one record per process (thread group) of the sandbox that made a trapped call,
 * found by any of its thread ids. The pidfd is the identity; numbers are never trusted alone. Only
 * the receiving thread touches the index; workers get what they need in their request.
 */
#ifndef SANDLOCK_SUPERVISOR_TASK_H
#define SANDLOCK_SUPERVISOR_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;

struct task {
    pid_t tgid;
    int pidfd;                  /* owned */
    uint64_t id;                /* unique per record, never reused */
    struct task *next;          /* hash chain */
    struct task *older, *newer; /* by when it was looked for last */
};

struct task_index;

/* `proc_fd` is borrowed (-1: "/proc" by name). Of more than `most` processes the one that was looked for longest ago
 * is forgotten, without `gone`, and recorded anew when it calls again: each costs a descriptor, of which the host's
 * other threads need some, too. So it is where all indexes of this program have more than `most_of_all`; each keeps
 * one record then. NULL with errno: out of memory or descriptors. */
struct task_index *task_index_new(int proc_fd, size_t most, size_t most_of_all);
void task_index_free(struct task_index *index); /* NULL is accepted; does not call `gone` */

/* Instead, where the descriptors are lost: their numbers are no longer the index's. NULL is accepted. */
void task_index_leave(struct task_index *index);

/* Readable while an exit waits to be drained; borrowed, for the loop. */
int task_index_fd(const struct task_index *index);

size_t task_index_count(const struct task_index *index);

/* The id of the newest record: one with a larger id has been made since. */
uint64_t task_index_last_id(const struct task_index *index);

/* The record of the process that thread `tid` belongs to, created if new: resolve the thread group,
 * open the pidfd, then validate `notification_id` on `listener`, so that a recycled number is never
 * recorded. NULL and *error set: ESRCH (the caller is gone), EAGAIN (no descriptor or memory left: the
 * call must be refused), ENOTRECOVERABLE (the supervisor's own filter refused a call). */
struct task *task_index_find(struct task_index *index, pid_t tid, int listener,
                             uint64_t notification_id, int *error);

/* Drops the records of processes that have exited, calling `gone` for each. Called before state
 * keyed by a process is used, since a number can be reused only after its exit became visible. 0, or -errno
 * if exits cannot be seen any more. */
int task_index_drain(struct task_index *index, void (*gone)(void *data, struct task *task),
                     void *data);

#endif
