/*
 * netlink-view: programs ask the kernel about interfaces, addresses and routes on NETLINK_ROUTE
 * sockets, which would show the host's. The socket they get is one end of a pair whose other end the
 * supervisor answers, as a host that has a loopback interface and nothing else.
 *
 * The descriptor goes to a number of the reserved window: there calls on it arrive here, and the answer
 * is there when the send returns. Outside it would have a unix socket's names, which no library takes, so
 * a process that has no number left gets no socket.
 */
#include "net/net.h"
#include "net/netlink_view.h"
#include "net/network.h"

#include "kernel/procfs.h"
#include "member/socket.h"
#include "supervisor/task.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- The window ----------------------------------------------------------------------------------------- */

#define WINDOW_SIZE_MAX 64

/* Calls on ordinary descriptors in the window are notified for nothing. They begin at the lowest numbers,
 * so of a low limit the window takes this part alone … */
#define WINDOW_PART 8

/* … but a few numbers, of which threads can ask at once, if that is no more than a quarter. */
#define WINDOW_SIZE_FEW 4

/* A higher window would make the kernel grow the tables of all that use it. */
#define WINDOW_END_MAX 4096

static uint32_t smaller(uint64_t left, uint64_t right)
{
    return (uint32_t)(left < right ? left : right);
}

struct descriptor_window netlink_window(uint64_t open_files)
{
    uint32_t end = smaller(open_files, WINDOW_END_MAX);
    uint32_t size = smaller(end / WINDOW_PART, WINDOW_SIZE_MAX);

    if (size < WINDOW_SIZE_FEW)
        size = smaller(end / 4, WINDOW_SIZE_FEW);
    if (size == 0)
        return DESCRIPTOR_WINDOW_NONE;
    return (struct descriptor_window){.first = end - size, .last = end - 1};
}

/* ---- Life ------------------------------------------------------------------------------------------------ */

static bool view_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_NETLINK_VIEW) == 0;
}

static bool view_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct network *network = network_of(supervisor);
    struct network_shape shape = network_shape_known(supervisor_policy(supervisor), network);
    struct netlink_view *view = netlink_view_new(supervisor, shape.egress);

    if (view == NULL)
        return error_runtime(err, ENOMEM, "netlink view");
    if (network != NULL)
        network->netlink = view;
    *state = view;
    return true;
}

static void view_leave_loop(void *state)
{
    netlink_view_leave_loop(state);
}

static void view_stop(void *state)
{
    netlink_view_free(state);
}

/* ---- The descriptor's number -------------------------------------------------------------------------- */

/* 1 or 0; -errno if it cannot be told. */
static int is_open(const struct request *request, int number)
{
    uint64_t inode;
    int fd = member_get_fd(request, number);

    if (fd == -EPERM || fd == -ENOSYS) /* refused by a container */
        fd = socket_inode_by_link(request, number, &inode);
    else
        member_close(request, fd);
    if (fd == -EBADF)
        return 0;
    if (fd == -EMFILE || fd == -ENFILE) /* the supervisor's limit, not the caller's */
        return -ENOBUFS;
    return fd >= 0 || fd == -ENOTSOCK ? 1 : fd;
}

enum slot_order {
    HIGHEST_FIRST, /* farthest from where other threads of the caller get theirs */
    LOWEST_FIRST,
};

/* A number of the window that the caller does not use, -ENOBUFS if there is none, or another -errno. */
static int choose_slot(const struct request *request, enum slot_order order)
{
    struct descriptor_window window = supervisor_window(request->supervisor);

    for (uint32_t i = 0; i <= window.last - window.first; i++) {
        uint32_t slot = order == LOWEST_FIRST ? window.first + i : window.last - i;
        int open = is_open(request, (int)slot);
        if (open <= 0)
            return open == 0 ? (int)slot : open;
    }
    return -ENOBUFS;
}

/* A number above the caller's table makes the kernel grow it. If other threads use the table, that waits
 * for a grace period: many milliseconds, which the loop has not. */
static bool grows_slowly(const struct request *request, int slot)
{
    char status[4096];
    ssize_t length =
        procfs_read(supervisor_proc_fd(request->supervisor), (pid_t)request->notification.pid,
                    "status", status, sizeof(status));

    uint64_t room, threads;
    if (length < 0 || !procfs_status_number(status, "FDSize", 10, &room) ||
        !procfs_status_number(status, "Threads", 10, &threads))
        return true;
    return room <= (uint64_t)slot && threads != 1;
}

/*
 * A table that reached the window once still does, unless the process has left it for a new one
 * (execve() of a shared one, CLOSE_RANGE_UNSHARE) and shares that again: then the loop waits, for a
 * sandbox that keeps nobody but itself waiting.
 */
static uint64_t *wide_place(struct netlink_view *view, const struct task *task)
{
    return &view->wide[task->id % NETLINK_WIDE_TABLES];
}

static bool is_known_wide(struct netlink_view *view, const struct task *task)
{
    return task != NULL && *wide_place(view, task) == task->id;
}

static void note_wide(struct netlink_view *view, const struct task *task)
{
    if (task != NULL)
        *wide_place(view, task) = task->id;
}

/* ---- Injection ------------------------------------------------------------------------------------------ */

/* The member's end on its way, also to a worker. */
struct delivery {
    struct netlink_view *view;
    int fd; /* owned: our copy must go at once, or the end of the last copy is never seen */
    bool close_on_exec;
};

static void delivery_free(void *data)
{
    struct delivery *delivery = data;

    fd_close(delivery->fd);
    free(delivery);
}

/* The number, or -errno with the request unanswered. view->injection is held, since `slot` was chosen. */
static int inject(const struct request *request, const struct delivery *delivery, int slot)
{
    if (slot < 0)
        return slot;
    int number = request_answer_fd(request, delivery->fd, slot, delivery->close_on_exec);
    if (number != -EBADF)
        return number;
    /* Above a limit that the program has lowered, perhaps not by much. */
    slot = choose_slot(request, LOWEST_FIRST);
    if (slot >= 0)
        number = request_answer_fd(request, delivery->fd, slot, delivery->close_on_exec);
    return number == -EBADF ? -EMFILE : number;
}

static void deliver_by_worker(const struct request *request, void *data)
{
    struct delivery *delivery = data;

    pthread_mutex_lock(&delivery->view->injection);
    int number = inject(request, delivery, choose_slot(request, HIGHEST_FIRST));
    pthread_mutex_unlock(&delivery->view->injection);
    if (number < 0)
        request_answer_errno(request, -number);
}

/* Here if nothing can wait, else by a worker. Takes the delivery over. */
static struct verdict deliver(struct request *request, struct delivery *delivery)
{
    struct netlink_view *view = delivery->view;
    int number = -EAGAIN;

    if (!fault_is("use-workers") && pthread_mutex_trylock(&view->injection) == 0) {
        int slot = choose_slot(request, HIGHEST_FIRST);
        if (slot < 0 || is_known_wide(view, request->task) || !grows_slowly(request, slot))
            number = inject(request, delivery, slot);
        if (slot >= 0 && number == slot)
            note_wide(view, request->task);
        pthread_mutex_unlock(&view->injection);
    }
    if (number == -EAGAIN) {
        if (request_perform(request, deliver_by_worker, delivery, delivery_free))
            return verdict_taken();
        number = -ENOBUFS;
    }
    delivery_free(delivery);
    return number < 0 ? verdict_errno(-number) : verdict_taken();
}

/* ---- socket ---------------------------------------------------------------------------------------------- */

static struct verdict on_socket(struct request *request)
{
    const __u64 *args = request->notification.data.args;
    uint32_t type = (uint32_t)args[1];
    int member_end = -1;

    if ((uint32_t)args[0] != AF_NETLINK)
        return verdict_next();
    if ((type & ~(uint32_t)(NETLINK_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0)
        return verdict_errno(EINVAL);
    if ((type & NETLINK_TYPE_MASK) != SOCK_RAW && (type & NETLINK_TYPE_MASK) != SOCK_DGRAM)
        return verdict_errno(ESOCKTNOSUPPORT);
    if ((uint32_t)args[2] != 0) /* the filter refuses it already */
        return verdict_errno(EAFNOSUPPORT);
    struct descriptor_window window = supervisor_window(request->supervisor);
    if (window.first > window.last) /* a limit of less than four */
        return verdict_errno(EMFILE);
    struct delivery *delivery = malloc(sizeof(*delivery));
    if (delivery == NULL)
        return verdict_errno(ENOMEM);
    int result = netlink_socket_open(request->state, request->tgid, (int)type, &member_end);
    if (result < 0) {
        free(delivery);
        return verdict_errno(-result);
    }
    *delivery = (struct delivery){
        .view = request->state, .fd = member_end, .close_on_exec = (type & SOCK_CLOEXEC) != 0};
    return deliver(request, delivery);
}

/* ---- Traps ------------------------------------------------------------------------------------------------ */

static const struct filter_rule other_families[] = {
    {.test_count = 1, .tests = {{.arg = 0, .op = ARG_NOT_EQUAL, .value = AF_NETLINK}}},
};

#define IN_WINDOW(name, call)                                                             \
    {                                                                                     \
        .syscall = (name), .in_window = true, .handle = netlink_on_call, .detail = (call) \
    }

static const struct trap traps[] = {
    {.syscall = "socket", .passes = other_families, .pass_count = 1, .handle = on_socket},
    IN_WINDOW("bind", NETLINK_CALL_BIND),
    IN_WINDOW("connect", NETLINK_CALL_CONNECT),
    IN_WINDOW("getsockname", NETLINK_CALL_GETSOCKNAME),
    IN_WINDOW("getpeername", NETLINK_CALL_GETPEERNAME),
    IN_WINDOW("sendto", NETLINK_CALL_SENDTO),
    IN_WINDOW("sendmsg", NETLINK_CALL_SENDMSG),
    IN_WINDOW("recvfrom", NETLINK_CALL_RECVFROM),
    IN_WINDOW("recvmsg", NETLINK_CALL_RECVMSG),
    IN_WINDOW("setsockopt", NETLINK_CALL_SETSOCKOPT),
    IN_WINDOW("getsockopt", NETLINK_CALL_GETSOCKOPT),
};

static const char *const needs[] = {
    "socketpair",  "bind:unix", "sendto:connected", "recvfrom:connected", "getsockopt",
    "pidfd_getfd", NULL,
};

const struct feature feature_netlink_view = {
    .name = "netlink-view",
    .wanted = view_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .makes_do = true,
    .netlink_view = true,
    .start = view_start,
    .leave_loop = view_leave_loop,
    .stop = view_stop,
};
