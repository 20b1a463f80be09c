/*
 * bind: bind(2) where the kernel's rules for the members are not enough: a deny list, port
 * virtualization, UDP without a rule, or an interface that an address takes along (device.h). Address
 * and socket are copies, judged and used alone; the supervisor's own domain carries the ports of the
 * policy as the second wall.
 *
 * What continues is judged by the kernel whatever a member makes of its descriptor and memory
 * meanwhile: TCP has no bind right left in the members' domain while it is done here (or exactly the
 * listed ports where only the UDP errno is given here), unix paths need the right to make sockets.
 */
#include "net/bind.h"

#include "kernel/landlock.h"
#include "member/own_rights.h"
#include "net/chosen_port.h"
#include "net/device.h"
#include "net/net.h"
#include "net/network.h"
#include "net/own_domain.h"
#include "net/refusal.h"
#include "net/port_sockets.h"
#include "net/sock_diag.h"
#include "policy/own_port.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define LAYER "bind-rules"

/* In both IP families, and in what the kernel reads as one, the port follows the family. */
#define PORT_OFFSET 2
#define PORT_END 4

struct binder {
    const struct policy *policy;
    const struct network *network; /* borrowed; NULL without */
    struct network_shape shape;
    struct port_map *ports; /* NULL without port_remap */
    struct sock_diag *diag; /* NULL where it is refused, or not needed */
    bool kernel_guards_tcp; /* the members' domain handles the TCP bind right */
    bool mapped;
    struct own_rights rights;
};

static bool bind_wanted(const struct policy *policy, const struct network *network)
{
    struct network_shape shape = network_shape_known(policy, network);

    return shape.bind_on_behalf || shape.udp == UDP_INERT;
}

bool bind_protocol_of(const struct pinned_socket *socket, enum net_protocol *protocol)
{
    if (socket->domain != AF_INET && socket->domain != AF_INET6)
        return false;
    *protocol = socket->protocol == IPPROTO_TCP ? NET_TCP : NET_UDP;
    return socket->protocol == IPPROTO_TCP || socket->protocol == IPPROTO_UDP;
}

/* ---- Start and end ------------------------------------------------------------------------------- */

static bool bind_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct network *network = network_of(supervisor);
    const struct policy *policy = supervisor_policy(supervisor);
    struct binder *binder = calloc(1, sizeof(*binder));
    struct landlock_masks masks;
    int refused;

    if (binder == NULL)
        return error_runtime(err, ENOMEM, "bind");
    landlock_resolve(landlock_support_get(), policy->protections, &masks);
    binder->policy = policy;
    binder->network = network;
    binder->shape = network_shape_known(policy, network);
    binder->ports = network == NULL ? NULL : network->ports;
    binder->kernel_guards_tcp = (masks.net & LL_NET_BIND_TCP) != 0;
    binder->rights = own_rights_now();
    binder->mapped = policy_maps_user(policy);
    if (binder->ports != NULL) {
        binder->diag = fault_is("sock-diag") ? NULL : sock_diag_new(&refused);
        if (binder->diag != NULL)
            port_map_ask(binder->ports, &port_sockets_questions, binder->diag);
    }
    *state = binder;
    return true;
}

/* While the map still exists, which stop cannot rely on. */
static void bind_leave_loop(void *state)
{
    struct binder *binder = state;

    if (binder->ports != NULL)
        port_map_ask(binder->ports, NULL, NULL);
}

static void bind_stop(void *state)
{
    struct binder *binder = state;

    if (binder == NULL)
        return;
    sock_diag_free(binder->diag);
    free(binder);
}

/* ---- One call ------------------------------------------------------------------------------------ */

struct job {
    struct binder *binder;
    struct pinned_socket socket; /* without a descriptor: all is to be read again */
    struct socket_address address;
    enum net_protocol protocol;
    uint16_t port;
};

static void job_free(void *data)
{
    struct job *job = data;

    if (job == NULL)
        return;
    socket_unpin(&job->socket);
    free(job);
}

static struct verdict refuse(const struct request *request, const struct job *job, bool denied)
{
    char object[ENDPOINT_TEXT_MAX];
    CLEANUP_BUFFER struct buffer suggest = BUFFER_INIT;

    name_local_address(object, job->protocol, &job->address);
    if (!denied)
        own_port_suggest_bind(job->binder->policy, NULL, job->port, &suggest);
    request_record_denial(request, object, "bind", EACCES, LAYER,
                          denied ? "--net-deny-bind" : "no rule",
                          denied || buffer_failed(&suggest) ? NULL : buffer_text(&suggest));
    return verdict_errno(EACCES);
}

/* Why its sockets are inert. */
static const char *lack_of_udp(const struct policy *policy)
{
    bool any = policy->net_allow.count == 0; /* rules of denial alone */

    for (size_t i = 0; i < policy->net_allow.count; i++)
        any = any || policy->net_allow.items[i].protocol == NET_UDP;
    return any ? "the rules leave no UDP destination" : "no rule for UDP";
}

/* Any rule for UDP makes the bind possible. The one for the own address is sure to be a rule. */
static struct verdict refuse_udp(const struct request *request, const struct binder *binder,
                                 const struct socket_address *address)
{
    struct net_verdict verdict = {0};
    char object[ENDPOINT_TEXT_MAX];

    name_local_address(object, NET_UDP, address);
    if (binder->network != NULL && address->kind == ADDRESS_IP)
        net_explain(binder->network->verdicts, NET_UDP, &address->ip, address->port, &verdict);
    request_record_denial(request, object, "bind", EACCES, LAYER, lack_of_udp(binder->policy),
                          verdict.suggest[0] == '\0' ? NULL : verdict.suggest);
    return verdict_errno(EACCES);
}

/* A bound datagram socket receives, so one without a rule may not even be bound. VERDICT_NEXT: allowed. */
static struct verdict judge(const struct request *request, const struct job *job)
{
    const struct policy *policy = job->binder->policy;

    if (job->protocol == NET_UDP)
        return job->binder->shape.udp == UDP_OPEN ? verdict_next()
                                                  : refuse_udp(request, job->binder, &job->address);
    if (network_may_bind(policy, job->port) || fault_is("verdict-allow"))
        return verdict_next();
    return refuse(request, job, network_denies_bind(policy, job->port));
}

/* Where packets are judged by their address, no socket gets bound to an interface by which others than it
 * names would get them. The sandbox has none but the loopback interface: ENODEV is the kernel's word. */
static bool is_by_device(const struct job *job)
{
    return (job->binder->shape.destination_policy || job->binder->ports != NULL) &&
           device_is_bound_by(&job->socket, &job->address);
}

static struct verdict refuse_device(const struct request *request, const struct job *job)
{
    char object[ENDPOINT_TEXT_MAX];
    enum net_protocol protocol = NET_ICMP;

    net_protocol_of_socket(&job->socket, &protocol);
    name_local_address(object, protocol, &job->address);
    request_record_denial(request, object, "bind", ENODEV, LAYER,
                          "it would bind the socket to a network interface", NULL);
    return verdict_errno(ENODEV);
}

/* ---- Performing ---------------------------------------------------------------------------------- */

static uint16_t bound_port(int fd)
{
    uint8_t bytes[sizeof(struct sockaddr_storage)] = {0};
    socklen_t length = sizeof(bytes);

    if (getsockname(fd, (struct sockaddr *)bytes, &length) != 0 || length < PORT_END)
        return 0;
    return (uint16_t)(bytes[PORT_OFFSET] << 8 | bytes[PORT_OFFSET + 1]);
}

static int bind_exactly(const struct job *job, uint16_t port)
{
    uint8_t bytes[ADDRESS_BYTES_MAX];

    memcpy(bytes, job->address.bytes, sizeof(bytes));
    if (job->address.length >= PORT_END) {
        bytes[PORT_OFFSET] = (uint8_t)(port >> 8);
        bytes[PORT_OFFSET + 1] = (uint8_t)port;
    }
    return bind(job->socket.fd, (const struct sockaddr *)bytes, job->address.length) == 0 ? 0
                                                                                          : -errno;
}

static bool is_denied(const struct job *job, uint16_t port)
{
    return job->socket.protocol == IPPROTO_TCP && network_denies_bind(job->binder->policy, port);
}

/* At a port that the kernel chooses among those that are not denied. Should it choose another all the same, the socket
 * keeps it, since nothing but listening takes one away, and does not listen there (listen.c). */
static int bind_anywhere(const struct job *job)
{
    bool tcp = job->socket.protocol == IPPROTO_TCP;
    int result = tcp ? chosen_port_limit(job->binder->policy, job->socket.fd) : 0;

    if (result == 0)
        result = bind_exactly(job, 0);
    return result == 0 && is_denied(job, bound_port(job->socket.fd)) ? -EADDRINUSE : result;
}

static int bind_to(const struct job *job, uint16_t port)
{
    return port == 0 ? bind_anywhere(job) : bind_exactly(job, port);
}

static bool is_on(int fd, int option)
{
    int value = 0;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value != 0;
}

static void switch_option(int fd, int option, int value)
{
    /* Cannot fail; the bind says what came of it. */
    setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/*
 * A port is the sandbox's own: it is not to be shared with sockets of other sandboxes, which would be
 * possible under the same user with these options. Once a socket has it, its own kin may share it.
 */
static int bind_alone(const struct job *job, uint16_t port)
{
    int fd = job->socket.fd;
    bool reuse_port = is_on(fd, SO_REUSEPORT);
    /* TCP needs it for ports that were in use a minute ago, and listens alone all the same. */
    bool reuse_address = job->protocol == NET_UDP && is_on(fd, SO_REUSEADDR);

    if (reuse_port)
        switch_option(fd, SO_REUSEPORT, 0);
    if (reuse_address)
        switch_option(fd, SO_REUSEADDR, 0);
    int result = bind_to(job, port);
    if (reuse_port)
        switch_option(fd, SO_REUSEPORT, 1);
    if (reuse_address)
        switch_option(fd, SO_REUSEADDR, 1);
    return result;
}

static int record(const struct job *job, uint16_t virtual_port)
{
    uint16_t real = bound_port(job->socket.fd);

    /* With IP_BIND_ADDRESS_NO_PORT the port comes later, when nobody looks. */
    if (real == 0)
        return virtual_port == 0 ? 0 : -EADDRINUSE;
    if (virtual_port == 0)
        virtual_port = real;
    if (!port_map_record(job->binder->ports, job->protocol, virtual_port, real, job->socket.cookie))
        return -ENOMEM;
    return 0;
}

/* As port_map_users() wants it: an IPv4-mapped address is IPv4. */
static struct net_address address_of(const struct job *job)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    const uint8_t *bytes = job->address.bytes;
    bool six = job->address.family == AF_INET6;
    bool four = !six || memcmp(bytes + 8, mapped, sizeof(mapped)) == 0;
    struct net_address address = {.family = four ? 4 : 6};

    memcpy(address.bytes, bytes + (six ? four ? 20 : 8 : 4), four ? 4 : 16);
    return address;
}

/*
 * At this port, if nobody outside has it: options can be switched back on while the kernel looks, and
 * sockets of the same user would share it then. With sockets of the sandbox it is shared as the options
 * say.
 */
static int bind_at(const struct job *job, uint16_t port, bool known)
{
    struct net_address address = address_of(job);
    unsigned users = port_map_users(job->binder->ports, job->protocol, &address, port);

    if ((users & PORT_FOREIGN) != 0)
        return -EADDRINUSE;
    /* Unlisted, a socket of ours may have it: one outside that only is bound is not seen either. */
    bool maybe_own = known && users == 0 && job->protocol == NET_TCP &&
                     !sock_diag_lists_bound(job->binder->diag);
    return users == PORT_OWN || maybe_own ? bind_to(job, port) : bind_alone(job, port);
}

/* The virtual port at the real one it had, or at itself, or at one the kernel chooses. */
static int bind_virtual(const struct job *job)
{
    struct port_map *ports = job->binder->ports;
    uint16_t known = port_map_real(ports, job->protocol, job->port);
    int result = bind_at(job, known != 0 ? known : job->port, known != 0);

    if (result == -EADDRINUSE && known != 0) {
        if (port_map_is_held(ports, job->protocol, job->port))
            return -EADDRINUSE;
        result = bind_at(job, job->port, false);
    }
    if (result == -EADDRINUSE || (result == -EACCES && job->port < 1024))
        result = bind_alone(job, 0);
    return result == 0 ? record(job, job->port) : result;
}

static int bind_ip(const struct job *job)
{
    enum net_protocol protocol;
    bool in_map = job->binder->ports != NULL && bind_protocol_of(&job->socket, &protocol);

    if (job->port != 0 && in_map)
        return bind_virtual(job);
    int result = bind_to(job, job->port);
    return result == 0 && in_map ? record(job, 0) : result;
}

static int refuse_unlimited(const struct request *request, const struct job *job)
{
    char object[ENDPOINT_TEXT_MAX];

    name_local_address(object, job->protocol, &job->address);
    request_record_denial(request, object, "bind", EACCES, LAYER, chosen_port_unlimited, NULL);
    return -EACCES;
}

/* In the file system or the kernel's tables of ports, with no more rights than the member has. */
static int perform(const struct request *request, const struct job *job)
{
    const struct binder *binder = job->binder;
    bool makes_file = job->socket.domain == AF_UNIX;
    CLEANUP_IDENTITY struct member_identity identity = {0};
    struct lowered_rights lowered = {0};
    bool known = false;

    int result = own_rights_look(&binder->rights, request, binder->mapped, &known, &identity);
    if (result < 0)
        return result;
    if (known && makes_file && identity.differs_in_ids)
        return -EACCES; /* the file would belong to the supervisor's user */
    if (known && identity_lower(&identity, &lowered) != 0)
        return -EPERM;
    result = makes_file ? unix_bind(request, &job->socket, &job->address) : bind_ip(job);
    if (known)
        identity_restore(&lowered);
    if (result == -ENOPROTOOPT)
        return refuse_unlimited(request, job);
    return result;
}

static struct verdict verdict_of(int result)
{
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

/* ---- The decision -------------------------------------------------------------------------------- */

/* For the sake of IP sockets' interfaces alone the unix socket's name is not given up. */
static bool is_kernels(const struct job *job)
{
    return job->socket.domain == AF_UNIX &&
           (job->binder->kernel_guards_tcp || !job->binder->shape.bind_by_port);
}

/* What the kernel judges is not read: nothing of the member's memory is decided on. */
static int prepare(const struct request *request, struct job *job)
{
    const __u64 *args = request->notification.data.args;
    pid_t tid = (pid_t)request->notification.pid;

    int result = address_check_length(args[2]);
    if (result == 0)
        result = socket_pin(request, (int)(uint32_t)args[0], &job->socket);
    if (result < 0 || is_kernels(job))
        return result;
    result = address_read(tid, args[1], args[2], &job->address);
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    if (result == 0 && job->address.length >= PORT_END)
        job->port =
            (uint16_t)(job->address.bytes[PORT_OFFSET] << 8 | job->address.bytes[PORT_OFFSET + 1]);
    return result;
}

/* *submit: goes on on a worker. */
static struct verdict decide_unix(const struct request *request, const struct job *job,
                                  bool *submit)
{
    if (is_kernels(job))
        return verdict_next();
    if (job->address.kind == ADDRESS_UNIX_NAMED) {
        const char *path =
            (const char *)job->address.bytes + offsetof(struct sockaddr_un, sun_path);
        if (own_domain_judge_path(request, path, "bind") < 0) /* it makes a file */
            return verdict_errno(EACCES);
        *submit = true;
        return verdict_next();
    }
    int result =
        bind(job->socket.fd, (const struct sockaddr *)job->address.bytes, job->address.length) == 0
            ? 0
            : -errno;
    return verdict_of(result);
}

static struct verdict decide(const struct request *request, struct job *job, bool *submit)
{
    if (job->socket.domain == AF_UNIX)
        return decide_unix(request, job, submit);
    if (job->socket.domain != AF_INET && job->socket.domain != AF_INET6)
        return verdict_errno(EAFNOSUPPORT);
    if (bind_protocol_of(&job->socket, &job->protocol)) {
        /* An address without a port is an error that the kernel names. */
        bool whole = job->protocol == NET_UDP || job->address.length >= PORT_END;
        struct verdict verdict = whole ? judge(request, job) : verdict_next();
        if (verdict.kind != VERDICT_NEXT)
            return verdict;
        if (job->protocol == NET_TCP && own_domain_judge_tcp(request, &job->address, "bind") < 0)
            return verdict_errno(EACCES);
        /* Whether others have the port takes a look at the kernel's tables. */
        *submit = job->binder->ports != NULL &&
                  (job->port != 0 || port_map_is_crowded(job->binder->ports));
    } else if (job->socket.protocol != IPPROTO_ICMP && job->socket.protocol != IPPROTO_ICMPV6) {
        return verdict_errno(EACCES); /* what no rule is about */
    }
    if (is_by_device(job)) {
        *submit = false;
        return refuse_device(request, job);
    }
    return *submit ? verdict_next() : verdict_of(perform(request, job));
}

static struct verdict look(const struct request *request, struct job *job, bool *submit)
{
    int result = prepare(request, job);

    *submit = false;
    return result < 0 ? verdict_errno(-result) : decide(request, job, submit);
}

/* ---- On a worker --------------------------------------------------------------------------------- */

static int carry_on(const struct request *request, const struct job *job)
{
    if (!request_is_valid(request))
        return -EPERM;
    if (job->socket.domain != AF_UNIX && port_map_is_crowded(job->binder->ports))
        port_map_clean(job->binder->ports);
    return perform(request, job);
}

static void work(const struct request *request, void *data)
{
    struct job *job = data;
    struct verdict verdict = verdict_next();
    bool submit = true;

    if (job->socket.fd < 0)
        verdict = look(request, job, &submit);
    if (submit)
        verdict = verdict_of(carry_on(request, job));
    socket_unpin(&job->socket); /* or the name is taken for a moment after the member closes it */
    if (verdict.kind == VERDICT_ERRNO)
        request_answer_errno(request, verdict.error);
    else if (verdict.kind == VERDICT_VALUE)
        request_answer_value(request, verdict.value);
    else
        request_answer_continue(request);
}

/* ---- On the receiving thread --------------------------------------------------------------------- */

static struct verdict perform_here(struct request *request)
{
    struct job *job = calloc(1, sizeof(*job));
    bool submit;

    if (job == NULL)
        return verdict_errno(ENOMEM);
    job->binder = request->state;
    job->socket = PINNED_SOCKET_INIT;
    struct verdict verdict = look(request, job, &submit);
    if (submit) {
        if (request_would_wait(request))
            socket_unpin(&job->socket);
        if (request_perform(request, work, job, job_free))
            return verdict_taken();
        verdict = verdict_errno(ENOMEM);
    }
    job_free(job);
    return verdict;
}

/* Nothing but the errno of UDP without a rule: what is not UDP is the kernel's business, unread. */
static struct verdict look_for_udp(struct request *request)
{
    const __u64 *args = request->notification.data.args;
    struct socket_address address = {0};
    struct pinned_socket socket;
    enum net_protocol protocol;

    int result = socket_pin(request, (int)(uint32_t)args[0], &socket);
    if (result < 0)
        return verdict_errno(-result);
    bool udp = bind_protocol_of(&socket, &protocol) && protocol == NET_UDP;
    socket_unpin(&socket);
    if (!udp)
        return verdict_next();
    /* Only the advice is about the address. */
    if (address_read((pid_t)request->notification.pid, args[1], args[2], &address) < 0 ||
        !request_is_valid(request))
        address = (struct socket_address){0};
    return refuse_udp(request, request->state, &address);
}

static struct verdict on_bind(struct request *request)
{
    const struct binder *binder = request->state;

    return binder->shape.bind_on_behalf ? perform_here(request) : look_for_udp(request);
}

static const struct trap traps[] = {{.syscall = "bind", .handle = on_bind}};

static const char *const needs[] = {
    "pidfd_getfd",    "getsockopt",       "getsockname",      "bind",
    "sendto:netlink", "recvmsg",          "capget",           "identity",
    "fchmod",         "setsockopt:reuse", "setsockopt:range", NULL,
};

/* It is also on for the sake of UDP sockets and of interfaces. */
static void bind_describe(const struct policy *policy, struct posture *posture)
{
    if (network_shape_of(policy).bind_restricted)
        posture_set(posture, "bind-rules", POSTURE_ACTIVE, "supervisor", NULL);
    else
        posture_set(posture, "bind-rules", POSTURE_OFF, NULL, "every TCP port is allowed");
}

const struct feature feature_bind = {
    .name = "bind-rules",
    .wanted = bind_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = bind_start,
    .leave_loop = bind_leave_loop,
    .stop = bind_stop,
    .describe = bind_describe,
};
