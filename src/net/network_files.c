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

#include "kernel/sys.h"
#include "member/advice.h"
#include "member/identity.h"
#include "net/file_look.h"
#include "net/net.h"
#include "net/network.h"
#include "net/own_domain.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ACCESS_MODE 3 /* musl's O_ACCMODE has O_PATH in it */

#define HOSTS_LAYER "hosts-view"

/* A rename or a new file is seen by its time of change, which the kernel rounds to its clock tick. */
#define CLOCK_SLACK 2

/* ---- When they are on ------------------------------------------------------------------------------ */

/* Where no write grant reaches what is hidden, the kernel refuses to open it for writing, and such opens
 * are not trapped: each view is two features of one name, of which a policy wants one at most. Access mode 3 it
 * does not refuse, but such a descriptor shows nothing (filter/argument_rules.c, where requests are refused). */
static bool hosts_wanted(const struct policy *policy, const struct network *network)
{
    (void)policy;
    return network->shadow.hosts && !network->shadow.writes_reach_hosts;
}

static bool hosts_writable_wanted(const struct policy *policy, const struct network *network)
{
    (void)policy;
    return network->shadow.hosts && network->shadow.writes_reach_hosts;
}

static bool writes_matter(const struct shadow *shadow)
{
    return shadow->writes_reach_kernel || (shadow->hosts && shadow->writes_reach_hosts);
}

static bool proc_wanted(const struct policy *policy, const struct network *network)
{
    (void)policy;
    return network->shadow.kernel && !writes_matter(&network->shadow);
}

static bool proc_writable_wanted(const struct policy *policy, const struct network *network)
{
    (void)policy;
    return network->shadow.kernel && writes_matter(&network->shadow);
}

static void hosts_describe(const struct policy *policy, struct posture *posture)
{
    (void)policy;
    posture_set(posture, HOSTS_LAYER, POSTURE_ACTIVE, "supervisor", "destinations go by rules");
}

static void hosts_writable_describe(const struct policy *policy, struct posture *posture)
{
    hosts_describe(policy, posture);
    posture_exception(posture, "a write grant covers /etc/hosts: an open that is raced past the "
                               "supervisor reaches the host's file");
}

void proc_describe(const struct policy *policy, struct posture *posture)
{
    (void)policy;
    posture_set(posture, PROC_LAYER, POSTURE_ACTIVE, "supervisor", "a grant covers /proc or /sys");
}

/* An open, or a look that opens nothing (net/file_look.h). */
static bool is_look(const struct request *request)
{
    return request->trap->detail >= OPEN_SPELLINGS;
}

/* ---- Looks that failed ------------------------------------------------------------------------------ */

/* The kernel's answer holds, unless the kernel would let the caller reach the host's file after a look
 * that saw nothing: then only "no such file" is left to it. */
static struct verdict give_up(const struct file_views *views, const struct request *request,
                              int error)
{
    if (is_look(request))
        return verdict_next();
    return views->reached && error != -ENOENT ? verdict_errno(-error) : verdict_next();
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
        return (struct open_decision){
            .answer = ANSWER_REFUSE,
            .error = EACCES,
            .rule = "/etc/hosts is the sandbox's own and cannot be written",
            .of_hosts = true,
        };
    return decision;
}

/* A file that was put beside the hosts file since the start: no rule of the members covers it, since the
 * rules are on the entries that were there. */
static struct open_decision decide_late(const struct file_views *views,
                                        const struct open_call *call, int path_fd,
                                        char path[PATH_MAX])
{
    bool unlinked;

    int result = grants_path_of(path_fd, path, PATH_MAX, &unlinked);
    if (result == -ENOMEM && views->reached)
        return (struct open_decision){.answer = ANSWER_REFUSE, .error = ENOMEM};
    if (result < 0) /* no name, or longer than that of the hosts file */
        return answer(ANSWER_CONTINUE);
    if (shadow_names_hosts(views->shadow, path)) /* or the host replaced it */
        return decide_hosts(call);
    if (unlinked || open_call_writes(call) || open_call_has(call, O_PATH) ||
        !shadow_lies_beside(views->shadow, path) || views->grants == NULL ||
        grants_find(views->grants, path, false) == NULL)
        return answer(ANSWER_CONTINUE);
    struct open_decision decision = answer(ANSWER_REOPEN);
    decision.may_wait = true;
    return decision;
}

static struct open_decision decide(const struct file_views *views, const struct request *request,
                                   const struct open_call *call, int *path_fd, char path[PATH_MAX])
{
    const struct shadow *shadow = views->shadow;
    struct object_identity object;

    path[0] = '\0';
    if (!object_identify(*path_fd, &object))
        return (struct open_decision){.answer = views->reached ? ANSWER_REFUSE : ANSWER_CONTINUE,
                                      .error = EACCES};
    if (shadow_is_hosts(shadow, &object))
        return decide_hosts(call);
    if (shadow->kernel && object.device == shadow->proc_device)
        return proc_decide(views, request, call, path_fd, path);
    if (shadow->kernel && object.device == shadow->sys_device)
        return sys_decide(views, call, *path_fd, path);
    if (shadow->kernel && shadow_is_cgroup(shadow, object.device))
        return cgroup_decide(views, call, *path_fd, path);
    if (shadow_hides_listing(shadow, &object) && S_ISDIR(object.mode)) {
        bool listed = !open_call_writes(call) && !open_call_has(call, O_PATH) &&
                      views->grants != NULL && grants_find(views->grants, "/", false) != NULL;
        return answer(listed ? ANSWER_REOPEN : ANSWER_CONTINUE);
    }
    if (S_ISREG(object.mode) && object.changed >= views->started - CLOCK_SLACK &&
        shadow_has_device(shadow, object.device))
        return decide_late(views, call, *path_fd, path);
    return shadow->kernel ? mount_decide(views, call, *path_fd, path) : answer(ANSWER_CONTINUE);
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
    bool write = open_call_writes(call);
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    if (decision->rule == NULL)
        return verdict_errno(decision->error);
    const char *rule = decision->rule;
    bool usable = decision->of_grant && advice_grant(&advice, request, write, path, true, &rule);
    request_record_denial(request, path[0] != '\0' ? path : call->path, write ? "write" : "read",
                          decision->error, decision->of_hosts ? HOSTS_LAYER : PROC_LAYER, rule,
                          usable ? buffer_text(&advice) : NULL);
    return verdict_errno(decision->error);
}

/* `waits` as for view_reopen(). */
static struct verdict carry_out(struct file_views *views, const struct request *request,
                                const struct open_call *call, const struct open_decision *decision,
                                int path_fd, const char *path, bool *waits)
{
    /* No rule of the members' ruleset is on what is served here, so a domain inside theirs has none. */
    bool serves = decision->answer != ANSWER_CONTINUE && decision->answer != ANSWER_REFUSE;
    if (serves && own_domain_judge_path(request, path[0] != '\0' ? path : call->path,
                                        open_call_writes(call) ? "write" : "read") < 0)
        return verdict_errno(EACCES);
    switch (decision->answer) {
    case ANSWER_CONTINUE:
        break;
    case ANSWER_REFUSE:
        return refuse(request, call, decision, path);
    case ANSWER_HOSTS:
        return hand_over(request, call, view_open_hosts(views));
    case ANSWER_NET:
        return hand_over(request, call, view_open_net(views, decision->file));
    case ANSWER_REOPEN: {
        int fd = view_reopen(views, request, call, path_fd, decision->own, waits);
        return waits != NULL && *waits ? verdict_next() : hand_over(request, call, fd);
    }
    }
    return verdict_next();
}

/* ---- What may wait --------------------------------------------------------------------------------- */

/* What a worker takes over. */
struct job {
    struct file_views *views;
    struct open_call *call; /* owned; NULL: to be read again */
    int path_fd;            /* owned; -1: not pinned yet */
    bool walk;              /* a pin will not tell */
};

static void job_free(void *data)
{
    struct job *job = data;

    if (job == NULL)
        return;
    if (job->call != NULL)
        open_call_release(job->call);
    free(job->call);
    fd_close(job->path_fd);
    free(job);
}

static int decode(const struct file_views *views, const struct request *request,
                  struct open_call *call)
{
    struct member_view view = {
        .proc_fd = views->proc_fd, .tid = (pid_t)request->notification.pid, .tgid = request->tgid};

    if (is_look(request))
        return file_look_decode(call, (enum look_spelling)request->trap->detail, &view,
                                &request->notification.data);
    return open_call_decode(call, (enum open_spelling)request->trap->detail, &view,
                            &request->notification.data);
}

static int read_again(const struct request *request, struct job *job)
{
    struct open_call *call = malloc(sizeof(*call));
    int result = call == NULL ? -ENOMEM : decode(job->views, request, call);

    if (result < 0) {
        free(call);
        return result;
    }
    job->call = call; /* released with the job */
    return request_is_valid(request) ? 0 : -ESRCH;
}

static struct verdict look(const struct request *request, struct job *job)
{
    const struct open_call *call = job->call;
    char path[PATH_MAX] = "";

    if (job->path_fd < 0 && !job->walk) {
        job->path_fd = open_call_pin(call, false);
        job->walk = job->path_fd < 0 && walk_is_needed(job->views, call, job->path_fd);
    }
    if (job->walk)
        job->path_fd = walk_as_caller(job->views, request, call, NULL);
    /* The kernel's files are files; in the view they are all there is. */
    if (job->path_fd == -ENOTDIR && file_look_is_below_net(job->views, call))
        return verdict_errno(ENOENT);
    if (job->path_fd < 0)
        return give_up(job->views, request, job->path_fd);
    if (is_look(request))
        return file_look_answer(job->views, request, call, job->path_fd);
    struct open_decision decision = decide(job->views, request, call, &job->path_fd, path);
    return carry_out(job->views, request, call, &decision, job->path_fd, path, NULL);
}

static void work(const struct request *request, void *data)
{
    struct job *job = data;
    int result = job->call == NULL ? read_again(request, job) : 0;
    struct verdict verdict = result < 0 ? give_up(job->views, request, result) : look(request, job);

    if (verdict.kind == VERDICT_NEXT)
        request_pass_on(request);
    else if (verdict.kind == VERDICT_ERRNO)
        request_answer_errno(request, verdict.error);
    else if (verdict.kind == VERDICT_VALUE)
        request_answer_value(request, verdict.value);
}

/* Takes over what the call holds, and the descriptor. */
static struct verdict submit(struct file_views *views, const struct request *request,
                             struct open_call *call, int *path_fd, bool walk)
{
    struct job *job = malloc(sizeof(*job));
    bool bare = request_would_wait(request);

    if (job == NULL)
        return verdict_errno(ENOMEM);
    *job = (struct job){.views = views, .path_fd = -1};
    if (!bare) {
        job->call = malloc(sizeof(*job->call));
        if (job->call == NULL) {
            free(job);
            return verdict_errno(ENOMEM);
        }
        *job->call = *call;
        job->path_fd = fd_steal(path_fd);
        job->walk = walk;
        call->object.base = -1;
    }
    if (request_perform(request, work, job, job_free))
        return verdict_taken();
    job_free(job);
    return verdict_errno(ENOMEM);
}

/* ---- One open -------------------------------------------------------------------------------------- */

static int pin_now(const struct file_views *views, const struct request *request,
                   const struct open_call *call)
{
    if (fault_is("hosts-pin") && strstr(call->path, "etc/hosts") != NULL)
        return -EMFILE;
    int fd = views->shadow->kernel ? proc_pin(views, request, call) : -EAGAIN;

    return fd == -EAGAIN ? open_call_pin(call, true) : fd;
}

/* By its plain name it need not be looked for: what the sandbox sees there is its own, whatever became of
 * the host's. */
static bool is_plainly_hosts(const struct file_views *views, const struct open_call *call)
{
    return call->resolve == 0 && strcmp(call->path, "/etc/hosts") == 0 &&
           shadow_names_hosts(views->shadow, call->path);
}

static struct verdict judge(struct file_views *views, const struct request *request,
                            struct open_call *call)
{
    char path[PATH_MAX];

    if (!is_look(request) && is_plainly_hosts(views, call)) {
        struct open_decision decision = decide_hosts(call);
        return carry_out(views, request, call, &decision, -1, "", NULL);
    }
    CLEANUP_FD int path_fd = fault_is("use-workers") ? -EAGAIN : pin_now(views, request, call);

    bool walk = path_fd != -EAGAIN && path_fd < 0 && walk_is_needed(views, call, path_fd);
    bool below = path_fd == -ENOTDIR && views->shadow->kernel; /* of what, a worker finds out */
    if (path_fd == -EAGAIN || walk || below)
        return submit(views, request, call, &path_fd, walk);
    /* The host has no such file, the sandbox has. */
    if (path_fd == -ENOENT && !is_look(request) && views->shadow->hosts_path[0] == '\0' &&
        shadow_names_hosts(views->shadow, call->path)) {
        struct open_decision decision = decide_hosts(call);
        return carry_out(views, request, call, &decision, -1, "", NULL);
    }
    if (path_fd < 0)
        return give_up(views, request, path_fd);
    if (is_look(request))
        return file_look_answer(views, request, call, path_fd);
    struct open_decision decision = decide(views, request, call, &path_fd, path);
    if (decision.may_wait && decision.answer != ANSWER_REFUSE)
        return submit(views, request, call, &path_fd, false);
    bool waits = false;
    struct verdict verdict = carry_out(views, request, call, &decision, path_fd, path, &waits);
    return waits ? submit(views, request, call, &path_fd, false) : verdict;
}

struct verdict on_open(struct request *request)
{
    struct file_views *views = request->state;
    struct open_call call;

    /* NULL: the proc view judges. The fault shows the second wall alone. */
    if (views == NULL || fault_is("views-continue"))
        return verdict_next();
    int result = decode(views, request, &call);
    if (result < 0)
        return give_up(views, request, result);
    struct verdict verdict = judge(views, request, &call);
    open_call_release(&call);
    return verdict;
}

/* ---- Life ------------------------------------------------------------------------------------------ */

void views_stop(void *state)
{
    struct file_views *views = state;

    if (views == NULL)
        return;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        fd_close(views->net_fds[i]);
    fd_close(views->hosts_fd);
    sock_diag_free(views->sockets.diag);
    pthread_mutex_destroy(&views->sockets_lock);
    pthread_mutex_destroy(&views->fixed_lock);
    pthread_mutex_destroy(&views->local.lock);
    free(views);
}

struct file_views *views_new(struct supervisor *supervisor, struct error *err)
{
    const struct network *network = network_of(supervisor);
    struct file_views *views = calloc(1, sizeof(*views));

    if (views == NULL) {
        error_runtime(err, ENOMEM, "views of files");
        return NULL;
    }
    pthread_mutex_init(&views->sockets_lock, NULL);
    pthread_mutex_init(&views->fixed_lock, NULL);
    pthread_mutex_init(&views->local.lock, NULL);
    views->supervisor = supervisor;
    views->grants = supervisor_grants(supervisor);
    views->proc_fd = supervisor_proc_fd(supervisor);
    views->own = getpid();
    views->own_thread = sys_gettid();
    views->rights = own_rights_now();
    views->mapped = policy_maps_user(supervisor_policy(supervisor));
    views->hosts_fd = -1;
    for (unsigned i = 0; i < NET_FILE_COUNT; i++)
        views->net_fds[i] = -1;
    views->started = network->started;
    views->shadow = &network->shadow;
    views->reached = views->shadow->hosts && views->shadow->writes_reach_hosts;
    return views;
}

static bool views_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct file_views *views = views_new(supervisor, err);

    if (views == NULL)
        return false;
    if (views->shadow->kernel) {
        int refused;
        views->sockets.proc_fd = views->proc_fd;
        views->sockets.ports = network_of(supervisor)->ports;
        views->sockets.diag = sock_diag_new(&refused);
    }
    if (views->shadow->hosts && !view_seal_hosts(views, err)) {
        views_stop(views);
        return false;
    }
    *state = views;
    return true;
}

static bool hosts_start(struct supervisor *supervisor, void **state, struct error *err)
{
    *state = NULL;
    return supervisor_has(supervisor, &feature_proc_view) ||
           supervisor_has(supervisor, &feature_proc_view_writable) ||
           views_start(supervisor, state, err);
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

#define FOR_WRITING(argument)                                                                \
    {                                                                                        \
        .test_count = 1, .tests = {                                                          \
            {.arg = (argument), .op = ARG_NOT_EQUAL, .mask = ACCESS_MODE, .value = O_RDONLY} \
        }                                                                                    \
    }

/* A directory is no hosts file (the kernel says ENOTDIR), a new file neither, and O_PATH reads nothing. */
#define HARMLESS(argument) \
    ANY_BIT(argument, O_DIRECTORY), ANY_BIT(argument, O_PATH), ALL_BITS(argument, O_CREAT | O_EXCL)

static const struct filter_rule hosts_open[] = {HARMLESS(1), FOR_WRITING(1)};
static const struct filter_rule hosts_openat[] = {HARMLESS(2), FOR_WRITING(2)};
static const struct filter_rule hosts_writable_open[] = {HARMLESS(1)};
static const struct filter_rule hosts_writable_openat[] = {HARMLESS(2)};

static const struct filter_rule proc_open[] = {ALL_BITS(1, O_CREAT | O_EXCL), FOR_WRITING(1)};
static const struct filter_rule proc_openat[] = {ALL_BITS(2, O_CREAT | O_EXCL), FOR_WRITING(2)};
static const struct filter_rule proc_writable_open[] = {ALL_BITS(1, O_CREAT | O_EXCL)};
static const struct filter_rule proc_writable_openat[] = {ALL_BITS(2, O_CREAT | O_EXCL)};

#define PASSES(list) .passes = (list), .pass_count = sizeof(list) / sizeof((list)[0])

#define OPENS(view)                                                                         \
    {.syscall = "open", PASSES(view##_open), .handle = on_open, .detail = OPEN_PLAIN},      \
        {.syscall = "openat", PASSES(view##_openat), .handle = on_open, .detail = OPEN_AT}, \
    {                                                                                       \
        .syscall = "openat2", .handle = on_open, .detail = OPEN_AT2                         \
    }
#define CREAT                                                       \
    {                                                               \
        .syscall = "creat", .handle = on_open, .detail = OPEN_CREAT \
    }
#define LISTINGS                                                               \
    {.syscall = "getdents64", .handle = on_getdents, .detail = LISTING_64},    \
    {                                                                          \
        .syscall = "getdents", .handle = on_getdents, .detail = LISTING_LEGACY \
    }

static const struct trap hosts_traps[] = {OPENS(hosts)};
static const struct trap hosts_writable_traps[] = {OPENS(hosts_writable), CREAT};
static const struct trap proc_traps[] = {OPENS(proc), LISTINGS};
static const struct trap proc_writable_traps[] = {OPENS(proc_writable), CREAT, LISTINGS};

static const char *const hosts_needs[] = {"capget", "identity", "fstatfs", NULL};

static const char *const proc_needs[] = {
    "memfd_create", "fchmod",      "utimensat",  "fcntl:seal",     "capget",
    "identity",     "pidfd_getfd", "getsockopt", "sendto:netlink", "recvmsg",
    "getdents",     "fstatfs",     NULL,
};

#define VIEW(name_, view, needs_, wanted_, start_, describe_)                         \
    {                                                                                 \
        .name = (name_), .wanted = (wanted_), .traps = (view),                        \
        .trap_count = sizeof(view) / sizeof((view)[0]), .needs = {.calls = (needs_)}, \
        .start = (start_), .stop = views_stop, .describe = (describe_),               \
    }

const struct feature feature_hosts_view =
    VIEW(HOSTS_LAYER, hosts_traps, hosts_needs, hosts_wanted, hosts_start, hosts_describe);
const struct feature feature_hosts_view_writable =
    VIEW(HOSTS_LAYER, hosts_writable_traps, hosts_needs, hosts_writable_wanted, hosts_start,
         hosts_writable_describe);
const struct feature feature_proc_view =
    VIEW(PROC_LAYER, proc_traps, proc_needs, proc_wanted, views_start, proc_describe);
const struct feature feature_proc_view_writable = VIEW(
    PROC_LAYER, proc_writable_traps, proc_needs, proc_writable_wanted, views_start, proc_describe);
