/*
 * A packet leaves by the interface its socket is bound to, wherever its address leads: sent to a loopback
 * address, or to one that only one network has, it would be somebody else's on the wire. The filter refuses
 * the options that bind a socket. What is left are IPv6 sockets: binding to, or connecting to, an address
 * that needs a scope takes the interface with it, and a multicast address nobody has to own.
 */
#ifndef SANDLOCK_NET_DEVICE_H
#define SANDLOCK_NET_DEVICE_H

#include "member/socket.h"
#include "net/address.h"

#include <pthread.h>
#include <stdbool.h>

/* Link-local and multicast: the interface belongs to the address. Pure. */
bool device_needs_scope(const struct net_address *address);

/*
 * Around a send on behalf to `address` on this socket, which does not wait: until device_leave() the socket's
 * interface stays what it was found to be. 0, or -ENETUNREACH: it is bound to one, and nothing is entered.
 * Binds a datagram socket that is not bound yet to any port, as the call itself would.
 */
int device_enter(pthread_mutex_t *lock, const struct pinned_socket *socket,
                 const struct socket_address *address);
void device_leave(pthread_mutex_t *lock, const struct pinned_socket *socket,
                  const struct socket_address *address);

/*
 * connect(2) on behalf, kept apart from the sends and connects of the same datagram socket: 0 or -errno. *refused:
 * the socket's interface, or one that it can get, is the reason. A datagram socket of IPv6 is connected either to
 * addresses that need a scope or to others, whichever came first, and one that a connect, also a failed one, has bound to
 * an interface stays bound; before an interface can come with an address it loses its peer, for good if the connect fails. A
 * TCP socket of IPv6 that was connected to an IPv4 address is connected to no IPv6 address any more.
 */
int device_connect(pthread_mutex_t *lock, const struct pinned_socket *socket,
                   const struct socket_address *address, bool *refused);

/* After a connect of a stream, which cannot be bound any more: -ENETUNREACH if it was meanwhile, and the
 * connection is over; else `result`. */
int device_settle(const struct pinned_socket *socket, const struct socket_address *address,
                  int result);

/*
 * Such a socket cannot be kept from an interface: a ping socket of IPv6, whose bind takes one at any time, and a
 * loopback address. A message that names it takes the loopback interface along. What is sent without an address
 * is not seen, so such a socket is connected to no address but those that have an interface. Pure.
 */
bool device_is_open(const struct pinned_socket *socket, const struct socket_address *address);

/* True if a bind to the address binds the socket to an interface, also when it fails. Pure. */
bool device_is_bound_by(const struct pinned_socket *socket, const struct socket_address *address);

/* Records the refusal; `want` is "connect" or "send". */
void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want);

/* System calls of these, for feature.needs. */
#define DEVICE_CALLS \
    "bind:ip6", "getsockname", "getsockopt", "setsockopt:lock", "setsockopt:port", "shutdown"

#endif
