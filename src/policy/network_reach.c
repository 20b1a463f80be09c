/*
 * What rules leave of a protocol: see network_reach.h. Rules are ranges of addresses times ranges of
 * ports. If they leave anything, then also an address that is the first of an allow rule or the first
 * behind a deny rule: from any other that is left, go down until one of these is met. So it is enough to
 * ask at those points, and of each to sweep the ports.
 */
#include "policy/network_reach.h"

#include <string.h>

/* Rules looked at before the answer is given up: some milliseconds for a protocol. n deny rules for IPv4 make 4n
 * points, at each of which all n are looked at. */
#define LOOKS_MAX (1U << 18)

struct reach {
    const struct net_rules *allow, *deny;
    enum net_protocol protocol;
    unsigned looks; /* that remain */
};

/* An address as it is judged: what it reaches, and the IPv4 address that it carries. */
struct point {
    struct net_address reached, carried;
    bool carries;
};

static const struct port_range every_port = {1, UINT16_MAX};

static bool names(const struct net_rule *rule, const struct net_address *address)
{
    struct net_address base = rule->base;
    uint8_t prefix = rule->prefix;

    if (rule->target != NET_TARGET_RANGE)
        return true;
    net_network_canonical(&base, &prefix);
    return net_address_in(address, &base, prefix);
}

/* ---- Ports -------------------------------------------------------------------------------------- */

static size_t range_count(const struct net_rule *rule)
{
    return rule->port_count == 0 ? 1 : rule->port_count;
}

static const struct port_range *range_at(const struct net_rule *rule, size_t i)
{
    return rule->port_count == 0 ? &every_port : &rule->ports[i];
}

/* The first port behind the range of the rule that the port is in; the port itself if it is in none. */
static uint32_t behind(const struct net_rule *rule, uint32_t port)
{
    for (size_t i = 0; i < range_count(rule); i++) {
        const struct port_range *range = range_at(rule, i);
        if (port >= range->low && port <= range->high)
            return range->high + 1U;
    }
    return port;
}

static bool closes(const struct net_rule *deny, const struct point *point)
{
    return names(deny, &point->reached) || (point->carries && names(deny, &point->carried));
}

/* The first port from this one on that no deny rule closes at the point; more than every port: none. */
static uint32_t first_left(struct reach *reach, const struct point *point, uint32_t port)
{
    uint32_t before;

    do {
        before = port;
        for (size_t i = 0; i < reach->deny->count; i++) {
            const struct net_rule *rule = &reach->deny->items[i];
            if (reach->looks == 0)
                return before;
            reach->looks--;
            if (rule->protocol == reach->protocol && closes(rule, point))
                port = behind(rule, port);
            if (port > UINT16_MAX)
                return port;
        }
    } while (port != before);
    return port;
}

/* ---- Points ------------------------------------------------------------------------------------- */

static struct point point_of(const struct net_address *address)
{
    struct point point = {.reached = net_address_canonical(address)};

    point.carries = net_address_carried(&point.reached, &point.carried);
    return point;
}

/* Whether something of this allow rule is left at the point. */
static bool leaves(struct reach *reach, const struct net_rule *rule, const struct point *point)
{
    if (rule->protocol != reach->protocol || !names(rule, &point->reached))
        return false;
    for (size_t i = 0; i < range_count(rule); i++) {
        const struct port_range *range = range_at(rule, i);
        if (first_left(reach, point, range->low) <= range->high)
            return true;
    }
    return false;
}

/* The same of any allow rule. */
static bool is_left(struct reach *reach, const struct net_address *address)
{
    struct point point = point_of(address);

    if (reach->allow->count == 0)
        return first_left(reach, &point, every_port.low) <= every_port.high;
    for (size_t i = 0; i < reach->allow->count; i++) {
        if (reach->looks == 0)
            return true;
        reach->looks--;
        if (leaves(reach, &reach->allow->items[i], &point))
            return true;
    }
    return false;
}

/* The forms in which IPv6 carries the address. */
static bool is_left_carried(struct reach *reach, const struct net_address *address)
{
    struct net_address forms[] = {
        {.family = 6, .bytes = {0x00, 0x64, 0xff, 0x9b}},
        {.family = 6, .bytes = {0x20, 0x02}},
        {.family = 6},
    };

    memcpy(forms[0].bytes + 12, address->bytes, 4);
    memcpy(forms[1].bytes + 2, address->bytes, 4);
    memcpy(forms[2].bytes + 12, address->bytes, 4);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (is_left(reach, &forms[i]))
            return true;
    }
    return false;
}

/* The first address behind base/prefix; false if there is none. */
static bool first_behind(const struct net_address *base, unsigned prefix,
                         struct net_address *address)
{
    *address = *base;
    for (unsigned bit = prefix; bit > 0; bit--) {
        uint8_t mask = (uint8_t)(0x80 >> ((bit - 1) % 8));
        address->bytes[(bit - 1) / 8] ^= mask;
        if ((address->bytes[(bit - 1) / 8] & mask) != 0)
            return true;
    }
    return false;
}

static bool is_left_behind(struct reach *reach, const struct net_rule *rule)
{
    struct net_address base = rule->base, next;
    uint8_t prefix = rule->prefix;

    if (rule->target != NET_TARGET_RANGE)
        return false;
    net_network_canonical(&base, &prefix);
    if (!first_behind(&base, prefix, &next))
        return false;
    return is_left(reach, &next) || (next.family == 4 && is_left_carried(reach, &next));
}

/* Where a range of addresses begins without a rule that says so: both families, and behind what is judged
 * as another address (the unspecified ones, the mapped part of IPv6, and the parts that carry IPv4). */
static bool is_left_at_a_seam(struct reach *reach)
{
    static const struct net_address seams[] = {
        {.family = 4, .bytes = {[3] = 1}},
        {.family = 6, .bytes = {[15] = 1}},
        {.family = 6, .bytes = {[15] = 2}},
        {.family = 6, .bytes = {[9] = 1}},
        {.family = 6, .bytes = {[11] = 1}},
        {.family = 6, .bytes = {0x00, 0x64, 0xff, 0x9b, [11] = 1}},
        {.family = 6, .bytes = {0x20, 0x03}},
    };
    static const struct net_address unspecified = {.family = 4};

    for (size_t i = 0; i < sizeof(seams) / sizeof(seams[0]); i++) {
        if (is_left(reach, &seams[i]))
            return true;
    }
    return is_left_carried(reach, &unspecified) || is_left_carried(reach, &seams[0]);
}

bool network_reaches(const struct net_rules *allow, const struct net_rules *deny,
                     enum net_protocol protocol)
{
    struct reach reach = {allow, deny, protocol, LOOKS_MAX};
    bool allowed = allow->count == 0;

    for (size_t i = 0; i < allow->count; i++) {
        const struct net_rule *rule = &allow->items[i];
        if (rule->protocol != protocol)
            continue;
        allowed = true;
        struct point first = point_of(&rule->base);
        if (rule->target == NET_TARGET_RANGE && leaves(&reach, rule, &first))
            return true;
    }
    if (!allowed)
        return false;
    if (is_left_at_a_seam(&reach))
        return true;
    for (size_t i = 0; i < deny->count; i++) {
        if (deny->items[i].protocol == protocol && is_left_behind(&reach, &deny->items[i]))
            return true;
    }
    return false;
}

/* ---- All of it ---------------------------------------------------------------------------------- */

static bool any_covers(const struct net_rules *rules, const struct net_rule *rule)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (net_rule_covers(&rules->items[i], rule))
            return true;
    }
    return false;
}

/* The usual way to deny a protocol, known at once however many other rules there are: every IPv4 and every
 * IPv6 address, each by one rule. */
static bool denies_all(const struct net_rules *deny, enum net_protocol protocol)
{
    const struct net_rule families[] = {
        {.protocol = protocol, .target = NET_TARGET_RANGE, .base = {.family = 4}},
        {.protocol = protocol, .target = NET_TARGET_RANGE, .base = {.family = 6}},
    };

    return any_covers(deny, &families[0]) && any_covers(deny, &families[1]);
}

void network_reach_all(const struct net_rules *allow, const struct net_rules *deny,
                       bool reaches[NET_PROTOCOL_COUNT])
{
    for (enum net_protocol i = 0; i < NET_PROTOCOL_COUNT; i++)
        reaches[i] = !denies_all(deny, i) && network_reaches(allow, deny, i);
}
