/*
 * The event loop: see loop.h. The pollfd array and the watcher array run in parallel. A descriptor
 * that is removed while events are being delivered only becomes a hole (poll ignores fd -1), so that
 * an event of an old descriptor can never reach a new one that got the same number; holes are closed
 * before the next wait.
 */
#include "supervisor/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#define NANOSECONDS 1000000000LL

struct watcher {
    loop_callback callback;
    void *data;
};

struct timer {
    struct timer *next;
    int64_t deadline;
    int id;
    loop_timer_callback callback;
    void *data;
};

struct loop {
    struct pollfd *polls;
    struct watcher *watchers;
    size_t count, capacity;
    bool has_holes;
    struct timer *timers; /* by deadline, equal ones in the order of their creation */
    struct timer *due;    /* taken out of `timers`, not yet called */
    int last_timer_id;
    bool stopped;
};

int64_t loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NANOSECONDS + now.tv_nsec;
}

static void free_timers(struct timer *timer)
{
    while (timer != NULL) {
        struct timer *next = timer->next;
        free(timer);
        timer = next;
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    free_timers(loop->timers);
    free_timers(loop->due);
    free(loop->polls);
    free(loop->watchers);
    free(loop);
}

static bool grow(struct loop *loop)
{
    size_t capacity = loop->capacity == 0 ? LOOP_ROOM : loop->capacity * 2;

    struct pollfd *polls = realloc(loop->polls, capacity * sizeof(*polls));
    if (polls == NULL)
        return false;
    loop->polls = polls;
    struct watcher *watchers = realloc(loop->watchers, capacity * sizeof(*watchers));
    if (watchers == NULL)
        return false;
    loop->watchers = watchers;
    loop->capacity = capacity;
    return true;
}

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop != NULL && !grow(loop)) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

bool loop_add(struct loop *loop, int fd, short events, loop_callback callback, void *data)
{
    if (loop->count == loop->capacity && !grow(loop))
        return false;
    loop->polls[loop->count] = (struct pollfd){.fd = fd, .events = events};
    loop->watchers[loop->count] = (struct watcher){.callback = callback, .data = data};
    loop->count++;
    return true;
}

void loop_remove(struct loop *loop, int fd)
{
    for (size_t i = 0; fd >= 0 && i < loop->count; i++) {
        if (loop->polls[i].fd == fd) {
            loop->polls[i].fd = -1;
            loop->polls[i].revents = 0;
            loop->has_holes = true;
        }
    }
}

static void close_holes(struct loop *loop)
{
    size_t kept = 0;

    if (!loop->has_holes)
        return;
    for (size_t i = 0; i < loop->count; i++) {
        if (loop->polls[i].fd < 0)
            continue;
        loop->polls[kept] = loop->polls[i];
        loop->watchers[kept] = loop->watchers[i];
        kept++;
    }
    loop->count = kept;
    loop->has_holes = false;
}

static bool timer_id_in_use(const struct loop *loop, int id)
{
    for (const struct timer *timer = loop->timers; timer != NULL; timer = timer->next)
        if (timer->id == id)
            return true;
    for (const struct timer *timer = loop->due; timer != NULL; timer = timer->next)
        if (timer->id == id)
            return true;
    return false;
}

static int next_timer_id(struct loop *loop)
{
    do {
        loop->last_timer_id = loop->last_timer_id == INT_MAX ? 1 : loop->last_timer_id + 1;
    } while (timer_id_in_use(loop, loop->last_timer_id));
    return loop->last_timer_id;
}

int loop_timer_add(struct loop *loop, int64_t deadline, loop_timer_callback callback, void *data)
{
    struct timer *timer = malloc(sizeof(*timer));

    if (timer == NULL)
        return 0;
    *timer = (struct timer){
        .deadline = deadline, .id = next_timer_id(loop), .callback = callback, .data = data};
    struct timer **place = &loop->timers;
    while (*place != NULL && (*place)->deadline <= deadline)
        place = &(*place)->next;
    timer->next = *place;
    *place = timer;
    return timer->id;
}

static bool cancel_in(struct timer **list, int id)
{
    for (struct timer **place = list; *place != NULL; place = &(*place)->next) {
        if ((*place)->id == id) {
            struct timer *timer = *place;
            *place = timer->next;
            free(timer);
            return true;
        }
    }
    return false;
}

void loop_timer_cancel(struct loop *loop, int id)
{
    if (!cancel_in(&loop->timers, id))
        cancel_in(&loop->due, id);
}

/* The timers that are due now move to a list of their own first: a callback that adds a timer for
 * "now" must not keep the loop from its descriptors, and one may cancel another that is due too. */
static void run_timers(struct loop *loop)
{
    if (loop->due == NULL && loop->timers != NULL) {
        int64_t now = loop_now();
        struct timer **end = &loop->timers;
        while (*end != NULL && (*end)->deadline <= now)
            end = &(*end)->next;
        struct timer *rest = *end;
        *end = NULL;
        loop->due = loop->timers;
        loop->timers = rest;
    }
    while (loop->due != NULL && !loop->stopped) {
        struct timer timer = *loop->due;
        free(loop->due);
        loop->due = timer.next;
        timer.callback(timer.data);
    }
}

static int wait_for_events(struct loop *loop)
{
    struct timespec timeout, *limit = NULL;

    if (loop->timers != NULL) {
        int64_t left = loop->timers->deadline - loop_now();
        if (left < 0)
            left = 0;
        timeout = (struct timespec){.tv_sec = (time_t)(left / NANOSECONDS),
                                    .tv_nsec = (long)(left % NANOSECONDS)};
        limit = &timeout;
    }
    int ready = ppoll(loop->polls, (nfds_t)loop->count, limit, NULL);
    if (ready < 0)
        return errno == EINTR ? 0 : -errno;
    return ready;
}

static void deliver(struct loop *loop)
{
    size_t count = loop->count; /* descriptors added meanwhile have not been polled yet */

    for (size_t i = 0; i < count && !loop->stopped; i++) {
        short revents = loop->polls[i].revents;
        if (loop->polls[i].fd < 0 || revents == 0)
            continue;
        loop->polls[i].revents = 0;
        struct watcher watcher = loop->watchers[i]; /* the array may move in the callback */
        watcher.callback(watcher.data, revents);
    }
}

int loop_run(struct loop *loop)
{
    int result = 0;

    while (!loop->stopped && result >= 0) {
        close_holes(loop);
        result = wait_for_events(loop);
        if (result > 0)
            deliver(loop);
        run_timers(loop);
    }
    loop->stopped = false;
    return result < 0 ? result : 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
