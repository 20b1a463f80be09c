/* IP addresses as values: text, comparison, and what an address reaches. See net_rule.h. */
#include "policy/net_rule.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- Text --------------------------------------------------------------------------------------- */

bool net_address_parse(const char *text, struct net_address *address)
{
    *address = (struct net_address){.family = 4};
    if (inet_pton(AF_INET, text, address->bytes) == 1)
        return true;
    *address = (struct net_address){.family = 6};
    return inet_pton(AF_INET6, text, address->bytes) == 1;
}

static unsigned group(const struct net_address *address, unsigned index)
{
    return (unsigned)address->bytes[2 * index] << 8 | address->bytes[2 * index + 1];
}

static void render_ipv4(const uint8_t *bytes, struct buffer *out)
{
    buffer_printf(out, "%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}

/* The longest run of two or more zero groups, the first of equal ones. */
static unsigned longest_zeros(const struct net_address *address, unsigned *length)
{
    unsigned start = 8;

    *length = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned run = 0;
        while (i + run < 8 && group(address, i + run) == 0)
            run++;
        if (run > *length) {
            start = i;
            *length = run;
        }
    }
    return start;
}

/* By hand: the C libraries do not agree on the short form. */
void net_address_render(const struct net_address *address, struct buffer *out)
{
    unsigned length;

    if (address->family == 4) {
        render_ipv4(address->bytes, out);
        return;
    }
    if (memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        buffer_append_text(out, "::ffff:");
        render_ipv4(address->bytes + 12, out);
        return;
    }
    unsigned start = longest_zeros(address, &length);
    for (unsigned i = 0; i < 8; i++) {
        if (i == start) {
            buffer_append_text(out, "::");
            i += length - 1;
            continue;
        }
        bool separated = i == 0 || (start < 8 && i == start + length);
        buffer_printf(out, "%s%x", separated ? "" : ":", group(address, i));
    }
}

/* ---- Comparison --------------------------------------------------------------------------------- */

unsigned net_address_bits(const struct net_address *address)
{
    return address->family == 4 ? 32 : 128;
}

bool net_address_equal(const struct net_address *one, const struct net_address *other)
{
    return one->family == other->family &&
           memcmp(one->bytes, other->bytes, net_address_bits(one) / 8) == 0;
}

void net_address_mask(struct net_address *address, unsigned prefix)
{
    unsigned whole = prefix / 8;

    if (whole >= sizeof(address->bytes))
        return;
    if (prefix % 8 != 0) {
        address->bytes[whole] &= (uint8_t)(0xff00 >> (prefix % 8));
        whole++;
    }
    memset(address->bytes + whole, 0, sizeof(address->bytes) - whole);
}

bool net_address_in(const struct net_address *address, const struct net_address *base,
                    unsigned prefix)
{
    unsigned whole = prefix / 8;
    unsigned rest = prefix % 8;

    if (address->family != base->family || prefix > net_address_bits(base) ||
        memcmp(address->bytes, base->bytes, whole) != 0)
        return false;
    return rest == 0 || ((address->bytes[whole] ^ base->bytes[whole]) >> (8 - rest)) == 0;
}

/* ---- What is reached ---------------------------------------------------------------------------- */

static bool is_unspecified(const struct net_address *address)
{
    static const uint8_t zeros[16];

    return memcmp(address->bytes, zeros, net_address_bits(address) / 8) == 0;
}

struct net_address net_address_canonical(const struct net_address *address)
{
    struct net_address reached = *address;

    if (address->family == 6 && memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        reached = (struct net_address){.family = 4};
        memcpy(reached.bytes, address->bytes + sizeof(mapped_prefix), 4);
    }
    if (is_unspecified(&reached)) {
        if (reached.family == 4)
            reached.bytes[0] = 127;
        reached.bytes[reached.family == 4 ? 3 : 15] = 1;
    }
    return reached;
}

bool net_address_is_loopback(const struct net_address *address)
{
    static const struct net_address loopback6 = {.family = 6, .bytes = {[15] = 1}};
    struct net_address reached = net_address_canonical(address);

    return reached.family == 4 ? reached.bytes[0] == 127 : net_address_equal(&reached, &loopback6);
}

void net_network_canonical(struct net_address *base, uint8_t *prefix)
{
    unsigned bits = net_address_bits(base);
    struct net_address reached = net_address_canonical(base);

    if (*prefix == bits) {
        *base = reached;
        *prefix = (uint8_t)net_address_bits(&reached);
    } else if (base->family == 6 && *prefix >= 96) {
        struct net_address probe = *base;
        probe.bytes[15] |= 1; /* so that the network's own zero is not read as loopback */
        reached = net_address_canonical(&probe);
        if (reached.family == 4) {
            *prefix = (uint8_t)(*prefix - 96);
            net_address_mask(&reached, *prefix);
            *base = reached;
        }
    }
}

bool net_address_carried(const struct net_address *address, struct net_address *carried)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t compatible[12];
    const uint8_t *from = NULL;

    if (address->family != 6 || net_address_is_loopback(address))
        return false;
    if (memcmp(address->bytes, nat64, sizeof(nat64)) == 0 ||
        memcmp(address->bytes, compatible, sizeof(compatible)) == 0)
        from = address->bytes + 12;
    else if (address->bytes[0] == 0x20 && address->bytes[1] == 0x02)
        from = address->bytes + 2;
    if (from == NULL)
        return false;
    struct net_address found = {.family = 4};
    memcpy(found.bytes, from, 4);
    *carried = net_address_canonical(&found);
    return true;
}
