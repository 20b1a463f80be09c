/*
 * Named unix sockets: contacting one is a write on its inode, so it needs a write grant. The name is
 * resolved once in the member's view, the inode is pinned and judged, and the operation goes to exactly
 * that inode.
 */
#ifndef SANDLOCK_NET_UNIX_TARGET_H
#define SANDLOCK_NET_UNIX_TARGET_H

#include "member/identity.h"
#include "net/address.h"
#include "supervisor/supervisor.h"

#include <sys/un.h>

struct unix_target {
    int path_fd;             /* O_PATH, owned; the address below goes through it */
    struct sockaddr_un name; /* /proc/thread-self/fd/N: only for the thread that fills it */
    unsigned length;
    bool knows_identity; /* the supervisor may more than the member, and must not lend it */
    struct member_identity identity; /* owned */
};

#define UNIX_TARGET_INIT ((struct unix_target){.path_fd = -1})

/* Pins and judges the socket that `address` (ADDRESS_UNIX_NAMED) names for the caller, and records the
 * denial if it is refused; request->state is a struct destinations. 0 or -errno (-EACCES: not granted,
 * or missing outside the grants). The notification was validated after the last look at the caller by
 * number. May walk a slow file system: for workers, or with `cached_only` (-EAGAIN if it would wait). */
int unix_target_pin(const struct request *request, const struct socket_address *address,
                    bool cached_only, struct unix_target *target);

/* Around the operation, on the thread that performs it: fills target->name and takes the member's
 * identity, but for the capabilities in `kept`. 0, or -errno and nothing may be performed. */
int unix_target_enter(const struct request *request, struct unix_target *target, uint64_t kept,
                      struct lowered_rights *lowered);
void unix_target_leave(struct lowered_rights *lowered);

void unix_target_release(struct unix_target *target);

#endif
