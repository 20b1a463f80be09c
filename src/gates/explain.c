/*
 * explain: what Landlock refuses inside the kernel raises no notification, so with --explain these
 * calls are trapped, judged as Landlock will judge them, and recorded if they will be refused.
 *
 * Every call continues, whatever was found here. That is safe although paths and addresses lie in
 * memory: nothing is permitted by it, the kernel judges by itself the values it reads by itself. A
 * member that changes them meanwhile spoils its own record only. The feature must be the last of the
 * registry, since its answer ends the chain.
 */
#include "gates/explain_files.h"
#include "gates/gates.h"
#include "kernel/procfs.h"
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "policy/network.h"
#include "policy/own_port.h"
#include "supervisor/supervisor.h"
#include "util/buffer.h"
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
#include <sys/un.h>
#include <unistd.h>

#define NONE (-1)
#define EXPLAIN_CALL(syscall, act, dirfd, path, flags, dirfd2, path2) \
    {#syscall, EXPLAIN_##act, dirfd, path, flags, dirfd2, path2},
static const struct explain_spelling spellings[] = {
#include "gates/explain_call.def"
};
#undef EXPLAIN_CALL

struct explain {
    const struct policy *policy; /* borrowed */
    struct explain_files files;
    uint64_t handled_net;
    bool udp_exists; /* members can have other IP sockets than TCP */
};

static bool explain_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return policy->explain;
}

static bool hard_links_are_protected(void)
{
    char text[4] = "";
    CLEANUP_FD int fd = open("/proc/sys/fs/protected_hardlinks", O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && text[0] == '1';
}

static bool explain_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct landlock_masks masks;
    struct explain *explain = calloc(1, sizeof(*explain));

    if (explain == NULL)
        return error_runtime(err, ENOMEM, "explain");
    const struct policy *policy = supervisor_policy(supervisor);
    landlock_resolve(landlock_support_get(), policy->protections, &masks);
    explain->policy = policy;
    explain->files.grants = supervisor_grants(supervisor);
    explain->files.proc_fd = supervisor_proc_fd(supervisor);
    explain->files.handled = masks.fs;
    explain->files.rights = own_rights_now();
    explain->files.mapped = policy_maps_user(policy);
    explain->files.hard_links_protected = hard_links_are_protected();
    explain->handled_net = masks.net;
    explain->udp_exists = network_shape_of(policy).udp != UDP_CLOSED;
    pthread_mutex_init(&explain->files.local.lock, NULL);
    *state = explain;
    return true;
}

static void explain_stop(void *state)
{
    struct explain *explain = state;

    if (explain == NULL)
        return;
    pthread_mutex_destroy(&explain->files.local.lock);
    free(explain);
}

/* ---- Files ---------------------------------------------------------------------------------------- */

static struct explain_job *job_for(const struct request *request)
{
    struct explain *explain = request->state;

    return explain_job_new(&explain->files);
}

static void work(const struct request *request, void *data)
{
    explain_job_ask(request, data, false);
    request_answer_continue(request);
}

/* Takes the job over. A call that would wait in line, perhaps with thousands, goes unexplained: the kernel
 * answers it all the same. */
static struct verdict judge_job(struct request *request, struct explain_job *job)
{
    if (!request_is_valid(request) || explain_job_ask(request, job, true) ||
        request_would_wait(request) || !request_submit(request, work, job, explain_job_free)) {
        explain_job_free(job);
        return verdict_next();
    }
    return verdict_taken();
}

/* Where another feature has handed the call to a worker, this is its last look, and may wait. */
static void observe(const struct request *request)
{
    struct explain_job *job = job_for(request);

    if (job == NULL)
        return;
    explain_job_decode(job, request, &spellings[request->trap->detail]);
    if (request_is_valid(request))
        explain_job_ask(request, job, false);
    explain_job_free(job);
}

static struct verdict on_path_call(struct request *request)
{
    struct explain_job *job = job_for(request);

    if (job == NULL)
        return verdict_next();
    explain_job_decode(job, request, &spellings[request->trap->detail]);
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

/* Else ENOTSOCK or EBADF. */
static bool is_socket(const struct request *request)
{
    char text[32];
    const struct explain *explain = request->state;
    ssize_t length =
        procfs_read_fd_link(explain->files.proc_fd, (pid_t)request->notification.pid,
                            (int)request->notification.data.args[0], text, sizeof(text));

    return length > 0 && strncmp(text, "socket:", strlen("socket:")) == 0;
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

/* What own_port_suggest() says. */
static const char *suggest_destination(const struct explain *explain,
                                       const struct sockaddr_storage *address, uint16_t port,
                                       struct buffer *advice)
{
    bool ipv4 = address->ss_family == AF_INET;
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    struct net_address named = {.family = ipv4 ? 4 : 6};

    if (ipv4)
        memcpy(named.bytes, &in->sin_addr, sizeof(in->sin_addr));
    else
        memcpy(named.bytes, &in6->sin6_addr, sizeof(in6->sin6_addr));
    struct net_address reached = net_address_canonical(&named);
    return own_port_suggest(explain->policy, NULL, NET_TCP, &reached, NULL, port, advice);
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
    struct explain_job *job;

    if (size <= start || size > sizeof(struct sockaddr_un))
        return verdict_next();
    memcpy(path, (const char *)address + start, size - start);
    if (path[0] == '\0' || (job = job_for(request)) == NULL)
        return verdict_next();
    explain_job_add_socket(job, request, path);
    return judge_job(request, job);
}

static struct verdict on_address_call(struct request *request)
{
    const struct explain *explain = request->state;
    bool bind = spellings[request->trap->detail].act == EXPLAIN_BIND;
    uint64_t right = bind ? LL_NET_BIND_TCP : LL_NET_CONNECT_TCP;
    struct sockaddr_storage address = {0};
    uint32_t size = (uint32_t)request->notification.data.args[2];
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    char text[INET6_ADDRSTRLEN + 16], object[INET6_ADDRSTRLEN + 24];
    const char *reason = NULL;
    uint16_t port;

    if (size > sizeof(address) || !is_socket(request) ||
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
        own_port_suggest_bind(explain->policy, NULL, port, &advice);
    else
        reason = suggest_destination(explain, &address, port, &advice);
    request_record_denial(
        request, object, bind ? "bind" : "connect", EACCES, bind ? "bind-rules" : "network-rules",
        reason, advice.length > 0 && !buffer_failed(&advice) ? buffer_text(&advice) : NULL);
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

static const char *const needs[] = {"faccessat2", "capget",      "identity",   "fstatfs",
                                    "pidfd_open", "pidfd_getfd", "getsockopt", NULL};

const struct feature feature_explain = {
    .name = "explain",
    .wanted = explain_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .makes_do = true,
    .observe = observe,
    .start = explain_start,
    .stop = explain_stop,
};
