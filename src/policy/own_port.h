/*
 * Ports of servers that members have asked the kernel for: numbers of one run alone, so that no rule with such a
 * number is of use in the next one.
 */
#ifndef SANDLOCK_POLICY_OWN_PORT_H
#define SANDLOCK_POLICY_OWN_PORT_H

#include "policy/policy.h"

/* What lets a member reach a server of another one in the next run. */
enum own_port {
    OWN_PORT_NO, /* a rule for the destination as it is: it is no member's, as far as can be told */
    OWN_PORT_REMAP,   /* --port-remap alone */
    OWN_PORT_ADDRESS, /* a rule for the address, without a port */
};

/* The ports that the kernel chooses from (ip(7), ip_local_port_range), {1, 0} (none) if the policy lets no member
 * have one. Reads /proc: while that can still be read. */
struct port_range own_port_range(const struct policy *policy);

/* `range` is that of the policy. */
enum own_port own_port_of(const struct policy *policy, struct port_range range,
                          enum net_protocol protocol, const struct net_address *address,
                          uint16_t port);

#endif
