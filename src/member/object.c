/*
 * Pinning a member's object: see member_object.h.
 *
 * The supervisor walks the path itself, so two kinds of names would mean the wrong thing: "self" and
 * "thread-self" in /proc name whoever walks, and a magic link is followed with the walker's rights.
 * The caller's own links are therefore taken apart before the walk, and the walk refuses all magic
 * links. What still ends in procfs is for the judge to refuse.
 */
#include "member/object.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

/* ---- The caller's own links ----------------------------------------------------------------------- */

struct component {
    const char *text;
    size_t length;
};

/* Takes the next component, skipping slashes and ".". False at the end. */
static bool next_component(const char **cursor, struct component *component)
{
    for (;;) {
        *cursor += strspn(*cursor, "/");
        component->text = *cursor;
        component->length = strcspn(*cursor, "/");
        *cursor += component->length;
        if (component->length != 1 || component->text[0] != '.')
            return component->length > 0;
    }
}

static bool is_text(const struct component *component, const char *text)
{
    return component->length == strlen(text) &&
           memcmp(component->text, text, component->length) == 0;
}

static bool is_number(const struct component *component, uint64_t *number)
{
    /* The kernel's names have no leading zeros. */
    return (component->length == 1 || component->text[0] != '0') &&
           text_parse_uint(component->text, component->length, INT32_MAX, number);
}

static bool is_own_directory(const struct component *component, pid_t tid, pid_t tgid)
{
    uint64_t number;

    if (is_text(component, "self") || is_text(component, "thread-self"))
        return true;
    return is_number(component, &number) && ((pid_t)number == tid || (pid_t)number == tgid);
}

static bool set_fd(struct own_link *link, uint64_t number)
{
    snprintf(link->name, sizeof(link->name), "fd/%u", (unsigned)number);
    return true;
}

static bool parse_dev(const char **cursor, struct own_link *link)
{
    static const char *const streams[] = {"stdin", "stdout", "stderr"};
    struct component component;
    uint64_t number;

    link->by_dev = true;
    if (!next_component(cursor, &component))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        if (is_text(&component, streams[i]))
            return set_fd(link, i);
    }
    return is_text(&component, "fd") && next_component(cursor, &component) &&
           is_number(&component, &number) && set_fd(link, number);
}

static bool parse_proc(const char **cursor, pid_t tid, pid_t tgid, struct own_link *link)
{
    struct component component;
    uint64_t number;

    if (!next_component(cursor, &component) || !is_own_directory(&component, tid, tgid) ||
        !next_component(cursor, &component))
        return false;
    if (is_text(&component, "task")) {
        if (!next_component(cursor, &component) || !is_number(&component, &number) ||
            (pid_t)number != tid || !next_component(cursor, &component))
            return false;
    }
    if (is_text(&component, "cwd") || is_text(&component, "root") || is_text(&component, "exe")) {
        snprintf(link->name, sizeof(link->name), "%.*s", (int)component.length, component.text);
        return true;
    }
    return is_text(&component, "fd") && next_component(cursor, &component) &&
           is_number(&component, &number) && set_fd(link, number);
}

bool own_link_parse(const char *path, pid_t tid, pid_t tgid, struct own_link *link)
{
    const char *cursor = path;
    struct component component;
    bool found = false;

    *link = (struct own_link){.rest = ""};
    if (path[0] != '/' || !next_component(&cursor, &component))
        return false;
    if (is_text(&component, "proc"))
        found = parse_proc(&cursor, tid, tgid, link);
    else if (is_text(&component, "dev"))
        found = parse_dev(&cursor, link);
    if (!found)
        return false;
    if (*cursor != '\0') {
        cursor += strspn(cursor, "/");
        link->rest = *cursor == '\0' ? "." : cursor;
    }
    return true;
}

/* The names in /dev are links that anybody with root may have arranged otherwise. */
static bool dev_links_are_usual(const char *path)
{
    static const struct {
        const char *name, *target;
    } links[] = {
        {"/dev/fd", "/proc/self/fd"},
        {"/dev/stdin", "/proc/self/fd/0"},
        {"/dev/stdout", "/proc/self/fd/1"},
        {"/dev/stderr", "/proc/self/fd/2"},
    };
    const char *cursor = path + strspn(path, "/");

    cursor += strcspn(cursor, "/"); /* "dev" */
    cursor += strspn(cursor, "/");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        const char *name = links[i].name + strlen("/dev/");
        char target[32];
        if (strncmp(cursor, name, strlen(name)) != 0)
            continue;
        ssize_t length = readlink(links[i].name, target, sizeof(target));
        return length == (ssize_t)strlen(links[i].target) &&
               memcmp(target, links[i].target, (size_t)length) == 0;
    }
    return false;
}

/* ---- Starting points ----------------------------------------------------------------------------- */

static int open_view(const struct member_view *view, const char *name)
{
    int fd = procfs_open_file(view->proc_fd, view->tid, name, O_PATH);

    if (fd == -ENOENT)
        return strncmp(name, "fd/", 3) == 0 ? -EBADF : -ENOENT;
    return fd;
}

static int open_view_fd(const struct member_view *view, int fd)
{
    char name[32];

    if (fd < 0)
        return -EBADF;
    snprintf(name, sizeof(name), "fd/%d", fd);
    return open_view(view, name);
}

/* The mode of the link in /proc tells how the descriptor was opened. */
static bool is_for_reading_or_writing(const struct member_view *view, int fd)
{
    struct sys_statx link = {0};
    char name[48];

    snprintf(name, sizeof(name), "%d/fd/%d", (int)view->tid, fd);
    return sys_call5(SYS_statx, view->proc_fd, (long)name, AT_SYMLINK_NOFOLLOW, SYS_STATX_BASIC,
                     (long)&link) == 0 &&
           (link.mode & (S_IRUSR | S_IWUSR)) != 0;
}

static int is_path_only(const struct member_view *view, int fd)
{
    char name[32], text[256];

    if (is_for_reading_or_writing(view, fd))
        return 0;
    snprintf(name, sizeof(name), "fdinfo/%d", fd);
    ssize_t length = procfs_read(view->proc_fd, view->tid, name, text, sizeof(text));
    if (length < 0)
        return length == -ENOENT ? -EBADF : (int)length;
    const char *line = strstr(text, "flags:");
    if (line == NULL)
        return -EIO;
    return (strtoul(line + strlen("flags:"), NULL, 8) & O_PATH) != 0;
}

int object_by_fd(struct object *object, const struct member_view *view, int fd, bool path_only_too)
{
    *object = OBJECT_INIT;
    object->is_base = true;
    object->base = open_view_fd(view, fd);
    if (object->base < 0)
        return object->base;
    if (path_only_too)
        return 0;
    int path_only = is_path_only(view, fd);
    if (path_only == 0)
        return 0;
    object_release(object);
    return path_only < 0 ? path_only : -EBADF;
}

static int object_by_own_link(struct object *object, const struct member_view *view,
                              const struct own_link *link)
{
    object->base = open_view(view, link->name);
    if (object->base < 0) /* a descriptor that is not open: the name does not exist */
        return object->base == -EBADF ? -ENOENT : object->base;
    object->is_base = link->rest[0] == '\0';
    snprintf(object->path, sizeof(object->path), "%s", link->rest);
    return 0;
}

int object_by_path(struct object *object, const struct member_view *view, int dirfd,
                   const char *path, unsigned at_flags)
{
    struct own_link link;

    *object = OBJECT_INIT;
    object->no_follow = (at_flags & AT_SYMLINK_NOFOLLOW) != 0;
    if (strlen(path) >= sizeof(object->path))
        return -ENAMETOOLONG;
    if (path[0] == '\0') {
        if ((at_flags & AT_EMPTY_PATH) == 0)
            return -ENOENT;
        object->is_base = true;
    }
    if (own_link_parse(path, view->tid, view->tgid, &link) &&
        (link.rest[0] != '\0' || !object->no_follow) && (!link.by_dev || dev_links_are_usual(path)))
        return object_by_own_link(object, view, &link);
    snprintf(object->path, sizeof(object->path), "%s", path);
    if (path[0] == '/')
        return 0;
    object->base = dirfd == AT_FDCWD ? open_view(view, "cwd") : open_view_fd(view, dirfd);
    return object->base < 0 ? object->base : 0;
}

int object_pin(const struct object *object, bool cached_only)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (object->no_follow ? O_NOFOLLOW : 0),
        .resolve = RESOLVE_NO_MAGICLINKS | (cached_only ? RESOLVE_CACHED : 0),
    };
    int start = object->base < 0 ? AT_FDCWD : object->base;

    if (object->is_base) {
        /* libc's fcntl() asks twice. */
        return (int)sys_call3(SYS_fcntl, object->base, F_DUPFD_CLOEXEC, 0);
    }
    long result = sys_call4(SYS_openat2, start, (long)object->path, (long)&how, sizeof(how));
    /* Before 5.12 there is no cached walk. */
    return cached_only && result == -EINVAL ? -EAGAIN : (int)result;
}

bool object_parent(const struct object *object, struct object *parent, char name[NAME_MAX + 1])
{
    *parent = *object;
    if (object->is_base)
        return false;
    char *slash = strrchr(parent->path, '/');
    const char *last = slash == NULL ? parent->path : slash + 1;
    if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 ||
        strlen(last) > NAME_MAX)
        return false;
    memcpy(name, last, strlen(last) + 1);
    if (slash == NULL)
        memcpy(parent->path, ".", sizeof("."));
    else
        slash[slash == parent->path ? 1 : 0] = '\0';
    parent->no_follow = false;
    return true;
}

void object_release(struct object *object)
{
    fd_close(object->base);
    object->base = -1;
}

/* ---- Where a look may wait ------------------------------------------------------------------------ */

/* What is known without asking a server or a daemon. */
static bool look_without_waiting(int path_fd, struct sys_statx *answer)
{
    long result = sys_call5(SYS_statx, path_fd, (long)"", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                            SYS_STATX_BASIC, (long)answer);

    return result == 0;
}

static bool device_of(int path_fd, uint64_t *device)
{
    struct sys_statx answer = {0};

    if (!look_without_waiting(path_fd, &answer))
        return false;
    *device = (uint64_t)answer.dev_major << 32 | answer.dev_minor;
    return true;
}

static bool has_device(const struct local_devices *local, uint64_t device)
{
    for (size_t i = 0; i < local->count; i++) {
        if (local->devices[i] == device)
            return true;
    }
    return false;
}

bool local_devices_has(struct local_devices *local, int path_fd)
{
    bool on_block_device;

    return local_devices_find(local, path_fd, &on_block_device);
}

bool local_devices_find(struct local_devices *local, int path_fd, bool *on_block_device)
{
    uint64_t device;

    *on_block_device = false;
    if (!device_of(path_fd, &device))
        return false;
    *on_block_device = object_device_is_block(device);
    pthread_mutex_lock(&local->lock);
    bool known = has_device(local, device);
    pthread_mutex_unlock(&local->lock);
    return known;
}

static bool is_local_type(long type)
{
    static const uint32_t types[] = {
        EXT4_SUPER_MAGIC, /* ext2 and ext3 too */
        BTRFS_SUPER_MAGIC, TMPFS_MAGIC,      RAMFS_MAGIC, OVERLAYFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,  PROC_SUPER_MAGIC, 0x58465342, /* XFS */
        0x50495045,                                      /* pipes */
        0x534F434B,                                      /* sockets */
        0x09041934,                                      /* anonymous inodes */
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((uint32_t)type == types[i])
            return true;
    }
    return false;
}

void local_devices_learn(struct local_devices *local, int path_fd)
{
    struct statfs status;
    uint64_t device;

    if (fstatfs(path_fd, &status) != 0 || !is_local_type((long)status.f_type) ||
        !device_of(path_fd, &device))
        return;
    pthread_mutex_lock(&local->lock);
    if (!has_device(local, device) && local->count < LOCAL_DEVICES_MAX)
        local->devices[local->count++] = device;
    pthread_mutex_unlock(&local->lock);
}

unsigned object_type(int path_fd)
{
    struct sys_statx answer = {0};

    return look_without_waiting(path_fd, &answer) ? answer.mode & S_IFMT : 0;
}

bool object_identify_path(int directory, const char *path, struct object_identity *identity)
{
    struct sys_statx answer = {0};
    int flags = AT_STATX_DONT_SYNC | (path[0] == '\0' ? AT_EMPTY_PATH : 0);

    if (sys_call5(SYS_statx, directory, (long)path, flags, SYS_STATX_BASIC, (long)&answer) != 0)
        return false;
    *identity = (struct object_identity){
        .device = (uint64_t)answer.dev_major << 32 | answer.dev_minor,
        .inode = answer.inode,
        .mode = answer.mode,
        .uid = answer.uid,
        .changed =
            (int64_t)answer.times[4], /* access, birth, change, modification: two words each */
    };
    return true;
}

bool object_identify(int path_fd, struct object_identity *identity)
{
    return object_identify_path(path_fd, "", identity);
}

uint32_t object_file_system(int path_fd)
{
    struct statfs status;

    return fstatfs(path_fd, &status) == 0 ? (uint32_t)status.f_type : 0;
}

bool object_truncates_early(int path_fd)
{
    return object_type_truncates_early(object_file_system(path_fd));
}

bool object_type_truncates_early(uint32_t type)
{
    return type == 0 || type == OVERLAYFS_SUPER_MAGIC || type == FUSE_SUPER_MAGIC;
}

bool object_is_in_procfs(int path_fd)
{
    uint32_t type = object_file_system(path_fd);

    return type == 0 || type == PROC_SUPER_MAGIC;
}
