/* Descriptor helpers: see fd.h. */
#include "util/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

static _Thread_local struct fd_guard thread_guard;

struct fd_guard fd_guard_thread(struct fd_guard guard)
{
    struct fd_guard before = thread_guard;

    thread_guard = guard;
    return before;
}

bool fd_are_guarded(void)
{
    return thread_guard.are_ours != NULL;
}

bool fd_are_ours(void)
{
    if (thread_guard.are_ours == NULL)
        return true;
    int saved = errno;
    bool ours = thread_guard.are_ours(thread_guard.data);
    errno = saved;
    return ours;
}

/* O_NONBLOCK belongs to the open file, which others may share and have set for themselves. */
static void wait_for_room(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};

    (void)RETRY_ON_EINTR(poll(&polled, 1, -1));
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *next = data;

    while (size > 0) {
        ssize_t written = RETRY_ON_EINTR(write(fd, next, size));
        if (written < 0 && errno == EAGAIN) {
            wait_for_room(fd);
            continue;
        }
        if (written < 0)
            return -errno;
        next += written;
        size -= (size_t)written;
    }
    return 0;
}

ssize_t fd_read_full(int fd, void *data, size_t size)
{
    char *next = data;
    size_t done = 0;

    while (done < size) {
        ssize_t got = RETRY_ON_EINTR(read(fd, next + done, size - done));
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int fd_duplicate_above(int fd, int minimum)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, minimum);
    return copy < 0 ? -errno : copy;
}

int fd_read_file(int fd, size_t limit, char **data, size_t *length)
{
    size_t capacity = 4096;
    size_t used = 0;
    CLEANUP_FREE char *buffer = malloc(capacity);

    if (buffer == NULL)
        return -ENOMEM;
    for (;;) {
        if (used + 1 >= capacity) {
            capacity *= 2;
            char *larger = realloc(buffer, capacity);
            if (larger == NULL)
                return -ENOMEM;
            buffer = larger;
        }
        ssize_t got = fd_read_full(fd, buffer + used, capacity - used - 1);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > limit)
            return -EFBIG;
    }
    buffer[used] = '\0';
    *data = buffer;
    *length = used;
    buffer = NULL;
    return 0;
}

void fd_end_lingering(int fd)
{
    int saved = errno;
    struct linger linger = {0};
    socklen_t length = sizeof(linger);

    if (fd_are_ours() && getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 &&
        linger.l_onoff != 0 && linger.l_linger != 0) {
        linger.l_onoff = 0;
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    errno = saved;
}
