/*
 * The parts of the file tree that a sandbox sees differently from the host: /etc/hosts, and the kernel's
 * own file systems (/proc, /sys), where other processes and the host's network show. Where a view is on,
 * the members' ruleset has no rule that reaches such a place, so nothing a member does after a look
 * (swapped paths, links, descriptors) opens the host's; the supervisor opens what is to be seen.
 *
 * The launch asks here which grants need care, the features of network_files.c judge by the same answer.
 */
#ifndef SANDLOCK_NET_SHADOW_H
#define SANDLOCK_NET_SHADOW_H

#include "member/object.h"
#include "policy/policy.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* What a grant names. */
struct granted {
    const char *path; /* as the policy spells it, borrowed; NULL: an entry of a split directory */
    int fd;           /* O_PATH, owned by whoever made the list; -1: there is none */
    bool write;
    bool optional;        /* it may be missing */
    bool truncates_early; /* object_truncates_early() */
    struct object_identity object;
};

struct shadow_place {
    uint64_t device, inode;
};

/* Directories from the root to the hosts file; deeper ones are not shadowed by rules. */
#define SHADOW_WAY_MAX 16

/* The tree of version 2, or the hierarchies of version 1 and the directory that holds them. */
#define SHADOW_CGROUPS_MAX 32

struct shadow {
    bool hosts;  /* /etc/hosts is the sandbox's own */
    bool kernel; /* procfs and sysfs are opened by the supervisor alone */
    /* A write grant reaches the hosts file (then the members' ruleset does, too), or procfs or sysfs.
     * Where none does, opens for writing need no look. */
    bool writes_reach_hosts, writes_reach_kernel;
    bool shows_kernel; /* a grant shows something of procfs or sysfs, with or without a view */
    bool names_net;    /* a grant names /proc as a whole, or something of /proc/net */
    char hosts_path[PATH_MAX]; /* where /etc/hosts really lies; "" where there is none */
    struct shadow_place hosts_file;
    struct shadow_place way[SHADOW_WAY_MAX]; /* the root first */
    unsigned way_count;
    struct shadow_place root;
    uint64_t proc_device, sys_device; /* 0: not mounted */
    uint64_t proc_root, sys_root;     /* inodes of /proc and /sys */
    struct shadow_place sys_fs;       /* where the trees of control groups are mounted */
    uint64_t cgroup_devices[SHADOW_CGROUPS_MAX];
    unsigned cgroup_count;
    bool cgroups_known; /* somebody has looked */
};

/* What a policy shadows on this host, now: looked for once, so that filter, rulesets and features go by the
 * same answer. Without a supervisor nothing. `granted` is what its grants name; NULL: as their paths say. */
void shadow_init(struct shadow *shadow, const struct policy *policy, const struct granted *granted,
                 size_t count);

/* Where no view is on: what only the following needs, and whether a grant shows something of procfs or sysfs. */
void shadow_find_kernel(struct shadow *shadow);
bool shadow_shows_kernel(const struct shadow *shadow, const struct granted *granted);

/* True if something else that is mounted at `path`, below /proc or /sys, has no rule in the members' ruleset
 * although the grant of `granted`, which lies on `device`, covers the name. */
bool shadow_hides_mount(const struct shadow *shadow, const char *path, const char *granted,
                        uint64_t device);

enum shadow_kind {
    SHADOW_NONE,   /* an ordinary object: a rule as it is granted */
    SHADOW_HIDDEN, /* no rule at all */
    SHADOW_SPLIT,  /* a directory on the way to something hidden: rules for its entries */
    SHADOW_SYSFS,  /* the root of sysfs: rules for the entries that shadow_sysfs_entry() names */
    SHADOW_SYS_FS, /* /sys/fs: rules for its entries but the control groups, none for itself */
};

/* How a grant of this object, or of a directory above it, is to be turned into rules. A write grant
 * reaches /etc/hosts all the same: files that are made later in its directory have to be usable. */
enum shadow_kind shadow_kind_of(const struct shadow *shadow, const struct granted *granted);

/* Entries of /sys that hold nothing of the network ("fs" with care); NULL after the last. */
const char *shadow_sysfs_entry(unsigned index);

/* True if READ_DIR on this split directory would reach a hidden directory. */
bool shadow_hides_listing(const struct shadow *shadow, const struct object_identity *object);

/* True for a file system of control groups, whose files tell of processes elsewhere, end them and stop them.
 * Grants above it make no rule there; one of its own does. */
bool shadow_is_cgroup(const struct shadow *shadow, uint64_t device);

bool shadow_is_hosts(const struct shadow *shadow, const struct object_identity *object);

/* True if a canonical path names the hosts file, or (`beside`) an entry of a directory on the way. */
bool shadow_names_hosts(const struct shadow *shadow, const char *path);
bool shadow_lies_beside(const struct shadow *shadow, const char *path);

/* False: an object of this device lies in none of the directories on the way. */
bool shadow_has_device(const struct shadow *shadow, uint64_t device);

#endif
