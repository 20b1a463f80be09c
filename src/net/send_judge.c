/*
 * The verdict on one message: where its name may lead, and what its control data may carry. The family
 * of the socket comes first: a name means different things to different kinds, and most of them
 * ignore it.
 */
#include "net/send_message.h"

#include "net/ancillary.h"
#include "net/device.h"
#include "net/own_domain.h"
#include "net/refusal.h"
#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LAYER "network-rules"

static bool has_rules(const struct send *send)
{
    return send->shared->network->shape.destination_policy;
}

static bool is_stream(const struct send *send)
{
    return send->socket.type == SOCK_STREAM;
}

/* A stream that is connected sends to its peer whatever the name says. */
static int ignore_name(struct send *send)
{
    send->name = SEND_WITHOUT_NAME;
    return 0;
}

static int use_name(struct send *send)
{
    send->name = SEND_TO_COPY;
    return 0;
}

/* The kernel reads no other destination out of the copy than the one that was judged. */
static int use_ip_name(struct send *send)
{
    address_settle(&send->message.name);
    return use_name(send);
}

/* A virtual port of the sandbox's own, where it really is. To find out takes a worker. */
static int use_own_port(struct send *send, enum net_protocol protocol, bool cached_only)
{
    struct port_map *ports = send->shared->network->ports;
    struct socket_address *name = &send->message.name;

    if (ports == NULL || protocol == NET_ICMP || !net_address_is_loopback(&name->ip) ||
        !port_map_is_moved(ports, protocol, name->port))
        return 0;
    if (cached_only)
        return SEND_SLOW;
    uint16_t real = port_map_locate(ports, protocol, &name->ip, name->port);
    if (real != 0)
        address_set_port(name, real);
    return 0;
}

/* 1: a datagram for a socket of the sandbox's own, by the real port that it was received from. */
static int is_own_peer(const struct send *send, enum net_protocol protocol, bool cached_only)
{
    const struct network *network = send->shared->network;
    const struct socket_address *name = &send->message.name;

    if (is_stream(send) || !names_own_peer(network, protocol, name))
        return 0;
    if (cached_only)
        return SEND_SLOW;
    return port_map_peer(network->ports, protocol, &name->ip, name->port) != 0;
}

static int judge_ip(const struct request *request, struct send *send, bool cached_only)
{
    const struct socket_address *name = &send->message.name;
    const struct network *network = send->shared->network;
    enum net_protocol protocol;

    if (!is_stream(send) && send->socket.domain == AF_INET6)
        address_meet(&send->message.name, send->socket.fd);
    if (!has_rules(send)) {
        if (send->socket.domain == AF_UNIX)
            return use_name(send); /* for the kernel to refuse */
        /* No other IP socket than TCP can be made here. */
        return is_stream(send) ? ignore_name(send) : -EACCES;
    }
    if (!net_protocol_of_socket(&send->socket, &protocol))
        return -ECONNREFUSED;
    if (!net_allows(network->verdicts, protocol, &name->ip, name->port)) {
        int own = is_own_peer(send, protocol, cached_only);
        if (own > 0)
            return use_ip_name(send);
        return own < 0 ? own
                       : refuse_destination(request, network, protocol, &name->ip, name->port,
                                            "send", ECONNREFUSED);
    }
    if (is_stream(send))
        return ignore_name(send);
    int result = use_own_port(send, protocol, cached_only);
    return result < 0 ? result : use_ip_name(send);
}

/* A name of no kind that the socket takes. Unix sockets refuse or ignore it; routing sockets are such
 * sockets here. */
static int judge_foreign(const struct request *request, struct send *send)
{
    if (send->socket.domain == AF_UNIX)
        return use_name(send);
    if (is_stream(send) && !has_rules(send))
        return ignore_name(send);
    request_record_denial(request, NULL, "send", EAFNOSUPPORT, LAYER,
                          "the address is of another kind than the socket", NULL);
    return -EAFNOSUPPORT;
}

/* Without a path. Outside the sandbox it is out of reach, which the kernel says, or nobody. */
static int judge_abstract(const struct request *request, struct send *send)
{
    const struct socket_address *name = &send->message.name;

    if (has_rules(send)) {
        refuse_abstract(request, name, "send", EAFNOSUPPORT, LAYER,
                        "with rules, datagrams go to unix sockets with a path only");
        return -EAFNOSUPPORT;
    }
    if (name->kind == ADDRESS_UNIX_UNNAMED)
        return use_name(send);
    if (send->shared->abstract_scope) {
        int result = own_domain_judge_abstract(request, name, "send");
        return result < 0 ? result : use_name(send);
    }
    refuse_abstract(request, name, "send", EPERM, LAYER, ABSTRACT_UNJUDGED);
    return -EPERM;
}

static int judge_unix(const struct request *request, struct send *send, bool cached_only)
{
    if (send->socket.domain != AF_UNIX)
        return judge_foreign(request, send);
    if (send->socket.type == SOCK_SEQPACKET)
        return ignore_name(send);
    if (send->socket.type != SOCK_DGRAM)
        return use_name(send); /* refused by the kernel without a look at it */
    if (send->message.name.kind != ADDRESS_UNIX_NAMED)
        return judge_abstract(request, send);
    int result = unix_target_pin(request, &send->message.name, cached_only, &send->target);
    if (result == 0)
        send->name = SEND_TO_TARGET;
    return result;
}

/* Too short for its kind, which only who reads names finds. That one is there at all unix streams mind, and that
 * it has no length at all UDP and ping sockets. */
static int judge_malformed(struct send *send)
{
    if (send->socket.domain != AF_UNIX)
        return is_stream(send) ? ignore_name(send) : -EINVAL;
    if (send->socket.type == SOCK_SEQPACKET || send->message.name.length == 0)
        return ignore_name(send);
    return is_stream(send) ? use_name(send) : -EINVAL;
}

static int judge_name(const struct request *request, struct send *send, bool cached_only)
{
    const struct socket_address *name = &send->message.name;

    switch (name->kind) {
    case ADDRESS_NONE:
        return ignore_name(send);
    case ADDRESS_IP:
        return judge_ip(request, send, cached_only);
    case ADDRESS_UNSPEC:
        if (send->socket.domain == AF_INET6) /* there it means no name */
            return ignore_name(send);
        if (send->socket.domain != AF_INET)
            return judge_foreign(request, send);
        return name->has_ip ? judge_ip(request, send, cached_only) : -EINVAL;
    case ADDRESS_UNIX_NAMED:
    case ADDRESS_UNIX_ABSTRACT:
    case ADDRESS_UNIX_UNNAMED:
        return judge_unix(request, send, cached_only);
    case ADDRESS_NETLINK:
    case ADDRESS_OTHER:
        return judge_foreign(request, send);
    case ADDRESS_MALFORMED:
        return judge_malformed(send);
    }
    return -EINVAL;
}

/* ---- Control data ------------------------------------------------------------------------------- */

struct passing {
    const struct request *request;
    struct destinations *shared;
    bool failed; /* a descriptor could not be had */
};

/* Counted from here on, send_next() takes them back. */
static int fetch(void *data, int fd)
{
    struct passing *passing = data;
    atomic_uint *passed = &passing->shared->passed;

    int copy = atomic_fetch_add(passed, 1) < passing->shared->passed_max
                   ? member_get_fd(passing->request, fd)
                   : -EAGAIN;
    passing->failed = copy < 0;
    if (copy < 0)
        atomic_fetch_sub(passed, 1);
    return copy;
}

static int refuse_control(const struct request *request, const char *object, const char *rule)
{
    request_record_denial(request, object, "send", EPERM, LAYER, rule, NULL);
    return -EPERM;
}

static int take_descriptors(const struct request *request, struct send *send)
{
    struct message *message = &send->message;
    struct passing passing = {request, send->shared, false};

    send->passed = malloc(ANCILLARY_FDS_MAX * sizeof(*send->passed));
    if (send->passed == NULL)
        return -ENOMEM;
    int result = ancillary_take_unix(message->control, &message->control_length, fetch, &passing,
                                     send->passed, &send->passed_count);
    return result == -EPERM && !passing.failed
               ? refuse_control(request, "SCM_CREDENTIALS",
                                "the supervisor sends the message, and would vouch for them")
               : result;
}

static bool is_to_a_scope(const struct send *send)
{
    const struct socket_address *name = &send->message.name;

    return send->name == SEND_TO_COPY && name->kind == ADDRESS_IP && device_needs_scope(&name->ip);
}

static int judge_control(const struct request *request, struct send *send)
{
    struct message *message = &send->message;
    int result;

    if (message->control_length == 0)
        return 0;
    switch (send->socket.domain) {
    case AF_UNIX:
        return take_descriptors(request, send);
    case AF_INET:
    case AF_INET6:
        result =
            ancillary_check_ip(message->control, &message->control_length, is_to_a_scope(send));
        return result == -EPERM
                   ? refuse_control(request, "control data",
                                    "it may lead packets elsewhere than their address says")
                   : result;
    default:
        return refuse_control(request, "control data", "not for sockets of this kind");
    }
}

/* ---- Rights ------------------------------------------------------------------------------------- */

/* The send path of IP and unix sockets asks for no capability, given the control data that is let
 * through, but for the limit of descriptors in flight. A unix target sees to its own. */
static bool may_ask_for_rights(const struct send *send)
{
    if (send->socket.domain == AF_UNIX)
        return send->passed_count > 0;
    return send->socket.domain != AF_INET && send->socket.domain != AF_INET6;
}

static bool is_another_user(const struct member_identity *identity)
{
    return identity->real_uid != getuid() || identity->real_gid != getgid();
}

/* The kernel would tell the peer who performs the call. What passes descriptors is sent without the
 * capability that the limit of descriptors in flight, but also another process's number asks for. */
static int introduce(const struct request *request, struct send *send)
{
    const struct message *message = &send->message;
    const struct member_identity *identity = &send->identity;
    struct ucred member = {.pid = send->passed_count > 0 ? getpid() : request->tgid,
                           .uid = identity->real_uid,
                           .gid = identity->real_gid};

    send->credentials_at = ANCILLARY_ALIGN(message->control_length);
    send->introduction_length = send->credentials_at + ANCILLARY_CREDENTIALS_SIZE;
    send->introduction = calloc(1, send->introduction_length);
    if (send->introduction == NULL)
        return -ENOMEM;
    if (message->control_length > 0)
        memcpy(send->introduction, message->control, message->control_length);
    ancillary_put_credentials(send->introduction + send->credentials_at, &member);
    send->lowers = send->passed_count > 0;
    send->identity.effective |= SEND_INTRODUCES;
    return 0;
}

int send_find_rights(const struct request *request, struct send *send)
{
    struct destinations *shared = send->shared;
    bool may_ask = send->name != SEND_TO_TARGET && may_ask_for_rights(send);

    if (send->looked || (send->socket.domain != AF_UNIX && !may_ask))
        return 0;
    int result =
        own_rights_look(&shared->rights, request, shared->mapped, &send->looked, &send->identity);
    if (result < 0 || !send->looked)
        return result;
    send->lowers = may_ask;
    return send->socket.domain == AF_UNIX && is_another_user(&send->identity)
               ? introduce(request, send)
               : 0;
}

int send_judge(const struct request *request, struct send *send, bool cached_only)
{
    /* Closing what is passed on may take long. */
    if (cached_only && send->socket.domain == AF_UNIX && send->message.control_length > 0)
        return SEND_SLOW;
    int result = judge_name(request, send, cached_only);
    if (result < 0)
        return result;
    result = judge_control(request, send);
    /* Descriptors were looked at by number. */
    if (result == 0 && send->passed_count > 0 && !request_is_valid(request))
        result = -ESRCH;
    return result == SEND_SLOW && cached_only ? -EIO : result; /* said above, or by the name */
}
