/*
 * The home directory: see home.h. Nothing may hold up a start, and a home may lie on a server that does not answer.
 * So every name is looked up in the cache alone. There the kernel follows no link whose time of access is due, which
 * would be written; such a link is read here, where the file system is one that answers.
 */
#include "launch/home.h"

#include "kernel/sys.h"
#include "member/object.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* the kernel's own limit */

static int open_cached(int at, const char *path, int flags, uint64_t resolve)
{
    return sys_openat2(at, path, (uint64_t)(O_PATH | flags), 0, RESOLVE_CACHED | resolve);
}

/* Without links it is then its own canonical name. */
static bool is_plain(const char *path)
{
    for (const char *name = path; *name != '\0'; name += strcspn(name, "/")) {
        size_t length = strcspn(++name, "/");
        if (length == 0 || strncmp(name, ".", length) == 0 || strncmp(name, "..", length) == 0)
            return false;
    }
    return path[0] != '\0';
}

/* On a block device, or where the root lies: without that nothing starts. */
static bool is_at_hand(int fd)
{
    struct object_identity link, root;

    return object_identify(fd, &link) &&
           (link.device >> 32 != 0 ||
            (object_identify_path(AT_FDCWD, "/", &root) && link.device == root.device));
}

/* Puts the link's text in front of what is left of the path. */
static int follow(int link, const char *left, char path[PATH_MAX])
{
    char text[PATH_MAX], joined[PATH_MAX];
    ssize_t length = readlinkat(link, "", text, sizeof(text) - 1);

    if (length < 0)
        return -errno;
    text[length] = '\0';
    if (snprintf(joined, sizeof(joined), "%s/%s", text, left) >= (int)sizeof(joined))
        return -ENAMETOOLONG;
    memcpy(path, joined, strlen(joined) + 1);
    return 0;
}

/* Name by name. A descriptor, or -errno. `path` is absolute, and lost. */
static int walk(char path[PATH_MAX])
{
    char name[NAME_MAX + 1];
    CLEANUP_FD int at = -1;
    int links = 0;

    while (path[0] != '\0') {
        if (path[0] == '/') { /* at the begin, or of a link's text */
            fd_close(at);
            at = open("/", O_PATH | O_CLOEXEC);
            memmove(path, path + strspn(path, "/"), strlen(path + strspn(path, "/")) + 1);
            continue;
        }
        size_t length = strcspn(path, "/");
        const char *left = path + length + strspn(path + length, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        snprintf(name, sizeof(name), "%.*s", (int)length, path);
        CLEANUP_FD int fd = open_cached(at, name, O_NOFOLLOW, 0);
        if (fd < 0)
            return fd;
        if (object_type(fd) == S_IFLNK) {
            int result = ++links > LINKS_MAX ? -ELOOP
                         : !is_at_hand(fd)   ? -EAGAIN
                                             : follow(fd, left, path);
            if (result < 0)
                return result;
            continue;
        }
        fd_close(at);
        at = fd_steal(&fd);
        memmove(path, left, strlen(left) + 1);
    }
    return fd_steal(&at);
}

const char *home_directory(char room[PATH_MAX])
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    bool unlinked;

    if (home == NULL || home[0] != '/')
        return NULL;
    /* The usual one, and the cheapest look. */
    if (is_plain(home)) {
        CLEANUP_FD int plain = open_cached(AT_FDCWD, home, O_DIRECTORY, RESOLVE_NO_SYMLINKS);
        if (plain >= 0)
            return home;
    }
    CLEANUP_FD int fd = open_cached(AT_FDCWD, home, O_DIRECTORY, 0);
    if (fd < 0 && snprintf(path, sizeof(path), "%s", home) < (int)sizeof(path))
        fd = walk(path);
    return fd >= 0 && grants_path_of(fd, room, PATH_MAX, &unlinked) == 0 ? room : home;
}
