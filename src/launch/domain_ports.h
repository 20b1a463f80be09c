/*
 * The TCP ports of the two domains. The members' own: nothing where the supervisor performs a call on
 * behalf, so that a raced or wrongly continued one ends in the kernel; the ports of the policy where
 * Landlock decides alone. The supervisor's: what it may ever do for a member, a second wall behind its
 * verdicts (docs/security-model.md).
 */
#ifndef SANDLOCK_LAUNCH_DOMAIN_PORTS_H
#define SANDLOCK_LAUNCH_DOMAIN_PORTS_H

#include "policy/policy.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Rights (LL_NET_*) of one domain: those it handles, and those that get a rule per port. */
struct port_rights {
    uint64_t handled;
    uint64_t with_rules;
};

struct domain_ports {
    struct port_rights members, supervisor;
};

/* Pure. `handled` is what kernel and protections offer. */
struct domain_ports domain_ports_plan(const struct policy *policy, uint64_t handled);

/* Adds the rules; `supervisor` may be -1. */
bool domain_ports_add(const struct domain_ports *ports, const struct policy *policy, int members,
                      int supervisor, struct error *err);

#endif
