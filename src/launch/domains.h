/*
 * The three Landlock domains of a run, built from one list of opened grants: C for the members, S for
 * the supervisor (everything C grants plus what the run needs), G for the guardian (scopes only).
 * Every path is opened once, before any member exists, so later renames do not widen a grant. Only what
 * a grant means in the command's own entry of procfs exists later, with the child.
 */
#ifndef SANDLOCK_LAUNCH_DOMAINS_H
#define SANDLOCK_LAUNCH_DOMAINS_H

#include "bare/child.h"
#include "kernel/landlock.h"
#include "launch/claim.h"
#include "launch/granted.h"
#include "policy/policy.h"
#include "supervisor/grants.h"
#include "supervisor/posture.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdbool.h>

struct domains {
    struct landlock_masks masks;
    int members; /* ruleset descriptors, -1 if there is none */
    int supervisor;
    int guardian;
    struct grants grants; /* pinned until grants_resolve(), for verdicts */
    bool writes_proc;     /* S lets the supervisor write below /proc */
    struct strv optional; /* write grants that could have been missing, and were not */
    /* Where no view shows each process its own entry of procfs: rules for the child's, which it adds to the
     * members' ruleset itself. Owned, with the paths. */
    struct bare_own_rule *own_rules;
    size_t own_rule_count;
    bool own_entry_written;  /* a write grant names the own entry or something in it */
    bool own_entry_with_net; /* one without a view shows the network, which is the host's */
    bool truncates_early;    /* a grant lies on a file system that does (member/object.h) */
    bool shows_kernel;       /* without a view a grant shows more of procfs or sysfs than that */
};

#define DOMAINS_INIT ((struct domains){.members = -1, .supervisor = -1, .guardian = -1})

struct domains_options {
    const struct policy *policy;
    /* Borrowed; with `verdicts` its descriptors are taken. NULL: opened here, one at a time. */
    struct granted_list *granted;
    const struct claim *claim;   /* runtime directory rights for S; NULL or inactive: none */
    const struct shadow *shadow; /* what the members' rules leave out; NULL: nothing */
    int proc_fd;                 /* on /proc, for S */
    bool confined;               /* build S */
    bool verdicts;               /* keep the granted objects for the supervisor's verdicts */
    bool proc_writes;            /* the child's steps write below /proc inside S */
    bool job_control;            /* S signals its own group, which others are in too */
    bool confine_only;           /* file rules and scopes only, no network bits (confine()) */
};

/* Errors: Landlock or a strict protection is missing, a ruleset cannot be made, those of granted_each(). Warnings
 * (a missing GPU node) go to the posture as exceptions. */
bool domains_build(struct domains *domains, const struct domains_options *options,
                   struct posture *posture, struct error *err);
void domains_close_rulesets(struct domains *domains); /* keeps the grants */
void domains_free(struct domains *domains);

#endif
