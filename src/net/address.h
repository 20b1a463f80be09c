/*
 * A socket address as a member passed it, decoded once from a private copy. Hostile bytes: the length
 * is judged before anything is read.
 */
#ifndef SANDLOCK_NET_ADDRESS_H
#define SANDLOCK_NET_ADDRESS_H

#include "policy/net_rule.h"

#include <stdint.h>
#include <sys/types.h>

#define ADDRESS_BYTES_MAX 128

enum address_kind {
    ADDRESS_NONE, /* no address (NULL or length 0) */
    ADDRESS_IP,
    ADDRESS_UNSPEC, /* family 0; `ip` and `port` hold the bytes read as AF_INET, where there are 8 */
    ADDRESS_UNIX_NAMED,
    ADDRESS_UNIX_ABSTRACT,
    ADDRESS_UNIX_UNNAMED, /* length 2 */
    ADDRESS_NETLINK,
    ADDRESS_OTHER,
    ADDRESS_MALFORMED, /* an IP family with too few bytes */
};

struct socket_address {
    enum address_kind kind;
    uint16_t family;
    bool has_ip;                          /* for ADDRESS_UNSPEC: `ip` and `port` are there */
    struct net_address ip;                /* canonical: what is reached */
    uint16_t port;                        /* host order */
    uint8_t bytes[ADDRESS_BYTES_MAX + 1]; /* the copy; a NUL follows */
    uint32_t length;
};

/* Pure. `length` <= ADDRESS_BYTES_MAX. For ADDRESS_UNIX_NAMED the path is bytes + 2, ended by NUL. */
void address_decode(const void *bytes, size_t length, struct socket_address *address);

/* Before a destination is judged for the IP socket: `::` leads to 127.0.0.1 where the socket is bound to an
 * IPv4-mapped address, and is written down as that. */
void address_meet(struct socket_address *address, int fd);

/* For a destination that was judged: writes what was judged into the copy, where the kernel would choose
 * by other means than the address. An unspecified address becomes the loopback address it was judged
 * as (the kernel takes the socket's source address, or another device's); AF_UNSPEC becomes AF_INET; flow
 * information, which can carry a routing header, is dropped. Not for bind. */
void address_settle(struct socket_address *address);

/* Another port of the same host, in the copy and as it was read. Only for addresses with an IP. */
void address_set_port(struct socket_address *address, uint16_t port);

/* -EINVAL where address_read() says so of the register alone; else 0. Pure. */
int address_check_length(uint64_t length);

/* Copies from the task and decodes. 0, -EINVAL (length above 128 as the kernel's int), -EFAULT, … The
 * caller validates the notification afterwards. */
int address_read(pid_t tid, uint64_t pointer, uint64_t length, struct socket_address *address);

#endif
