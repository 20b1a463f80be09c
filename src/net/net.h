/* The features of the network room, in the order of the registry. */
#ifndef SANDLOCK_NET_NET_H
#define SANDLOCK_NET_NET_H

#include "supervisor/feature.h"

/* The descriptor numbers for virtual routing sockets in a sandbox whose processes start with this soft
 * limit of open files. None below a limit of four. */
struct descriptor_window netlink_window(uint64_t open_files);

/* landlock_restrict_self: whom the supervisor does not act for any more. On whenever it acts for somebody
 * where Landlock would judge. */
extern const struct feature feature_own_domain;

/* AF_NETLINK sockets of protocol NETLINK_ROUTE that show a host with a loopback interface alone. */
extern const struct feature feature_netlink_view;

/* Interface requests of ioctl(2), answered for the loopback interface. */
extern const struct feature feature_interface_view;

/* UDP sockets that the kernel lets neither send nor receive, where no rule is for UDP. */
extern const struct feature feature_inert_udp;

/* connect, sendto, sendmsg, sendmmsg: destinations by rule, named unix sockets by write grant. */
extern const struct feature feature_destinations;

/* bind: deny list, port virtualization, datagram sockets without a rule. */
extern const struct feature feature_bind;

/* listen: no port without bind. */
extern const struct feature feature_listen;

/* setsockopt(SO_LINGER): closing a socket never waits. On whenever a feature takes duplicates of sockets. */
extern const struct feature feature_linger;

/* getsockname, getpeername and SO_PEERNAME with virtual ports. */
extern const struct feature feature_port_names;

/* open and its kin: the sandbox's own /etc/hosts; /proc and /sys without the host's network. Where both
 * are on, the proc view does the work of the hosts view. */
extern const struct feature feature_hosts_view;
extern const struct feature feature_proc_view;

/* The same where a write grant reaches what they hide: opens for writing are looked at, too. */
extern const struct feature feature_hosts_view_writable;
extern const struct feature feature_proc_view_writable;

/* stat(2), access(2) and readlink(2) of what the proc view shows differently, where a grant names procfs. */
extern const struct feature feature_proc_looks;

#endif
