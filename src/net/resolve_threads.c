/*
 * Resolution inside a process that has the host's name services: see resolve.h. The threads own what
 * they use: a resolver that hangs beyond the deadline must neither be waited for nor find its memory
 * gone.
 */
#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Names that are asked for at the same time. */
#define THREADS_MAX 16

struct question {
    char *name; /* owned */
    struct resolve_answer answer;
    bool done;
};

/* Shared by the caller and its threads; the last one frees it. */
struct job {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    struct question *questions;
    size_t count;
    size_t next;       /* the first question nobody took */
    size_t open;       /* questions that are not done */
    bool abandoned;    /* nobody waits any more */
    size_t references; /* under the lock */
};

static void job_free(struct job *job)
{
    for (size_t i = 0; job->questions != NULL && i < job->count; i++) {
        free(job->questions[i].name);
        free(job->questions[i].answer.addresses);
    }
    free(job->questions);
    pthread_cond_destroy(&job->finished);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

/* With the lock held; gives it up. */
static void job_leave(struct job *job)
{
    bool last = --job->references == 0;

    pthread_mutex_unlock(&job->lock);
    if (last)
        job_free(job);
}

static struct job *job_new(const char *const *names, size_t count)
{
    struct job *job = calloc(1, sizeof(*job));
    pthread_condattr_t attributes;
    bool good = true;

    if (job == NULL)
        return NULL;
    pthread_mutex_init(&job->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&job->finished, &attributes);
    pthread_condattr_destroy(&attributes);
    job->questions = calloc(count + 1, sizeof(*job->questions));
    job->references = 1;
    for (size_t i = 0; i < count && job->questions != NULL; i++) {
        job->questions[i].name = strdup(names[i]);
        good = good && job->questions[i].name != NULL;
        job->count++;
    }
    job->open = count;
    if (good && job->questions != NULL)
        return job;
    job_free(job);
    return NULL;
}

static void keep_address(struct resolve_answer *answer, const struct addrinfo *info)
{
    struct net_address address = {0};

    if (info->ai_family == AF_INET && info->ai_addrlen >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, info->ai_addr, sizeof(in));
        address.family = 4;
        memcpy(address.bytes, &in.sin_addr, 4);
    } else if (info->ai_family == AF_INET6 && info->ai_addrlen >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, info->ai_addr, sizeof(in6));
        address.family = 6;
        memcpy(address.bytes, &in6.sin6_addr, 16);
    } else {
        return;
    }
    if (!resolve_answer_add(answer, &address))
        snprintf(answer->reason, sizeof(answer->reason), "out of memory");
}

static void resolve_one(const char *name, struct resolve_answer *answer)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(name, NULL, &hints, &found);

    if (result != 0) {
        /* Not strerror(): these threads share the process with others. */
        if (result == EAI_SYSTEM)
            snprintf(answer->reason, sizeof(answer->reason), "system error %d", errno);
        else
            snprintf(answer->reason, sizeof(answer->reason), "%s", gai_strerror(result));
        return;
    }
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next)
        keep_address(answer, info);
    freeaddrinfo(found);
}

static void *answer_questions(void *data)
{
    struct job *job = data;

    pthread_mutex_lock(&job->lock);
    while (job->next < job->count && !job->abandoned) {
        struct question *question = &job->questions[job->next++];
        struct resolve_answer answer = {0};
        pthread_mutex_unlock(&job->lock);
        resolve_one(question->name, &answer);
        pthread_mutex_lock(&job->lock);
        question->answer = answer;
        question->done = true;
        if (--job->open == 0)
            pthread_cond_signal(&job->finished);
    }
    job_leave(job);
    return NULL;
}

/* Returns how many threads run. Signals of the host are none of theirs. */
static size_t start_threads(struct job *job, size_t wanted, int *error)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    size_t started = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    *error = 0;
    while (started < wanted && *error == 0) {
        pthread_t thread;
        pthread_mutex_lock(&job->lock);
        job->references++;
        pthread_mutex_unlock(&job->lock);
        *error = pthread_create(&thread, &attributes, answer_questions, job);
        if (*error == 0)
            started++;
    }
    if (*error != 0) {
        pthread_mutex_lock(&job->lock);
        job->references--;
        pthread_mutex_unlock(&job->lock);
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* With the lock held. */
static void await_answers(struct job *job, int64_t deadline)
{
    const struct timespec until = {deadline / 1000, deadline % 1000 * 1000000};
    int result = 0;

    while (job->open > 0 && result == 0)
        result = pthread_cond_timedwait(&job->finished, &job->lock, &until);
}

static void refuse_all(struct resolve_answer *answers, size_t count, const char *reason)
{
    for (size_t i = 0; i < count; i++)
        snprintf(answers[i].reason, sizeof(answers[i].reason), "%s", reason);
}

void resolve_in_threads(const char *const *names, size_t count, int64_t deadline,
                        struct resolve_answer *answers)
{
    struct job *job = job_new(names, count);
    int error = 0;

    if (job == NULL) {
        refuse_all(answers, count, "out of memory");
        return;
    }
    if (start_threads(job, count < THREADS_MAX ? count : THREADS_MAX, &error) == 0) {
        refuse_all(answers, count, "no thread can be started");
        job_free(job);
        return;
    }
    pthread_mutex_lock(&job->lock);
    await_answers(job, deadline);
    job->abandoned = true;
    for (size_t i = 0; i < count; i++) {
        if (job->questions[i].done) {
            answers[i] = job->questions[i].answer;
            job->questions[i].answer.addresses = NULL;
        } else {
            snprintf(answers[i].reason, sizeof(answers[i].reason), "no answer within %d s",
                     RESOLVE_DEADLINE_SECONDS);
        }
    }
    job_leave(job);
}
