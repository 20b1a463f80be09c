/* Counters of the supervisor: see stats.h. */
#include "supervisor/stats.h"

#include "kernel/sys.h"

#include <inttypes.h>
#include <stdlib.h>

#define NANOSECONDS 1e9

void stats_start(struct stats *stats)
{
    stats->started_ns = sys_monotonic_ns();
}

void stats_count(struct stats *stats, int number)
{
    if (number < 0 || number >= STATS_NUMBERS)
        number = STATS_NUMBERS - 1;
    atomic_fetch_add_explicit(&stats->notifications[number], 1, memory_order_relaxed);
}

static uint64_t count_of(const struct stats *stats, int number)
{
    return atomic_load_explicit(&stats->notifications[number], memory_order_relaxed);
}

uint64_t stats_total(const struct stats *stats)
{
    uint64_t total = 0;

    for (int number = 0; number < STATS_NUMBERS; number++)
        total += count_of(stats, number);
    return total;
}

struct line {
    uint64_t count;
    int number;
};

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left, *b = right;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->number - b->number;
}

static void print_line(const struct line *line, double seconds, const struct arch *arch,
                       struct buffer *out)
{
    const char *name = arch_syscall_name(arch, line->number);

    buffer_printf(out, "%10" PRIu64 " %10.1f/s  ", line->count, (double)line->count / seconds);
    if (line->number == STATS_NUMBERS - 1)
        buffer_append_text(out, "(other numbers)\n");
    else if (name == NULL)
        buffer_printf(out, "syscall %d\n", line->number);
    else
        buffer_printf(out, "%s\n", name);
}

void stats_print(const struct stats *stats, const struct arch *arch, struct buffer *out)
{
    struct line lines[STATS_NUMBERS];
    size_t count = 0;
    uint64_t total = 0;
    double seconds = (double)(sys_monotonic_ns() - stats->started_ns) / NANOSECONDS;

    if (seconds <= 0)
        seconds = 1 / NANOSECONDS;
    for (int number = 0; number < STATS_NUMBERS; number++) {
        uint64_t one = count_of(stats, number);
        if (one == 0)
            continue;
        lines[count] = (struct line){.count = one, .number = number};
        count++;
        total += one;
    }
    if (total == 0) {
        buffer_printf(out, "sandlock: stats: no notifications in %.3f s\n", seconds);
        return;
    }
    buffer_printf(out,
                  "sandlock: stats: %" PRIu64 " notifications in %.3f s, %" PRIu64
                  " refused, %" PRIu64 " by workers\n",
                  total, seconds,
                  (uint64_t)atomic_load_explicit(&stats->refused, memory_order_relaxed),
                  (uint64_t)atomic_load_explicit(&stats->worker_jobs, memory_order_relaxed));
    qsort(lines, count, sizeof(lines[0]), compare_lines);
    for (size_t i = 0; i < count; i++)
        print_line(&lines[i], seconds, arch, out);
}
