/*
 * Ports that the kernel chooses for TCP sockets (a bind to port 0, a listen without a bind) where some are denied. What
 * it chose is only known when the socket has it, and a listener answers by then. So the socket is told before which
 * ones there are (IP_LOCAL_PORT_RANGE); members cannot undo it, the filter refuses them the option.
 */
#ifndef SANDLOCK_NET_CHOSEN_PORT_H
#define SANDLOCK_NET_CHOSEN_PORT_H

#include "policy/policy.h"

/* From now on the kernel chooses no denied port for the socket. 0; -EADDRINUSE: all that it chooses are denied;
 * -ENOPROTOOPT: this kernel or socket cannot be told. */
int chosen_port_limit(const struct policy *policy, int fd);

/* Why -ENOPROTOOPT is a refusal, for records. */
extern const char chosen_port_unlimited[];

#endif
