/*
 * Pinning a member's socket: see socket.h. A thread can have a descriptor table of its own, so the
 * duplicate is always taken from the table of the thread that called. The leader's table is behind the
 * process's own pidfd, which the receiving thread has already.
 */
#include "member/socket.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "supervisor/task.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

/* Before 6.9 there are no descriptors of threads; then the process's table has to stand for the
 * thread's. What is performed on the duplicate is sound all the same: it is what was judged. */
static int open_caller(const struct request *request)
{
    pid_t tid = (pid_t)request->notification.pid;
    int pidfd = sys_pidfd_open(tid, PIDFD_THREAD);

    if (pidfd == -EINVAL)
        pidfd = sys_pidfd_open(request->tgid, 0);
    return pidfd;
}

static int get_from(const struct request *request, int pidfd, int fd)
{
    int copy = FAULT_OR("pidfd-getfd", -EPERM, sys_pidfd_getfd(pidfd, fd));

    supervisor_check_violation(request->supervisor, copy, "pidfd_getfd");
    if ((copy == -EPERM || copy == -ENOSYS) && request->wish != NULL)
        request->wish->refused = true;
    return copy;
}

int member_get_fd(const struct request *request, int fd)
{
    if (supervisor_fetches(request->supervisor))
        return request_fetched_fd(request, fd);
    if (request->task != NULL && (pid_t)request->notification.pid == request->task->tgid)
        return get_from(request, request->task->pidfd, fd);
    CLEANUP_FD int pidfd = open_caller(request);
    if (pidfd < 0)
        return pidfd;
    return get_from(request, pidfd, fd);
}

static int get_option(int fd, int option, void *value, socklen_t size)
{
    socklen_t length = size;

    if (getsockopt(fd, SOL_SOCKET, option, value, &length) != 0)
        return -errno;
    return length == size ? 0 : -EIO;
}

/* ---- Closing --------------------------------------------------------------------------------------- */

struct closing {
    int fd;
};

static void close_one(const struct request *request, void *data)
{
    struct closing *closing = data;

    *request->fate = REQUEST_HANDED_OVER; /* the call itself is answered elsewhere */
    fd_close(closing->fd);
    closing->fd = -1;
}

static void closing_free(void *data)
{
    struct closing *closing = data;

    fd_close(closing->fd); /* it never ran */
    free(closing);
}

static bool close_on_worker(const struct request *request, int fd)
{
    struct closing *closing = malloc(sizeof(*closing));
    struct request starter = *request;

    if (closing == NULL)
        return false;
    closing->fd = fd;
    starter.fate = NULL; /* the call stays with the caller */
    if (request_submit(&starter, close_one, closing, closing_free))
        return true;
    free(closing);
    return false;
}

void member_close(const struct request *request, int fd)
{
    int domain = AF_UNIX;

    if (fd < 0)
        return;
    int result = get_option(fd, SO_DOMAIN, &domain, sizeof(domain));
    if (result == 0 && domain != AF_UNIX)
        fd_end_lingering(fd); /* members cannot ask for it: see net/linger.c */
    /* An O_PATH descriptor is no open file (EBADF): nothing is written back. */
    if (result != -ENOTSOCK || request->task == NULL || !close_on_worker(request, fd))
        fd_close(fd);
}

/* ---- Kinds ----------------------------------------------------------------------------------------- */

/* The first question tells whether it is a socket. An O_PATH descriptor is none: EBADF. */
static int identify_type(struct pinned_socket *socket)
{
    int result = get_option(socket->fd, SO_DOMAIN, &socket->domain, sizeof(socket->domain));

    if (result == 0)
        result = get_option(socket->fd, SO_TYPE, &socket->type, sizeof(socket->type));
    if (result == 0)
        result = get_option(socket->fd, SO_PROTOCOL, &socket->protocol, sizeof(socket->protocol));
    return result;
}

int socket_identify(struct pinned_socket *socket)
{
    int result = identify_type(socket);

    if (result == 0)
        result = get_option(socket->fd, SO_COOKIE, &socket->cookie, sizeof(socket->cookie));
    return result;
}

/* A question costs as much as a small send does, so nothing is asked that the answers so far tell. */
static int identify_kind(struct pinned_socket *socket)
{
    int result = get_option(socket->fd, SO_DOMAIN, &socket->domain, sizeof(socket->domain));

    if (result < 0)
        return result;
    if (socket->domain == AF_UNIX)
        return get_option(socket->fd, SO_TYPE, &socket->type, sizeof(socket->type));
    result = get_option(socket->fd, SO_PROTOCOL, &socket->protocol, sizeof(socket->protocol));
    if (result < 0)
        return result;
    bool is_ip = socket->domain == AF_INET || socket->domain == AF_INET6;
    if (is_ip && socket->protocol == IPPROTO_TCP)
        socket->type = SOCK_STREAM;
    else if (is_ip && socket->protocol == IPPROTO_UDP)
        socket->type = SOCK_DGRAM;
    else
        return get_option(socket->fd, SO_TYPE, &socket->type, sizeof(socket->type));
    return 0;
}

static int pin(const struct request *request, int fd, struct pinned_socket *socket,
               int (*identify)(struct pinned_socket *socket))
{
    *socket = PINNED_SOCKET_INIT;
    int copy = member_get_fd(request, fd);
    if (copy < 0)
        return copy;
    socket->fd = copy;
    int result = identify(socket);
    /* The number named the caller only if it still waits. */
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    if (result < 0) {
        member_close(request, socket->fd);
        socket->fd = -1;
    }
    return result;
}

int socket_pin(const struct request *request, int fd, struct pinned_socket *socket)
{
    return pin(request, fd, socket, socket_identify);
}

int socket_pin_kind(const struct request *request, int fd, struct pinned_socket *socket)
{
    return pin(request, fd, socket, identify_kind);
}

uint64_t socket_cookie_of(int fd)
{
    uint64_t cookie = 0;

    return get_option(fd, SO_COOKIE, &cookie, sizeof(cookie)) == 0 ? cookie : 0;
}

int socket_inode_by_link(const struct request *request, int fd, uint64_t *inode)
{
    static const char prefix[] = "socket:[";
    char link[64];
    char *end;

    request_take_back_wish(request); /* the caller makes do with this */
    ssize_t length = procfs_read_fd_link(supervisor_proc_fd(request->supervisor),
                                         (pid_t)request->notification.pid, fd, link, sizeof(link));
    if (length == -ENAMETOOLONG) /* a path */
        return -ENOTSOCK;
    if (length < 0)
        return length == -ENOENT ? -EBADF : (int)length;
    if (strncmp(link, prefix, sizeof(prefix) - 1) != 0)
        return -ENOTSOCK;
    *inode = strtoull(link + sizeof(prefix) - 1, &end, 10);
    return *end == ']' ? 0 : -ENOTSOCK;
}

void socket_unpin(struct pinned_socket *socket)
{
    if (socket->fd >= 0 && socket->domain != AF_UNIX && socket->type != SOCK_DGRAM)
        fd_end_lingering(socket->fd);
    fd_close(socket->fd);
    socket->fd = -1;
}

bool socket_is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_NONBLOCK) != 0;
}
