/*
 * Blocking calls of members that wait: connect and send that the kernel did not finish at once. One
 * thread polls them all, so two hundred blocked calls hold no thread each and never touch the loop. A
 * signal for the member ends or restarts its call as natively; a member that is gone frees it.
 */
#ifndef SANDLOCK_NET_HELD_H
#define SANDLOCK_NET_HELD_H

#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

/* The kernel's ERESTARTSYS: the handler runs and the call returns EINTR or is restarted. */
#define HELD_RESTART 512

struct held {
    struct request *request; /* detached; owned by the holder after held_submit() */
    int fd;                  /* polled; -1: only the timers count. Owned by the operation */
    short events;
    int64_t deadline; /* CLOCK_MONOTONIC nanoseconds; 0: none (SO_SNDTIMEO of the member) */
    int64_t
        retry; /* call step() at this time even without an event; 0: never. step() may move it */

    /* Goes on with the operation, without waiting. True: it has answered the request. `expired`: the
     * deadline passed, it must answer now. */
    bool (*step)(struct held *held, bool expired);

    /* A signal of the member waits: what the call returns now: the bytes already sent, or
     * -HELD_RESTART. Only asked where the kernel would handle it (spec 30 §3.7.6). */
    int64_t (*interrupted)(struct held *held);

    /* Frees the operation (`held` itself is embedded in it), after the answer or when the member is
     * gone. */
    void (*release)(struct held *held);

    struct held *next; /* the holder's */
};

struct holder;

struct holder *holder_new(void);         /* NULL when out of memory or descriptors */
void holder_free(struct holder *holder); /* releases what is still held; NULL is accepted */

/* Takes the operation over (request detached by the caller). Any thread of the supervisor; the polling
 * thread is a worker that is started when needed (`starter`: a request of the receiving thread to
 * submit it with, or NULL if it runs already). False: not taken, the caller answers and frees. */
bool held_submit(struct holder *holder, struct held *held);

#endif
