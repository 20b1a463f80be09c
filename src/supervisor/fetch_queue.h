/*
 * Calls that wait for a descriptor to be fetched, in their order, and the processes that are refused for a
 * while because they could not be stopped: while one is waited for all others wait too. Any thread.
 */
#ifndef SANDLOCK_SUPERVISOR_FETCH_QUEUE_H
#define SANDLOCK_SUPERVISOR_FETCH_QUEUE_H

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FETCH_SHUNNED_MAX 16

/* How long a process may take to be stopped, for what a busy machine delays; nanoseconds. Half of it after
 * each that could not be, whichever process that was: those who make others wait may be many. */
#define FETCH_PATIENCE 1000000000LL
#define FETCH_PATIENCE_MIN 50000000LL
#define FETCH_PATIENCE_MEMORY 10000000000LL /* without such a process: all of it again */

struct fetch_job {
    struct fetch_job *next;
    struct seccomp_notif notification;
    pid_t tgid;
    int number; /* of the wanted descriptor */
};

struct fetch_shunned {
    pid_t tgid; /* 0: free */
    int64_t until, time;
};

struct fetch_queue {
    pthread_mutex_t lock; /* guards the rest */
    struct fetch_job *first, **end;
    unsigned waiting;
    struct fetch_shunned shunned[FETCH_SHUNNED_MAX];
    int64_t patience, last_shun;
};

void fetch_queue_init(struct fetch_queue *queue);
void fetch_queue_free(struct fetch_queue *queue); /* with the jobs in it */

/* Takes a malloc'ed job over. False: too many wait, or its process is shunned at `now` (loop_now()). */
bool fetch_queue_add(struct fetch_queue *queue, struct fetch_job *job, int64_t now);

/* The caller's; NULL if nothing waits. */
struct fetch_job *fetch_queue_take(struct fetch_queue *queue);

/* The process is refused for a time that doubles with each call. Returns its jobs, the caller's, by `next`. */
struct fetch_job *fetch_queue_shun(struct fetch_queue *queue, pid_t tgid, int64_t now);

int64_t fetch_queue_patience(struct fetch_queue *queue, int64_t now);

/* The process is gone; its number will be another's. */
void fetch_queue_forgive(struct fetch_queue *queue, pid_t tgid);

#endif
