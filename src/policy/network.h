/*
 * What kinds of network use a policy leaves possible: pure questions to a built policy. The filter, the
 * rulesets, the features and the posture ask here, so that they cannot disagree.
 */
#ifndef SANDLOCK_POLICY_NETWORK_H
#define SANDLOCK_POLICY_NETWORK_H

#include "policy/policy.h"

enum udp_use {
    UDP_CLOSED, /* no rules at all, or no supervisor: socket() is EPERM in the kernel */
    UDP_INERT,  /* rules exist but none lets a UDP datagram pass: sockets exist, use is refused */
    UDP_OPEN,   /* some destination passes: each use is judged */
};

struct network_shape {
    bool unix_gate_by_kernel; /* Landlock judges named unix sockets (ABI 9) */
    bool destination_policy;  /* an allow or a deny rule exists */
    bool allow_layer; /* default deny per protocol; without it (deny rules alone) default allow */
    enum udp_use udp;
    bool ping;        /* ping sockets can be created */
    bool egress;      /* some destination may pass, of whatever protocol */
    bool named_hosts; /* an allow rule names a host */
    bool
        unix_gate; /* named unix sockets are judged by the supervisor (grants exist, no kernel right) */
    bool
        bind_restricted; /* TCP bind has an allow layer or a deny list: not every port may be bound */
    bool bind_zero;      /* bind(0) and listen without bind are allowed */
    bool listen_restricted; /* listen without bind is not, or may take a port that is denied */
    bool tcp_allow_layer;   /* of bind: an allow list holds (also the empty one) */
    bool direct; /* the rules are ports of TCP to any address: Landlock alone judges them */
    bool connect_on_behalf; /* connect is trapped and performed by the supervisor */
    bool bind_on_behalf;    /* bind is trapped and performed by the supervisor */
    bool bind_by_port;      /* because of the ports; otherwise only because of interfaces */
    bool hosts_view;        /* /etc/hosts is the sandbox's own */
};

struct network_shape network_shape_of(const struct policy *policy);

/* The same on a kernel with or without a right for named unix sockets. Pure. */
struct network_shape network_shape_with(const struct policy *policy, bool kernel_gates_unix);

/* What may pass (udp, ping, egress), with these in place of the policy's allow rules: the same with addresses
 * in place of names, once these are known. */
void network_shape_pass(struct network_shape *shape, const struct policy *policy,
                        const struct net_rules *allow);

/* True if the port may be bound by the lists (allow minus deny). Exact match also for 0. */
bool network_may_bind(const struct policy *policy, uint16_t port);

/* True if a deny rule names the port, also where the kernel chooses it. */
bool network_denies_bind(const struct policy *policy, uint16_t port);

#endif
