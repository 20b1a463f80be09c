/* Interfaces that sockets are bound to, and their peers: see device.h. */
#include "net/device.h"

#include "net/refusal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK_INDEX 1 /* in every network namespace */

/* Other threads of the member may be in the way of a try. */
#define FIX_TRIES 3

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

bool device_needs_scope(const struct net_address *address)
{
    const uint8_t *bytes = address->bytes;

    if (address->family == 4)
        return (bytes[0] & 0xF0) == 0xE0;
    return bytes[0] == 0xFF || (bytes[0] == 0xFE && (bytes[1] & 0xC0) == 0x80);
}

static bool is_udp(const struct pinned_socket *socket)
{
    return socket->protocol == IPPROTO_UDP;
}

static bool is_concerned(const struct pinned_socket *socket, const struct socket_address *address)
{
    return (socket->domain == AF_INET6 || (socket->domain == AF_INET && is_udp(socket))) &&
           (address->kind == ADDRESS_IP || address->kind == ADDRESS_UNSPEC);
}

static bool is_stream(const struct pinned_socket *socket)
{
    return socket->type == SOCK_STREAM;
}

/* Dissolving a connection unbinds, so it is entered, too, but nothing is sent. */
static bool is_sent_to(const struct socket_address *address)
{
    return address->kind == ADDRESS_IP && !device_needs_scope(&address->ip);
}

/* 0: none. Negative: nobody can tell. */
static int index_of(int fd)
{
    int index = 0;
    socklen_t length = sizeof(index);

    return getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &length) == 0 ? index : -1;
}

static bool is_bound_elsewhere(int fd)
{
    int index = index_of(fd);

    return index != 0 && index != LOOPBACK_INDEX;
}

/* 0: none, or nobody can tell. A port keeps every later bind from the interface. */
static bool has_port(int fd, struct sockaddr_in6 *name)
{
    socklen_t length = sizeof(*name);

    *name = (struct sockaddr_in6){0};
    return getsockname(fd, (struct sockaddr *)name, &length) == 0 && name->sin6_port != 0;
}

/*
 * A socket that has a port is not bound again: the kernel says so before it looks at the interface, which it
 * otherwise takes from a bind that fails as well. What takes the port away comes by here. A bind to no port takes
 * one, unless the socket puts that off, which another thread can make it do again.
 */
static int fix(int fd)
{
    static const int off = 0;
    struct sockaddr_in6 name;

    for (int i = 0; i < FIX_TRIES; i++) {
        if (has_port(fd, &name))
            return 0;
        name.sin6_family = AF_INET6;
        if (i > 0)
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off, sizeof(off));
        if (bind(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 && errno != EINVAL)
            return errno == EADDRINUSE ? -EAGAIN : -errno; /* out of ports */
    }
    return has_port(fd, &name) ? 0 : -EAGAIN;
}

/* A ping socket takes the interface of every bind, whether it has a port or not. */
static bool is_ping(const struct pinned_socket *socket)
{
    return socket->domain == AF_INET6 && socket->protocol == IPPROTO_ICMPV6;
}

void device_leave(pthread_mutex_t *lock, const struct pinned_socket *socket,
                  const struct socket_address *address)
{
    if (is_concerned(socket, address) && !is_stream(socket))
        pthread_mutex_unlock(lock);
}

int device_enter(pthread_mutex_t *lock, const struct pinned_socket *socket,
                 const struct socket_address *address)
{
    int result = 0;

    if (!is_concerned(socket, address))
        return 0;
    if (!is_stream(socket))
        pthread_mutex_lock(lock);
    if (socket->domain == AF_INET6 && is_sent_to(address)) {
        result = is_stream(socket) ? 0 : fix(socket->fd);
        if (result == 0 && is_bound_elsewhere(socket->fd))
            result = -ENETUNREACH;
    }
    if (result < 0)
        device_leave(lock, socket, address);
    return result;
}

static int connect_to(int fd, const struct socket_address *address)
{
    return connect(fd, (const struct sockaddr *)address->bytes, address->length) == 0 ? 0 : -errno;
}

static int dissolve(int fd)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    return connect(fd, &nobody, sizeof(nobody)) == 0 ? 0 : -errno;
}

/* A mark that the kernel keeps for us and nothing takes away: the socket takes no filter any more. */
static int mark(int fd)
{
    static const int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) == 0 ? 0 : -errno;
}

static bool is_marked(int fd)
{
    int locked = 0;
    socklen_t length = sizeof(locked);

    return getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &length) != 0 || locked != 0;
}

/* Also of a connection that was accepted, which has never been connected, and can be only once it is dissolved. */
static bool speaks_ipv4(int fd)
{
    struct sockaddr_in6 own = {0};
    socklen_t length = sizeof(own);

    return getsockname(fd, (struct sockaddr *)&own, &length) == 0 && own.sin6_family == AF_INET6 &&
           IN6_IS_ADDR_V4MAPPED(&own.sin6_addr);
}

/* In this order: see keep_family(). */
static bool keeps_ipv4(int fd)
{
    return speaks_ipv4(fd) || is_marked(fd);
}

/*
 * A TCP socket of IPv6 that is connected to an IPv4 address speaks IPv4 from then on, also when the connect fails: a
 * later one to an IPv6 address sends its first packet to the old address, at the new port and by the new interface.
 * The kernel tells nobody, so the socket gets a mark.
 *
 * Connects of one socket exclude each other, but nothing excludes the end of a connection, which another thread may ask
 * for at any time between this look and the connect, and by which one that was accepted, unmarked so far, could be
 * connected again. So whether it speaks IPv4 is asked first: who has been found not to was either marked before its
 * connection ended, which the second look then sees, or has never spoken it and can begin to only by a connect.
 */
static int keep_family(int fd, const struct socket_address *address)
{
    if (address->kind == ADDRESS_UNSPEC)
        return speaks_ipv4(fd) ? mark(fd) : 0;
    if (address->family != AF_INET6)
        return 0;
    if (address->ip.family == 4)
        return mark(fd);
    return keeps_ipv4(fd) ? -ENETUNREACH : 0;
}

/* -ENOTCONN: it has none, or one at port 0, where no socket that sends is connected to (see net/question.h). */
static int find_peer(int fd, struct socket_address *peer)
{
    struct sockaddr_in6 name = {0};
    socklen_t length = sizeof(name);

    if (getpeername(fd, (struct sockaddr *)&name, &length) != 0)
        return -errno;
    address_decode(&name, length < sizeof(name) ? length : sizeof(name), peer);
    return peer->kind == ADDRESS_IP ? 0 : -EAFNOSUPPORT;
}

enum kind { KIND_LOOPBACK, KIND_SCOPE, KIND_LOW, KIND_OTHER };

/* An address of which one half could make a loopback address is alone of its kind. */
static enum kind kind_of(const struct net_address *address)
{
    static const uint8_t low[8];

    if (net_address_is_loopback(address))
        return KIND_LOOPBACK;
    if (device_needs_scope(address))
        return KIND_SCOPE;
    return address->family == 6 && memcmp(address->bytes, low, sizeof(low)) == 0 ? KIND_LOW
                                                                                 : KIND_OTHER;
}

static bool is_alike(const struct net_address *peer, const struct net_address *address)
{
    enum kind kind = kind_of(address);

    return peer->family == address->family && kind_of(peer) == kind && kind != KIND_LOW;
}

static int keep_peer(const struct pinned_socket *socket, const struct socket_address *address,
                     enum device_peers peers)
{
    struct socket_address peer = {0};

    if (peers == PEERS_ANY)
        return 0;
    int result = find_peer(socket->fd, &peer);
    if (result == -ENOTCONN) /* ping has no ports, and few peers: whatever it is, it stays */
        return is_ping(socket) && is_marked(socket->fd) ? -EISCONN : 0;
    if (result < 0)
        return result;
    /* Without a mark it cannot send, or was given to the sandbox. */
    if (address->kind == ADDRESS_UNSPEC)
        return is_marked(socket->fd) ? -EISCONN : 0;
    if (peer.port == address->port && net_address_equal(&peer.ip, &address->ip))
        return 0;
    return peers == PEERS_ALIKE && is_alike(&peer.ip, &address->ip) ? 0 : -EISCONN;
}

/* The interface that a connect has brought goes with the peer, and a failed one's would go alone. */
static int keep_interface(const struct pinned_socket *socket, const struct socket_address *address)
{
    return socket->domain == AF_INET6 && address->kind == ADDRESS_UNSPEC &&
                   is_bound_elsewhere(socket->fd)
               ? -ENETUNREACH
               : 0;
}

int device_send_begun(int fd)
{
    static const int off = 0;

    return setsockopt(fd, IPPROTO_UDP, UDP_CORK, &off, sizeof(off)) == 0 ? 0 : -errno;
}

bool device_begins(const struct pinned_socket *socket, unsigned flags)
{
    return is_udp(socket) && (flags & MSG_MORE) != 0;
}

/* Without a port it has no peer, and has begun nothing: what is dissolved loses its port, and sends that before. */
static bool is_fresh(const struct pinned_socket *socket)
{
    struct sockaddr_in6 name = {0}; /* the port of both families lies at the same place */
    socklen_t length = sizeof(name);

    return is_udp(socket) && getsockname(socket->fd, (struct sockaddr *)&name, &length) == 0 &&
           name.sin6_port == 0;
}

/*
 * The kernel sends for an IPv4 peer of an IPv6 socket by IPv6 where another thread ends a begun datagram in that
 * moment, and no route says that ::ffff:127.0.0.1 is here. Of an interface nothing goes elsewhere.
 */
static int stay_here(const struct pinned_socket *socket, const struct socket_address *address)
{
    static const int here = LOOPBACK_INDEX;

    if (socket->domain != AF_INET6 || !is_udp(socket) || address->kind != ADDRESS_IP ||
        address->ip.family != 4 || !net_address_is_loopback(&address->ip) ||
        index_of(socket->fd) == here)
        return 0;
    return setsockopt(socket->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &here, sizeof(here)) == 0 ? 0
                                                                                          : -errno;
}

/*
 * An IPv6 socket has the IPv4 peer's port, and counts as connected, before it has the address: what another thread
 * sends in between goes to ::1 at that port. So the address comes first, at port 0, where nobody is.
 */
static int connect_at_no_port(const struct pinned_socket *socket,
                              const struct socket_address *address)
{
    struct socket_address at_no_port = *address;

    if (socket->domain != AF_INET6 || !is_udp(socket) || address->kind != ADDRESS_IP ||
        address->ip.family != 4)
        return 0;
    address_set_port(&at_no_port, 0);
    return connect_to(socket->fd, &at_no_port);
}

/* With the lock. */
static int connect_datagrams(const struct pinned_socket *socket,
                             const struct socket_address *address, enum device_peers peers,
                             bool *refused)
{
    int fd = socket->fd;
    bool dissolves = address->kind == ADDRESS_UNSPEC;
    bool is_used = !is_fresh(socket), may_have_begun = is_used && is_udp(socket);
    int result = is_used ? keep_peer(socket, address, peers) : 0;

    if (result == 0)
        result = keep_interface(socket, address);
    *refused = result == -ENETUNREACH || result == -EISCONN;
    if (result == 0 && may_have_begun)
        result = device_send_begun(fd);
    if (result == 0 && peers != PEERS_ANY)
        result = stay_here(socket, address);
    if (result == 0)
        result = connect_at_no_port(socket, address);
    if (result == 0)
        result = connect_to(fd, address);
    if (result == 0 && dissolves && may_have_begun) /* until then it had a peer to begin for */
        result = device_send_begun(fd);
    if (result < 0 || dissolves || peers == PEERS_ANY)
        return result;
    result = mark(fd);
    if (result < 0) { /* whoever has seen the peer has nothing to send to it */
        shutdown(fd, SHUT_WR);
        dissolve(fd);
    }
    return result;
}

static int connect_plainly(const struct pinned_socket *socket, const struct socket_address *address,
                           bool *refused)
{
    int result = is_concerned(socket, address) ? keep_family(socket->fd, address) : 0;

    *refused = result == -ENETUNREACH;
    return result == 0 ? connect_to(socket->fd, address) : result;
}

int device_connect(pthread_mutex_t *lock, const struct pinned_socket *socket,
                   const struct socket_address *address, enum device_peers peers, bool *refused)
{
    bool may_be_bound = is_ping(socket) && is_sent_to(address);
    int result = may_be_bound ? -ENETUNREACH : device_enter(lock, socket, address);

    *refused = result == -ENETUNREACH;
    if (result < 0)
        return result;
    result = is_concerned(socket, address) && !is_stream(socket)
                 ? connect_datagrams(socket, address, peers, refused)
                 : connect_plainly(socket, address, refused);
    device_leave(lock, socket, address);
    return result;
}

int device_settle(const struct pinned_socket *socket, const struct socket_address *address,
                  int result)
{
    if (!is_concerned(socket, address) || !is_stream(socket) || !is_sent_to(address) ||
        (result != 0 && result != -EINPROGRESS) || !is_bound_elsewhere(socket->fd))
        return result;
    shutdown(socket->fd, SHUT_RDWR);
    return -ENETUNREACH;
}

bool device_kept_ipv4(const struct pinned_socket *socket)
{
    return socket->domain == AF_INET6 && is_stream(socket) && is_marked(socket->fd);
}

bool device_is_open(const struct pinned_socket *socket, const struct socket_address *address)
{
    return is_ping(socket) && address->kind == ADDRESS_IP && net_address_is_loopback(&address->ip);
}

bool device_is_bound_by(const struct pinned_socket *socket, const struct socket_address *address)
{
    uint32_t scope;

    if (socket->domain != AF_INET6 || address->kind != ADDRESS_IP ||
        address->length < sizeof(struct sockaddr_in6) || !device_needs_scope(&address->ip))
        return false;
    memcpy(&scope, address->bytes + offsetof(struct sockaddr_in6, sin6_scope_id), sizeof(scope));
    return scope != 0 && scope != LOOPBACK_INDEX;
}

static const char *reason_of(const struct pinned_socket *socket,
                             const struct socket_address *address, const char *want, int error)
{
    bool connects = strcmp(want, "connect") == 0;

    if (error == EISCONN)
        return "a connected socket keeps its peer: what another thread sends meanwhile could go "
               "to a mixture of both addresses";
    if (error == EOPNOTSUPP)
        return "what is begun for a name could go on to another address (MSG_MORE)";
    if (connects && is_ping(socket) && address->kind == ADDRESS_IP)
        return "a ping socket can get bound to a network interface at any time";
    if (connects && is_stream(socket) && address->ip.family != 4 && keeps_ipv4(socket->fd))
        return "the socket has spoken IPv4, and would send to its IPv4 address again";
    return "the socket is bound to a network interface, by which it would leave";
}

void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want, int error)
{
    char object[ENDPOINT_TEXT_MAX];
    enum net_protocol protocol = NET_UDP;

    net_protocol_of_socket(socket, &protocol);
    if (address->kind == ADDRESS_UNSPEC)
        snprintf(object, sizeof(object), "%s socket", net_protocol_name(protocol));
    else
        name_local_address(object, protocol, address);
    request_record_denial(request, object, want, error, "network-rules",
                          reason_of(socket, address, want, error), NULL);
}
