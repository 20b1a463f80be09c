/*
 * With explain, what the members' filter refuses by itself arrives at the supervisor instead: calls
 * whatever their arguments, and those that it refuses by their registers. They get the answer the filter
 * would have given, which a plan of that filter tells, and a record that names what was asked.
 */
#include "supervisor/internal.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "util/fd.h"
#include "util/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#define QUEUES "/dev/mqueue"
#define QUEUES_MAGIC 0x19800202U /* mqueue file systems: ipc/mqueue.c of the kernel */

static bool is_denied_by_option(const struct policy *policy, int number)
{
    for (size_t i = 0; i < policy->denied_count; i++)
        if (policy->denied_numbers[i] == number)
            return true;
    return false;
}

/* True if message queues are where a grant can name them. */
static bool queues_are_mounted(void)
{
    struct statfs status;
    CLEANUP_FD int fd = open(QUEUES, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fstatfs(fd, &status) == 0 && (uint32_t)status.f_type == QUEUES_MAGIC;
}

/* For Landlock a queue is a file of its file system: the group alone opens none. */
static bool suggest_for_group(const char *call, char *suggest, size_t size)
{
    bool queue = call != NULL && strcmp(call, "mq_open") == 0;

    if (queue && !queues_are_mounted())
        return false;
    snprintf(suggest, size, "--extra-allow-syscall sysv_ipc%s", queue ? " --fs-write " QUEUES : "");
    return true;
}

/* What would allow a call that the filter refuses as a whole. False: nothing would. */
static bool suggest_for_call(const struct policy *policy, int number, const char *reason,
                             char *suggest, size_t size)
{
    const char *name = arch_syscall_name(arch_native, number);

    if (name != NULL && is_denied_by_option(policy, number)) {
        bool by_name = strv_contains(&policy->extra_deny, name);
        snprintf(suggest, size,
                 by_name ? "leaving out --extra-deny-syscall %s"
                         : "leaving out the --extra-deny-syscall that covers %s",
                 name);
        return true;
    }
    return strstr(reason, "sysv_ipc") != NULL && suggest_for_group(name, suggest, size);
}

/* Where the protocol is the reason: "", " MPTCP", " protocol 9". */
static void name_protocol(unsigned family, unsigned protocol, char *text, size_t size)
{
    static const struct {
        unsigned number;
        const char *name;
    } names[] = {
        {33, "DCCP"}, {115, "L2TP"}, {132, "SCTP"}, {136, "UDP-Lite"}, {256, "SMC"}, {262, "MPTCP"},
    };
    bool ip = family == AF_INET || family == AF_INET6;

    text[0] = '\0';
    if (protocol == 0 || (ip && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
                                 protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)))
        return;
    snprintf(text, size, " protocol %u", protocol);
    for (size_t i = 0; ip && i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].number == protocol)
            snprintf(text, size, " %s", names[i].name);
    }
}

/* "AF_INET SOCK_DGRAM", numbers where there is no name. */
static void name_socket(const struct seccomp_data *data, char *text, size_t size)
{
    unsigned family = (unsigned)(uint32_t)data->args[0];
    unsigned type = (unsigned)(uint32_t)data->args[1] & 0xf; /* without CLOEXEC and NONBLOCK */
    static const char *const types[] = {[SOCK_STREAM] = "SOCK_STREAM",
                                        [SOCK_DGRAM] = "SOCK_DGRAM",
                                        [SOCK_RAW] = "SOCK_RAW",
                                        [SOCK_SEQPACKET] = "SOCK_SEQPACKET"};
    const char *name = family == AF_INET      ? "AF_INET"
                       : family == AF_INET6   ? "AF_INET6"
                       : family == AF_NETLINK ? "AF_NETLINK"
                       : family == AF_PACKET  ? "AF_PACKET"
                                              : NULL;
    int length = name != NULL ? snprintf(text, size, "%s ", name)
                              : snprintf(text, size, "family %u ", family);

    if (type < sizeof(types) / sizeof(types[0]) && types[type] != NULL)
        length += snprintf(text + length, size - (size_t)length, "%s", types[type]);
    else
        length += snprintf(text + length, size - (size_t)length, "type %u", type);
    name_protocol(family, (unsigned)(uint32_t)data->args[2], text + length, size - (size_t)length);
}

/* What such a socket lacks, and what would allow it (NULL: nothing). */
static const char *reason_for_socket(const struct seccomp_data *data, const char **suggest)
{
    unsigned family = (unsigned)(uint32_t)data->args[0];
    unsigned type = (unsigned)(uint32_t)data->args[1] & 0xf;
    unsigned protocol = (unsigned)(uint32_t)data->args[2];
    bool ip = family == AF_INET || family == AF_INET6;

    *suggest = NULL;
    if (family == AF_PACKET || (ip && type == SOCK_RAW))
        return "raw sockets never exist";
    if (ip && type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP)) {
        *suggest = "--net-allow HOST:PORT (to look up names), --net-allow udp://ADDRESS:PORT";
        return "no rule for UDP";
    }
    if (ip && type == SOCK_DGRAM && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)) {
        *suggest = "--net-allow icmp://ADDRESS";
        return "no rule for ping sockets";
    }
    if (family == AF_NETLINK)
        return "of netlink only NETLINK_ROUTE exists";
    return "only TCP, UDP, ping and unix sockets";
}

/* ---- Arguments ---------------------------------------------------------------------------------- */

/* What a register names in the record. */
enum argument_kind {
    ARGUMENT_BITS,   /* "flags 0x20000" */
    ARGUMENT_NUMBER, /* "process 4711" */
    ARGUMENT_PATH,   /* the text at this address */
    ARGUMENT_OPTION, /* of a socket: level and option */
    ARGUMENT_NONE,   /* the name alone */
};

/* Calls that the filter refuses by their registers, and how the record tells what was asked. The first row
 * of a call whose `value` is that of the register, or that asks for none, is it. */
struct argument_call {
    const char *call, *want, *object; /* what the decisive register is */
    enum argument_kind kind;
    int arg;
    uint32_t value; /* 0: any */
    const char *rule;
    const char *suggest;
};

#define UNGATED "only the caller itself, where --without process-gate leaves nobody to ask"
#define DEVICE "device files are never made"
#define TRUNCATION "here O_TRUNC must come with opening for writing"
#define FASTOPEN "connections are made by connect alone"
#define OF_FASTOPEN "connect", "MSG_FASTOPEN", ARGUMENT_NONE, 0, 0, FASTOPEN, NULL

static const struct argument_call argument_calls[] = {
    {"ioctl", "control", "request", ARGUMENT_BITS, 1, 0,
     "acts on more than the file, or tells of the host", NULL},
    {"prctl", "change", "option", ARGUMENT_BITS, 0, PR_SET_SECUREBITS,
     "it would change what becomes of capabilities", NULL},
    {"prctl", "change", "option", ARGUMENT_BITS, 0, PR_SET_THP_DISABLE,
     "huge pages stay off with --no-huge-pages", "leaving out --no-huge-pages"},
    {"prctl", "change", "option", ARGUMENT_BITS, 0, 0,
     "it would hide the process, or show it to others", NULL},
    {"personality", "change", "persona", ARGUMENT_BITS, 0, 0,
     "it would weaken the process's own protections", NULL},
    {"fcntl", "control", "command", ARGUMENT_BITS, 1, 0,
     "it would stall or watch others who use the file", NULL},
    {"clone", "create", "flags", ARGUMENT_BITS, 0, 0,
     "no new namespaces, parents or unseen children", NULL},
    {"open", "truncate", NULL, ARGUMENT_PATH, 0, 0, TRUNCATION, NULL},
    {"openat", "truncate", NULL, ARGUMENT_PATH, 1, 0, TRUNCATION, NULL},
    {"mknod", "create", NULL, ARGUMENT_PATH, 0, 0, DEVICE, NULL},
    {"mknodat", "create", NULL, ARGUMENT_PATH, 1, 0, DEVICE, NULL},
    {"setsockopt", "set", NULL, ARGUMENT_OPTION, 0, 0, NULL, NULL},
    {"getsockopt", "read", NULL, ARGUMENT_OPTION, 0, 0, "it tells of the host's network", NULL},
    {"sendto", OF_FASTOPEN},
    {"sendmsg", OF_FASTOPEN},
    {"sendmmsg", OF_FASTOPEN},
    {"prlimit64", "control", "process", ARGUMENT_NUMBER, 0, 0, UNGATED, NULL},
    {"sched_setaffinity", "control", "process", ARGUMENT_NUMBER, 0, 0, UNGATED, NULL},
    {"sched_setscheduler", "control", "process", ARGUMENT_NUMBER, 0, 0, UNGATED, NULL},
    {"sched_setparam", "control", "process", ARGUMENT_NUMBER, 0, 0, UNGATED, NULL},
    {"sched_setattr", "control", "process", ARGUMENT_NUMBER, 0, 0, UNGATED, NULL},
    {"setpriority", "control", "process, group or user", ARGUMENT_NUMBER, 1, 0, UNGATED, NULL},
    {"ioprio_set", "control", "process, group or user", ARGUMENT_NUMBER, 1, 0, UNGATED, NULL},
};

#undef OF_FASTOPEN

static const struct argument_call *argument_call_of(const struct seccomp_data *data)
{
    for (size_t i = 0; i < sizeof(argument_calls) / sizeof(argument_calls[0]); i++) {
        const struct argument_call *row = &argument_calls[i];
        if (data->nr == arch_syscall_number(arch_native, row->call) &&
            (row->value == 0 || row->value == (uint32_t)data->args[row->arg]))
            return row;
    }
    return NULL;
}

/* "IPPROTO_IP option 35" */
static void name_socket_option(const struct seccomp_data *data, char *text, size_t size)
{
    unsigned level = (unsigned)(uint32_t)data->args[1];
    unsigned option = (unsigned)(uint32_t)data->args[2];
    const char *name = level == IPPROTO_IP     ? "IPPROTO_IP"
                       : level == IPPROTO_TCP  ? "IPPROTO_TCP"
                       : level == IPPROTO_UDP  ? "IPPROTO_UDP"
                       : level == IPPROTO_IPV6 ? "IPPROTO_IPV6"
                       : level == SOL_SOCKET   ? "SOL_SOCKET"
                                               : NULL;

    if (name != NULL)
        snprintf(text, size, "%s option %u", name, option);
    else
        snprintf(text, size, "level %u option %u", level, option);
}

/* Why a socket option is not set; see the filter's rows (filter/argument_rules.c). */
static const char *reason_for_socket_option(const struct seccomp_data *data)
{
    static const char foreign_source[] =
        "answers would go to a source address that is not this machine's";
    static const char group[] = "it would join a group that no rule names, or tell of interfaces";
    static const char interface[] = "it tells of interfaces, and no rule is for UDP";
    static const struct {
        unsigned level, first, last;
        const char *reason;
    } rows[] = {
        {SOL_SOCKET, 60, 60, "what is sent goes through the supervisor, which completes nothing"},
        {IPPROTO_TCP, 19, 19, "it would make up a connection"},
        {IPPROTO_TCP, 31, 31, "another protocol on the socket may connect unseen"},
        {IPPROTO_UDP, 1, 1, "what is begun for a name could go on to another address"},
        {IPPROTO_IP, 15, 15, foreign_source},
        {IPPROTO_IP, 19, 19, foreign_source},
        {IPPROTO_IP, 32, 32, interface},
        {IPPROTO_IP, 35, 48, group},
        {IPPROTO_IP, 51, 51, "it would choose a port in place of the kernel"},
        {IPPROTO_IP, 52, 63, "not known here"},
        {IPPROTO_IP, 64, UINT32_MAX, "it would change the host's packet filter or routes"},
        {IPPROTO_IPV6, 17, 17, interface},
        {IPPROTO_IPV6, 20, 21, group},
        {IPPROTO_IPV6, 27, 28, group},
        {IPPROTO_IPV6, 42, 48, group},
        {IPPROTO_IPV6, 64, 65, "it would change the host's packet filter or routes"},
        {IPPROTO_IPV6, 75, 75, foreign_source},
        {IPPROTO_IPV6, 78, 78, foreign_source},
        {IPPROTO_IPV6, 200, UINT32_MAX, "it would change the host's packet filter or routes"},
    };
    unsigned level = (unsigned)(uint32_t)data->args[1];
    unsigned option = (unsigned)(uint32_t)data->args[2];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (level == rows[i].level && option >= rows[i].first && option <= rows[i].last)
            return rows[i].reason;
    }
    return "it may lead packets elsewhere than their address says";
}

/* False: it cannot be told. */
static bool name_argument(const struct request *request, const struct argument_call *row,
                          char object[PATH_MAX])
{
    const struct seccomp_data *data = &request->notification.data;

    switch (row->kind) {
    case ARGUMENT_BITS:
        snprintf(object, PATH_MAX, "%s 0x%x", row->object,
                 (unsigned)(uint32_t)data->args[row->arg]);
        return true;
    case ARGUMENT_NUMBER:
        snprintf(object, PATH_MAX, "%s %d", row->object, (int)(uint32_t)data->args[row->arg]);
        return true;
    case ARGUMENT_PATH:
        return task_memory_read_string((pid_t)request->notification.pid, data->args[row->arg],
                                       object, PATH_MAX) > 0 &&
               request_is_valid(request);
    case ARGUMENT_OPTION:
        name_socket_option(data, object, PATH_MAX);
        return true;
    case ARGUMENT_NONE:
        break;
    }
    snprintf(object, PATH_MAX, "%s", row->object);
    return true;
}

static bool is_call(int number, const char *name)
{
    return number == arch_syscall_number(arch_native, name);
}

static void record_by_arguments(const struct request *request, int error)
{
    const struct seccomp_data *data = &request->notification.data;
    const struct policy *policy = request->supervisor->config.policy;
    const struct argument_call *row = argument_call_of(data);
    char object[PATH_MAX];

    if (row == NULL) {
        request_record_denial(request, NULL, "call", error, "filter", "not with these arguments",
                              NULL);
        return;
    }
    const char *rule = row->rule != NULL ? row->rule : reason_for_socket_option(data);
    if (is_call(data->nr, "getsockopt") && (uint32_t)data->args[1] == SOL_SOCKET &&
        (uint32_t)data->args[2] == SO_MEMINFO)
        rule = "it counts what was sent to a UDP socket that no rule lets receive";
    bool own = row->kind == ARGUMENT_NUMBER && (pid_t)data->args[row->arg] == request->tgid;
    const char *suggest = own ? "leaving out --without process-gate" : row->suggest;
    if (row->kind == ARGUMENT_NUMBER && data->args[row->arg] == 0 && policy->cpu_core_count > 0) {
        rule = "the processors are those of --cpu-cores";
        suggest = "leaving out --cpu-cores";
    }
    bool named = name_argument(request, row, object);
    request_record_denial(request, named ? object : NULL, row->want, error, "filter", rule,
                          suggest);
}

static void record_socket(const struct request *request, int error)
{
    const struct seccomp_data *data = &request->notification.data;
    const char *suggest;
    const char *lacks = reason_for_socket(data, &suggest);
    char object[64];

    name_socket(data, object, sizeof(object));
    request_record_denial(request, object, "create", error, "filter", lacks, suggest);
}

/* ---- The verdict -------------------------------------------------------------------------------- */

bool supervisor_judge_explained(struct supervisor *supervisor, struct request *request,
                                struct verdict *verdict)
{
    const struct policy *policy = supervisor->config.policy;
    const struct seccomp_data *data = &request->notification.data;
    char suggest[128];

    if (supervisor->explained == NULL)
        return false;
    const char *reason = member_filter_denial_reason(arch_native, policy, true, data->nr);
    uint32_t action = filter_plan_evaluate(supervisor->explained, data);
    bool refused = (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
    int error = refused ? (int)(action & SECCOMP_RET_DATA) : EPERM;

    if (reason == NULL && !refused)
        return false;
    *verdict = verdict_errno(error);
    if (reason != NULL) {
        bool helps = suggest_for_call(policy, data->nr, reason, suggest, sizeof(suggest));
        /* ENOSYS sends callers on their older path (clone3 in every thread creation): no denial. */
        if (error != ENOSYS)
            request_record_denial(request, NULL, "call", error, "filter", reason,
                                  helps ? suggest : NULL);
    } else if (is_call(data->nr, "socket") || is_call(data->nr, "socketpair")) {
        record_socket(request, error);
    } else {
        record_by_arguments(request, error);
    }
    return true;
}
