/*
 * The virtual NETLINK_ROUTE sockets of one sandbox. A member holds one end of a SEQPACKET pair, the
 * supervisor the other and answers on it: at once where the send is a call in the descriptor window,
 * else when its loop sees the request. A socket is known by its SO_COOKIE, so whatever becomes of a
 * descriptor number (dup, close, fork, exec, passing) cannot make a wrong one look like it. The entry
 * lives as long as any copy of the member's end.
 *
 * Internal to the network room. Everything but netlink_view_has() belongs to the receiving thread.
 */
#ifndef SANDLOCK_NET_NETLINK_VIEW_H
#define SANDLOCK_NET_NETLINK_VIEW_H

#include "net/netlink_synth.h"
#include "supervisor/supervisor.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Each costs the supervisor a descriptor; beyond it socket() is ENOBUFS. */
#define NETLINK_SOCKETS_MAX 256

/* struct sockaddr_nl of <linux/netlink.h>. */
struct netlink_name {
    uint16_t family;
    uint16_t pad;
    uint32_t port_id;
    uint32_t groups;
};

#define NETLINK_NAME_LENGTH 12

/* The type argument of socket(2) without SOCK_CLOEXEC and SOCK_NONBLOCK. */
#define NETLINK_TYPE_MASK 0xf

/* How many tasks' tables are remembered. */
#define NETLINK_WIDE_TABLES 16

struct netlink_view;

/* One virtual socket. */
struct netlink_socket {
    struct netlink_view *view;
    struct netlink_socket *next;
    int fd; /* the supervisor's end, owned */
    uint64_t cookie;
    uint64_t inode; /* of the member's end, where cookies cannot be looked at */
    int type;       /* SOCK_RAW or SOCK_DGRAM, as asked for */
    uint32_t port_id;
    uint32_t groups; /* remembered for getsockname; no event is ever delivered */
    bool bound;      /* to an id the member chose */
    bool
        overrun; /* its replies were not read for too long: they are dropped, as the kernel would */
    int patience; /* timer of that; 0: none */
};

struct netlink_view {
    struct supervisor *supervisor;
    bool more_addresses;

    pthread_mutex_t lock; /* guards the list against netlink_view_has() */
    struct netlink_socket *sockets;
    size_t count;
    struct loop *loop; /* NULL before the first socket and after the loop was left */

    /* Held from the choice of a number in the window to the injection, so that two of ours never meet. */
    pthread_mutex_t injection;

    /* The receiving thread's, like the following. */
    uint64_t next_name; /* of our ends, once a first one has been drawn */
    bool names_drawn;
    uint64_t wide[NETLINK_WIDE_TABLES]; /* ids of tasks whose tables have reached the window */
    uint8_t request[NETLINK_REQUEST_MAX];
};

struct netlink_view *netlink_view_new(struct supervisor *supervisor, bool more_addresses);
void netlink_view_leave_loop(struct netlink_view *view);
void netlink_view_free(struct netlink_view *view);

/* Makes a socket of this type (SOCK_NONBLOCK is honoured) for the process `tgid`; *member_end (owned by the caller,
 * close-on-exec) goes to the member. 0 or -errno. When the last copy of the member's end is closed the socket is
 * forgotten. */
int netlink_socket_open(struct netlink_view *view, pid_t tgid, int type, int *member_end);

struct netlink_socket *netlink_socket_find(struct netlink_view *view, uint64_t cookie);

/* The same by the inode of a living socket. */
struct netlink_socket *netlink_socket_find_inode(struct netlink_view *view, uint64_t inode);

/* True if another socket is bound to this id. */
bool netlink_id_is_taken(const struct netlink_view *view, const struct netlink_socket *socket,
                         uint32_t port_id);

/* Answers what the member wrote without a trap. */
void netlink_socket_drain(struct netlink_socket *socket);

/* Answers one request. False: the member does not read its replies, something was dropped. */
bool netlink_socket_answer(struct netlink_socket *socket, const void *request, size_t length);

/* True if the cookie is that of a virtual socket: it is no unix socket to anybody else. Any thread; a
 * NULL view has none. */
bool netlink_view_has(struct netlink_view *view, uint64_t cookie);

/* Calls on descriptors of the window (netlink_calls.c); which one is the detail of the trap. */
enum netlink_call_kind {
    NETLINK_CALL_BIND,
    NETLINK_CALL_CONNECT,
    NETLINK_CALL_GETSOCKNAME,
    NETLINK_CALL_GETPEERNAME,
    NETLINK_CALL_SENDTO,
    NETLINK_CALL_SENDMSG,
    NETLINK_CALL_RECVFROM,
    NETLINK_CALL_RECVMSG,
    NETLINK_CALL_SETSOCKOPT,
    NETLINK_CALL_GETSOCKOPT,
};

struct verdict netlink_on_call(struct request *request);

#endif
