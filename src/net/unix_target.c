/* Named unix sockets: see unix_target.h. */
#include "net/unix_target.h"

#include "kernel/sys.h"
#include "member/advice.h"
#include "member/object.h"
#include "member/path_verdict.h"
#include "net/destinations.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAYER "unix-gate"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif

/* ---- Names that lead to no socket ------------------------------------------------------------------ */

/* Takes the last component off `path`, leaving "/" or "." where nothing is left. False: there was none. */
static bool cut_last(char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        bool more = strcmp(path, ".") != 0;
        memcpy(path, ".", sizeof("."));
        return more;
    }
    if (slash[1] == '\0')
        return false; /* the root */
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

/* 1: a link stands at the name itself, 0: none does; -EAGAIN. */
static int is_symlink(const struct object *object, bool cached_only)
{
    struct object link = *object; /* borrows the base */

    link.no_follow = true;
    CLEANUP_FD int fd = object_pin(&link, cached_only);
    if (fd < 0)
        return fd == -EAGAIN ? fd : 0;
    return object_type(fd) == S_IFLNK;
}

/* `if_granted`, or -EACCES, if the object may not be read; -EAGAIN. */
static int judge_existence(const struct destinations *shared, int path_fd, bool cached_only,
                           int if_granted)
{
    char path[PATH_MAX];

    switch (path_verdict_of(shared->grants, path_fd, false, cached_only, path)) {
    case PATH_GRANTED:
        return if_granted;
    case PATH_UNDECIDED:
        return -EAGAIN;
    case PATH_FAILED:
        return -errno;
    default:
        return -EACCES;
    }
}

/* Nothing is at the name. The kernel's `error` is told only where the member could see that for itself:
 * what exists of the way lies in its grants, and no link leads on from there. */
static int answer_missing(const struct destinations *shared, const struct object *object, int error,
                          bool cached_only)
{
    struct object way = *object; /* borrows the base */

    if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || !shared->judge_unix)
        return error;
    for (;;) {
        struct object child = way;
        if (way.is_base || !cut_last(way.path))
            return -EACCES;
        CLEANUP_FD int fd = object_pin(&way, cached_only);
        int link = is_symlink(&child, cached_only);
        if (fd == -EAGAIN || link == -EAGAIN)
            return -EAGAIN;
        if (link != 0)
            return -EACCES;
        if (fd >= 0)
            return judge_existence(shared, fd, cached_only, error);
    }
}

/* ---- The verdict ----------------------------------------------------------------------------------- */

static int refuse(const struct request *request, const char *path, const char *rule)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    bool usable = rule == NULL && advice_grant(&advice, request, true, path, true, &rule);
    request_record_denial(request, path[0] == '\0' ? NULL : path, "connect", EACCES, LAYER, rule,
                          usable ? buffer_text(&advice) : NULL);
    return -EACCES;
}

/* The kernel looks at the mode first, then at what it is. */
static int answer_no_socket(int path_fd, const struct member_identity *identity)
{
    struct lowered_rights lowered = {0};

    if (identity != NULL && identity_lower(identity, &lowered) != 0)
        return -EPERM;
    long result = sys_call4(SYS_faccessat2, path_fd, (long)"", W_OK, AT_EMPTY_PATH | AT_EACCESS);
    identity_restore(&lowered);
    return result == -EACCES ? -EACCES : -ECONNREFUSED;
}

static int judge(const struct request *request, const struct destinations *shared, int path_fd,
                 bool cached_only, const struct member_identity *identity)
{
    char path[PATH_MAX] = "";

    if (object_type(path_fd) != S_IFSOCK) {
        int error = answer_no_socket(path_fd, identity);
        return shared->judge_unix ? judge_existence(shared, path_fd, cached_only, error) : error;
    }
    if (!shared->judge_unix)
        return 0;
    switch (path_verdict_of(shared->grants, path_fd, true, cached_only, path)) {
    case PATH_GRANTED:
        return 0;
    case PATH_NAMELESS: /* a descriptor of a socket: nothing can be bound to it */
        return -ECONNREFUSED;
    case PATH_REFUSED:
        return refuse(request, path, NULL);
    case PATH_UNDECIDED:
        return -EAGAIN;
    case PATH_FAILED:
        return -errno;
    case PATH_UNKNOWN:
        break;
    }
    return refuse(request, path, PATH_UNKNOWN_TEXT);
}

/* ---- Pinning --------------------------------------------------------------------------------------- */

/* As the member: the modes of the directories are its own concern. */
static int pin(const struct request *request, struct destinations *shared,
               const struct object *object, bool cached_only,
               const struct member_identity *identity)
{
    CLEANUP_FD int path_fd = identity_pin(identity, object, cached_only);

    if (path_fd == -EAGAIN)
        return path_fd;
    /* What follows may have come after a long wait: the run may be over. */
    if (!cached_only && !request_is_valid(request))
        return -ESRCH;
    if (path_fd < 0)
        return answer_missing(shared, object, path_fd, cached_only);
    if (!cached_only)
        local_devices_learn(&shared->local, path_fd);
    else if (!local_devices_has(&shared->local, path_fd))
        return -EAGAIN;
    int result = judge(request, shared, path_fd, cached_only, identity);
    return result < 0 ? result : fd_steal(&path_fd);
}

int unix_target_pin(const struct request *request, const struct socket_address *address,
                    bool cached_only, struct unix_target *target)
{
    struct destinations *shared = request->state;
    const char *path = (const char *)address->bytes + offsetof(struct sockaddr_un, sun_path);
    struct member_view view = {
        .proc_fd = shared->proc_fd, .tid = (pid_t)request->notification.pid, .tgid = request->tgid};
    struct object object;

    *target = UNIX_TARGET_INIT;
    if (address->length > sizeof(struct sockaddr_un))
        return -EINVAL;
    int result = object_by_path(&object, &view, AT_FDCWD, path, 0);
    if (result == 0)
        result = own_rights_look(&shared->rights, request, shared->mapped, &target->knows_identity,
                                 &target->identity);
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    if (result == 0)
        result = pin(request, shared, &object, cached_only,
                     target->knows_identity ? &target->identity : NULL);
    object_release(&object);
    if (result < 0) {
        unix_target_release(target);
        return result;
    }
    target->path_fd = result;
    return 0;
}

/* ---- Acting ---------------------------------------------------------------------------------------- */

int unix_target_enter(const struct request *request, struct unix_target *target, uint64_t kept,
                      struct lowered_rights *lowered)
{
    const struct destinations *shared = request->state;

    lowered->active = false;
    int result = own_rights_look(&shared->rights, request, shared->mapped, &target->knows_identity,
                                 &target->identity);
    if (result < 0)
        return result;
    target->name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(target->name.sun_path, sizeof(target->name.sun_path),
                          "/proc/thread-self/fd/%d", target->path_fd);
    target->length = (unsigned)(offsetof(struct sockaddr_un, sun_path) + (size_t)length + 1);
    if (!target->knows_identity)
        return 0;
    struct member_identity identity = target->identity; /* borrows the groups */
    identity.effective |= kept;
    /* The kernel asks for write permission on the socket's inode. */
    return identity_lower(&identity, lowered) == 0 ? 0 : -EPERM;
}

void unix_target_leave(struct lowered_rights *lowered)
{
    identity_restore(lowered);
}

void unix_target_release(struct unix_target *target)
{
    fd_close(target->path_fd);
    target->path_fd = -1;
    identity_release(&target->identity);
}
