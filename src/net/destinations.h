/*
 * What connect and the sends of one sandbox share: the state of feature_destinations. Immutable after
 * the start, except where noted, so workers and the holder may use it.
 */
#ifndef SANDLOCK_NET_DESTINATIONS_H
#define SANDLOCK_NET_DESTINATIONS_H

#include "member/object.h"
#include "member/own_rights.h"
#include "net/begun.h"
#include "net/device.h"
#include "net/network.h"
#include "supervisor/supervisor.h"

#include <stdatomic.h>

/* A socket's send timeout is changed for a moment by one thread at a time; sockets share locks by
 * cookie. */
#define TIMEOUT_LOCKS 32

struct destinations {
    struct network *network;  /* borrowed: rules, ports, holder */
    int proc_fd;              /* borrowed */
    struct own_rights rights; /* where it has more than the member: lower them before acting */
    bool mapped;              /* members live in a user namespace */
    bool judge_unix;          /* named unix sockets need a write grant */
    bool abstract_scope; /* the kernel keeps abstract unix sockets inside the sandbox, or nobody
                                is to: the scope was disabled by name */
    enum device_peers udp_peers;
    bool tcp_protected;          /* without rules no TCP connection is allowed */
    const struct grants *grants; /* borrowed */
    struct local_devices local;  /* has a lock of its own */
    pthread_mutex_t timeout_locks[TIMEOUT_LOCKS];
    pthread_mutex_t device_lock; /* of device_enter() */
    struct ended_connects ended; /* has a lock of its own */
    int64_t inline_after;   /* the receiving thread's: no connect there before, see connect.c */
    unsigned slow_connects; /* there, the last ones in a row */
    atomic_uint passed;     /* duplicates of descriptors in messages that are under way */
    unsigned passed_max;
};

#endif
