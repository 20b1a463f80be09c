/*
 * Blocking calls of members that wait: connect and send that the kernel did not finish at once. One
 * thread polls them all, so two hundred blocked calls hold no thread each and never touch the loop. A
 * signal for the member ends or restarts its call as natively; a member that is gone frees it.
 *
 * Each call costs the host's process descriptors, so a sandbox may have only so many under way.
 */
#ifndef SANDLOCK_NET_HELD_H
#define SANDLOCK_NET_HELD_H

#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

/* The kernel's ERESTARTSYS: the handler runs and the call returns EINTR or is restarted. */
#define HELD_RESTART 512

/* A socket's time limit is the member's to choose; a year is as good as longer. */
#define HELD_LONGEST_S (365LL * 24 * 3600)

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

    bool progressed; /* set by step() when it moved on and is to be asked again at once */
    bool backs_off;  /* the descriptor says little: asked more and more seldom without progress */

    /* Not NULL: closes what may take long to close. A thread of its own does it, before the answer, so
     * step() does not answer but leaves what the call returns in `result`. */
    void (*close)(struct held *held);
    int64_t result;
    bool has_result;

    struct held *next;         /* the holder's, like the next */
    int64_t muted_until, mute; /* set to 0 by the caller */
};

struct holder;

struct holder *holder_new(void);         /* NULL with errno: out of memory or descriptors */
void holder_free(struct holder *holder); /* releases what is still held; NULL is accepted */

/* On the receiving thread, before an operation that may be held is handed to a worker or held: sees
 * to it that the polling thread runs (a worker of its own until holder_stop()). Cheap when it does. False:
 * no thread; the call must be refused. */
bool holder_start(struct holder *holder, const struct request *request);

/* Likewise the thread that closes, for operations with `close`. Without it the polling thread closes. */
bool holder_start_closing(struct holder *holder, const struct request *request);

/* Counts a call that goes to a worker or to the holder, until holder_leave(). False: there are too many,
 * the call is refused with EAGAIN. Any thread. */
bool holder_admit(struct holder *holder);
void holder_leave(struct holder *holder);

/* Whether any call is counted now. On the receiving thread, which hands the calls out, false stays true
 * until it hands one out itself. Any thread. */
bool holder_is_busy(struct holder *holder);

/* How many may be under way: a share of the soft limit of open files. */
unsigned holder_limit(const struct holder *holder);

/* Ends the polling thread; held_submit() is refused from now on. For leave_loop hooks; may be called
 * several times. */
void holder_stop(struct holder *holder);

/* Takes the operation over (request detached by the caller), after a successful holder_start(). Any
 * thread of the supervisor. False: not taken, the caller answers and frees. */
bool held_submit(struct holder *holder, struct held *held);

/* ---- For tests ---------------------------------------------------------------------------------- */

/* Pure: from /proc/<tid>/status. True if a signal is pending that ends a wait of this thread: one of
 * its own, or one of its process where no other thread would take it first. */
bool held_signal_waits(const char *status, pid_t tid);

#endif
