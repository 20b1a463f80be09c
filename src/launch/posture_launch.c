/* The posture of a launch: what was prepared for this run, and what this build or policy leaves open. */
#include "launch/grant_open.h"
#include "launch/internal.h"

#include "kernel/probe.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "launch/registry.h"
#include "net/network.h"
#include "net/shadow.h"
#include "policy/network.h"
#include "util/buffer.h"
#include "util/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Gates that users of this kind of sandbox expect and this build does not have. */
struct absent_gate {
    const char *name;
    const char *why;
    const char *exception;
};

static const struct absent_gate absent_gates[] = {
    {"hostname-view", "not part of this build",
     "the host's name is visible (uname, and its files where a grant covers them)"},
};

/* What members can do without a protection; NULL: less than with it, or the network's part says so. */
static const char *const unprotected[PROTECTION_COUNT] = {
    [PROTECTION_FS_TRUNCATE] =
        "truncate() shortens and empties every file that file modes let the user write, outside "
        "the grants too",
    [PROTECTION_FS_IOCTL_DEV] =
        "requests to devices (ioctl) are not restricted, neither on devices under a read grant nor "
        "on those outside the grants that can be opened without reading and writing them",
    [PROTECTION_SIGNAL_SCOPE] =
        "members can signal other processes of the user: also sandlock's own, and "
        "who ends those outlives the run",
};

static void describe_protections(struct launch *launch)
{
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        const char *name = protection_name((enum protection)i);
        switch (launch->domains.masks.status[i]) {
        case STATUS_ACTIVE:
            posture_set(&launch->posture, name, POSTURE_ACTIVE, "landlock", NULL);
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
        if (launch->domains.masks.status[i] != STATUS_ACTIVE && unprotected[i] != NULL)
            posture_exception(&launch->posture, "%s", unprotected[i]);
    }
}

static void describe_limit(struct posture *posture, const char *name, bool on, const char *by,
                           const char *off)
{
    posture_set(posture, name, on ? POSTURE_ACTIVE : POSTURE_OFF, by, on ? NULL : off);
}

/* After the features: the pinning of processors is kept up by one of them, or by the filter. */
static void describe_limits(struct launch *launch)
{
    const struct policy *policy = launch->policy;
    struct posture *posture = &launch->posture;

    describe_limit(posture, "open-files", policy->max_open_files > 0, "rlimit",
                   "no limit asked for");
    describe_limit(posture, "coredump", policy->no_coredump, "rlimit", "core dumps as inherited");
    describe_limit(posture, "no-huge-pages", policy->no_huge_pages, "filter", "as inherited");
    describe_limit(posture, "no-randomize-memory", policy->no_randomize_memory, NULL,
                   "addresses are randomized");
    if (policy->cpu_core_count == 0)
        posture_set(posture, "cpu-affinity", POSTURE_OFF, NULL, "no processors asked for");
    else if (policy->no_supervisor)
        posture_set(posture, "cpu-affinity", POSTURE_ACTIVE, "filter",
                    "members cannot choose among the processors either");
    if (policy->no_randomize_memory)
        posture_exception(posture, "addresses of members' memory can be foretold");
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
    if ((launch->policy->without & FEATURE_HOSTS_VIEW) != 0 &&
        network_shape_of(launch->policy).destination_policy)
        posture_exception(
            &launch->posture,
            "--without hosts-view: where a grant covers it, /etc/hosts is the host's");
}

/* What refuses everything for lack of descriptors, in one sentence; and what stands in for the usual ways. */
static void describe_methods(struct launch *launch)
{
    struct posture *posture = &launch->posture;
    bool unfetched = launch->supervised && supervisor_cannot_fetch(launch->supervisor);
    CLEANUP_BUFFER struct buffer lost = BUFFER_INIT;

    for (size_t i = 0; unfetched && i < posture->count; i++)
        if (posture->entries[i].state == POSTURE_DEGRADED && posture->entries[i].why != NULL &&
            strcmp(posture->entries[i].why, SUPERVISOR_UNFETCHED) == 0)
            buffer_printf(&lost, "%s%s", lost.length > 0 ? ", " : "", posture->entries[i].name);
    if (lost.length > 0)
        posture_exception(posture,
                          SUPERVISOR_UNFETCHED ", so calls on these are refused (EPERM): %s",
                          buffer_text(&lost));
    if (launch->traced)
        posture_exception(posture, "descriptors of members are fetched by tracing, since "
                                   "pidfd_getfd is refused: the process stops meanwhile, and calls "
                                   "of its threads that wait may end with EINTR");
    posture_method(posture, "listener", launch->supervised ? "shared-table" : "none");
    posture_method(posture, "child-descriptors",
                   !launch->supervised ? "none"
                   : launch->traced    ? probe_fetch_name(PROBE_FETCH_TRACER)
                   : unfetched         ? probe_fetch_name(PROBE_FETCH_NONE)
                                       : probe_fetch_name(PROBE_FETCH_PIDFD));
    posture_method(posture, "child-memory",
                   task_memory_read_method() == TASK_MEMORY_CALL ? "process_vm_readv"
                                                                 : "/proc/PID/mem");
}

/* A group of calls that the policy has given back to members. */
static void describe_allowed_calls(struct launch *launch)
{
    if (launch->policy->sysv_ipc_allowed)
        posture_exception(&launch->posture,
                          "--extra-allow-syscall sysv_ipc: shared memory, semaphores and message "
                          "queues of every process of the user can be read and changed");
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
    bool switched_off =
        launch->supervised && (launch->policy->without & FEATURE_SUPERVISOR_CONFINEMENT) != 0;
    enum posture_state unconfined = switched_off ? POSTURE_DISABLED : POSTURE_OFF;
    posture_set(posture, "supervisor-landlock", why == NULL ? POSTURE_ACTIVE : unconfined,
                why == NULL ? "landlock" : NULL, why);
    posture_set(posture, "supervisor-filter", why == NULL ? POSTURE_ACTIVE : unconfined,
                why == NULL ? "filter" : NULL, why);
    if (why != NULL && launch->supervised)
        posture_exception(posture, "the supervisor itself is not confined: %s", why);
    if (launch->supervised && launch->no_threads)
        posture_exception(
            posture, "no thread can be created here: the supervisor performs calls one after the "
                     "other and refuses those that may wait for others (EAGAIN: connections, "
                     "messages, terminal changes), and nothing ends the run if it is stuck");
    if (launch->supervised && launch->confine && launch->domains.writes_proc && geteuid() == 0)
        posture_exception(posture, "the supervisor may write below /proc, as root also /proc/sys");
}

static bool is_on(const struct stat *status, const char *place)
{
    struct stat top;

    return stat(place, &top) == 0 && status->st_dev == top.st_dev;
}

static bool is_root(const struct stat *status)
{
    struct stat root;

    return stat("/", &root) == 0 && status->st_dev == root.st_dev && status->st_ino == root.st_ino;
}

/* What a grant names now, as the launch would open it, which may be long ago. False: nothing. */
static bool look_at_grant(const struct launch *launch, const char *path, struct stat *status)
{
    const char *start = launch->policy->cwd;
    CLEANUP_FD int start_fd = start == NULL ? -1 : open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fstatat(start_fd < 0 ? AT_FDCWD : start_fd, path, status, 0) == 0;
}

/* Not where the caller's directory, which may have changed, decides what a path names. */
static bool is_settled(const struct policy *policy, const char *path)
{
    return path[0] == '/' || (policy->cwd != NULL && policy->cwd[0] == '/');
}

static void describe_shown_names(struct launch *launch)
{
    const struct policy *policy = launch->policy;
    const struct strv *lists[] = {&policy->fs_read, &policy->fs_read_try, &policy->fs_write,
                                  &policy->fs_write_try};
    bool proc = false, sys = false;
    struct stat status;

    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        for (size_t i = 0; i < lists[list]->count; i++) {
            if (!look_at_grant(launch, lists[list]->items[i], &status))
                continue;
            bool everything = is_root(&status);
            proc |= everything || is_on(&status, "/proc");
            sys |= everything || is_on(&status, "/sys");
        }
    }
    if (!proc && !sys) /* whichever it was, it has gone since */
        proc = sys = true;
    if (proc)
        posture_exception(&launch->posture,
                          "the grant on /proc shows other processes by number, to stat");
    if (sys)
        posture_exception(&launch->posture,
                          "the grant on /sys shows interfaces of the host by name, to stat");
}

static bool has_no_view(const struct policy *policy)
{
    return policy->no_supervisor || (policy->without & FEATURE_PROC_VIEW) != 0;
}

static const char *why_no_view(const struct policy *policy)
{
    return policy->no_supervisor ? "without a supervisor" : "--without proc-view:";
}

static void describe_own_entry(struct launch *launch)
{
    struct posture *posture = &launch->posture;
    const char *why = why_no_view(launch->policy);

    posture_exception(posture, "%s the grant of /proc/self covers the first process only", why);
    if (launch->domains.own_entry_with_net)
        posture_exception(
            posture, "%s the grant of /proc/self shows the host's network (/proc/self/net)", why);
    if (launch->domains.own_entry_written)
        posture_exception(posture,
                          "%s the write grant of /proc/self lets the first process change the "
                          "scheduling group (autogroup) of the whole session",
                          why);
}

/* What the proc view does not hide, or what its absence shows. */
static void describe_kernel_files(struct launch *launch)
{
    if (!has_no_view(launch->policy)) {
        if (launch->network != NULL && launch->network->shadow.shows_kernel)
            describe_shown_names(launch);
        return;
    }
    if (launch->domains.shows_kernel)
        posture_exception(
            &launch->posture,
            "%s the grant on /proc or /sys shows other processes of the user and the host's "
            "network (/proc/net, /sys/class/net)",
            why_no_view(launch->policy));
    if (launch->domains.own_rule_count > 0)
        describe_own_entry(launch);
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
    if (has_no_view(policy) && grant_reaches_for_writing(&opener, "/sys/fs/cgroup"))
        posture_exception(&launch->posture,
                          "a write grant covers /sys/fs/cgroup: where file modes allow it, control "
                          "groups end and stop processes outside");
    grant_opener_free(&opener);
}

/* Of a process of another user nothing can be read without CAP_SYS_PTRACE (ptrace(2)), which containers take from
 * their root while it may still change its user. */
static bool cannot_look_at_other_users(const struct launch *launch)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return launch->supervised && !launch->map_user && !launch->child_plan.keep_user &&
           sys_call2(SYS_capget, (long)&header, (long)sets) == 0 &&
           (sets[0].permitted & CAP_TO_MASK(CAP_SETUID)) != 0 &&
           (sets[0].effective & CAP_TO_MASK(CAP_SYS_PTRACE)) == 0;
}

static void describe_terminals(struct launch *launch)
{
    const struct stream_terminals *streams = &launch->streams_on_terminals;

    if (streams->reads_foreign)
        posture_exception(&launch->posture,
                          "a stream is a terminal of another session: members read what is typed "
                          "there, whatever is in front");
    else if (streams->keeps_output)
        posture_exception(&launch->posture,
                          "an output is a terminal that cannot be opened for writing alone");
    if (launch->keeps_session && (launch->policy->without & FEATURE_PROCESS_GATE) != 0)
        posture_exception(&launch->posture,
                          "--without process-gate: in the background members can leave the session "
                          "of the terminal, and read what is typed to others");
}

static void describe_exceptions(struct launch *launch)
{
    const struct strv *lists[] = {&launch->policy->fs_write, &launch->policy->fs_write_try};
    struct stat status;

    for (size_t list = 0; list < 2; list++) {
        for (size_t i = 0; i < lists[list]->count; i++) {
            const char *path = lists[list]->items[i];
            if (list == 1 && !strv_contains(&launch->domains.optional, path))
                continue;
            /* What is no directory must be seen to be none: else rather too much is said. */
            bool looked = is_settled(launch->policy, path) && look_at_grant(launch, path, &status);
            if (!looked || S_ISDIR(status.st_mode))
                posture_exception(&launch->posture,
                                  "what lies below %s can be written and executed", path);
            else if (S_ISREG(status.st_mode))
                posture_exception(&launch->posture, "%s can be written and executed", path);
        }
    }
    describe_allowed_calls(launch);
    if (geteuid() == 0 && !launch->map_user)
        posture_exception(&launch->posture, "the command keeps root's capabilities%s",
                          launch->child_plan.keep_user ? " but CAP_SETUID" : "");
    if (launch->child_plan.keep_user)
        posture_exception(&launch->posture,
                          "no member can change its user: sandlock may not signal other users "
                          "(CAP_KILL) and could not end it");
    if (cannot_look_at_other_users(launch))
        posture_exception(&launch->posture,
                          "a member that becomes another user is refused what sandlock does for "
                          "members: it may not look at other users' processes (CAP_SYS_PTRACE)");
    for (size_t i = 0; i < sizeof(absent_gates) / sizeof(absent_gates[0]); i++) {
        const struct absent_gate *gate = &absent_gates[i];
        posture_set(&launch->posture, gate->name, POSTURE_ABSENT, NULL, gate->why);
        if (gate->exception != NULL)
            posture_exception(&launch->posture, "%s", gate->exception);
    }
    describe_terminals(launch);
    describe_write_grants(launch);
    describe_kernel_files(launch);
}

void posture_describe_launch(struct launch *launch)
{
    describe_protections(launch);
    describe_supervision(launch);
    describe_limits(launch);
    posture_describe_network(launch);
    describe_exceptions(launch);
    describe_methods(launch);
}
