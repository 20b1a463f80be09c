/* What the kernel knows about the sockets of a port map. */
#ifndef SANDLOCK_NET_PORT_SOCKETS_H
#define SANDLOCK_NET_PORT_SOCKETS_H

#include "net/port_map.h"

/* Answered by a struct sock_diag, the data. */
extern const struct port_questions port_sockets_questions;

#endif
