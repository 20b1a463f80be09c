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

static bool open_path(const char *path, const char *option, enum destination_mode mode,
                      struct destination *destination, struct error *err)
{
    int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK |
                (mode == DESTINATION_APPEND ? O_APPEND : 0);
    CLEANUP_FD int fd = RETRY_ON_EINTR(open(path, flags | O_CREAT | O_EXCL, 0600));
    bool made = fd >= 0;

    if (fd < 0 && errno == EEXIST)
        fd = RETRY_ON_EINTR(open(path, flags));

    if (fd < 0) {
        const char *reason = errno == ELOOP   ? "it is a symbolic link"
                             : errno == ENXIO ? "nobody reads this FIFO"
                                              : strerror(errno);
        return error_config(err, "%s: cannot open %s for writing: %s", option, quote(path).text,
                            reason);
    }
    int status = fcntl(fd, F_GETFL);
    if (status < 0 || fcntl(fd, F_SETFL, status & ~O_NONBLOCK) < 0)
        return error_runtime(err, errno, "%s: %s", option, quote(path).text);
    *destination = (struct destination){.fd = fd_steal(&fd), .owned = true, .made = made};
    return true;
}

bool destination_open(const char *text, const char *option, enum destination_mode mode,
                      struct destination *destination, struct error *err)
{
    *destination = DESTINATION_NONE;
    if (text[0] == '\0')
        return error_config(err, "%s: empty destination; give a path, fd:N or -", option);
    if (strcmp(text, "-") == 0) {
        destination->fd = STDERR_FILENO;
        return true;
    }
    if (strncmp(text, "fd:", 3) == 0)
        return destination_inherited(text + 3, option, &destination->fd, err);
    return open_path(text, option, mode, destination, err);
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

    /* By name, so only what is still the file that was made. */
    if (destination->made && fstat(destination->fd, &ours) == 0 && lstat(text, &there) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        unlink(text);
    destination_close(destination);
}

void destination_close(struct destination *destination)
{
    if (destination->owned)
        fd_close(destination->fd);
    *destination = DESTINATION_NONE;
}
