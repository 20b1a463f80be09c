/*
 * Watching threads of the supervisor that make calls on members' sockets. Such a call comes back at
 * once, unless a member tampers with the socket in the same moment; if it does not come back, nobody
 * would see a time limit or a request to stop. A thread of its own then ends the run.
 */
#ifndef SANDLOCK_NET_WATCH_H
#define SANDLOCK_NET_WATCH_H

#include "supervisor/supervisor.h"

enum watched_thread {
    WATCH_RECEIVER,
    WATCH_HOLDER,
    WATCHED_THREADS,
};

struct watch;

struct watch *watch_new(void);         /* NULL when out of memory or descriptors */
void watch_free(struct watch *watch); /* NULL is accepted */

/* On the receiving thread: makes the watching thread, a worker, unless it is there. False: no thread. */
bool watch_start(struct watch *watch, const struct request *request);

/* Ends it. May be called several times. */
void watch_stop(struct watch *watch);

/* Around the call, by the watched thread itself. Costs no system call while calls follow each other. */
void watch_begin(struct watch *watch, enum watched_thread thread, int fd);
void watch_end(struct watch *watch, enum watched_thread thread);

#endif
