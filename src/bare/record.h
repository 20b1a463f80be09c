/*
 * The record that host, guardian and child share while a sandbox lives: one page of shared anonymous
 * memory, made before the clone. State changes and failures travel through it, woken by a futex, so
 * that a launch needs no hand-over, release or status pipe. A member loses the mapping at exec.
 */
#ifndef SANDLOCK_BARE_RECORD_H
#define SANDLOCK_BARE_RECORD_H

#include "kernel/fetch.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>

/* How far the child is; a futex word that only grows. */
enum launch_state {
    LAUNCH_NEW = 0,
    LAUNCH_READY,  /* confined, its table private; `listener` is valid in the host's table */
    LAUNCH_FAILED, /* `failed_step` says where; the process has ended or is about to */
};

/* The release word. */
enum launch_release { RELEASE_WAIT = 0, RELEASE_GO = 1 };

/* What the guardian tells the child: nothing execs before it watches the host and is confined. */
enum launch_guarded { GUARDED_NOT_YET = 0, GUARDED_YES, GUARDED_NEVER };

/* Steps of guardian and child, for messages: see launch_step_name(). In test builds one of them can be
 * made to fail before it does anything: the host names it in the record before the clone. */
enum launch_step {
    STEP_NONE = 0,
    STEP_GUARDIAN_GROUP,
    STEP_GUARDIAN_DOMAIN,
    STEP_GUARDIAN_CALLS,
    STEP_GUARDIAN_CLONE,
    STEP_GUARDIAN_WATCH,
    STEP_GUARDIAN_FILTER,
    STEP_GROUP,
    STEP_FOREGROUND,
    STEP_PARENT_DEATH,
    STEP_PERSONALITY,
    STEP_AFFINITY,
    STEP_HUGE_PAGES,
    STEP_CORE_LIMIT,
    STEP_CORE_FILTER,
    STEP_USER_NAMESPACE,
    STEP_UID_MAP,
    STEP_SETGROUPS,
    STEP_GID_MAP,
    STEP_CWD,
    STEP_OWN_ENTRY,
    STEP_NO_NEW_PRIVS,
    STEP_KEEP_USER,
    STEP_LANDLOCK,
    STEP_SECCOMP,
    STEP_DESCRIPTORS,
    STEP_OPEN_FILES,
    STEP_SIGNALS,
    STEP_EXEC,
    STEP_COUNT
};

#if defined(SANDLOCK_FAULT_INJECTION)
#define LAUNCH_TRY(record, step, call) ((record)->fault == (step) ? -EIO : (call))

/* Further values of `fault`: not a failing step, but a process that misbehaves. */
enum launch_fault {
    FAULT_SLOW_EXEC = STEP_COUNT, /* the child waits a second before it execs */
    FAULT_SLOW_CHILD,             /* so it does before it asks for its death signal */
    FAULT_GUARDIAN_VIOLATION,     /* once the child may run, and a little later, ... */
    FAULT_GUARDIAN_CRASH,
    FAULT_GUARDIAN_CRASH_EARLY, /* before it clones the child */
};
#else
#define LAUNCH_TRY(record, step, call) (call)
#endif

/* Bits of `commands`: the host sets them, then wakes the guardian (GUARDIAN_COMMAND_SIGNAL). */
enum guardian_command {
    COMMAND_KILL = 1 << 0,      /* SIGKILL to every member */
    COMMAND_TERMINATE = 1 << 1, /* SIGTERM to every member, then SIGCONT */
    COMMAND_FINISH = 1 << 2,    /* end as soon as the child is gone, killing what is left */
    COMMAND_PAUSE = 1 << 3,     /* of these two the later one counts: it withdraws the other */
    COMMAND_RESUME = 1 << 4,
    COMMAND_ORPHAN = 1 << 5, /* nobody would let the command's group go on if it stopped */
};

struct launch_record {
    _Atomic uint32_t state;   /* enum launch_state, futex */
    _Atomic uint32_t release; /* enum launch_release, futex */
#if defined(SANDLOCK_FAULT_INJECTION)
    uint32_t fault; /* enum launch_step or enum launch_fault; 0: none */
#endif

    /* Written by the child before LAUNCH_READY. */
    int32_t listener; /* -1: none */

    /* Written by the guardian. */
    int32_t guardian;
    int32_t child;
    _Atomic uint32_t guarded; /* enum launch_guarded, futex */

    /* First failure; valid when failed_step is not STEP_NONE. */
    _Atomic uint32_t failed_step;
    int32_t failed_errno;
    uint32_t failed_own_rule; /* of STEP_OWN_ENTRY: which */

    /* Host to guardian. */
    _Atomic uint32_t commands;
    _Atomic uint64_t group_signals; /* bit s-1: send s to the child's process group */
    _Atomic uint32_t ordered;       /* number of commands given so far */
    _Atomic uint32_t acknowledged;  /* ... of which so many have been done, futex */

    /* Guardian to host. */
    _Atomic uint32_t news;   /* futex: changes when it has finished, and when the host's threads
                              tell each other something */
    _Atomic uint32_t ending; /* it does nothing but kill what is left, and end */
    _Atomic uint32_t ended;  /* so many members have been seen to end */
    _Atomic uint32_t child_exited; /* status and usage are valid */
    _Atomic uint32_t deserted;     /* at the last pause or resume no member was left */
    _Atomic uint32_t name_is_free; /* the runtime directory has been removed, by either */
    int32_t wait_status;
    struct rusage usage;       /* of the child and what it waited for */
    _Atomic uint32_t finished; /* the guardian ended in order: no member is left */
    _Atomic uint32_t
        went_on; /* ... and killed the members of a stopped job, who did not stay stopped */
    _Atomic uint32_t cpu_spent;   /* ... and killed the child as it may use no more CPU time */
    _Atomic uint32_t stop_signal; /* signal that stopped the child, 0 while it runs */

    struct fetch_mailbox fetch; /* with a guardian that traces */
};

static inline const char *launch_step_name(uint32_t step)
{
    static const char *const names[STEP_COUNT] = {
        [STEP_NONE] = "launch",
        [STEP_GUARDIAN_GROUP] = "guardian process group",
        [STEP_GUARDIAN_DOMAIN] = "guardian landlock domain",
        [STEP_GUARDIAN_CALLS] = "guardian kill and wait calls",
        [STEP_GUARDIAN_CLONE] = "clone",
        [STEP_GUARDIAN_WATCH] = "guardian death watch",
        [STEP_GUARDIAN_FILTER] = "guardian seccomp filter",
        [STEP_GROUP] = "process group",
        [STEP_FOREGROUND] = "terminal foreground",
        [STEP_PARENT_DEATH] = "parent death signal",
        [STEP_PERSONALITY] = "personality (no address space randomisation)",
        [STEP_AFFINITY] = "cpu affinity",
        [STEP_HUGE_PAGES] = "transparent huge pages",
        [STEP_CORE_LIMIT] = "core limit",
        [STEP_CORE_FILTER] = "core dump filter",
        [STEP_USER_NAMESPACE] = "user namespace",
        [STEP_UID_MAP] = "uid_map",
        [STEP_SETGROUPS] = "setgroups",
        [STEP_GID_MAP] = "gid_map",
        [STEP_CWD] = "working directory",
        [STEP_OWN_ENTRY] = "landlock rule for the command's own",
        [STEP_NO_NEW_PRIVS] = "no_new_privs",
        [STEP_KEEP_USER] = "capability to change users",
        [STEP_LANDLOCK] = "landlock",
        [STEP_SECCOMP] = "seccomp filter",
        [STEP_DESCRIPTORS] = "descriptors",
        [STEP_OPEN_FILES] = "open file limit",
        [STEP_SIGNALS] = "signals",
        [STEP_EXEC] = "exec",
    };
    return step < STEP_COUNT ? names[step] : "unknown step";
}

#endif
