/* See chosen_port.h. */
#include "net/chosen_port.h"

#include "policy/own_port.h"
#include "policy/port_list.h"
#include "util/fault.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LOCAL_PORT_RANGE 51 /* IP_LOCAL_PORT_RANGE, Linux 6.3; for IPv6 sockets, too */
#define HIGH_SHIFT 16

const char chosen_port_unlimited[] = "--net-deny-bind names ports that the kernel chooses from, "
                                     "and this one cannot be told (Linux 6.3)";

static bool is_in(struct port_range range, uint32_t port)
{
    return range.low <= port && port <= range.high;
}

/* As the kernel narrows it: a limit that is outside counts for nothing. Who handed the socket on may have set one. */
static struct port_range narrow(struct port_range range, uint32_t limits)
{
    uint32_t low = limits & UINT16_MAX, high = limits >> HIGH_SHIFT;
    struct port_range narrowed = {
        .low = is_in(range, low) ? (uint16_t)low : range.low,
        .high = is_in(range, high) ? (uint16_t)high : range.high,
    };

    return narrowed.low <= narrowed.high ? narrowed : range;
}

int chosen_port_limit(const struct policy *policy, int fd)
{
    const struct port_range *denied = policy->deny_bind_ports;
    size_t count = policy->deny_bind_port_count;
    struct port_range range, gap;
    uint32_t limits = 0;
    socklen_t length = sizeof(limits);

    if (count == 0)
        return 0;
    range = own_port_range();
    if (getsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, &limits, &length) == 0)
        range = narrow(range, limits);
    if (!port_ranges_widest_gap(denied, count, range, &gap))
        return -EADDRINUSE;
    if (gap.low == range.low && gap.high == range.high)
        return 0;
    limits = (uint32_t)gap.high << HIGH_SHIFT | gap.low;
    if (fault_is("port-range") ||
        setsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, &limits, sizeof(limits)) != 0)
        return -ENOPROTOOPT;
    return 0;
}
