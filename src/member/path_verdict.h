/*
 * The verdict of the path grants on a pinned object, and the advice that goes with a refusal.
 */
#ifndef SANDLOCK_MEMBER_PATH_VERDICT_H
#define SANDLOCK_MEMBER_PATH_VERDICT_H

#include "supervisor/grants.h"
#include "util/buffer.h"

#include <limits.h>
#include <stdbool.h>

enum path_verdict {
    PATH_GRANTED,
    PATH_NAMELESS,  /* a pipe, socket, memfd: no tree contains it, and no grant could name it */
    PATH_REFUSED,   /* `path` is outside the grants */
    PATH_UNKNOWN,   /* its place cannot be told: to be refused */
    PATH_UNDECIDED, /* only with `cached_only`: ask again where waiting is allowed */
};

/* `path` receives the object's own name where it has one, "" otherwise. `grants` may be NULL. With
 * `cached_only` nothing waits for a file system. */
enum path_verdict path_verdict_of(const struct grants *grants, int path_fd, bool write,
                                  bool cached_only, char path[PATH_MAX]);

/* "--fs-write '/a b'": the option with the directory itself, or with the directory that holds it. */
void path_advice(struct buffer *out, const char *option, const char *path, bool is_directory);

#endif
