/*
 * SO_LINGER of members. Closing the last descriptor of a socket that lingers waits for the peer, and the
 * last one may be a duplicate of the supervisor's: a member could make it wait as long as it likes. So
 * the option is set on behalf, and a close in the background is all that can be asked for.
 */
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "net/net.h"

#include <errno.h>
#include <sys/socket.h>

/* Who takes duplicates of members' sockets. explain does so only beside one of these: it changes nothing. */
static const struct feature *const takers[] = {
    &feature_netlink_view,
    &feature_interface_view,
    &feature_destinations,
    &feature_bind,
    &feature_listen,
    &feature_port_names,
    &feature_hosts_view,
    &feature_proc_view,
    &feature_hosts_view_writable,
    &feature_proc_view_writable,
};

static bool linger_wanted(const struct policy *policy, const struct network *network)
{
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
        if (takers[i]->wanted(policy, network))
            return true;
    }
    return false;
}

/* The kernel's order: the descriptor, the length, the value. */
static int perform(const struct request *request, struct pinned_socket *socket)
{
    const __u64 *args = request->notification.data.args;
    struct linger linger;

    int result = socket_pin(request, (int)(uint32_t)args[0], socket);
    if (result < 0)
        return result;
    if ((int)(uint32_t)args[4] < (int)sizeof(linger))
        return -EINVAL;
    result =
        task_memory_read_all((pid_t)request->notification.pid, args[3], &linger, sizeof(linger));
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    if (result < 0)
        return result;
    if (linger.l_linger != 0) /* negative is for ever */
        linger.l_onoff = 0;
    return setsockopt(socket->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 ? 0 : -errno;
}

static struct verdict on_setsockopt(struct request *request)
{
    struct pinned_socket socket = PINNED_SOCKET_INIT;
    int result = perform(request, &socket);

    socket_unpin(&socket);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

static const struct filter_rule other_options[] = {
    {.test_count = 1, .tests = {{.arg = 1, .op = ARG_NOT_EQUAL, .value = SOL_SOCKET}}},
    {.test_count = 1, .tests = {{.arg = 2, .op = ARG_NOT_EQUAL, .value = SO_LINGER}}},
};

static const struct trap traps[] = {
    {.syscall = "setsockopt", .passes = other_options, .pass_count = 2, .handle = on_setsockopt},
};

/* The last is every taker's, through socket_unpin(). */
static const char *const needs[] = {"pidfd_getfd", "getsockopt", "setsockopt:linger", NULL};

static void linger_describe(const struct policy *policy, struct posture *posture)
{
    (void)policy;
    posture_set(posture, "background-close", POSTURE_ACTIVE, "supervisor",
                "sockets of members do not linger (SO_LINGER with a time)");
}

const struct feature feature_linger = {
    .name = "background-close",
    .wanted = linger_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .describe = linger_describe,
};
