/*
 * The guardian's half of a fetch (kernel/fetch.h): as an ancestor of all members it may trace them, and
 * being single-threaded and nobody's libc, nobody takes its stops away. Nothing here waits
 * long for a member; whatever is not as expected ends in a refusal.
 */
#ifndef SANDLOCK_BARE_TRACER_H
#define SANDLOCK_BARE_TRACER_H

#include "kernel/fetch.h"

#include <stdbool.h>
#include <stdint.h>

/* Threads that can be held at one time. */
#define TRACEES_MAX 512

struct tracee {
    int tid, tgid;
    bool stopped;    /* in a ptrace stop; otherwise its next step out of the kernel is one */
    uint8_t deliver; /* the signal that it was stopped for and still has to get */
};

struct tracer {
    /* The plan's part. */
    struct fetch_mailbox *box;
    const _Atomic uint32_t *commands; /* a kill in there ends every wait */
    uint32_t kill;                    /* its bit */
    int report_fd;                    /* eventfd of the supervisor */

    long child; /* the first member: its zombie is never reaped here */

    /* Between fetches: threads that were inside a system call when they had to be let go. Each is
     * detached as soon as it stops. */
    struct tracee tracees[TRACEES_MAX];
    int count;
};

/* NULL is accepted by all three: nothing is traced.
 *
 * Serves a command in the mailbox, if there is one. SIGCHLD must be blocked. */
void tracer_serve(struct tracer *tracer);

/* Lets late threads go; to be called after every SIGCHLD. */
void tracer_release(struct tracer *tracer);

/* `tid` was seen in a stop by a wait for something else: lets it go. */
void tracer_release_one(struct tracer *tracer, long tid);

#endif
