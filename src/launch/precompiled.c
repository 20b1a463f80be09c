/* Look-up of precompiled filters: see precompiled.h. */
#include "launch/precompiled.h"

const struct bpf_program *precompiled_members_filter(uint64_t key)
{
    if (key == 0)
        return NULL;
    for (size_t i = 0; i < precompiled_filter_count; i++) {
        if (precompiled_filters[i].key == key)
            return &precompiled_filters[i].program;
    }
    return NULL;
}
