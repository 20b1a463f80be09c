/*
 * What the posture says about the network: per protocol what is open and who judges it, the kernel
 * directly or the supervisor on behalf. Runs after the features have described themselves.
 */
#include "launch/internal.h"

#include "net/network.h"
#include "policy/network.h"

#include <stdio.h>

/* What the supervisor does on members' descriptors, where it can. */
static void set_on_behalf(struct launch *launch, const char *name, const char *why)
{
    if (supervisor_cannot_fetch(launch->supervisor))
        posture_set(&launch->posture, name, POSTURE_DEGRADED, NULL, SUPERVISOR_UNFETCHED);
    else
        posture_set(&launch->posture, name, POSTURE_ACTIVE, "supervisor", why);
}

/* Landlock judges binds, but they are looked at first: a UDP socket must not be bound. */
static bool binds_are_lost(const struct launch *launch, const struct network_shape *shape)
{
    return shape->udp == UDP_INERT && supervisor_cannot_fetch(launch->supervisor);
}

static bool has_rules(const struct net_rules *rules, enum net_protocol protocol)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].protocol == protocol)
            return true;
    }
    return false;
}

static bool has_total_rule(const struct net_rules *rules, enum net_protocol protocol)
{
    const struct net_rule everything = {.protocol = protocol, .target = NET_TARGET_ANY};

    for (size_t i = 0; i < rules->count; i++) {
        if (net_rule_covers(&rules->items[i], &everything))
            return true;
    }
    return false;
}

/* Everything of the protocol can be reached but what a deny rule names. */
static bool is_open(const struct policy *policy, enum net_protocol protocol)
{
    bool allowed = policy->net_allow.count > 0 ? has_total_rule(&policy->net_allow, protocol)
                                               : policy->net_deny.count > 0;

    return allowed && !has_total_rule(&policy->net_deny, protocol);
}

static const char *rules_of(const struct policy *policy, enum net_protocol protocol)
{
    if (is_open(policy, protocol))
        return has_rules(&policy->net_deny, protocol) ? "every destination that is not denied"
                                                      : "every destination";
    return "destinations by rule";
}

static void describe_tcp(struct launch *launch, const struct network_shape *shape, bool enforced)
{
    struct posture *posture = &launch->posture;
    bool open = is_open(launch->policy, NET_TCP) && !has_rules(&launch->policy->net_deny, NET_TCP);
    char why[128];

    if (!shape->destination_policy && !enforced) {
        posture_set(posture, "tcp", POSTURE_OFF, NULL, "net-tcp is not enforced");
        return;
    }
    if (!shape->destination_policy) {
        posture_set(posture, "tcp", POSTURE_ACTIVE, "landlock",
                    "no outgoing connection is allowed");
        return;
    }
    bool direct = !shape->connect_on_behalf;
    snprintf(why, sizeof(why), "%s, %s", rules_of(launch->policy, NET_TCP),
             direct ? "judged by the kernel directly" : "connected on behalf");
    if (direct && !enforced)
        posture_set(posture, "tcp", POSTURE_OFF, NULL, "net-tcp is not enforced");
    else if (open)
        posture_set(posture, "tcp", POSTURE_OFF, NULL, why);
    else if (direct)
        posture_set(posture, "tcp", POSTURE_ACTIVE, "landlock", why);
    else
        set_on_behalf(launch, "tcp", why);
}

static void describe_udp(struct launch *launch, const struct network_shape *shape)
{
    struct posture *posture = &launch->posture;
    bool open = is_open(launch->policy, NET_UDP) && !has_rules(&launch->policy->net_deny, NET_UDP);

    switch (shape->udp) {
    case UDP_CLOSED:
        posture_set(posture, "udp", POSTURE_ACTIVE, "filter", "UDP sockets are refused");
        break;
    case UDP_INERT:
        posture_set(posture, "udp", POSTURE_ACTIVE, "supervisor",
                    "UDP sockets neither send nor receive");
        break;
    case UDP_OPEN:
        if (open)
            posture_set(posture, "udp", POSTURE_OFF, NULL, rules_of(launch->policy, NET_UDP));
        else
            set_on_behalf(launch, "udp", rules_of(launch->policy, NET_UDP));
        posture_exception(posture, "UDP ports can be bound, and receive from anywhere");
        break;
    }
}

static void describe_icmp(struct launch *launch, const struct network_shape *shape)
{
    struct posture *posture = &launch->posture;

    if (!shape->ping) {
        posture_set(posture, "icmp", POSTURE_ACTIVE, "filter", "raw and ping sockets are refused");
        return;
    }
    char why[128];
    snprintf(why, sizeof(why), "ping sockets: %s; raw sockets are refused",
             rules_of(launch->policy, NET_ICMP));
    set_on_behalf(launch, "icmp", why);
}

static void describe_bind(struct launch *launch, const struct network_shape *shape, bool enforced)
{
    struct posture *posture = &launch->posture;
    const struct policy *policy = launch->policy;

    if (shape->bind_on_behalf && shape->bind_restricted)
        set_on_behalf(launch, "bind",
                      policy->port_remap
                          ? "TCP ports of the policy, remapped where the host has them"
                          : "TCP ports of the policy, bound on behalf");
    else if (shape->bind_restricted && binds_are_lost(launch, shape))
        posture_set(posture, "bind", POSTURE_DEGRADED, NULL, SUPERVISOR_UNFETCHED);
    else if (shape->bind_restricted && enforced)
        posture_set(posture, "bind", POSTURE_ACTIVE, "landlock", NULL);
    else if (shape->bind_restricted)
        posture_set(posture, "bind", POSTURE_OFF, NULL, "net-tcp is not enforced");
    else
        posture_set(posture, "bind", POSTURE_OFF, NULL,
                    shape->bind_on_behalf && policy->port_remap
                        ? "every TCP port is allowed, remapped where the host has it"
                        : "every TCP port is allowed");
    bool all_but_denied = policy->bind_port_count == 0 && policy->deny_bind_port_count > 0;
    if (policy->bind_any || all_but_denied)
        posture_exception(posture, "every TCP port%s can be bound",
                          policy->deny_bind_port_count > 0 ? " that is not denied" : "");
}

/* Where connect is performed on behalf, a scope that the kernel lacks is a refusal. */
static void describe_abstract(struct launch *launch, const struct network_shape *shape)
{
    enum protection_status status = launch->domains.masks.status[PROTECTION_ABSTRACT_UNIX_SCOPE];

    if (status == STATUS_DISABLED || (status != STATUS_ACTIVE && !shape->connect_on_behalf))
        posture_exception(&launch->posture,
                          "abstract unix sockets outside the sandbox can be connected to");
}

/* Its entry is the feature's; what it leaves open where it is missing is said here. */
static void describe_listen(struct launch *launch, const struct network_shape *shape)
{
    const struct policy *policy = launch->policy;
    bool gate = !policy->no_supervisor && (policy->without & FEATURE_LISTEN_GATE) == 0;

    if (shape->listen_restricted && !gate)
        posture_exception(&launch->posture,
                          "listen() on a TCP socket that was never bound opens a port chosen by "
                          "the kernel%s",
                          shape->bind_zero ? ", also one that is denied" : "");
}

static void describe_open(struct launch *launch)
{
    const struct policy *policy = launch->policy;

    for (unsigned i = 0; i < NET_PROTOCOL_COUNT; i++) {
        enum net_protocol protocol = (enum net_protocol)i;
        if (is_open(policy, protocol))
            posture_exception(&launch->posture, "every %s destination can be reached%s",
                              net_protocol_name(protocol),
                              has_rules(&policy->net_deny, protocol) ? " that is not denied" : "");
    }
}

/* The feature has described itself, as far as binds are its own. */
static void describe_bind_rules(struct launch *launch, const struct network_shape *shape,
                                bool enforced)
{
    struct posture *posture = &launch->posture;

    if (shape->bind_on_behalf || !shape->bind_restricted || binds_are_lost(launch, shape))
        return;
    if (enforced)
        posture_set(posture, "bind-rules", POSTURE_ACTIVE, "landlock",
                    "TCP ports, judged by the kernel directly");
    else
        posture_set(posture, "bind-rules", POSTURE_OFF, NULL, "net-tcp is not enforced");
}

/* What the kernel would refuse, and nobody else does. */
static void describe_unenforced(struct launch *launch, const struct network_shape *shape,
                                bool enforced)
{
    bool connects = !enforced && !(shape->destination_policy && shape->connect_on_behalf);
    bool binds = !enforced && !(shape->bind_on_behalf && shape->bind_restricted);

    if (connects || binds)
        posture_exception(&launch->posture, "TCP %s not restricted",
                          connects && binds ? "connect and bind are"
                          : connects        ? "connect is"
                                            : "bind is");
}

void posture_describe_network(struct launch *launch)
{
    struct posture *posture = &launch->posture;
    bool enforced = launch->domains.masks.status[PROTECTION_NET_TCP] == STATUS_ACTIVE;
    struct network_shape shape = network_shape_known(launch->policy, launch->network);

    describe_tcp(launch, &shape, enforced);
    describe_udp(launch, &shape);
    describe_icmp(launch, &shape);
    describe_bind(launch, &shape, enforced);
    describe_listen(launch, &shape);
    describe_open(launch);
    describe_abstract(launch, &shape);
    if (shape.destination_policy && !shape.connect_on_behalf)
        posture_set(posture, "network-rules", enforced ? POSTURE_ACTIVE : POSTURE_OFF,
                    enforced ? "landlock" : NULL,
                    enforced ? "TCP ports, judged by the kernel directly"
                             : "net-tcp is not enforced");
    else if (!shape.destination_policy && enforced)
        posture_set(posture, "network-rules", POSTURE_ACTIVE, "landlock",
                    "no rule: TCP is refused");
    describe_bind_rules(launch, &shape, enforced);
    describe_unenforced(launch, &shape, enforced);
}
