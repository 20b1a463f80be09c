/* Interfaces that sockets are bound to: see device.h. */
#include "net/device.h"

#include "net/refusal.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LOOPBACK_INDEX 1 /* in every network namespace */

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
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

/* A socket is bound once, and what unbinds it comes by here. EINVAL: it is bound already. */
static int fix(int fd)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6};

    if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0 || errno == EINVAL)
        return 0;
    return errno == EADDRINUSE ? -EAGAIN : -errno; /* out of ports */
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

void device_refuse(const struct request *request, const struct pinned_socket *socket,
                   const struct socket_address *address, const char *want)
{
    char object[ENDPOINT_TEXT_MAX];
    enum net_protocol protocol = NET_UDP;

    net_protocol_of_socket(socket, &protocol);
    name_local_address(object, protocol, address);
    request_record_denial(request, object, want, ENETUNREACH, "network-rules",
                          "the socket is bound to a network interface, by which it would leave",
                          NULL);
}
