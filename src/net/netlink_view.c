/* The virtual routing sockets and the reader on the supervisor's loop: see netlink_view.h. */
#include "net/netlink_view.h"

#include "member/socket.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* POLLRDHUP, which <poll.h> shows only by request; the same number on every architecture here. */
#define PEER_SHUT 0x2000

/* Requests answered before other descriptors get their turn. */
#define DRAIN_BATCH 16

/* How long the reader keeps a request for a member that does not read its replies. */
#define PATIENCE_NS 100000000

/* Random names that may be taken before something else must be wrong. */
#define NAME_ATTEMPTS_MAX 16

/* ---- The list ------------------------------------------------------------------------------------- */

struct netlink_view *netlink_view_new(struct supervisor *supervisor, bool more_addresses)
{
    struct netlink_view *view = calloc(1, sizeof(*view));

    if (view == NULL)
        return NULL;
    view->supervisor = supervisor;
    view->more_addresses = more_addresses;
    pthread_mutex_init(&view->lock, NULL);
    pthread_mutex_init(&view->injection, NULL);
    return view;
}

static void unwatch(struct netlink_socket *socket)
{
    struct loop *loop = socket->view->loop;

    if (loop == NULL)
        return;
    loop_remove(loop, socket->fd);
    loop_timer_cancel(loop, socket->patience);
    socket->patience = 0;
}

void netlink_view_leave_loop(struct netlink_view *view)
{
    for (struct netlink_socket *socket = view->sockets; socket != NULL; socket = socket->next)
        unwatch(socket);
    view->loop = NULL;
}

void netlink_view_free(struct netlink_view *view)
{
    if (view == NULL)
        return;
    while (view->sockets != NULL) {
        struct netlink_socket *socket = view->sockets;
        view->sockets = socket->next;
        fd_close(socket->fd);
        free(socket);
    }
    pthread_mutex_destroy(&view->lock);
    pthread_mutex_destroy(&view->injection);
    free(view);
}

struct netlink_socket *netlink_socket_find(struct netlink_view *view, uint64_t cookie)
{
    struct netlink_socket *socket = view->sockets;

    while (socket != NULL && (cookie == 0 || socket->cookie != cookie))
        socket = socket->next;
    return socket;
}

struct netlink_socket *netlink_socket_find_inode(struct netlink_view *view, uint64_t inode)
{
    struct netlink_socket *socket = view->sockets;

    while (socket != NULL && socket->inode != inode)
        socket = socket->next;
    return socket;
}

bool netlink_id_is_taken(const struct netlink_view *view, const struct netlink_socket *socket,
                         uint32_t port_id)
{
    for (const struct netlink_socket *other = view->sockets; other != NULL; other = other->next) {
        if (other != socket && other->bound && other->port_id == port_id)
            return true;
    }
    return false;
}

bool netlink_view_has(struct netlink_view *view, uint64_t cookie)
{
    if (view == NULL)
        return false;
    pthread_mutex_lock(&view->lock);
    bool found = netlink_socket_find(view, cookie) != NULL;
    pthread_mutex_unlock(&view->lock);
    return found;
}

static void forget(struct netlink_socket *socket)
{
    struct netlink_view *view = socket->view;
    struct netlink_socket **link = &view->sockets;

    pthread_mutex_lock(&view->lock);
    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    view->count--;
    pthread_mutex_unlock(&view->lock);
    unwatch(socket);
    fd_close(socket->fd);
    free(socket);
}

/* What can be seen of the socket now; `events` as for poll(2). */
static short look(const struct netlink_socket *socket, short events)
{
    struct pollfd polled = {.fd = socket->fd, .events = events};

    return poll(&polled, 1, 0) == 1 ? polled.revents : 0;
}

/* A program that opens and closes in a loop gets ahead of the loop's look at the closed ones. */
static void forget_closed(struct netlink_view *view)
{
    struct netlink_socket *next;

    for (struct netlink_socket *socket = view->sockets; socket != NULL; socket = next) {
        next = socket->next;
        if ((look(socket, 0) & POLLHUP) != 0)
            forget(socket);
    }
}

/* ---- Answers --------------------------------------------------------------------------------------- */

static bool send_reply(void *data, const void *datagram, size_t length)
{
    const struct netlink_socket *socket = data;

    return send(socket->fd, datagram, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

bool netlink_socket_answer(struct netlink_socket *socket, const void *request, size_t length)
{
    const struct netlink_host host = {.port_id = socket->port_id,
                                      .more_addresses = socket->view->more_addresses};

    return netlink_synthesize(&host, request, length, send_reply, socket);
}

/* Reads one request, unless its reply would have no room. False: nothing more to do now. */
static bool answer_next(struct netlink_socket *socket)
{
    uint8_t *request = socket->view->request;
    short seen = look(socket, POLLIN | POLLOUT | PEER_SHUT);

    if ((seen & POLLOUT) != 0)
        socket->overrun = false;
    bool held = (seen & (POLLOUT | POLLHUP)) == 0 && !socket->overrun;
    if ((seen & (POLLIN | POLLERR)) == 0 || held)
        return false;
    /* Descriptors that came along are dropped by the kernel. */
    ssize_t length = recv(socket->fd, request, NETLINK_REQUEST_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0)
        return false;
    if (length == 0) /* an empty datagram, or the end: only the other signs tell */
        return (seen & (POLLHUP | PEER_SHUT)) == 0;
    if (length <= NETLINK_REQUEST_MAX)
        netlink_socket_answer(socket, request, (size_t)length);
    return true;
}

void netlink_socket_drain(struct netlink_socket *socket)
{
    int left = DRAIN_BATCH;

    while (left > 0 && answer_next(socket))
        left--;
}

static void on_event(void *data, short revents);

static void watch(struct netlink_socket *socket, short events)
{
    unwatch(socket);
    /* Without memory for it, forget_closed() ends it. */
    loop_add(socket->view->loop, socket->fd, events, on_event, socket);
}

/* A member that sends and sends and never reads would wait in its send for ever. */
static void on_patience(void *data)
{
    struct netlink_socket *socket = data;

    socket->patience = 0;
    socket->overrun = true;
    watch(socket, POLLIN | PEER_SHUT);
}

static void wait_for_room(struct netlink_socket *socket)
{
    watch(socket, POLLOUT);
    socket->patience =
        loop_timer_add(socket->view->loop, loop_now() + PATIENCE_NS, on_patience, socket);
    if (socket->patience == 0)
        on_patience(socket);
}

static void on_event(void *data, short revents)
{
    struct netlink_socket *socket = data;

    if ((revents & (POLLHUP | POLLNVAL)) != 0) {
        /* Every copy is closed. What a program asked for and did not wait for needs no answer. */
        forget(socket);
        return;
    }
    if ((revents & (POLLIN | POLLERR)) != 0)
        netlink_socket_drain(socket);
    if ((revents & PEER_SHUT) != 0)
        watch(socket, 0); /* shut down for writing: only the end is left to see */
    else if (!socket->overrun && (look(socket, POLLOUT) & POLLOUT) == 0)
        wait_for_room(socket);
    else if ((revents & POLLOUT) != 0)
        watch(socket, POLLIN | PEER_SHUT);
}

/* ---- New sockets ------------------------------------------------------------------------------------- */

/*
 * A twelve-byte abstract name for our end. The kernel writes it into every receive of the member, which
 * thus gets an address of the length of a sockaddr_nl with port id 0, the kernel's: libraries drop
 * datagrams without it. Names are unique on the host: where the group mask would be it is counted from a
 * random number, which is drawn again where somebody else's names are.
 */
static int name_end(struct netlink_view *view, int fd)
{
    for (int attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
        struct netlink_name name = {.family = AF_UNIX, .groups = (uint32_t)view->next_name};
        uint8_t pad[2] = {0, (uint8_t)(view->next_name >> 32)}; /* an abstract name begins with 0 */
        memcpy(&name.pad, pad, sizeof(pad));
        view->next_name++;
        if (view->names_drawn && bind(fd, (const struct sockaddr *)&name, NETLINK_NAME_LENGTH) == 0)
            return 0;
        if (view->names_drawn && errno != EADDRINUSE)
            return -errno;
        if (getrandom(&view->next_name, sizeof(view->next_name), 0) !=
            (ssize_t)sizeof(view->next_name))
            return -EIO;
        view->names_drawn = true;
    }
    return -EADDRINUSE;
}

static int make_ends(struct netlink_view *view, bool nonblocking, int ends[2])
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
    int result = FAULT_OR("netlink-pair", -1, socketpair(AF_UNIX, type, 0, ends));

    /* The member's own limit is not what is reached here. */
    if (result != 0)
        return errno == EMFILE || errno == ENFILE ? -ENOBUFS : -errno;
    result = name_end(view, ends[0]);
    if (result < 0) {
        fd_close(ends[0]);
        fd_close(ends[1]);
    }
    return result;
}

static uint64_t inode_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static bool add(struct netlink_view *view, struct netlink_socket *socket)
{
    if (view->loop == NULL)
        view->loop = supervisor_loop(view->supervisor);
    if (view->loop == NULL || socket->cookie == 0 ||
        !loop_add(view->loop, socket->fd, POLLIN | PEER_SHUT, on_event, socket))
        return false;
    pthread_mutex_lock(&view->lock);
    socket->next = view->sockets;
    view->sockets = socket;
    view->count++;
    pthread_mutex_unlock(&view->lock);
    return true;
}

int netlink_socket_open(struct netlink_view *view, pid_t tgid, int type, int *member_end)
{
    int ends[2];

    if (view->count >= NETLINK_SOCKETS_MAX)
        forget_closed(view);
    if (view->count >= NETLINK_SOCKETS_MAX)
        return -ENOBUFS;
    struct netlink_socket *socket = calloc(1, sizeof(*socket));
    int result = socket == NULL ? -ENOMEM : make_ends(view, (type & SOCK_NONBLOCK) != 0, ends);
    if (result < 0) {
        free(socket);
        return result;
    }
    *socket = (struct netlink_socket){.view = view,
                                      .fd = ends[0],
                                      .cookie = socket_cookie_of(ends[1]),
                                      .inode = inode_of(ends[1]),
                                      .type = type & NETLINK_TYPE_MASK,
                                      .port_id = (uint32_t)tgid};
    if (!add(view, socket)) {
        fd_close(ends[0]);
        fd_close(ends[1]);
        free(socket);
        return -ENOMEM;
    }
    *member_end = ends[1];
    return 0;
}
