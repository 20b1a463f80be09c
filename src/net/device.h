/*
 * A packet goes where it was judged to go. It leaves by the interface its socket is bound to, wherever its address
 * leads: sent to a loopback address, or to one that only one network has, it would be somebody else's on the wire.
 * The filter refuses the options that bind a socket. What is left are IPv6 sockets: binding to, or connecting to, an
 * address that needs a scope takes the interface with it, and a multicast address nobody has to own. And it goes to
 * the peer its socket is connected to, whose parts and way the kernel reads one after another, so a socket that sends
 * is not connected to another.
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
 * What a connected datagram socket may be connected to further. The kernel sends to its peer
 * without a lock: it reads the interface, the address (of IPv6 in halves), the port and the way while another
 * thread's connect changes them, and may be held up for any time between two of these.
 */
enum device_peers {
    PEERS_ANY, /* the socket cannot send */
    PEERS_ALIKE, /* every mixture of two peers is allowed, if it does not leave by the way of another kind */
    PEERS_SAME, /* it keeps its peer */
};

/*
 * Around a send on behalf to `address` on this socket, which does not wait: until device_leave() the socket's
 * interface stays what it was found to be, and no connect on behalf comes between. 0, or -ENETUNREACH: it is bound to
 * an interface, and nothing is entered. Binds a datagram socket of IPv6 that is not bound yet to any port, as the call
 * itself would. A send without an address needs none of this: see enum device_peers.
 */
int device_enter(pthread_mutex_t *lock, const struct pinned_socket *socket,
                 const struct socket_address *address);
void device_leave(pthread_mutex_t *lock, const struct pinned_socket *socket,
                  const struct socket_address *address);

/*
 * connect(2) on behalf, kept apart from the named sends and connects of the same datagram socket: 0 or -errno.
 * *refused: the socket's peer (-EISCONN), or its interface or one that it can get (-ENETUNREACH) is the reason. A
 * socket that has got a peer of PEERS_ALIKE or PEERS_SAME is marked, and keeps it: it is not dissolved any more. What
 * was begun is sent before, where it was judged. A socket that a connect, also a failed one, has bound to an interface
 * stays bound. A TCP socket of IPv6 that was connected to an IPv4 address, by connect or accept, is connected to no
 * IPv6 address any more.
 */
int device_connect(pthread_mutex_t *lock, const struct pinned_socket *socket,
                   const struct socket_address *address, enum device_peers peers, bool *refused);

/* A UDP socket sends the datagram that was begun on it as it is: a connect would change where the rest of it goes.
 * 0 or -errno. */
int device_send_begun(int fd);

/*
 * True if a send with these flags begins a datagram (MSG_MORE). With a name that is not done: the kernel keeps the name
 * where it looks for the peer's address, and what another thread writes in that moment, also across a connect, goes to
 * mixtures of both. The filter refuses UDP_CORK, which would begin them without the flag. For the peer, without a
 * name, they can be begun. Pure.
 */
bool device_begins(const struct pinned_socket *socket, unsigned flags);

/* After a connect of a stream, which cannot be bound any more: -ENETUNREACH if it was meanwhile, and the
 * connection is over; else `result`. */
int device_settle(const struct pinned_socket *socket, const struct socket_address *address,
                  int result);

/* True of a TCP socket of IPv6 that was connected to an IPv4 address, also in vain. If it listened, the connections
 * that it accepts would send by IPv4 what is for an IPv6 peer. */
bool device_kept_ipv4(const struct pinned_socket *socket);

/*
 * Such a socket cannot be kept from an interface: a ping socket of IPv6, whose bind takes one at any time, and a
 * loopback address. A message that names it takes the loopback interface along. What is sent without an address
 * is not seen, so such a socket is connected to no address but those that have an interface. Pure.
 */
bool device_is_open(const struct pinned_socket *socket, const struct socket_address *address);

/* True if a bind to the address binds the socket to an interface, also when it fails. Pure. */
bool device_is_bound_by(const struct pinned_socket *socket, const struct socket_address *address);

/* Records the refusal with this errno; `want` is "connect" or "send". */
void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want, int error);

/* System calls of these, for feature.needs. */
#define DEVICE_CALLS                                                                              \
    "bind:ip6", "getpeername", "getsockname", "getsockopt", "setsockopt:cork", "setsockopt:here", \
        "setsockopt:lock", "setsockopt:port", "shutdown"

#endif
