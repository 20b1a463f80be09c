/* Names and fixed contents: see proc_net.h. The formats are the kernel's (net/core/net-procfs.c,
 * net/ipv4/fib_trie.c, net/ipv6/route.c). */
#include "net/proc_net.h"

#include <stddef.h>
#include <string.h>

#define TRIE                    \
    "  +-- 127.0.0.0/8 1 0 0\n" \
    "     |-- 127.0.0.1\n"      \
    "        /32 host LOCAL\n"

/* Lines of the route table are filled up to 127 columns. */
#define ROUTE_HEADER                                                                      \
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT" \
    "                                                       \n"
#define ROUTE_LOOPBACK                                         \
    "lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0" \
    "                                                                                 \n"

static const struct {
    const char *name, *text;
} files[NET_FILE_COUNT] = {
    [NET_FILE_DEV] =
        {"dev", "Inter-|   Receive                                                |  Transmit\n"
                " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                "packets errs drop fifo colls carrier compressed\n"
                "    lo:       0       0    0    0    0     0          0         0        0       "
                "0    0    0    0     0       0          0\n"},
    [NET_FILE_IF_INET6] = {"if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"},
    [NET_FILE_ROUTE] = {"route", ROUTE_HEADER ROUTE_LOOPBACK},
    [NET_FILE_IPV6_ROUTE] = {"ipv6_route",
                             "00000000000000000000000000000001 80 00000000000000000000000000000000 "
                             "00 00000000000000000000000000000000 00000000 00000001 00000000 "
                             "80200001       lo\n"},
    [NET_FILE_FIB_TRIE] = {"fib_trie", "Main:\n" TRIE "Local:\n" TRIE},
    [NET_FILE_ARP] = {"arp",
                      "IP address       HW type     Flags       HW address            Mask   "
                      "  Device\n"},
    [NET_FILE_TCP] = {"tcp", NULL},
    [NET_FILE_TCP6] = {"tcp6", NULL},
    [NET_FILE_UDP] = {"udp", NULL},
    [NET_FILE_UDP6] = {"udp6", NULL},
    [NET_FILE_UNIX] = {"unix", NULL},
    [NET_FILE_SOCKSTAT] = {"sockstat", NULL},
    [NET_FILE_SOCKSTAT6] = {"sockstat6", NULL},
};

const char *net_file_name(enum net_file file)
{
    return files[file].name;
}

enum net_file net_file_find(const char *name)
{
    unsigned file = 0;

    while (file < NET_FILE_COUNT && strcmp(files[file].name, name) != 0)
        file++;
    return (enum net_file)file;
}

const char *net_file_text(enum net_file file)
{
    return files[file].text;
}
