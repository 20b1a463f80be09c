/*
 * Private to the policy room: variables in path values of profiles. `${HOME}` is the
 * one variable, `$$` is a dollar sign, and whatever else looks like a variable is refused, so that
 * a variable added later never changes the meaning of an old grant.
 */
#ifndef SANDLOCK_POLICY_PROFILE_PATH_H
#define SANDLOCK_POLICY_PROFILE_PATH_H

#include "policy/record.h"
#include "util/buffer.h"
#include "util/error.h"

/* Remembers the home, which is looked up only when a value uses it. Starts zeroed. */
struct profile_expander {
    char *home; /* owned */
};

void profile_expander_free(struct profile_expander *expander);

/* The expanded value, owned. NULL: refused (ERROR_CONFIG, the reason without the value), or out of
 * memory (ERROR_RUNTIME). */
char *profile_expand(struct profile_expander *expander, const char *value, struct error *err);

/* The reverse for the writer: a value that profile_expand() turns back into a name of the same
 * file. */
void profile_protect(struct buffer *out, const char *path);

/* profile_load_file() from an open descriptor; `path` names it and must outlive the record. */
bool profile_load_fd(int fd, const char *path, struct record *record, struct error *err);

#endif
