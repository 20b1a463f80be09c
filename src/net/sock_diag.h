/*
 * The host's sockets as the kernel lists them (sock_diag(7)): states, ports and cookies that no other
 * call tells about somebody else's socket. The replies are parsed as hostile input: whatever is not
 * exactly as expected fails the question, and a failure never stands for an empty list.
 */
#ifndef SANDLOCK_NET_SOCK_DIAG_H
#define SANDLOCK_NET_SOCK_DIAG_H

#include "policy/net_rule.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of diag_query.states: 1 << TCP state; every socket has one of them. */
#define DIAG_ALL_STATES 0xFFFFFFFFU
/* TCP sockets that are bound but neither listen nor connect (Linux 6.8; nothing before). */
#define DIAG_BOUND (1U << 13)

/* More sockets than this fail a question. */
#define DIAG_SOCKETS_MAX (1U << 20)

struct sock_diag;

/* Opened before the supervisor is confined. Thread-safe: one question at a time. NULL and *error (a
 * positive errno) where the kernel or a container refuses it. */
struct sock_diag *sock_diag_new(int *error);
void sock_diag_free(struct sock_diag *diag); /* NULL is accepted */

/* True if this kernel knows DIAG_BOUND. */
bool sock_diag_lists_bound(const struct sock_diag *diag);

struct diag_query {
    uint8_t family;      /* AF_INET, AF_INET6, AF_UNIX */
    uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP, …; 0 for AF_UNIX */
    uint32_t states;     /* DIAG_ALL_STATES, … */
    uint16_t local_port; /* only sockets with this one; 0: all */
};

/* One socket. What a family does not have is 0. */
struct diag_socket {
    uint64_t cookie; /* SO_COOKIE */
    uint8_t family, protocol, state;
    uint8_t type;                     /* AF_UNIX: SOCK_STREAM, … */
    struct net_address local, remote; /* of the IP families */
    uint16_t local_port, remote_port; /* host order */
    bool v6_only;                     /* AF_INET6, not connected: takes no IPv4 */
    uint32_t uid;                     /* of the IP families */
    uint32_t inode;
    uint32_t receive_queue, send_queue; /* as in /proc/net/tcp; of a listener: waiting, backlog */
    uint8_t timer, retransmits;         /* timer 2, 4: of probes */
    uint32_t expires;                   /* of the timer, milliseconds */
    uint32_t peer_inode;                /* AF_UNIX */
    uint32_t name_offset, name_length;  /* AF_UNIX: bytes in diag_list.names; 0: unnamed */
};

struct diag_list {
    struct diag_socket *sockets; /* owned */
    size_t count, capacity;
    struct buffer names;
};

#define DIAG_LIST_INIT ((struct diag_list){0})

void diag_list_free(struct diag_list *list);

/* Appends what matches. It never waits for anybody but takes the kernel some milliseconds where its
 * tables are large: for workers. 0 or -errno; after a failure the list is to be thrown away. -ENOENT:
 * this kernel does not list that protocol. */
int sock_diag_dump(struct sock_diag *diag, const struct diag_query *query, struct diag_list *list);

const struct diag_socket *diag_list_find(const struct diag_list *list, uint64_t cookie);

/* ---- Parts of a dump, for tests ------------------------------------------------------------------ */

#define DIAG_REQUEST_MAX 72

/* The request's bytes; its size. */
size_t diag_request(const struct diag_query *query, uint32_t sequence,
                    uint8_t request[DIAG_REQUEST_MAX]);

/* One datagram of a reply. 1: that was the last one; 0: more follow; -errno: as the kernel said, or
 * -EBADMSG. *changed is set if the tables changed under the kernel: ask again when the dump is over. */
int diag_parse(const struct diag_query *query, uint32_t sequence, const void *datagram, size_t size,
               struct diag_list *list, bool *changed);

#endif
