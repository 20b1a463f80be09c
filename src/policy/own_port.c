/* See own_port.h. */
#include "policy/own_port.h"

#include "policy/network.h"
#include "util/fd.h"
#include "util/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"

#define NEEDS_REMAP \
    "no rule; a server of the command's own at a port that the kernel chose needs --port-remap"

#define ENDS_OWN_PORTS                                                                          \
    "no rule; beside any rule the command's own ports, which --port-remap lets it reach, need " \
    "one, too"

#define DNS_PORT 53
#define IS_DNS                                                                                \
    "no rule; a name is looked up without one where a rule names it: --net-allow HOST:PORT; " \
    "a rule of a DNS server lets any data out"

/* The kernel's own (inet_init_net). */
static const struct port_range usual_range = {32768, 60999};

struct port_range own_port_range(void)
{
    char text[32] = "", *behind;

    CLEANUP_FD int fd = open(RANGE_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return usual_range;
    unsigned long low = strtoul(text, &behind, 10), high = strtoul(behind, NULL, 10);
    if (low == 0 || low > high || high > UINT16_MAX)
        return usual_range;
    return (struct port_range){(uint16_t)low, (uint16_t)high};
}

static bool has_rules(const struct policy *policy)
{
    return policy->net_allow.count > 0 || policy->net_deny.count > 0;
}

static bool binds_any_port(const struct policy *policy, enum net_protocol protocol)
{
    if (protocol == NET_TCP)
        return network_may_bind(policy, 0);
    return protocol == NET_UDP && network_shape_of(policy).udp == UDP_OPEN;
}

/* A port that the user wrote is the same in every run. */
static bool is_written(const struct policy *policy, enum net_protocol protocol, uint16_t port)
{
    return protocol == NET_TCP &&
           port_ranges_contain(policy->bind_ports, policy->bind_port_count, port);
}

/* If the kernel chooses such ports. */
static bool may_be_own(const struct policy *policy, enum net_protocol protocol,
                       const struct net_address *address, uint16_t port)
{
    return net_address_is_loopback(address) && binds_any_port(policy, protocol) &&
           !is_written(policy, protocol, port);
}

const char *own_port_suggest(const struct policy *policy, const struct port_range *range,
                             enum net_protocol protocol, const struct net_address *address,
                             const char *host, uint16_t port, struct buffer *out)
{
    struct port_range ports = {port, port};
    struct net_rule rule = {
        .protocol = protocol,
        .target = NET_TARGET_RANGE,
        .base = *address,
        .prefix = (uint8_t)net_address_bits(address),
        .ports = &ports,
        .port_count = protocol == NET_ICMP ? 0 : 1,
    };
    struct port_range chosen = {0, 0};
    bool own = may_be_own(policy, protocol, address, port);
    CLEANUP_FREE char *name = host != NULL ? strdup(host) : NULL;
    CLEANUP_BUFFER struct buffer rendered = BUFFER_INIT;

    if (protocol == NET_TCP && port == 0) /* nothing listens there */
        return NULL;
    if (protocol != NET_ICMP && port == DNS_PORT)
        return IS_DNS;
    if (own || port == 0)
        chosen = range != NULL ? *range : own_port_range();
    own = own && port >= chosen.low && port <= chosen.high;
    /* With it, and without rules, members reach their own: this is none. */
    if (own && !has_rules(policy) && !policy->port_remap)
        return NEEDS_REMAP;
    if ((own && has_rules(policy)) || port == 0)
        ports = chosen;
    if (name != NULL) {
        rule.target = NET_TARGET_HOST;
        rule.host = name;
    }
    net_rule_render(&rule, &rendered);
    if (buffer_failed(&rendered))
        return NULL;
    buffer_append_text(out, "--net-allow ");
    text_shell_quote(out, buffer_text(&rendered));
    return policy->port_remap && !has_rules(policy) ? ENDS_OWN_PORTS : NULL;
}

void own_port_suggest_bind(const struct policy *policy, const struct port_range *range,
                           uint16_t port, struct buffer *out)
{
    struct port_range ports = {port, port};
    bool may_be_told = port != 0 && network_may_bind(policy, 0);
    struct port_range chosen = !may_be_told    ? (struct port_range){0, 0}
                               : range != NULL ? *range
                                               : own_port_range();

    if (may_be_told && port >= chosen.low && port <= chosen.high)
        ports = chosen;
    buffer_append_text(out, "--net-allow-bind ");
    port_range_render(&ports, out);
}
