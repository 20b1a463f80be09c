/*
 * The path grants as the supervisor judges them: see grants.h. Only names that the kernel printed for
 * a pinned descriptor are compared, never a name that a member wrote.
 */
#include "supervisor/grants.h"

#include "kernel/procfs.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define DELETED_SUFFIX " (deleted)"

void grants_free(struct grants *grants)
{
    for (size_t i = 0; i < grants->count; i++) {
        free(grants->items[i].path);
        fd_close(grants->items[i].path_fd);
    }
    free(grants->items);
    *grants = GRANTS_INIT;
}

static bool is_same_object(const char *path, const struct stat *object)
{
    struct stat other;

    return fstatat(AT_FDCWD, path, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
           other.st_dev == object->st_dev && other.st_ino == object->st_ino;
}

/* Unlinked objects of the kernel's own tmpfs mount print as if they lay in the root directory. */
static bool is_kernel_internal(const char *path)
{
    static const char *const prefixes[] = {"/memfd:", "/SYSV", "/anon_hugepage", "/[aio]"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

int grants_path_of(int fd, char *path, size_t size, bool *unlinked)
{
    struct stat object;

    *unlinked = false;
    if (fstat(fd, &object) != 0)
        return -errno;
    ssize_t length = procfs_read_fd_link(-1, 0, fd, path, size);
    if (length < 0)
        return (int)length;
    /* "pipe:[1]", "anon_inode:…", or "(unreachable)/…": nothing that a grant could name. */
    if (path[0] != '/')
        return -ENOENT;

    size_t suffix = strlen(DELETED_SUFFIX);
    if ((size_t)length <= suffix || strcmp(path + length - suffix, DELETED_SUFFIX) != 0)
        return 0;
    /* A file may really be called "x (deleted)"; then that name still leads to it. */
    if (object.st_nlink > 0 && is_same_object(path, &object))
        return 0;
    *unlinked = true;
    path[(size_t)length - suffix] = '\0';
    return is_kernel_internal(path) ? -ENOENT : 0;
}

static struct grant *append(struct grants *grants)
{
    if (grants->count == grants->capacity) {
        size_t capacity = grants->capacity == 0 ? 8 : grants->capacity * 2;
        struct grant *items = realloc(grants->items, capacity * sizeof(*items));
        if (items == NULL)
            return NULL;
        grants->items = items;
        grants->capacity = capacity;
    }
    return &grants->items[grants->count++];
}

int grants_pin(struct grants *grants, int path_fd, bool writable, bool directory)
{
    struct grant *grant = append(grants);

    if (grant == NULL)
        return -ENOMEM;
    *grant = (struct grant){.path_fd = path_fd, .writable = writable, .directory = directory};
    return 0;
}

/* The kernel drops and remakes the names of procfs at will, so there "unlinked" says nothing. */
static bool is_in_procfs(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && (uint32_t)status.f_type == PROC_SUPER_MAGIC;
}

/* Fills in the name. A grant whose object is unlinked covers nothing: its name would cover whatever
 * is created there next. */
static int resolve(struct grant *grant)
{
    char path[PATH_MAX];
    bool unlinked;

    int result = grants_path_of(grant->path_fd, path, sizeof(path), &unlinked);
    if (result < 0 || (unlinked && !is_in_procfs(grant->path_fd)))
        return result < 0 ? result : -ENOENT;
    grant->path = strdup(path);
    return grant->path == NULL ? -ENOMEM : 0;
}

int grants_resolve(struct grants *grants)
{
    size_t kept = 0;
    int failure = 0;

    for (size_t i = 0; i < grants->count; i++) {
        struct grant grant = grants->items[i];
        if (grant.path == NULL) {
            int result = resolve(&grant);
            fd_close(grant.path_fd);
            grant.path_fd = -1;
            if (result < 0) {
                if (result != -ENOENT)
                    failure = result;
                continue;
            }
        }
        grants->items[kept++] = grant;
    }
    grants->count = kept;
    return failure;
}

static bool grant_covers(const struct grant *grant, size_t length, const char *path)
{
    if (length == 1) /* the root itself: every absolute path lies below */
        return grant->directory && path[0] == '/';
    if (strncmp(path, grant->path, length) != 0)
        return false;
    return path[length] == '\0' || (grant->directory && path[length] == '/');
}

const struct grant *grants_find(const struct grants *grants, const char *path, bool write)
{
    const struct grant *best = NULL;
    size_t best_length = 0;

    for (size_t i = 0; i < grants->count; i++) {
        const struct grant *grant = &grants->items[i];
        if (grant->path == NULL || (write && !grant->writable))
            continue;
        size_t length = strlen(grant->path);
        if (length > best_length && grant_covers(grant, length, path)) {
            best = grant;
            best_length = length;
        }
    }
    return best;
}

bool grants_write_all(const struct grants *grants)
{
    return grants_find(grants, "/", true) != NULL;
}
