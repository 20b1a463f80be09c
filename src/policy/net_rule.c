/*
 * Destination rules: see net_rule.h. A spec is cut into scheme, target and ports first; each part is
 * then judged by one function, whatever form the spec had. Reasons are given here, the whole spec is
 * put in front of them at the one place where parsing fails.
 */
#include "policy/net_rule.h"

#include "policy/quote.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_LENGTH_MAX 253

/* As much of a spec as a message repeats: the longest host name with scheme and some ports. */
#define SPEC_TEXT_MAX 320

/* A part of a spec; not terminated. */
struct part {
    const char *text;
    size_t length;
};

/* What the parts of one spec say, before it becomes one rule or two. */
struct parsed_spec {
    bool has_scheme;
    enum net_protocol protocol;
    struct net_rule rule; /* its protocol is not set */
};

static const char *const protocol_names[NET_PROTOCOL_COUNT] = {"tcp", "udp", "icmp"};

const char *net_protocol_name(enum net_protocol protocol)
{
    return protocol < NET_PROTOCOL_COUNT ? protocol_names[protocol] : "unknown";
}

static const char one_per_option[] =
    "one destination per option (per string in a profile); commas separate ports only";

static struct quoted quoted_part(struct part part)
{
    return quote_bytes(part.text, part.length);
}

static bool is_text(struct part part, const char *text)
{
    return part.length == strlen(text) && memcmp(part.text, text, part.length) == 0;
}

static bool has_byte(struct part part, char byte)
{
    return memchr(part.text, byte, part.length) != NULL;
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "reading a network rule");
}

/* ---- Ports -------------------------------------------------------------------------------------- */

static bool read_port(struct part item, struct part part, uint16_t *port, struct error *err)
{
    uint64_t number = 0;

    text_trim(&part.text, &part.length);
    if (!text_parse_uint(part.text, part.length, UINT16_MAX, &number))
        return error_config(err, "invalid port %s: it is 1 to 65535, LO-HI or *",
                            quoted_part(item).text);
    if (number == 0)
        return error_config(err, "port 0 cannot be a destination");
    *port = (uint16_t)number;
    return true;
}

static bool read_port_item(struct part item, struct port_range *range, struct error *err)
{
    const char *dash = memchr(item.text, '-', item.length);
    struct part low = item;
    struct part high = item;

    if (dash != NULL) {
        low.length = (size_t)(dash - item.text);
        high.text = dash + 1;
        high.length = item.length - low.length - 1;
    }
    if (!read_port(item, low, &range->low, err) || !read_port(item, high, &range->high, err))
        return false;
    if (range->low > range->high)
        return error_config(err, "invalid port %s: reversed port range", quoted_part(item).text);
    return true;
}

static size_t count_items(struct part ports)
{
    size_t count = 1;

    for (size_t i = 0; i < ports.length; i++)
        count += ports.text[i] == ',';
    return count;
}

/* Every port in numbers is the same as no port at all, and is kept as that. */
static bool is_every_port(const struct port_range *ranges, size_t count)
{
    return count == 1 && ranges[0].low <= 1 && ranges[0].high == UINT16_MAX;
}

static bool read_ports(struct part ports, struct net_rule *rule, struct error *err)
{
    CLEANUP_FREE struct port_range *ranges = calloc(count_items(ports), sizeof(*ranges));
    const char *end = ports.text + ports.length;
    size_t count = 0;
    bool any = false;

    if (ranges == NULL)
        return out_of_memory(err);
    for (const char *at = ports.text; at <= end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct part item = {at, (size_t)((comma != NULL ? comma : end) - at)};
        at = comma != NULL ? comma + 1 : end + 1;
        text_trim(&item.text, &item.length);
        if (item.text > ports.text && (has_byte(item, ':') || has_byte(item, '.')))
            return error_config(err, "invalid port %s: %s", quoted_part(item).text, one_per_option);
        if (is_text(item, "*"))
            any = true;
        else if (!read_port_item(item, &ranges[count], err))
            return false;
        else
            count++;
    }
    if (any && count > 0)
        return error_config(err, "cannot mix the wildcard `*` with port numbers");
    count = port_ranges_merge(ranges, count);
    if (any || is_every_port(ranges, count))
        return true;
    rule->ports = ranges;
    rule->port_count = count;
    ranges = NULL;
    return true;
}

/* ---- Targets ------------------------------------------------------------------------------------ */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* "443", "10.1", "0x7f000001": no name ends like that, and resolvers read it as a number of their own, as
 * inet_aton(3) does: decimal, octal, hexadecimal. */
static bool ends_in_number(struct part host)
{
    size_t end = host.length;

    if (end > 0 && host.text[end - 1] == '.')
        end--;
    size_t start = end;
    while (start > 0 && host.text[start - 1] != '.')
        start--;
    const char *label = host.text + start;
    size_t length = end - start;
    if (length > 1 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return strspn(label + 2, "0123456789abcdefABCDEF") >= length - 2;
    return length > 0 && strspn(label, "0123456789") >= length;
}

static bool check_host_labels(struct part host, struct error *err)
{
    size_t start = 0;

    for (size_t i = 0; i <= host.length; i++) {
        if (i < host.length && host.text[i] != '.')
            continue;
        if (i == start)
            return error_config(err, "invalid host %s: empty label", quoted_part(host).text);
        if (host.text[start] == '-')
            return error_config(err, "invalid host %s: a label begins with '-'",
                                quoted_part(host).text);
        start = i + 1;
    }
    return true;
}

static bool check_host(struct part host, struct error *err)
{
    struct part body = host;

    if (host.length > 2 && host.text[0] == '*' && host.text[1] == '.')
        return error_config(err,
                            "host patterns like %s are not supported: name each host, or allow the "
                            "port of any address",
                            quoted_part(host).text);
    if (has_byte(host, ':'))
        return error_config(err,
                            "invalid host %s: an IPv6 address with ports is written "
                            "[ADDRESS]:PORTS",
                            quoted_part(host).text);
    for (size_t i = 0; i < host.length; i++) {
        if (!is_host_byte(host.text[i]))
            return error_config(err, "invalid host %s: only letters, digits, '.', '_' and '-'",
                                quoted_part(host).text);
    }
    if (body.length > 1 && body.text[body.length - 1] == '.')
        body.length--;
    if (body.length > HOST_LENGTH_MAX)
        return error_config(err, "invalid host: longer than %d bytes", HOST_LENGTH_MAX);
    if (!check_host_labels(body, err))
        return false;
    if (ends_in_number(host))
        return error_config(err, "%s is neither an address nor a host; a port is written :PORT",
                            quoted_part(host).text);
    return true;
}

static bool parse_address(const char *from, size_t length, struct net_address *address)
{
    char text[64];

    if (length >= sizeof(text))
        return false;
    memcpy(text, from, length);
    text[length] = '\0';
    return net_address_parse(text, address);
}

/* True if what stands before the first slash is an address, so that a CIDR was meant. */
static bool is_meant_as_cidr(struct part part)
{
    const char *slash = memchr(part.text, '/', part.length);
    struct net_address address;

    return slash != NULL && parse_address(part.text, (size_t)(slash - part.text), &address);
}

/* A whole address or CIDR. False without a reason: it is something else. */
static bool parse_range(struct part part, struct net_rule *rule)
{
    const char *slash = memchr(part.text, '/', part.length);
    size_t length = slash != NULL ? (size_t)(slash - part.text) : part.length;
    struct net_address base;
    uint64_t prefix = 0;

    if (!parse_address(part.text, length, &base))
        return false;
    prefix = net_address_bits(&base);
    if (slash != NULL &&
        !text_parse_uint(slash + 1, part.length - length - 1, net_address_bits(&base), &prefix))
        return false;
    net_address_mask(&base, (unsigned)prefix);
    rule->target = NET_TARGET_RANGE;
    rule->base = base;
    rule->prefix = (uint8_t)prefix;
    return true;
}

/* What older releases took for a rule. A host may have such a name; with ports or scheme it is taken for one. */
static bool check_no_protocol(struct part body, enum net_rule_side side, struct error *err)
{
    if (is_text(body, "raw"))
        return error_config(err, "there are never raw sockets%s",
                            side == NET_ALLOW ? "; a host of that name is written raw:*" : "");
    for (unsigned i = 0; i < NET_PROTOCOL_COUNT; i++) {
        const char *name = protocol_names[i];
        if (is_text(body, name) && side == NET_ALLOW)
            return error_config(
                err, "every destination of a protocol is written %s://*, a host of that name %s:*",
                name, name);
        if (is_text(body, name))
            return error_config(err, "every destination of a protocol is written %s://*", name);
    }
    return true;
}

static bool read_target(struct part target, enum net_rule_side side, struct net_rule *rule,
                        struct error *err)
{
    if (target.length == 0 || is_text(target, "*")) {
        rule->target = NET_TARGET_ANY;
        return true;
    }
    if (parse_range(target, rule))
        return true;
    if (has_byte(target, ','))
        return error_config(err, "invalid host %s: %s", quoted_part(target).text, one_per_option);
    if (has_byte(target, '/'))
        return error_config(
            err, "invalid CIDR %s: it is IPv4/0..32 or IPv6/0..128, in numbers, without zone",
            quoted_part(target).text);
    if (side == NET_DENY)
        return error_config(err,
                            "hostnames are not allowed here (%s): the other addresses of the name "
                            "would stay reachable; deny addresses (refusing by name is what "
                            "--http-deny is for, which this build does not have)",
                            quoted_part(target).text);
    if (!check_host(target, err))
        return false;
    rule->target = NET_TARGET_HOST;
    rule->host = strndup(target.text, target.length);
    return rule->host != NULL || out_of_memory(err);
}

/* ---- Forms of a spec ---------------------------------------------------------------------------- */

static bool malformed_bracket(struct part body, const char *form, struct error *err)
{
    return error_config(err, "malformed bracketed address %s: it is %s", quoted_part(body).text,
                        form);
}

/* "[ip-or-cidr]" with `after` behind the bracket; *inside is what is between. */
static bool cut_bracket(struct part body, struct part *inside, struct part *after)
{
    const char *bracket = memchr(body.text, ']', body.length);

    if (bracket == NULL)
        return false;
    *inside = (struct part){body.text + 1, (size_t)(bracket - body.text - 1)};
    *after = (struct part){bracket + 1, (size_t)(body.text + body.length - bracket - 1)};
    return true;
}

static bool read_icmp_body(struct part body, enum net_rule_side side, struct net_rule *rule,
                           struct error *err)
{
    static const char no_port[] = "icmp rule takes no port";
    struct part inside;
    struct part after;

    if (body.length == 0)
        return error_config(err, "icmp:// needs a host/IP or `*` behind it");
    if (parse_range(body, rule))
        return true;
    if (body.text[0] == '[') {
        if (!cut_bracket(body, &inside, &after) || (after.length > 0 && after.text[0] != ':'))
            return malformed_bracket(body, "icmp://[ADDRESS]", err);
        if (after.length > 0)
            return error_config(err, "%s", no_port);
        return parse_range(inside, rule) || malformed_bracket(body, "icmp://[ADDRESS]", err);
    }
    if (has_byte(body, ':'))
        return error_config(err, "%s", no_port);
    return read_target(body, side, rule, err);
}

static bool read_body(struct part body, enum net_rule_side side, struct net_rule *rule,
                      struct error *err)
{
    struct part inside;
    struct part after;

    if (body.text == NULL || body.length == 0)
        return error_config(err, "empty rule; use * for any address");
    if (body.text[0] == '[') {
        if (!cut_bracket(body, &inside, &after) || (after.length > 0 && after.text[0] != ':') ||
            !parse_range(inside, rule))
            return malformed_bracket(body, "[ADDRESS]:PORTS", err);
        if (after.length == 0)
            return malformed_bracket(body, "[ADDRESS]:PORTS, or for every port ADDRESS alone", err);
        return read_ports((struct part){after.text + 1, after.length - 1}, rule, err);
    }
    if (parse_range(body, rule))
        return true;
    const char *colon = memrchr(body.text, ':', body.length);
    const char *slash = memrchr(body.text, '/', body.length);
    /* "fc00::/129": the prefix is wrong, not a port. */
    if (colon == NULL || (slash != NULL && colon < slash && is_meant_as_cidr(body)))
        return read_target(body, side, rule, err);
    size_t length = (size_t)(colon - body.text);
    return read_ports((struct part){colon + 1, body.length - length - 1}, rule, err) &&
           read_target((struct part){body.text, length}, side, rule, err);
}

static bool read_scheme(struct part scheme, enum net_protocol *protocol, struct error *err)
{
    for (unsigned i = 0; i < NET_PROTOCOL_COUNT; i++) {
        if (is_text(scheme, protocol_names[i])) {
            *protocol = (enum net_protocol)i;
            return true;
        }
    }
    return error_config(err, "unknown scheme %s: it is tcp://, udp:// or icmp://",
                        quoted_part(scheme).text);
}

static bool read_spec(const char *spec, enum net_rule_side side, struct parsed_spec *parsed,
                      struct error *err)
{
    const char *mark = strstr(spec, "://");
    const char *text = mark != NULL ? mark + 3 : spec;
    struct part body = {text, strlen(text)};

    parsed->has_scheme = mark != NULL;
    if (mark != NULL &&
        !read_scheme((struct part){spec, (size_t)(mark - spec)}, &parsed->protocol, err))
        return false;
    if (parsed->has_scheme && parsed->protocol == NET_ICMP)
        return read_icmp_body(body, side, &parsed->rule, err);
    if (mark == NULL && !check_no_protocol(body, side, err))
        return false;
    return read_body(body, side, &parsed->rule, err);
}

/* ---- Rules -------------------------------------------------------------------------------------- */

static void rule_free(struct net_rule *rule)
{
    free(rule->host);
    free(rule->ports);
    *rule = (struct net_rule){0};
}

static bool rule_copy(const struct net_rule *rule, struct net_rule *copy)
{
    size_t size = rule->port_count * sizeof(*rule->ports);

    *copy = *rule;
    copy->host = rule->host != NULL ? strdup(rule->host) : NULL;
    copy->ports = size > 0 ? malloc(size) : NULL;
    if ((copy->host == NULL) != (rule->host == NULL) || (copy->ports == NULL) != (size == 0)) {
        rule_free(copy);
        return false;
    }
    if (size > 0)
        memcpy(copy->ports, rule->ports, size);
    return true;
}

static bool make_room(struct net_rules *rules, size_t more)
{
    size_t needed = rules->count + more;

    if (needed <= rules->capacity)
        return true;
    size_t capacity = needed < 8 ? 8 : 2 * needed;
    struct net_rule *items = reallocarray(rules->items, capacity, sizeof(*items));
    if (items == NULL)
        return false;
    rules->items = items;
    rules->capacity = capacity;
    return true;
}

/* Takes the parsed rule over, also on failure. */
static bool add_rules(struct net_rules *rules, struct parsed_spec *parsed)
{
    struct net_rule second = {0};

    if (!make_room(rules, 2) || (!parsed->has_scheme && !rule_copy(&parsed->rule, &second))) {
        rule_free(&parsed->rule);
        return false;
    }
    parsed->rule.protocol = parsed->has_scheme ? parsed->protocol : NET_TCP;
    rules->items[rules->count++] = parsed->rule;
    if (!parsed->has_scheme) {
        second.protocol = NET_UDP;
        rules->items[rules->count++] = second;
    }
    return true;
}

bool net_rules_parse(struct net_rules *rules, const char *spec, enum net_rule_side side,
                     struct error *err)
{
    struct parsed_spec parsed = {0};
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    /* In no valid spec; and read as the rest of a port it would be a riddle. */
    if (strchr(spec, '%') != NULL)
        error_config(err, "addresses have no zone ('%%' and an interface) here: a rule holds on "
                          "every interface");
    else if (read_spec(spec, side, &parsed, err))
        return add_rules(rules, &parsed) || out_of_memory(err);
    rule_free(&parsed.rule);
    text_escape_cut(&text, spec, strlen(spec), SPEC_TEXT_MAX);
    return error_wrap(err, "'%s'", buffer_text(&text));
}

void net_rules_free(struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        rule_free(&rules->items[i]);
    free(rules->items);
    *rules = (struct net_rules){0};
}

/* ---- Duplicates and cover ----------------------------------------------------------------------- */

static int compare_sizes(size_t one, size_t other)
{
    return (one > other) - (one < other);
}

static int compare_rules(const struct net_rule *a, const struct net_rule *b)
{
    int order = compare_sizes(a->protocol, b->protocol);

    if (order == 0)
        order = compare_sizes(a->target, b->target);
    if (order == 0)
        order = compare_sizes(a->base.family, b->base.family);
    if (order == 0)
        order = compare_sizes(a->prefix, b->prefix);
    if (order == 0)
        order = memcmp(a->base.bytes, b->base.bytes, sizeof(a->base.bytes));
    if (order == 0 && a->host != NULL && b->host != NULL)
        order = strcasecmp(a->host, b->host);
    if (order == 0)
        order = compare_sizes(a->port_count, b->port_count);
    for (size_t i = 0; order == 0 && i < a->port_count; i++) {
        order = compare_sizes(a->ports[i].low, b->ports[i].low);
        if (order == 0)
            order = compare_sizes(a->ports[i].high, b->ports[i].high);
    }
    return order;
}

/* Equal rules in the order of the list: the pointers point into it. */
static int compare_places(const void *left, const void *right)
{
    struct net_rule *const *a = left;
    struct net_rule *const *b = right;
    int order = compare_rules(*a, *b);

    return order != 0 ? order : (*a > *b) - (*a < *b);
}

bool net_rules_drop_duplicates(struct net_rules *rules)
{
    CLEANUP_FREE struct net_rule **sorted = calloc(rules->count + 1, sizeof(struct net_rule *));
    CLEANUP_FREE bool *repeated = calloc(rules->count + 1, sizeof(*repeated));
    size_t kept = 0;

    if (sorted == NULL || repeated == NULL)
        return false;
    for (size_t i = 0; i < rules->count; i++)
        sorted[i] = &rules->items[i];
    qsort(sorted, rules->count, sizeof(struct net_rule *), compare_places);
    for (size_t i = 1; i < rules->count; i++) {
        if (compare_rules(sorted[i - 1], sorted[i]) == 0)
            repeated[sorted[i] - rules->items] = true;
    }
    for (size_t i = 0; i < rules->count; i++) {
        if (repeated[i])
            rule_free(&rules->items[i]);
        else
            rules->items[kept++] = rules->items[i];
    }
    rules->count = kept;
    return true;
}

static bool covers_target(const struct net_rule *cover, const struct net_rule *rule)
{
    if (cover->target == NET_TARGET_ANY)
        return true;
    if (cover->target != rule->target)
        return false;
    if (cover->target == NET_TARGET_HOST)
        return strcasecmp(cover->host, rule->host) == 0;
    return cover->prefix <= rule->prefix &&
           net_address_in(&rule->base, &cover->base, cover->prefix);
}

static bool covers_ports(const struct net_rule *cover, const struct net_rule *rule)
{
    if (cover->port_count == 0)
        return true;
    if (rule->port_count == 0)
        return false;
    for (size_t i = 0; i < rule->port_count; i++) {
        if (!port_ranges_cover(cover->ports, cover->port_count, rule->ports[i].low,
                               rule->ports[i].high))
            return false;
    }
    return true;
}

bool net_rule_covers(const struct net_rule *cover, const struct net_rule *rule)
{
    return cover->protocol == rule->protocol && covers_target(cover, rule) &&
           covers_ports(cover, rule);
}

/* ---- Text --------------------------------------------------------------------------------------- */

static void render_target(const struct net_rule *rule, struct buffer *out)
{
    /* A colon of the address would be read as the one in front of the ports. */
    bool bracketed =
        rule->target == NET_TARGET_RANGE && rule->base.family == 6 && rule->port_count > 0;

    if (bracketed)
        buffer_append_char(out, '[');
    if (rule->target == NET_TARGET_ANY)
        buffer_append_char(out, '*');
    else if (rule->target == NET_TARGET_HOST)
        buffer_append_text(out, rule->host);
    else
        net_address_render(&rule->base, out);
    if (rule->target == NET_TARGET_RANGE && rule->prefix < net_address_bits(&rule->base))
        buffer_printf(out, "/%u", rule->prefix);
    if (bracketed)
        buffer_append_char(out, ']');
}

void net_rule_render(const struct net_rule *rule, struct buffer *out)
{
    buffer_printf(out, "%s://", net_protocol_name(rule->protocol));
    render_target(rule, out);
    for (size_t i = 0; i < rule->port_count; i++) {
        buffer_append_char(out, i == 0 ? ':' : ',');
        port_range_render(&rule->ports[i], out);
    }
}
