/* What a grant names, and the links on the way to it: see grant_open.h. */
#include "launch/grant_open.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINKS_MAX 40 /* the kernel's own limit */
#define PROCFS_MAGIC 0x9fa0

void grant_opener_free(struct grant_opener *opener)
{
    free(opener->written);
    opener->written = NULL;
    opener->count = 0;
    opener->looked = false;
}

static bool same_object(const struct stat *left, const struct stat *right)
{
    return left->st_dev == right->st_dev && left->st_ino == right->st_ino;
}

/* ---- What the command may change ------------------------------------------------------------- */

static void look_at(struct grant_opener *opener, const struct strv *paths, const struct stat *root)
{
    struct stat status;

    for (size_t i = 0; i < paths->count; i++) {
        if (fstatat(opener->start_fd, paths->items[i], &status, 0) != 0 || !S_ISDIR(status.st_mode))
            continue; /* if it is needed, its own turn will say so */
        opener->everything = opener->everything || same_object(&status, root);
        opener->written[opener->count++] = (struct written_directory){
            .device = status.st_dev, .inode = status.st_ino, .path = paths->items[i]};
    }
}

static int look_at_write_grants(struct grant_opener *opener)
{
    const struct policy *policy = opener->policy;
    struct stat root;

    if (opener->looked)
        return 0;
    if (stat("/", &root) != 0)
        return -errno;
    opener->written =
        calloc(policy->fs_write.count + policy->fs_write_try.count, sizeof(*opener->written));
    if (opener->written == NULL)
        return -ENOMEM;
    look_at(opener, &policy->fs_write, &root);
    look_at(opener, &policy->fs_write_try, &root);
    opener->looked = true;
    return 0;
}

/* Landlock looks the same way up when the command changes something in the directory. 0 or -errno. */
static int find_write_grant(struct grant_opener *opener, int directory, const char **below)
{
    struct stat status, parent_status;
    int result = look_at_write_grants(opener);

    if (result < 0 || opener->everything || opener->count == 0)
        return result;
    CLEANUP_FD int at = openat(directory, ".", O_PATH | O_CLOEXEC);
    if (at < 0 || fstat(at, &status) != 0)
        return -errno;
    for (;;) {
        for (size_t i = 0; i < opener->count; i++) {
            if (opener->written[i].device == status.st_dev &&
                opener->written[i].inode == status.st_ino) {
                *below = opener->written[i].path;
                return 0;
            }
        }
        int parent = openat(at, "..", O_PATH | O_CLOEXEC);
        if (parent < 0)
            return -errno;
        fd_close(at);
        at = parent;
        if (fstat(at, &parent_status) != 0)
            return -errno;
        if (same_object(&status, &parent_status))
            return 0; /* the root */
        status = parent_status;
    }
}

bool grant_reaches_for_writing(struct grant_opener *opener, const char *path)
{
    const char *below = NULL;
    CLEANUP_FD int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && find_write_grant(opener, fd, &below) == 0 &&
           (opener->everything || below != NULL);
}

/* ---- The walk -------------------------------------------------------------------------------- */

/* What is left of the path stands at the end of `text`, so that a link's text fits in front of it. */
struct walk {
    struct grant_opener *opener;
    const char **below;
    int at;       /* owned: where the walk has come to */
    bool at_root; /* nothing but the root itself lies above */
    int links;    /* followed so far */
    char *rest;   /* into `text` */
    char text[PATH_MAX];
};

static int move_to(struct walk *walk, int fd, bool root)
{
    if (fd < 0)
        return -errno;
    fd_close(walk->at);
    walk->at = fd;
    walk->at_root = root;
    return 0;
}

/* Puts the link's text in front of what is left. */
static int follow_link(struct walk *walk, int link)
{
    size_t room = (size_t)(walk->rest - walk->text);
    int result = 0;

    if (!walk->at_root) /* only a grant of the root itself covers the root, and that allows every link */
        result = find_write_grant(walk->opener, walk->at, walk->below);
    if (result < 0)
        return result;
    if (*walk->below != NULL || ++walk->links > LINKS_MAX)
        return -ELOOP;
    ssize_t length = readlinkat(link, "", walk->text, room);
    if (length < 0)
        return room == 0 ? -ENAMETOOLONG : -errno;
    if ((size_t)length == room) /* perhaps cut off; and no room for a slash */
        return -ENAMETOOLONG;
    if (*walk->rest != '\0')
        *--walk->rest = '/';
    walk->rest -= length;
    memmove(walk->rest, walk->text, (size_t)length);
    return *walk->rest == '/' ? move_to(walk, openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC), true) : 0;
}

/* The next name of what is left. Behind a last slash stands ".", as the kernel reads it. */
static int take_name(struct walk *walk, char name[NAME_MAX + 1])
{
    char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    char *rest = start + length;

    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, start, length);
    name[length] = '\0';
    if (*rest == '/') {
        rest += strspn(rest, "/");
        if (*rest == '\0')
            *--rest = '.'; /* over the slash */
    }
    walk->rest = rest;
    return 0;
}

/* The links of procfs are no paths, and nobody's to change: the kernel follows them. */
static bool is_in_procfs(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && status.f_type == PROCFS_MAGIC;
}

static int walk_one(struct walk *walk)
{
    char name[NAME_MAX + 1];
    struct stat status;
    int result = take_name(walk, name);

    if (result < 0 || name[0] == '\0')
        return result;
    CLEANUP_FD int fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return -errno;
    if (!S_ISLNK(status.st_mode))
        return move_to(walk, fd_steal(&fd), false);
    if (!walk->at_root && is_in_procfs(fd))
        return move_to(walk, openat(walk->at, name, O_PATH | O_CLOEXEC), false);
    return follow_link(walk, fd);
}

/* If no link is left on the way, the kernel goes it at once. */
static int finish_at_once(struct walk *walk)
{
    int fd = sys_openat2(walk->at, walk->rest, O_PATH, 0, RESOLVE_NO_SYMLINKS);

    if (fd < 0)
        return 0; /* name by name: that tells what is in the way */
    walk->rest += strlen(walk->rest);
    return move_to(walk, fd, false);
}

/* `fd` was opened by the kernel's own walk, with its rules about foreign links and automounts. This one
 * looks at the links, and must have come to the same object. */
static int check(struct grant_opener *opener, int base, const char *path, int fd,
                 const char **below)
{
    struct walk walk; /* not initialised: most of it is never touched */
    struct stat opened, walked;
    size_t length = strlen(path);
    int result = 0;

    if (length >= sizeof(walk.text))
        return -ENAMETOOLONG;
    walk.opener = opener;
    walk.below = below;
    walk.links = 0;
    walk.rest = walk.text + sizeof(walk.text) - length - 1;
    memcpy(walk.rest, path, length + 1);
    walk.at_root = path[0] == '/';
    walk.at = openat(base, walk.at_root ? "/" : ".", O_PATH | O_CLOEXEC);
    if (walk.at < 0)
        return -errno;
    while (result == 0 && !opener->everything && *walk.rest != '\0') {
        int links = walk.links;
        result = walk_one(&walk);
        if (result == 0 && walk.links > links && *walk.rest != '\0')
            result = finish_at_once(&walk);
    }
    if (opener->everything) /* the links say nothing about such a command's grants */
        result = 0;
    else if (result == 0 && (fstat(walk.at, &walked) != 0 || fstat(fd, &opened) != 0))
        result = -errno;
    else if (result == 0 && !same_object(&walked, &opened))
        result = -ESTALE;
    fd_close(walk.at);
    return result;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool writes_nothing(const struct policy *policy)
{
    return policy->fs_write.count == 0 && policy->fs_write_try.count == 0;
}

int grant_open(struct grant_opener *opener, const char *path, const char **below)
{
    *below = NULL;
    if (!writes_nothing(opener->policy)) {
        int direct = sys_openat2(opener->start_fd, path, O_PATH, 0, RESOLVE_NO_SYMLINKS);
        /* Also where an old container knows no openat2. */
        if (direct != -ELOOP && direct != -ENOSYS && direct != -EPERM)
            return direct;
    }
    /* O_PATH: a FIFO must not block and an unreadable target must not fail. */
    CLEANUP_FD int fd = openat(opener->start_fd, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (!writes_nothing(opener->policy)) {
        int result = check(opener, opener->start_fd, path, fd, below);
        if (result < 0)
            return result;
    }
    return fd_steal(&fd);
}

int grant_check(struct grant_opener *opener, const char *path, int fd, const char **below)
{
    *below = NULL;
    return writes_nothing(opener->policy) ? 0 : check(opener, AT_FDCWD, path, fd, below);
}
