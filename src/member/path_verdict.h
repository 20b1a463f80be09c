/*
 * The verdict of the path grants on a pinned object, and the advice that goes with a refusal.
 */
#ifndef SANDLOCK_MEMBER_PATH_VERDICT_H
#define SANDLOCK_MEMBER_PATH_VERDICT_H

#include "supervisor/grants.h"
#include "util/buffer.h"

#include <limits.h>
#include <stdbool.h>

/* What the names of memory files begin with that all members of a sandbox share: a view's, which are read in place of
 * files that belong to none of them. */
#define VIEW_FILE_PREFIX "sandlock:"

enum path_verdict {
    PATH_GRANTED,
    PATH_NAMELESS, /* a pipe, socket, memfd: no tree contains it, and no grant could name it */
    PATH_REFUSED,  /* `path` is outside the grants */
    PATH_UNKNOWN,  /* its place cannot be told: to be refused, if path_verdict_in() does not help */
    PATH_UNDECIDED, /* only with `cached_only`: ask again where waiting is allowed */
    PATH_FAILED,    /* too few descriptors or too little memory: errno is the call's */
};

/* What a record says of PATH_UNKNOWN. */
#define PATH_UNKNOWN_TEXT "where the object lies cannot be told"

/* `path` receives the object's own name where it has one, "" otherwise. `grants` may be NULL. With
 * `cached_only` nothing waits for a file system. */
enum path_verdict path_verdict_of(const struct grants *grants, int path_fd, bool write,
                                  bool cached_only, char path[PATH_MAX]);

/* For PATH_UNKNOWN, where a member has named the object as `name` in the pinned directory `parent_fd`. */
enum path_verdict path_verdict_in(const struct grants *grants, int path_fd, int parent_fd,
                                  const char *name, bool write, bool cached_only);

/* "--fs-write '/a b'": the grant of what the canonical path names (`itself`), or of the directory that holds it;
 * for reading in a system directory that of the whole. Where more would be given away than was asked for there is no
 * grant but a static text that says so (policy/place.h), otherwise NULL. `home` as there. */
const char *path_advice(struct buffer *out, bool write, const char *path, bool itself,
                        const char *home);

#endif
