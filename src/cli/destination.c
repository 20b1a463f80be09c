/* Report destinations: see destination.h. */
#include "cli/destination.h"

#include "policy/quote.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool destination_inherited(const char *number, const char *option, int *fd, struct error *err)
{
    uint64_t value;

    if (!text_parse_uint(number, strlen(number), INT_MAX, &value))
        return error_config(err, "%s: %s is not a descriptor number", option, quote(number).text);
    if (value == 0)
        return error_config(err, "%s: descriptor 0 is standard input, it cannot take a report",
                            option);

    /* Inherited descriptors are never close-on-exec: one that is belongs to us, not to the caller. */
    int flags = fcntl((int)value, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0)
        return error_config(err, "%s: descriptor %d is not open", option, (int)value);
    /* The literal 3: O_ACCMODE of musl covers O_PATH as well. */
    int status = fcntl((int)value, F_GETFL);
    if (status < 0 || (status & O_PATH) != 0 ||
        ((status & 3) != O_WRONLY && (status & 3) != O_RDWR))
        return error_config(err, "%s: descriptor %d is not open for writing", option, (int)value);
    *fd = (int)value;
    return true;
}

/* "DIRECTORY/NAME" into its parts; what ends in a slash is a directory. False: too long for a path. */
static bool split_path(const char *path, char directory[PATH_MAX], const char **name)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;

    if (length >= PATH_MAX)
        return false;
    *name = slash == NULL ? path : slash[1] == '\0' ? "." : slash + 1;
    if (length == 0)
        directory[length++] = '.';
    else
        memcpy(directory, path, length);
    directory[length] = '\0';
    return true;
}

/* Where the report goes. An earlier run of the same command must not have chosen it: by a link in a directory
 * that it may change. */
static int open_directory(const char *path, const char **name, struct grant_opener *opener,
                          const char **below)
{
    char directory[PATH_MAX];

    if (!split_path(path, directory, name))
        return -ENAMETOOLONG;
    CLEANUP_FD int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = opener == NULL ? 0 : grant_check(opener, directory, fd, below);
    return result < 0 ? result : fd_steal(&fd);
}

static bool refuse_path(const char *path, const char *option, int error, const char *below,
                        struct error *err)
{
    const char *reason = error == ELOOP ? "it is a symbolic link"
                         : error == ENXIO
                             ? "nobody reads this FIFO, or no device or file is behind it"
                             : strerror(error);

    if (below != NULL)
        return error_config(
            err, "%s: cannot open %s for writing: " GRANT_LINK_BELOW "; name what it leads to",
            option, quote(path).text, quote(below).text);
    return error_config(err, "%s: cannot open %s for writing: %s", option, quote(path).text,
                        reason);
}

static bool is_grant(const struct strv *grants, int start_fd, const struct stat *object,
                     const char **grant)
{
    struct stat status;

    for (size_t i = 0; i < grants->count; i++) {
        if (fstatat(start_fd, grants->items[i], &status, 0) == 0 &&
            status.st_dev == object->st_dev && status.st_ino == object->st_ino) {
            *grant = grants->items[i];
            return true;
        }
    }
    return false;
}

/* The write grant by which the command could change the open file, as the policy spells it; NULL: there is
 * none. Looks up from the directory as Landlock does. */
static const char *covering_grant(const struct grant_opener *opener, int directory, int fd)
{
    const struct policy *policy = opener->policy;
    const char *grant = NULL;
    struct stat status, below = {0};
    CLEANUP_FD int at = openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (policy->fs_write.count + policy->fs_write_try.count == 0 || fstat(fd, &status) != 0 ||
        (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)))
        return NULL;
    while (at >= 0) {
        if (is_grant(&policy->fs_write, opener->start_fd, &status, &grant) ||
            is_grant(&policy->fs_write_try, opener->start_fd, &status, &grant))
            return grant;
        if (fstat(at, &status) != 0 ||
            (status.st_dev == below.st_dev && status.st_ino == below.st_ino))
            return NULL; /* the root was looked at */
        below = status;
        int parent = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd_close(at);
        at = parent;
    }
    return NULL;
}

static bool open_path(const char *path, const char *option, enum destination_mode mode,
                      struct grant_opener *opener, struct destination *destination,
                      struct error *err)
{
    int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK |
                (mode == DESTINATION_APPEND ? O_APPEND : 0);
    const char *name;
    const char *below = NULL;
    CLEANUP_FD int directory = open_directory(path, &name, opener, &below);

    if (directory < 0)
        return refuse_path(path, option, -directory, below, err);
    CLEANUP_FD int fd = RETRY_ON_EINTR(openat(directory, name, flags | O_CREAT | O_EXCL, 0600));
    bool made = fd >= 0;

    if (fd < 0 && errno == EEXIST)
        fd = RETRY_ON_EINTR(openat(directory, name, flags));
    if (fd < 0)
        return refuse_path(path, option, errno, NULL, err);
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status & ~O_NONBLOCK) < 0)
        return error_runtime(err, errno, "%s: %s", option, quote(path).text);
    const char *grant = opener == NULL ? NULL : covering_grant(opener, directory, fd);
    *destination = (struct destination){
        .grant = grant,
        .fd = fd_steal(&fd),
        .directory = made ? fd_steal(&directory) : -1,
        .owned = true,
    };
    return true;
}

bool destination_open(const char *text, const char *option, enum destination_mode mode,
                      struct grant_opener *opener, struct destination *destination,
                      struct error *err)
{
    *destination = DESTINATION_NONE;
    if (text[0] == '\0')
        return error_config(err, "%s: empty destination; give a path, fd:N or -", option);
    if (strcmp(text, "-") == 0) /* which may be closed */
        return destination_inherited("2", option, &destination->fd, err);
    if (strncmp(text, "fd:", 3) == 0)
        return destination_inherited(text + 3, option, &destination->fd, err);
    return open_path(text, option, mode, opener, destination, err);
}

bool destination_empty(const struct destination *destination, const char *option, struct error *err)
{
    struct stat status;

    if (!destination->owned || fstat(destination->fd, &status) != 0 || !S_ISREG(status.st_mode))
        return true;
    return ftruncate(destination->fd, 0) == 0 ||
           error_runtime(err, errno, "%s: cannot empty the file", option);
}

void destination_withdraw(struct destination *destination, const char *text)
{
    struct stat ours;
    struct stat there;
    const char *slash = text == NULL ? NULL : strrchr(text, '/');
    const char *name = slash == NULL ? text : slash + 1; /* what was made has one */

    /* By name, so only what is still the file that was made. */
    if (destination->directory >= 0 && name != NULL && fstat(destination->fd, &ours) == 0 &&
        fstatat(destination->directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        unlinkat(destination->directory, name, 0);
    destination_close(destination);
}

void destination_close(struct destination *destination)
{
    if (destination->owned)
        fd_close(destination->fd);
    fd_close(destination->directory);
    *destination = DESTINATION_NONE;
}
