/*
 * A TCP connect that was begun on behalf, and that the kernel did not finish at once: what became of it. The
 * result comes from a second connect on the same socket, which never begins a connection, because another
 * thread of the member may have cancelled the first one (a connect to AF_UNSPEC, a shutdown).
 */
#ifndef SANDLOCK_NET_BEGUN_H
#define SANDLOCK_NET_BEGUN_H

#include "member/socket.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The TCP sockets whose connects were ended last: dissolved, or their failure collected. */
#define ENDED_CONNECTS 64U

struct ended_connects {
    pthread_mutex_t lock; /* guards the next two, for a moment */
    unsigned count;       /* so far; the last one is cookies[(count - 1) % ENDED_CONNECTS] */
    uint64_t cookies[ENDED_CONNECTS];
};

/* All may be called from any thread. */

/* To be called before a connect of the socket is ended by another one. */
void begun_note_ended(struct ended_connects *ended, struct pinned_socket *socket);

/* To be kept by who begins a connect. */
unsigned begun_ended_count(struct ended_connects *ended);

/* True for results of connect(2), as -errno, after which it still goes on. */
bool begun_is_unfinished(int result);

/* 0: connected. Otherwise what the member's own call would return, as -errno, perhaps unfinished. `ended_before`:
 * begun_ended_count() of before; `port`: the one that was connected to. */
int begun_collect(struct ended_connects *ended, unsigned ended_before, struct pinned_socket *socket,
                  uint16_t port);

#endif
