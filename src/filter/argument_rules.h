/* Rules on register values that hold for every policy: the sets named in syscall_class.def. */
#ifndef SANDLOCK_FILTER_ARGUMENT_RULES_H
#define SANDLOCK_FILTER_ARGUMENT_RULES_H

#include "filter/filter.h"

#include <stddef.h>
#include <stdint.h>

/* Not an answer of the kernel's: go on with the traps of the number, allow if there are none. */
#define RULE_PASS UINT32_MAX

/* When a row takes part at all. */
enum rule_condition {
    RULE_ALWAYS,
    RULE_SUPERVISED,
    RULE_UNGATED,       /* the process gate does not judge this number: no supervisor, gate off */
    RULE_SENDS_TRAPPED, /* sends are performed by the supervisor */
    RULE_UDP_CLOSED,    /* UDP sockets cannot be made (policy/network.h) */
    RULE_UDP_POSSIBLE,  /* they can, inert or not */
    RULE_UDP_UNUSED,    /* they cannot, or are inert */
    RULE_UDP_UNSURE,    /* the same, or the addresses of names may make them inert */
    RULE_PING_CLOSED,
    RULE_PING_POSSIBLE,
    RULE_NETLINK_TRAPPED,    /* the supervisor stands in for routing sockets */
    RULE_INTERFACES_TRAPPED, /* it answers interface requests of ioctl */
    RULE_TRACED,             /* the guardian fetches descriptors as a tracer */
    RULE_HUGE_PAGES_OFF,     /* the policy switches transparent huge pages off */
    RULE_PRIVILEGED,         /* a member may have capabilities */
    RULE_CORES_UNGATED,      /* the policy chooses processors, and nobody intersects with them */
    RULE_KEEPS_SESSION,      /* nobody leaves the session of the caller's terminal */
    RULE_EARLY_TRUNCATION, /* members see a file system that empties files before Landlock is asked */
};

struct argument_rule {
    enum rule_condition when;
    struct filter_rule rule; /* its action may be RULE_PASS */
};

/* Without a row that holds, the call passes. */
struct argument_rules {
    const struct argument_rule *rows;
    size_t count;
};

enum rule_set {
    RULES_none,
    RULES_clone,
    RULES_unshare,
    RULES_ioctl,
    RULES_prctl,
    RULES_ptrace,
    RULES_personality,
    RULES_socket,
    RULES_socketpair,
    RULES_setsockopt,
    RULES_getsockopt,
    RULES_fastopen_arg3,
    RULES_fastopen_arg2,
    RULES_own_pid,
    RULES_own_affinity,
    RULES_own_prlimit,
    RULES_own_priority,
    RULES_own_ioprio,
    RULES_fcntl,
    RULES_madvise,
    RULES_mknod_arg1,
    RULES_mknod_arg2,
    RULES_open_arg1,
    RULES_open_arg2,
    RULES_openat2,
    RULES_setsid,
};

struct argument_rules argument_rules_get(enum rule_set set);

#endif
