/*
 * connect on behalf: the address is copied once, judged on the copy, and connected on the pinned
 * socket. A handler of feature_destinations; request->state is a struct destinations
 * (net/destinations.h).
 */
#ifndef SANDLOCK_NET_CONNECT_H
#define SANDLOCK_NET_CONNECT_H

#include "supervisor/feature.h"

/* System calls the handler makes beyond everybody's, for feature.needs. */
#define CONNECT_CALLS                                                                        \
    "connect", "getsockopt", "setsockopt:send-timeout", "pidfd_getfd", "capget", "identity", \
        "pidfd_send_signal:guardian", "shutdown", "faccessat2"

struct verdict on_connect(struct request *request);

#endif
