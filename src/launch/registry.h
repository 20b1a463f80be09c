/* All features of this build, in dispatch order: confinement first, observers last. */
#ifndef SANDLOCK_LAUNCH_REGISTRY_H
#define SANDLOCK_LAUNCH_REGISTRY_H

#include "supervisor/feature.h"

extern const struct feature *const feature_registry[]; /* NULL-terminated */

#endif
