/*
 * Standard streams and extra descriptors of the child, planned before the clone: every source is
 * moved above every target, so that wiring cannot overwrite a source that is still needed, also when
 * the host runs with 0, 1 or 2 closed and a pipe end sits there.
 */
#ifndef SANDLOCK_LAUNCH_STREAMS_H
#define SANDLOCK_LAUNCH_STREAMS_H

#include "bare/child.h"
#include "launch/launch.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

struct streams {
    struct bare_map *maps; /* owned */
    size_t map_count;
    struct bare_range *ranges; /* owned; what the child closes, the first makes its table private */
    size_t range_count;
    int *sources; /* owned descriptors of the child's side, closed in the host after the launch */
    size_t source_count;
    int host_ends[3]; /* owned; -1 where the stream is not piped */
    int exec_fd;      /* the image to execute, kept until exec; -1: none */
    int error_fd;     /* the descriptor that will become 2 */
};

#define STREAMS_INIT ((struct streams){.host_ends = {-1, -1, -1}, .exec_fd = -1, .error_fd = -1})

/* The ranges to close so that only `kept` (sorted on return) stays open; the top one comes first, because
 * the call that closes it makes the table private. Room for count + 1 ranges. Returns how many. */
size_t descriptor_ranges(int *kept, size_t count, struct bare_range *ranges);

bool streams_prepare(struct streams *streams, const struct launch_spec *spec, struct error *err);
void streams_close_sources(struct streams *streams);
void streams_free(struct streams *streams);

#endif
