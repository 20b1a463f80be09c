/*
 * connect on behalf: see connect.h. Nothing here waits longer than a tick of the kernel: where the
 * member's call would block, its send timeout is made as short as possible for the moment of the call,
 * and what the kernel did not finish is left to the holder, and collected later (begun.h). O_NONBLOCK, which
 * the member's threads share, is never touched.
 *
 * Neither flag nor timeout is trusted, because another thread of the member can change both under the
 * call. So a call that could wait happens on a worker, except where a worker would cost more than the
 * call itself: a TCP connection to this machine is made here and now. The run of a member that made us
 * wait is ended (supervisor_watch_begin()).
 */
#include "net/connect.h"

#include "member/socket.h"
#include "net/address.h"
#include "net/begun.h"
#include "net/destinations.h"
#include "net/device.h"
#include "net/own_domain.h"
#include "net/question.h"
#include "net/refusal.h"
#include "net/unix_target.h"
#include "supervisor/loop.h"
#include "util/fault.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LAYER "network-rules"

/* A unix listener with a full backlog tells nobody when there is room again. */
#define RETRY_INTERVAL 10000000LL

/* A connect on the receiving thread that waited sends the next ones to workers for a while. What took so
 * long, in nanoseconds, may have: once may be the scheduler, twice in a row is not. */
#define INLINE_SLOW 1000000LL
#define INLINE_PAUSE 100000000LL

struct connect_call {
    struct held held; /* first */
    struct destinations *shared;
    struct pinned_socket socket;
    struct socket_address address; /* what is connected to; the port may be the real one */
    struct unix_target target;     /* for a named unix socket, once it is pinned */
    bool may_be_own;               /* a worker looks whose the port is: judge_own() */
    bool by_real_port;             /* its own by the real number, or refused */
    bool blocks;                   /* the member's call would wait */
    bool has_timeout;              /* and only so long: held.deadline */
    int unfinished;                /* what the kernel said when it was not done at once; > 0 */
    unsigned ended_before;         /* begun_ended_count() when this one began */
    bool admitted;                 /* counted by the holder */
    bool asks;                     /* the socket cannot send: see net/question.h */
    bool kept;                     /* refused, because of the socket's interface or peer */
};

static void call_release(struct connect_call *call)
{
    socket_unpin(&call->socket);
    unix_target_release(&call->target);
    if (call->admitted)
        holder_leave(call->shared->network->holder);
    call->admitted = false;
}

static void call_free(struct connect_call *call)
{
    if (call != NULL)
        call_release(call);
    free(call);
}

/* Most calls begin and end on the receiving thread's stack. One that goes on elsewhere moves: what it
 * owns belongs to the copy afterwards. NULL: out of memory, and nothing moved. */
static struct connect_call *call_move(struct connect_call *call)
{
    struct connect_call *copy = malloc(sizeof(*copy));

    if (copy == NULL)
        return NULL;
    *copy = *call;
    call->socket = PINNED_SOCKET_INIT;
    call->target = UNIX_TARGET_INIT;
    call->admitted = false;
    return copy;
}

/* Counts the call, once. False: too many are under way. */
static bool admit(struct connect_call *call)
{
    call->admitted = call->admitted || holder_admit(call->shared->network->holder);
    return call->admitted;
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

static int refuse_no_port(const struct request *request)
{
    request_record_denial(request, NULL, "connect", ECONNREFUSED, LAYER,
                          "at port 0 a socket only asks for the way, and this one is in use", NULL);
    return -ECONNREFUSED;
}

/* The ports of the sandbox's own sockets, if they can make a difference here. */
static struct port_map *own_ports(const struct connect_call *call, enum net_protocol protocol)
{
    bool local = protocol != NET_ICMP && net_address_is_loopback(&call->address.ip);

    return local ? call->shared->network->ports : NULL;
}

static int refuse_without_rules(const struct request *request, const struct connect_call *call,
                                enum net_protocol protocol)
{
    if (protocol == NET_TCP && !call->shared->tcp_protected)
        return 0;
    return refuse(request, call, protocol, EACCES);
}

static int judge_without_rules(const struct request *request, struct connect_call *call, bool known,
                               enum net_protocol protocol)
{
    struct port_map *ports = known ? own_ports(call, protocol) : NULL;

    if (!known)
        return refuse_unknown(request, EACCES);
    if (ports == NULL || port_map_real(ports, protocol, call->address.port) == 0)
        return refuse_without_rules(request, call, protocol);
    call->may_be_own = true;
    return 0;
}

/* On a worker. What the map remembers proves nothing: the port may be another program's by now, or at
 * another address. */
static int judge_own(const struct request *request, struct connect_call *call)
{
    enum net_protocol protocol = NET_TCP;

    net_protocol_of_socket(&call->socket, &protocol);
    if (call->by_real_port)
        return port_map_peer(call->shared->network->ports, protocol, &call->address.ip,
                             call->address.port) != 0
                   ? 0
                   : refuse(request, call, protocol, ECONNREFUSED);
    uint16_t real = port_map_locate(call->shared->network->ports, protocol, &call->address.ip,
                                    call->address.port);
    if (real == 0)
        return call->shared->network->shape.destination_policy
                   ? 0
                   : refuse_without_rules(request, call, protocol);
    address_set_port(&call->address, real);
    return 0;
}

/* As judge() below. */
static int judge_ip(const struct request *request, struct connect_call *call)
{
    const struct network *network = call->shared->network;
    enum net_protocol protocol = NET_TCP;
    bool known = net_protocol_of_socket(&call->socket, &protocol);

    if (fault_is("verdict-allow"))
        return 0;
    if (!network->shape.destination_policy)
        return judge_without_rules(request, call, known, protocol);
    if (!known)
        return refuse_unknown(request, ECONNREFUSED);
    bool allowed = net_allows(network->verdicts, protocol, &call->address.ip, call->address.port);
    bool at_no_port = protocol == NET_UDP && call->address.port == QUESTION_NO_PORT;
    call->asks = protocol == NET_UDP && (!allowed || at_no_port) &&
                 question_is_harmless(network, &call->socket, &call->address);
    if (at_no_port && allowed && !call->asks)
        return refuse_no_port(request);
    allowed = allowed || call->asks;
    struct port_map *ports = own_ports(call, protocol);
    if (!allowed) {
        call->by_real_port = call->may_be_own =
            ports != NULL && names_own_peer(network, protocol, &call->address);
        return call->may_be_own ? 0 : refuse(request, call, protocol, ECONNREFUSED);
    }
    call->may_be_own = ports != NULL && port_map_is_moved(ports, protocol, call->address.port);
    return 0;
}

/* The peer of a stream is told who connects (SO_PEERCRED), and that would be the supervisor's user. A
 * datagram socket tells nothing when it connects. The target knows who asks, also where it has no name. */
static bool would_be_mistaken(const struct connect_call *call)
{
    return is_stream(call) && call->target.knows_identity && call->target.identity.differs_in_ids;
}

static int refuse_user(const struct request *request, const struct connect_call *call)
{
    const char *path = (const char *)call->address.bytes + offsetof(struct sockaddr_un, sun_path);

    request_record_denial(request, is_named_unix(call) ? path : NULL, "connect", EACCES,
                          "unix-gate",
                          "the peer would see the supervisor's user instead of the member's", NULL);
    return -EACCES;
}

/* The scope is the kernel's verdict on the thread that connects; without it nobody would give one. */
static int judge_abstract(const struct request *request, const struct connect_call *call)
{
    if (call->socket.domain != AF_UNIX)
        return -EAFNOSUPPORT;
    if (!call->shared->abstract_scope) {
        refuse_abstract(request, &call->address, "connect", EPERM, LAYER, ABSTRACT_UNJUDGED);
        return -EPERM;
    }
    return own_domain_judge_abstract(request, &call->address, "connect");
}

static int pin_target(const struct request *request, struct connect_call *call, bool cached_only)
{
    return unix_target_pin(request, &call->address, cached_only, &call->target);
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
    case ADDRESS_IP: {
        address_meet(&call->address, call->socket.fd);
        int result = judge_ip(request, call);
        if (result == 0 && call->socket.protocol == IPPROTO_TCP)
            result = own_domain_judge_tcp(request, &call->address, "connect");
        if (result == 0)
            address_settle(&call->address);
        return result;
    }
    case ADDRESS_UNIX_NAMED: /* judged when it is pinned */
        return call->socket.domain == AF_UNIX ? 0 : -EAFNOSUPPORT;
    case ADDRESS_UNIX_ABSTRACT:
        return judge_abstract(request, call);
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

static int settle(struct connect_call *call, int result)
{
    int settled = device_settle(&call->socket, &call->address, result);

    call->kept = settled != result;
    return settled;
}

/* Of TCP the kernel gives a port to who has none. If it was one of the sandbox's it is no more. */
static void note_port(const struct connect_call *call, int result)
{
    struct port_map *ports = call->shared->network->ports;
    struct sockaddr_in6 name = {0}; /* the port of both families lies at the same place */
    socklen_t length = sizeof(name);

    if (ports == NULL || call->socket.protocol != IPPROTO_TCP ||
        (result != 0 && result != -EINPROGRESS) ||
        getsockname(call->socket.fd, (struct sockaddr *)&name, &length) != 0 ||
        port_map_virtual(ports, NET_TCP, ntohs(name.sin6_port)) == 0)
        return;
    port_map_pass_on(ports, NET_TCP, socket_cookie_of(call->socket.fd), ntohs(name.sin6_port));
}

static enum device_peers peers_of(const struct connect_call *call)
{
    if (call->asks)
        return PEERS_ANY;
    return call->socket.protocol == IPPROTO_UDP ? call->shared->udp_peers : PEERS_SAME;
}

static int connect_named(const struct request *request, struct connect_call *call)
{
    const struct unix_target *target = &call->target;
    struct lowered_rights lowered;

    int result = unix_target_enter(request, &call->target, 0, &lowered);
    if (result < 0)
        return result;
    bool refused = would_be_mistaken(call);
    if (!refused &&
        connect(call->socket.fd, (const struct sockaddr *)&target->name, target->length) != 0)
        result = -errno;
    unix_target_leave(&lowered);
    return refused ? refuse_user(request, call) : result;
}

/* Nobody's rights are asked for, but the peer is told. */
static int look_at_user(const struct request *request, struct connect_call *call)
{
    struct destinations *shared = call->shared;

    if (!is_stream(call))
        return 0;
    int result = own_rights_look(&shared->rights, request, shared->mapped,
                                 &call->target.knows_identity, &call->target.identity);
    return result == 0 && would_be_mistaken(call) ? refuse_user(request, call) : result;
}

static int connect_now(const struct request *request, struct connect_call *call)
{
    if (is_named_unix(call))
        return connect_named(request, call);
    int result = call->address.kind == ADDRESS_UNIX_ABSTRACT ? look_at_user(request, call) : 0;
    if (result < 0)
        return result;
    result = device_connect(&call->shared->device_lock, &call->socket, &call->address,
                            peers_of(call), &call->kept);
    note_port(call, result);
    return call->kept ? result : settle(call, result);
}

static bool is_unfinished(const struct connect_call *call, int result)
{
    if (call->socket.domain == AF_UNIX)
        return result == -EAGAIN || result == -EINTR;
    return begun_is_unfinished(result);
}

/* What became of a TCP connect that was begun. */
static int collect(struct connect_call *call)
{
    int result =
        begun_collect(&call->shared->ended, call->ended_before, &call->socket, call->address.port);

    return result == 0 ? settle(call, 0) : result;
}

static void set_deadline(struct connect_call *call, const struct timeval *timeout)
{
    int64_t seconds = timeout->tv_sec < HELD_LONGEST_S ? timeout->tv_sec : HELD_LONGEST_S;

    call->has_timeout = timeout->tv_sec != 0 || timeout->tv_usec != 0;
    if (call->has_timeout)
        call->held.deadline = loop_now() + seconds * 1000000000LL + timeout->tv_usec * 1000LL;
}

static pthread_mutex_t *timeout_lock(struct connect_call *call)
{
    if (call->socket.cookie == 0)
        call->socket.cookie = socket_cookie_of(call->socket.fd);
    return &call->shared->timeout_locks[call->socket.cookie % TIMEOUT_LOCKS];
}

/* The kernel waits as long as the socket's send timeout says, and 0 means for ever. With the lock. */
static int connect_locked(const struct request *request, struct connect_call *call)
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
        bool collects = call->unfinished != 0 && call->socket.domain != AF_UNIX;
        if (call->unfinished == 0) {
            set_deadline(call, &timeout);
            call->ended_before = begun_ended_count(&call->shared->ended);
        }
        result = collects ? collect(call) : connect_now(request, call);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    }
    return result;
}

/* On a worker: another one may be in the middle of the same socket's call. */
static int connect_briefly(const struct request *request, struct connect_call *call)
{
    pthread_mutex_lock(timeout_lock(call));
    int result = connect_locked(request, call);
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

static void note_refusal(const struct request *request, const struct connect_call *call, int result)
{
    note_abstract_scope(request, &call->address, "connect", result);
    if (call->kept)
        device_refuse(request, &call->socket, &call->address, "connect", -result);
}

/* The member's socket has no other holder when the call returns: closing it ends the connection. */
static void conclude(const struct request *request, struct connect_call *call, int result)
{
    note_refusal(request, call, result);
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
    int result = -call->unfinished;

    if (pthread_mutex_trylock(timeout_lock(call)) == 0) {
        result = connect_locked(held->request, call);
        pthread_mutex_unlock(timeout_lock(call));
    } else if (!expired) { /* a worker holds it, perhaps for long: its call waits for a disk */
        if (held->retry != 0)
            held->retry = loop_now() + RETRY_INTERVAL;
        return false;
    }
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

    if (!admit(call)) {
        answer(request, -EAGAIN);
        return false;
    }
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
        result = pin_target(request, call, false);
    if (call->may_be_own)
        result = judge_own(request, call);
    if (result == 0)
        result = request_is_valid(request) ? connect_briefly(request, call) : -ESRCH;
    if (!call->blocks || !is_unfinished(call, result))
        conclude(request, call, result);
    else if (request_is_valid(request) && hold(request, call, result)) /* the run may be over */
        job->call = NULL;
}

static struct verdict hand_to_worker(const struct request *request, struct connect_call *call)
{
    struct job *job = malloc(sizeof(*job));
    int error = job != NULL ? EAGAIN : ENOMEM;

    if (job != NULL && admit(call) && holder_start(call->shared->network->holder, request)) {
        job->call = call_move(call);
        if (job->call != NULL && request_submit(request, work, job, job_free))
            return verdict_taken();
        error = job->call != NULL ? EAGAIN : ENOMEM;
        call_free(job->call);
    }
    free(job);
    call_release(call);
    return verdict_errno(error);
}

/* ---- The handler ----------------------------------------------------------------------------------- */

static int prepare(const struct request *request, struct connect_call *call)
{
    const uint64_t *args = (const uint64_t *)request->notification.data.args;
    int result = address_read((pid_t)request->notification.pid, args[1], args[2], &call->address);

    if (result == 0)
        result = socket_pin_kind(request, (int)args[0], &call->socket);
    if (result == 0)
        result = judge(request, call);
    if (result == 0 && is_named_unix(call)) {
        result = pin_target(request, call, true);
        if (result == -EAGAIN)
            result = 0; /* a worker pins it */
    }
    return result;
}

/* True if the call cannot wait whatever other threads of the member do to the socket meanwhile. */
static bool never_waits(const struct connect_call *call)
{
    if (call->may_be_own || (is_named_unix(call) && call->target.path_fd < 0))
        return false;
    return call->address.kind == ADDRESS_UNSPEC || !is_stream(call);
}

/* To this machine, where the kernel answers within the call unless the listener's backlog is full. */
static bool is_quick(const struct connect_call *call)
{
    return call->address.kind == ADDRESS_IP && call->socket.protocol == IPPROTO_TCP &&
           !call->may_be_own && net_address_is_loopback(&call->address.ip);
}

/* A worker or the holder can be in the middle of the same socket's call only if it has a call at all.
 * False in *done: it is, and nothing happened. */
static int connect_alone(const struct request *request, struct connect_call *call, bool *done)
{
    pthread_mutex_t *lock = NULL;

    if (holder_is_busy(call->shared->network->holder)) {
        lock = timeout_lock(call);
        *done = pthread_mutex_trylock(lock) == 0;
        if (!*done)
            return 0;
    }
    *done = true;
    bool may_wait = call->blocks || fault_is("connect-waits");
    int result = may_wait ? connect_locked(request, call) : connect_now(request, call);
    if (lock != NULL)
        pthread_mutex_unlock(lock);
    return result;
}

/* On the receiving thread. False: a worker has to do it. */
static bool connect_here(const struct request *request, struct connect_call *call, int *result)
{
    struct destinations *shared = call->shared;
    int64_t begin = loop_now();
    bool done;

    if (!is_quick(call) || begin < shared->inline_after ||
        !holder_start(shared->network->holder, request))
        return false;
    supervisor_watch_socket(request->supervisor, WATCH_RECEIVER, call->socket.fd);
    *result = connect_alone(request, call, &done);
    supervisor_watch_socket(request->supervisor, WATCH_RECEIVER, -1);
    if (!done)
        return false;
    int64_t end = loop_now();
    shared->slow_connects = end - begin > INLINE_SLOW ? shared->slow_connects + 1 : 0;
    if ((call->blocks && is_unfinished(call, *result)) || shared->slow_connects > 1)
        shared->inline_after = end + INLINE_PAUSE;
    return true;
}

/* True if the request is answered or held. */
static bool connect_or_hold(const struct request *request, struct connect_call *call)
{
    int result;

    if (!connect_here(request, call, &result))
        return false;
    if (!call->blocks || !is_unfinished(call, result)) {
        conclude(request, call, result);
        call_release(call);
        return true;
    }
    struct connect_call *moved = call_move(call);
    if (moved == NULL) {
        answer(request, -ENOMEM);
        call_release(call);
    } else if (!hold(request, moved, result)) {
        call_free(moved);
    }
    return true;
}

struct verdict on_connect(struct request *request)
{
    struct connect_call call = {
        .shared = request->state, .socket = PINNED_SOCKET_INIT, .target = UNIX_TARGET_INIT};
    int result = prepare(request, &call);

    if (result == 0 && !never_waits(&call)) {
        call.blocks = is_stream(&call) && !socket_is_nonblocking(call.socket.fd);
        return connect_or_hold(request, &call) ? verdict_taken() : hand_to_worker(request, &call);
    }
    bool ends = call.address.kind == ADDRESS_UNSPEC && is_stream(&call);
    if (result == 0 && ends && holder_is_busy(call.shared->network->holder))
        begun_note_ended(&call.shared->ended, &call.socket); /* first: whoever waits runs at once */
    if (result == 0)
        result = connect_now(request, &call);
    note_refusal(request, &call, result);
    call_release(&call);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}
