/*
 * The event loop: see loop.h. The pollfd array and the watcher array run in parallel; a
 * descriptor behind epoll has its events fetched from epoll into its pollfd, where poll itself sees fd -1, so that
 * all are delivered in the order in which they were added. A descriptor that is removed while events
 * are being delivered only becomes a hole, so that an event of an old descriptor can never reach a new
 * one that got the same number; holes are closed before the next wait.
 *
 * The first entry is always the epoll instance, or -1 while there is none.
 */
#include "supervisor/loop.h"

#include "kernel/sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define QUIET_EVENTS 16

#define NANOSECONDS 1000000000LL

struct watcher {
    int fd; /* -1: a hole */
    bool quiet, behind_epoll, hot;
    uint64_t id; /* of a quiet one, never reused */
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
    bool hurried; /* epoll is used, or was given up */
    uint64_t last_id;
    struct timer *timers; /* by deadline, equal ones in the order of their creation */
    struct timer *due;    /* taken out of `timers`, not yet called */
    int last_timer_id;
    bool stopped;
    struct fd_guard guard;
    bool lost; /* the guard has said no; it is not asked again */
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
    if (loop->count > 0 && loop->polls[0].fd >= 0)
        close(loop->polls[0].fd);
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

static bool add(struct loop *loop, const struct pollfd *poll, const struct watcher *watcher)
{
    if (loop->count == loop->capacity && !grow(loop))
        return false;
    loop->polls[loop->count] = *poll;
    loop->watchers[loop->count] = *watcher;
    loop->count++;
    return true;
}

static void fetch_quiet_events(void *data, short revents);

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    if (!add(loop, &(struct pollfd){.fd = -1, .events = POLLIN},
             &(struct watcher){.fd = -1, .callback = fetch_quiet_events, .data = loop})) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

bool loop_add(struct loop *loop, int fd, short events, loop_callback callback, void *data)
{
    return add(loop, &(struct pollfd){.fd = fd, .events = events},
               &(struct watcher){.fd = fd, .callback = callback, .data = data});
}

bool loop_add_hot(struct loop *loop, int fd, short events, loop_callback callback, void *data)
{
    return add(loop, &(struct pollfd){.fd = fd, .events = events},
               &(struct watcher){.fd = fd, .hot = true, .callback = callback, .data = data});
}

void loop_set_guard(struct loop *loop, struct fd_guard guard)
{
    loop->guard = guard;
}

struct fd_guard loop_guard(const struct loop *loop)
{
    return loop->guard;
}

void loop_lose(struct loop *loop)
{
    loop->lost = loop->lost || loop->guard.are_ours != NULL;
}

bool loop_holds(struct loop *loop)
{
    if (!loop->lost && loop->guard.are_ours != NULL)
        loop->lost = !loop->guard.are_ours(loop->guard.data);
    return !loop->lost;
}

/* Its bits and those of poll are the same (epoll_ctl(2)). */
static void put_behind_epoll(struct loop *loop, size_t index)
{
    struct watcher *watcher = &loop->watchers[index];
    struct pollfd *poll = &loop->polls[index];
    struct epoll_event event = {.events = (uint16_t)poll->events, .data.u64 = watcher->id};

    if (watcher->fd < 0 || epoll_ctl(loop->polls[0].fd, EPOLL_CTL_ADD, watcher->fd, &event) != 0)
        return;
    watcher->behind_epoll = true;
    poll->fd = -1;
}

bool loop_add_quiet(struct loop *loop, int fd, short events, loop_callback callback, void *data)
{
    struct watcher watcher = {
        .fd = fd, .quiet = true, .id = ++loop->last_id, .callback = callback, .data = data};

    if (!add(loop, &(struct pollfd){.fd = fd, .events = events}, &watcher))
        return false;
    if (loop->polls[0].fd >= 0)
        put_behind_epoll(loop, loop->count - 1);
    return true;
}

void loop_hurry(struct loop *loop)
{
    if (loop->polls[0].fd >= 0 || loop->hurried || !loop_holds(loop))
        return;
    loop->hurried = true;
    loop->polls[0].fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 1; loop->polls[0].fd >= 0 && i < loop->count; i++) {
        if (loop->watchers[i].quiet)
            put_behind_epoll(loop, i);
    }
}

void loop_remove(struct loop *loop, int fd)
{
    for (size_t i = 0; fd >= 0 && i < loop->count; i++) {
        if (loop->watchers[i].fd != fd)
            continue;
        if (loop->watchers[i].behind_epoll && !loop->lost)
            epoll_ctl(loop->polls[0].fd, EPOLL_CTL_DEL, fd, NULL);
        loop->watchers[i].fd = -1;
        loop->polls[i].fd = -1;
        loop->polls[i].revents = 0;
        loop->has_holes = true;
    }
}

static void close_holes(struct loop *loop)
{
    size_t kept = 1;

    if (!loop->has_holes)
        return;
    for (size_t i = 1; i < loop->count; i++) {
        if (loop->watchers[i].fd < 0)
            continue;
        loop->polls[kept] = loop->polls[i];
        loop->watchers[kept] = loop->watchers[i];
        kept++;
    }
    loop->count = kept;
    loop->has_holes = false;
}

/* ---- Quiet descriptors --------------------------------------------------------------------------- */

/* An event that belongs to nobody (a descriptor was closed before it was removed, while another process still has
 * it, and it could not be got rid of), or events that cannot be had: everything goes back to poll. */
static void give_up_epoll(struct loop *loop)
{
    close(loop->polls[0].fd);
    loop->polls[0].fd = -1;
    for (size_t i = 1; i < loop->count; i++) {
        if (!loop->watchers[i].behind_epoll)
            continue;
        loop->watchers[i].behind_epoll = false;
        loop->polls[i].fd = loop->watchers[i].fd;
    }
}

static bool note_quiet_event(struct loop *loop, const struct epoll_event *event)
{
    for (size_t i = 1; i < loop->count; i++) {
        if (loop->watchers[i].behind_epoll && loop->watchers[i].id == event->data.u64) {
            if (loop->watchers[i].fd >= 0)
                loop->polls[i].revents = (short)event->events;
            return true;
        }
    }
    return false;
}

/* The callback of the first entry: the events found are delivered with the others of this round. */
static void fetch_quiet_events(void *data, short revents)
{
    struct loop *loop = data;
    struct epoll_event events[QUIET_EVENTS];
    int ready = sys_epoll_look(loop->polls[0].fd, events, QUIET_EVENTS);
    bool known = ready >= 0;

    if (ready == -EBADF || ready == -EINVAL)
        loop_lose(loop); /* that is no epoll instance any more */
    for (int i = 0; i < ready; i++)
        known &= note_quiet_event(loop, &events[i]);
    if (!known && !loop->lost)
        give_up_epoll(loop);
}

/* ---- Timers ------------------------------------------------------------------------------------ */

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
    if (loop->due != NULL && !loop_holds(loop))
        return;
    while (loop->due != NULL && !loop->stopped) {
        struct timer timer = *loop->due;
        free(loop->due);
        loop->due = timer.next;
        timer.callback(timer.data);
    }
}

/* ---- The wait ---------------------------------------------------------------------------------- */

static int wait_for_events(struct loop *loop)
{
    struct timespec timeout, *limit = NULL;
    int64_t left = loop->guard.are_ours != NULL ? LOOP_CHECK_NS : INT64_MAX;

    if (loop->timers != NULL) {
        int64_t until_timer = loop->timers->deadline - loop_now();
        left = until_timer < left ? until_timer : left;
        left = left > 0 ? left : 0;
    }
    if (left != INT64_MAX) {
        timeout = (struct timespec){.tv_sec = (time_t)(left / NANOSECONDS),
                                    .tv_nsec = (long)(left % NANOSECONDS)};
        limit = &timeout;
    }
    int ready = ppoll(loop->polls, (nfds_t)loop->count, limit, NULL);
    if (ready < 0)
        return errno == EINTR ? 0 : -errno;
    return ready;
}

/* What is watched is removed before it is closed: a closed number was closed by somebody else. */
static bool may_deliver(struct loop *loop, const struct watcher *watcher, short revents)
{
    if ((revents & POLLNVAL) != 0)
        loop_lose(loop);
    return watcher->hot && revents == POLLIN ? !loop->lost : loop_holds(loop);
}

static void deliver(struct loop *loop)
{
    size_t count = loop->count; /* descriptors added meanwhile have not been polled yet */

    for (size_t i = 0; i < count && !loop->stopped; i++) {
        short revents = loop->polls[i].revents;
        if (revents == 0)
            continue;
        loop->polls[i].revents = 0;
        struct watcher watcher = loop->watchers[i]; /* the array may move in the callback */
        if (!may_deliver(loop, &watcher, revents))
            return;
        watcher.callback(watcher.data, revents);
    }
}

int loop_run(struct loop *loop)
{
    int result = 0;

    while (!loop->stopped && !loop->lost && result >= 0) {
        close_holes(loop);
        result = wait_for_events(loop);
        if (result > 0)
            deliver(loop);
        else if (result == 0)
            loop_holds(loop);
        run_timers(loop);
    }
    loop->stopped = false;
    if (loop->lost)
        return -EBADF;
    return result < 0 ? result : 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
