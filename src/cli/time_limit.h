/* How long a run may take: --timeout and --kill-after, or the keys of a profile. */
#ifndef SANDLOCK_CLI_TIME_LIMIT_H
#define SANDLOCK_CLI_TIME_LIMIT_H

#include "policy/record.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Both in milliseconds, 0 for none. False and an error that names option or key: one is malformed, or has no
 * meaning without the other. */
bool time_limit_take(const struct record *record, uint64_t *timeout_ms, uint64_t *kill_after_ms,
                     struct error *err);

#endif
