/* Lists of port ranges: see port_list.h. */
#include "policy/port_list.h"

#include <stdlib.h>

static int compare_ranges(const void *left, const void *right)
{
    const struct port_range *a = left;
    const struct port_range *b = right;

    return (a->low > b->low) - (a->low < b->low);
}

size_t port_ranges_merge(struct port_range *ranges, size_t count)
{
    size_t kept = 0;

    if (count == 0)
        return 0;
    qsort(ranges, count, sizeof(*ranges), compare_ranges);
    for (size_t i = 1; i < count; i++) {
        if (ranges[i].low <= (unsigned)ranges[kept].high + 1) {
            if (ranges[i].high > ranges[kept].high)
                ranges[kept].high = ranges[i].high;
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    return kept + 1;
}

/* The only range that can hold the port: the last one that begins at or below it. */
static const struct port_range *candidate(const struct port_range *ranges, size_t count,
                                          uint16_t port)
{
    size_t first = 0;

    while (count > 0) {
        size_t half = count / 2;
        if (ranges[first + half].low <= port) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return first > 0 ? &ranges[first - 1] : NULL;
}

bool port_ranges_contain(const struct port_range *ranges, size_t count, uint16_t port)
{
    return port_ranges_cover(ranges, count, port, port);
}

bool port_ranges_cover(const struct port_range *ranges, size_t count, uint16_t low, uint16_t high)
{
    /* Touching ranges are one range, so no second one is asked. */
    const struct port_range *range = candidate(ranges, count, low);

    return range != NULL && high <= range->high;
}

bool port_ranges_widest_gap(const struct port_range *ranges, size_t count, struct port_range range,
                            struct port_range *gap)
{
    unsigned low = range.low, widest = 0;

    for (size_t i = 0; i <= count; i++) {
        unsigned end = i < count && ranges[i].low <= range.high ? ranges[i].low : range.high + 1U;
        if (end > low && end - low > widest) {
            widest = end - low;
            *gap = (struct port_range){(uint16_t)low, (uint16_t)(end - 1)};
        }
        if (i < count && ranges[i].high + 1U > low)
            low = ranges[i].high + 1U;
    }
    return widest > 0;
}

void port_range_render(const struct port_range *range, struct buffer *out)
{
    buffer_printf(out, "%u", range->low);
    if (range->high != range->low)
        buffer_printf(out, "-%u", range->high);
}
