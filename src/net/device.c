/* Interfaces that sockets are bound to: see device.h. */
#include "net/device.h"

#include "net/refusal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
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

static bool is_bound_elsewhere(int fd)
{
    int index = 0;
    socklen_t length = sizeof(index);

    return getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &length) != 0 ||
           (index != 0 && index != LOOPBACK_INDEX);
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

void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want)
{
    char object[ENDPOINT_TEXT_MAX];
    enum net_protocol protocol = NET_UDP;

    net_protocol_of_socket(socket, &protocol);
    name_local_address(object, protocol, address);
    bool only_may_be = strcmp(want, "connect") == 0 && device_is_open(socket, address);
    request_record_denial(
        request, object, want, ENETUNREACH, "network-rules",
        only_may_be ? "a ping socket can get bound to a network interface at any time"
                    : "the socket is bound to a network interface, by which it would leave",
        NULL);
}
