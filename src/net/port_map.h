/*
 * Port virtualization: which virtual port of the sandbox is which real port of the host, and which
 * sockets (by cookie) hold them. Thread-safe.
 */
#ifndef SANDLOCK_NET_PORT_MAP_H
#define SANDLOCK_NET_PORT_MAP_H

#include "policy/net_rule.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct port_map;

struct port_map *port_map_new(void);      /* NULL when out of memory */
void port_map_free(struct port_map *map); /* NULL is accepted */

/* After a successful bind of the socket `cookie`: it holds virtual port `virtual_port` at `real_port`.
 * False when out of memory. */
bool port_map_record(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port,
                     uint16_t real_port, uint64_t cookie);

/* The real port of a virtual one, 0 if the sandbox has none. */
uint16_t port_map_real(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port);

/* The virtual port of a real one, 0 if it is none of the sandbox's. */
uint16_t port_map_virtual(struct port_map *map, enum net_protocol protocol, uint16_t real_port);

/* {"V":R,…} of the remapped pairs (R != V), sorted; false (and nothing appended) if there are none. */
bool port_map_json(struct port_map *map, struct buffer *out);

#endif
