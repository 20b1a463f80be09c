/*
 * Threads for operations that may block, made on demand by the receiving thread, so that each lives
 * behind the same walls. Jobs beyond the limit wait in order. Internal to the supervisor.
 */
#ifndef SANDLOCK_SUPERVISOR_WORKERS_H
#define SANDLOCK_SUPERVISOR_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

struct workers;

/* Each belongs to a call that waits; a job is some 300 bytes if its owner minds workers_are_busy(). */
#define WORKERS_WAITING_MAX 4096

struct workers_hooks {
    /* In each new thread, before its first job; false: the thread must not run jobs. */
    bool (*enter)(void *data);
    /* In workers_shutdown(), before it leaves threads behind. They may still be in a job. */
    void (*leaving_behind)(void *data);
    /* Once, after workers_shutdown() had to leave threads behind: the last of them has ended. */
    void (*last_left)(void *data);
    void *data;
};

struct workers *workers_new(const struct workers_hooks *hooks); /* NULL when out of memory */

/* Takes `job`. `run` gets it exactly once: on a worker with usable = true; or with false, when there
 * will be no worker to run it (shutdown, or a thread that could not enter), on any thread. Returns
 * false, having taken nothing, if there is no memory, or no thread at all and none can be made, or
 * WORKERS_WAITING_MAX jobs wait. */
bool workers_submit(struct workers *workers, void (*run)(void *job, bool usable), void *job);

/* The same for a job with a last part that waits for nothing: `finish` is called once after `run`, and may
 * set something going that leads to the next job at once. The thread is then counted on for that one,
 * instead of making another. */
bool workers_submit_in_two(struct workers *workers, void (*run)(void *job, bool usable),
                           void (*finish)(void *job), void *job);

/* True if there is no thread that takes jobs: none could be made so far. */
bool workers_are_none(struct workers *workers);

/* For a job that lasts as long as the pool: the same, but false unless a thread could be made for it; that
 * thread does not count as one that will take other jobs. */
bool workers_submit_staying(struct workers *workers, void (*run)(void *job, bool usable),
                            void *job);

/* True if a job submitted now would wait for another one's end. */
bool workers_are_busy(struct workers *workers);

/* By a job that turns out to last as long as the pool: its thread no longer counts either. */
void workers_one_stays(struct workers *workers);

/* Drops the waiting jobs and ends the threads. True: all have ended. False: after `patience`
 * nanoseconds some were still in a job; they are detached, and last_left() follows. */
bool workers_shutdown(struct workers *workers, int64_t patience);

/* After workers_shutdown() returned true, or from last_left(). NULL is accepted. */
void workers_free(struct workers *workers);

#endif
