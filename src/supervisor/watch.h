/*
 * Watches the threads that no member may make wait: the receiving thread, which serves all members, the
 * time limit and the signals, and the thread of the held calls. A member's memory can be a file of a
 * server that never answers, and a socket can be changed in the moment of a call; when such a call does
 * not come back, nobody would see a time limit or a request to stop; and when each of many comes back late,
 * others that call wait for all of them. A thread of its own then ends the run. One that only gets no
 * processor is not stuck: its time counts while it sleeps or runs. Internal to the supervisor: see
 * supervisor_watch_begin().
 */
#ifndef SANDLOCK_SUPERVISOR_WATCH_H
#define SANDLOCK_SUPERVISOR_WATCH_H

#include "kernel/procfs.h"
#include "supervisor/supervisor.h"

#include <pthread.h>
#include <stdatomic.h>

/* Between two looks; and where some call took so long that others had to wait. */
#define LOOK_INTERVAL_MS 250
#define CLOSE_LOOK_INTERVAL_MS 50

struct watched {
    /* By the watched thread. */
    atomic_uint count; /* odd while it is inside */
    atomic_int number; /* the system call that is handled */
    atomic_int socket; /* the member's socket it is at, or -1 */
    atomic_int tid;    /* 0: not known yet */

    /* By the watching thread. */
    unsigned seen;
    unsigned spent_ms; /* in the same call, as looks tell */
    unsigned owed_ms;  /* in all that kept others waiting, see watch_owed() */
    uint64_t ticks;    /* of processor time at the last of them */
};

struct watch {
    struct watched threads[WATCHED_THREADS];
    atomic_bool looking;  /* no wake-up needed; cleared by a look that finds nothing new */
    bool started;         /* the receiving thread's */
    pthread_mutex_t lock; /* guards `stopping`, and the reports against it */
    pthread_cond_t changed;
    bool stopping;

    /* The watching thread's. */
    unsigned interval_ms; /* between this look and the one before */
    int64_t looked_at;    /* CLOCK_MONOTONIC */
    bool reported, given_up;
};

void watch_init(struct watch *watch);
void watch_destroy(struct watch *watch);

/* Pure: what counts, in milliseconds, of the `interval_ms` between two looks at a thread, of which the later
 * saw `now` and the earlier `ticks_before` of processor time: all of it if the thread sleeps or runs, next to
 * nothing if it waits for a processor. */
unsigned watch_time_spent(const struct procfs_stat *now, uint64_t ticks_before,
                          long ticks_per_second, unsigned interval_ms);

/* Pure: what calls owe that made a thread wait, after `elapsed_ms` of which it spent `spent_ms` in the same call.
 * Who keeps only itself waiting owes nothing for it. The rest of the time pays back, more slowly: who waits now and
 * then pays all of it, who always waits does not. */
unsigned watch_owed(unsigned owed_ms, unsigned spent_ms, bool others_wait, int64_t elapsed_ms);

/* On the receiving thread: makes the watching thread, a worker. False: there is none. */
bool watch_start(struct supervisor *supervisor);

/* Ends it; nothing is reported afterwards. May be called several times. */
void watch_stop(struct watch *watch);

#endif
