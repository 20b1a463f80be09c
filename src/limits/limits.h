/* Features that limit how much of the machine a sandbox uses. */
#ifndef SANDLOCK_LIMITS_LIMITS_H
#define SANDLOCK_LIMITS_LIMITS_H

#include "supervisor/feature.h"

/* At most max_processes live processes, the first one included. */
extern const struct feature feature_process_limit;

#endif
