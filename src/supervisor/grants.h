/*
 * The path grants as the supervisor judges them: canonical names of what was opened at launch. A
 * verdict on an object compares the object's own path (as the kernel tells it for a pinned
 * descriptor) with these, so renaming or symlinking a name cannot widen a grant.
 */
#ifndef SANDLOCK_SUPERVISOR_GRANTS_H
#define SANDLOCK_SUPERVISOR_GRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct grant {
    char *path;  /* canonical, owned; no trailing '/' except for the root itself; NULL: not yet */
    int path_fd; /* owned until the name is known, then -1 */
    bool writable;
    bool directory; /* covers everything below */
};

struct grants {
    struct grant *items;
    size_t count, capacity;
};

#define GRANTS_INIT ((struct grants){0})

/* How many descriptors may stay open for names that are not known yet. */
#define GRANTS_PINNED_MAX 64

void grants_free(struct grants *grants);

/* Adds the object behind an O_PATH descriptor, which is taken over on success. 0 or -errno. It covers
 * nothing before grants_resolve(). */
int grants_pin(struct grants *grants, int path_fd, bool writable, bool directory);

/* Asks the kernel for the names of all pinned objects and closes their descriptors. This is off the
 * way of a start: it costs several microseconds a grant and is needed for the first verdict only.
 * Objects that were unlinked since are dropped. 0, or -errno if a name cannot be had. */
int grants_resolve(struct grants *grants);

/* The grant that covers an absolute canonical path, NULL if none does. With `write` only write
 * grants count. A trailing " (deleted)" must have been removed by the caller. */
const struct grant *grants_find(const struct grants *grants, const char *path, bool write);

/* True if one write grant covers the whole tree ("/"). */
bool grants_write_all(const struct grants *grants);

/* The canonical path of an open descriptor, from /proc/thread-self/fd. The text has " (deleted)"
 * removed for unlinked files, *unlinked tells. Objects without a path (pipes, sockets, anonymous
 * inodes) give -ENOENT. Returns 0 or -errno. */
int grants_path_of(int fd, char *path, size_t size, bool *unlinked);

#endif
