/*
 * The policy: what a sandbox may do, validated and normalised. Immutable after policy_build(),
 * shared by reference between any number of runs and threads. Nothing here touches the kernel; a
 * policy that builds may still fail to launch (a grant path that does not exist, a missing kernel
 * feature).
 */
#ifndef SANDLOCK_POLICY_POLICY_H
#define SANDLOCK_POLICY_POLICY_H

#include "kernel/landlock.h"
#include "policy/net_rule.h"
#include "policy/record.h"
#include "util/buffer.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Default-on features that --without switches off. Bits of policy.without. */
enum switchable_feature {
    FEATURE_METADATA_GATE = 1 << 0,
    FEATURE_PROCESS_GATE = 1 << 1,
    FEATURE_SUPERVISOR_CONFINEMENT = 1 << 2,
    FEATURE_UNIX_GATE = 1 << 3,
    FEATURE_NETLINK_VIEW = 1 << 4,
    FEATURE_HOSTS_VIEW = 1 << 5,
    FEATURE_LISTEN_GATE = 1 << 6,
    FEATURE_PROC_VIEW = 1 << 7,
};

enum gpu_mode { GPU_NONE = 0, GPU_ALL, GPU_LIST };

/* Where a profile says something that can fail only at the launch. */
struct policy_place {
    enum option_id id;
    unsigned index; /* of the value among those of the option */
    unsigned line, column;
};

struct policy {
    atomic_uint references;

    /* Filesystem grants as given; opened at launch. */
    struct strv fs_read;
    struct strv fs_read_try; /* read grants that may be missing */
    struct strv fs_write;
    struct strv fs_write_try;

    /* Network: destinations, and TCP ports that may be bound (sorted and disjoint; bind_any covers
     * every port). What the two pairs of lists leave possible is told by policy/network.h. */
    struct net_rules net_allow, net_deny;
    bool reaches[NET_PROTOCOL_COUNT]; /* some destination is allowed and not denied */
    bool bind_any;
    struct port_range *bind_ports;
    size_t bind_port_count;
    struct port_range *deny_bind_ports;
    size_t deny_bind_port_count;
    bool port_remap;

    /* System calls: numbers of the running architecture, beyond the built-in deny list. */
    struct strv extra_deny;  /* names as given, for rendering */
    struct strv extra_allow; /* group names */
    int *denied_numbers;     /* groups expanded, sorted, unique */
    size_t denied_count;
    bool sysv_ipc_allowed;

    /* Process. */
    char *cwd; /* NULL: the host's */
    struct strv env;
    bool clean_env;
    bool has_user;
    uint32_t uid, gid;
    bool no_coredump;
    bool no_huge_pages;
    bool no_randomize_memory;
    uint32_t max_open_files; /* 0: inherit */
    uint32_t max_processes;  /* 0: no limit */
    uint32_t *cpu_cores;     /* NULL: no pinning */
    size_t cpu_core_count;
    enum gpu_mode gpu;
    uint32_t *gpu_devices;
    size_t gpu_device_count;

    enum protection_request protections[PROTECTION_COUNT];
    bool no_supervisor;
    unsigned without;     /* enum switchable_feature bits; what is really off */
    unsigned with;        /* switched on by name, for rendering */
    bool explain;         /* trap and record what the kernel refuses by itself */
    struct strv required; /* posture entries that must be active (--require) */

    struct policy_place *places; /* of paths; NULL without a profile */
    size_t place_count;
    char *profile; /* the file that they are in, or NULL */

    bool given[OPTION_COUNT]; /* what the builder of the policy said, for confine() and writers */
};

/* Validates and normalises the policy part of a record (SCOPE_POLICY rows; others are ignored).
 * On success *policy has one reference. `record` is left untouched. */
bool policy_build(const struct record *record, struct policy **policy, struct error *err);

struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* NULL is accepted */

/* The rule list of --no-supervisor: false and an error naming every refused option or key
 * of the record. `source` names the profile for messages, or NULL. */
bool policy_check_unsupervised(const struct record *record, const char *source, struct error *err);

/* The rule of confine(): false and an error naming every field it does not accept. */
bool policy_check_confine(const struct policy *policy, struct error *err);

/* True if members get a user namespace of their own, where they are the policy's user: not for the user that
 * this process runs as, which needs none. Of the process that launches. */
bool policy_maps_user(const struct policy *policy);

/* "FILE:LINE:COLUMN: [section].key" of a path of the policy, its `index`-th of the option, into `text`. False,
 * and nothing written: it is from no profile. */
bool policy_place(const struct policy *policy, enum option_id id, size_t index, char *text,
                  size_t size);

/* Calls that the launch itself makes between installing the filter and exec. A policy that denies
 * one of them would wedge or kill the launch without a hint and is refused by name.
 * NULL-terminated. */
extern const char *const policy_launch_syscalls[];

/* Names of the bits of enum switchable_feature; NULL if `bit` is not exactly one of them. */
const char *policy_feature_name(unsigned bit);

/* The effective policy as a record of normalised values, so that it can be written, overlaid or
 * built again. `record` must be empty. False when out of memory. */
bool policy_to_record(const struct policy *policy, struct record *record);

/* The effective policy as a profile or as JSON of the same schema. False
 * when out of memory. */
bool policy_to_toml(const struct policy *policy, struct buffer *out);
bool policy_to_json(const struct policy *policy, struct buffer *out);

#endif
