/* Device nodes and files of the GPUs a policy allows. */
#ifndef SANDLOCK_LAUNCH_GPU_H
#define SANDLOCK_LAUNCH_GPU_H

#include "policy/policy.h"

#include <stdbool.h>

/* Calls `add` for every path; it need not exist, except that a `requested` one should. Stops and
 * returns false when a call does. */
bool gpu_each_node(const struct policy *policy,
                   bool (*add)(void *data, const char *path, bool write, bool requested),
                   void *data);

#endif
