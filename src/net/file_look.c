/* stat, access and readlink: see file_look.h. */
#include "net/file_look.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "net/net.h"
#include "net/network.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NET "net"

#define BLOCK_SIZE 1024

/* What the calls take; with anything else the kernel's error is the answer. */
#define SYNC_TYPE 0x6000 /* AT_STATX_SYNC_TYPE; both bits together are no type */
#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | 0x800 /* AT_NO_AUTOMOUNT */ | SYNC_TYPE)
#define ACCESS_FLAGS (AT_SYMLINK_NOFOLLOW | AT_EACCESS)

enum look_kind { KIND_STAT, KIND_STATX, KIND_ACCESS, KIND_LINK };

/* The number of an argument, or NONE. */
#define NONE (-1)

static const struct spelling {
    enum look_kind kind;
    int8_t directory, path, flags, mode, result, size;
    bool no_follow;
} spellings[] = {
    [LOOK_STAT - OPEN_SPELLINGS] = {KIND_STAT, NONE, 0, NONE, NONE, 1, NONE, false},
    [LOOK_LSTAT - OPEN_SPELLINGS] = {KIND_STAT, NONE, 0, NONE, NONE, 1, NONE, true},
    [LOOK_FSTATAT - OPEN_SPELLINGS] = {KIND_STAT, 0, 1, 3, NONE, 2, NONE, false},
    [LOOK_STATX - OPEN_SPELLINGS] = {KIND_STATX, 0, 1, 2, NONE, 4, NONE, false},
    [LOOK_ACCESS - OPEN_SPELLINGS] = {KIND_ACCESS, NONE, 0, NONE, 1, NONE, NONE, false},
    [LOOK_FACCESSAT - OPEN_SPELLINGS] = {KIND_ACCESS, 0, 1, NONE, 2, NONE, NONE, false},
    [LOOK_FACCESSAT2 - OPEN_SPELLINGS] = {KIND_ACCESS, 0, 1, 3, 2, NONE, NONE, false},
    [LOOK_READLINK - OPEN_SPELLINGS] = {KIND_LINK, NONE, 0, NONE, NONE, NONE, 2, true},
    [LOOK_READLINKAT - OPEN_SPELLINGS] = {KIND_LINK, 0, 1, NONE, NONE, NONE, 3, true},
};

static const struct spelling *spelling_of(unsigned detail)
{
    return &spellings[detail - OPEN_SPELLINGS];
}

static uint32_t word(const struct seccomp_data *data, int8_t argument, uint32_t otherwise)
{
    return argument == NONE ? otherwise : (uint32_t)data->args[argument];
}

int file_look_decode(struct open_call *call, enum look_spelling spelling,
                     const struct member_view *view, const struct seccomp_data *data)
{
    const struct spelling *as = spelling_of(spelling);
    uint32_t flags = word(data, as->flags, as->no_follow ? AT_SYMLINK_NOFOLLOW : 0);

    call->object = OBJECT_INIT;
    call->resolve = 0;
    call->flags = O_PATH | ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? O_NOFOLLOW : 0);
    ssize_t length =
        task_memory_read_string(view->tid, data->args[as->path], call->path, sizeof(call->path));
    if (length <= 0)
        return length < 0 ? (int)length : -ENOENT;
    return object_by_path(&call->object, view, (int)word(data, as->directory, (uint32_t)AT_FDCWD),
                          call->path, (flags & AT_SYMLINK_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0);
}

/* ---- What it is ------------------------------------------------------------------------------------ */

/* What follows the process in a path below its "net"; false: it is something else. */
static bool find_place(const struct file_views *views, int path_fd, char path[PATH_MAX],
                       struct proc_place *place)
{
    struct object_identity object;
    bool unlinked;

    return object_identify(path_fd, &object) && object.device == views->shadow->proc_device &&
           grants_path_of(path_fd, path, PATH_MAX, &unlinked) == 0 &&
           proc_place_parse(path, place) && proc_place_is_net(place);
}

bool file_look_is_below_net(const struct file_views *views, const struct open_call *call)
{
    struct object shorter = call->object; /* its descriptor stays the call's */
    char path[PATH_MAX];
    struct proc_place place;

    if (!views->shadow->kernel || call->resolve != 0 || shorter.is_base)
        return false;
    for (;;) {
        char *slash = strrchr(shorter.path, '/');
        if (slash == NULL || slash == shorter.path || slash[1] == '\0' ||
            strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0)
            return false; /* what asks for a directory */
        *slash = '\0';
        CLEANUP_FD int fd = object_pin(&shorter, false);
        if (fd == -ENOTDIR)
            continue;
        return fd >= 0 && find_place(views, fd, path, &place) &&
               net_file_find(place.rest + strlen(NET) + (place.rest[strlen(NET)] != '\0')) !=
                   NET_FILE_COUNT;
    }
}

/* ---- Answers --------------------------------------------------------------------------------------- */

/* What stat(2) tells of an entry of the view. */
struct entry {
    unsigned mode, links;
    uint64_t inode;
    int64_t time;
};

static int put(const struct request *request, uint64_t address, const void *data, size_t size)
{
    if (!request_is_valid(request))
        return -EPERM;
    return task_memory_write_all((pid_t)request->notification.pid, address, data, size);
}

/* An owner as the members' user namespace shows it, where they have one: it knows one user. */
static uint32_t map_owner(const struct request *request, uint32_t owner, bool group)
{
    const struct policy *policy = supervisor_policy(request->supervisor);
    uint32_t own = group ? getgid() : getuid();

    if (!policy_maps_user(policy))
        return owner;
    if (owner != own)
        return 65534; /* overflowuid(5) */
    return group ? policy->gid : policy->uid;
}

/* The device is the kernel's. */
static int answer_stat(const struct request *request, uint64_t address, int path_fd,
                       const struct entry *entry)
{
    struct stat status;

    if (fstat(path_fd, &status) != 0)
        return -errno;
    status.st_uid = map_owner(request, status.st_uid, false);
    status.st_gid = map_owner(request, status.st_gid, true);
    status.st_mode = entry->mode;
    status.st_nlink = entry->links;
    status.st_ino = entry->inode;
    status.st_size = status.st_blocks = 0;
    status.st_blksize = BLOCK_SIZE;
    status.st_atim = status.st_mtim = status.st_ctim = (struct timespec){.tv_sec = entry->time};
    return put(request, address, &status, sizeof(status));
}

static int answer_statx(const struct request *request, uint64_t address, int path_fd,
                        const struct entry *entry)
{
    struct sys_statx status = {0};
    int flags = AT_EMPTY_PATH | 0x4000 /* AT_STATX_DONT_SYNC */;

    long result = sys_call5(SYS_statx, path_fd, (long)"", flags, SYS_STATX_BASIC, (long)&status);
    if (result < 0)
        return (int)result;
    status.mask &= SYS_STATX_BASIC;
    status.uid = map_owner(request, status.uid, false);
    status.gid = map_owner(request, status.gid, true);
    status.mode = (uint16_t)entry->mode;
    status.links = entry->links;
    status.inode = entry->inode;
    status.size = status.blocks = 0;
    status.block_size = BLOCK_SIZE;
    memset(status.times, 0, sizeof(status.times));
    for (int i = 0; i < 4; i++)
        status.times[2 * i] = i == 1 ? 0 : (uint64_t)entry->time; /* no birth */
    return put(request, address, &status, sizeof(status));
}

static int answer_entry(const struct request *request, const struct spelling *as, int path_fd,
                        const struct entry *entry)
{
    const struct seccomp_data *data = &request->notification.data;
    uint32_t mode = word(data, as->mode, 0);

    switch (as->kind) {
    case KIND_STAT:
        return answer_stat(request, data->args[as->result], path_fd, entry);
    case KIND_STATX:
        return answer_statx(request, data->args[as->result], path_fd, entry);
    case KIND_ACCESS:
        return (mode & W_OK) != 0 || ((mode & X_OK) != 0 && S_ISREG(entry->mode)) ? -EACCES : 0;
    case KIND_LINK:
        break;
    }
    return -EINVAL; /* not a link */
}

/* True if the kernel takes the arguments that are no pointers. */
static bool is_well_formed(const struct seccomp_data *data, const struct spelling *as)
{
    static const uint32_t flags[] = {
        [KIND_STAT] = STAT_FLAGS,
        [KIND_STATX] = STAT_FLAGS,
        [KIND_ACCESS] = ACCESS_FLAGS,
        [KIND_LINK] = 0,
    };
    if (as->kind == KIND_STATX &&
        ((data->args[3] & 0x80000000U) != 0 || (word(data, as->flags, 0) & SYNC_TYPE) == SYNC_TYPE))
        return false;
    if (as->kind == KIND_LINK && (int)word(data, as->size, 0) <= 0)
        return false;
    return (word(data, as->flags, 0) & ~flags[as->kind]) == 0 &&
           (word(data, as->mode, 0) & ~7U) == 0;
}

struct verdict file_look_answer(const struct file_views *views, const struct request *request,
                                const struct open_call *call, int path_fd)
{
    const struct spelling *as = spelling_of((unsigned)request->trap->detail);
    struct entry entry = {S_IFDIR | 0555, 2, NET_INODE_DIRECTORY, views->started};
    char path[PATH_MAX];
    struct proc_place place;

    if (!is_well_formed(&request->notification.data, as) ||
        !find_place(views, path_fd, path, &place))
        return verdict_next();
    if (place.pid != views->own && !proc_is_member(request, place.pid))
        return verdict_errno(EACCES);
    if (place.rest[strlen(NET)] == '/') {
        enum net_file file = net_file_find(place.rest + strlen(NET "/"));
        if (file == NET_FILE_COUNT)
            return verdict_errno(ENOENT);
        entry = (struct entry){S_IFREG | 0444, 1, NET_INODE_FILES + (uint64_t)file, views->started};
    }
    int result = answer_entry(request, as, path_fd, &entry);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

/* ---- The feature ----------------------------------------------------------------------------------- */

/* Nearly every program looks at many paths, and a look that waits for the supervisor can fail with EINTR,
 * which no program expects of it. What is hidden are names alone. So it is done only where a grant says
 * that a program is interested in /proc/net; one of the whole tree, or of a file elsewhere in /proc, does not. */
static bool looks_wanted(const struct policy *policy, const struct network *network)
{
    (void)policy;
    return network->shadow.kernel && network->shadow.names_net;
}

static bool looks_start(struct supervisor *supervisor, void **state, struct error *err)
{
    *state = views_new(supervisor, err);
    return *state != NULL;
}

/* What a descriptor names, without a path, is not looked for: that is how fstat(3) is made of these. */
#define OF_DESCRIPTOR(argument)                                                     \
    {                                                                               \
        .test_count = 1, .tests = {                                                 \
            {.arg = (argument), .op = ARG_ANY_BIT, .mask = (uint32_t)AT_EMPTY_PATH} \
        }                                                                           \
    }

static const struct filter_rule of_descriptor_2[] = {OF_DESCRIPTOR(2)};
static const struct filter_rule of_descriptor_3[] = {OF_DESCRIPTOR(3)};

static const struct trap traps[] = {
    {.syscall = "stat", .handle = on_open, .detail = LOOK_STAT},
    {.syscall = "lstat", .handle = on_open, .detail = LOOK_LSTAT},
    {.syscall = "newfstatat", of_descriptor_3, 1, on_open, LOOK_FSTATAT},
    {.syscall = "statx", of_descriptor_2, 1, on_open, LOOK_STATX},
    {.syscall = "access", .handle = on_open, .detail = LOOK_ACCESS},
    {.syscall = "faccessat", .handle = on_open, .detail = LOOK_FACCESSAT},
    {.syscall = "faccessat2", of_descriptor_3, 1, on_open, LOOK_FACCESSAT2},
    {.syscall = "readlink", .handle = on_open, .detail = LOOK_READLINK},
    {.syscall = "readlinkat", .handle = on_open, .detail = LOOK_READLINKAT},
};

static const char *const needs[] = {"fstatfs", NULL};

const struct feature feature_proc_looks = {
    .name = PROC_LAYER,
    .wanted = looks_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = looks_start,
    .stop = views_stop,
    .describe = proc_describe,
};
