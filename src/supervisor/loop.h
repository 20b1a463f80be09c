/*
 * A small event loop on ppoll: descriptors with callbacks and one timer list. Descriptors on which
 * something happens rarely can stand behind one epoll instance, so that the wait for the others is
 * not slowed down by them. It belongs to one
 * thread; the only call for other threads is none. Everything is allocated on the owner's side
 * before or while it runs; nothing is opened lazily except what a callback opens itself.
 */
#ifndef SANDLOCK_SUPERVISOR_LOOP_H
#define SANDLOCK_SUPERVISOR_LOOP_H

#include "util/fd.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors that a new loop has room for: watching so many never fails. */
#define LOOP_ROOM 16

struct loop;

typedef void (*loop_callback)(void *data, short revents);
typedef void (*loop_timer_callback)(void *data);

struct loop *loop_new(void); /* NULL when out of memory */
void loop_free(struct loop *loop);

/* Watches a borrowed descriptor until loop_remove(). False when out of memory. Callbacks may add and
 * remove descriptors, their own included. */
bool loop_add(struct loop *loop, int fd, short events, loop_callback callback, void *data);
/* The same for a descriptor that is seldom ready: from loop_hurry() on it stands behind epoll. */
bool loop_add_quiet(struct loop *loop, int fd, short events, loop_callback callback, void *data);

/* The same for one that is ready so often that the guard is not asked each time: its callback has to notice by what it
 * gets from the descriptor, and to ask loop_holds() then. */
bool loop_add_hot(struct loop *loop, int fd, short events, loop_callback callback, void *data);

/* Descriptors that somebody else may close and use again. The guard is asked before a callback, and once in
 * LOOP_CHECK_NS where nothing is ready: the kernel looks at the numbers anew whenever one of the old files wakes the
 * wait, and goes on to sleep on what it finds there. */
void loop_set_guard(struct loop *loop, struct fd_guard guard);
struct fd_guard loop_guard(const struct loop *loop);

#define LOOP_CHECK_NS 1000000000LL

/* False: the descriptors are lost. loop_run() returns -EBADF, now or with the next call, and no callback is made any
 * more; loop_remove() only forgets. */
bool loop_holds(struct loop *loop);
void loop_lose(
    struct loop *loop); /* says so, where a callback has seen it; nothing without a guard */

/* The loop has become busy. Opens the epoll instance, if it is not there yet; without it, and for what
 * epoll does not take, everything goes on as before. */
void loop_hurry(struct loop *loop);

/* Must come before the descriptor is closed. */
void loop_remove(struct loop *loop, int fd);

/* Calls back once at or after `deadline` (CLOCK_MONOTONIC nanoseconds). Returns an id > 0, 0 when
 * out of memory. */
int loop_timer_add(struct loop *loop, int64_t deadline, loop_timer_callback callback, void *data);
void loop_timer_cancel(struct loop *loop, int id); /* unknown ids are ignored */

/* Runs until loop_stop(). Returns 0, or -errno if waiting itself failed; -EBADF: the descriptors are lost. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

int64_t loop_now(void); /* CLOCK_MONOTONIC in nanoseconds */

#endif
