/*
 * The path grants as the supervisor judges them: see grants.h. Only names that the kernel printed for
 * a pinned descriptor are compared, never a name that a member wrote.
 */
#include "supervisor/grants.h"

#include "kernel/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DELETED_SUFFIX " (deleted)"

void grants_free(struct grants *grants)
{
    for (size_t i = 0; i < grants->count; i++)
        free(grants->items[i].path);
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

int grants_add(struct grants *grants, int path_fd, bool writable)
{
    char path[PATH_MAX];
    bool unlinked;
    struct stat object;

    int result = grants_path_of(path_fd, path, sizeof(path), &unlinked);
    if (result < 0)
        return result;
    if (unlinked)
        return -ENOENT; /* the name would cover whatever is created there next */
    if (fstat(path_fd, &object) != 0)
        return -errno;

    if (grants->count == grants->capacity) {
        size_t capacity = grants->capacity == 0 ? 8 : grants->capacity * 2;
        struct grant *items = realloc(grants->items, capacity * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        grants->items = items;
        grants->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    grants->items[grants->count++] =
        (struct grant){.path = copy, .writable = writable, .directory = S_ISDIR(object.st_mode)};
    return 0;
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
        if (write && !grant->writable)
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
