/*
 * hosts-view and proc-view: opens that would reach the host's /etc/hosts, its /proc/net or the entries of
 * other processes. Each open is pinned in the member's view and judged by what it is, so every spelling
 * is the same; most continue at once. That is safe because the kernel is the second wall: no rule of the
 * members' ruleset reaches what is hidden here (net/shadow.h), so an open that is raced past this look is
 * refused. What a member is to see is opened by the supervisor and handed over.
 *
 * Both views share one way; where both are on, the proc view does the work of the other. A later
 * layer for all files takes over by replacing this file: open_call.h decodes, shadow.h knows the places.
 */
#include "net/network_files.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "member/identity.h"
#include "net/net.h"
#include "net/network.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_SEAL_SEAL 0x0001
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW 0x0004
#define F_SEAL_WRITE 0x0008
#endif

#define HOSTS_LAYER "hosts-view"
#define PROC_LAYER "proc-view"

/* Without a rule that names a host. */
#define HOSTS_PLAIN "127.0.0.1 localhost\n::1 localhost\n"

#define ACCESS_MODE 3 /* musl's O_ACCMODE has O_PATH in it */

/* What a description can be asked to be; not how the name is walked. */
#define KEPT_FLAGS                                                                                \
    (ACCESS_MODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_NOATIME | O_DSYNC | O_SYNC | O_TRUNC | \
     O_NOCTTY)

/* A rename or a new file is seen by its time of change, which the kernel rounds to its clock tick. */
#define CLOCK_SLACK 2

/* ---- When they are on ------------------------------------------------------------------------------ */

static bool hosts_wanted(const struct policy *policy)
{
    return network_shape_of(policy).hosts_view;
}

static bool proc_wanted(const struct policy *policy)
{
    return shadow_policy_shows_kernel(policy);
}

/* True if a write grant reaches the hosts file: then the members' ruleset does, too. */
static bool writes_reach_hosts(const struct policy *policy)
{
    const struct strv *lists[] = {&policy->fs_write, &policy->fs_write_try};
    struct object_identity object;
    struct shadow shadow;

    shadow_init(&shadow, policy);
    for (size_t list = 0; list < 2; list++) {
        for (size_t i = 0; i < lists[list]->count; i++) {
            const char *path = lists[list]->items[i];
            if (object_identify_path(AT_FDCWD, path, &object) &&
                shadow_kind_of(&shadow, path, &object, false) != SHADOW_NONE)
                return true;
        }
    }
    return false;
}

static void hosts_describe(const struct policy *policy, struct posture *posture)
{
    posture_set(posture, HOSTS_LAYER, POSTURE_ACTIVE, "supervisor", "destinations go by rules");
    if (writes_reach_hosts(policy))
        posture_exception(posture,
                          "a write grant covers /etc/hosts: an open that is raced past the "
                          "supervisor reaches the host's file");
}

static void proc_describe(const struct policy *policy, struct posture *posture)
{
    (void)policy;
    posture_set(posture, PROC_LAYER, POSTURE_ACTIVE, "supervisor", "a grant covers /proc or /sys");
}

/* ---- Contents -------------------------------------------------------------------------------------- */

/* Sealed memory with this text, for reading. A descriptor or -errno. */
static int seal_text(const char *name, const char *text, size_t length)
{
    CLEANUP_FD int fd = sys_memfd(name, 0);

    if (fd < 0)
        return fd;
    int result = fd_write_all(fd, text, length);
    if (result < 0)
        return result;
    if (fchmod(fd, 0444) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return -errno;
    return fd_steal(&fd);
}

/* A description of its own: at offset 0, for reading alone. */
static int open_again(const struct file_views *views, int fd, uint64_t flags)
{
    char name[32];

    snprintf(name, sizeof(name), "fd/%d", fd);
    return procfs_open_file(views->proc_fd, 0, name, (int)flags);
}

/* Made for this open alone: nothing of a look is kept. */
static int open_sockets(struct file_views *views, enum net_file file)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct proc_sockets source = views->sockets;

    source.guardian = supervisor_guardian(views->supervisor);
    source.netlink = network_of(views->supervisor)->netlink;
    int result = proc_sockets_text(&source, file, &text);
    if (result < 0)
        return result;
    CLEANUP_FD int fd = seal_text(net_file_name(file), buffer_text(&text), text.length);
    return fd < 0 ? fd : open_again(views, fd, O_RDONLY);
}

static int open_fixed(struct file_views *views, enum net_file file)
{
    const char *text = net_file_text(file);

    if (views->net_fds[file] < 0)
        views->net_fds[file] = seal_text(net_file_name(file), text, strlen(text));
    return views->net_fds[file] < 0 ? views->net_fds[file]
                                    : open_again(views, views->net_fds[file], O_RDONLY);
}

static int open_net_file(struct file_views *views, enum net_file file)
{
    pthread_mutex_lock(&views->lock);
    int fd = net_file_text(file) == NULL ? open_sockets(views, file) : open_fixed(views, file);
    pthread_mutex_unlock(&views->lock);
    return fd;
}

/* A member that is another user than the supervisor has the rights of "others". */
static bool modes_allow(const struct member_identity *identity, int path_fd, bool write)
{
    struct object_identity object;

    if (!identity->differs_in_ids)
        return true;
    if (!object_identify(path_fd, &object))
        return false;
    unsigned wanted = (write ? S_IWOTH : S_IROTH) * (object.uid == identity->uid ? 0100U : 1U);
    return (object.mode & wanted) != 0;
}

static int reopen(const struct file_views *views, const struct request *request,
                  const struct open_call *call, int path_fd)
{
    struct member_identity identity;
    struct lowered_rights lowered = {0};
    uint64_t flags = call->flags & (uint64_t)KEPT_FLAGS;

    if (!views->privileged)
        return open_again(views, path_fd, flags);
    int result =
        identity_read(views->proc_fd, (pid_t)request->notification.pid, views->mapped, &identity);
    if (result < 0)
        return result;
    if (!modes_allow(&identity, path_fd, open_call_writes(call)))
        return -EACCES;
    if (identity_lower(&identity, &lowered) != 0)
        return -EPERM;
    int fd = open_again(views, path_fd, flags);
    identity_restore(&lowered);
    return fd;
}

/* ---- Verdicts -------------------------------------------------------------------------------------- */

static struct open_decision answer(enum open_answer kind)
{
    return (struct open_decision){.answer = kind};
}

static struct open_decision decide_hosts(const struct open_call *call)
{
    struct open_decision decision = answer(ANSWER_HOSTS);

    if (open_call_has(call, O_PATH)) /* no content; what is opened by it later is judged then */
        return answer(ANSWER_CONTINUE);
    if (open_call_has(call, O_CREAT | O_EXCL))
        return answer(ANSWER_CONTINUE); /* EEXIST */
    if (open_call_has(call, O_DIRECTORY))
        return (struct open_decision){.answer = ANSWER_REFUSE, .error = ENOTDIR};
    if (open_call_writes(call))
        return (struct open_decision){.answer = ANSWER_REFUSE,
                                      .error = EACCES,
                                      .rule =
                                          "/etc/hosts is the sandbox's own and cannot be written"};
    return decision;
}

/* A file that was put beside the hosts file since the start: no rule of the members covers it, since the
 * rules are on the entries that were there. */
static struct open_decision decide_late(const struct file_views *views,
                                        const struct open_call *call, int path_fd,
                                        char path[PATH_MAX])
{
    bool unlinked;

    if (grants_path_of(path_fd, path, PATH_MAX, &unlinked) < 0)
        return answer(ANSWER_CONTINUE);
    if (shadow_names_hosts(&views->shadow, path)) /* or the host replaced it */
        return decide_hosts(call);
    if (unlinked || open_call_writes(call) || open_call_has(call, O_PATH) ||
        !shadow_lies_beside(&views->shadow, path) || views->grants == NULL ||
        grants_find(views->grants, path, false) == NULL)
        return answer(ANSWER_CONTINUE);
    struct open_decision decision = answer(ANSWER_REOPEN);
    decision.may_wait = true;
    return decision;
}

static struct open_decision decide(const struct file_views *views, const struct request *request,
                                   const struct open_call *call, int *path_fd, char path[PATH_MAX])
{
    const struct shadow *shadow = &views->shadow;
    struct object_identity object;

    path[0] = '\0';
    if (!object_identify(*path_fd, &object))
        return answer(ANSWER_CONTINUE);
    if (shadow_is_hosts(shadow, &object))
        return decide_hosts(call);
    if (shadow->kernel && object.device == shadow->proc_device)
        return proc_decide(views, request, call, path_fd, path);
    if (shadow->kernel && object.device == shadow->sys_device)
        return sys_decide(views, call, *path_fd, path);
    if (shadow_hides_listing(shadow, &object) && S_ISDIR(object.mode)) {
        bool listed = !open_call_writes(call) && !open_call_has(call, O_PATH) &&
                      views->grants != NULL && grants_find(views->grants, "/", false) != NULL;
        return answer(listed ? ANSWER_REOPEN : ANSWER_CONTINUE);
    }
    if (S_ISREG(object.mode) && object.changed >= views->started - CLOCK_SLACK &&
        shadow_has_device(shadow, object.device))
        return decide_late(views, call, *path_fd, path);
    return answer(ANSWER_CONTINUE);
}

/* ---- Answers --------------------------------------------------------------------------------------- */

static struct verdict hand_over(const struct request *request, const struct open_call *call, int fd)
{
    if (fd < 0)
        return verdict_errno(-fd);
    int result = request_answer_fd(request, fd, -1, open_call_has(call, O_CLOEXEC));
    fd_close(fd);
    return result < 0 ? verdict_errno(-result) : verdict_taken();
}

static struct verdict refuse(const struct request *request, const struct open_call *call,
                             const struct open_decision *decision, const char *path)
{
    const char *object = path[0] != '\0' ? path : call->path;

    if (decision->rule != NULL)
        request_record_denial(
            request, object, open_call_writes(call) ? "write" : "read", decision->error,
            strcmp(object, "/etc/hosts") == 0 ? HOSTS_LAYER : PROC_LAYER, decision->rule, NULL);
    return verdict_errno(decision->error);
}

static struct verdict carry_out(struct file_views *views, const struct request *request,
                                const struct open_call *call, const struct open_decision *decision,
                                int path_fd, const char *path)
{
    switch (decision->answer) {
    case ANSWER_CONTINUE:
        break;
    case ANSWER_REFUSE:
        return refuse(request, call, decision, path);
    case ANSWER_HOSTS:
        return hand_over(request, call, open_again(views, views->hosts_fd, O_RDONLY));
    case ANSWER_NET:
        return hand_over(request, call, open_net_file(views, decision->file));
    case ANSWER_REOPEN:
        return hand_over(request, call, reopen(views, request, call, path_fd));
    }
    return verdict_next();
}

/* ---- What may wait --------------------------------------------------------------------------------- */

/* What a worker takes over. */
struct job {
    struct file_views *views;
    struct open_call call;
    int path_fd; /* owned; -1: not pinned yet */
};

static void job_free(void *data)
{
    struct job *job = data;

    if (job == NULL)
        return;
    open_call_release(&job->call);
    fd_close(job->path_fd);
    free(job);
}

static void work(const struct request *request, void *data)
{
    struct job *job = data;
    char path[PATH_MAX] = "";
    struct verdict verdict = verdict_next();

    if (job->path_fd < 0)
        job->path_fd = open_call_pin(&job->call, false);
    if (job->path_fd >= 0) {
        struct open_decision decision =
            decide(job->views, request, &job->call, &job->path_fd, path);
        verdict = carry_out(job->views, request, &job->call, &decision, job->path_fd, path);
    }
    if (verdict.kind == VERDICT_NEXT)
        request_answer_continue(request);
    else if (verdict.kind == VERDICT_ERRNO)
        request_answer_errno(request, verdict.error);
}

/* Takes over what the call holds, and the descriptor. */
static struct verdict submit(struct file_views *views, const struct request *request,
                             struct open_call *call, int *path_fd)
{
    struct job *job = malloc(sizeof(*job));

    if (job == NULL)
        return verdict_errno(ENOMEM);
    job->views = views;
    job->call = *call;
    job->path_fd = fd_steal(path_fd);
    call->object.base = -1;
    if (request_submit(request, work, job, job_free))
        return verdict_taken();
    job_free(job);
    return verdict_errno(ENOMEM);
}

/* ---- One open -------------------------------------------------------------------------------------- */

static int pin_now(const struct file_views *views, const struct request *request,
                   const struct open_call *call)
{
    int fd = views->shadow.kernel ? proc_pin(views, request, call) : -EAGAIN;

    return fd == -EAGAIN ? open_call_pin(call, true) : fd;
}

static struct verdict judge(struct file_views *views, const struct request *request,
                            struct open_call *call)
{
    char path[PATH_MAX];
    CLEANUP_FD int path_fd = fault_is("use-workers") ? -EAGAIN : pin_now(views, request, call);

    if (path_fd == -EAGAIN) {
        /* explain must see the call on this thread; a name that is not cached then keeps the kernel's
         * answer. */
        if (supervisor_policy(views->supervisor)->explain)
            return verdict_next();
        return submit(views, request, call, &path_fd);
    }
    /* The host has no such file, the sandbox has. */
    if (path_fd == -ENOENT && views->shadow.hosts_path[0] == '\0' &&
        shadow_names_hosts(&views->shadow, call->path)) {
        struct open_decision decision = decide_hosts(call);
        return carry_out(views, request, call, &decision, -1, "");
    }
    if (path_fd < 0)
        return verdict_next(); /* as the kernel will find */
    struct open_decision decision = decide(views, request, call, &path_fd, path);
    if (decision.may_wait && decision.answer != ANSWER_REFUSE)
        return submit(views, request, call, &path_fd);
    return carry_out(views, request, call, &decision, path_fd, path);
}

static struct verdict on_open(struct request *request)
{
    struct file_views *views = request->state;
    struct open_call call;

    if (views == NULL) /* the proc view judges */
        return verdict_next();
    struct member_view view = {
        .proc_fd = views->proc_fd, .tid = (pid_t)request->notification.pid, .tgid = request->tgid};
    if (open_call_decode(&call, (enum open_spelling)request->trap->detail, &view,
                         &request->notification.data) < 0)
        return verdict_next(); /* what the kernel will say is the right answer */
    struct verdict verdict = judge(views, request, &call);
    open_call_release(&call);
    return verdict;
}

/* ---- Life ------------------------------------------------------------------------------------------ */

static void views_stop(void *state)
{
    struct file_views *views = state;

    if (views == NULL)
        return;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        fd_close(views->net_fds[i]);
    fd_close(views->hosts_fd);
    sock_diag_free(views->sockets.diag);
    pthread_mutex_destroy(&views->lock);
    pthread_mutex_destroy(&views->local.lock);
    free(views);
}

static bool seal_hosts(struct file_views *views, struct error *err)
{
    const struct network *network = network_of(views->supervisor);
    bool has_text = network->hosts != NULL;
    const char *text = has_text ? network->hosts : HOSTS_PLAIN;

    views->hosts_fd =
        FAULT_OR("hosts-file", -EIO,
                 seal_text("hosts", text, has_text ? network->hosts_length : strlen(text)));
    return views->hosts_fd >= 0 ||
           error_runtime(err, -views->hosts_fd, "hosts file of the sandbox");
}

static bool views_start(struct supervisor *supervisor, void **state, struct error *err)
{
    const struct policy *policy = supervisor_policy(supervisor);
    struct file_views *views = calloc(1, sizeof(*views));
    struct timespec now;

    if (views == NULL)
        return error_runtime(err, ENOMEM, "views of files");
    pthread_mutex_init(&views->lock, NULL);
    pthread_mutex_init(&views->local.lock, NULL);
    views->supervisor = supervisor;
    views->grants = supervisor_grants(supervisor);
    views->proc_fd = supervisor_proc_fd(supervisor);
    views->own = getpid();
    views->privileged = identity_is_privileged();
    views->mapped = policy->has_user;
    views->hosts_fd = -1;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        views->net_fds[i] = -1;
    clock_gettime(CLOCK_REALTIME, &now);
    views->started = now.tv_sec;
    shadow_init(&views->shadow, policy);
    if (views->shadow.kernel) {
        int refused;
        views->sockets.proc_fd = views->proc_fd;
        views->sockets.ports = network_of(supervisor)->ports;
        views->sockets.diag = sock_diag_new(&refused);
    }
    if (views->shadow.hosts && !seal_hosts(views, err)) {
        views_stop(views);
        return false;
    }
    *state = views;
    return true;
}

static bool hosts_start(struct supervisor *supervisor, void **state, struct error *err)
{
    *state = NULL;
    return supervisor_has(supervisor, &feature_proc_view) || views_start(supervisor, state, err);
}

/* ---- Traps ----------------------------------------------------------------------------------------- */

#define ANY_BIT(argument, bits)                                              \
    {                                                                        \
        .test_count = 1, .tests = {                                          \
            {.arg = (argument), .op = ARG_ANY_BIT, .mask = (uint32_t)(bits)} \
        }                                                                    \
    }
#define ALL_BITS(argument, bits)        \
    {                                   \
        .test_count = 1, .tests = {     \
            {.arg = (argument),         \
             .op = ARG_EQUAL,           \
             .mask = (uint32_t)(bits),  \
             .value = (uint32_t)(bits)} \
        }                               \
    }

/* A directory is no hosts file (the kernel says ENOTDIR), a new file neither, and O_PATH reads nothing. */
#define HARMLESS_FOR_HOSTS(argument)                               \
    {                                                              \
        ANY_BIT(argument, O_DIRECTORY), ANY_BIT(argument, O_PATH), \
            ALL_BITS(argument, O_CREAT | O_EXCL),                  \
    }

static const struct filter_rule hosts_open[] = HARMLESS_FOR_HOSTS(1);
static const struct filter_rule hosts_openat[] = HARMLESS_FOR_HOSTS(2);

static const struct filter_rule new_open[] = {ALL_BITS(1, O_CREAT | O_EXCL)};
static const struct filter_rule new_openat[] = {ALL_BITS(2, O_CREAT | O_EXCL)};

#define PASSES(list) .passes = (list), .pass_count = sizeof(list) / sizeof((list)[0])

static const struct trap hosts_traps[] = {
    {.syscall = "open", PASSES(hosts_open), .handle = on_open, .detail = OPEN_PLAIN},
    {.syscall = "openat", PASSES(hosts_openat), .handle = on_open, .detail = OPEN_AT},
    {.syscall = "openat2", .handle = on_open, .detail = OPEN_AT2},
    {.syscall = "creat", .handle = on_open, .detail = OPEN_CREAT},
};

static const struct trap proc_traps[] = {
    {.syscall = "open", PASSES(new_open), .handle = on_open, .detail = OPEN_PLAIN},
    {.syscall = "openat", PASSES(new_openat), .handle = on_open, .detail = OPEN_AT},
    {.syscall = "openat2", .handle = on_open, .detail = OPEN_AT2},
    {.syscall = "creat", .handle = on_open, .detail = OPEN_CREAT},
    {.syscall = "getdents64", .handle = on_getdents, .detail = LISTING_64},
    {.syscall = "getdents", .handle = on_getdents, .detail = LISTING_LEGACY},
};

static const char *const hosts_needs[] = {"capget", "capset", NULL};

static const char *const proc_needs[] = {
    "memfd_create", "fchmod",         "fcntl:seal", "capget",   "capset",  "pidfd_getfd",
    "getsockopt",   "sendto:netlink", "recvmsg",    "getdents", "fstatfs", NULL,
};

const struct feature feature_hosts_view = {
    .name = HOSTS_LAYER,
    .wanted = hosts_wanted,
    .traps = hosts_traps,
    .trap_count = sizeof(hosts_traps) / sizeof(hosts_traps[0]),
    .needs = {.calls = hosts_needs},
    .start = hosts_start,
    .stop = views_stop,
    .describe = hosts_describe,
};

const struct feature feature_proc_view = {
    .name = PROC_LAYER,
    .wanted = proc_wanted,
    .traps = proc_traps,
    .trap_count = sizeof(proc_traps) / sizeof(proc_traps[0]),
    .needs = {.calls = proc_needs},
    .start = views_start,
    .stop = views_stop,
    .describe = proc_describe,
};
