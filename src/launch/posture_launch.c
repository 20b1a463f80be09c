/* The posture of a launch: what was prepared for this run, and what this build or policy leaves open. */
#include "launch/grant_open.h"
#include "launch/internal.h"

#include "kernel/probe.h"
#include "kernel/task_memory.h"
#include "launch/registry.h"
#include "net/network.h"
#include "net/shadow.h"
#include "policy/network.h"
#include "util/buffer.h"
#include "util/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Gates that users of this kind of sandbox expect and this build does not have. */
struct absent_gate {
    const char *name;
    const char *why;
    const char *exception;
};

static const struct absent_gate absent_gates[] = {
    {"hostname-view", "not part of this build; the host's name is visible", NULL},
};

static const char *plain_by(enum protection protection)
{
    (void)protection;
    return "landlock";
}

static void describe_protections(struct launch *launch)
{
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        const char *name = protection_name((enum protection)i);
        switch (launch->domains.masks.status[i]) {
        case STATUS_ACTIVE:
            posture_set(&launch->posture, name, POSTURE_ACTIVE, plain_by((enum protection)i), NULL);
            break;
        case STATUS_DEGRADED:
            posture_set(&launch->posture, name, POSTURE_DEGRADED, NULL,
                        "the kernel lacks it and the policy allows that");
            break;
        case STATUS_DISABLED:
            posture_set(&launch->posture, name, POSTURE_DISABLED, NULL, "disabled by the policy");
            break;
        case STATUS_UNAVAILABLE:
            posture_set(&launch->posture, name, POSTURE_OFF, NULL, "the kernel lacks it");
            break;
        }
    }
    if (launch->domains.masks.status[PROTECTION_SIGNAL_SCOPE] != STATUS_ACTIVE)
        posture_exception(
            &launch->posture,
            "members can signal other processes of the user: also sandlock's own, and "
            "who ends those outlives the run");
}

static void describe_limits(struct launch *launch)
{
    const struct policy *policy = launch->policy;
    struct posture *posture = &launch->posture;

    posture_set(posture, "open-files", policy->max_open_files > 0 ? POSTURE_ACTIVE : POSTURE_OFF,
                policy->max_open_files > 0 ? "rlimit" : NULL,
                policy->max_open_files > 0 ? NULL : "no limit asked for");
    posture_set(posture, "coredump", policy->no_coredump ? POSTURE_ACTIVE : POSTURE_OFF,
                policy->no_coredump ? "rlimit" : NULL,
                policy->no_coredump ? NULL : "core dumps as inherited");
    if (policy->max_open_files > 0 && geteuid() == 0)
        posture_exception(posture, "root may raise its open file limit again");
}

static void describe_switched_off(struct launch *launch)
{
    if ((launch->policy->without & FEATURE_METADATA_GATE) != 0)
        posture_exception(
            &launch->posture,
            "--without metadata-gate: modes, owners, times and extended attributes of "
            "files outside the grants can be changed");
    if ((launch->policy->without & FEATURE_PROCESS_GATE) != 0)
        posture_exception(&launch->posture,
                          "--without process-gate: members can join process groups of the session, "
                          "and take and change its terminal");
}

/* The feature says so itself where it judges. */
static void describe_unix_gate(struct launch *launch)
{
    struct posture *posture = &launch->posture;
    const struct policy *policy = launch->policy;

    if (posture_find(posture, "unix-gate") != NULL)
        return;
    if (network_shape_of(policy).unix_gate_by_kernel) {
        posture_set(posture, "unix-gate", POSTURE_ACTIVE, "landlock", NULL);
        return;
    }
    if (policy->no_supervisor)
        posture_set(posture, "unix-gate", POSTURE_OFF, NULL, "no supervisor");
    else if ((policy->without & FEATURE_UNIX_GATE) != 0)
        posture_set(posture, "unix-gate", POSTURE_DISABLED, NULL, "--without");
    else
        posture_set(posture, "unix-gate", POSTURE_OFF, NULL, "no path is granted");
    posture_exception(posture, "named unix sockets outside the grants can be connected to, if "
                               "file modes allow it");
}

static void describe_supervision(struct launch *launch)
{
    struct posture *posture = &launch->posture;
    const char *why = NULL;

    posture_set(posture, "deny-list", POSTURE_ACTIVE, "filter", NULL);
    posture_set(posture, "argument-rules", POSTURE_ACTIVE, "filter", NULL);
    posture_set(posture, "guardian", POSTURE_ACTIVE, "guardian", NULL);
    if (launch->policy->no_supervisor) {
        posture_set(posture, "supervisor", POSTURE_DISABLED, NULL, "--no-supervisor");
        posture_exception(posture, "without a supervisor modes, owners, times and extended "
                                   "attributes of files outside the grants can be changed");
        posture_exception(posture, "without a supervisor members can make namespaces, and read and "
                                   "change the keys of the user");
        if (geteuid() == 0 && !launch->map_user)
            posture_exception(posture, "without a supervisor the command of root can change the "
                                       "host's name, process accounting and quotas");
        why = "no supervisor";
        for (size_t i = 0; feature_registry[i] != NULL; i++)
            posture_set(posture, feature_registry[i]->name, POSTURE_OFF, NULL, why);
    } else {
        supervisor_describe(launch->supervisor, posture);
        describe_switched_off(launch);
        posture_set(posture, "supervisor", launch->supervised ? POSTURE_ACTIVE : POSTURE_OFF,
                    launch->supervised ? "supervisor" : NULL,
                    launch->supervised ? NULL : "nothing to supervise");
        if (!launch->supervised)
            why = "nothing to supervise";
        else if ((launch->policy->without & FEATURE_SUPERVISOR_CONFINEMENT) != 0)
            why = "switched off by --without supervisor-confinement";
        else if (!launch->confine)
            why = "the calling thread supervises and must not be confined for good";
    }
    describe_unix_gate(launch);
    posture_set(posture, "supervisor-landlock", why == NULL ? POSTURE_ACTIVE : POSTURE_OFF,
                why == NULL ? "landlock" : NULL, why);
    posture_set(posture, "supervisor-filter", why == NULL ? POSTURE_ACTIVE : POSTURE_OFF,
                why == NULL ? "filter" : NULL, why);
    if (why != NULL && launch->supervised)
        posture_exception(posture, "the supervisor itself is not confined: %s", why);
    if (launch->supervised && launch->no_threads)
        posture_exception(
            posture, "no thread can be created here: the supervisor performs calls one after the "
                     "other and refuses those that may wait for others (EAGAIN: connections, "
                     "messages, terminal changes), and nothing ends the run if it is stuck");
    if (launch->supervised && launch->confine && launch_writes_proc(launch) && geteuid() == 0)
        posture_exception(posture, "the supervisor may write below /proc, as root also /proc/sys");
}

/* What the proc view does not hide, or what its absence shows. */
static void describe_kernel_files(struct launch *launch)
{
    bool shown = launch->network != NULL ? launch->network->shadow.shows_kernel
                                         : shadow_grants_show_kernel(launch->policy);

    if (!shown)
        return;
    if (launch->policy->no_supervisor || (launch->policy->without & FEATURE_PROC_VIEW) != 0)
        posture_exception(
            &launch->posture,
            "%s the grant on /proc or /sys shows other processes of the user and the host's "
            "network (/proc/net, /sys/class/net)",
            launch->policy->no_supervisor ? "without a supervisor" : "--without proc-view:");
    else
        posture_exception(&launch->posture,
                          "the grant on /proc shows other processes by number, one on /sys "
                          "interfaces by name, to stat");
}

/* What write grants give besides the content of files. */
static void describe_write_grants(struct launch *launch)
{
    const struct policy *policy = launch->policy;
    CLEANUP_FD int start_fd =
        policy->cwd == NULL ? -1 : open(policy->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct grant_opener opener = {.policy = policy, .start_fd = start_fd < 0 ? AT_FDCWD : start_fd};

    if (grant_reaches_for_writing(&opener, "/dev/shm"))
        posture_exception(&launch->posture,
                          "a write grant covers /dev/shm: members can list and remove the runtime "
                          "files of the user's sandboxes, whose names then are not protected");
    if ((policy->no_supervisor || (policy->without & FEATURE_PROC_VIEW) != 0) &&
        grant_reaches_for_writing(&opener, "/sys/fs/cgroup"))
        posture_exception(&launch->posture,
                          "a write grant covers /sys/fs/cgroup: where file modes allow it, control "
                          "groups end and stop processes outside");
    grant_opener_free(&opener);
}

static void describe_exceptions(struct launch *launch)
{
    const struct strv *lists[] = {&launch->policy->fs_write, &launch->policy->fs_write_try};

    for (size_t list = 0; list < 2; list++) {
        for (size_t i = 0; i < lists[list]->count; i++)
            posture_exception(&launch->posture, "what lies below %s can be written and executed",
                              lists[list]->items[i]);
    }
    if (geteuid() == 0 && !launch->map_user)
        posture_exception(&launch->posture, "the command keeps root's capabilities%s",
                          launch->child_plan.keep_user ? " but CAP_SETUID" : "");
    if (launch->child_plan.keep_user)
        posture_exception(&launch->posture,
                          "no member can change its user: sandlock may not signal other users "
                          "(CAP_KILL) and could not end it");
    for (size_t i = 0; i < sizeof(absent_gates) / sizeof(absent_gates[0]); i++) {
        const struct absent_gate *gate = &absent_gates[i];
        posture_set(&launch->posture, gate->name, POSTURE_ABSENT, NULL, gate->why);
        if (gate->exception != NULL)
            posture_exception(&launch->posture, "%s", gate->exception);
    }
    describe_write_grants(launch);
    describe_kernel_files(launch);
}

void posture_describe_launch(struct launch *launch)
{
    describe_protections(launch);
    describe_limits(launch);
    describe_supervision(launch);
    posture_describe_network(launch);
    describe_exceptions(launch);
    posture_method(&launch->posture, "listener", launch->supervised ? "shared-table" : "none");
    posture_method(&launch->posture, "child-descriptors",
                   !launch->supervised ? "none"
                   : launch->traced    ? probe_fetch_name(PROBE_FETCH_TRACER)
                   : probe_fetch_method() == PROBE_FETCH_PIDFD
                       ? probe_fetch_name(PROBE_FETCH_PIDFD)
                       : probe_fetch_name(PROBE_FETCH_NONE));
    posture_method(&launch->posture, "child-memory",
                   task_memory_read_method() == TASK_MEMORY_CALL ? "process_vm_readv"
                                                                 : "/proc/PID/mem");
}
