/* Named unix sockets bound on behalf: see bind.h. */
#include "net/bind.h"

#include "kernel/procfs.h"
#include "member/advice.h"
#include "member/object.h"
#include "member/path_verdict.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define STATUS_SIZE 8192

/* The umask of the member; -errno. */
static int mask_of(int proc_fd, pid_t tid)
{
    char status[STATUS_SIZE];
    ssize_t length = procfs_read(proc_fd, tid, "status", status, sizeof(status));

    if (length < 0)
        return (int)length;
    uint64_t mask;
    if (!procfs_status_number(status, "Umask", 8, &mask))
        return -EINVAL;
    return (int)mask & 0777;
}

/* The file gets the socket's own mode, which the member may have changed to keep others out, less the umask of
 * the thread that binds: ours, so the member's is taken off before. */
static int bind_masked(int socket, const struct sockaddr_un *address, int mask)
{
    struct stat before;

    if (fstat(socket, &before) != 0)
        return -errno;
    mode_t mode = before.st_mode & 07777;
    bool masks = (mode & (mode_t)mask) != 0;
    if (masks && fchmod(socket, mode & ~(mode_t)mask) != 0)
        return -errno;
    int result = bind(socket, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;
    if (masks)
        fchmod(socket, mode);
    return result;
}

/* Cuts a path into directory and name: the name is a pointer into `path`, which then is the directory.
 * NULL: no new file can have such a name. */
static const char *cut_name(char *path, const char **directory)
{
    char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return NULL;
    if (slash == NULL)
        *directory = ".";
    else if (slash == path)
        *directory = "/";
    else {
        *slash = '\0';
        *directory = path;
    }
    return name;
}

/* The directory, pinned and granted; or -errno. */
static int pin_directory(const struct request *request, const char *directory)
{
    struct member_view view = {.proc_fd = supervisor_proc_fd(request->supervisor),
                               .tid = (pid_t)request->notification.pid,
                               .tgid = request->tgid};
    struct object object = OBJECT_INIT;
    char path[PATH_MAX];

    int result = object_by_path(&object, &view, AT_FDCWD, directory, 0);
    if (result < 0)
        return result;
    if (!request_is_valid(request)) {
        object_release(&object);
        return -ESRCH;
    }
    CLEANUP_FD int fd = object_pin(&object, false);
    object_release(&object);
    if (fd < 0)
        return fd;
    enum path_verdict verdict =
        path_verdict_of(supervisor_grants(request->supervisor), fd, true, false, path);
    if (verdict == PATH_FAILED)
        return -errno;
    if (verdict == PATH_GRANTED)
        return object_type(fd) == S_IFDIR ? fd_steal(&fd) : -ENOTDIR;
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    const char *rule = NULL;
    bool usable = advice_grant(&advice, request, true, path, true, &rule);
    request_record_denial(request, path[0] == '\0' ? NULL : path, "make a socket", EACCES,
                          "bind-rules", rule, usable ? buffer_text(&advice) : NULL);
    return -EACCES;
}

int unix_bind(const struct request *request, const struct pinned_socket *socket,
              const struct socket_address *address)
{
    struct sockaddr_un through = {.sun_family = AF_UNIX};
    char path[ADDRESS_BYTES_MAX];
    const char *directory;

    if (address->length > sizeof(struct sockaddr_un))
        return -EINVAL;
    snprintf(path, sizeof(path), "%s", (const char *)address->bytes + 2);
    const char *name = cut_name(path, &directory);
    if (name == NULL)
        return -EADDRINUSE; /* as the kernel says of a name that is there */
    int mask = mask_of(supervisor_proc_fd(request->supervisor), (pid_t)request->notification.pid);
    if (mask < 0)
        return mask;
    CLEANUP_FD int fd = pin_directory(request, directory);
    if (fd < 0)
        return fd;
    int length = snprintf(through.sun_path, sizeof(through.sun_path), "/proc/thread-self/fd/%d/%s",
                          fd, name);
    if (length < 0 || (size_t)length >= sizeof(through.sun_path))
        return -ENAMETOOLONG;
    return bind_masked(socket->fd, &through, mask);
}
