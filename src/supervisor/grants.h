/*
 * The path grants as the supervisor judges them: the objects that were opened at launch. Names are looked
 * at to find the grant that may cover an object; that it does is shown by the objects themselves, as
 * Landlock sees them, so neither links nor renames widen a grant, and one that was moved stays one.
 */
#ifndef SANDLOCK_SUPERVISOR_GRANTS_H
#define SANDLOCK_SUPERVISOR_GRANTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct grant {
    /* The name at the first verdict: canonical, owned; no trailing '/' except for the root itself. NULL:
     * not known yet, or the object was unlinked by then. */
    char *path;
    int path_fd; /* owned; -1 once the name is known, unless it is one of those that are kept */
    /* The object, known with the name. The members' Landlock rules hold the inode, so its number names no
     * other one while they run. 0: not known. */
    uint64_t device, inode;
    uint64_t mount; /* through which it was opened; 0: not known */
    bool writable;
    bool directory; /* covers everything below */
    bool resolved;
};

struct grants {
    struct grant *items;
    size_t count, capacity;
    uint64_t root_mount; /* the mount of the root directory; 0: not known */
    /* Where names are asked for, borrowed: a procfs that stays where the caller's root directory goes.
     * NULL: "/proc". */
    const int *proc_fd;
};

#define GRANTS_INIT ((struct grants){0})

/* How many descriptors may stay open for names that are not known yet. */
#define GRANTS_PINNED_MAX 64

/* Of how many write grants the descriptors stay open: verdicts below them take less, and need no way from
 * the root. */
#define GRANTS_KEPT_MAX 16

void grants_free(struct grants *grants);

/* Adds the object behind an O_PATH descriptor, which is taken over on success. 0 or -errno. It covers
 * nothing before grants_resolve(). */
int grants_pin(struct grants *grants, int path_fd, bool writable, bool directory);

/* Asks the kernel for the names of all pinned objects and closes most of their descriptors. This is off
 * the way of a start: it costs several microseconds a grant and is needed for the first verdict only.
 * Objects that were unlinked since cover no name, those outside every tree are dropped. 0, or -errno if a
 * name cannot be had. */
int grants_resolve(struct grants *grants);

enum grants_answer {
    GRANTS_COVER,
    GRANTS_DO_NOT_COVER,
    GRANTS_WOULD_WAIT,  /* with `cached_only`: only a thread that may wait can tell */
    GRANTS_CANNOT_TELL, /* no way that can be walked leads to the object, so nothing may cover it */
    GRANTS_FAILED,      /* too few descriptors or too little memory: errno says which */
};

/* Whether a grant covers the object behind a descriptor, as Landlock would say: the object is a granted
 * one, or lies below one now. `path` and `unlinked` are what grants_path_of() told about it; they are told
 * anew if the object was renamed meanwhile. With `write` only write grants count. With `cached_only`
 * nothing waits for a file system. Threads: any, after grants_resolve(). */
enum grants_answer grants_judge(const struct grants *grants, int path_fd, char path[PATH_MAX],
                                bool unlinked, bool write, bool cached_only);

/* The same without a name, for one that is too long or leads nowhere: the object is a directory, or is what
 * `name` in the directory behind `parent_fd` is now. */
enum grants_answer grants_judge_in(const struct grants *grants, int path_fd, int parent_fd,
                                   const char *name, bool write, bool cached_only);

/* The grant whose name covers an absolute canonical path, NULL if none does: of names alone, for objects
 * that grants_judge() is not asked about (entries of processes in /proc). With `write` only write
 * grants count. A trailing " (deleted)" must have been removed by the caller. */
const struct grant *grants_find(const struct grants *grants, const char *path, bool write);

/* True if one write grant covers the whole tree ("/"). */
bool grants_write_all(const struct grants *grants);

/* The canonical path of an open descriptor, from /proc/thread-self/fd. The text has " (deleted)"
 * removed for unlinked files, *unlinked tells. Objects without a path (pipes, sockets, anonymous
 * inodes) give -ENOENT. Returns 0 or -errno. */
int grants_path_of(int fd, char *path, size_t size, bool *unlinked);

/* The same by the procfs of `grants`, which may be NULL: for verdicts. */
int grants_name_of(const struct grants *grants, int fd, char *path, size_t size, bool *unlinked);

/* As the kernel prints it, whatever it is. The length, or -errno. */
ssize_t grants_text_of(const struct grants *grants, int fd, char *text, size_t size);

#endif
