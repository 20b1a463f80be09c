/* A member's ids, groups and capabilities, and the thread that acts for it: see identity.h. */
#include "member/identity.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lines needed stand in front of those that grow with the machine. */
#define STATUS_SIZE 8192

/* No id: setfsuid(2) and setfsgid(2) change nothing then. */
#define UNCHANGED UINT32_MAX

struct thread_rights {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

static int read_rights(struct thread_rights *rights)
{
    memset(rights, 0, sizeof(*rights));
    rights->header.version = _LINUX_CAPABILITY_VERSION_3;
    return (int)sys_call2(SYS_capget, (long)&rights->header, (long)rights->data);
}

bool identity_is_privileged(void)
{
    return sys_is_privileged();
}

/* ---- The member ----------------------------------------------------------------------------------- */

/* The first and the fourth number of a line: real, effective, saved, file system. */
static int parse_ids(const char *line, uint32_t *real, uint32_t *value)
{
    char *end = (char *)(uintptr_t)line;

    for (int i = 0; i < 4; i++) {
        const char *start = end;
        *value = (uint32_t)strtoul(start, &end, 10);
        if (end == start)
            return -EINVAL;
        if (i == 0)
            *real = *value;
    }
    return 0;
}

/* A number and a blank each, up to the end of the line. */
static int parse_groups(const char *line, struct member_identity *identity)
{
    size_t length = strcspn(line, "\n"), count = 0;
    const char *end = line + length;

    if (*end == '\0') /* cut off */
        return -EINVAL;
    for (const char *at = line; at < end; at++)
        count += *at != ' ' && (at == line || at[-1] == ' ');
    if (count == 0)
        return 0;
    identity->groups = malloc(count * sizeof(identity->groups[0]));
    if (identity->groups == NULL)
        return -ENOMEM;
    for (; identity->group_count < count; identity->group_count++) {
        char *next;
        identity->groups[identity->group_count] = (uint32_t)strtoul(line, &next, 10);
        if (next == line)
            return -EINVAL;
        line = next;
    }
    return 0;
}

static int parse(const char *status, bool mapped, struct member_identity *identity)
{
    const char *uid = procfs_status_field(status, "Uid");
    const char *gid = procfs_status_field(status, "Gid");
    const char *groups = procfs_status_field(status, "Groups");
    const char *effective = procfs_status_field(status, "CapEff");

    if (uid == NULL || gid == NULL || groups == NULL || effective == NULL ||
        parse_ids(uid, &identity->real_uid, &identity->uid) != 0 ||
        parse_ids(gid, &identity->real_gid, &identity->gid) != 0)
        return -EINVAL;
    identity->effective = mapped ? 0 : strtoull(effective, NULL, 16);
    identity->any_group = (identity->effective & (1ULL << CAP_SETGID)) != 0;
    return identity->any_group ? 0 : parse_groups(groups, identity);
}

int identity_parse(const char *status, bool mapped, struct member_identity *identity)
{
    *identity = (struct member_identity){0};
    int result = parse(status, mapped, identity);
    if (result < 0)
        identity_release(identity);
    return result;
}

int identity_read(int proc_fd, pid_t tid, bool mapped, struct member_identity *identity)
{
    char status[STATUS_SIZE];

    *identity = (struct member_identity){0};
    ssize_t length = procfs_read(proc_fd, tid, "status", status, sizeof(status));
    if (length < 0)
        return (int)length;
    int result = identity_parse(status, mapped, identity);
    if (result < 0)
        return result;
    identity->differs_in_ids = identity->uid != geteuid() || identity->gid != getegid();
    return 0;
}

void identity_release(struct member_identity *identity)
{
    free(identity->groups);
    identity->groups = NULL;
    identity->group_count = 0;
}

/* ---- The calling thread --------------------------------------------------------------------------- */

/* libc's functions for groups and ids change all threads of the process. These change the calling one. */
static uint32_t file_user(uint32_t uid)
{
    return (uint32_t)sys_call1(SYS_setfsuid, (long)uid);
}

static uint32_t file_group(uint32_t gid)
{
    return (uint32_t)sys_call1(SYS_setfsgid, (long)gid);
}

static int read_groups(struct lowered_rights *lowered)
{
    long count = sys_call2(SYS_getgroups, 0, 0);

    if (count <= 0)
        return (int)count;
    lowered->groups = malloc((size_t)count * sizeof(lowered->groups[0]));
    if (lowered->groups == NULL)
        return -ENOMEM;
    count = sys_call2(SYS_getgroups, count, (long)lowered->groups);
    lowered->group_count = count > 0 ? (size_t)count : 0;
    return count < 0 ? (int)count : 0;
}

static int look_at_groups(const struct member_identity *identity, struct lowered_rights *lowered)
{
    int result = identity->any_group ? 0 : read_groups(lowered);

    if (result < 0 || identity->any_group)
        return result;
    lowered->grouped = lowered->group_count != identity->group_count ||
                       (lowered->group_count > 0 &&
                        memcmp(lowered->groups, identity->groups,
                               lowered->group_count * sizeof(lowered->groups[0])) != 0);
    return 0;
}

/* What the host's libc does to every thread when the host changes its ids comes by a signal, too: it would
 * meet the member's. Faults stay deliverable: the kernel ends the process without their handlers. */
static void block_signals(uint64_t *previous)
{
    static const int kept[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    uint64_t blocked = UINT64_MAX;

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        blocked &= ~(1ULL << (kept[i] - 1));
    sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, (long)previous, sizeof(blocked));
}

static int set_rights(const struct lowered_rights *lowered, uint64_t allowed)
{
    struct thread_rights rights;

    memset(&rights, 0, sizeof(rights));
    rights.header.version = _LINUX_CAPABILITY_VERSION_3;
    for (int i = 0; i < 2; i++) {
        rights.data[i].permitted = lowered->permitted[i];
        rights.data[i].inheritable = lowered->inheritable[i];
        rights.data[i].effective = lowered->effective[i] & (uint32_t)(allowed >> (32 * i));
    }
    return (int)sys_call2(SYS_capset, (long)&rights.header, (long)rights.data);
}

/* setfsuid(2) tells nothing about success. */
static bool take_file_ids(uint32_t uid, uint32_t gid)
{
    file_group(gid);
    file_user(uid);
    return file_user(UNCHANGED) == uid && file_group(UNCHANGED) == gid;
}

static bool take_groups(const uint32_t *groups, size_t count)
{
    return sys_call2(SYS_setgroups, (long)count, (long)groups) == 0;
}

/* Groups of an outer user namespace, of which only a common number shows here, could not be had back. */
static bool may_change_groups(struct lowered_rights *lowered)
{
    if (lowered->grouped && !take_groups(lowered->groups, lowered->group_count)) {
        lowered->grouped = false;
        return false;
    }
    return true;
}

/* Groups and ids first: they take capabilities. Those come last, as exactly the ones that both have: leaving
 * the user 0 has dropped some already, whether the member has them or not (capabilities(7)). The process is
 * not dumpable any more afterwards if ids change (prctl(2)), which says nothing to its own threads. */
static bool go_down(const struct member_identity *identity, struct lowered_rights *lowered)
{
    return may_change_groups(lowered) &&
           (!lowered->grouped || take_groups(identity->groups, identity->group_count)) &&
           (!lowered->ids || take_file_ids(identity->uid, identity->gid)) &&
           !fault_is("identity-lower") && set_rights(lowered, identity->effective) == 0;
}

/* Notes what the thread is and whether it differs from the member. 0 or -errno. */
static int compare(const struct member_identity *identity, struct lowered_rights *lowered)
{
    struct thread_rights rights;
    bool lacks = false;

    *lowered = (struct lowered_rights){0};
    int result = read_rights(&rights);
    if (result == 0)
        result = look_at_groups(identity, lowered);
    if (result < 0) {
        free(lowered->groups);
        return result;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t member = (uint32_t)(identity->effective >> (32 * i));
        lowered->permitted[i] = rights.data[i].permitted;
        lowered->inheritable[i] = rights.data[i].inheritable;
        lowered->effective[i] = rights.data[i].effective;
        lacks = lacks || (rights.data[i].effective & ~member) != 0;
    }
    lowered->uid = file_user(UNCHANGED);
    lowered->gid = file_group(UNCHANGED);
    lowered->ids = lowered->uid != identity->uid || lowered->gid != identity->gid;
    lowered->active = lacks || lowered->ids || lowered->grouped;
    if (!lowered->active)
        free(lowered->groups);
    return 0;
}

bool identity_differs(const struct member_identity *identity)
{
    struct lowered_rights lowered;

    if (compare(identity, &lowered) < 0)
        return true;
    if (lowered.active)
        free(lowered.groups);
    return lowered.active;
}

int identity_lower(const struct member_identity *identity, struct lowered_rights *lowered)
{
    int result = compare(identity, lowered);

    if (result < 0 || !lowered->active)
        return result;
    block_signals(&lowered->signals);
    if (go_down(identity, lowered))
        return 0;
    identity_restore(lowered);
    return -EPERM;
}

static void end_process(void)
{
    static const char line[] =
        "sandlock: internal error: a thread cannot leave the ids of a member\n";

    sys_call3(SYS_write, STDERR_FILENO, (long)line, sizeof(line) - 1);
    _exit(125);
}

/* In reverse order: capabilities first, which the rest takes. Becoming user 0 again raises what is permitted,
 * so they are set once more. */
static bool go_up(const struct lowered_rights *lowered)
{
    set_rights(lowered, UINT64_MAX);
    if (lowered->ids && !take_file_ids(lowered->uid, lowered->gid))
        return false;
    if (lowered->grouped && !take_groups(lowered->groups, lowered->group_count))
        return false;
    return !lowered->ids || set_rights(lowered, UINT64_MAX) == 0;
}

void identity_restore(struct lowered_rights *lowered)
{
    if (!lowered->active)
        return;
    if ((fault_is("identity-restore") && (lowered->ids || lowered->grouped)) || !go_up(lowered))
        end_process();
    free(lowered->groups);
    lowered->active = false;
    sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&lowered->signals, 0,
              sizeof(lowered->signals));
}

int identity_pin(const struct member_identity *identity, const struct object *object,
                 bool cached_only)
{
    struct lowered_rights lowered;

    if (identity == NULL)
        return object_pin(object, cached_only);
    int result = identity_lower(identity, &lowered);
    if (result < 0)
        return result;
    result = object_pin(object, cached_only);
    identity_restore(&lowered);
    return result;
}
