/* See own_port.h. */
#include "policy/own_port.h"

#include "policy/network.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"

/* The kernel's own (inet_init_net). */
static const struct port_range usual_range = {32768, 60999};

static bool has_rules(const struct policy *policy)
{
    return policy->net_allow.count > 0 || policy->net_deny.count > 0;
}

static bool binds_any_port(const struct policy *policy, enum net_protocol protocol)
{
    if (protocol == NET_TCP)
        return network_may_bind(policy, 0);
    if (protocol == NET_UDP && policy->net_allow.count == 0)
        return policy->net_deny.count > 0;
    for (size_t i = 0; i < policy->net_allow.count; i++) {
        if (protocol == NET_UDP && policy->net_allow.items[i].protocol == NET_UDP)
            return true;
    }
    return false;
}

struct port_range own_port_range(const struct policy *policy)
{
    char text[32] = "";
    unsigned low, high;

    if (!binds_any_port(policy, NET_TCP) && !binds_any_port(policy, NET_UDP))
        return (struct port_range){1, 0};
    CLEANUP_FD int fd = open(RANGE_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (length <= 0 || sscanf(text, "%u %u", &low, &high) != 2 || low > high || high > UINT16_MAX)
        return usual_range;
    return (struct port_range){(uint16_t)low, (uint16_t)high};
}

/* A port that the user wrote is the same in every run. */
static bool is_written(const struct policy *policy, enum net_protocol protocol, uint16_t port)
{
    return protocol == NET_TCP &&
           port_ranges_contain(policy->bind_ports, policy->bind_port_count, port);
}

enum own_port own_port_of(const struct policy *policy, struct port_range range,
                          enum net_protocol protocol, const struct net_address *address,
                          uint16_t port)
{
    if (port < range.low || port > range.high || !net_address_is_loopback(address) ||
        !binds_any_port(policy, protocol) || is_written(policy, protocol, port))
        return OWN_PORT_NO;
    if (has_rules(policy))
        return OWN_PORT_ADDRESS;
    /* With it members reach their own: this is none. */
    return policy->port_remap ? OWN_PORT_NO : OWN_PORT_REMAP;
}
