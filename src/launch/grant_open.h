/*
 * Opening what a grant names. A symbolic link in a directory that the command may change is not
 * followed: by it the command of one run would decide what the same words grant to the next.
 *
 * Objects are compared, not spellings. A path without any link, the usual case, costs one system call.
 */
#ifndef SANDLOCK_LAUNCH_GRANT_OPEN_H
#define SANDLOCK_LAUNCH_GRANT_OPEN_H

#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct written_directory {
    dev_t device;
    ino_t inode;
    const char *path; /* as the policy spells it */
};

struct grant_opener {
    const struct policy *policy; /* borrowed */
    int start_fd;                /* borrowed; what relative grants start from, or AT_FDCWD */

    /* Filled at the first link. */
    bool looked;
    bool everything;                   /* "/" may be written: no link could widen that */
    struct written_directory *written; /* owned */
    size_t count;
};

/* Why; the format of the reason, for *below. */
#define GRANT_LINK_BELOW "a symbolic link below --fs-write %s, which the command may change"

void grant_opener_free(struct grant_opener *opener);

/* An O_PATH descriptor of what the grant `path` names; the caller owns it. -ELOOP with *below set: on
 * the way lies a link below that write grant of the policy. Other -errno as the walk gave them; -ESTALE:
 * names were changed meanwhile. */
int grant_open(struct grant_opener *opener, const char *path, const char **below);

/* The same check of `path` (relative to the current directory) for `fd`, which was opened by it. 0 or
 * -errno. */
int grant_check(struct grant_opener *opener, const char *path, int fd, const char **below);

/* True if the directory `path` is, or lies below, what a write grant names. False also if that cannot be told. */
bool grant_reaches_for_writing(struct grant_opener *opener, const char *path);

#endif
