/*
 * Seccomp user notification: see notify.h. The kernel copies structures of *its* size, which may
 * grow; the buffers handed to it are therefore larger than today's structures, and zeroed, which
 * RECV demands.
 */
#include "kernel/notify.h"

#include <errno.h>
#include <string.h>

#define NOTIFY_ROOM 256
#define NOTIFY_ERRNO_MAX 4095

/* Linux 6.6: not in older headers. The argument of SET_FLAGS is the value itself, not a pointer. */
#define NOTIFY_IOCTL_SET_FLAGS 0x40082104UL
#define NOTIFY_FLAG_SYNC_WAKE_UP 1UL

static long listener_ioctl(int listener, unsigned long request, const void *argument)
{
    return sys_call3(SYS_ioctl, listener, (long)request, (long)argument);
}

int notify_check_sizes(void)
{
    struct seccomp_notif_sizes sizes = {0};
    long result = sys_call3(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, (long)&sizes);

    if (result < 0)
        return (int)result;
    if (sizes.seccomp_notif > NOTIFY_ROOM || sizes.seccomp_notif_resp > NOTIFY_ROOM)
        return -ENOTSUP;
    return 0;
}

int notify_receive(int listener, struct seccomp_notif *notification)
{
    union {
        struct seccomp_notif notification;
        unsigned char room[NOTIFY_ROOM];
    } buffer;

    memset(&buffer, 0, sizeof(buffer));
    long result = listener_ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &buffer);
    if (result == -EINTR || result == -ENOENT)
        return 0;
    if (result < 0)
        return (int)result;
    *notification = buffer.notification;
    return 1;
}

static int answer(int listener, uint64_t id, int64_t value, int32_t error, uint32_t flags)
{
    union {
        struct seccomp_notif_resp response;
        unsigned char room[NOTIFY_ROOM];
    } buffer;

    memset(&buffer, 0, sizeof(buffer));
    buffer.response.id = id;
    buffer.response.val = value;
    buffer.response.error = error;
    buffer.response.flags = flags;
    long result;
    do { /* EINTR: waiting for the filter's lock was interrupted, nothing was sent */
        result = listener_ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &buffer);
    } while (result == -EINTR);
    return (int)result;
}

int notify_continue(int listener, uint64_t id)
{
    return answer(listener, id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int notify_error(int listener, uint64_t id, int error)
{
    /* A positive value in the kernel's field would reach the program as a success. */
    if (error < 1 || error > NOTIFY_ERRNO_MAX)
        error = EIO;
    return answer(listener, id, 0, -error, 0);
}

int notify_value(int listener, uint64_t id, int64_t value)
{
    if (value < 0 && value >= -NOTIFY_ERRNO_MAX)
        return -EINVAL;
    return answer(listener, id, value, 0, 0);
}

int notify_check_id(int listener, uint64_t id)
{
    long result;

    do {
        result = listener_ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
    } while (result == -EINTR);
    return (int)result;
}

static int add_fd(int listener, uint64_t id, int fd, int at, bool close_on_exec, uint32_t flags)
{
    struct seccomp_notif_addfd request = {
        .id = id,
        .flags = flags,
        .srcfd = (uint32_t)fd,
        .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
    };

    if (at >= 0) {
        request.flags |= SECCOMP_ADDFD_FLAG_SETFD;
        request.newfd = (uint32_t)at; /* without SETFD a number other than 0 is EINVAL */
    }
    /* Threads that answer notifications block their signals, so EINTR is not expected. The kernel
     * withdraws an interrupted request, and repeating it cannot install the descriptor twice. */
    long result;
    do {
        result = listener_ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &request);
    } while (result == -EINTR);
    return (int)result;
}

int notify_answer_fd(int listener, uint64_t id, int fd, bool close_on_exec)
{
    return add_fd(listener, id, fd, -1, close_on_exec, SECCOMP_ADDFD_FLAG_SEND);
}

int notify_answer_fd_at(int listener, uint64_t id, int fd, int at, bool close_on_exec)
{
    return add_fd(listener, id, fd, at, close_on_exec, SECCOMP_ADDFD_FLAG_SEND);
}

int notify_add_fd(int listener, uint64_t id, int fd, int at, bool close_on_exec)
{
    return add_fd(listener, id, fd, at, close_on_exec, 0);
}

int notify_set_sync_wake_up(int listener)
{
    return (int)sys_call3(SYS_ioctl, listener, (long)NOTIFY_IOCTL_SET_FLAGS,
                          (long)NOTIFY_FLAG_SYNC_WAKE_UP);
}
