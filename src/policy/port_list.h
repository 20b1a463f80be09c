/*
 * Sorted, disjoint lists of port ranges: what every list of ports becomes, whatever grammar it was
 * written in, so that a look-up is one binary search.
 */
#ifndef SANDLOCK_POLICY_PORT_LIST_H
#define SANDLOCK_POLICY_PORT_LIST_H

#include "util/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct port_range {
    uint16_t low, high; /* inclusive */
};

/* Sorts and joins ranges that overlap or touch, in place. Returns how many remain. */
size_t port_ranges_merge(struct port_range *ranges, size_t count);

/* True if a range of a merged list holds the port. */
bool port_ranges_contain(const struct port_range *ranges, size_t count, uint16_t port);

/* True if the merged list holds every port of `low`..`high`. */
bool port_ranges_cover(const struct port_range *ranges, size_t count, uint16_t low, uint16_t high);

/* The widest stretch of `range` without a port of the merged list, the lowest of several. False: there is none. */
bool port_ranges_widest_gap(const struct port_range *ranges, size_t count, struct port_range range,
                            struct port_range *gap);

/* "80" or "8000-8010". */
void port_range_render(const struct port_range *range, struct buffer *out);

#endif
