/*
 * listen-gate: listen(2) on a TCP socket without a port takes one that the kernel chooses, and no
 * Landlock right covers that. Where TCP bind is restricted, listen is performed here on the pinned
 * socket, and only if it is bound: what its name says proves nothing, because a connect that failed or
 * was undone leaves a port there that the socket no longer holds. Where the kernel may choose, but some ports
 * are denied, it is told before which ones there are (chosen_port.h), and the port is looked at once the socket
 * listens.
 */
#include "member/own_rights.h"
#include "member/socket.h"
#include "net/chosen_port.h"
#include "net/device.h"
#include "net/net.h"
#include "net/network.h"
#include "net/sock_diag.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LAYER "bind-rules"

#define LOOK 1 /* a decision: a worker has to look */

struct gate {
    const struct policy *policy;
    bool any_port;          /* the bind list is not empty, so a socket can be bound */
    bool chosen;            /* the kernel may choose a port, but not a denied one */
    struct port_map *ports; /* NULL without port_remap */
    struct sock_diag *diag; /* NULL: it cannot list bound sockets here, or is not needed */
    bool mapped;
    struct own_rights rights;
};

static bool gate_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_LISTEN_GATE) == 0 &&
           network_shape_of(policy).listen_restricted;
}

static bool gate_start(struct supervisor *supervisor, void **state, struct error *err)
{
    const struct policy *policy = supervisor_policy(supervisor);
    struct network *network = network_of(supervisor);
    struct network_shape shape = network_shape_of(policy);
    struct gate *gate = calloc(1, sizeof(*gate));
    int refused;

    if (gate == NULL)
        return error_runtime(err, ENOMEM, "listen gate");
    gate->policy = policy;
    gate->rights = own_rights_now();
    gate->mapped = policy_maps_user(policy);
    gate->any_port = !shape.tcp_allow_layer || policy->bind_port_count > 0;
    gate->chosen = shape.bind_zero;
    gate->ports = network == NULL ? NULL : network->ports;
    /* A gate where the kernel may choose has denied ports. */
    if (gate->any_port && (gate->ports == NULL || gate->chosen) && !fault_is("sock-diag"))
        gate->diag = sock_diag_new(&refused);
    if (gate->diag != NULL && !sock_diag_lists_bound(gate->diag)) {
        sock_diag_free(gate->diag);
        gate->diag = NULL;
    }
    *state = gate;
    return true;
}

static void gate_stop(void *state)
{
    struct gate *gate = state;

    if (gate == NULL)
        return;
    sock_diag_free(gate->diag);
    free(gate);
}

/* ---- One socket ---------------------------------------------------------------------------------- */

static uint16_t port_of(int fd)
{
    uint8_t name[sizeof(struct sockaddr_storage)] = {0};
    socklen_t length = sizeof(name);

    if (getsockname(fd, (struct sockaddr *)name, &length) != 0 || length < 4)
        return 0;
    return (uint16_t)(name[2] << 8 | name[3]);
}

static bool is_listening(int fd)
{
    int accepts = 0;
    socklen_t length = sizeof(accepts);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) == 0 && accepts != 0;
}

static int refuse_for(const struct request *request, const char *object, const char *reason)
{
    request_record_denial(request, object, "listen", EACCES, LAYER, reason, NULL);
    return -EACCES;
}

static int refuse_ipv4(const struct request *request)
{
    return refuse_for(request, "tcp socket",
                      "the socket was connected to an IPv4 address, and would answer by IPv4");
}

/* Another thread may have connected it meanwhile, in vain. */
static int perform(const struct request *request, const struct pinned_socket *socket, int backlog)
{
    if (listen(socket->fd, backlog) != 0)
        return -errno;
    if (!device_kept_ipv4(socket))
        return 0;
    shutdown(socket->fd, SHUT_RDWR);
    return refuse_ipv4(request);
}

/* A socket that held `port` must hold it still: another thread may have taken it away meanwhile. */
static int stay_at(const struct pinned_socket *socket, uint16_t port, int result)
{
    if (result < 0 || port_of(socket->fd) == port)
        return result;
    shutdown(socket->fd, SHUT_RDWR);
    return -EACCES;
}

/*
 * Where nobody tells what is bound: the socket listens behind a filter that drops everything, and only
 * if it did so at the port it had before (an allowed one) the filter goes away again.
 */
static int perform_behind_filter(const struct request *request, const struct gate *gate,
                                 const struct pinned_socket *socket, int backlog)
{
    struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = drop};
    socklen_t instructions = 0;
    uint16_t port = port_of(socket->fd);
    int unused = 0;

    if (port == 0 || !network_may_bind(gate->policy, port))
        return -EACCES;
    /* A filter of the member's own would be lost. Its length is in instructions. */
    if (getsockopt(socket->fd, SOL_SOCKET, SO_ATTACH_FILTER /* SO_GET_FILTER */, NULL,
                   &instructions) != 0 ||
        instructions != 0)
        return -EACCES;
    if (setsockopt(socket->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
        return -EACCES;
    int result = stay_at(socket, port, perform(request, socket, backlog));
    if (setsockopt(socket->fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) != 0 &&
        result == 0)
        result = -errno;
    return result;
}

static int refuse(const struct request *request)
{
    const struct policy *policy = supervisor_policy(request->supervisor);
    /* No allow rule helps against it. */
    bool denied = network_denies_bind(policy, 0) || network_may_bind(policy, 0);

    request_record_denial(request, "tcp://*:0", "listen", EACCES, LAYER,
                          denied ? "--net-deny-bind" : "port 0 is not in --net-allow-bind",
                          denied ? NULL : "--net-allow-bind 0");
    return -EACCES;
}

/* Another kind of stream takes a port as well, and the kernel is not told which ones there are. Only without a
 * deny list such a listen is not looked at. */
static int refuse_stream(const struct request *request)
{
    if (supervisor_policy(request->supervisor)->deny_bind_port_count == 0)
        return refuse(request);
    return refuse_for(request, "stream socket",
                      "of streams that are not TCP none begins to listen beside --net-deny-bind");
}

static int refuse_denied(const struct request *request, uint16_t port)
{
    char object[sizeof("tcp://*:65535")];

    snprintf(object, sizeof(object), "tcp://*:%u", port);
    return refuse_for(request, object, "--net-deny-bind");
}

/* The limit holds; that it did is looked at all the same. */
static int perform_anywhere(const struct request *request, const struct gate *gate,
                            const struct pinned_socket *socket, int backlog)
{
    int result = perform(request, socket, backlog);

    if (result < 0 || !network_denies_bind(gate->policy, port_of(socket->fd)))
        return result;
    shutdown(socket->fd, SHUT_RDWR);
    return -EADDRINUSE;
}

/* The port is the kernel's choice if the socket has none. The virtual one is what was allowed; the real one may change
 * when the kernel gave the old one up. */
static int perform_chosen(const struct request *request, const struct gate *gate,
                          const struct pinned_socket *socket, int backlog)
{
    uint16_t virtual_port = gate->ports == NULL ? 0 : port_map_of(gate->ports, socket->cookie);
    int result = perform_anywhere(request, gate, socket, backlog);
    uint16_t real = result < 0 || virtual_port == 0 ? 0 : port_of(socket->fd);

    if (real != 0 && port_map_real(gate->ports, NET_TCP, virtual_port) != real &&
        !port_map_record(gate->ports, NET_TCP, virtual_port, real, socket->cookie)) {
        shutdown(socket->fd, SHUT_RDWR);
        return -ENOMEM;
    }
    return result;
}

/* ---- A look that takes time: the kernel walks its tables ------------------------------------------- */

struct job {
    const struct gate *gate;
    struct pinned_socket socket; /* without a descriptor: to be pinned again */
    int backlog;
};

static void job_free(void *data)
{
    struct job *job = data;

    socket_unpin(&job->socket);
    free(job);
}

/* 1: bound, 0: not, -errno: nobody tells. */
static int is_bound(const struct gate *gate, const struct pinned_socket *socket, uint16_t port)
{
    struct diag_list list = DIAG_LIST_INIT;
    struct diag_query query = {.family = (uint8_t)socket->domain,
                               .protocol = IPPROTO_TCP,
                               .states = DIAG_BOUND,
                               .local_port = port};
    int result = -ENOENT;

    if (gate->diag != NULL)
        result = sock_diag_dump(gate->diag, &query, &list);
    if (result == 0)
        result = diag_list_find(&list, socket->cookie) != NULL;
    diag_list_free(&list);
    return result;
}

/* ---- The decision ----------------------------------------------------------------------------------- */

/* Who connects to a unix socket is told who made it listen (SO_PEERCRED): that must be the member. */
static int listen_unix(const struct request *request, const struct gate *gate,
                       const struct pinned_socket *socket, int backlog)
{
    CLEANUP_IDENTITY struct member_identity identity = {0};
    bool known = false;

    int result = own_rights_look(&gate->rights, request, gate->mapped, &known, &identity);
    if (result == 0 && known && identity.differs_in_ids)
        result = -EACCES;
    return result < 0 ? result : perform(request, socket, backlog);
}

/* Where the kernel may choose. LOOK: only a socket that is bound may listen, but is it? -EADDRINUSE: all that the
 * kernel chooses are denied. */
static int decide_chosen(const struct request *request, const struct gate *gate,
                         const struct pinned_socket *socket, int backlog, bool unbound)
{
    uint16_t port = unbound ? 0 : port_of(socket->fd);

    if (port != 0 && network_denies_bind(gate->policy, port))
        return LOOK;
    int result = chosen_port_limit(gate->policy, socket->fd);
    if (result == 0)
        return perform_chosen(request, gate, socket, backlog);
    if (port != 0)
        return LOOK;
    return result == -ENOPROTOOPT ? refuse_for(request, "tcp://*:0", chosen_port_unlimited)
                                  : result;
}

static bool may_choose(const struct gate *gate, const struct pinned_socket *socket)
{
    return gate->chosen || (gate->ports != NULL && port_map_of(gate->ports, socket->cookie) != 0);
}

/* A listener keeps its port. Should another thread have shut it down it takes one that is not denied, and loses it. */
static int listen_again(const struct request *request, const struct gate *gate,
                        const struct pinned_socket *socket, int backlog)
{
    uint16_t port = port_of(socket->fd);

    if (device_kept_ipv4(socket))
        return refuse_ipv4(request);
    chosen_port_limit(gate->policy, socket->fd);
    return stay_at(socket, port, perform(request, socket, backlog));
}

/* 0 or -errno, or LOOK. */
static int decide(const struct request *request, const struct gate *gate,
                  const struct pinned_socket *socket, int backlog)
{
    bool internet = socket->domain == AF_INET || socket->domain == AF_INET6;

    if (socket->domain == AF_UNIX)
        return listen_unix(request, gate, socket, backlog);
    if (!internet || socket->type == SOCK_DGRAM)
        return perform(request, socket, backlog);
    if (is_listening(socket->fd))
        return listen_again(request, gate, socket, backlog);
    if (socket->protocol != IPPROTO_TCP)
        return refuse_stream(request); /* inherited */
    if (device_kept_ipv4(socket))
        return refuse_ipv4(request);
    if (may_choose(gate, socket))
        return decide_chosen(request, gate, socket, backlog, false);
    if (gate->ports != NULL || !gate->any_port || port_of(socket->fd) == 0)
        return refuse(request);
    return LOOK;
}

static int pin_and_decide(const struct request *request, struct job *job)
{
    int result =
        socket_pin(request, (int)(uint32_t)request->notification.data.args[0], &job->socket);

    return result < 0 ? result : decide(request, job->gate, &job->socket, job->backlog);
}

/* ---- On a worker ------------------------------------------------------------------------------------ */

static int look(const struct request *request, const struct job *job)
{
    const struct gate *gate = job->gate;
    uint16_t port = port_of(job->socket.fd);
    int bound = is_bound(gate, &job->socket, port);

    if (!request_is_valid(request))
        return -ESRCH;
    if (bound == 0)
        return may_choose(gate, &job->socket)
                   ? decide_chosen(request, gate, &job->socket, job->backlog, true)
                   : refuse(request);
    if (network_denies_bind(gate->policy, port))
        return refuse_denied(request, port);
    if (bound == 1)
        return stay_at(&job->socket, port, perform(request, &job->socket, job->backlog));
    int result = perform_behind_filter(request, gate, &job->socket, job->backlog);
    if (result == -EACCES)
        refuse(request);
    return result;
}

static void work(const struct request *request, void *data)
{
    struct job *job = data;
    int result = job->socket.fd < 0 ? pin_and_decide(request, job) : LOOK;

    if (result == LOOK)
        result = look(request, job);
    socket_unpin(&job->socket); /* or the port is taken for a moment after the member closes it */
    if (result < 0)
        request_answer_errno(request, -result);
    else
        request_answer_value(request, 0);
}

static struct verdict on_listen(struct request *request)
{
    const struct gate *gate = request->state;
    int backlog = (int)(uint32_t)request->notification.data.args[1];
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return verdict_errno(ENOMEM);
    *job = (struct job){.gate = gate, .socket = PINNED_SOCKET_INIT, .backlog = backlog};
    int result = pin_and_decide(request, job);
    if (result == LOOK) {
        if (request_would_wait(request))
            socket_unpin(&job->socket);
        if (request_perform(request, work, job, job_free))
            return verdict_taken();
        result = -ENOMEM;
    }
    job_free(job);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

static const struct trap traps[] = {{.syscall = "listen", .handle = on_listen}};

static const char *const needs[] = {
    "pidfd_getfd", "getsockopt", "getsockname",    "setsockopt:filter", "setsockopt:range",
    "shutdown",    "listen",     "sendto:netlink", "recvmsg",           NULL,
};

const struct feature feature_listen = {
    .name = "listen-gate",
    .wanted = gate_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = gate_start,
    .stop = gate_stop,
};
