/* What bind has in common with its neighbours. */
#ifndef SANDLOCK_NET_BIND_H
#define SANDLOCK_NET_BIND_H

#include "member/socket.h"
#include "net/address.h"
#include "policy/net_rule.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* TCP or UDP of a socket of the IP families; false for every other socket. */
bool bind_protocol_of(const struct pinned_socket *socket, enum net_protocol *protocol);

/*
 * Binds the unix socket to the path in `address` (ADDRESS_UNIX_NAMED) as the calling thread of the
 * member would: the directory is resolved in its view and must lie in a write grant, the file's mode
 * is the socket's own less its umask (and the supervisor's). The socket's own name then shows the way
 * through the supervisor's descriptor. May walk slow file systems: for workers. 0 or -errno.
 */
int unix_bind(const struct request *request, const struct pinned_socket *socket,
              const struct socket_address *address);

#endif
