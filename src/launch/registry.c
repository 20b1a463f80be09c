/* The feature registry: see registry.h. A new feature is one line here. */
#include "launch/registry.h"

#include "gates/gates.h"
#include "limits/limits.h"

const struct feature *const feature_registry[] = {
    &feature_process_gate,  &feature_cpu_affinity, &feature_metadata_gate,
    &feature_process_limit, &feature_explain,      NULL,
};
