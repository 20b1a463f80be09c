/*
 * The network verdict: see verdict.h. Both layers are the same thing, a set of destinations per
 * protocol; only what a match means differs. A set keeps one entry per network (a base and a prefix),
 * sorted by family, prefix and base, so that a question is one binary search per prefix length that
 * occurs: exact addresses cost one search however many there are.
 */
#include "net/verdict.h"

#include "policy/own_port.h"
#include "util/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The ports of one network or of every address. */
struct port_set {
    bool all;
    struct port_range *ranges; /* owned; merged */
    size_t count;
};

struct entry {
    struct net_address base;
    uint8_t prefix;
    struct port_set ports;
};

/* Entries of one family and prefix. */
struct span {
    uint8_t family;
    uint8_t prefix;
    size_t first, count;
};

struct destination_set {
    struct port_set any; /* of every address */
    struct entry *entries;
    size_t entry_count, entry_capacity;
    struct span *spans;
    size_t span_count;
};

struct resolved_copy {
    char *host;
    struct net_address *addresses;
    size_t count;
};

struct net_verdicts {
    const struct policy *policy; /* borrowed: its rules are named in explanations */
    bool allow_layer;
    bool deny_layer;
    struct destination_set allow[NET_PROTOCOL_COUNT];
    struct destination_set deny[NET_PROTOCOL_COUNT];
    struct resolved_copy *resolved;
    size_t resolved_count;
};

/* ---- Ports -------------------------------------------------------------------------------------- */

static bool port_set_add(struct port_set *set, const struct net_rule *rule)
{
    if (rule->port_count == 0)
        set->all = true;
    if (set->all)
        return true;
    size_t count = set->count + rule->port_count;
    struct port_range *ranges = reallocarray(set->ranges, count, sizeof(*ranges));
    if (ranges == NULL)
        return false;
    memcpy(ranges + set->count, rule->ports, rule->port_count * sizeof(*ranges));
    set->ranges = ranges;
    set->count = count;
    return true;
}

static bool port_set_holds(const struct port_set *set, uint16_t port, bool any_port)
{
    return set->all ||
           (!any_port && set->count > 0 && port_ranges_contain(set->ranges, set->count, port));
}

/* ---- Sets --------------------------------------------------------------------------------------- */

static void set_free(struct destination_set *set)
{
    free(set->any.ranges);
    for (size_t i = 0; i < set->entry_count; i++)
        free(set->entries[i].ports.ranges);
    free(set->entries);
    free(set->spans);
}

static bool set_add_network(struct destination_set *set, const struct net_address *base,
                            uint8_t prefix, const struct net_rule *rule)
{
    if (set->entry_count == set->entry_capacity) {
        size_t capacity = set->entry_capacity == 0 ? 8 : 2 * set->entry_capacity;
        struct entry *entries = reallocarray(set->entries, capacity, sizeof(*entries));
        if (entries == NULL)
            return false;
        set->entries = entries;
        set->entry_capacity = capacity;
    }
    struct entry *entry = &set->entries[set->entry_count++];
    *entry = (struct entry){.base = *base, .prefix = prefix};
    net_network_canonical(&entry->base, &entry->prefix);
    return port_set_add(&entry->ports, rule);
}

static const struct resolved_copy *find_resolved(const struct net_verdicts *verdicts,
                                                 const char *host)
{
    for (size_t i = 0; i < verdicts->resolved_count; i++) {
        if (strcasecmp(verdicts->resolved[i].host, host) == 0)
            return &verdicts->resolved[i];
    }
    return NULL;
}

static bool set_add(struct net_verdicts *verdicts, struct destination_set *set,
                    const struct net_rule *rule)
{
    if (rule->target == NET_TARGET_ANY)
        return port_set_add(&set->any, rule);
    if (rule->target == NET_TARGET_RANGE)
        return set_add_network(set, &rule->base, rule->prefix, rule);
    const struct resolved_copy *resolved = find_resolved(verdicts, rule->host);
    for (size_t i = 0; resolved != NULL && i < resolved->count; i++) {
        const struct net_address *address = &resolved->addresses[i];
        if (!set_add_network(set, address, (uint8_t)net_address_bits(address), rule))
            return false;
    }
    return true;
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;

    if (a->base.family != b->base.family)
        return a->base.family < b->base.family ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return memcmp(a->base.bytes, b->base.bytes, sizeof(a->base.bytes));
}

/* The ports of an equal network join those of the first. */
static bool join_entries(struct destination_set *set)
{
    size_t kept = 0;

    for (size_t i = 1; i < set->entry_count; i++) {
        struct entry *entry = &set->entries[i];
        struct entry *last = &set->entries[kept];
        if (compare_entries(last, entry) != 0) {
            set->entries[++kept] = *entry;
            if (kept != i)
                entry->ports.ranges = NULL; /* moved */
            continue;
        }
        struct net_rule more = {.ports = entry->ports.ranges, .port_count = entry->ports.count};
        if (entry->ports.all)
            more.port_count = 0;
        bool good = port_set_add(&last->ports, &more);
        free(entry->ports.ranges);
        entry->ports.ranges = NULL;
        if (!good)
            return false;
    }
    if (set->entry_count > 0)
        set->entry_count = kept + 1;
    return true;
}

static void merge_ports(struct port_set *set)
{
    set->count = port_ranges_merge(set->ranges, set->count);
}

static bool index_spans(struct destination_set *set)
{
    set->spans = calloc(set->entry_count + 1, sizeof(*set->spans));
    if (set->spans == NULL)
        return false;
    for (size_t i = 0; i < set->entry_count; i++) {
        const struct entry *entry = &set->entries[i];
        struct span *last = set->span_count > 0 ? &set->spans[set->span_count - 1] : NULL;
        if (last != NULL && last->family == entry->base.family && last->prefix == entry->prefix)
            last->count++;
        else
            set->spans[set->span_count++] = (struct span){entry->base.family, entry->prefix, i, 1};
    }
    return true;
}

static bool set_finish(struct destination_set *set)
{
    if (set->entry_count > 0)
        qsort(set->entries, set->entry_count, sizeof(*set->entries), compare_entries);
    if (!join_entries(set))
        return false;
    merge_ports(&set->any);
    for (size_t i = 0; i < set->entry_count; i++)
        merge_ports(&set->entries[i].ports);
    return index_spans(set);
}

static const struct entry *find_entry(const struct destination_set *set, const struct span *span,
                                      const struct net_address *address)
{
    struct entry wanted = {.base = *address, .prefix = span->prefix};

    net_address_mask(&wanted.base, span->prefix);
    return bsearch(&wanted, set->entries + span->first, span->count, sizeof(wanted),
                   compare_entries);
}

/* `address` is canonical. */
static bool set_holds(const struct destination_set *set, const struct net_address *address,
                      uint16_t port, bool any_port)
{
    if (port_set_holds(&set->any, port, any_port))
        return true;
    for (size_t i = 0; i < set->span_count; i++) {
        if (set->spans[i].family != address->family)
            continue;
        const struct entry *entry = find_entry(set, &set->spans[i], address);
        if (entry != NULL && port_set_holds(&entry->ports, port, any_port))
            return true;
    }
    return false;
}

/* ---- Making ------------------------------------------------------------------------------------- */

static bool copy_resolved(struct net_verdicts *verdicts, const struct net_resolved *resolved,
                          size_t count)
{
    verdicts->resolved = calloc(count + 1, sizeof(*verdicts->resolved));
    if (verdicts->resolved == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct resolved_copy *copy = &verdicts->resolved[verdicts->resolved_count++];
        copy->host = strdup(resolved[i].host);
        copy->addresses = calloc(resolved[i].count + 1, sizeof(*copy->addresses));
        if (copy->host == NULL || copy->addresses == NULL)
            return false;
        copy->count = resolved[i].count;
        for (size_t k = 0; k < copy->count; k++)
            copy->addresses[k] = resolved[i].addresses[k];
    }
    return true;
}

static bool add_rules(struct net_verdicts *verdicts, struct destination_set *sets,
                      const struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (!set_add(verdicts, &sets[rules->items[i].protocol], &rules->items[i]))
            return false;
    }
    for (unsigned i = 0; i < NET_PROTOCOL_COUNT; i++) {
        if (!set_finish(&sets[i]))
            return false;
    }
    return true;
}

struct net_verdicts *net_verdicts_new(const struct policy *policy,
                                      const struct net_resolved *resolved, size_t resolved_count)
{
    struct net_verdicts *verdicts = calloc(1, sizeof(*verdicts));

    if (verdicts == NULL)
        return NULL;
    verdicts->policy = policy;
    verdicts->allow_layer = policy->net_allow.count > 0;
    verdicts->deny_layer = policy->net_deny.count > 0;
    if (!copy_resolved(verdicts, resolved, resolved_count) ||
        !add_rules(verdicts, verdicts->allow, &policy->net_allow) ||
        !add_rules(verdicts, verdicts->deny, &policy->net_deny)) {
        net_verdicts_free(verdicts);
        return NULL;
    }
    return verdicts;
}

void net_verdicts_free(struct net_verdicts *verdicts)
{
    if (verdicts == NULL)
        return;
    for (unsigned i = 0; i < NET_PROTOCOL_COUNT; i++) {
        set_free(&verdicts->allow[i]);
        set_free(&verdicts->deny[i]);
    }
    for (size_t i = 0; i < verdicts->resolved_count; i++) {
        free(verdicts->resolved[i].host);
        free(verdicts->resolved[i].addresses);
    }
    free(verdicts->resolved);
    free(verdicts);
}

/* ---- Questions ---------------------------------------------------------------------------------- */

static bool is_denied(const struct net_verdicts *verdicts, enum net_protocol protocol,
                      const struct net_address *address, uint16_t port)
{
    const struct destination_set *set = &verdicts->deny[protocol];
    bool any_port = protocol == NET_ICMP;
    struct net_address embedded;

    if (!verdicts->deny_layer)
        return false;
    return set_holds(set, address, port, any_port) ||
           (net_address_carried(address, &embedded) && set_holds(set, &embedded, port, any_port));
}

static bool passes_allow(const struct net_verdicts *verdicts, enum net_protocol protocol,
                         const struct net_address *address, uint16_t port)
{
    if (!verdicts->allow_layer)
        return verdicts->deny_layer; /* without any rule nothing is allowed */
    return set_holds(&verdicts->allow[protocol], address, port, protocol == NET_ICMP);
}

bool net_allows(const struct net_verdicts *verdicts, enum net_protocol protocol,
                const struct net_address *address, uint16_t port)
{
    struct net_address reached = net_address_canonical(address);

    return protocol < NET_PROTOCOL_COUNT && passes_allow(verdicts, protocol, &reached, port) &&
           !is_denied(verdicts, protocol, &reached, port);
}

bool net_allows_everything(const struct net_verdicts *verdicts, enum net_protocol protocol)
{
    const struct destination_set *deny = &verdicts->deny[protocol];
    bool denies = deny->entry_count > 0 || deny->any.all || deny->any.count > 0;

    return !denies &&
           (verdicts->allow_layer ? verdicts->allow[protocol].any.all : verdicts->deny_layer);
}

/* ---- Whether an address is named at all ---------------------------------------------------------- */

/* Of every address (0), and of the network with each prefix length that occurs (1 to span_count); NULL: of
 * none that the address is in. */
static const struct port_set *ports_at(const struct destination_set *set, size_t i,
                                       const struct net_address *address)
{
    if (i == 0)
        return &set->any;
    if (set->spans[i - 1].family != address->family)
        return NULL;
    const struct entry *entry = find_entry(set, &set->spans[i - 1], address);
    return entry == NULL ? NULL : &entry->ports;
}

/* The first port from this one on that lies behind the denied range it is in; the port itself if it is in none. */
static uint32_t behind_denied(const struct destination_set *deny, const struct net_address *address,
                              uint32_t port)
{
    for (size_t i = 0; i <= deny->span_count; i++) {
        const struct port_set *ports = ports_at(deny, i, address);
        if (ports != NULL && ports->all)
            return UINT16_MAX + 1;
        for (size_t k = 0; ports != NULL && k < ports->count; k++) {
            if (port >= ports->ranges[k].low && port <= ports->ranges[k].high)
                return ports->ranges[k].high + 1U;
        }
    }
    return port;
}

static bool leaves_a_port(const struct net_verdicts *verdicts, enum net_protocol protocol,
                          const struct net_address *address, struct port_range range)
{
    const struct destination_set *deny = &verdicts->deny[protocol];
    struct net_address embedded = *address;

    net_address_carried(address, &embedded);
    for (uint32_t port = range.low; port <= range.high;) {
        uint32_t next = behind_denied(deny, address, port);
        if (next == port)
            next = behind_denied(deny, &embedded, port);
        if (next == port)
            return true;
        port = next;
    }
    return false;
}

static bool allows_a_port(const struct net_verdicts *verdicts, enum net_protocol protocol,
                          const struct net_address *address)
{
    static const struct port_range every = {1, UINT16_MAX};
    const struct destination_set *allow = &verdicts->allow[protocol];

    if (!verdicts->allow_layer)
        return verdicts->deny_layer && leaves_a_port(verdicts, protocol, address, every);
    for (size_t i = 0; i <= allow->span_count; i++) {
        const struct port_set *ports = ports_at(allow, i, address);
        if (ports == NULL)
            continue;
        if (ports->all && leaves_a_port(verdicts, protocol, address, every))
            return true;
        for (size_t k = 0; !ports->all && k < ports->count; k++) {
            if (leaves_a_port(verdicts, protocol, address, ports->ranges[k]))
                return true;
        }
    }
    return false;
}

bool net_allows_address(const struct net_verdicts *verdicts, const struct net_address *address)
{
    struct net_address reached = net_address_canonical(address);

    return allows_a_port(verdicts, NET_TCP, &reached) ||
           allows_a_port(verdicts, NET_UDP, &reached) ||
           (verdicts->allow_layer && net_allows(verdicts, NET_ICMP, &reached, 0));
}

/* ---- Explanations ------------------------------------------------------------------------------- */

/* Whether the one rule speaks of this destination; the slow way, for a person. */
static bool rule_names(const struct net_rule *rule, const struct net_address *address,
                       uint16_t port)
{
    if (rule->target == NET_TARGET_RANGE) {
        struct net_address base = rule->base;
        uint8_t prefix = rule->prefix;
        net_network_canonical(&base, &prefix);
        if (!net_address_in(address, &base, prefix))
            return false;
    }
    return rule->target != NET_TARGET_HOST &&
           (rule->port_count == 0 || port_ranges_contain(rule->ports, rule->port_count, port));
}

static void copy_text(char *to, size_t size, const struct buffer *from)
{
    if (!buffer_failed(from))
        snprintf(to, size, "%s", buffer_text(from));
}

static void name_deny_rule(const struct net_verdicts *verdicts, enum net_protocol protocol,
                           const struct net_address *address, uint16_t port,
                           struct net_verdict *verdict)
{
    const struct net_rules *rules = &verdicts->policy->net_deny;
    struct net_address embedded = *address;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    net_address_carried(address, &embedded);
    for (size_t i = 0; i < rules->count; i++) {
        const struct net_rule *rule = &rules->items[i];
        if (rule->protocol != protocol ||
            (!rule_names(rule, address, port) && !rule_names(rule, &embedded, port)))
            continue;
        buffer_append_text(&text, "--net-deny ");
        net_rule_render(rule, &text);
        break;
    }
    copy_text(verdict->rule, sizeof(verdict->rule), &text);
}

/* The name under which the rules know the address, so that the advice names what the user named. */
static const char *name_of(const struct net_verdicts *verdicts, const struct net_address *address)
{
    for (size_t i = 0; i < verdicts->resolved_count; i++) {
        const struct resolved_copy *resolved = &verdicts->resolved[i];
        for (size_t k = 0; k < resolved->count; k++) {
            struct net_address known = net_address_canonical(&resolved->addresses[k]);
            if (net_address_equal(&known, address))
                return resolved->host;
        }
    }
    return NULL;
}

static void suggest_rule(const struct net_verdicts *verdicts, enum net_protocol protocol,
                         const struct net_address *address, uint16_t port,
                         struct net_verdict *verdict)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    const char *reason = own_port_suggest(verdicts->policy, NULL, protocol, address,
                                          name_of(verdicts, address), port, &text);

    snprintf(verdict->rule, sizeof(verdict->rule), "%s", reason != NULL ? reason : "no rule");
    /* A cut rule would be another rule. */
    if (!buffer_failed(&text) && text.length < sizeof(verdict->suggest))
        copy_text(verdict->suggest, sizeof(verdict->suggest), &text);
}

void net_explain(const struct net_verdicts *verdicts, enum net_protocol protocol,
                 const struct net_address *address, uint16_t port, struct net_verdict *verdict)
{
    struct net_address reached = net_address_canonical(address);

    *verdict = (struct net_verdict){.allowed = net_allows(verdicts, protocol, address, port)};
    if (verdict->allowed || protocol >= NET_PROTOCOL_COUNT)
        return;
    if (is_denied(verdicts, protocol, &reached, port)) {
        name_deny_rule(verdicts, protocol, &reached, port, verdict);
        return;
    }
    suggest_rule(verdicts, protocol, &reached, port, verdict);
}
