/*
 * Forks that were allowed and of which it is not known yet what became of them.
 *
 * Between the permission and the moment the child appears in /proc a process exists for the limit
 * but not for a count. A reservation stands for it until there is evidence that the call is over:
 * the thread makes another call, ends, sleeps, or has clearly run in user mode since. Time alone is
 * no evidence: a thread that is starved of the processor can fork much later. A new child is evidence
 * only if the process had neither other threads nor any child, not even a dead one: then it has no
 * descendant whose orphans it could take over, or who could make a child for it (CLONE_PARENT), before its
 * own fork is over. With others the child may be an orphan, or a sibling thread's.
 */
#ifndef SANDLOCK_LIMITS_FORK_LEDGER_H
#define SANDLOCK_LIMITS_FORK_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fork_reservation {
    pid_t tid, tgid;
    uint64_t start_time; /* of the thread, so that a number used again is noticed */
    uint64_t user_ticks; /* its time in user mode when it was allowed to fork */
    bool alone;          /* then its process had one thread and no child */
};

struct fork_ledger {
    struct fork_reservation *items; /* owned */
    size_t count, capacity;
};

#define FORK_LEDGER_INIT ((struct fork_ledger){0})

void fork_ledger_free(struct fork_ledger *ledger);

/* Before the permission is given. 0 or -errno (-ENOMEM, -ESRCH: the thread is gone). */
int fork_ledger_reserve(struct fork_ledger *ledger, int proc_fd, pid_t tid, pid_t tgid);

/* The thread makes another call, so an earlier one is over. */
void fork_ledger_settle_thread(struct fork_ledger *ledger, pid_t tid);

/* Drops what is settled by evidence; to be called before a count, so that the child of a dropped
 * reservation is in the count. Returns how many are left. */
size_t fork_ledger_settle(struct fork_ledger *ledger, int proc_fd);

#endif
