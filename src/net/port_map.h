/*
 * Port virtualization: which virtual port of the sandbox is which real port of the host, and which
 * sockets (by cookie) hold them. Thread-safe.
 *
 * The kernel tells nobody when a socket is gone. So the map asks, when it matters, which of its sockets
 * still live, and drops the others.
 */
#ifndef SANDLOCK_NET_PORT_MAP_H
#define SANDLOCK_NET_PORT_MAP_H

#include "policy/net_rule.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One bound socket. */
struct port_entry {
    enum net_protocol protocol;
    uint16_t virtual_port, real_port; /* equal: as asked for */
    uint64_t cookie;
    bool dead; /* set by port_liveness */
};

/* Marks the dead ones among the entries. May take milliseconds. What it cannot tell it leaves alive. */
typedef void (*port_liveness)(void *data, struct port_entry *entries, size_t count);

struct port_map;

struct port_map *port_map_new(void);      /* NULL when out of memory */
void port_map_free(struct port_map *map); /* NULL is accepted */

/* Who is asked about dead sockets; NULL: nobody (any more), and all count as alive. When this returns,
 * no earlier question is under way. */
void port_map_ask(struct port_map *map, port_liveness liveness, void *data);

/* After a successful bind of the socket `cookie`: it holds virtual port `virtual_port` at `real_port`.
 * False when out of memory. */
bool port_map_record(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port,
                     uint16_t real_port, uint64_t cookie);

/* The real port of a virtual one, 0 if the sandbox has none. Perhaps of a socket that is gone. */
uint16_t port_map_real(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port);

/* The virtual port of a real one, 0 if it is none of the sandbox's. */
uint16_t port_map_virtual(struct port_map *map, enum net_protocol protocol, uint16_t real_port);

/* The virtual port that the socket itself was bound to, 0 if it is not in the map. */
uint16_t port_map_of(struct port_map *map, uint64_t cookie);

/* True if so many sockets were recorded that dead ones should be looked for: port_map_clean() then. */
bool port_map_is_crowded(struct port_map *map);

/* Forgets the dead ones. For workers. */
void port_map_clean(struct port_map *map);

/* True if a living socket holds the virtual port; forgets the dead ones. For workers. */
bool port_map_is_held(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port);

/* {"V":R,…} of the remapped pairs (R != V) of living sockets, sorted; false (and nothing appended) if
 * there are none. */
bool port_map_json(struct port_map *map, struct buffer *out);

#endif
