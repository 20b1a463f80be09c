/*
 * procfs and sysfs as members see them. Where a grant reaches them, no rule of the members' ruleset
 * does: every open comes here, is judged by what the object is, and is made by the supervisor. So
 * /proc/net is the sandbox's own under every spelling, other processes of the user are out of reach, and
 * the host's interfaces do not show in /sys.
 *
 * "self" and "thread-self" name whoever walks, and that is the supervisor; an object that turns out to
 * be the supervisor's own entry is looked up again below the caller's.
 */
#include "net/network_files.h"

#include "kernel/sys.h"
#include "member/kernel_place.h"
#include "supervisor/grants.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PROC "/proc"

#define WALK_BELOW (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

static struct open_decision refuse(int error, const char *rule)
{
    return (struct open_decision){.answer = ANSWER_REFUSE, .error = error, .rule = rule};
}

/* A grant would allow it. */
static struct open_decision refuse_without_grant(void)
{
    struct open_decision decision = refuse(EACCES, "no grant covers it");

    decision.of_grant = true;
    return decision;
}

static struct open_decision answer(enum open_answer kind)
{
    return (struct open_decision){.answer = kind};
}

/* ---- Pinning --------------------------------------------------------------------------------------- */

/* The same entry of the calling thread: "self" is its process, "thread-self" itself. */
static int pin_of_caller(const struct file_views *views, const struct request *request,
                         bool of_thread, const char *rest, uint64_t flags)
{
    char path[PATH_MAX + 32];
    int length = of_thread ? snprintf(path, sizeof(path), "%d/task/%u", (int)request->tgid,
                                      request->notification.pid)
                           : snprintf(path, sizeof(path), "%d", (int)request->tgid);

    snprintf(path + length, sizeof(path) - (size_t)length, "%s%s", rest[0] == '\0' ? "" : "/",
             rest);
    return sys_openat2(views->proc_fd, path, O_PATH | flags, 0, WALK_BELOW);
}

static const char *skip(const char *text, const char *component)
{
    size_t length = strlen(component);

    if (strncmp(text, component, length) != 0 || (text[length] != '/' && text[length] != '\0'))
        return NULL;
    text += length;
    return text + strspn(text, "/");
}

int proc_pin(const struct file_views *views, const struct request *request,
             const struct open_call *call)
{
    uint64_t flags = call->flags & O_NOFOLLOW;
    const char *path = call->path;
    size_t length = strlen(path);

    /* What leads out of procfs, and what asks for a process's memory map, may wait. A slash at the end
     * says that a directory is meant. */
    if (call->resolve != 0 || call->object.base >= 0 || path[0] != '/' || path[length - 1] == '/' ||
        strstr(path, "..") != NULL || strstr(path, "map_files") != NULL)
        return -EAGAIN;
    path = skip(path + strspn(path, "/"), "proc");
    if (path == NULL || path[0] == '\0')
        return -EAGAIN;
    const char *own = skip(path, "self");
    const char *own_thread = skip(path, "thread-self");
    int fd;
    if (own != NULL && (own[0] != '\0' || flags == 0))
        fd = pin_of_caller(views, request, false, own, flags);
    else if (own_thread != NULL && (own_thread[0] != '\0' || flags == 0))
        fd = pin_of_caller(views, request, true, own_thread, flags);
    else
        fd = sys_openat2(views->proc_fd, path, O_PATH | flags, 0, WALK_BELOW);
    /* A mount below /proc. */
    return fd == -EXDEV ? -EAGAIN : fd;
}

/* ---- Whose ----------------------------------------------------------------------------------------- */

/* True if a member wrote this number itself: then it means the supervisor, not "self". */
static bool spells(const char *path, pid_t pid)
{
    char number[16];
    size_t length = (size_t)snprintf(number, sizeof(number), "%d", (int)pid);

    for (const char *found = strstr(path, number); found != NULL;
         found = strstr(found + 1, number)) {
        if ((found == path || found[-1] == '/') && (found[length] == '/' || found[length] == '\0'))
            return true;
    }
    return false;
}

/* ---- Grants ---------------------------------------------------------------------------------------- */

/* A grant of /proc/self was opened by the supervisor, so it names the supervisor's entry; it means each
 * process's own. The host's network behind "net" is reached by a grant that names it, or all of /proc.
 * `thread` is "/task/N" of the thread that opened the grants, or "". */
static bool own_is_granted(const struct file_views *views, const char *thread,
                           const struct proc_place *place, bool write)
{
    char spelled[PATH_MAX + 48];
    struct proc_place granted;

    snprintf(spelled, sizeof(spelled), PROC "/%d%s%s%s", (int)views->own, thread,
             place->rest[0] == '\0' ? "" : "/", place->rest);
    const struct grant *grant = grants_find(views->grants, spelled, write);
    return grant != NULL &&
           (!proc_place_is_net(place) || !proc_place_parse(grant->path, &granted) ||
            proc_place_is_net(&granted));
}

static bool proc_is_granted(const struct file_views *views, const char *path, bool own, bool write)
{
    struct proc_place place;
    char thread[32];

    if (views->grants == NULL)
        return false;
    if (!proc_place_parse(path, &place))
        return grants_find(views->grants, path, write) != NULL;
    snprintf(thread, sizeof(thread), "/task/%d", (int)views->own_thread);
    if (own && (own_is_granted(views, "", &place, write) ||
                (strstr(path, "/task/") != NULL && own_is_granted(views, thread, &place, write))))
        return true;
    return grants_find(views->grants, PROC, write) != NULL;
}

/* ---- Verdicts -------------------------------------------------------------------------------------- */

static struct open_decision decide_net(const struct open_call *call, const char *rest)
{
    if (rest[3] == '\0') { /* the directory: see listing.c */
        if (open_call_has(call, O_PATH))
            return answer(ANSWER_CONTINUE);
        return open_call_writes(call) ? refuse(EISDIR, NULL) : answer(ANSWER_REOPEN);
    }
    enum net_file file = net_file_find(rest + strlen("net/"));
    if (file == NET_FILE_COUNT)
        return refuse(ENOENT, NULL);
    if (open_call_has(call, O_PATH))
        return refuse(EOPNOTSUPP, NULL);
    if (open_call_has(call, O_DIRECTORY))
        return refuse(ENOTDIR, NULL);
    if (open_call_writes(call))
        return refuse(EACCES, "/proc/net cannot be written");
    struct open_decision decision = answer(ANSWER_NET);
    decision.file = file;
    decision.may_wait = net_file_text(file) == NULL;
    return decision;
}

static struct open_decision decide_reopen(const struct open_call *call, bool granted)
{
    /* It conveys nothing but the name, and cannot be handed over. */
    if (open_call_has(call, O_PATH))
        return answer(ANSWER_CONTINUE);
    return granted ? answer(ANSWER_REOPEN) : refuse_without_grant();
}

struct open_decision proc_decide(const struct file_views *views, const struct request *request,
                                 const struct open_call *call, int *path_fd, char path[PATH_MAX])
{
    bool write = open_call_writes(call);
    struct object_identity object;
    struct proc_place place;
    bool unlinked;

    int result = grants_path_of(*path_fd, path, PATH_MAX, &unlinked);
    /* The kernel drops and remakes these names at will: "unlinked" says nothing here. */
    if (result < 0 || strncmp(path, PROC, strlen(PROC)) != 0)
        return refuse(EACCES, NULL);
    if (!object_identify(*path_fd, &object))
        return refuse(EACCES, NULL);
    if (S_ISLNK(object.mode)) /* pinned with O_NOFOLLOW */
        return answer(ANSWER_CONTINUE);
    if (!proc_place_parse(path, &place)) {
        const char *hidden = proc_hides(path);
        /* What leads to the entries of lo, and reads nothing, stays open. */
        if (hidden != NULL && !(proc_names_interface(path) && open_call_has(call, O_PATH)))
            return refuse(EACCES, hidden);
        return decide_reopen(call, proc_is_granted(views, path, false, write));
    }
    if (place.pid == views->own && !spells(call->path, views->own)) {
        bool of_thread = strstr(path, "/task/") != NULL;
        int own_fd = pin_of_caller(views, request, of_thread, place.rest, 0);
        if (own_fd < 0)
            return refuse(-own_fd, NULL);
        fd_close(*path_fd);
        *path_fd = own_fd;
        result = grants_path_of(own_fd, path, PATH_MAX, &unlinked);
        if (result < 0 || !proc_place_parse(path, &place))
            return refuse(EACCES, NULL);
    }
    if (!proc_is_member(request, place.pid))
        return refuse(EACCES, "another process's");
    bool own = place.pid == request->tgid || (uint32_t)place.pid == request->notification.pid;
    bool granted = proc_is_granted(views, path, own, write);
    if (proc_place_is_net(&place)) {
        if (!write && !granted)
            return refuse_without_grant();
        return decide_net(call, place.rest);
    }
    if (!open_call_has(call, O_PATH) && proc_place_is_sensitive(&place, own, write))
        return refuse(EACCES, "opened for somebody else it would show or do more");
    if (write && !open_call_has(call, O_PATH) && proc_place_reaches_out(request, &place))
        return refuse(EACCES, "it is the whole session's, which began outside the sandbox");
    struct open_decision decision = decide_reopen(call, granted);
    decision.own = own;
    decision.may_wait = !own; /* the other may be in the middle of an exec */
    return decision;
}

struct open_decision sys_decide(const struct file_views *views, const struct open_call *call,
                                int path_fd, char path[PATH_MAX])
{
    bool unlinked;
    int result = grants_path_of(path_fd, path, PATH_MAX, &unlinked);

    if (result < 0 || unlinked)
        return refuse(EACCES, NULL);
    if (sys_hides(path) != NULL)
        return refuse(EACCES, sys_hides(path));
    return decide_reopen(call,
                         views->grants != NULL &&
                             grants_find(views->grants, path, open_call_writes(call)) != NULL);
}

/* A grant of something in there is the kernel's to judge, as everywhere. Others show what a program is told about
 * its limits; what is written acts on whoever is in the group, and the lists are about others. */
struct open_decision cgroup_decide(const struct file_views *views, const struct open_call *call,
                                   int path_fd, char path[PATH_MAX])
{
    bool write = open_call_writes(call);
    bool unlinked;
    int result = grants_path_of(path_fd, path, PATH_MAX, &unlinked);

    if (result < 0 || unlinked)
        return refuse(EACCES, NULL);
    const struct grant *grant =
        views->grants == NULL ? NULL : grants_find(views->grants, path, write);
    if (grant != NULL && shadow_is_cgroup(views->shadow, grant->device))
        return answer(ANSWER_CONTINUE);
    struct object_identity object;
    bool file = object_identify(path_fd, &object) && S_ISREG(object.mode);
    if (grant != NULL && !open_call_has(call, O_PATH) &&
        (write || (file && cgroup_tells_of_processes(path)))) {
        struct open_decision decision = refuse_without_grant();
        decision.rule = "control groups tell of other processes and change them: "
                        "a grant of its own is needed";
        return decision;
    }
    return decide_reopen(call, grant != NULL);
}

struct open_decision mount_decide(const struct file_views *views, const struct open_call *call,
                                  int path_fd, char path[PATH_MAX])
{
    bool kernels = strncmp(call->path, "/proc/", 6) == 0 || strncmp(call->path, "/sys/", 5) == 0;
    struct object_identity object;
    bool unlinked;

    /* Who goes there by a link gets the kernel's refusal without a word: every open would pay for that. */
    if ((call->path[0] == '/' && !kernels) || views->grants == NULL ||
        open_call_has(call, O_PATH) || !object_identify(path_fd, &object) || S_ISLNK(object.mode) ||
        (!kernels && object.device == views->shadow->root.device) ||
        grants_path_of(path_fd, path, PATH_MAX, &unlinked) < 0 || unlinked)
        return answer(ANSWER_CONTINUE);
    const struct grant *grant = grants_find(views->grants, path, open_call_writes(call));
    if (grant == NULL || !shadow_hides_mount(views->shadow, path, grant->path, grant->device))
        return answer(ANSWER_CONTINUE);
    struct open_decision decision = refuse_without_grant();
    decision.rule = "another file system is mounted there: a grant of its own is needed";
    return decision;
}
