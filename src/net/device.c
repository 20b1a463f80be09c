/* Interfaces that sockets are bound to: see device.h. */
#include "net/device.h"

#include "net/refusal.h"

#include <errno.h>
#include <netinet/in.h>
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

static bool is_concerned(const struct pinned_socket *socket, const struct socket_address *address)
{
    return socket->domain == AF_INET6 &&
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

int device_enter(pthread_mutex_t *lock, const struct pinned_socket *socket,
                 const struct socket_address *address)
{
    int result = 0;

    if (!is_concerned(socket, address))
        return 0;
    if (!is_stream(socket))
        pthread_mutex_lock(lock);
    if (is_sent_to(address)) {
        result = is_stream(socket) ? 0 : fix(socket->fd);
        if (result == 0 && is_bound_elsewhere(socket->fd))
            result = -ENETUNREACH;
    }
    if (result < 0)
        device_leave(lock, socket, address);
    return result;
}

void device_leave(pthread_mutex_t *lock, const struct pinned_socket *socket,
                  const struct socket_address *address)
{
    if (is_concerned(socket, address) && !is_stream(socket))
        pthread_mutex_unlock(lock);
}

/* Where the address brings an interface, the kernel's connect binds the socket to it, or to the one that multicast
 * is sent by, before it can fail, and then leaves the old peer in place. */
static bool takes_interface(const struct pinned_socket *socket,
                            const struct socket_address *address)
{
    return socket->domain == AF_INET6 && !is_stream(socket) && address->kind == ADDRESS_IP &&
           device_needs_scope(&address->ip);
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

/*
 * Whether the socket has a peer is not asked: getpeername() tells none whose port is 0. One that has an interface
 * needs nothing, since its peer, if any, belongs to it, and a connect brings no other. One that a failed connect
 * has bound stays bound.
 */
static int connect_to_scope(int fd, const struct socket_address *address)
{
    int index = index_of(fd);
    int result = index < 0 ? -ENETUNREACH : index == 0 ? dissolve(fd) : 0;

    return result < 0 ? result : connect_to(fd, address);
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

/*
 * A TCP socket of IPv6 that is connected to an IPv4 address speaks IPv4 from then on, also when the connect fails: a
 * later one to an IPv6 address sends its first packet to the old address, at the new port and by the new interface.
 * The kernel tells nobody, so the socket gets a mark.
 */
static int keep_family(int fd, const struct socket_address *address)
{
    if (address->kind != ADDRESS_IP || address->family != AF_INET6)
        return 0;
    if (address->ip.family == 4)
        return mark(fd);
    return is_marked(fd) ? -ENETUNREACH : 0;
}

/*
 * A send without an address reads the socket's interface and then its peer, in the kernel, while another thread's
 * connects change both. So a datagram socket has peers of one kind only: with a mark, of those without an
 * interface; where a connect has bound it, it stays bound.
 */
static int keep_kind(const struct pinned_socket *socket, const struct socket_address *address)
{
    if (takes_interface(socket, address))
        return is_marked(socket->fd) ? -ENETUNREACH : 0;
    if (is_sent_to(address))
        return mark(socket->fd);
    return is_bound_elsewhere(socket->fd) ? -ENETUNREACH : 0;
}

int device_connect(pthread_mutex_t *lock, const struct pinned_socket *socket,
                   const struct socket_address *address, bool *refused)
{
    bool may_be_bound = is_ping(socket) && is_sent_to(address);
    int result = may_be_bound ? -ENETUNREACH : device_enter(lock, socket, address);

    *refused = result == -ENETUNREACH;
    if (result < 0)
        return result;
    if (is_concerned(socket, address))
        result = is_stream(socket) ? keep_family(socket->fd, address) : keep_kind(socket, address);
    *refused = result == -ENETUNREACH;
    if (result == 0)
        result = takes_interface(socket, address) ? connect_to_scope(socket->fd, address)
                                                  : connect_to(socket->fd, address);
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
                             const struct socket_address *address, const char *want)
{
    bool connects = strcmp(want, "connect") == 0;

    if (connects && is_ping(socket))
        return "a ping socket can get bound to a network interface at any time";
    if (connects && is_stream(socket) && address->ip.family != 4 && is_marked(socket->fd))
        return "the socket was connected to an IPv4 address, to which it would send again";
    if (connects && takes_interface(socket, address))
        return "the socket was connected to an address without a network interface, to which it "
               "could send by this one";
    return "the socket is bound to a network interface, by which it would leave";
}

void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want)
{
    char object[ENDPOINT_TEXT_MAX];
    enum net_protocol protocol = NET_UDP;

    net_protocol_of_socket(socket, &protocol);
    if (address->kind == ADDRESS_UNSPEC)
        snprintf(object, sizeof(object), "%s socket", net_protocol_name(protocol));
    else
        name_local_address(object, protocol, address);
    request_record_denial(request, object, want, ENETUNREACH, "network-rules",
                          reason_of(socket, address, want), NULL);
}
