/* Grants around hidden places: see domain_shadow.h. */
#include "launch/domain_shadow.h"

#include "kernel/landlock.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Rights to the content of what a rule covers. The rest (names made and removed) may cover a whole
 * tree with something hidden in it. */
#define CONTENT \
    (LL_FS_EXECUTE | LL_FS_READ_FILE | LL_FS_WRITE_FILE | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV)

struct split {
    const struct shadow *shadow;
    int ruleset;
    uint64_t handled;
    bool write;
};

static uint64_t rights_of(const struct split *split, bool directory)
{
    return split->write ? landlock_write_rights(split->handled, directory)
                        : landlock_read_rights(split->handled, directory);
}

static int add_kind(const struct split *split, int fd, enum shadow_kind kind, unsigned depth);

static int add_entry(const struct split *split, int directory, const char *name, unsigned depth)
{
    CLEANUP_FD int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct granted entry = {.fd = fd, .write = split->write};

    if (fd < 0 || !object_identify(fd, &entry.object) || S_ISLNK(entry.object.mode))
        return 0;
    enum shadow_kind kind = shadow_kind_of(split->shadow, &entry);
    if (kind != SHADOW_NONE)
        return add_kind(split, fd, kind, depth + 1);
    return landlock_add_path(split->ruleset, fd, rights_of(split, S_ISDIR(entry.object.mode)));
}

/* Of a directory that may be passed but not listed (a sandbox around this one may grant only parts of
 * "/"): the names that usually stand in a root. Elsewhere they are not there. */
static int add_usual_entries(const struct split *split, int fd, unsigned depth)
{
    static const char *const names[] = {
        "bin", "boot", "dev",  "etc", "home", "lib",  "lib32", "lib64", "media", "mnt", "nix",
        "opt", "proc", "root", "run", "sbin", "snap", "srv",   "sys",   "tmp",   "usr", "var"};
    int result = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && result == 0; i++)
        result = add_entry(split, fd, names[i], depth);
    return result;
}

static int add_entries(const struct split *split, int fd, unsigned depth)
{
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listed < 0 ? NULL : fdopendir(listed);
    int result = 0;

    if (directory == NULL) {
        fd_close(listed);
        return add_usual_entries(split, fd, depth);
    }
    for (;;) {
        const struct dirent *entry = readdir(directory);
        if (entry == NULL || result != 0)
            break;
        if (entry->d_type != DT_LNK && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            result = add_entry(split, listed, entry->d_name, depth);
    }
    closedir(directory);
    return result;
}

/* An entry of /sys/fs: of sysfs itself, or mounted there. */
static int add_sys_fs_entry(const struct split *split, int directory, const char *name)
{
    CLEANUP_FD int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct object_identity object;

    if (fd < 0 || !object_identify(fd, &object) || !S_ISDIR(object.mode) ||
        shadow_is_cgroup(split->shadow, object.device))
        return 0;
    return landlock_add_path(split->ruleset, fd, rights_of(split, true));
}

static int add_sys_fs(const struct split *split, int fd)
{
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listed < 0 ? NULL : fdopendir(listed);
    int result = 0;

    if (directory == NULL) { /* then the supervisor opens what is of sysfs */
        fd_close(listed);
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL && result == 0;
         entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = add_sys_fs_entry(split, listed, entry->d_name);
    }
    closedir(directory);
    return result;
}

static int add_sysfs(const struct split *split, int fd)
{
    int result = 0;

    for (unsigned i = 0; shadow_sysfs_entry(i) != NULL && result == 0; i++) {
        CLEANUP_FD int entry = openat(fd, shadow_sysfs_entry(i), O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct granted part = {.fd = entry, .write = split->write};
        if (entry < 0 || !object_identify(entry, &part.object))
            continue;
        if (shadow_kind_of(split->shadow, &part) == SHADOW_SYS_FS)
            result = add_sys_fs(split, entry);
        else
            result = landlock_add_path(split->ruleset, entry, rights_of(split, true));
    }
    return result;
}

static int add_split(const struct split *split, int fd, unsigned depth)
{
    struct object_identity object;

    if (!object_identify(fd, &object))
        return -EIO;
    uint64_t own = rights_of(split, true) & ~CONTENT;
    if (shadow_hides_listing(split->shadow, &object))
        own &= ~LL_FS_READ_DIR;
    int result = landlock_add_path(split->ruleset, fd, own);
    return result != 0 ? result : add_entries(split, fd, depth);
}

static int add_kind(const struct split *split, int fd, enum shadow_kind kind, unsigned depth)
{
    switch (kind) {
    case SHADOW_SPLIT:
        return depth > SHADOW_WAY_MAX ? 0 : add_split(split, fd, depth);
    case SHADOW_SYSFS:
        return add_sysfs(split, fd);
    case SHADOW_SYS_FS:
        return add_sys_fs(split, fd);
    case SHADOW_HIDDEN:
    case SHADOW_NONE:
        break;
    }
    return 0;
}

int domain_shadow_add(const struct shadow *shadow, int ruleset, uint64_t handled,
                      const struct granted *granted, enum shadow_kind kind)
{
    struct split split = {shadow, ruleset, handled, granted->write};

    return add_kind(&split, granted->fd, kind, 0);
}
