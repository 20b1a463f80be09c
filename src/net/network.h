/*
 * The network of one sandbox: the rules with their names resolved, and what its features share. Made by
 * the launch on the caller's thread, before anything is confined; lives as long as the launch.
 */
#ifndef SANDLOCK_NET_NETWORK_H
#define SANDLOCK_NET_NETWORK_H

#include "net/held.h"
#include "net/own_domain.h"
#include "net/port_map.h"
#include "net/shadow.h"
#include "net/verdict.h"
#include "policy/network.h"
#include "util/error.h"

struct supervisor;
struct netlink_view;

struct network {
    const struct policy *policy; /* borrowed */
    struct network_shape shape;  /* with the addresses of names: more exact than the policy's */
    struct shadow shadow;
    int64_t started;               /* wall clock, seconds: the time of what the views make up */
    struct net_verdicts *verdicts; /* immutable after network_new() */
    char *hosts;                   /* content of the synthetic /etc/hosts, owned */
    size_t hosts_length;
    struct port_map *ports;       /* NULL without port_remap */
    struct netlink_view *netlink; /* virtual routing sockets; the feature's, NULL while it is off */
    struct own_domains own_domains; /* the feature's */
    struct holder *holder;          /* blocking calls that wait; made with the network */
};

/* Resolves host names (may take seconds, never more than RESOLVE_DEADLINE_SECONDS, or limit_ms milliseconds
 * if that is not 0). NULL and an error:
 * "failed to resolve host 'NAME': reason" (ERROR_RUNTIME), or out of memory. `granted` as for shadow_init(). */
struct network *network_new(const struct policy *policy, const struct granted *granted,
                            size_t count, uint64_t limit_ms, struct error *err);
void network_free(struct network *network); /* NULL is accepted */

/* The shape of the network, or before there is one (NULL) that of the policy. */
struct network_shape network_shape_known(const struct policy *policy,
                                         const struct network *network);

/* The network of the sandbox a feature works for; never NULL inside a feature of this room. */
struct network *network_of(const struct supervisor *supervisor);

#endif
