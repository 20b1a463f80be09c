/*
 * interface-view: the interface requests of ioctl(2) that libcs make (if_nametoindex(3),
 * if_indextoname(3), netdevice(7)), answered for the one interface that netlink shows. Requests that
 * list or change interfaces stay refused by the filter.
 */
#include "net/net.h"

#include "kernel/task_memory.h"
#include "member/socket.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    GET_NAME = 0x8910,
    GET_FLAGS = 0x8913,
    GET_ADDRESS = 0x8915,
    GET_DESTINATION = 0x8917,
    GET_BROADCAST = 0x8919,
    GET_NETMASK = 0x891b,
    GET_METRIC = 0x891d,
    GET_MTU = 0x8921,
    GET_HARDWARE_ADDRESS = 0x8927,
    GET_INDEX = 0x8933,
    GET_QUEUE_LENGTH = 0x8942,

    NAME_SIZE = 16,
    VALUE_BYTES = 24,
    LOOPBACK_INDEX = 1,
    LOOPBACK_FLAGS = 0x49, /* UP, LOOPBACK, RUNNING */
    LOOPBACK_TYPE = 772,   /* ARPHRD_LOOPBACK */
};

/* struct ifreq of a 64-bit kernel. */
struct interface_request {
    char name[NAME_SIZE];
    union {
        uint8_t bytes[VALUE_BYTES];
        int32_t number;
        int16_t flags;
        struct {
            uint16_t family;
            uint16_t port;
            uint8_t address[4];
        } internet;
        uint16_t hardware_family;
    } value;
};

static void put_address(struct interface_request *request, const uint8_t address[4])
{
    request->value.internet.family = AF_INET;
    memcpy(request->value.internet.address, address, 4);
}

static bool names_loopback(struct interface_request *request)
{
    request->name[NAME_SIZE - 1] = '\0';
    /* "lo:1" is a label of lo, netdevice(7). */
    size_t length = strcspn(request->name, ":");
    return length == 2 && memcmp(request->name, "lo", 2) == 0;
}

/* Fills the value. False: no such request. */
static bool answer_value(uint32_t number, struct interface_request *request)
{
    static const uint8_t address[4] = {127, 0, 0, 1}, mask[4] = {255, 0, 0, 0}, none[4];

    memset(&request->value, 0, sizeof(request->value));
    switch (number) {
    case GET_FLAGS:
        request->value.flags = LOOPBACK_FLAGS;
        return true;
    case GET_ADDRESS:
    case GET_DESTINATION:
        put_address(request, address);
        return true;
    case GET_BROADCAST:
        put_address(request, none);
        return true;
    case GET_NETMASK:
        put_address(request, mask);
        return true;
    case GET_METRIC:
        return true; /* 0 */
    case GET_MTU:
        request->value.number = 65536;
        return true;
    case GET_HARDWARE_ADDRESS:
        request->value.hardware_family = LOOPBACK_TYPE;
        return true;
    case GET_INDEX:
        request->value.number = LOOPBACK_INDEX;
        return true;
    case GET_QUEUE_LENGTH:
        request->value.number = 1000;
        return true;
    default:
        return false;
    }
}

/* 0 or -errno; what is to be written back is *request. */
static int answer(uint32_t number, struct interface_request *request)
{
    if (number == GET_NAME) {
        if (request->value.number != LOOPBACK_INDEX)
            return -ENODEV;
        memset(request->name, 0, sizeof(request->name));
        memcpy(request->name, "lo", 2);
        return 0;
    }
    if (!names_loopback(request))
        return -ENODEV;
    /* The filter sends a few more numbers here than it needs to. */
    return answer_value(number, request) ? 0 : -EPERM;
}

/* 0: a socket. What kind does not matter, the answers are the same. */
static int check_socket(const struct request *request, int number)
{
    uint64_t inode;

    int fd = member_get_fd(request, number);
    if (fd >= 0) {
        bool is_socket = socket_cookie_of(fd) != 0;
        member_close(request, fd);
        return is_socket ? 0 : -ENOTTY;
    }
    if (fd != -EPERM && fd != -ENOSYS)
        return fd;
    int result = socket_inode_by_link(request, number, &inode); /* refused by a container */
    return result == -ENOTSOCK ? -ENOTTY : result;
}

static struct verdict on_ioctl(struct request *request)
{
    const __u64 *args = request->notification.data.args;
    pid_t tid = (pid_t)request->notification.pid;
    struct interface_request interface;

    int result = check_socket(request, (int)(uint32_t)args[0]);
    if (result < 0)
        return verdict_errno(-result);
    result = task_memory_read_all(tid, args[2], &interface, sizeof(interface));
    if (result == 0)
        result = answer((uint32_t)args[1], &interface);
    if (result == 0 && !request_is_valid(request))
        result = -EPERM;
    if (result == 0)
        result = task_memory_write_all(tid, args[2], &interface, sizeof(interface));
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

/* Within this range the argument rules of the filter let through what is answered here. */
static const struct filter_rule other_requests[] = {
    {.test_count = 1, .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value_high = 0x890f}}},
    {.test_count = 1,
     .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 0x894b, .value_high = UINT32_MAX}}},
};

static const struct trap traps[] = {
    {.syscall = "ioctl", .passes = other_requests, .pass_count = 2, .handle = on_ioctl},
};

static const char *const needs[] = {"getsockopt", "pidfd_getfd", NULL};

static bool view_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_NETLINK_VIEW) == 0;
}

const struct feature feature_interface_view = {
    .name = "interface-view",
    .wanted = view_wanted,
    .traps = traps,
    .trap_count = 1,
    .needs = {.calls = needs},
    .makes_do = true,
    .interface_view = true,
};
