/* Decoding a socket address: see address.h. */
#include "net/address.h"

#include "kernel/task_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Layout of the kernel's socket addresses: the family, then for the IP families the port in network
 * order; what the kernel needs to find the address behind it. */
#define FAMILY_SIZE 2U
#define IPV4_MIN 8U /* family, port, address */
#define IPV4_AT 4U
#define IPV6_MIN 24U /* family, port, flow information, address */
#define IPV6_FLOW_AT 4U
#define IPV6_AT 8U

static void take_ip(struct socket_address *address, uint8_t family, size_t at)
{
    struct net_address raw = {.family = family};

    memcpy(raw.bytes, address->bytes + at, family == 4 ? 4 : 16);
    address->ip = net_address_canonical(&raw);
    address->port = (uint16_t)(address->bytes[2] << 8 | address->bytes[3]);
    address->has_ip = true;
}

static enum address_kind decode_ip(struct socket_address *address, uint8_t family)
{
    if (address->length < (family == 4 ? IPV4_MIN : IPV6_MIN))
        return ADDRESS_MALFORMED;
    take_ip(address, family, family == 4 ? IPV4_AT : IPV6_AT);
    return ADDRESS_IP;
}

static enum address_kind decode_unix(const struct socket_address *address)
{
    if (address->length == FAMILY_SIZE)
        return ADDRESS_UNIX_UNNAMED;
    return address->bytes[FAMILY_SIZE] == 0 ? ADDRESS_UNIX_ABSTRACT : ADDRESS_UNIX_NAMED;
}

static enum address_kind decode_kind(struct socket_address *address)
{
    if (address->length == 0)
        return ADDRESS_NONE;
    if (address->length < FAMILY_SIZE)
        return ADDRESS_MALFORMED;
    memcpy(&address->family, address->bytes, FAMILY_SIZE);
    switch (address->family) {
    case AF_UNSPEC:
        if (address->length >= IPV4_MIN)
            take_ip(address, 4, IPV4_AT);
        return ADDRESS_UNSPEC;
    case AF_INET:
        return decode_ip(address, 4);
    case AF_INET6:
        return decode_ip(address, 6);
    case AF_UNIX:
        return decode_unix(address);
    case AF_NETLINK:
        return ADDRESS_NETLINK;
    default:
        return ADDRESS_OTHER;
    }
}

void address_decode(const void *bytes, size_t length, struct socket_address *address)
{
    *address = (struct socket_address){.length = (uint32_t)length};
    if (length > 0)
        memcpy(address->bytes, bytes, length);
    address->kind = decode_kind(address);
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

static void settle_ipv4(uint8_t *bytes)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};

    if (is_zero(bytes, sizeof(loopback)))
        memcpy(bytes, loopback, sizeof(loopback));
}

static void settle_ipv6(uint8_t *bytes)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (is_zero(bytes, 16))
        bytes[15] = 1;
    else if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        settle_ipv4(bytes + sizeof(mapped));
}

void address_settle(struct socket_address *address)
{
    uint16_t family = AF_INET;

    if (!address->has_ip)
        return;
    if (address->family == AF_INET6) {
        memset(address->bytes + IPV6_FLOW_AT, 0, IPV6_AT - IPV6_FLOW_AT);
        settle_ipv6(address->bytes + IPV6_AT);
        return;
    }
    memcpy(address->bytes, &family, sizeof(family));
    settle_ipv4(address->bytes + IPV4_AT);
}

int address_read(pid_t tid, uint64_t pointer, uint64_t length, struct socket_address *address)
{
    uint8_t bytes[ADDRESS_BYTES_MAX];
    int32_t size = (int32_t)(uint32_t)length; /* the kernel takes an int */

    if (size < 0 || size > ADDRESS_BYTES_MAX)
        return -EINVAL;
    if (size > 0) {
        int result = task_memory_read_all(tid, pointer, bytes, (size_t)size);
        if (result < 0)
            return result;
    }
    address_decode(bytes, (size_t)size, address);
    return 0;
}
