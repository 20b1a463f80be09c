/*
 * connect on behalf: see connect.h. Nothing here waits longer than a tick of the kernel: where the
 * member's call would block, its send timeout is made as short as possible for the moment of the call,
 * and what the kernel did not finish is left to the holder. The result then comes from a second connect
 * on the same socket. O_NONBLOCK, which the member's threads share, is never touched.
 *
 * Neither flag nor timeout is trusted, because another thread of the member can change both under the
 * call. So a call that could wait happens on a worker, except where a worker would cost more than the
 * call itself: a TCP connection to this machine is made here and now. There we are watched, and the run
 * of a member that made us wait is ended (watch.h).
 */
#include "net/connect.h"

#include "member/socket.h"
#include "net/address.h"
#include "net/destinations.h"
#include "net/refusal.h"
#include "net/unix_target.h"
#include "supervisor/loop.h"
#include "util/fault.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LAYER "network-rules"

/* A unix listener with a full backlog tells nobody when there is room again. */
#define RETRY_INTERVAL 10000000LL

/* A connect on the receiving thread that took so long, in nanoseconds, sends the next ones to workers for
 * a while. */
#define INLINE_SLOW 1000000LL
#define INLINE_PAUSE 100000000LL

struct connect_call {
    struct held held; /* first */
    struct destinations *shared;
    struct pinned_socket socket;
    struct socket_address address; /* what is connected to; the port may be the real one */
    struct unix_target target;     /* for a named unix socket, once it is pinned */
    bool blocks;                   /* the member's call would wait */
    bool has_timeout;              /* and only so long: held.deadline */
    int unfinished;                /* what the kernel said when it was not done at once; > 0 */
};

static void call_free(struct connect_call *call)
{
    if (call == NULL)
        return;
    socket_unpin(&call->socket);
    unix_target_release(&call->target);
    free(call);
}

static bool is_named_unix(const struct connect_call *call)
{
    return call->address.kind == ADDRESS_UNIX_NAMED;
}

static bool is_stream(const struct connect_call *call)
{
    return call->socket.type == SOCK_STREAM || call->socket.type == SOCK_SEQPACKET;
}

/* ---- The verdict ----------------------------------------------------------------------------------- */

static int refuse(const struct request *request, const struct connect_call *call,
                  enum net_protocol protocol, int error)
{
    return refuse_destination(request, call->shared->network, protocol, &call->address.ip,
                              call->address.port, "connect", error);
}

static int refuse_unknown(const struct request *request, int error)
{
    request_record_denial(request, NULL, "connect", error, LAYER, "not a TCP, UDP or ping socket",
                          NULL);
    return -error;
}

/* Whether a family works is asked so by one libc: the kernel lets nothing leave such a socket. */
static bool is_harmless_probe(const struct connect_call *call)
{
    int locked = 0;
    socklen_t length = sizeof(locked);

    return call->address.port == 65535 && net_address_is_loopback(&call->address.ip) &&
           getsockopt(call->socket.fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &length) == 0 &&
           locked != 0;
}

static bool own_port(const struct connect_call *call, enum net_protocol protocol, uint16_t *real)
{
    struct port_map *ports = call->shared->network->ports;

    if (ports == NULL || protocol == NET_ICMP || !net_address_is_loopback(&call->address.ip))
        return false;
    *real = port_map_real(ports, protocol, call->address.port);
    return *real != 0;
}

static void set_port(struct socket_address *address, uint16_t port)
{
    address->port = port;
    address->bytes[2] = (uint8_t)(port >> 8);
    address->bytes[3] = (uint8_t)port;
}

static int judge_without_rules(const struct request *request, struct connect_call *call, bool known,
                               enum net_protocol protocol)
{
    uint16_t real;

    if (known && own_port(call, protocol, &real)) {
        set_port(&call->address, real);
        return 0;
    }
    if (known && protocol == NET_TCP && !call->shared->tcp_protected)
        return 0;
    return known ? refuse(request, call, protocol, EACCES) : refuse_unknown(request, EACCES);
}

static int judge_ip(const struct request *request, struct connect_call *call)
{
    const struct network *network = call->shared->network;
    enum net_protocol protocol = NET_TCP;
    bool known = net_protocol_of_socket(&call->socket, &protocol);
    uint16_t real;

    if (fault_is("verdict-allow"))
        return 0;
    if (!network->shape.destination_policy)
        return judge_without_rules(request, call, known, protocol);
    if (!known)
        return refuse_unknown(request, ECONNREFUSED);
    bool allowed =
        net_allows(network->verdicts, protocol, &call->address.ip, call->address.port) ||
        (protocol == NET_UDP && network->shape.udp == UDP_INERT && is_harmless_probe(call));
    if (!allowed)
        return refuse(request, call, protocol, ECONNREFUSED);
    if (own_port(call, protocol, &real))
        set_port(&call->address, real);
    return 0;
}

/* The scope is the kernel's verdict on the thread that connects; without it nobody would give one. */
static int judge_abstract(const struct connect_call *call)
{
    if (call->socket.domain != AF_UNIX)
        return -EAFNOSUPPORT;
    return call->shared->abstract_scope ? 0 : -EPERM;
}

/* 0: to be performed. 1: nothing to do, success. Or -errno. */
static int judge(const struct request *request, struct connect_call *call)
{
    switch (call->address.kind) {
    case ADDRESS_NONE:
    case ADDRESS_MALFORMED:
        return -EINVAL;
    case ADDRESS_UNSPEC: /* dissolves a connection */
        return 0;
    case ADDRESS_IP:
        return judge_ip(request, call);
    case ADDRESS_UNIX_NAMED: /* judged when it is pinned */
        return call->socket.domain == AF_UNIX ? 0 : -EAFNOSUPPORT;
    case ADDRESS_UNIX_ABSTRACT:
        return judge_abstract(call);
    case ADDRESS_UNIX_UNNAMED:
        return call->socket.domain == AF_UNIX ? -EINVAL : -EAFNOSUPPORT;
    case ADDRESS_NETLINK: /* a socket of the netlink view is a unix socket */
        return call->socket.domain == AF_UNIX ? 1 : -EAFNOSUPPORT;
    case ADDRESS_OTHER:
        break;
    }
    return -EAFNOSUPPORT;
}

/* ---- The call -------------------------------------------------------------------------------------- */

static int connect_now(struct connect_call *call)
{
    const void *name = call->address.bytes;
    socklen_t length = call->address.length;
    struct lowered_rights lowered = {0};

    if (is_named_unix(call)) {
        int result = unix_target_enter(&call->target, &lowered);
        if (result < 0)
            return result;
        name = &call->target.name;
        length = call->target.length;
    }
    int result = connect(call->socket.fd, name, length) == 0 ? 0 : -errno;
    if (is_named_unix(call))
        unix_target_leave(&lowered);
    return result;
}

static bool is_unfinished(const struct connect_call *call, int result)
{
    if (call->socket.domain == AF_UNIX)
        return result == -EAGAIN || result == -EINTR;
    return result == -EINPROGRESS || result == -EALREADY || result == -EINTR;
}

static void set_deadline(struct connect_call *call, const struct timeval *timeout)
{
    call->has_timeout = timeout->tv_sec != 0 || timeout->tv_usec != 0;
    if (call->has_timeout)
        call->held.deadline =
            loop_now() + timeout->tv_sec * 1000000000LL + timeout->tv_usec * 1000LL;
}

static pthread_mutex_t *timeout_lock(const struct connect_call *call)
{
    return &call->shared->timeout_locks[call->socket.cookie % TIMEOUT_LOCKS];
}

/* The kernel waits as long as the socket's send timeout says, and 0 means for ever. With the lock. */
static int connect_locked(struct connect_call *call)
{
    static const struct timeval shortest = {.tv_usec = 1};
    struct timeval timeout = {0};
    socklen_t length = sizeof(timeout);
    int fd = call->socket.fd;

    int result = getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length) == 0 ? 0 : -errno;
    if (result == 0 && !fault_is("connect-waits") &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &shortest, sizeof(shortest)) != 0)
        result = -errno;
    if (result == 0) {
        if (call->unfinished == 0)
            set_deadline(call, &timeout);
        result = connect_now(call);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    }
    return result;
}

static int connect_briefly(struct connect_call *call)
{
    pthread_mutex_lock(timeout_lock(call));
    int result = connect_locked(call);
    pthread_mutex_unlock(timeout_lock(call));
    return result;
}

static void answer(const struct request *request, int result)
{
    if (result < 0)
        request_answer_errno(request, -result);
    else
        request_answer_value(request, result);
}

/* The member's socket has no other holder when the call returns: closing it ends the connection. */
static void conclude(const struct request *request, struct connect_call *call, int result)
{
    socket_unpin(&call->socket);
    answer(request, result);
}

/* ---- Waiting --------------------------------------------------------------------------------------- */

static struct connect_call *call_of(struct held *held)
{
    return (struct connect_call *)held;
}

static bool step(struct held *held, bool expired)
{
    struct connect_call *call = call_of(held);
    int result = connect_briefly(call);

    if (!is_unfinished(call, result))
        conclude(held->request, call, result);
    else if (expired)
        conclude(held->request, call, -call->unfinished);
    else if (held->retry != 0)
        held->retry = loop_now() + RETRY_INTERVAL;
    return !is_unfinished(call, result) || expired;
}

/* As the kernel's own: a call with a time limit is not restarted. */
static int64_t interrupted(struct held *held)
{
    return call_of(held)->has_timeout ? -EINTR : -HELD_RESTART;
}

static void release(struct held *held)
{
    call_free(call_of(held));
}

/* True: the holder owns the call and its request. */
static bool hold(const struct request *request, struct connect_call *call, int result)
{
    struct held *held = &call->held;

    call->unfinished = result == -EINTR ? EINPROGRESS : -result;
    held->step = step;
    held->interrupted = interrupted;
    held->release = release;
    held->fd = -1;
    if (call->socket.domain == AF_UNIX) {
        held->retry = loop_now() + RETRY_INTERVAL;
    } else {
        held->fd = call->socket.fd;
        held->events = POLLOUT;
    }
    held->request = request_detach(request);
    if (held->request == NULL) {
        answer(request, -ENOMEM);
        return false;
    }
    if (held_submit(call->shared->network->holder, held))
        return true;
    answer(held->request, -EIO); /* the run ends */
    request_drop(held->request);
    return false;
}

/* ---- On a worker ----------------------------------------------------------------------------------- */

struct job {
    struct connect_call *call; /* NULL: the holder has it */
};

static void job_free(void *data)
{
    struct job *job = data;

    call_free(job->call);
    free(job);
}

static void work(const struct request *request, void *data)
{
    struct job *job = data;
    struct connect_call *call = job->call;
    int result = 0;

    if (is_named_unix(call) && call->target.path_fd < 0)
        result = unix_target_pin(request, &call->address, false, &call->target);
    if (result == 0)
        result = request_is_valid(request) ? connect_briefly(call) : -ESRCH;
    if (!call->blocks || !is_unfinished(call, result))
        conclude(request, call, result);
    else if (request_is_valid(request) && hold(request, call, result)) /* the run may be over */
        job->call = NULL;
}

static struct verdict hand_to_worker(const struct request *request, struct connect_call *call)
{
    struct job *job = malloc(sizeof(*job));

    if (job != NULL && holder_start(call->shared->network->holder, request)) {
        job->call = call;
        if (request_submit(request, work, job, job_free))
            return verdict_taken();
    }
    free(job);
    call_free(call);
    return verdict_errno(ENOMEM);
}

/* ---- The handler ----------------------------------------------------------------------------------- */

static int prepare(const struct request *request, struct connect_call *call)
{
    const uint64_t *args = (const uint64_t *)request->notification.data.args;
    int result = address_read((pid_t)request->notification.pid, args[1], args[2], &call->address);

    if (result == 0)
        result = socket_pin(request, (int)args[0], &call->socket);
    if (result == 0)
        result = judge(request, call);
    if (result == 0 && is_named_unix(call)) {
        result = unix_target_pin(request, &call->address, true, &call->target);
        if (result == -EAGAIN)
            result = 0; /* a worker pins it */
    }
    return result;
}

/* True if the call cannot wait whatever other threads of the member do to the socket meanwhile. */
static bool never_waits(const struct connect_call *call)
{
    if (is_named_unix(call) && call->target.path_fd < 0)
        return false;
    return call->address.kind == ADDRESS_UNSPEC || !is_stream(call);
}

/* To this machine, where the kernel answers within the call unless the listener's backlog is full. */
static bool is_quick(const struct connect_call *call)
{
    return call->address.kind == ADDRESS_IP && call->socket.protocol == IPPROTO_TCP &&
           net_address_is_loopback(&call->address.ip);
}

/* On the receiving thread. False: a worker has to do it. */
static bool connect_here(const struct request *request, struct connect_call *call, int *result)
{
    struct destinations *shared = call->shared;
    int64_t begin = loop_now();

    if (!is_quick(call) || begin < shared->inline_after ||
        !holder_start(shared->network->holder, request) ||
        pthread_mutex_trylock(timeout_lock(call)) != 0)
        return false;
    struct watch *watch = holder_watch(shared->network->holder);
    watch_begin(watch, WATCH_RECEIVER, call->socket.fd);
    *result = connect_locked(call);
    watch_end(watch, WATCH_RECEIVER);
    pthread_mutex_unlock(timeout_lock(call));
    int64_t end = loop_now();
    if (end - begin > INLINE_SLOW)
        shared->inline_after = end + INLINE_PAUSE;
    return true;
}

/* True if the request is answered or held. */
static bool connect_or_hold(const struct request *request, struct connect_call *call)
{
    int result;

    if (!connect_here(request, call, &result))
        return false;
    if (!call->blocks || !is_unfinished(call, result))
        conclude(request, call, result);
    else if (hold(request, call, result))
        return true;
    call_free(call);
    return true;
}

struct verdict on_connect(struct request *request)
{
    struct connect_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return verdict_errno(ENOMEM);
    call->shared = request->state;
    call->socket = PINNED_SOCKET_INIT;
    call->target = UNIX_TARGET_INIT;
    int result = prepare(request, call);
    if (result == 0 && !never_waits(call)) {
        call->blocks = is_stream(call) && !socket_is_nonblocking(call->socket.fd);
        return connect_or_hold(request, call) ? verdict_taken() : hand_to_worker(request, call);
    }
    if (result == 0)
        result = connect_now(call);
    call_free(call);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}
