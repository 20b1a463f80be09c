/*
 * The files of /proc/net that list sockets, in the kernel's format: of the sockets of this sandbox alone,
 * with their ports as it sees them.
 */
#ifndef SANDLOCK_NET_PROC_SOCKETS_H
#define SANDLOCK_NET_PROC_SOCKETS_H

#include "net/own_sockets.h"
#include "net/port_map.h"
#include "net/proc_net.h"
#include "net/sock_diag.h"
#include "util/buffer.h"

struct proc_sockets {
    int proc_fd;
    pid_t guardian;
    struct sock_diag *diag;       /* NULL: refused here */
    struct port_map *ports;       /* may be NULL */
    struct netlink_view *netlink; /* may be NULL */
};

/* The text of a file that net_file_text() has none for. For workers. 0 or -errno: then there is no
 * answer, never a wrong one. */
int proc_sockets_text(const struct proc_sockets *source, enum net_file file, struct buffer *out);

/* ---- For tests ---------------------------------------------------------------------------------- */

/* From what was found: sockets of `listed` that are not `own` do not show. `listed` is not looked at for
 * the counts. */
void proc_sockets_render(enum net_file file, const struct own_sockets *own,
                         const struct diag_list *listed, struct port_map *ports,
                         struct buffer *out);

#endif
