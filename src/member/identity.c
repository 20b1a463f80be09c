/* Capabilities of a member and of the thread that acts for it: see member_identity.h. */
#include "member/identity.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lines needed stand in front of those that grow with the machine. Groups may be 65536. */
#define STATUS_SIZE 8192

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
    struct thread_rights rights;

    return read_rights(&rights) != 0 || (rights.data[0].effective | rights.data[1].effective) != 0;
}

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

int identity_parse(const char *status, struct member_identity *identity)
{
    const char *uid = procfs_status_field(status, "Uid");
    const char *gid = procfs_status_field(status, "Gid");
    const char *effective = procfs_status_field(status, "CapEff");

    *identity = (struct member_identity){0};
    if (uid == NULL || gid == NULL || effective == NULL ||
        parse_ids(uid, &identity->real_uid, &identity->uid) != 0 ||
        parse_ids(gid, &identity->real_gid, &identity->gid) != 0)
        return -EINVAL;
    identity->effective = strtoull(effective, NULL, 16);
    return 0;
}

int identity_read(int proc_fd, pid_t tid, bool mapped, struct member_identity *identity)
{
    char status[STATUS_SIZE];
    ssize_t length = procfs_read(proc_fd, tid, "status", status, sizeof(status));

    if (length < 0)
        return (int)length;
    int result = identity_parse(status, identity);
    if (result < 0)
        return result;
    if (mapped)
        identity->effective = 0;
    identity->differs_in_ids = identity->uid != geteuid() || identity->gid != getegid();
    return 0;
}

int identity_lower(const struct member_identity *identity, struct lowered_rights *lowered)
{
    struct thread_rights rights;
    bool lacks = false;

    lowered->active = false;
    int result = read_rights(&rights);
    if (result < 0)
        return result;
    for (int i = 0; i < 2; i++) {
        uint32_t member = (uint32_t)(identity->effective >> (32 * i));
        lowered->permitted[i] = rights.data[i].permitted;
        lowered->inheritable[i] = rights.data[i].inheritable;
        lowered->effective[i] = rights.data[i].effective;
        lacks = lacks || (rights.data[i].effective & ~member) != 0;
        rights.data[i].effective &= member;
    }
    if (!lacks)
        return 0;
    /* Effective alone changes, so the process stays dumpable. */
    result = (int)sys_call2(SYS_capset, (long)&rights.header, (long)rights.data);
    lowered->active = result == 0;
    return result;
}

void identity_restore(const struct lowered_rights *lowered)
{
    struct thread_rights rights;

    if (!lowered->active)
        return;
    memset(&rights, 0, sizeof(rights));
    rights.header.version = _LINUX_CAPABILITY_VERSION_3;
    for (int i = 0; i < 2; i++) {
        rights.data[i].permitted = lowered->permitted[i];
        rights.data[i].inheritable = lowered->inheritable[i];
        rights.data[i].effective = lowered->effective[i];
    }
    sys_call2(SYS_capset, (long)&rights.header, (long)rights.data);
}
