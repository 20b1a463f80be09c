/*
 * What lets a member reach in the next run what it was refused in this one: a rule for the destination, or a port
 * to bind. A port of a server that members have asked the kernel for is another one then, so that a rule with its
 * number is of no use. Whose the port is nobody knows; hostile code chooses what it is refused. So nothing more is
 * suggested than the ports that the kernel chooses from, never the address alone.
 */
#ifndef SANDLOCK_POLICY_OWN_PORT_H
#define SANDLOCK_POLICY_OWN_PORT_H

#include "policy/policy.h"
#include "util/buffer.h"

/* The ports that the kernel chooses from (ip(7), ip_local_port_range). Reads /proc, which the supervisor may. */
struct port_range own_port_range(void);

/* Appends "--net-allow RULE", as a shell reads it back. `range` is that of own_port_range(); NULL: asked for where it
 * matters. `address` is canonical; `host` (may be NULL) is a name that the rules know it by. Port 0 of UDP stands for
 * one that the kernel chooses. Nothing is appended where no rule helps, or one gives away more than what was asked
 * for. Returns a static text that says more than "no rule", or NULL. */
const char *own_port_suggest(const struct policy *policy, const struct port_range *range,
                             enum net_protocol protocol, const struct net_address *address,
                             const char *host, uint16_t port, struct buffer *out);

/* Appends "--net-allow-bind PORTS" for a TCP port that may not be bound. A member that may ask the kernel for a port
 * and gives it back to bind it by its number gets another one in the next run: there it is all that the kernel
 * chooses from. */
void own_port_suggest_bind(const struct policy *policy, const struct port_range *range,
                           uint16_t port, struct buffer *out);

#endif
