/*
 * Whether rules leave anything of a protocol: one address and port that an allow rule names and no deny
 * rule. Pure; what a single question says is net/verdict.h's, and this agrees with it.
 */
#ifndef SANDLOCK_POLICY_NETWORK_REACH_H
#define SANDLOCK_POLICY_NETWORK_REACH_H

#include "policy/net_rule.h"

/* Without allow rules everything is allowed that is not denied. A rule that names a host stands for every
 * address here: give rules with the addresses in place of names where these are known. Exact for some
 * hundred deny rules of the protocol; true where there are more and the answer would be long in coming,
 * because the rules may allow something. */
bool network_reaches(const struct net_rules *allow, const struct net_rules *deny,
                     enum net_protocol protocol);

/* The same of every protocol. */
void network_reach_all(const struct net_rules *allow, const struct net_rules *deny,
                       bool reaches[NET_PROTOCOL_COUNT]);

#endif
