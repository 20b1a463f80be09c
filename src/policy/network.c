/* What a policy leaves possible: see network.h. */
#include "policy/network.h"

#include "kernel/landlock.h"
#include "policy/network_reach.h"

static bool any_host(const struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].target == NET_TARGET_HOST)
            return true;
    }
    return false;
}

static bool tcp_is_protected(const struct policy *policy)
{
    return policy->protections[PROTECTION_NET_TCP] != PROTECTION_DISABLED;
}

static bool has_grants(const struct policy *policy)
{
    return policy->fs_read.count + policy->fs_read_try.count + policy->fs_write.count +
               policy->fs_write_try.count >
           0;
}

static bool bind_has_allow_layer(const struct policy *policy)
{
    bool only_denied = policy->bind_port_count == 0 && policy->deny_bind_port_count > 0;

    return tcp_is_protected(policy) && !policy->bind_any && !only_denied;
}

bool network_denies_bind(const struct policy *policy, uint16_t port)
{
    return port_ranges_contain(policy->deny_bind_ports, policy->deny_bind_port_count, port);
}

bool network_may_bind(const struct policy *policy, uint16_t port)
{
    if (network_denies_bind(policy, port))
        return false;
    return !bind_has_allow_layer(policy) ||
           port_ranges_contain(policy->bind_ports, policy->bind_port_count, port);
}

static bool may_bind_any(const struct policy *policy)
{
    return !bind_has_allow_layer(policy) || policy->bind_port_count > 0;
}

/* Rules that Landlock can judge by itself, if the protection is sure to be enforced. */
static bool are_tcp_ports(const struct policy *policy)
{
    for (size_t i = 0; i < policy->net_allow.count; i++) {
        const struct net_rule *rule = &policy->net_allow.items[i];
        if (rule->protocol != NET_TCP || rule->target != NET_TARGET_ANY)
            return false;
    }
    return policy->net_allow.count > 0 && policy->net_deny.count == 0 && !policy->port_remap &&
           policy->protections[PROTECTION_NET_TCP] == PROTECTION_STRICT;
}

struct network_shape network_shape_of(const struct policy *policy)
{
    return network_shape_with(policy, (landlock_support_get()->fs & LL_FS_RESOLVE_UNIX) != 0);
}

/* What some destination is left of may pass. */
static void let_pass(struct network_shape *shape, const struct policy *policy,
                     const bool reaches[NET_PROTOCOL_COUNT])
{
    if (!shape->destination_policy)
        return;
    if (!policy->no_supervisor) {
        shape->udp = reaches[NET_UDP] ? UDP_OPEN : UDP_INERT;
        shape->ping = reaches[NET_ICMP];
    }
    shape->egress = shape->udp == UDP_OPEN || shape->ping || reaches[NET_TCP];
}

void network_shape_pass(struct network_shape *shape, const struct policy *policy,
                        const struct net_rules *allow)
{
    bool reaches[NET_PROTOCOL_COUNT];

    network_reach_all(allow, &policy->net_deny, reaches);
    let_pass(shape, policy, reaches);
}

struct network_shape network_shape_with(const struct policy *policy, bool kernel_gates_unix)
{
    bool gated = (policy->without & FEATURE_UNIX_GATE) == 0;
    struct network_shape shape = {0};
    bool supervised = !policy->no_supervisor;

    shape.allow_layer = policy->net_allow.count > 0;
    shape.destination_policy = shape.allow_layer || policy->net_deny.count > 0;
    shape.named_hosts = any_host(&policy->net_allow);
    let_pass(&shape, policy, policy->reaches);
    shape.tcp_allow_layer = bind_has_allow_layer(policy);
    shape.bind_restricted = shape.tcp_allow_layer || policy->deny_bind_port_count > 0;
    shape.bind_zero = network_may_bind(policy, 0);
    shape.listen_restricted =
        shape.bind_restricted && (!shape.bind_zero || policy->deny_bind_port_count > 0);
    shape.unix_gate_by_kernel = gated && kernel_gates_unix;
    shape.unix_gate = supervised && has_grants(policy) && gated && !kernel_gates_unix;
    /* With the gate in the supervisor every connect and send goes there anyway. */
    shape.direct = !shape.unix_gate && are_tcp_ports(policy);
    shape.connect_on_behalf = supervised && !shape.direct &&
                              (shape.unix_gate || shape.destination_policy || policy->port_remap);
    shape.bind_by_port = supervised && (policy->port_remap || policy->deny_bind_port_count > 0);
    /* A bind of a TCP socket may bind it to an interface, by which its connects then leave. */
    shape.bind_on_behalf = shape.bind_by_port || (shape.connect_on_behalf &&
                                                  shape.destination_policy && may_bind_any(policy));
    shape.hosts_view =
        supervised && shape.destination_policy && (policy->without & FEATURE_HOSTS_VIEW) == 0;
    return shape;
}
