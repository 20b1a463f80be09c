/*
 * sendto, sendmsg and sendmmsg on behalf: the message is copied once, its destination judged on the
 * copy, and sent on the pinned socket. Handlers of feature_destinations; request->state is a
 * struct destinations (net/destinations.h).
 */
#ifndef SANDLOCK_NET_SEND_H
#define SANDLOCK_NET_SEND_H

#include "supervisor/feature.h"

/* System calls these handlers make beyond everybody's, for feature.needs. */
#define SEND_CALLS \
    "sendmsg:no-wait", "pidfd_send_signal:pipe", "getsockopt", "pidfd_getfd", "capget", "identity"

/* Only calls with an address arrive: a NULL address passes in the filter. */
struct verdict on_sendto(struct request *request);
struct verdict on_sendmsg(struct request *request);
struct verdict on_sendmmsg(struct request *request);

#endif
