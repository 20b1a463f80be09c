/* The line of fetches: see fetch_queue.h. */
#include "supervisor/fetch_queue.h"

#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 4096

#define SHUN_NS 2000000000LL
#define SHUN_NS_MAX 64000000000LL

void fetch_queue_init(struct fetch_queue *queue)
{
    memset(queue, 0, sizeof(*queue));
    queue->end = &queue->first;
    queue->patience = FETCH_PATIENCE;
    pthread_mutex_init(&queue->lock, NULL);
}

void fetch_queue_free(struct fetch_queue *queue)
{
    while (queue->first != NULL) {
        struct fetch_job *job = queue->first;
        queue->first = job->next;
        free(job);
    }
    pthread_mutex_destroy(&queue->lock);
}

/* With the lock. The slot of the process, or the one that is free soonest. */
static struct fetch_shunned *slot_of(struct fetch_queue *queue, pid_t tgid)
{
    struct fetch_shunned *soonest = &queue->shunned[0];

    for (size_t i = 0; i < FETCH_SHUNNED_MAX; i++) {
        struct fetch_shunned *slot = &queue->shunned[i];
        if (slot->tgid == tgid)
            return slot;
        if (slot->until < soonest->until)
            soonest = slot;
    }
    return soonest;
}

bool fetch_queue_add(struct fetch_queue *queue, struct fetch_job *job, int64_t now)
{
    pthread_mutex_lock(&queue->lock);
    const struct fetch_shunned *slot = slot_of(queue, job->tgid);
    bool shunned = slot->tgid == job->tgid && now < slot->until;
    bool added = queue->waiting < WAITING_MAX && !shunned;
    if (added) {
        job->next = NULL;
        *queue->end = job;
        queue->end = &job->next;
        queue->waiting++;
    }
    pthread_mutex_unlock(&queue->lock);
    return added;
}

struct fetch_job *fetch_queue_take(struct fetch_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct fetch_job *job = queue->first;
    if (job != NULL) {
        queue->first = job->next;
        if (queue->first == NULL)
            queue->end = &queue->first;
        queue->waiting--;
    }
    pthread_mutex_unlock(&queue->lock);
    return job;
}

/* With the lock. */
static struct fetch_job *take_those_of(struct fetch_queue *queue, pid_t tgid)
{
    struct fetch_job *taken = NULL;
    struct fetch_job **place = &queue->first;

    while (*place != NULL) {
        struct fetch_job *job = *place;
        if (job->tgid != tgid) {
            place = &job->next;
            continue;
        }
        *place = job->next;
        job->next = taken;
        taken = job;
        queue->waiting--;
    }
    queue->end = place;
    return taken;
}

struct fetch_job *fetch_queue_shun(struct fetch_queue *queue, pid_t tgid, int64_t now)
{
    pthread_mutex_lock(&queue->lock);
    struct fetch_shunned *slot = slot_of(queue, tgid);
    int64_t time = slot->tgid == tgid ? slot->time * 2 : SHUN_NS;
    if (time > SHUN_NS_MAX)
        time = SHUN_NS_MAX;
    *slot = (struct fetch_shunned){.tgid = tgid, .until = now + time, .time = time};
    if (queue->patience / 2 >= FETCH_PATIENCE_MIN)
        queue->patience /= 2;
    queue->last_shun = now;
    struct fetch_job *jobs = take_those_of(queue, tgid);
    pthread_mutex_unlock(&queue->lock);
    return jobs;
}

int64_t fetch_queue_patience(struct fetch_queue *queue, int64_t now)
{
    pthread_mutex_lock(&queue->lock);
    if (now - queue->last_shun > FETCH_PATIENCE_MEMORY)
        queue->patience = FETCH_PATIENCE;
    int64_t patience = queue->patience;
    pthread_mutex_unlock(&queue->lock);
    return patience;
}

void fetch_queue_forgive(struct fetch_queue *queue, pid_t tgid)
{
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < FETCH_SHUNNED_MAX; i++) {
        if (queue->shunned[i].tgid == tgid)
            queue->shunned[i] = (struct fetch_shunned){0};
    }
    pthread_mutex_unlock(&queue->lock);
}
