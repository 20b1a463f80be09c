/*
 * Calls on virtual routing sockets in the descriptor window. The number of a descriptor only tells that
 * it may be one: the handler pins it and looks at its cookie, and what is not ours goes on to the
 * features that judge the call for every socket, or to the kernel. Results are those of the kernel's
 * netlink (netlink(7)). Nothing here waits.
 */
#include "net/netlink_view.h"

#include "kernel/task_memory.h"
#include "member/socket.h"
#include "net/message.h"
#include "util/fd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LEVEL_NETLINK 270
#define NETLINK_OPTION_LAST 12   /* NETLINK_GET_STRICT_CHK */
#define NETLINK_ADD_MEMBERSHIP 1 /* … to NETLINK_NO_ENOBUFS 5; 6 and 7 were rings */
#define NETLINK_NO_ENOBUFS 5
#define NETLINK_LISTEN_ALL_NSID 8 /* for CAP_NET_BROADCAST */
#define NETLINK_CAP_ACK 10

#ifndef SO_PROTOCOL
#define SO_PROTOCOL 38
#endif
#ifndef SO_DOMAIN
#define SO_DOMAIN 39
#endif

#define ADDRESS_LENGTH_MAX 128 /* sizeof(struct sockaddr_storage) */
#define VECTORS_MAX 1024

/* What recv(2) may be asked for without waiting for something else than data. */
#define RECEIVE_FLAGS \
    (MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC)

/* ---- Whose socket ------------------------------------------------------------------------------------ */

/* One call on one of our sockets. */
struct netlink_call {
    struct request *request;
    pid_t tid;
    const uint64_t *args;
    struct netlink_socket *socket;
    int fd; /* the member's end, pinned, owned; -1 where a container does not allow that */
};

/* A call that is nothing without the descriptor itself. */
static bool needs_descriptor(const struct request *request)
{
    enum netlink_call_kind kind = (enum netlink_call_kind)request->trap->detail;

    return kind == NETLINK_CALL_RECVFROM || kind == NETLINK_CALL_RECVMSG;
}

/* The socket that the caller's descriptor names, NULL if it is not ours; *fd as in netlink_call. */
static struct netlink_socket *find_called(const struct request *request, int *fd)
{
    struct netlink_view *view = request->state;
    int number = (int)(uint32_t)request->notification.data.args[0];
    uint64_t inode;

    *fd = member_get_fd(request, number);
    if (*fd >= 0)
        return netlink_socket_find(view, socket_cookie_of(*fd));
    if (needs_descriptor(request) && supervisor_fetches(request->supervisor))
        return NULL; /* it comes again with it, or goes on without us */
    if ((*fd != -EPERM && *fd != -ENOSYS) || socket_inode_by_link(request, number, &inode) < 0)
        return NULL;
    return netlink_socket_find_inode(view, inode);
}

/* False: not ours, or not to be told. Then nothing was decided and no right hangs on it. */
static bool call_begin(struct request *request, struct netlink_call *call, uint64_t args[6])
{
    struct netlink_view *view = request->state;

    if (view->count == 0)
        return false;
    int fd;
    struct netlink_socket *socket = find_called(request, &fd);
    if (socket == NULL) {
        member_close(request, fd);
        return false;
    }
    for (int i = 0; i < 6; i++)
        args[i] = request->notification.data.args[i];
    *call = (struct netlink_call){.request = request,
                                  .tid = (pid_t)request->notification.pid,
                                  .args = args,
                                  .socket = socket,
                                  .fd = fd};
    return true;
}

typedef struct verdict (*call_body)(struct netlink_call *call);

/* ---- The member's memory ------------------------------------------------------------------------------- */

static struct verdict result_of(int64_t result)
{
    return result < 0 ? verdict_errno((int)-result) : verdict_value(result);
}

static int read_memory(const struct netlink_call *call, uint64_t address, void *data, size_t size)
{
    return task_memory_read_all(call->tid, address, data, size);
}

/* Parts of one call that go between our memory and the member's: several per system call, which costs
 * much more than what it moves. */
#define TRANSFER_PARTS 16

struct transfer {
    pid_t tid;
    int (*move)(pid_t tid, const struct iovec *theirs, const struct iovec *ours, size_t count);
    struct iovec theirs[TRANSFER_PARTS], ours[TRANSFER_PARTS];
    size_t count;
};

static int transfer_finish(struct transfer *transfer)
{
    int result = transfer->move(transfer->tid, transfer->theirs, transfer->ours, transfer->count);

    transfer->count = 0;
    return result;
}

static int transfer_add(struct transfer *transfer, uint64_t address, void *data, size_t size)
{
    int result = transfer->count == TRANSFER_PARTS ? transfer_finish(transfer) : 0;

    if (result < 0 || size == 0)
        return result;
    transfer->theirs[transfer->count] =
        (struct iovec){.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    transfer->ours[transfer->count++] = (struct iovec){.iov_base = data, .iov_len = size};
    return 0;
}

/* What is written stays as it is. */
static int transfer_put(struct transfer *transfer, uint64_t address, const void *data, size_t size)
{
    return transfer_add(transfer, address, (void *)(uintptr_t)data, size);
}

static struct transfer reading(const struct netlink_call *call)
{
    return (struct transfer){.tid = call->tid, .move = task_memory_gather_into};
}

static struct transfer writing(const struct netlink_call *call)
{
    return (struct transfer){.tid = call->tid, .move = task_memory_scatter};
}

/* The names a member may use: the kernel's own, or none. */
static int read_name(const struct netlink_call *call, uint64_t address, uint32_t length,
                     struct netlink_name *name)
{
    if (length > ADDRESS_LENGTH_MAX || length < sizeof(name->family))
        return -EINVAL;
    memset(name, 0, sizeof(*name));
    size_t size = length < NETLINK_NAME_LENGTH ? sizeof(name->family) : NETLINK_NAME_LENGTH;
    int result = read_memory(call, address, name, size);
    if (result == 0 && !request_is_valid(call->request))
        result = -EPERM;
    if (result < 0 || name->family == AF_UNSPEC)
        return result;
    return name->family == AF_NETLINK && length >= NETLINK_NAME_LENGTH ? 0 : -EINVAL;
}

/* Only root may address other sockets or groups. */
static int check_destination(const struct netlink_name *name)
{
    return name->port_id != 0 || name->groups != 0 ? -EPERM : 0;
}

/* A length that is value and result: an int in memory. */
static int read_length(const struct netlink_call *call, uint64_t address, uint32_t *length)
{
    int result = read_memory(call, address, length, sizeof(*length));

    if (result < 0)
        return result;
    return *length > INT_MAX ? -EINVAL : 0;
}

/* Writes what fits of `data` and its full length (the option's own rule differs, see there). */
static int write_counted(const struct netlink_call *call, uint64_t address, uint64_t length_address,
                         const void *data, uint32_t size)
{
    uint32_t room;

    int result = read_length(call, length_address, &room);
    if (result == 0 && !request_is_valid(call->request))
        result = -EPERM;
    struct transfer out = writing(call);
    if (result == 0)
        result = transfer_put(&out, address, data, room < size ? room : size);
    if (result == 0)
        result = transfer_put(&out, length_address, &size, sizeof(size));
    return result == 0 ? transfer_finish(&out) : result;
}

/* ---- Names ------------------------------------------------------------------------------------------------ */

static struct verdict do_bind(struct netlink_call *call)
{
    struct netlink_socket *socket = call->socket;
    struct netlink_name name;

    int result = read_name(call, call->args[1], (uint32_t)call->args[2], &name);
    if (result < 0)
        return verdict_errno(-result);
    if (name.family != AF_NETLINK)
        return verdict_errno(EINVAL);
    if (name.port_id != 0) {
        if (socket->bound && socket->port_id != name.port_id)
            return verdict_errno(EINVAL);
        if (netlink_id_is_taken(socket->view, socket, name.port_id))
            return verdict_errno(EADDRINUSE);
        socket->port_id = name.port_id;
        socket->bound = true;
    }
    socket->groups = name.groups;
    return verdict_value(0);
}

static struct verdict do_connect(struct netlink_call *call)
{
    struct netlink_name name;

    int result = read_name(call, call->args[1], (uint32_t)call->args[2], &name);
    if (result == 0 && name.family == AF_NETLINK)
        result = check_destination(&name);
    return result_of(result);
}

static struct verdict do_getsockname(struct netlink_call *call)
{
    const struct netlink_name name = {
        .family = AF_NETLINK, .port_id = call->socket->port_id, .groups = call->socket->groups};

    return result_of(write_counted(call, call->args[1], call->args[2], &name, NETLINK_NAME_LENGTH));
}

static const struct netlink_name kernel_name = {.family = AF_NETLINK};

static struct verdict do_getpeername(struct netlink_call *call)
{
    return result_of(
        write_counted(call, call->args[1], call->args[2], &kernel_name, NETLINK_NAME_LENGTH));
}

/* ---- Messages ----------------------------------------------------------------------------------------------- */

/* struct msghdr as every 64-bit kernel has it; libc's differ in padding. */
struct message_header {
    uint64_t name;
    uint32_t name_length, pad;
    uint64_t vectors;
    uint64_t vector_count;
    uint64_t control;
    uint64_t control_length;
    uint32_t flags, pad2;
};

struct vector {
    uint64_t base, length;
};

/* The buffers of a call, copied. Most calls have one. */
struct buffers {
    struct vector *vectors;
    struct vector *block; /* owned; NULL: `vectors` is `one` */
    struct vector one;
    size_t count;
    uint64_t total; /* saturates */
};

static void buffers_free(struct buffers *buffers)
{
    free(buffers->block);
}

static void count_total(struct buffers *buffers)
{
    buffers->total = 0;
    for (size_t i = 0; i < buffers->count; i++) {
        uint64_t length = buffers->vectors[i].length;
        buffers->total =
            length > UINT64_MAX - buffers->total ? UINT64_MAX : buffers->total + length;
    }
}

static void buffers_one(struct buffers *buffers, uint64_t base, uint64_t length)
{
    *buffers = (struct buffers){.one = {base, length}, .count = 1, .total = length};
    buffers->vectors = &buffers->one;
}

/* The header of a message and its buffers. The caller frees them also after a failure. */
static int buffers_read(const struct netlink_call *call, uint64_t pointer,
                        struct message_header *header, struct surroundings *around,
                        struct buffers *buffers)
{
    *buffers = (struct buffers){.vectors = &buffers->one};
    int result = surroundings_read(call->tid, pointer, around);
    if (result < 0)
        return result;
    surroundings_take(around, pointer, sizeof(*header), header);
    if (header->vector_count > VECTORS_MAX)
        return -EMSGSIZE;
    size_t count = (size_t)header->vector_count;
    size_t size = count * sizeof(*buffers->vectors);
    if (count > 1)
        buffers->vectors = buffers->block = malloc(size);
    if (buffers->vectors == NULL)
        return -ENOMEM;
    if (count > 0 && !surroundings_take(around, header->vectors, size, buffers->vectors))
        result = read_memory(call, header->vectors, buffers->vectors, size);
    buffers->count = result == 0 ? count : 0;
    count_total(buffers);
    return result;
}

/* ---- Sending -------------------------------------------------------------------------------------------------- */

/* What a message is sent to, if it names something. */
struct destination {
    uint64_t address;
    uint32_t length; /* 0: nothing */
};

static int judge_name(const struct netlink_name *name)
{
    /* A family is not optional here. */
    return name->family == AF_NETLINK ? check_destination(name) : -EINVAL;
}

/* Copies the name and the request. The length, or -errno. */
static int64_t copy_request(struct netlink_call *call, const struct destination *to,
                            const struct buffers *buffers, uint8_t *request)
{
    struct transfer in = reading(call);
    struct netlink_name name = {.family = AF_NETLINK};
    size_t length = 0;

    int result = to->length == 0 ? 0 : transfer_add(&in, to->address, &name, NETLINK_NAME_LENGTH);
    for (size_t i = 0; i < buffers->count && result == 0; i++) {
        const struct vector *vector = &buffers->vectors[i];
        result = transfer_add(&in, vector->base, request + length, (size_t)vector->length);
        length += (size_t)vector->length;
    }
    if (result == 0)
        result = transfer_finish(&in);
    if (result == 0 && !request_is_valid(call->request))
        result = -EPERM;
    if (result == 0)
        result = judge_name(&name);
    return result < 0 ? result : (int64_t)length;
}

/* Copies the request and answers it before the call returns, as the kernel does: musl asks and then
 * reads without waiting. */
static int64_t send_request(struct netlink_call *call, struct destination to,
                            const struct buffers *buffers, uint64_t flags)
{
    struct netlink_socket *socket = call->socket;
    uint8_t *request = socket->view->request;

    if (to.address == 0)
        to.length = 0;
    if (to.length != 0 && (to.length < NETLINK_NAME_LENGTH || to.length > ADDRESS_LENGTH_MAX))
        return -EINVAL;
    if ((flags & MSG_OOB) != 0)
        return -EOPNOTSUPP;
    if (buffers->total == 0)
        return -ENODATA;
    if (buffers->total > NETLINK_REQUEST_MAX)
        return -EMSGSIZE;
    netlink_socket_drain(socket); /* what was written before is answered before */
    int64_t length = copy_request(call, &to, buffers, request);
    if (length < 0)
        return length;
    if (netlink_asks_for_change(request, (size_t)length))
        request_record_denial(call->request, "NETLINK_ROUTE", "change", EPERM, "netlink-view",
                              "the network cannot be changed", NULL);
    return netlink_socket_answer(socket, request, (size_t)length) ? length : -ENOBUFS;
}

static struct verdict do_sendto(struct netlink_call *call)
{
    const uint64_t *args = call->args;
    struct destination to = {args[4], (uint32_t)args[5]};
    struct buffers buffers;

    buffers_one(&buffers, args[1], args[2]);
    return result_of(send_request(call, to, &buffers, args[3]));
}

static struct verdict do_sendmsg(struct netlink_call *call)
{
    struct message_header header;
    struct surroundings around;
    struct buffers buffers;

    int64_t result = buffers_read(call, call->args[1], &header, &around, &buffers);
    if (result == 0)
        result = send_request(call, (struct destination){header.name, header.name_length}, &buffers,
                              call->args[2]);
    buffers_free(&buffers);
    return result_of(result);
}

/* ---- Receiving ------------------------------------------------------------------------------------------------- */

struct received {
    uint8_t bytes[NETLINK_DATAGRAM_MAX + 1];
    size_t length;
    size_t copied; /* to the member's buffers */
};

static ssize_t receive(const struct netlink_call *call, uint64_t flags, struct received *received)
{
    int wanted = (int)(flags & MSG_PEEK) | MSG_DONTWAIT | MSG_TRUNC;

    return recv(call->fd, received->bytes, sizeof(received->bytes), wanted);
}

/* Where there is nothing to read the kernel waits, or says so. True: it does, for any socket that the
 * number may name by then, since receiving is nobody's to judge. */
static bool leaves_to_kernel(struct netlink_call *call, uint64_t flags, struct received *received)
{
    received->length = received->copied = 0;
    if ((flags & ~(uint64_t)RECEIVE_FLAGS) != 0)
        return true;
    if (call->fd < 0 || !request_is_valid(call->request)) {
        netlink_socket_drain(call->socket);
        return true;
    }
    ssize_t length = receive(call, flags, received);
    if (length < 0) { /* perhaps the member wrote and the loop has not seen it */
        netlink_socket_drain(call->socket);
        length = receive(call, flags, received);
    }
    if (length <= 0 || length > NETLINK_DATAGRAM_MAX)
        return true;
    received->length = (size_t)length;
    received->copied = 0;
    return false;
}

static int put_data(struct transfer *out, const struct buffers *buffers, struct received *received)
{
    for (size_t i = 0; i < buffers->count && received->copied < received->length; i++) {
        size_t left = received->length - received->copied;
        size_t size = buffers->vectors[i].length < left ? (size_t)buffers->vectors[i].length : left;
        int result =
            transfer_put(out, buffers->vectors[i].base, received->bytes + received->copied, size);
        if (result < 0)
            return result;
        received->copied += size;
    }
    return 0;
}

static int64_t length_for(const struct received *received, uint64_t flags)
{
    return (int64_t)((flags & MSG_TRUNC) != 0 ? received->length : received->copied);
}

static struct verdict do_recvfrom(struct netlink_call *call)
{
    const uint64_t *args = call->args;
    struct buffers buffers;
    struct received received = {.length = 0};
    struct transfer out = writing(call);

    if (leaves_to_kernel(call, args[3], &received))
        return verdict_continue();
    buffers_one(&buffers, args[1], args[2]);
    int result = put_data(&out, &buffers, &received);
    if (result == 0)
        result = transfer_finish(&out);
    if (result == 0 && args[4] != 0)
        result = write_counted(call, args[4], args[5], &kernel_name, NETLINK_NAME_LENGTH);
    return result < 0 ? verdict_errno(-result) : verdict_value(length_for(&received, args[3]));
}

/* The fields that recvmsg(2) sets: the sender, no control data, and whether the message was cut. */
struct outcome {
    uint32_t name_length;
    struct {
        uint64_t control_length;
        uint32_t flags;
    } end;
};

#define OUTCOME_END_SIZE (sizeof(uint64_t) + sizeof(uint32_t)) /* without the padding */

_Static_assert(offsetof(struct message_header, flags) ==
                   offsetof(struct message_header, control_length) + sizeof(uint64_t),
               "the end of a message header is written at once");

/* `outcome` must live until the transfer is over. */
static int put_outcome(struct transfer *out, const struct netlink_call *call,
                       const struct message_header *header, const struct received *received,
                       struct outcome *outcome)
{
    uint64_t base = call->args[1];
    uint32_t room =
        header->name_length < NETLINK_NAME_LENGTH ? header->name_length : NETLINK_NAME_LENGTH;
    int result = 0;

    *outcome = (struct outcome){
        .name_length = NETLINK_NAME_LENGTH,
        .end.flags = received->copied < received->length ? MSG_TRUNC : 0,
    };
    if (header->name != 0)
        result = transfer_put(out, header->name, &kernel_name, room);
    if (result == 0 && header->name != 0)
        result = transfer_put(out, base + offsetof(struct message_header, name_length),
                              &outcome->name_length, sizeof(outcome->name_length));
    if (result == 0)
        result = transfer_put(out, base + offsetof(struct message_header, control_length),
                              &outcome->end, OUTCOME_END_SIZE);
    return result;
}

static struct verdict do_recvmsg(struct netlink_call *call)
{
    struct message_header header;
    struct surroundings around;
    struct buffers buffers;
    struct received received = {.length = 0};
    struct outcome outcome;
    struct transfer out = writing(call);

    int result = buffers_read(call, call->args[1], &header, &around, &buffers);
    if (result == 0 && header.name != 0 && header.name_length > INT_MAX)
        result = -EINVAL;
    bool left = result == 0 && leaves_to_kernel(call, call->args[2], &received);
    if (result == 0 && !left)
        result = put_data(&out, &buffers, &received);
    buffers_free(&buffers);
    if (left)
        return verdict_continue();
    if (result == 0)
        result = put_outcome(&out, call, &header, &received, &outcome);
    if (result == 0)
        result = transfer_finish(&out);
    return result < 0 ? verdict_errno(-result)
                      : verdict_value(length_for(&received, call->args[2]));
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* Accepted, since nothing that they ask for can happen here: no event is ever delivered, and errors
 * carry no more than the kernel's shortest form. The other levels are the kernel's. */
static struct verdict do_setsockopt(struct netlink_call *call)
{
    uint32_t option = (uint32_t)call->args[2];

    if ((uint32_t)call->args[1] != LEVEL_NETLINK)
        return verdict_continue();
    bool known = (option >= NETLINK_ADD_MEMBERSHIP && option <= NETLINK_NO_ENOBUFS) ||
                 (option >= NETLINK_CAP_ACK && option <= NETLINK_OPTION_LAST);
    if (option == NETLINK_LISTEN_ALL_NSID)
        return verdict_errno(EPERM);
    if (!known)
        return verdict_errno(ENOPROTOOPT);
    return (uint32_t)call->args[4] < sizeof(int) ? verdict_errno(EINVAL) : verdict_value(0);
}

/* What runtimes ask to learn the kind of a socket they were given. */
static struct verdict do_getsockopt(struct netlink_call *call)
{
    uint32_t option = (uint32_t)call->args[2];
    uint32_t value, room;

    if ((uint32_t)call->args[1] != SOL_SOCKET ||
        (option != SO_DOMAIN && option != SO_TYPE && option != SO_PROTOCOL))
        return verdict_continue();
    value = option == SO_DOMAIN ? AF_NETLINK : option == SO_TYPE ? (uint32_t)call->socket->type : 0;
    int result = read_length(call, call->args[4], &room);
    if (result == 0 && !request_is_valid(call->request))
        result = -EPERM;
    room = room < sizeof(value) ? room : (uint32_t)sizeof(value);
    struct transfer out = writing(call);
    if (result == 0)
        result = transfer_put(&out, call->args[3], &value, room);
    if (result == 0)
        result = transfer_put(&out, call->args[4], &room, sizeof(room));
    if (result == 0)
        result = transfer_finish(&out);
    return result_of(result);
}

/* ---- The handler ----------------------------------------------------------------------------- */

static const call_body bodies[] = {
    [NETLINK_CALL_BIND] = do_bind,
    [NETLINK_CALL_CONNECT] = do_connect,
    [NETLINK_CALL_GETSOCKNAME] = do_getsockname,
    [NETLINK_CALL_GETPEERNAME] = do_getpeername,
    [NETLINK_CALL_SENDTO] = do_sendto,
    [NETLINK_CALL_SENDMSG] = do_sendmsg,
    [NETLINK_CALL_RECVFROM] = do_recvfrom,
    [NETLINK_CALL_RECVMSG] = do_recvmsg,
    [NETLINK_CALL_SETSOCKOPT] = do_setsockopt,
    [NETLINK_CALL_GETSOCKOPT] = do_getsockopt,
};

struct verdict netlink_on_call(struct request *request)
{
    struct netlink_call call;
    uint64_t args[6];

    if (!call_begin(request, &call, args))
        return verdict_next();
    struct verdict verdict = bodies[request->trap->detail](&call);
    fd_close(call.fd);
    /* cppcheck-suppress returnDanglingLifetime ; a verdict holds no pointer */
    return verdict;
}
