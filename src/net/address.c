/* Decoding a socket address: see address.h. */
#include "net/address.h"

#include "kernel/task_memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Layout of the kernel's socket addresses: the family, then for the IP families the port in network
 * order; what the kernel needs to find the address behind it. */
#define FAMILY_SIZE 2U
#define PORT_AT 2U
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
    address->port = (uint16_t)(address->bytes[PORT_AT] << 8 | address->bytes[PORT_AT + 1]);
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

void address_meet(struct socket_address *address, int fd)
{
    static const uint8_t unspecified[16], mapped[16] = {[10] = 0xFF, 0xFF, 127, 0, 0, 1};
    struct sockaddr_in6 own = {0};
    socklen_t length = sizeof(own);

    if (address->kind != ADDRESS_IP || address->family != AF_INET6 ||
        memcmp(address->bytes + IPV6_AT, unspecified, sizeof(unspecified)) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &length) != 0 || own.sin6_family != AF_INET6 ||
        memcmp(&own.sin6_addr, mapped, 12) != 0)
        return;
    memcpy(address->bytes + IPV6_AT, mapped, sizeof(mapped));
    take_ip(address, 6, IPV6_AT);
}

void address_settle(struct socket_address *address)
{
    uint16_t family = AF_INET;
    uint8_t *bytes = address->bytes;

    if (!address->has_ip)
        return;
    if (address->family != AF_INET6) {
        memcpy(bytes, &family, sizeof(family));
        memcpy(bytes + IPV4_AT, address->ip.bytes, 4);
        return;
    }
    memset(bytes + IPV6_FLOW_AT, 0, IPV6_AT - IPV6_FLOW_AT);
    if (address->ip.family == 6)
        memcpy(bytes + IPV6_AT, address->ip.bytes, 16);
    else /* mapped: the prefix stands there already */
        memcpy(bytes + IPV6_AT + 12, address->ip.bytes, 4);
}

void address_set_port(struct socket_address *address, uint16_t port)
{
    address->port = port;
    address->bytes[PORT_AT] = (uint8_t)(port >> 8);
    address->bytes[PORT_AT + 1] = (uint8_t)port;
}

int address_check_length(uint64_t length)
{
    int32_t size = (int32_t)(uint32_t)length; /* the kernel takes an int */

    return size < 0 || size > ADDRESS_BYTES_MAX ? -EINVAL : 0;
}

int address_read(pid_t tid, uint64_t pointer, uint64_t length, struct socket_address *address)
{
    uint8_t bytes[ADDRESS_BYTES_MAX];
    uint32_t size = (uint32_t)length;
    int result = address_check_length(length);

    if (result < 0)
        return result;
    if (size > 0) {
        result = task_memory_read_all(tid, pointer, bytes, size);
        if (result < 0)
            return result;
    }
    address_decode(bytes, size, address);
    return 0;
}
