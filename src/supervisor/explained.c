/*
 * With explain, what the members' filter refuses by itself arrives at the supervisor instead: calls
 * whatever their arguments, and those that it refuses by their registers. They get the answer the filter
 * would have given, which a plan of that filter tells, and a record that names what was asked.
 */
#include "supervisor/internal.h"

#include "util/strv.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool is_denied_by_option(const struct policy *policy, int number)
{
    for (size_t i = 0; i < policy->denied_count; i++)
        if (policy->denied_numbers[i] == number)
            return true;
    return false;
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
    if (strstr(reason, "sysv_ipc") != NULL) {
        snprintf(suggest, size, "--extra-allow-syscall sysv_ipc");
        return true;
    }
    return false;
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
        snprintf(text + length, size - (size_t)length, "%s", types[type]);
    else
        snprintf(text + length, size - (size_t)length, "type %u", type);
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

/* Calls that the filter refuses by their registers, and how the record tells what was asked. */
struct argument_call {
    const char *call, *want, *object; /* what the decisive register is */
    int arg;
    const char *rule;
};

static const struct argument_call argument_calls[] = {
    {"ioctl", "control", "request", 1, "acts on more than the file, or tells of the host"},
    {"prctl", "change", "option", 0, "it would hide the process, or show it to others"},
    {"personality", "change", "persona", 0, "it would weaken the process's own protections"},
    {"fcntl", "control", "command", 1, "it would stall or watch others who use the file"},
    {"clone", "create", "flags", 0, "no new namespaces, parents or unseen children"},
};

static const struct argument_call *argument_call_of(int number)
{
    for (size_t i = 0; i < sizeof(argument_calls) / sizeof(argument_calls[0]); i++) {
        if (number == arch_syscall_number(arch_native, argument_calls[i].call))
            return &argument_calls[i];
    }
    return NULL;
}

static void record_by_arguments(const struct request *request, int error)
{
    const struct seccomp_data *data = &request->notification.data;
    const struct argument_call *row = argument_call_of(data->nr);
    char object[64];

    if (row == NULL) {
        request_record_denial(request, NULL, "call", error, "filter", "not with these arguments",
                              NULL);
        return;
    }
    snprintf(object, sizeof(object), "%s 0x%x", row->object,
             (unsigned)(uint32_t)data->args[row->arg]);
    request_record_denial(request, object, row->want, error, "filter", row->rule, NULL);
}

/* "IPPROTO_IP option 35" */
static void record_socket_option(const struct request *request, int error)
{
    const struct seccomp_data *data = &request->notification.data;
    unsigned level = (unsigned)(uint32_t)data->args[1];
    unsigned option = (unsigned)(uint32_t)data->args[2];
    const char *name = level == IPPROTO_IP     ? "IPPROTO_IP"
                       : level == IPPROTO_TCP  ? "IPPROTO_TCP"
                       : level == IPPROTO_IPV6 ? "IPPROTO_IPV6"
                       : level == SOL_SOCKET   ? "SOL_SOCKET"
                                               : NULL;
    char object[64];

    if (name != NULL)
        snprintf(object, sizeof(object), "%s option %u", name, option);
    else
        snprintf(object, sizeof(object), "level %u option %u", level, option);
    request_record_denial(request, object, "set", error, "filter",
                          "it may lead packets elsewhere than their address says", NULL);
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

static bool is_call(int number, const char *name)
{
    return number == arch_syscall_number(arch_native, name);
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
    } else if (is_call(data->nr, "setsockopt")) {
        record_socket_option(request, error);
    } else {
        record_by_arguments(request, error);
    }
    return true;
}
