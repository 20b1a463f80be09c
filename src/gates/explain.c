/*
 * explain: what Landlock refuses inside the kernel raises no notification, so with --explain these
 * calls are trapped, judged as Landlock will judge them, and recorded if they will be refused.
 *
 * Every call continues, whatever was found here. That is safe although paths and addresses lie in
 * memory: nothing is permitted by it, the kernel judges by itself the values it reads by itself. A
 * member that changes them meanwhile spoils its own record only. The feature must be the last of the
 * registry, since its answer ends the chain.
 */
#include "gates/gates.h"
#include "kernel/landlock.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "member/advice.h"
#include "member/object.h"
#include "member/path_verdict.h"
#include "member/socket.h"
#include "policy/network.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LAYER "landlock"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif

enum explain_act {
    EXPLAIN_OPEN,
    EXPLAIN_OPEN_HOW, /* flags in a structure */
    EXPLAIN_CREAT,
    EXPLAIN_EXECUTE,
    EXPLAIN_TRUNCATE,
    EXPLAIN_CREATE,
    EXPLAIN_REMOVE,
    EXPLAIN_RENAME,
    EXPLAIN_LINK,
    EXPLAIN_CONNECT,
    EXPLAIN_BIND,
};

struct explain_spelling {
    const char *syscall;
    enum explain_act act;
    int8_t dirfd, path, flags, dirfd2, path2;
};

#define NONE (-1)
#define EXPLAIN_CALL(syscall, act, dirfd, path, flags, dirfd2, path2) \
    {#syscall, EXPLAIN_##act, dirfd, path, flags, dirfd2, path2},
static const struct explain_spelling spellings[] = {
#include "gates/explain_call.def"
};
#undef EXPLAIN_CALL

struct explain {
    const struct policy *policy; /* borrowed */
    const struct grants *grants; /* borrowed */
    int proc_fd;                 /* borrowed */
    uint64_t handled_net;
    bool udp_exists; /* members can have other IP sockets than TCP */
    struct local_devices local;
};

/* What a path must be for the call to reach Landlock at all. */
enum existence { MUST_EXIST, MUST_NOT_EXIST, ANY_EXISTENCE };

/* One question to the grants. */
struct question {
    struct object object; /* the object, or with a `leaf` the directory that holds it */
    char leaf[NAME_MAX + 1];
    enum existence leaf_is;
    bool write;
    int access; /* R_OK, W_OK, X_OK: refused by mode bits already, Landlock is not the reason */
    bool may_create; /* if the object does not exist, the question is about its directory */
};

struct job {
    struct explain *explain;
    struct question questions[2];
    size_t count;
};

static bool explain_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return policy->explain;
}

static bool explain_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct landlock_masks masks;
    struct explain *explain = calloc(1, sizeof(*explain));

    if (explain == NULL)
        return error_runtime(err, ENOMEM, "explain");
    explain->policy = supervisor_policy(supervisor);
    explain->grants = supervisor_grants(supervisor);
    explain->proc_fd = supervisor_proc_fd(supervisor);
    landlock_resolve(landlock_support_get(), explain->policy->protections, &masks);
    explain->handled_net = masks.net;
    explain->udp_exists = network_shape_of(explain->policy).udp != UDP_CLOSED;
    pthread_mutex_init(&explain->local.lock, NULL);
    *state = explain;
    return true;
}

static void explain_stop(void *state)
{
    struct explain *explain = state;

    if (explain == NULL)
        return;
    pthread_mutex_destroy(&explain->local.lock);
    free(explain);
}

static void job_free(void *data)
{
    struct job *job = data;

    if (job == NULL)
        return;
    for (size_t i = 0; i < job->count; i++)
        object_release(&job->questions[i].object);
    free(job);
}

/* ---- Asking --------------------------------------------------------------------------------------- */

/* Splits "a/b/c/" into "a/b" and "c". False: there is no last name ("/", "..", too long). */
static bool split_path(char *path, char leaf[NAME_MAX + 1])
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t size = strlen(name);
    if (size == 0 || size > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    memcpy(leaf, name, size + 1);
    if (slash == NULL)
        memcpy(path, ".", sizeof("."));
    else
        slash[slash == path ? 1 : 0] = '\0';
    return true;
}

/* "self" was walked by the supervisor, but the member wrote it. */
static void name_self(char path[PATH_MAX])
{
    char own[32], rest[PATH_MAX];
    int length = snprintf(own, sizeof(own), "/proc/%d", (int)getpid());

    if (strncmp(path, own, (size_t)length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return;
    snprintf(rest, sizeof(rest), "%s", path + length);
    snprintf(path, PATH_MAX, "/proc/self%.*s", PATH_MAX - 16, rest);
}

static void record_path(const struct request *request, const struct question *question,
                        const char *place)
{
    CLEANUP_BUFFER struct buffer object = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s", place);
    name_self(path);
    buffer_append_text(&object, path);
    if (question->leaf[0] != '\0') {
        if (strcmp(path, "/") != 0)
            buffer_append_char(&object, '/');
        buffer_append_text(&object, question->leaf);
    }
    bool usable = advice_grant(&advice, request, question->write, place, true);
    if (buffer_failed(&object))
        return;
    request_record_denial(request, buffer_text(&object), question->write ? "write" : "read", EACCES,
                          LAYER, NULL, usable ? buffer_text(&advice) : NULL);
}

static bool leaf_fits(const struct question *question, int path_fd)
{
    struct stat status;

    if (question->leaf[0] == '\0' || question->leaf_is == ANY_EXISTENCE)
        return true;
    bool exists = fstatat(path_fd, question->leaf, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return exists == (question->leaf_is == MUST_EXIST);
}

/* False: the answer would have to wait. */
static bool judge(const struct request *request, const struct explain *explain,
                  const struct question *question, int path_fd, bool cached_only)
{
    char path[PATH_MAX];

    if (question->object.no_follow && question->leaf[0] == '\0' && object_type(path_fd) == S_IFLNK)
        return true; /* ELOOP */
    if (!leaf_fits(question, path_fd) ||
        sys_call4(SYS_faccessat2, path_fd, (long)"", question->access,
                  AT_EMPTY_PATH | AT_EACCESS) != 0)
        return true; /* fails for another reason */
    enum path_verdict verdict =
        path_verdict_of(explain->grants, path_fd, question->write, cached_only, path);
    if (verdict == PATH_REFUSED && request_is_valid(request))
        record_path(request, question, path);
    return verdict != PATH_UNDECIDED;
}

/* False: the answer would have to wait, and nothing was recorded. */
static bool ask(const struct request *request, struct explain *explain,
                const struct question *question, bool cached_only)
{
    CLEANUP_FD int path_fd = object_pin(&question->object, cached_only);
    struct question parent;

    if (path_fd == -EAGAIN && cached_only)
        return false;
    if (path_fd == -ENOENT && question->may_create && !question->object.is_base) {
        parent = *question;
        parent.may_create = false;
        parent.write = true;
        parent.access = W_OK | X_OK;
        parent.leaf_is = MUST_NOT_EXIST; /* a link that leads nowhere */
        parent.object.no_follow = false;
        return !split_path(parent.object.path, parent.leaf) ||
               ask(request, explain, &parent, cached_only);
    }
    if (path_fd < 0)
        return true; /* the kernel will say the same */
    if (cached_only && !local_devices_has(&explain->local, path_fd))
        return false;
    if (!cached_only)
        local_devices_learn(&explain->local, path_fd);
    return judge(request, explain, question, path_fd, cached_only);
}

/* True if every question was answered. */
static bool ask_all(const struct request *request, struct job *job, bool cached_only)
{
    while (job->count > 0) {
        struct question *question = &job->questions[job->count - 1];
        if (!ask(request, job->explain, question, cached_only))
            return false;
        object_release(&question->object);
        job->count--;
    }
    return true;
}

static void work(const struct request *request, void *data)
{
    ask_all(request, data, false);
    request_answer_continue(request);
}

/* ---- Decoding ------------------------------------------------------------------------------------- */

static int int_arg(const struct request *request, int number, int absent)
{
    return number < 0 ? absent : (int)(uint32_t)request->notification.data.args[number];
}

/* The next question of the job about this path; NULL if it cannot be asked. */
static struct question *add_named_question(struct job *job, const struct request *request,
                                           int directory, const char *path, unsigned at_flags)
{
    struct question *question = &job->questions[job->count];
    pid_t tid = (pid_t)request->notification.pid;
    struct member_view view = {.proc_fd = job->explain->proc_fd, .tid = tid, .tgid = request->tgid};

    *question = (struct question){.object = OBJECT_INIT};
    if (object_by_path(&question->object, &view, directory, path, at_flags) != 0) {
        object_release(&question->object);
        return NULL;
    }
    job->count++;
    return question;
}

/* The same about the path in these registers. */
static struct question *add_question(struct job *job, const struct request *request, int8_t dirfd,
                                     int8_t path, unsigned at_flags)
{
    char text[PATH_MAX];

    if (task_memory_read_string((pid_t)request->notification.pid,
                                request->notification.data.args[path], text, sizeof(text)) < 0)
        return NULL;
    return add_named_question(job, request, int_arg(request, dirfd, AT_FDCWD), text, at_flags);
}

/* Asks about the directory that holds the last name. */
static void ask_for_directory(struct job *job, struct question *question, enum existence leaf_is)
{
    if (question == NULL)
        return;
    question->write = true;
    question->access = W_OK | X_OK;
    question->leaf_is = leaf_is;
    if (question->object.is_base || !split_path(question->object.path, question->leaf)) {
        object_release(&question->object);
        job->count--;
    }
}

/* The same about the directory that holds the path's last name. */
static void add_directory_question(struct job *job, const struct request *request, int8_t dirfd,
                                   int8_t path, enum existence leaf_is)
{
    ask_for_directory(job, add_question(job, request, dirfd, path, 0), leaf_is);
}

static void add_open(struct job *job, const struct request *request,
                     const struct explain_spelling *row, uint64_t flags)
{
    bool write = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;

    if ((flags & O_PATH) != 0)
        return; /* not judged by Landlock */
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        add_directory_question(job, request, row->dirfd, row->path, MUST_NOT_EXIST);
        return;
    }
    struct question *question = add_question(job, request, row->dirfd, row->path,
                                             (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0);
    if (question == NULL)
        return;
    question->write = write || (flags & O_TMPFILE) == O_TMPFILE;
    question->access = ((flags & O_ACCMODE) == O_WRONLY ? 0 : R_OK) | (write ? W_OK : 0);
    question->may_create = (flags & O_CREAT) != 0;
}

static void add_simple(struct job *job, const struct request *request,
                       const struct explain_spelling *row, bool write, int access)
{
    unsigned at_flags = (unsigned)int_arg(request, row->flags, 0);
    struct question *question = add_question(job, request, row->dirfd, row->path, at_flags);

    if (question == NULL)
        return;
    question->write = write;
    question->access = access;
}

static void decode(struct job *job, const struct request *request,
                   const struct explain_spelling *row)
{
    struct open_how how;

    switch (row->act) {
    case EXPLAIN_OPEN:
        add_open(job, request, row, (unsigned)int_arg(request, row->flags, 0));
        break;
    case EXPLAIN_OPEN_HOW:
        if (task_memory_read_all((pid_t)request->notification.pid,
                                 request->notification.data.args[row->flags], &how,
                                 sizeof(how)) == 0)
            add_open(job, request, row, how.flags);
        break;
    case EXPLAIN_CREAT:
        add_open(job, request, row, O_CREAT | O_WRONLY | O_TRUNC);
        break;
    case EXPLAIN_EXECUTE:
        add_simple(job, request, row, false, X_OK);
        break;
    case EXPLAIN_TRUNCATE:
        add_simple(job, request, row, true, W_OK);
        break;
    case EXPLAIN_CREATE:
        add_directory_question(job, request, row->dirfd, row->path, MUST_NOT_EXIST);
        break;
    case EXPLAIN_REMOVE:
        add_directory_question(job, request, row->dirfd, row->path, MUST_EXIST);
        break;
    case EXPLAIN_RENAME:
        add_directory_question(job, request, row->dirfd, row->path, MUST_EXIST);
        add_directory_question(job, request, row->dirfd2, row->path2, ANY_EXISTENCE);
        break;
    case EXPLAIN_LINK:
        add_directory_question(job, request, row->dirfd2, row->path2, MUST_NOT_EXIST);
        break;
    case EXPLAIN_CONNECT:
    case EXPLAIN_BIND:
        break;
    }
}

static struct job *job_new(const struct request *request)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job != NULL)
        job->explain = request->state;
    return job;
}

/* Takes the job over. A call that would wait in line, perhaps with thousands, goes unexplained: the kernel
 * answers it all the same. */
static struct verdict judge_job(struct request *request, struct job *job)
{
    if (!request_is_valid(request) || ask_all(request, job, true) || request_would_wait(request) ||
        !request_submit(request, work, job, job_free)) {
        job_free(job);
        return verdict_next();
    }
    return verdict_taken();
}

/* Where another feature has handed the call to a worker, this is its last look, and may wait. */
static void observe(const struct request *request)
{
    struct job *job = job_new(request);

    if (job == NULL)
        return;
    decode(job, request, &spellings[request->trap->detail]);
    if (request_is_valid(request))
        ask_all(request, job, false);
    job_free(job);
}

static struct verdict on_path_call(struct request *request)
{
    struct job *job = job_new(request);

    if (job == NULL)
        return verdict_next();
    decode(job, request, &spellings[request->trap->detail]);
    return judge_job(request, job);
}

/* ---- Addresses ------------------------------------------------------------------------------------ */

/* Where Landlock judges connections by itself, every rule is for TCP ports of any address. */
static bool may_connect(const struct policy *policy, uint16_t port)
{
    for (size_t i = 0; i < policy->net_allow.count; i++) {
        const struct net_rule *rule = &policy->net_allow.items[i];
        if (rule->protocol == NET_TCP &&
            (rule->port_count == 0 || port_ranges_contain(rule->ports, rule->port_count, port)))
            return true;
    }
    return false;
}

/* A duplicate could make the close of a socket wait here that lingers. Where members can have UDP sockets,
 * another feature takes duplicates too, and sockets do not linger (net/linger.c); elsewhere none is taken,
 * and what is not among the descriptors that the command was given is TCP. */
static bool is_tcp(const struct request *request)
{
    const struct explain *explain = request->state;
    int fd = (int)request->notification.data.args[0];
    struct pinned_socket pinned = PINNED_SOCKET_INIT;

    if (!explain->udp_exists)
        return fd > STDERR_FILENO;
    if (socket_pin(request, fd, &pinned) != 0)
        return false;
    bool tcp = pinned.protocol == IPPROTO_TCP;
    socket_unpin(&pinned);
    return tcp;
}

/* "192.0.2.1:80", "[::1]:80". False: not an address of the internet families. */
static bool format_address(const struct sockaddr_storage *address, size_t size, char *text,
                           size_t room, uint16_t *port)
{
    char host[INET6_ADDRSTRLEN];

    if (address->ss_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        *port = ntohs(in->sin_port);
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(text, room, "%s:%u", host, *port);
        return true;
    }
    /* The shortest form that the kernel takes lacks the scope. */
    if (address->ss_family == AF_INET6 && size >= sizeof(struct sockaddr_in6) - sizeof(uint32_t)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        *port = ntohs(in6->sin6_port);
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(text, room, "[%s]:%u", host, *port);
        return true;
    }
    return false;
}

/* A bind to a path makes a file. */
static struct verdict on_unix_bind(struct request *request, const struct sockaddr_storage *address,
                                   size_t size)
{
    char path[sizeof(*address) + 1] = "";
    size_t start = offsetof(struct sockaddr_un, sun_path);
    struct job *job;

    if (size <= start || size > sizeof(struct sockaddr_un))
        return verdict_next();
    memcpy(path, (const char *)address + start, size - start);
    if (path[0] == '\0' || (job = job_new(request)) == NULL)
        return verdict_next();
    ask_for_directory(job, add_named_question(job, request, AT_FDCWD, path, 0), MUST_NOT_EXIST);
    return judge_job(request, job);
}

static struct verdict on_address_call(struct request *request)
{
    const struct explain *explain = request->state;
    bool bind = spellings[request->trap->detail].act == EXPLAIN_BIND;
    uint64_t right = bind ? LL_NET_BIND_TCP : LL_NET_CONNECT_TCP;
    struct sockaddr_storage address = {0};
    uint32_t size = (uint32_t)request->notification.data.args[2];
    char text[INET6_ADDRSTRLEN + 16], object[INET6_ADDRSTRLEN + 24], advice[INET6_ADDRSTRLEN + 48];
    uint16_t port;

    if (size > sizeof(address) ||
        task_memory_read_all((pid_t)request->notification.pid, request->notification.data.args[1],
                             &address, size) != 0)
        return verdict_next();
    if (bind && address.ss_family == AF_UNIX)
        return on_unix_bind(request, &address, size);
    if ((explain->handled_net & right) == 0 || !is_tcp(request) ||
        !format_address(&address, size, text, sizeof(text), &port) || !request_is_valid(request))
        return verdict_next();
    if (bind ? network_may_bind(explain->policy, port) : may_connect(explain->policy, port))
        return verdict_next();
    snprintf(object, sizeof(object), "tcp://%s", text);
    if (bind)
        snprintf(advice, sizeof(advice), "--net-allow-bind %u", port);
    else
        snprintf(advice, sizeof(advice), "--net-allow %s", object);
    request_record_denial(request, object, bind ? "bind" : "connect", EACCES,
                          bind ? "bind-rules" : "network-rules", NULL, advice);
    return verdict_next();
}

/* ---- Traps ---------------------------------------------------------------------------------------- */

enum explain_row {
#define EXPLAIN_CALL(syscall, ...) ROW_##syscall,
#include "gates/explain_call.def"
#undef EXPLAIN_CALL
};

static const struct trap traps[] = {
#define EXPLAIN_CALL(name, act, ...)                                                               \
    {.syscall = #name,                                                                             \
     .handle = EXPLAIN_##act == EXPLAIN_CONNECT || EXPLAIN_##act == EXPLAIN_BIND ? on_address_call \
                                                                                 : on_path_call,   \
     .detail = ROW_##name},
#include "gates/explain_call.def"
#undef EXPLAIN_CALL
};

static const char *const needs[] = {"faccessat2",  "fstatfs",    "pidfd_open",
                                    "pidfd_getfd", "getsockopt", NULL};

const struct feature feature_explain = {
    .name = "explain",
    .wanted = explain_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .observe = observe,
    .start = explain_start,
    .stop = explain_stop,
};
