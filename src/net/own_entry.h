/*
 * Own entries of procfs among the grants. "/proc/self", opened at launch, is the entry of the process that
 * launches. A grant of it, or of something in it, means an entry of the command's own, however it is spelled
 * and through whatever links it leads there; the launching process's is never granted.
 */
#ifndef SANDLOCK_NET_OWN_ENTRY_H
#define SANDLOCK_NET_OWN_ENTRY_H

#include <limits.h>
#include <stdbool.h>

struct own_entry {
    char proc[PATH_MAX]; /* where that procfs is mounted: "/proc" */
    char rest[PATH_MAX]; /* in the entry: "net/dev"; "" for the entry itself */
    bool of_thread;      /* a thread's: "thread-self" */
};

/* Whether an O_PATH descriptor of what lies in a procfs (object_is_in_procfs()) is on the calling process's own
 * entry, or something in it. 1 and *entry: yes; 0: no; -errno: whose it is cannot be told. */
int own_entry_find(int path_fd, struct own_entry *entry);

/* The same place as another process has to name it, to reach its own. Allocated; NULL: no memory. */
char *own_entry_path(const struct own_entry *entry);

/* True if the network of the namespace, which is the host's, can be read through it. */
bool own_entry_shows_net(const struct own_entry *entry);

#endif
