/*
 * A member's socket, pinned: a duplicate of the descriptor that the calling thread named. Whatever the
 * member does to the number afterwards, the verdict and the operation are on this one. It shares the
 * open file description, so its O_NONBLOCK must never be changed.
 */
#ifndef SANDLOCK_MEMBER_SOCKET_H
#define SANDLOCK_MEMBER_SOCKET_H

#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

struct pinned_socket {
    int fd; /* owned, O_CLOEXEC */
    int domain, type, protocol;
    uint64_t cookie; /* SO_COOKIE: the identity of the socket, never reused */
};

#define PINNED_SOCKET_INIT ((struct pinned_socket){.fd = -1})

/* A duplicate of any descriptor of the calling thread. -EBADF, -ESRCH, -EPERM, -EMFILE … Where a container
 * refuses pidfd_getfd: -EPERM, and the call comes again when the descriptor is here; see
 * request_fetched_fd(). */
int member_get_fd(const struct request *request, int fd);

/* Closes such a duplicate, whatever it is of, without making this thread wait: closing may write a file
 * back. -1 is accepted. For the receiving thread; a worker just closes. */
void member_close(const struct request *request, int fd);

/* The same for a socket, with its stable properties. -ENOTSOCK for anything else. The notification was
 * validated after the pin. 0 or -errno. */
int socket_pin(const struct request *request, int fd, struct pinned_socket *socket);

/* Fills in the properties of socket->fd, which the caller has. -ENOTSOCK, -EBADF (O_PATH) … */
int socket_identify(struct pinned_socket *socket);

/* The same without the cookie, which is 0, and with the type that an IP socket of TCP or UDP ordinarily has: for
 * calls where each question counts. */
int socket_pin_kind(const struct request *request, int fd, struct pinned_socket *socket);

/* The cookie alone; 0 if it is no socket or cannot be pinned ("not ours"). */
uint64_t socket_cookie_of(int fd);

/* Where a container refuses pidfd_getfd (-EPERM or -ENOSYS from above), instead of fetching it: the inode
 * number of the socket that the caller's descriptor names, read from its link. The number of a closed
 * socket is used again, so it chooses manners and never rights. 0, -EBADF, -ENOTSOCK, … */
int socket_inode_by_link(const struct request *request, int fd, uint64_t *inode);

/* Never waits for the socket's peer: a socket that lingers stops doing so (SO_LINGER, see net/linger.c). */
void socket_unpin(struct pinned_socket *socket);

/* True if the description has O_NONBLOCK. */
bool socket_is_nonblocking(int fd);

#endif
