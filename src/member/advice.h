/*
 * The grant that a refusal suggests. Pasted into the next run it has to allow the same act there, so it
 * names nothing that belongs to this run alone: no process by its number, no terminal by its own. Where no
 * grant would help there is no advice, and where a grant would give away far more, a rule that says so.
 */
#ifndef SANDLOCK_MEMBER_ADVICE_H
#define SANDLOCK_MEMBER_ADVICE_H

#include "supervisor/feature.h"
#include "util/buffer.h"

/* "--fs-read /srv/a", "--fs-write '/a b'": with `itself` a grant of what the canonical path names, otherwise
 * of the directory that holds it. False: none is to be suggested, or no memory; `out` is of no use then. *rule
 * is set, to a static text, only where a grant would help and is not suggested. */
bool advice_grant(struct buffer *out, const struct request *request, bool write, const char *path,
                  bool itself, const char **rule);

#endif
