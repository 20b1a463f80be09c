/*
 * Named unix sockets: contacting one is a write on its inode, so it needs a write grant. The name is
 * resolved once in the member's view, the inode is pinned and judged, and the operation goes to exactly
 * that inode.
 */
#ifndef SANDLOCK_NET_UNIX_TARGET_H
#define SANDLOCK_NET_UNIX_TARGET_H

#include "net/address.h"
#include "supervisor/supervisor.h"

#include <sys/un.h>

struct unix_target {
    int path_fd;             /* O_PATH, owned; the address below goes through it */
    struct sockaddr_un name; /* /proc/thread-self/fd/N: only for the thread that fills it */
    unsigned length;
};

/* Pins and judges the socket that `address` (ADDRESS_UNIX_NAMED) names for the caller, and records the
 * denial if it is refused. 0 or -errno (-EACCES: not granted, or missing outside the grants). May walk
 * a slow file system: for workers, or with `cached_only` (-EAGAIN if it would wait). */
int unix_target_pin(const struct request *request, const struct socket_address *address,
                    bool cached_only, struct unix_target *target);

/* Fills target->name for the calling thread. */
void unix_target_name(struct unix_target *target);

void unix_target_release(struct unix_target *target);

#endif
