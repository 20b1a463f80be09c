/*
 * The worker pool: see workers.h. A thread that finds no job waits for one until shutdown; there is
 * no cancellation, because it would load code behind the walls and leave locks held.
 */
#include "supervisor/workers.h"

#include "supervisor/loop.h"
#include "supervisor/supervisor.h"
#include "util/fault.h"
#include "util/thread_stack.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* Room for a few path buffers. Hosts with much thread-local storage need more, see create_thread(). */
#define WORKER_STACK ((size_t)128 * 1024)

struct waiting_job {
    struct waiting_job *next;
    void (*run)(void *job, bool usable);
    void (*finish)(void *job); /* may be NULL */
    void *job;
};

struct workers {
    struct workers_hooks hooks;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work_there;
    pthread_cond_t thread_left;
    struct waiting_job *first, **end;
    unsigned waiting; /* jobs in the list */
    unsigned idle;    /* threads waiting for a job, or about to */
    unsigned alive;
    unsigned staying; /* of those: in a job that lasts as long as the pool */
    unsigned created; /* threads[0..created) */
    bool closing, abandoned;
    pthread_t threads[WORKERS_MAX];
};

struct workers *workers_new(const struct workers_hooks *hooks)
{
    struct workers *workers = calloc(1, sizeof(*workers));

    if (workers == NULL)
        return NULL;
    workers->hooks = *hooks;
    workers->end = &workers->first;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work_there, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->thread_left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return workers;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    pthread_cond_destroy(&workers->thread_left);
    pthread_cond_destroy(&workers->work_there);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

static struct waiting_job *take_job(struct workers *workers)
{
    struct waiting_job *job = workers->first;

    if (job == NULL)
        return NULL;
    workers->first = job->next;
    if (workers->first == NULL)
        workers->end = &workers->first;
    workers->waiting--;
    return job;
}

/* With the lock, which is left in between. The thread counts as idle before the job is finished: what that
 * sets going may come back with the next job before the thread is here again. */
static void run_job(struct workers *workers, struct waiting_job *job, bool usable)
{
    pthread_mutex_unlock(&workers->lock);
    job->run(job->job, usable);
    if (job->finish != NULL) {
        pthread_mutex_lock(&workers->lock);
        workers->idle++;
        pthread_mutex_unlock(&workers->lock);
        job->finish(job->job);
    }
    pthread_mutex_lock(&workers->lock);
    workers->idle -= job->finish != NULL ? 1 : 0;
    free(job);
}

static void run_jobs(struct workers *workers, bool usable)
{
    pthread_mutex_lock(&workers->lock);
    while (!workers->closing) {
        struct waiting_job *job = take_job(workers);
        if (job != NULL) {
            run_job(workers, job, usable);
            continue;
        }
        workers->idle++;
        pthread_cond_wait(&workers->work_there, &workers->lock);
        workers->idle--;
    }
    workers->alive--;
    bool last = workers->abandoned && workers->alive == 0;
    pthread_cond_signal(&workers->thread_left);
    pthread_mutex_unlock(&workers->lock);
    if (last)
        workers->hooks.last_left(workers->hooks.data);
}

static void *worker_main(void *data)
{
    struct workers *workers = data;

    run_jobs(workers, workers->hooks.enter(workers->hooks.data));
    return NULL;
}

/* A worker takes no signals of the host. Faults of its own, and SIGSYS, which reports a violated
 * filter, stay deliverable: the kernel kills the process without its handler otherwise. */
static void block_signals(sigset_t *previous)
{
    static const int kept[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(&blocked, kept[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, previous);
}

static bool create_thread(struct workers *workers, bool stays)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t previous;

    if (fault_is("worker-thread") || (!stays && fault_is("job-thread")) ||
        pthread_attr_init(&attributes) != 0)
        return false;
    block_signals(&previous);
    int result = -1;
#ifndef __SANITIZE_ADDRESS__
    if (pthread_attr_setstacksize(&attributes, thread_stack_size(WORKER_STACK)) == 0)
        result = pthread_create(&thread, &attributes, worker_main, workers);
#endif
    if (result != 0)
        result = pthread_create(&thread, NULL, worker_main, workers);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    pthread_attr_destroy(&attributes);
    if (result == 0)
        workers->threads[workers->created++] = thread;
    return result == 0;
}

static bool submit(struct workers *workers, const struct waiting_job *job, bool stays)
{
    struct waiting_job *entry = malloc(sizeof(*entry));

    if (entry == NULL)
        return false;
    *entry = *job;
    pthread_mutex_lock(&workers->lock);
    bool accepted = !workers->closing && workers->waiting < WORKERS_WAITING_MAX;
    bool wants_thread = stays || workers->idle <= workers->waiting;
    if (accepted && wants_thread && workers->created < WORKERS_MAX) {
        /* Counted before it starts, so that it cannot end uncounted. */
        workers->alive++;
        if (!create_thread(workers, stays)) {
            workers->alive--;
            accepted = !stays && workers->alive > workers->staying;
        }
    } else {
        accepted = accepted && !stays;
    }
    if (accepted) {
        *workers->end = entry;
        workers->end = &entry->next;
        workers->waiting++;
        workers->staying += stays ? 1 : 0;
    }
    pthread_mutex_unlock(&workers->lock);
    /* Not with the lock, which is the first that the woken thread wants. */
    if (accepted)
        pthread_cond_signal(&workers->work_there);
    else
        free(entry);
    return accepted;
}

bool workers_submit(struct workers *workers, void (*run)(void *job, bool usable), void *job)
{
    return submit(workers, &(struct waiting_job){.run = run, .job = job}, false);
}

bool workers_submit_in_two(struct workers *workers, void (*run)(void *job, bool usable),
                           void (*finish)(void *job), void *job)
{
    return submit(workers, &(struct waiting_job){.run = run, .finish = finish, .job = job}, false);
}

bool workers_submit_staying(struct workers *workers, void (*run)(void *job, bool usable), void *job)
{
    return submit(workers, &(struct waiting_job){.run = run, .job = job}, true);
}

bool workers_are_none(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool none = !workers->closing && workers->alive <= workers->staying;
    pthread_mutex_unlock(&workers->lock);
    return none;
}

bool workers_are_busy(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    bool busy = workers->idle <= workers->waiting && workers->created == WORKERS_MAX;
    pthread_mutex_unlock(&workers->lock);
    return busy;
}

void workers_one_stays(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->staying++;
    pthread_mutex_unlock(&workers->lock);
}

static bool wait_for_threads(struct workers *workers, int64_t patience)
{
    int64_t deadline = loop_now() + patience;
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000LL),
                             .tv_nsec = (long)(deadline % 1000000000LL)};

    while (workers->alive > 0)
        if (pthread_cond_timedwait(&workers->thread_left, &workers->lock, &until) != 0)
            break;
    return workers->alive == 0;
}

bool workers_shutdown(struct workers *workers, int64_t patience)
{
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    pthread_cond_broadcast(&workers->work_there);
    struct waiting_job *dropped = workers->first;
    workers->first = NULL;
    workers->end = &workers->first;
    workers->waiting = 0;
    pthread_mutex_unlock(&workers->lock);

    while (dropped != NULL) {
        struct waiting_job *job = dropped;
        dropped = job->next;
        job->run(job->job, false);
        if (job->finish != NULL)
            job->finish(job->job);
        free(job);
    }

    pthread_mutex_lock(&workers->lock);
    bool all_ended = wait_for_threads(workers, patience);
    /* All before the lock is left: the last thread frees this block as soon as it may. */
    if (!all_ended) {
        workers->hooks.leaving_behind(workers->hooks.data);
        for (unsigned i = 0; i < workers->created; i++)
            pthread_detach(workers->threads[i]);
        workers->abandoned = true;
        pthread_mutex_unlock(&workers->lock);
        return false;
    }
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->created; i++)
        pthread_join(workers->threads[i], NULL);
    return true;
}
