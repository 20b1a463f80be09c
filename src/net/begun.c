/* Collecting connects: see begun.h. */
#include "net/begun.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* POLLRDHUP, which <poll.h> shows only by request; the same number on every architecture here. */
#define PEER_SHUT 0x2000

bool begun_is_unfinished(int result)
{
    return result == -EINPROGRESS || result == -EALREADY || result == -EINTR;
}

/* A connect that another one ended returns EPIPE, however the socket looks when its thread runs again, and
 * leaves the socket's error to others (Linux 6.7; before, it is as likely to take the error). */
void begun_note_ended(struct ended_connects *ended, struct pinned_socket *socket)
{
    if (socket->cookie == 0)
        socket->cookie = socket_cookie_of(socket->fd);
    pthread_mutex_lock(&ended->lock);
    ended->cookies[ended->count++ % ENDED_CONNECTS] = socket->cookie;
    pthread_mutex_unlock(&ended->lock);
}

unsigned begun_ended_count(struct ended_connects *ended)
{
    pthread_mutex_lock(&ended->lock);
    unsigned count = ended->count;
    pthread_mutex_unlock(&ended->lock);
    return count;
}

static bool was_ended(struct ended_connects *ended, unsigned ended_before,
                      const struct pinned_socket *socket)
{
    bool found = false;

    pthread_mutex_lock(&ended->lock);
    unsigned since = ended->count - ended_before;
    for (unsigned i = 0; i < since && i < ENDED_CONNECTS && !found; i++)
        found = ended->cookies[(ended->count - 1 - i) % ENDED_CONNECTS] == socket->cookie;
    pthread_mutex_unlock(&ended->lock);
    return found;
}

/* A second connect() to multicast: the kernel looks at the address only if no connect is under way, and
 * then finds that TCP does not lead there. The port is the judged one, for our own domain. */
static int connect_nowhere(const struct pinned_socket *socket, uint16_t port)
{
    union {
        struct sockaddr plain;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {.v4.sin_family = AF_INET};
    socklen_t length = sizeof(name.v4);

    if (socket->domain == AF_INET6) {
        name.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                        .sin6_port = htons(port),
                                        .sin6_addr.s6_addr = {0xFF, 0x01, [15] = 1}};
        length = sizeof(name.v6);
    } else {
        name.v4.sin_port = htons(port);
        name.v4.sin_addr.s_addr = htonl(INADDR_ALLHOSTS_GROUP);
    }
    return connect(socket->fd, &name.plain, length) == 0 ? 0 : -errno;
}

static int take_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : 0;
}

/* Whether the kernel ended the connection, as far as that can be seen: a cancelled one is not shut. */
static bool is_shut(int fd)
{
    struct pollfd polled = {.fd = fd, .events = PEER_SHUT};

    return poll(&polled, 1, 0) == 1 && (polled.revents & PEER_SHUT) != 0;
}

/* Cancelled by shutdown(), the socket still has its error, which the kernel's own call would take. */
static int collect_failure(struct ended_connects *ended, struct pinned_socket *socket, int result,
                           bool was_shut)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int error = take_error(socket->fd);

    begun_note_ended(ended, socket);
    /* Failed, and then shutdown() before we came. What this says is no matter. */
    if (result == -EINVAL && error != 0 && connect(socket->fd, &nobody, sizeof(nobody)) != 0)
        return -error;
    if (error != 0)
        return -error;
    return result == -ENETUNREACH && !was_shut ? -ECONNABORTED : result;
}

int begun_collect(struct ended_connects *ended, unsigned ended_before, struct pinned_socket *socket,
                  uint16_t port)
{
    if (was_ended(ended, ended_before, socket))
        return -EPIPE;
    bool was_shut = is_shut(socket->fd);
    int result = connect_nowhere(socket, port);
    if (begun_is_unfinished(result))
        return result;
    if (result == 0 || result == -EISCONN) /* another thread collected the success */
        return 0;
    return collect_failure(ended, socket, result, was_shut);
}
