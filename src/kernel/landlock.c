/*
 * Landlock: see landlock.h. One table says what a protection is made of; the probe, the arithmetic
 * and the messages are all read from it.
 */
#include "kernel/landlock.h"

#include "kernel/sys.h"
#include "util/buffer.h"
#include "util/fd.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Our own copies of linux/landlock.h, which may be older than the kernel the program meets. */
#define CREATE_RULESET_VERSION 1U
#define CREATE_RULESET_ERRATA 2U /* 6.15 */
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

struct net_port_attr {
    uint64_t allowed_access;
    uint64_t port; /* host byte order */
};

#define READ_RIGHTS (LL_FS_EXECUTE | LL_FS_READ_FILE | LL_FS_READ_DIR)
#define WRITE_RIGHTS \
    (LL_FS_BASE | LL_FS_REFER | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV | LL_FS_RESOLVE_UNIX)
/* What makes sense on something that is not a directory; the kernel refuses the rest (EINVAL). */
#define FILE_RIGHTS                                                                          \
    (LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV | \
     LL_FS_RESOLVE_UNIX)

/* Handled wherever the kernel has it: it is part of what a write grant says, not a protection of its
 * own. Where it is missing the supervisor judges named sockets. */
#define RESOLVE_UNIX_ABI 9

struct protection_row {
    const char *name;
    const char *display;
    unsigned min_abi;
    uint64_t fs, net, scoped;
};

static const struct protection_row protections[PROTECTION_COUNT] = {
    [PROTECTION_FS_REFER] = {"fs-refer", "FsRefer", 2, .fs = LL_FS_REFER},
    [PROTECTION_FS_TRUNCATE] = {"fs-truncate", "FsTruncate", 3, .fs = LL_FS_TRUNCATE},
    [PROTECTION_NET_TCP] = {"net-tcp", "NetTcp", 4, .net = LL_NET_BIND_TCP | LL_NET_CONNECT_TCP},
    [PROTECTION_FS_IOCTL_DEV] = {"fs-ioctl-dev", "FsIoctlDev", 5, .fs = LL_FS_IOCTL_DEV},
    [PROTECTION_SIGNAL_SCOPE] = {"signal-scope", "SignalScope", 6, .scoped = LL_SCOPE_SIGNAL},
    [PROTECTION_ABSTRACT_UNIX_SCOPE] = {"abstract-unix-socket-scope", "AbstractUnixSocketScope", 6,
                                        .scoped = LL_SCOPE_ABSTRACT_UNIX},
};

/* ---- protections by name and number ---- */

const char *protection_name(enum protection protection)
{
    return (unsigned)protection < PROTECTION_COUNT ? protections[protection].name : NULL;
}

const char *protection_display(enum protection protection)
{
    return (unsigned)protection < PROTECTION_COUNT ? protections[protection].display : NULL;
}

unsigned protection_min_abi(uint32_t protection)
{
    return protection < PROTECTION_COUNT ? protections[protection].min_abi : 0;
}

bool protection_parse(const char *text, enum protection *protection)
{
    for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
        if (strcasecmp(text, protections[i].name) == 0) {
            *protection = (enum protection)i;
            return true;
        }
    }
    return false;
}

/* ---- what the host offers ---- */

void landlock_support_for_abi(int abi, struct landlock_support *support)
{
    *support = (struct landlock_support){.abi = abi};
    if (abi < 1) {
        support->abi = 0;
        support->unavailable_errno = ENOSYS;
        return;
    }
    support->fs = LL_FS_BASE | (abi >= RESOLVE_UNIX_ABI ? LL_FS_RESOLVE_UNIX : 0);
    for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
        if ((unsigned)abi < protections[i].min_abi)
            continue;
        support->fs |= protections[i].fs;
        support->net |= protections[i].net;
        support->scoped |= protections[i].scoped;
    }
}

static long create_ruleset(const struct ruleset_attr *attr, size_t size, unsigned flags)
{
    return sys_call3(SYS_landlock_create_ruleset, (long)attr, (long)size, flags);
}

/* True if the kernel says that it does not know what is asked: an unknown bit, or a field behind
 * the end of its structure. Any other failure (no descriptors, no memory) says nothing about
 * support. */
static bool is_rejected(struct ruleset_attr attr)
{
    long fd = create_ruleset(&attr, sizeof(attr), 0);

    if (fd >= 0)
        fd_close((int)fd);
    return fd == -EINVAL || fd == -E2BIG;
}

/* Removes from `bits` all that are rejected alone; `offset` names the field they belong to. */
static uint64_t probe_bits(uint64_t bits, size_t offset)
{
    uint64_t accepted = bits;

    for (uint64_t rest = bits; rest != 0; rest &= rest - 1) {
        uint64_t bit = rest & (~rest + 1);
        struct ruleset_attr attr = {0};
        memcpy((char *)&attr + offset, &bit, sizeof(bit));
        if (is_rejected(attr))
            accepted &= ~bit;
    }
    return accepted;
}

static void probe(struct landlock_support *support)
{
    long abi = create_ruleset(NULL, 0, CREATE_RULESET_VERSION);

    landlock_support_for_abi(abi > 0 ? (int)abi : 0, support);
    if (abi <= 0) {
        support->unavailable_errno = abi < 0 ? (int)-abi : ENOSYS;
        return;
    }
    long errata = create_ruleset(NULL, 0, CREATE_RULESET_ERRATA);
    support->errata = errata > 0 ? (uint32_t)errata : 0;

    if (!is_rejected((struct ruleset_attr){support->fs, support->net, support->scoped}))
        return;
    support->fs = probe_bits(support->fs, offsetof(struct ruleset_attr, handled_access_fs));
    support->net = probe_bits(support->net, offsetof(struct ruleset_attr, handled_access_net));
    support->scoped = probe_bits(support->scoped, offsetof(struct ruleset_attr, scoped));
}

/* Once-cache: the kernel does not change under a running process. */
static pthread_once_t support_once = PTHREAD_ONCE_INIT;
static struct landlock_support host_support;

static void probe_host(void)
{
    probe(&host_support);
}

const struct landlock_support *landlock_support_get(void)
{
    pthread_once(&support_once, probe_host);
    return &host_support;
}

/* ---- requests against the host ---- */

static bool host_has(const struct landlock_support *support, const struct protection_row *row)
{
    return support->abi > 0 && (support->fs & row->fs) == row->fs &&
           (support->net & row->net) == row->net && (support->scoped & row->scoped) == row->scoped;
}

static enum protection_status resolve_one(enum protection_request request, bool available)
{
    switch (request) {
    case PROTECTION_DISABLED:
        return STATUS_DISABLED;
    case PROTECTION_DEGRADABLE:
        return available ? STATUS_ACTIVE : STATUS_DEGRADED;
    case PROTECTION_STRICT:
        break;
    }
    return available ? STATUS_ACTIVE : STATUS_UNAVAILABLE; /* what is not known is strict */
}

void landlock_resolve(const struct landlock_support *support,
                      const enum protection_request requests[PROTECTION_COUNT],
                      struct landlock_masks *masks)
{
    *masks = (struct landlock_masks){.fs = support->fs & (LL_FS_BASE | LL_FS_RESOLVE_UNIX)};
    for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
        const struct protection_row *row = &protections[i];
        masks->status[i] = resolve_one(requests[i], host_has(support, row));
        if (masks->status[i] != STATUS_ACTIVE)
            continue;
        masks->fs |= row->fs;
        masks->net |= row->net;
        masks->scoped |= row->scoped;
    }
}

static bool check_base(const struct landlock_support *support, struct error *err)
{
    if (support->abi > 0 && (support->fs & LL_FS_BASE) == LL_FS_BASE)
        return true;
    if (support->abi > 0)
        return error_runtime(err, 0,
                             "Landlock is unusable: the kernel reports ABI %d but rejects the "
                             "file-system rights of ABI 1",
                             support->abi);
    const char *reason = support->unavailable_errno == ENOSYS
                             ? "the kernel was built without it, or a surrounding filter hides it"
                         : support->unavailable_errno == EOPNOTSUPP
                             ? "it is switched off; add landlock to the lsm= boot parameter"
                             : "a surrounding sandbox refuses it";
    return error_runtime(err, support->unavailable_errno,
                         "Landlock is unavailable (%s); sandlock needs ABI %d (Linux 6.12)", reason,
                         LANDLOCK_ABI_MINIMUM);
}

bool landlock_check_strict(const struct landlock_support *support,
                           const struct landlock_masks *masks, struct error *err)
{
    CLEANUP_BUFFER struct buffer lacking = BUFFER_INIT;
    const char *first = NULL;

    if (!check_base(support, err))
        return false;
    for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
        const struct protection_row *row = &protections[i];
        if (masks->status[i] != STATUS_UNAVAILABLE)
            continue;
        buffer_printf(&lacking, "%s%s (%s) needs Landlock ABI %u", first == NULL ? "" : ", ",
                      row->name, row->display, row->min_abi);
        if ((unsigned)support->abi >= row->min_abi)
            buffer_append_text(&lacking, ", which this kernel reports but rejects");
        if (first == NULL)
            first = row->name;
    }
    if (first == NULL)
        return true;
    return error_runtime(err, 0,
                         "protection unavailable: %s; this host has ABI %d. Use a newer kernel, or "
                         "accept less protection with --allow-degraded %s",
                         buffer_text(&lacking), support->abi, first);
}

/* ---- rights of a grant ---- */

static uint64_t grant_rights(uint64_t wanted, uint64_t handled_fs, bool is_directory)
{
    return wanted & handled_fs & (is_directory ? ~0ULL : FILE_RIGHTS);
}

uint64_t landlock_read_rights(uint64_t handled_fs, bool is_directory)
{
    return grant_rights(READ_RIGHTS, handled_fs, is_directory);
}

uint64_t landlock_write_rights(uint64_t handled_fs, bool is_directory)
{
    return grant_rights(WRITE_RIGHTS, handled_fs, is_directory);
}

/* ---- system calls ---- */

int landlock_create(const struct landlock_masks *masks)
{
    struct ruleset_attr attr = {masks->fs, masks->net, masks->scoped};

    /* A kernel with a shorter structure accepts the longer one as long as the rest is zero. */
    return (int)create_ruleset(&attr, sizeof(attr), 0);
}

int landlock_add_path(int ruleset, int path_fd, uint64_t rights)
{
    struct path_beneath_attr attr = {.allowed_access = rights, .parent_fd = path_fd};

    if (rights == 0)
        return 0; /* the kernel refuses an empty rule (ENOMSG) */
    return (int)sys_call4(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, (long)&attr, 0);
}

int landlock_add_port(int ruleset, uint16_t port, uint64_t rights)
{
    struct net_port_attr attr = {.allowed_access = rights, .port = port};

    if (rights == 0)
        return 0;
    return (int)sys_call4(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, (long)&attr, 0);
}

int landlock_enter(int ruleset, uint32_t flags)
{
    return (int)sys_call2(SYS_landlock_restrict_self, ruleset, flags);
}
