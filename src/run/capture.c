/* Draining of pipes: see capture.h. */
#include "run/capture.h"

#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* One read; a pipe holds 64 KiB by default. */
#define CHUNK (64 * 1024)

static void stop(struct capture *capture)
{
    if (capture->fd < 0)
        return;
    loop_remove(capture->loop, capture->fd);
    fd_close(capture->fd);
    capture->fd = -1;
}

/* Reads once. False when there is nothing more now or ever. */
static bool drain_once(struct capture *capture)
{
    char *room = fault_is("capture-memory") ? NULL : buffer_reserve(&capture->bytes, CHUNK);

    if (room == NULL) { /* out of memory: stop storing, the command must not block */
        capture->cut = true;
        stop(capture);
        return false;
    }
    ssize_t got = RETRY_ON_EINTR(read(capture->fd, room, CHUNK));
    if (got > 0) {
        buffer_commit(&capture->bytes, (size_t)got);
        return true;
    }
    if (got == 0 || errno != EAGAIN)
        stop(capture);
    return false;
}

static void on_readable(void *data, short revents)
{
    (void)revents;
    drain_once(data);
}

bool capture_start(struct capture *capture, struct loop *loop, int fd)
{
    capture->captured = true;
    capture->loop = loop;
    capture->fd = fd;
    fcntl(fd, F_SETFL, O_NONBLOCK); /* the reading end of a pipe has no other flag */
    return loop_add(loop, fd, POLLIN, on_readable, capture);
}

void capture_finish(struct capture *capture)
{
    while (capture->fd >= 0 && drain_once(capture))
        continue;
    stop(capture);
}

void capture_free(struct capture *capture)
{
    stop(capture);
    buffer_free(&capture->bytes);
}
