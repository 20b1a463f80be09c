/*
 * Handing a message to the kernel: see send_message.h. Every attempt is made with MSG_DONTWAIT on the
 * member's own open file description, whose O_NONBLOCK is never touched. While a member waits its
 * payload stays in its memory: it is copied in pieces when the socket takes more, so a stalled peer
 * costs no memory here.
 */
#include "net/send_message.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "supervisor/loop.h"
#include "net/ancillary.h"
#include "net/device.h"
#include "net/refusal.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A piece of a stream. Larger ones save nothing: the copies dominate. */
#define WINDOW (64U * 1024)

/* Nothing tells a full unix socket that it is shut down, by its own side or by a peer that reads no more: it
 * is asked now and then. */
#define SHUTDOWN_LOOK 50000000LL

/* Datagrams above this are compared with the socket's buffer before they are copied. */
#define LARGE_DATAGRAM (256U * 1024)

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

/* The kernel's struct msghdr; musl's differs in the types, and its sendmsg() limits control data. */
struct kernel_message {
    const void *name;
    uint32_t name_length;
    const struct iovec *ranges;
    uint64_t range_count;
    const void *control;
    uint64_t control_length;
    uint32_t flags;
};

_Static_assert(sizeof(struct kernel_message) == MESSAGE_HEADER_SIZE, "layout of struct msghdr");

/* ---- Life --------------------------------------------------------------------------------------- */

struct send *send_new(const struct request *request, unsigned flags)
{
    struct send *send = calloc(1, sizeof(*send));

    if (send == NULL)
        return NULL;
    send->shared = request->state;
    send->tid = (pid_t)request->notification.pid;
    send->flags = flags;
    send->socket = PINNED_SOCKET_INIT;
    send->target = UNIX_TARGET_INIT;
    return send;
}

void send_next(struct send *send)
{
    message_release(&send->message);
    unix_target_release(&send->target);
    send->target = UNIX_TARGET_INIT;
    for (size_t i = 0; i < send->passed_count; i++)
        fd_close(send->passed[i]);
    atomic_fetch_sub(&send->shared->passed, (unsigned)send->passed_count);
    free(send->passed);
    send->passed = NULL;
    send->passed_count = 0;
    free(send->introduction);
    send->introduction = NULL;
    send->lowers = false;
    if (send->looked)
        identity_release(&send->identity);
    send->looked = false;
    send->done = 0;
}

void send_free(struct send *send)
{
    if (send == NULL)
        return;
    send_next(send);
    socket_unpin(&send->socket);
    if (send->admitted)
        holder_leave(send->shared->network->holder);
    free(send);
}

bool send_admit(struct send *send)
{
    send->admitted = send->admitted || holder_admit(send->shared->network->holder);
    return send->admitted;
}

/* ---- One attempt -------------------------------------------------------------------------------- */

static int enter_rights(const struct request *request, struct send *send,
                        struct lowered_rights *lowered)
{
    lowered->active = false;
    int result = send_find_rights(request, send);
    if (result < 0)
        return result;
    if (send->done == 0 && send->name == SEND_TO_TARGET) {
        uint64_t kept = send->introduction == NULL ? 0 : SEND_INTRODUCES;
        if (kept != 0 && send->passed_count == 0) /* another process's number */
            kept |= 1ULL << CAP_SYS_ADMIN;
        result = unix_target_enter(request, &send->target, kept, lowered);
        if (result < 0 || lowered->active)
            return result;
    }
    return send->lowers ? identity_lower(&send->identity, lowered) : 0;
}

static void add_control(const struct send *send, struct kernel_message *message)
{
    if (send->introduction != NULL) {
        size_t at = send->done == 0 ? 0 : send->credentials_at;
        message->control = send->introduction + at;
        message->control_length = send->introduction_length - at;
    } else if (send->done == 0) {
        message->control = send->message.control;
        message->control_length = send->message.control_length;
    }
}

static int64_t send_locked(struct send *send, const struct kernel_message *message, unsigned flags)
{
    pthread_mutex_t *lock = &send->shared->device_lock;
    bool named = message->name != NULL && send->name == SEND_TO_COPY;
    int result = named && device_begins(&send->socket, flags) ? -EOPNOTSUPP : 0;
    if (named && result == 0)
        result = device_enter(lock, &send->socket, &send->message.name);

    send->kept = result == -ENETUNREACH || result == -EOPNOTSUPP;
    if (result < 0)
        return result;
    int64_t sent = sys_call3(SYS_sendmsg, send->socket.fd, (long)message, (long)flags);
    if (named)
        device_leave(lock, &send->socket, &send->message.name);
    return sent;
}

/* What keeps the packet in the machine goes with it where the socket cannot be kept. */
static int64_t send_by_device(struct send *send, const struct kernel_message *message,
                              unsigned flags)
{
    struct kernel_message guarded = *message;

    if (message->name == NULL || send->name != SEND_TO_COPY ||
        !device_is_open(&send->socket, &send->message.name))
        return send_locked(send, message, flags);
    guarded.control_length += ANCILLARY_LOOPBACK_SIZE;
    CLEANUP_FREE uint8_t *control = malloc(guarded.control_length);
    if (control == NULL)
        return -ENOMEM;
    ancillary_put_loopback(control);
    if (message->control_length > 0)
        memcpy(control + ANCILLARY_LOOPBACK_SIZE, message->control, message->control_length);
    guarded.control = control;
    return send_locked(send, &guarded, flags);
}

/* What a stream's sender says of the last byte is not true of the pieces before the last. */
static unsigned flags_of_piece(const struct send *send, size_t size)
{
    unsigned flags = send->flags & ~(unsigned)(MSG_ZEROCOPY | MSG_FASTOPEN);

    return size < send->message.length - send->done ? flags & ~(unsigned)(MSG_OOB | MSG_EOR)
                                                    : flags;
}

/* Name and control data go with the first byte. */
static int64_t transmit(const struct request *request, struct send *send, const void *data,
                        size_t size)
{
    struct iovec range = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct kernel_message message = {.ranges = &range, .range_count = 1};
    struct lowered_rights lowered;
    unsigned flags = flags_of_piece(send, size);

    int result = enter_rights(request, send, &lowered);
    if (result < 0)
        return result;
    if (send->done == 0) {
        if (send->name == SEND_TO_COPY) {
            message.name = send->message.name.bytes;
            message.name_length = send->message.name.length;
        } else if (send->name == SEND_TO_TARGET) {
            message.name = &send->target.name;
            message.name_length = send->target.length;
        }
    }
    add_control(send, &message);
    int64_t sent = send_by_device(send, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    identity_restore(&lowered);
    return sent;
}

/* An error that waits at the socket is the next call's when this one has sent something. */
static bool error_waits(const struct send *send)
{
    struct pollfd socket = {.fd = send->socket.fd, .events = POLLOUT};

    return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLERR | POLLNVAL)) != 0;
}

/* As the kernel does for the caller of a broken stream, which sees it before the call returns. */
static void raise_pipe(const struct request *request, const struct send *send)
{
    if (send->socket.type != SOCK_STREAM || (send->flags & MSG_NOSIGNAL) != 0)
        return;
    CLEANUP_FD int pidfd = sys_pidfd_open(send->tid, PIDFD_THREAD);
    if (pidfd == -EINVAL) /* before 6.9: the process, whose threads share the disposition */
        pidfd = sys_pidfd_open(request->tgid, 0);
    if (pidfd >= 0 && request_is_valid(request))
        sys_pidfd_send_signal(pidfd, SIGPIPE, 0);
}

static bool finish(const struct request *request, struct send *send, int64_t outcome,
                   int64_t *result)
{
    if (send->name == SEND_TO_COPY)
        note_abstract_scope(request, &send->message.name, "send", outcome);
    if (send->kept)
        device_refuse(request, &send->socket, &send->message.name, "send", (int)-outcome);
    *result = outcome < 0 ? send_partial(send, (int)-outcome) : outcome;
    if (*result == -EPIPE)
        raise_pipe(request, send);
    return true;
}

/* -EMSGSIZE as the kernel would say after the copy. */
static int check_datagram(const struct send *send)
{
    int buffer = 0;
    socklen_t size = sizeof(buffer);

    if (send->message.length > MESSAGE_DATAGRAM_MAX)
        return -EMSGSIZE;
    if (send->message.length <= LARGE_DATAGRAM)
        return 0;
    if (getsockopt(send->socket.fd, SOL_SOCKET, SO_SNDBUF, &buffer, &size) != 0)
        return -errno;
    return buffer < 0 || send->message.length > (uint64_t)buffer ? -EMSGSIZE : 0;
}

static size_t piece_size(const struct send *send)
{
    uint64_t left = send->message.length - send->done;

    return send->socket.type == SOCK_STREAM && left > WINDOW ? WINDOW : (size_t)left;
}

/* The next piece into `buffer`. What was read by number was the caller's only if it still waits. */
static int copy_piece(const struct request *request, const struct send *send, void *buffer,
                      size_t size)
{
    int result = message_copy_payload(send->tid, &send->message, send->done, buffer, size);

    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    return result;
}

bool send_push(const struct request *request, struct send *send, const void *ready,
               unsigned windows, int64_t *result)
{
    uint8_t few[SEND_READY_MAX];
    CLEANUP_FREE uint8_t *many = NULL;
    uint8_t *buffer = few;
    bool is_stream = send->socket.type == SOCK_STREAM;
    int failed = is_stream ? 0 : check_datagram(send);

    if (failed < 0)
        return finish(request, send, failed, result);
    if (ready == NULL && piece_size(send) > sizeof(few)) {
        buffer = many = malloc(piece_size(send));
        if (many == NULL)
            return finish(request, send, -ENOMEM, result);
    }
    while (windows-- > 0) {
        size_t size = ready != NULL ? (size_t)send->message.length : piece_size(send);
        if (ready == NULL)
            failed = copy_piece(request, send, buffer, size);
        if (failed < 0)
            return finish(request, send, failed, result);
        if (send->done > 0 && error_waits(send))
            return finish(request, send, (int64_t)send->done, result);
        int64_t sent = transmit(request, send, ready != NULL ? ready : buffer, size);
        if (sent == -EAGAIN)
            return false;
        if (sent < 0)
            return finish(request, send, sent, result);
        send->done += (uint64_t)sent;
        if (!is_stream || send->done >= send->message.length)
            return finish(request, send, (int64_t)send->done, result);
        if ((size_t)sent < size || ready != NULL)
            return false;
    }
    return false;
}

/* ---- What follows ------------------------------------------------------------------------------- */

int64_t send_partial(const struct send *send, int error)
{
    return send->done > 0 ? (int64_t)send->done : -error;
}

bool send_waits(const struct send *send)
{
    return (send->flags & MSG_DONTWAIT) == 0 && !socket_is_nonblocking(send->socket.fd);
}

int64_t send_settle(const struct request *request, struct send *send, int64_t result)
{
    if (send->length_at == 0)
        return result;
    if (result >= 0) {
        uint32_t length = (uint32_t)result;
        result = request_is_valid(request)
                     ? task_memory_write_all(send->tid, send->length_at, &length, sizeof(length))
                     : -ESRCH;
        if (result == 0)
            send->before++;
    }
    return send->before > 0 ? (int64_t)send->before : result;
}

/* ---- Held --------------------------------------------------------------------------------------- */

static bool step(struct held *held, bool expired)
{
    struct send *send = (struct send *)held;
    uint64_t before = send->done;
    int64_t result;

    bool finished = send_push(held->request, send, NULL, SEND_WINDOWS, &result);
    held->progressed = send->done > before;
    if (!finished && !expired) {
        if (held->retry != 0)
            held->retry = loop_now() + SHUTDOWN_LOOK;
        return false;
    }
    if (!finished)
        result = send_partial(send, EAGAIN);
    result = send_settle(held->request, send, result);
    if (held->close != NULL) {
        held->result = result;
        held->has_result = true;
        return true;
    }
    socket_unpin(&send->socket); /* the member's socket has no other holder when the call returns */
    request_answer_value(held->request, result);
    return true;
}

static int64_t interrupted(struct held *held)
{
    struct send *send = (struct send *)held;

    /* Of a batch only a message that has begun, or the first, ever waits. */
    if (send->done > 0)
        return send_settle(held->request, send, (int64_t)send->done);
    /* As the kernel's own: a call with a time limit is not restarted, or it would get the whole time again. */
    return held->deadline != 0 ? -EINTR : -HELD_RESTART;
}

/* Also a file's last descriptor may be among them, and its file system may take its time. */
static void close_passed(struct held *held)
{
    struct send *send = (struct send *)held;

    send_next(send);
    socket_unpin(&send->socket);
}

static void release(struct held *held)
{
    send_free((struct send *)held);
}

/* The member's own limit of time. 0: none. */
static int64_t deadline_of(int fd)
{
    struct timeval limit = {0};
    socklen_t size = sizeof(limit);

    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) != 0 ||
        (limit.tv_sec == 0 && limit.tv_usec == 0))
        return 0;
    int64_t seconds = limit.tv_sec < HELD_LONGEST_S ? limit.tv_sec : HELD_LONGEST_S;
    return loop_now() + seconds * 1000000000LL + (int64_t)limit.tv_usec * 1000LL;
}

bool send_hold(const struct request *request, struct send *send)
{
    struct request *detached = request_detach(request);
    if (detached == NULL)
        return false;
    bool is_unix = send->socket.domain == AF_UNIX, datagrams = send->socket.type == SOCK_DGRAM;
    send->held = (struct held){
        .request = detached,
        .fd = send->socket.fd,
        .events = POLLOUT,
        .deadline = deadline_of(send->socket.fd),
        .step = step,
        .interrupted = interrupted,
        .release = release,
        .close = send->passed_count > 0 ? close_passed : NULL,
        /* A datagram's receiver may be full, of which this socket knows nothing. */
        .backs_off = is_unix && datagrams,
        .retry = is_unix ? loop_now() + SHUTDOWN_LOOK : 0,
    };
    if (!held_submit(send->shared->network->holder, &send->held)) {
        request_answer_value(detached, send_settle(detached, send, send_partial(send, EIO)));
        request_drop(detached);
        send_free(send);
    }
    return true;
}
