/* What a policy leaves possible: see network.h. */
#include "policy/network.h"

/* Rules that together cover every address and port of a protocol leave no allow or deny layer open. */
static bool covers_everything(const struct net_rule *rule)
{
    return rule->target == NET_TARGET_ANY && rule->port_count == 0;
}

static bool any_rule(const struct net_rules *rules, enum net_protocol protocol)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].protocol == protocol)
            return true;
    }
    return false;
}

static bool any_total(const struct net_rules *rules, enum net_protocol protocol)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].protocol == protocol && covers_everything(&rules->items[i]))
            return true;
    }
    return false;
}

static bool any_host(const struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].target == NET_TARGET_HOST)
            return true;
    }
    return false;
}

static bool may_pass(const struct policy *policy, bool allow_layer, enum net_protocol protocol)
{
    return (!allow_layer || any_rule(&policy->net_allow, protocol)) &&
           !any_total(&policy->net_deny, protocol);
}

static bool in_ranges(const struct port_range *ranges, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (port >= ranges[i].low && port <= ranges[i].high)
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

bool network_may_bind(const struct policy *policy, uint16_t port)
{
    if (in_ranges(policy->deny_bind_ports, policy->deny_bind_port_count, port))
        return false;
    return !bind_has_allow_layer(policy) ||
           in_ranges(policy->bind_ports, policy->bind_port_count, port);
}

struct network_shape network_shape_of(const struct policy *policy)
{
    struct network_shape shape = {0};
    bool supervised = !policy->no_supervisor;

    shape.allow_layer = policy->net_allow.count > 0;
    shape.destination_policy = shape.allow_layer || policy->net_deny.count > 0;
    shape.named_hosts = any_host(&policy->net_allow);
    if (shape.destination_policy && supervised) {
        shape.udp = may_pass(policy, shape.allow_layer, NET_UDP) ? UDP_OPEN : UDP_INERT;
        shape.ping = may_pass(policy, shape.allow_layer, NET_ICMP);
    }
    shape.tcp_allow_layer = bind_has_allow_layer(policy);
    shape.bind_restricted = shape.tcp_allow_layer || policy->deny_bind_port_count > 0;
    shape.bind_zero = network_may_bind(policy, 0);
    shape.unix_gate =
        supervised && has_grants(policy) && (policy->without & FEATURE_UNIX_GATE) == 0;
    shape.connect_on_behalf =
        supervised && (shape.unix_gate || shape.destination_policy || policy->port_remap);
    shape.bind_on_behalf = supervised && (policy->port_remap || policy->deny_bind_port_count > 0);
    shape.hosts_view =
        supervised && shape.destination_policy && (policy->without & FEATURE_HOSTS_VIEW) == 0;
    return shape;
}
