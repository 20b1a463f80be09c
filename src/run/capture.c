/* Draining of pipes: see capture.h. */
#include "run/capture.h"

#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* One read; a pipe holds 64 KiB by default. */
#define CHUNK (64 * 1024)

static bool is_ours(const struct capture *capture)
{
    struct stat status;

    return fstat(capture->fd, &status) == 0 && status.st_dev == capture->device &&
           status.st_ino == capture->inode;
}

static void stop(struct capture *capture)
{
    if (capture->fd < 0)
        return;
    loop_remove(capture->loop, capture->fd);
    if (is_ours(capture))
        fd_close(capture->fd);
    capture->fd = -1;
}

/* Reads once, at most so many bytes. Their number; 0 when there is nothing more now or ever. */
static size_t drain_once(struct capture *capture, size_t most)
{
    char *room = fault_is("capture-memory") ? NULL : buffer_reserve(&capture->bytes, CHUNK);

    if (!is_ours(capture)) {
        loop_lose(capture->loop);
        stop(capture);
        return 0;
    }
    if (room == NULL) { /* out of memory: stop storing, the command must not block */
        capture->cut = true;
        stop(capture);
        return 0;
    }
    ssize_t got = RETRY_ON_EINTR(read(capture->fd, room, most));
    if (got > 0) {
        buffer_commit(&capture->bytes, (size_t)got);
        return (size_t)got;
    }
    if (got == 0 || errno != EAGAIN)
        stop(capture);
    return 0;
}

static void on_readable(void *data, short revents)
{
    (void)revents;
    drain_once(data, CHUNK);
}

bool capture_start(struct capture *capture, struct loop *loop, int fd)
{
    struct stat status = {0};

    capture->captured = true;
    capture->loop = loop;
    capture->fd = fd;
    fstat(fd, &status);
    capture->device = status.st_dev;
    capture->inode = status.st_ino;
    fcntl(fd, F_SETFL, O_NONBLOCK); /* the reading end of a pipe has no other flag */
    return loop_add_hot(loop, fd, POLLIN, on_readable, capture);
}

void capture_finish(struct capture *capture)
{
    int there = 0;

    if (capture->fd >= 0 && is_ours(capture) && ioctl(capture->fd, FIONREAD, &there) == 0) {
        size_t left = there > 0 ? (size_t)there : 0;
        while (left > 0 && capture->fd >= 0) {
            size_t got =
                drain_once(capture, left < CHUNK ? left : CHUNK); /* none that is written later */
            left = got > 0 && got < left ? left - got : 0;
        }
    }
    stop(capture);
}

void capture_free(struct capture *capture)
{
    stop(capture);
    buffer_free(&capture->bytes);
}
