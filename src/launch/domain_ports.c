/* TCP ports of the domains: see domain_ports.h. */
#include "launch/domain_ports.h"

#include "kernel/landlock.h"
#include "policy/network.h"
#include "util/fault.h"

#include <errno.h>

/* ---- Plan --------------------------------------------------------------------------------------- */

static bool allows_every_port(const struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->items[i].protocol == NET_TCP && rules->items[i].port_count == 0)
            return true;
    }
    return false;
}

/* Adding a rule for a right that is not handled is an error, so the two go together. */
static void handle(struct port_rights *rights, uint64_t right, bool finite, bool with_rules)
{
    if (!finite)
        rights->handled &= ~right;
    else if (with_rules)
        rights->with_rules |= rights->handled & right;
}

struct domain_ports domain_ports_plan(const struct policy *policy, uint64_t handled)
{
    struct network_shape shape = network_shape_of(policy);
    struct domain_ports ports = {{handled, 0}, {handled, 0}};
    bool connect_finite = !allows_every_port(&policy->net_allow) &&
                          (shape.allow_layer || policy->net_deny.count == 0);
    bool bind_finite = !policy->bind_any && shape.tcp_allow_layer;

    handle(&ports.members, LL_NET_CONNECT_TCP, shape.connect_on_behalf || connect_finite,
           !shape.connect_on_behalf);
    handle(&ports.members, LL_NET_BIND_TCP, shape.bind_on_behalf || bind_finite,
           !shape.bind_on_behalf);
    /* Real ports are chosen later under port_remap. */
    handle(&ports.supervisor, LL_NET_CONNECT_TCP, connect_finite && !policy->port_remap, true);
    handle(&ports.supervisor, LL_NET_BIND_TCP, bind_finite && !policy->port_remap, true);
    return ports;
}

/* ---- Rules -------------------------------------------------------------------------------------- */

struct adding {
    const struct domain_ports *ports;
    int members, supervisor;
    struct error *err;
};

static bool add_port(const struct adding *adding, uint16_t port, uint64_t right)
{
    int result = 0;

    if ((adding->ports->members.with_rules & right) != 0)
        result = FAULT_OR("port-rule", -EIO, landlock_add_port(adding->members, port, right));
    if (result == 0 && adding->supervisor >= 0 &&
        (adding->ports->supervisor.with_rules & right) != 0)
        result = landlock_add_port(adding->supervisor, port, right);
    return result == 0 ||
           error_runtime(adding->err, -result, "landlock rule for TCP port %u", port);
}

static bool add_connect_ports(const struct adding *adding, const struct net_rule *rule)
{
    for (size_t i = 0; i < rule->port_count; i++) {
        for (uint32_t port = rule->ports[i].low; port <= rule->ports[i].high; port++) {
            if (!add_port(adding, (uint16_t)port, LL_NET_CONNECT_TCP))
                return false;
        }
    }
    return true;
}

static bool add_bind_ports(const struct adding *adding, const struct policy *policy)
{
    for (size_t i = 0; i < policy->bind_port_count; i++) {
        const struct port_range *range = &policy->bind_ports[i];
        for (uint32_t port = range->low; port <= range->high; port++) {
            if (network_may_bind(policy, (uint16_t)port) &&
                !add_port(adding, (uint16_t)port, LL_NET_BIND_TCP))
                return false;
        }
    }
    return true;
}

bool domain_ports_add(const struct domain_ports *ports, const struct policy *policy, int members,
                      int supervisor, struct error *err)
{
    struct adding adding = {ports, members, supervisor, err};

    for (size_t i = 0; i < policy->net_allow.count; i++) {
        if (policy->net_allow.items[i].protocol == NET_TCP &&
            !add_connect_ports(&adding, &policy->net_allow.items[i]))
            return false;
    }
    return add_bind_ports(&adding, policy);
}
