/* Connects that only ask: see question.h. */
#include "net/question.h"

#include "net/device.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_LOCK_FILTER
#define SO_LOCK_FILTER 44
#endif

/* On a socket without a peer it says ENOTCONN, and takes effect all the same. Nothing undoes it. A datagram that was
 * begun before would still be continued, and go to the next peer: it is sent now, and none can be begun any more. */
static bool stop_sending(int fd)
{
    return (shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN) && device_send_begun(fd) == 0;
}

/* The kernel lets nothing leave such a socket. That its sending side is shut down cannot be asked, and a
 * socket that the sandbox was given may look the same, so it is shut down once more. */
static bool is_inert(int fd)
{
    int locked = 0;
    socklen_t length = sizeof(locked);

    return getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &length) == 0 && locked != 0 &&
           stop_sending(fd);
}

/* Who asks has a socket for nothing else, so one that has a port is left as it is. */
static bool becomes_mute(int fd)
{
    struct sockaddr_in6 name = {0}; /* the port of both families lies at the same place */
    socklen_t length = sizeof(name);

    return getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.sin6_port == 0 &&
           stop_sending(fd);
}

static bool is_loopback_itself(const struct net_address *ip)
{
    static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};

    return ip->family == 4 ? memcmp(ip->bytes, v4, sizeof(v4)) == 0
                           : memcmp(ip->bytes, v6, sizeof(v6)) == 0;
}

/* By a rule of whatever protocol and port: what is told of it, its connections tell as well. An interface is nothing
 * to ask about. */
static bool is_named(const struct network *network, const struct net_address *ip)
{
    return !device_needs_scope(ip) && net_allows_address(network->verdicts, ip);
}

static bool is_question(const struct network *network, const struct socket_address *address)
{
    const struct net_address *ip = &address->ip;

    switch (address->port) {
    case QUESTION_FAMILY_PORT:
        return is_loopback_itself(ip) || is_named(network, ip);
    case QUESTION_NO_PORT:
        return is_named(network, ip) || net_allows(network->verdicts, NET_UDP, ip, 0);
    case QUESTION_ROUTE_PORT:
        return network->shape.udp == UDP_INERT && net_allows(network->verdicts, NET_ICMP, ip, 0);
    default:
        return false;
    }
}

bool question_is_harmless(const struct network *network, const struct pinned_socket *socket,
                          const struct socket_address *address)
{
    if (!is_question(network, address))
        return false;
    return network->shape.udp == UDP_INERT ? is_inert(socket->fd) : becomes_mute(socket->fd);
}
