/*
 * Destination rules of --net-allow and --net-deny: the grammar, the rule, and its text. Names are kept
 * as names here; they are resolved once, at the start of a sandbox (net/resolve.h).
 */
#ifndef SANDLOCK_POLICY_NET_RULE_H
#define SANDLOCK_POLICY_NET_RULE_H

#include "policy/port_list.h"
#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum net_protocol {
    NET_TCP,
    NET_UDP,
    NET_ICMP,
    NET_PROTOCOL_COUNT,
};

/* In network byte order; an IPv4 address uses the first four bytes. */
struct net_address {
    uint8_t family; /* 4 or 6 */
    uint8_t bytes[16];
};

enum net_target {
    NET_TARGET_ANY,
    NET_TARGET_RANGE, /* base/prefix; a single address has the full prefix */
    NET_TARGET_HOST,
};

struct net_rule {
    enum net_protocol protocol;
    enum net_target target;
    struct net_address base;  /* without host bits */
    uint8_t prefix;           /* bits */
    char *host;               /* owned; as given, NET_TARGET_HOST only */
    struct port_range *ports; /* owned; sorted and disjoint; NULL: every port */
    size_t port_count;
};

struct net_rules {
    struct net_rule *items; /* owned; in the order given */
    size_t count;
    size_t capacity;
};

enum net_rule_side {
    NET_ALLOW,
    NET_DENY, /* the same grammar without host names */
};

/* Appends the rules of one SPEC (two without a scheme). On failure nothing is added and the message
 * contains the whole spec and the reason; the caller prefixes the name of the option or key. */
bool net_rules_parse(struct net_rules *rules, const char *spec, enum net_rule_side side,
                     struct error *err);

/* Drops every rule that is equal to an earlier one. False when out of memory. */
bool net_rules_drop_duplicates(struct net_rules *rules);

void net_rules_free(struct net_rules *rules);

/* True if every address and port that `rule` names is named by `cover` too, as far as one rule can
 * tell. Host names cover only themselves. Of different protocols: false. */
bool net_rule_covers(const struct net_rule *cover, const struct net_rule *rule);

/* The rule as text that parses back to it: always with a scheme, "tcp://[::1]:443",
 * "icmp://host". */
void net_rule_render(const struct net_rule *rule, struct buffer *out);

/* "tcp", "udp", "icmp". */
const char *net_protocol_name(enum net_protocol protocol);

/* ---- Addresses ---------------------------------------------------------------------------------- */

/* Dotted IPv4 or IPv6 text without zone, brackets or blanks. */
bool net_address_parse(const char *text, struct net_address *address);

/* IPv4, IPv6 in RFC 5952 form. */
void net_address_render(const struct net_address *address, struct buffer *out);

/* True if `address` lies in base/prefix; families never match each other. */
bool net_address_in(const struct net_address *address, const struct net_address *base,
                    unsigned prefix);

/* What an address reaches on Linux: the mapped IPv4 address of ::ffff:a.b.c.d, and loopback for the
 * unspecified addresses of both families. */
struct net_address net_address_canonical(const struct net_address *address);

/* Rules speak of addresses as they are reached, like questions: a mapped network becomes the IPv4 one, an
 * unspecified address loopback. */
void net_network_canonical(struct net_address *base, uint8_t *prefix);

/* The IPv4 address that an IPv6 one carries, where a translator or tunnel would send it on: NAT64, 6to4 and
 * the IPv4-compatible form. Of a canonical address; false if it carries none. */
bool net_address_carried(const struct net_address *address, struct net_address *carried);

bool net_address_is_loopback(const struct net_address *address);

/* 32 or 128. */
unsigned net_address_bits(const struct net_address *address);

/* Clears the bits behind the prefix. */
void net_address_mask(struct net_address *address, unsigned prefix);

bool net_address_equal(const struct net_address *one, const struct net_address *other);

#endif
