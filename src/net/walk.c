/*
 * The walk of a path as the member's kernel would make it, one name after the other, for the paths where
 * the supervisor's own walk says nothing: "self" in /proc names whoever walks, and magic links are
 * followed with the walker's rights. Here "self" is the caller, and a magic link is followed if it is a
 * member's. Only what the names mean is looked at; nothing is opened but with O_PATH.
 */
#include "net/network_files.h"

#include "kernel/sys.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the kernel counts (path_resolution(7)). */
#define LINKS_MAX 40

/* With one of these no magic link is ever followed: ELOOP or EXDEV (openat2(2)). */
#define NEVER_MAGIC                                                                    \
    (RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV | RESOLVE_BENEATH | \
     RESOLVE_IN_ROOT)

struct walk {
    const struct file_views *views;
    const struct request *request;
    const struct member_identity *identity; /* NULL: with our own rights */
    bool no_follow;
    unsigned links;
    char rest[2 * PATH_MAX]; /* what is still to be walked */
};

bool walk_is_needed(const struct file_views *views, const struct open_call *call, int error)
{
    if ((call->resolve & NEVER_MAGIC) != 0)
        return false;
    if (error == -ELOOP)
        return true;
    /* No such entry of the supervisor's, which may be one of the caller's, unless no link was met. Where
     * the members' ruleset refuses what is hidden, only what spells it is worth the walk. */
    if (error != -ENOENT || (!views->reached && strstr(call->path, "self") == NULL))
        return false;
    int start = call->object.base < 0 ? AT_FDCWD : call->object.base;
    const char *path = call->resolve == 0 ? call->object.path : call->path;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_CACHED};
    CLEANUP_FD int fd = (int)sys_call4(SYS_openat2, start, (long)path, (long)&how, sizeof(how));
    return fd != -ENOENT;
}

static bool is_callers_own(const struct walk *walk, int place)
{
    char path[PATH_MAX];
    struct proc_place process;
    bool unlinked;

    return object_is_in_procfs(place) &&
           grants_path_of(place, path, sizeof(path), &unlinked) >= 0 &&
           proc_place_parse(path, &process) &&
           (process.pid == walk->request->tgid ||
            (uint32_t)process.pid == walk->request->notification.pid);
}

/* What the kernel asks about other processes it does not ask about the own one: there our rights do. */
static int open_step(const struct walk *walk, int place, const char *name, int flags)
{
    struct lowered_rights lowered = {0};
    int result = 0;

    if (walk->identity != NULL && !is_callers_own(walk, place))
        result = identity_lower(walk->identity, &lowered);
    if (result < 0)
        return result;
    int fd = openat(place, name, O_PATH | O_CLOEXEC | flags);
    result = fd < 0 ? -errno : fd;
    identity_restore(&lowered);
    return result;
}

/* Moves to what the component means; takes the new place over. */
static void move(int *place, int fd)
{
    fd_close(*place);
    *place = fd;
}

/* The text goes in front of what is left. An absolute one starts at the root. */
static int expand(struct walk *walk, int *place, const char *text)
{
    char rest[sizeof(walk->rest)];

    if (text[0] == '\0')
        return -ENOENT;
    if (text[0] == '/') {
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return -errno;
        move(place, root);
    }
    int length =
        snprintf(rest, sizeof(rest), "%s%s%s", text, walk->rest[0] == '\0' ? "" : "/", walk->rest);
    if (length < 0 || (size_t)length >= sizeof(rest))
        return -ENAMETOOLONG;
    memcpy(walk->rest, rest, (size_t)length + 1);
    return 0;
}

/* A link below /proc, in the directory `place`. -ENOLINK: an ordinary one, by its text. */
static int follow_in_proc(struct walk *walk, int *place, const char *name)
{
    char directory[PATH_MAX], caller[64];
    struct proc_place process;
    bool unlinked;

    if (grants_path_of(*place, directory, sizeof(directory), &unlinked) < 0)
        return -EACCES;
    if (strcmp(directory, "/proc") == 0) {
        int length = snprintf(caller, sizeof(caller), "%d", (int)walk->request->tgid);
        if (strcmp(name, "thread-self") == 0)
            snprintf(caller + length, sizeof(caller) - (size_t)length, "/task/%u",
                     walk->request->notification.pid);
        else if (strcmp(name, "self") != 0)
            return -ENOLINK;
        return expand(walk, place, caller);
    }
    if (!proc_place_parse(directory, &process))
        /* Another mount of it, perhaps of other processes. */
        return strncmp(directory, "/proc/", 6) == 0 ? -ENOLINK : -EACCES;
    if (!proc_is_member(walk->request, process.pid))
        return -EACCES;
    int fd = open_step(walk, *place, name, 0);
    if (fd < 0)
        return fd;
    move(place, fd);
    return 0;
}

static int follow(struct walk *walk, int *place, int link, const char *name)
{
    struct object_identity object;
    char text[PATH_MAX];

    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    if (object_is_in_procfs(link)) {
        if (!object_identify(link, &object) || object.device != walk->views->shadow->proc_device)
            return -EACCES;
        int result = follow_in_proc(walk, place, name);
        if (result != -ENOLINK)
            return result;
    }
    ssize_t length = readlinkat(link, "", text, sizeof(text) - 1);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    return expand(walk, place, text);
}

/* The next name of what is left, "." for a slash at the end; false: there is none. */
static bool take_name(struct walk *walk, char name[NAME_MAX + 1], int *error)
{
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");

    *error = length > NAME_MAX ? -ENAMETOOLONG : 0;
    if (length == 0 || length > NAME_MAX) {
        walk->rest[0] = '\0';
        return false;
    }
    memcpy(name, start, length);
    name[length] = '\0';
    start += length;
    if (start[0] == '/' && start[strspn(start, "/")] == '\0')
        start = ".";
    memmove(walk->rest, start, strlen(start) + 1);
    return true;
}

static int step(struct walk *walk, int *place, const char *name)
{
    CLEANUP_FD int fd = open_step(walk, *place, name, O_NOFOLLOW);

    if (fd < 0)
        return fd;
    if (object_type(fd) == S_IFLNK && !(walk->no_follow && walk->rest[0] == '\0'))
        return follow(walk, place, fd, name);
    move(place, fd_steal(&fd));
    return 0;
}

int walk_as_caller(const struct file_views *views, const struct request *request,
                   const struct open_call *call, const struct member_identity *identity)
{
    const struct object *object = &call->object;
    const char *path = call->resolve == 0 ? object->path : call->path;
    struct walk walk = {.views = views,
                        .request = request,
                        .identity = identity,
                        .no_follow = open_call_has(call, O_NOFOLLOW)};
    char name[NAME_MAX + 1];
    int result;

    if (call->resolve == 0 && object->is_base)
        return open_call_pin(call, false);
    CLEANUP_FD int place = path[0] == '/' || object->base < 0
                               ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
                               : fcntl(object->base, F_DUPFD_CLOEXEC, 0);
    if (place < 0)
        return -errno;
    if (strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(walk.rest, path, strlen(path) + 1);
    while (take_name(&walk, name, &result)) {
        result = step(&walk, &place, name);
        if (result < 0)
            return result;
    }
    return result < 0 ? result : fd_steal(&place);
}
