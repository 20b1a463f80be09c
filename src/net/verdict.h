/*
 * The one network verdict: may a socket of this protocol reach this address and port? Two layers, both
 * must pass: the allow rules (default deny per protocol when there are any) and the deny rules. Built
 * once, immutable, usable from every thread.
 */
#ifndef SANDLOCK_NET_VERDICT_H
#define SANDLOCK_NET_VERDICT_H

#include "policy/net_rule.h"
#include "policy/policy.h"

struct net_verdicts;

/* One resolved name: every address becomes an exact rule with the rule's ports. */
struct net_resolved {
    const char *host; /* as in the rule */
    const struct net_address *addresses;
    size_t count;
};

/* NULL when out of memory. Rules whose host is not among `resolved` allow nothing. `policy` is borrowed
 * for the life of the verdicts; `resolved` is copied. */
struct net_verdicts *net_verdicts_new(const struct policy *policy,
                                      const struct net_resolved *resolved, size_t resolved_count);
void net_verdicts_free(struct net_verdicts *verdicts); /* NULL is accepted */

struct net_verdict {
    bool allowed;
    char rule[160];    /* refused: "no rule", or the option with the deny rule */
    char suggest[320]; /* the option that would allow it, "" if none would */
};

/* The fast question; the address is canonicalised inside. Without any rule nothing is allowed. */
bool net_allows(const struct net_verdicts *verdicts, enum net_protocol protocol,
                const struct net_address *address, uint16_t port);

/* True if no destination of the protocol is refused, as by a rule for all of it and no rule of denial. */
bool net_allows_everything(const struct net_verdicts *verdicts, enum net_protocol protocol);

/* True if some port of the address may be reached over TCP or UDP, or an allow rule opens it for ping: what
 * rules of denial leave to ping alone is denied. */
bool net_allows_address(const struct net_verdicts *verdicts, const struct net_address *address);

/* The same with the reason, for denial records. */
void net_explain(const struct net_verdicts *verdicts, enum net_protocol protocol,
                 const struct net_address *address, uint16_t port, struct net_verdict *verdict);

#endif
