/*
 * Connects of UDP sockets that only ask the kernel something, at ports that nothing is sent to: libcs sort
 * the addresses of a name by whether and from where there is a way to them, one libc asks of loopback
 * whether a family works, and ping which way leads to its host. The kernel answers, on a socket that cannot
 * send.
 */
#ifndef SANDLOCK_NET_QUESTION_H
#define SANDLOCK_NET_QUESTION_H

#include "member/socket.h"
#include "net/address.h"
#include "net/network.h"

/* glibc's, when it sorts the addresses of a name without a service; iputils' ping's; musl's, for both. */
#define QUESTION_NO_PORT 0
#define QUESTION_ROUTE_PORT 1025
#define QUESTION_FAMILY_PORT 65535

/* True if the connect of the UDP socket, which no rule allows or which is one to port 0, is such a question about an
 * address that the rules name, or about loopback, and the socket cannot send any more: one that is not inert loses its
 * sending side here, unless it has been used for something already. A peer at port 0 the kernel tells nobody, so no
 * socket that sends is connected to one, whatever the rules say. */
bool question_is_harmless(const struct network *network, const struct pinned_socket *socket,
                          const struct socket_address *address);

#endif
