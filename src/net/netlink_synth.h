/*
 * The routing host that members see: what a NETLINK_ROUTE socket of a machine with one interface, lo,
 * index 1, up, answers to an unprivileged process. Bytes to bytes, no system calls.
 */
#ifndef SANDLOCK_NET_NETLINK_SYNTH_H
#define SANDLOCK_NET_NETLINK_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every reply datagram is shorter: libraries read into buffers of 4096 bytes and take a message that
 * fills one for a cut one. */
#define NETLINK_DATAGRAM_MAX 4095

/* Longer requests are refused with EMSGSIZE before they come here. */
#define NETLINK_REQUEST_MAX 8192

struct netlink_host {
    uint32_t port_id; /* of the asking socket: every reply carries it */
    /* lo also has 127.0.0.2/8 and ::ffff:127.0.0.2/128. A host that has nothing but the two loopback
     * constants is one without any network for getaddrinfo(3) with AI_ADDRCONFIG. */
    bool more_addresses;
};

/* Takes one reply datagram. False: no more can be taken, the rest is dropped. */
typedef bool (*netlink_emit)(void *data, const void *datagram, size_t length);

/* Answers the messages of one request datagram, in order. What the kernel would ignore has no answer.
 * False: emit() has refused one. */
bool netlink_synthesize(const struct netlink_host *host, const void *request, size_t length,
                        netlink_emit emit, void *data);

/* The request would change something, which is refused with EPERM. */
bool netlink_asks_for_change(const void *request, size_t length);

#endif
