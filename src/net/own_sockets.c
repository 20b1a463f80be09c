/*
 * Whose sockets: see own_sockets.h. A process is looked at through its pidfd, and what was found counts
 * only if it is still the process that the walk over the tree has seen. A thread may have a table of its
 * own, so all threads are asked; what the process's table has shown before is recognised by its link.
 */
#include "net/own_sockets.h"

#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "member/socket.h"
#include "net/netlink_view.h"
#include "util/fd.h"
#include "util/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_LINK "socket:["

/* A walk misses a process that changes its parent in that moment. */
#define TREE_LOOKS 2

struct look {
    struct own_sockets *sockets;
    int proc_fd;
    struct netlink_view *hidden;
    size_t process_first; /* sockets of the process at hand */
};

static int by_cookie(const void *left, const void *right)
{
    const struct own_socket *a = left, *b = right;

    return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static int by_inode(const void *left, const void *right)
{
    const struct own_socket *a = left, *b = right;

    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static int append(struct own_sockets *sockets, const struct own_socket *socket)
{
    if (sockets->count == sockets->capacity) {
        size_t capacity = sockets->capacity == 0 ? 32 : sockets->capacity * 2;
        if (capacity > OWN_SOCKETS_MAX)
            return -E2BIG;
        struct own_socket *items = realloc(sockets->items, capacity * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        sockets->items = items;
        sockets->capacity = capacity;
    }
    sockets->items[sockets->count++] = *socket;
    return 0;
}

/* ---- One descriptor -------------------------------------------------------------------------------- */

static bool parse_link(const char *target, uint64_t *inode)
{
    size_t length = strlen(SOCKET_LINK);

    if (strncmp(target, SOCKET_LINK, length) != 0)
        return false;
    size_t digits = strspn(target + length, "0123456789");
    return strcmp(target + length + digits, "]") == 0 &&
           text_parse_uint(target + length, digits, UINT64_MAX, inode);
}

static int add_descriptor(struct look *look, int pidfd, int fd, uint64_t inode)
{
    struct pinned_socket socket = {.fd = sys_pidfd_getfd(pidfd, fd)};

    if (socket.fd < 0) /* closed meanwhile, or the process is gone */
        return socket.fd == -EMFILE || socket.fd == -ENFILE ? socket.fd : 0;
    int result = socket_identify(&socket);
    socket_unpin(&socket);
    if (result < 0 || (look->hidden != NULL && netlink_view_has(look->hidden, socket.cookie)))
        return 0;
    struct own_socket found = {.cookie = socket.cookie,
                               .inode = inode,
                               .domain = socket.domain,
                               .type = socket.type,
                               .protocol = socket.protocol};
    return append(look->sockets, &found);
}

/* ---- Tables ---------------------------------------------------------------------------------------- */

static int open_directory(int proc_fd, pid_t pid, const char *name, DIR **directory)
{
    int fd = procfs_open_file(proc_fd, pid, name, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return fd;
    *directory = fdopendir(fd);
    if (*directory != NULL)
        return 0;
    fd_close(fd);
    return -ENOMEM;
}

static bool next_number(DIR *directory, int *number)
{
    uint64_t value;

    for (;;) {
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            return false;
        if (!text_parse_uint(entry->d_name, strlen(entry->d_name), INT32_MAX, &value))
            continue;
        *number = (int)value;
        return true;
    }
}

static bool is_known(const struct look *look, size_t sorted, uint64_t inode)
{
    const struct own_sockets *sockets = look->sockets;
    struct own_socket key = {.inode = inode};

    return sorted > 0 && bsearch(&key, sockets->items + look->process_first, sorted, sizeof(key),
                                 by_inode) != NULL;
}

/* The table of one thread. */
static int add_table(struct look *look, pid_t tid, int pidfd)
{
    size_t sorted = look->sockets->count - look->process_first;
    DIR *directory;
    int fd, result = 0;

    if (sorted > 0)
        qsort(look->sockets->items + look->process_first, sorted, sizeof(struct own_socket),
              by_inode);
    if (open_directory(look->proc_fd, tid, "fd", &directory) < 0)
        return 0; /* it has ended */
    while (result == 0 && next_number(directory, &fd)) {
        char target[64];
        uint64_t inode;
        if (procfs_read_fd_link(look->proc_fd, tid, fd, target, sizeof(target)) > 0 &&
            parse_link(target, &inode) && !is_known(look, sorted, inode))
            result = add_descriptor(look, pidfd, fd, inode);
    }
    closedir(directory);
    return result;
}

static int add_thread(struct look *look, pid_t process, pid_t tid)
{
    CLEANUP_FD int pidfd =
        tid == process ? sys_pidfd_open(tid, 0) : sys_pidfd_open(tid, PIDFD_THREAD);

    if (pidfd < 0) /* it has ended, or (before 6.9) threads cannot be told from their process */
        return 0;
    return add_table(look, tid, pidfd);
}

static int add_threads(struct look *look, pid_t process)
{
    DIR *directory;
    int tid, result;

    result = add_thread(look, process, process);
    if (result < 0 || procfs_thread_count(look->proc_fd, process) == 1)
        return result;
    if (open_directory(look->proc_fd, process, "task", &directory) < 0)
        return 0;
    while (result == 0 && next_number(directory, &tid)) {
        if (tid != process)
            result = add_thread(look, process, tid);
    }
    closedir(directory);
    return result;
}

static int add_process(struct look *look, const struct process_entry *process)
{
    struct procfs_stat now;

    look->process_first = look->sockets->count;
    int result = add_threads(look, process->pid);
    /* Somebody else's by now? */
    if (procfs_stat(look->proc_fd, process->pid, &now) != 0 ||
        now.start_time != process->start_time)
        look->sockets->count = look->process_first;
    return result;
}

/* ---- The whole ------------------------------------------------------------------------------------- */

static void drop_duplicates(struct own_sockets *sockets)
{
    size_t kept = 0;

    if (sockets->count == 0)
        return;
    qsort(sockets->items, sockets->count, sizeof(*sockets->items), by_cookie);
    for (size_t i = 0; i < sockets->count; i++) {
        if (kept == 0 || sockets->items[kept - 1].cookie != sockets->items[i].cookie)
            sockets->items[kept++] = sockets->items[i];
    }
    sockets->count = kept;
}

int own_sockets_collect(struct own_sockets *sockets, int proc_fd, pid_t guardian,
                        struct netlink_view *hidden)
{
    struct look look = {.sockets = sockets, .proc_fd = proc_fd, .hidden = hidden};
    struct process_tree tree = PROCESS_TREE_INIT;
    ssize_t result = 1;

    for (int i = 0; i < TREE_LOOKS && result > 0; i++)
        result = process_tree_refresh(&tree, proc_fd, guardian);
    for (size_t i = 0; i < tree.count && result >= 0; i++)
        result = add_process(&look, &tree.entries[i]);
    process_tree_free(&tree);
    drop_duplicates(sockets);
    return result < 0 ? (int)result : 0;
}

void own_sockets_free(struct own_sockets *sockets)
{
    free(sockets->items);
    *sockets = OWN_SOCKETS_INIT;
}

const struct own_socket *own_sockets_find(const struct own_sockets *sockets, uint64_t cookie)
{
    struct own_socket key = {.cookie = cookie};

    return sockets->count == 0
               ? NULL
               : bsearch(&key, sockets->items, sockets->count, sizeof(key), by_cookie);
}
