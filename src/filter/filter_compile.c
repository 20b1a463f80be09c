/*
 * From a plan to a program.
 *
 * Runs of numbers with the same answer become a tree (filter_tree.c). Arguments are loaded only behind
 * the leaf of the number they belong to: the kernel finds out at installation which numbers are allowed
 * whatever their arguments (seccomp_cache_prepare, Linux 5.11) and does not run the filter for those.
 * So the numbers for which it matters how long the way is are those with rules, and the few of them
 * that programs call all the time are asked for near the root. All others weigh alike, as the kernel
 * follows the way of each once.
 *
 * The end of the program holds the returns, before them the argument blocks, before those the tree.
 */
#include "filter/compile.h"

#include "util/fd.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET_NUMBER ((uint32_t)offsetof(struct seccomp_data, nr))
#define OFFSET_ARCH ((uint32_t)offsetof(struct seccomp_data, arch))

/* Often called, and with rules in most plans; in the order of the tests. */
static const char *const frequent[] = {"ioctl", "fcntl", "sendto", "sendmsg"};

#define FREQUENT_COUNT (sizeof(frequent) / sizeof(frequent[0]))

/* An entry without the rules that decide nothing. */
static struct filter_entry effective_entry(const struct filter_entry *entry)
{
    struct filter_entry effective = *entry;

    for (size_t i = 0; i < entry->rule_count; i++) {
        if (entry->rules[i].test_count == 0) {
            effective.rule_count = i;
            effective.otherwise = entry->rules[i].action;
            break;
        }
    }
    while (effective.rule_count > 0 &&
           effective.rules[effective.rule_count - 1].action == effective.otherwise)
        effective.rule_count--;
    return effective;
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

/* Numbers with the same answer. */
struct stretch {
    uint32_t first;
    struct filter_entry entry; /* rules borrowed from the plan */
    bpf_label label;
};

static bool same_test(const struct arg_test *left, const struct arg_test *right)
{
    return left->arg == right->arg && left->op == right->op && left->mask == right->mask &&
           left->value == right->value && left->value_high == right->value_high;
}

static bool same_entry(const struct filter_entry *left, const struct filter_entry *right)
{
    if (left->otherwise != right->otherwise || left->rule_count != right->rule_count)
        return false;
    for (size_t i = 0; i < left->rule_count; i++) {
        const struct filter_rule *a = &left->rules[i];
        const struct filter_rule *b = &right->rules[i];
        if (a->action != b->action || a->test_count != b->test_count)
            return false;
        for (size_t t = 0; t < a->test_count; t++) {
            if (!same_test(&a->tests[t], &b->tests[t]))
                return false;
        }
    }
    return true;
}

/* Writes the stretches, or only counts them if `stretches` is NULL: a launch pays for every page that
 * it touches. */
static size_t find_stretches(const struct filter_plan *plan, struct stretch *stretches)
{
    uint32_t numbers = (uint32_t)plan->arch->newest + 1;
    struct filter_entry last = {0};
    size_t count = 0;

    for (uint32_t number = 0; number <= numbers; number++) {
        struct filter_entry entry = {.otherwise = plan->unknown};
        if (number < numbers)
            entry = effective_entry(&plan->entries[number]);
        if (number > 0 && same_entry(&last, &entry))
            continue;
        if (stretches != NULL)
            stretches[count] = (struct stretch){.first = number, .entry = entry};
        count++;
        last = entry;
    }
    return count;
}

/* Entries with the same rules share one block, wherever their numbers are. */
static void emit_blocks(struct bpf_assembler *assembler, struct stretch *stretches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct filter_entry *entry = &stretches[i].entry;
        size_t candidates = entry->rule_count > 0 ? i : 0;
        for (size_t earlier = 0; earlier < candidates && stretches[i].label == 0; earlier++) {
            if (same_entry(&stretches[earlier].entry, entry))
                stretches[i].label = stretches[earlier].label;
        }
        if (stretches[i].label == 0)
            stretches[i].label =
                argument_block_emit(assembler, entry->rules, entry->rule_count, entry->otherwise);
    }
}

/* The frequent numbers that have rules of their own, in order. */
static size_t find_early(const struct filter_plan *plan, const struct stretch *stretches,
                         size_t count, struct segment *early)
{
    size_t found = 0;

    for (size_t f = 0; f < FREQUENT_COUNT; f++) {
        int number = arch_syscall_number(plan->arch, frequent[f]);
        for (size_t i = 0; number >= 0 && i + 1 < count; i++) {
            if (stretches[i].first == (uint32_t)number && stretches[i].entry.rule_count > 0 &&
                stretches[i + 1].first == (uint32_t)number + 1)
                early[found++] = (struct segment){(uint32_t)number, stretches[i].label};
        }
    }
    return found;
}

static bool is_early(const struct tree_shape *shape, uint32_t number)
{
    for (size_t i = 0; i < shape->early_count; i++) {
        if (shape->early[i].first == number)
            return true;
    }
    return false;
}

/* The stretches as the tree shall tell them apart: it never meets an early number behind the test for
 * it, so that counts as one of the numbers before it. */
static size_t find_segments(const struct stretch *stretches, size_t count,
                            const struct tree_shape *shape, struct segment *segments)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        bool early = is_early(shape, stretches[i].first);
        if (used > 0 && (early || segments[used - 1].label == stretches[i].label))
            continue;
        segments[used++] =
            (struct segment){.first = stretches[i].first, .label = stretches[i].label};
    }
    return used;
}

bool filter_compile(const struct filter_plan *plan, struct bpf_program *program, struct error *err)
{
    CLEANUP_BPF_ASSEMBLER struct bpf_assembler assembler = BPF_ASSEMBLER_INIT;
    size_t count = find_stretches(plan, NULL);
    CLEANUP_FREE struct stretch *stretches = calloc(count, sizeof(*stretches));
    CLEANUP_FREE struct segment *segments = calloc(count, sizeof(*segments));
    struct segment early[FREQUENT_COUNT];
    struct tree_shape shape = {.by_values = true, .early = early};

    if (stretches == NULL || segments == NULL)
        return error_runtime(err, ENOMEM, "system call filter");
    find_stretches(plan, stretches);
    emit_blocks(&assembler, stretches, count);
    shape.early_count = find_early(plan, stretches, count, early);
    bpf_label start =
        tree_emit(&assembler, segments, find_segments(stretches, count, &shape, segments), &shape);
    start = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, OFFSET_NUMBER, start);
    start = bpf_emit_jump(&assembler, BPF_JEQ | BPF_K, plan->arch->audit_arch, start,
                          bpf_emit_return(&assembler, plan->foreign_arch));
    start = bpf_emit(&assembler, BPF_LD | BPF_W | BPF_ABS, OFFSET_ARCH, start);
    return bpf_assembler_finish(&assembler, start, program, err);
}
