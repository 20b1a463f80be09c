/*
 * Port virtualization: which virtual port of the sandbox is which real port of the host, and which
 * sockets (by cookie) hold them. Thread-safe.
 *
 * The kernel tells nobody when a socket is gone, and its port may soon be somebody else's. So the map
 * asks, when it matters, which of its sockets still live and who has a port, and proves no more by what
 * it remembers than that a cookie is the sandbox's own.
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
    bool listened; /* kept for port_questions.liveness: it was seen as a listener */
    bool dead;     /* set by port_questions.liveness */
    bool outdated; /* the real port is another socket's: see port_map_pass_on() */
};

/* A socket that has a port, whoever's. */
struct port_user {
    uint64_t cookie;
    struct net_address address; /* as bound; an IPv4-mapped one is IPv4 */
    bool v6_only;
};

enum port_interest { PORT_RECEIVERS, PORT_SHARERS };

/* What the map cannot know. The answers may take milliseconds. */
struct port_questions {
    /* Marks the dead ones among the entries. What it cannot tell it leaves alive. */
    void (*liveness)(void *data, struct port_entry *entries, size_t count);
    /* All sockets of the host at the real port, of TCP those that listen, and with PORT_SHARERS also those
     * that are only bound: they receive nothing, but share the port. The kernel looks for them for
     * milliseconds. *users is to be freed. False: nobody tells. */
    bool (*users)(void *data, enum net_protocol protocol, enum port_interest interest,
                  uint16_t real_port, struct port_user **users, size_t *count);
};

/* Whose sockets have a real port; none of these: it is free. */
#define PORT_OWN 1U
#define PORT_FOREIGN 2U
#define PORT_UNTOLD 4U /* alone */

struct port_map;

struct port_map *port_map_new(void);      /* NULL when out of memory */
void port_map_free(struct port_map *map); /* NULL is accepted */

/* Who is asked (borrowed); NULL: nobody (any more), all sockets count as alive and PORT_UNTOLD is all
 * that is known. When this returns, no earlier question is under way. */
void port_map_ask(struct port_map *map, const struct port_questions *questions, void *data);

/* After a successful bind of the socket `cookie`: it holds virtual port `virtual_port` at `real_port`.
 * False when out of memory. */
bool port_map_record(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port,
                     uint16_t real_port, uint64_t cookie);

/* The real port of a virtual one, 0 if the sandbox has none. Perhaps of a socket that is gone. */
uint16_t port_map_real(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port);

/* Whose sockets have the real port, listening or only bound, at an address that overlaps with this one,
 * an unspecified one with all of its family (IPv6: all). With PORT_FOREIGN the sandbox's own may be left
 * out. For workers. */
unsigned port_map_users(struct port_map *map, enum net_protocol protocol,
                        const struct net_address *address, uint16_t real_port);

/* The real port at which what is sent to the virtual one at this (specified) address reaches a socket of
 * the sandbox and nobody else's; 0: none, or nobody tells. For workers. */
uint16_t port_map_locate(struct port_map *map, enum net_protocol protocol,
                         const struct net_address *address, uint16_t virtual_port);

/* True if the virtual port is somewhere else for some socket, perhaps one that is gone. */
bool port_map_is_moved(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port);

/* The virtual port of a real one, 0 if it is none of the sandbox's. */
uint16_t port_map_virtual(struct port_map *map, enum net_protocol protocol, uint16_t real_port);

/* The virtual port that the socket itself was bound to, 0 if it is not in the map. */
uint16_t port_map_of(struct port_map *map, uint64_t cookie);

/* The virtual port by which the socket knows its real one: its own, or of TCP the one of the listener that it may
 * have been accepted from. 0: none of the map. */
uint16_t port_map_name(struct port_map *map, enum net_protocol protocol, uint64_t cookie,
                       uint16_t real_port);

/* The kernel has given the real port to the socket `cookie`, and it gives none that is in use: unless the socket
 * itself is in the map with it, whoever had it is gone. */
void port_map_pass_on(struct port_map *map, enum net_protocol protocol, uint64_t cookie,
                      uint16_t real_port);

/* The virtual port of a socket of the sandbox that has the real one at this (specified) address, and nobody else
 * has it; 0: none, or nobody tells. For workers. */
uint16_t port_map_peer(struct port_map *map, enum net_protocol protocol,
                       const struct net_address *address, uint16_t real_port);

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
