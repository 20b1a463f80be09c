/*
 * Advice after a failed run: what to grant when the command could not be executed, and that a denial
 * may be behind a failure. The process is confined by then: it may look at any file (stat, links), but
 * reads only what the policy grants.
 */
#ifndef SANDLOCK_CLI_ADVICE_H
#define SANDLOCK_CLI_ADVICE_H

#include "policy/policy.h"
#include "util/buffer.h"

#include <stdbool.h>

/* Why exec of `program` failed with `failed_errno` under this policy and which -r would help, as text
 * to follow the error after a colon; nothing is appended where there is nothing to advise. */
void advice_exec(const struct policy *policy, const char *program, int failed_errno,
                 struct buffer *out);

/* True if a grant of the policy is `path` or a directory above it, by its text. */
bool advice_is_granted(const struct policy *policy, const char *path);

#endif
