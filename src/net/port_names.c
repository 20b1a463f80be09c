/*
 * port-names: getsockname, getpeername and SO_PEERNAME with virtual ports. The kernel fills in the name of
 * the pinned socket, and where it shows a real port of the map, the member sees the virtual one.
 */
#include "net/net.h"
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "net/bind.h"
#include "net/network.h"
#include "util/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif

enum { OWN_NAME, PEER_NAME };

static bool names_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return policy->port_remap;
}

static bool names_start(struct supervisor *supervisor, void **state, struct error *err)
{
    (void)err;
    *state = network_of(supervisor);
    return true;
}

/* The port of both IP families lies at the same place. */
static uint16_t get_port(const uint8_t *name)
{
    return (uint16_t)(name[2] << 8 | name[3]);
}

static void set_port(uint8_t *name, uint16_t port)
{
    name[2] = (uint8_t)(port >> 8);
    name[3] = (uint8_t)port;
}

static bool is_loopback(const struct sockaddr_storage *name)
{
    struct net_address address = {0};

    if (name->ss_family == AF_INET) {
        address.family = 4;
        memcpy(address.bytes, &((const struct sockaddr_in *)name)->sin_addr, 4);
    } else {
        address.family = 6;
        memcpy(address.bytes, &((const struct sockaddr_in6 *)name)->sin6_addr, 16);
    }
    address = net_address_canonical(&address);
    return net_address_is_loopback(&address);
}

static void make_virtual(struct port_map *ports, const struct pinned_socket *socket, int which,
                         struct sockaddr_storage *name)
{
    enum net_protocol protocol;
    uint8_t bytes[sizeof(*name)];
    uint16_t port = 0;

    if (!bind_protocol_of(socket, &protocol) || (which == PEER_NAME && !is_loopback(name)))
        return;
    memcpy(bytes, name, sizeof(bytes));
    if (which == OWN_NAME)
        port = port_map_name(ports, protocol, socket->cookie, get_port(bytes));
    else
        port = port_map_virtual(ports, protocol, get_port(bytes));
    if (port != 0)
        set_port(bytes, port);
    memcpy(name, bytes, sizeof(bytes));
}

/* As the kernel writes a name back: no more than there is room for, and the true length. */
static int give_name(const struct request *request, const struct sockaddr_storage *name,
                     socklen_t length)
{
    pid_t tid = (pid_t)request->notification.pid;
    uint64_t name_at = request->notification.data.args[1];
    uint64_t length_at = request->notification.data.args[2];
    int32_t room, actual = (int32_t)length;

    int result = task_memory_read_all(tid, length_at, &room, sizeof(room));
    if (result < 0)
        return result;
    if (room < 0)
        return -EINVAL;
    if (room > actual)
        room = actual;
    if (!request_is_valid(request))
        return -ESRCH;
    if (room > 0) {
        result = task_memory_write_all(tid, name_at, name, (size_t)room);
        if (result < 0)
            return result;
    }
    return task_memory_write_all(tid, length_at, &actual, sizeof(actual));
}

/* Pins the socket of the call. False: the verdict is made. Names of other kinds than IP are no secret: the
 * kernel may tell them as they are. */
static bool pin_ip_socket(const struct request *request, struct pinned_socket *socket,
                          struct verdict *verdict)
{
    int result = socket_pin(request, (int)(uint32_t)request->notification.data.args[0], socket);

    if (result < 0) {
        *verdict = verdict_errno(-result);
        return false;
    }
    if (socket->domain == AF_INET || socket->domain == AF_INET6)
        return true;
    socket_unpin(socket);
    *verdict = verdict_next();
    return false;
}

static struct verdict on_name(struct request *request)
{
    struct network *network = request->state;
    int which = request->trap->detail;
    struct pinned_socket socket;
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);
    struct verdict verdict;

    if (!pin_ip_socket(request, &socket, &verdict))
        return verdict;
    struct sockaddr *out = (struct sockaddr *)&name;
    int result = which == OWN_NAME ? getsockname(socket.fd, out, &length)
                                   : getpeername(socket.fd, out, &length);
    result = result == 0 ? 0 : -errno;
    if (result == 0)
        make_virtual(network->ports, &socket, which, &name);
    socket_unpin(&socket);
    if (result == 0)
        result = give_name(request, &name, length);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

/* SO_PEERNAME: the name goes where the option's value is asked for, as much of it as is asked for. */
static int give_value(const struct request *request, const struct sockaddr_storage *name,
                      socklen_t actual, int failed)
{
    pid_t tid = (pid_t)request->notification.pid;
    const __u64 *args = request->notification.data.args;
    int32_t room;

    int result = task_memory_read_all(tid, args[4], &room, sizeof(room));
    if (result < 0)
        return result;
    if (room < 0)
        return -EINVAL;
    if (failed < 0)
        return failed;
    if (room > (int32_t)actual)
        return -EINVAL;
    if (!request_is_valid(request))
        return -ESRCH;
    return room == 0 ? 0 : task_memory_write_all(tid, args[3], name, (size_t)room);
}

static struct verdict on_peer_option(struct request *request)
{
    struct network *network = request->state;
    struct pinned_socket socket;
    struct sockaddr_storage name = {0};
    struct verdict verdict;

    if (!pin_ip_socket(request, &socket, &verdict))
        return verdict;
    /* The kernel gives no more than there is. */
    socklen_t length =
        socket.domain == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int result = getsockopt(socket.fd, SOL_SOCKET, SO_PEERNAME, &name, &length) == 0 ? 0 : -errno;
    if (result == 0)
        make_virtual(network->ports, &socket, PEER_NAME, &name);
    socket_unpin(&socket);
    result = give_value(request, &name, length, result);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

static const struct filter_rule other_options[] = {
    {.test_count = 1, .tests = {{.arg = 1, .op = ARG_NOT_EQUAL, .value = SOL_SOCKET}}},
    {.test_count = 1, .tests = {{.arg = 2, .op = ARG_NOT_EQUAL, .value = SO_PEERNAME}}},
};

static const struct trap traps[] = {
    {.syscall = "getsockopt",
     .passes = other_options,
     .pass_count = sizeof(other_options) / sizeof(other_options[0]),
     .handle = on_peer_option},
    {.syscall = "getsockname", .handle = on_name, .detail = OWN_NAME},
    {.syscall = "getpeername", .handle = on_name, .detail = PEER_NAME},
};

static const char *const needs[] = {"pidfd_getfd", "getsockopt", "getsockname", "getpeername",
                                    NULL};

const struct feature feature_port_names = {
    .name = "port-names",
    .wanted = names_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = names_start,
};
