/*
 * The sockets that a descriptor of the sandbox refers to, now. A socket is known by its cookie, which is
 * never used again; inode numbers and ports say nothing about whose it is.
 */
#ifndef SANDLOCK_NET_OWN_SOCKETS_H
#define SANDLOCK_NET_OWN_SOCKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* More than this fail the look. */
#define OWN_SOCKETS_MAX (1U << 18)

struct own_socket {
    uint64_t cookie;
    uint64_t inode;
    int domain, type, protocol;
};

struct own_sockets {
    struct own_socket *items; /* owned; by cookie, each once */
    size_t count, capacity;
};

#define OWN_SOCKETS_INIT ((struct own_sockets){0})

struct netlink_view;

/* Looks at every process below `guardian`, except at the virtual routing sockets of `hidden` (may be
 * NULL). Takes some microseconds per descriptor: for workers. 0 or -errno, and then the list is not to
 * be used. */
int own_sockets_collect(struct own_sockets *sockets, int proc_fd, pid_t guardian,
                        struct netlink_view *hidden);

void own_sockets_free(struct own_sockets *sockets);

const struct own_socket *own_sockets_find(const struct own_sockets *sockets, uint64_t cookie);

#endif
