/*
 * inert-udp: UDP sockets where rules exist but none is for UDP. Programs make such sockets without a
 * wish to send (resolvers sort addresses by connecting them), so they can be made; but whatever is done
 * with them later, the kernel lets nothing out and nothing in: a filter that drops everything is
 * attached and locked, and the sending side is shut down, before the member gets the descriptor. Copies,
 * descriptors passed on and calls that no trap sees (write binds) change nothing about that. What passes by the
 * filter is an error that somebody on the network made up for such a port: it would be queued with the bytes
 * that it quotes, so that queue is never switched on. Nor is what lets a socket have a port together with others: it
 * would get datagrams instead of a service outside, and drop them.
 */
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "net/net.h"
#include "net/network.h"
#include "policy/network.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef SO_LOCK_FILTER
#define SO_LOCK_FILTER 44
#endif

#ifndef IP_RECVERR
#define IP_RECVERR 11
#endif
#ifndef IPV6_RECVERR
#define IPV6_RECVERR 25
#endif

#define TYPE_BITS 0xf

enum { READY_INET, READY_INET6, READY_COUNT };

struct inert {
    int ready[READY_COUNT]; /* owned; -1: none made yet */
};

static bool inert_wanted(const struct policy *policy, const struct network *network)
{
    return network_shape_known(policy, network).udp == UDP_INERT;
}

static bool inert_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct inert *inert = calloc(1, sizeof(*inert));

    (void)supervisor;
    if (inert == NULL)
        return error_runtime(err, ENOMEM, "inert UDP sockets");
    for (int i = 0; i < READY_COUNT; i++)
        inert->ready[i] = -1;
    *state = inert;
    return true;
}

static void inert_stop(void *state)
{
    struct inert *inert = state;

    if (inert == NULL)
        return;
    for (int i = 0; i < READY_COUNT; i++)
        fd_close(inert->ready[i]);
    free(inert);
}

/* The filter is locked, so that nobody can take it away: the member neither, nor root. The kernel says
 * ENOTCONN of a shutdown without a peer, and shuts down all the same. */
static int make_inert(int fd)
{
    struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = drop};
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) != 0)
        return -errno;
    return shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN ? 0 : -errno;
}

/* A new one, or -errno. */
static int make(int family)
{
    CLEANUP_FD int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

    if (fd < 0)
        return -errno;
    int result = make_inert(fd);
    return result < 0 ? result : fd_steal(&fd);
}

static int take(struct inert *inert, int which, int family)
{
    int fd = inert->ready[which];

    inert->ready[which] = -1;
    return fd >= 0 ? fd : make(family);
}

/* Only registers decide, so what is not ours may continue. */
static struct verdict on_socket(struct request *request)
{
    struct inert *inert = request->state;
    const __u64 *args = request->notification.data.args;
    int family = (int)(uint32_t)args[0], type = (int)(uint32_t)args[1];
    int protocol = (int)(uint32_t)args[2];

    if ((family != AF_INET && family != AF_INET6) || (type & TYPE_BITS) != SOCK_DGRAM ||
        (protocol != 0 && protocol != IPPROTO_UDP))
        return verdict_next();
    if ((type & ~(TYPE_BITS | SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0)
        return verdict_errno(EINVAL);
    int which = family == AF_INET ? READY_INET : READY_INET6;
    CLEANUP_FD int fd = take(inert, which, family);
    if (fd < 0)
        return verdict_errno(-fd);
    if ((type & SOCK_NONBLOCK) != 0 && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return verdict_errno(errno);
    int result = request_answer_fd(request, fd, -1, (type & SOCK_CLOEXEC) != 0);
    if (result < 0)
        return verdict_errno(-result);
    /* The next one costs the caller nothing now. */
    inert->ready[which] = make(family);
    return verdict_taken();
}

static bool is_about_errors(int level, int option)
{
    return (level == IPPROTO_IP && option == IP_RECVERR) ||
           (level == IPPROTO_IPV6 && option == IPV6_RECVERR);
}

static bool is_about_sharing(int level, int option)
{
    return level == SOL_SOCKET && (option == SO_REUSEADDR || option == SO_REUSEPORT);
}

/* Nothing is sent, so no error comes that could be told. To refuse it would be an error to resolvers, which ask for
 * errors before they connect. */
static int switch_errors(const struct pinned_socket *socket, int level)
{
    if (socket->domain != AF_INET6 && socket->domain != AF_INET)
        return -EOPNOTSUPP;
    return level == IPPROTO_IP || socket->domain == AF_INET6 ? 0 : -ENOPROTOOPT;
}

/* Without it the kernel gives a UDP socket a port alone. Such a socket is not bound by its owner, and to refuse the
 * option would be an error to who sets it before. On the others it is set here: the descriptor may be another one
 * by the time the call went on. */
static int switch_sharing(const struct request *request, const struct pinned_socket *socket,
                          int option)
{
    const __u64 *args = request->notification.data.args;
    int value;

    if ((int)(uint32_t)args[4] < (int)sizeof(value))
        return -EINVAL;
    int result =
        task_memory_read_all((pid_t)request->notification.pid, args[3], &value, sizeof(value));
    if (result == 0 && !request_is_valid(request))
        result = -ESRCH;
    if (result < 0 || socket->protocol == IPPROTO_UDP)
        return result;
    return setsockopt(socket->fd, SOL_SOCKET, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* Only registers decide whether it is ours. */
static struct verdict on_setsockopt(struct request *request)
{
    const __u64 *args = request->notification.data.args;
    int level = (int)(uint32_t)args[1], option = (int)(uint32_t)args[2];
    bool shares = is_about_sharing(level, option);
    struct pinned_socket socket;

    if (!shares && !is_about_errors(level, option))
        return verdict_next();
    int result = socket_pin_kind(request, (int)(uint32_t)args[0], &socket);
    if (result < 0)
        return verdict_errno(-result);
    result = shares ? switch_sharing(request, &socket, option) : switch_errors(&socket, level);
    socket_unpin(&socket);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

/* Everything but datagrams of UDP. Rules that refuse a kind of socket come first anyway. */
#define TEST(number, ...)                                                             \
    {                                                                                 \
        .test_count = 1, .tests = { {.arg = (number), .op = ARG_EQUAL, __VA_ARGS__} } \
    }

static const struct filter_rule not_udp[] = {
    TEST(0, .value = AF_UNIX),
    TEST(0, .value = AF_NETLINK),
    TEST(1, .mask = TYPE_BITS, .value = SOCK_STREAM),
    TEST(2, .value = IPPROTO_ICMP),
    TEST(2, .value = IPPROTO_ICMPV6),
};

/* The four numbers, of whatever level: what is not ours the handler lets through. Ranges leave room for what other
 * traps of the call ask (FILTER_TESTS_MAX). */
#define BETWEEN(low, high)                                                       \
    {                                                                            \
        .test_count = 1, .tests = {                                              \
            {.arg = 2, .op = ARG_IN_RANGE, .value = (low), .value_high = (high)} \
        }                                                                        \
    }

static const struct filter_rule other_options[] = {
    BETWEEN(0, SO_REUSEADDR - 1),
    BETWEEN(SO_REUSEADDR + 1, IP_RECVERR - 1),
    BETWEEN(IP_RECVERR + 1, SO_REUSEPORT - 1),
    BETWEEN(SO_REUSEPORT + 1, IPV6_RECVERR - 1),
    BETWEEN(IPV6_RECVERR + 1, UINT32_MAX),
};

static const struct trap traps[] = {
    {.syscall = "setsockopt",
     .passes = other_options,
     .pass_count = sizeof(other_options) / sizeof(other_options[0]),
     .handle = on_setsockopt},
    {.syscall = "socket",
     .passes = not_udp,
     .pass_count = sizeof(not_udp) / sizeof(not_udp[0]),
     .handle = on_socket},
};

/* Narrow forms, see supervisor/wall.c. */
static const char *const needs[] = {"socket:datagram",
                                    "setsockopt:filter",
                                    "setsockopt:reuse",
                                    "shutdown",
                                    "pidfd_getfd",
                                    "getsockopt",
                                    NULL};

const struct feature feature_inert_udp = {
    .name = "inert-udp",
    .wanted = inert_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = inert_start,
    .stop = inert_stop,
};
