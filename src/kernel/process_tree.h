/*
 * The descendants of a process, as a list that is refreshed from /proc. No snapshot of a tree that
 * changes is exact: a process can be handed to another parent while the tree is walked, and be missed.
 * So a list remembers whom it has seen, with the start time, and drops a process only when that
 * process itself is gone; only one that was never seen can be missed.
 *
 * Who was there all the time is missed only if its parent ended while the tree was walked, and had it
 * before, unseen. So a caller that counts tells who forks (process_tree_note_fork()) before the fork, and
 * is told when one of these has ended since the last refresh (`in_doubt`). The next refresh finds the
 * orphans where they are now, with an ancestor of that parent, unless such an heir has ended as well.
 */
#ifndef SANDLOCK_KERNEL_PROCESS_TREE_H
#define SANDLOCK_KERNEL_PROCESS_TREE_H

#include "kernel/procfs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Larger trees are not followed (-E2BIG). */
#define PROCESS_TREE_MAX 65536

struct process_entry {
    pid_t pid;
    pid_t parent; /* at the last look */
    pid_t group;
    long threads;
    uint64_t start_time; /* 0: hidden from us, but there */
    bool alive;          /* some thread of it still runs; false: a zombie */
    bool reached;        /* by the last refresh */
    bool forked;         /* process_tree_note_fork() was called for it */
    bool heir;           /* may have got the children of one that ended, since in_doubt was set */
};

struct process_tree {
    struct process_entry *entries; /* owned */
    size_t count, capacity;
    uint32_t *slots; /* owned: where to find a process, by its number; as many as a power of two */
    size_t slot_count;
    bool
        in_doubt; /* set by a refresh: another one may find more. False before the first one of a count */
};

#define PROCESS_TREE_INIT ((struct process_tree){0})

void process_tree_free(struct process_tree *tree);

/* Walks the descendants of `root` (which is not one of them). Returns how many entries are new, or
 * -errno; -ENOTSUP: a kernel without CONFIG_PROC_CHILDREN. After an error the list must not be relied
 * on. */
ssize_t process_tree_refresh(struct process_tree *tree, int proc_fd, pid_t root);

/* The process is alive and may have children from now on. Cheap for one that was noted before. 0 or -errno
 * (-ESRCH: it is gone). */
int process_tree_note_fork(struct process_tree *tree, int proc_fd, pid_t pid);

/* Processes that are alive: those of which a thread runs, also if their first thread has ended. */
size_t process_tree_count_alive(const struct process_tree *tree);

/* True if a listed process, dead or alive, belongs to the process group. */
bool process_tree_has_group(const struct process_tree *tree, pid_t group);

/* Pure: state and number of threads as in /proc/<pid>/stat. */
bool process_stat_is_alive(const struct procfs_stat *stat);

#endif
