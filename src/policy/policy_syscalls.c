/*
 * System call part of a policy: extra denied calls and groups, groups allowed again. Names are
 * judged against the tables of all architectures, so that a profile moves between machines: a call
 * that only another architecture has is accepted and has no number here.
 */
#include "kernel/arch.h"
#include "policy/policy_parts.h"
#include "policy/quote.h"
#include "util/fd.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

struct syscall_group {
    const char *name;
    const char *const *members; /* NULL-terminated */
};

static const char *const sysv_ipc_members[] = {
    "shmget", "shmat",  "shmdt", "shmctl", "msgget",     "msgsnd", "msgrcv",
    "msgctl", "semget", "semop", "semctl", "semtimedop", NULL,
};

static const struct syscall_group groups[] = {
    {"sysv_ipc", sysv_ipc_members},
};

#define GROUP_COUNT (sizeof(groups) / sizeof(groups[0]))
#define GROUP_NAMES "sysv_ipc"

/* clang-format off */
const char *const policy_launch_syscalls[] = {
    "write", "read", "close", "close_range", "dup3", "fcntl", "prlimit64",
    "rt_sigaction", "rt_sigprocmask", "execve", "exit_group", "futex", NULL,
};
/* clang-format on */

static const struct syscall_group *find_group(const char *name)
{
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (strcmp(groups[i].name, name) == 0)
            return &groups[i];
    }
    return NULL;
}

/* By number, so that every spelling of a member counts; by name where this architecture lacks it.
 */
static bool same_syscall(const char *left, const char *right)
{
    int number = arch_syscall_number(arch_native, left);

    if (strcmp(left, right) == 0)
        return true;
    return number >= 0 && number == arch_syscall_number(arch_native, right);
}

static bool list_has_syscall(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (same_syscall(*names, name))
            return true;
    }
    return false;
}

/* ---- Allowed groups -------------------------------------------------------------------------- */

static bool take_allowed(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_EXTRA_ALLOW];
    const struct raw_value *first_bad = NULL;
    CLEANUP_BUFFER struct buffer bad = BUFFER_INIT;

    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->values[i].text;
        if (find_group(name) == NULL) {
            buffer_printf(&bad, "%s%s", first_bad == NULL ? "" : ", ", quote(name).text);
            if (first_bad == NULL)
                first_bad = &list->values[i];
            continue;
        }
        if (!strv_contains(&policy->extra_allow, name) && !strv_add(&policy->extra_allow, name))
            return policy_out_of_memory(err);
    }
    policy->sysv_ipc_allowed = strv_contains(&policy->extra_allow, "sysv_ipc");
    if (first_bad == NULL)
        return true;
    return policy_refuse(err, OPTION_EXTRA_ALLOW, first_bad,
                         "unknown syscall group: %s (known groups: " GROUP_NAMES
                         "; single syscalls cannot be re-allowed)",
                         buffer_text(&bad));
}

/* ---- Denied calls ---------------------------------------------------------------------------- */

/* The name that a mistyped one was probably meant to be, or NULL. */
static const char *closest_name(const char *name)
{
    CLEANUP_FREE const char **candidates =
        calloc((size_t)arch_native->newest + GROUP_COUNT + 2, sizeof(*candidates));
    size_t count = 0;

    if (candidates == NULL)
        return NULL;
    for (size_t i = 0; i < GROUP_COUNT; i++)
        candidates[count++] = groups[i].name;
    for (int number = 0; number <= arch_native->newest; number++) {
        if (arch_syscall_name(arch_native, number) != NULL)
            candidates[count++] = arch_syscall_name(arch_native, number);
    }
    return text_closest(name, candidates);
}

/* All bad names in one message, so that a long list is repaired in one go. */
static bool check_known(const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_EXTRA_DENY];
    const struct raw_value *first_bad = NULL;
    CLEANUP_BUFFER struct buffer bad = BUFFER_INIT;

    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->values[i].text;
        if (find_group(name) != NULL || arch_syscall_number(arch_native, name) >= 0 ||
            arch_name_known_anywhere(name))
            continue;
        const char *meant = closest_name(name);
        buffer_printf(&bad, "%s%s", first_bad == NULL ? "" : ", ", quote(name).text);
        if (meant != NULL)
            buffer_printf(&bad, " (did you mean '%s'?)", meant);
        if (first_bad == NULL)
            first_bad = &list->values[i];
    }
    if (first_bad == NULL)
        return true;
    return policy_refuse(err, OPTION_EXTRA_DENY, first_bad, "unknown syscall or group: %s",
                         buffer_text(&bad));
}

static bool check_denied(const struct policy *policy, const struct raw_value *value,
                         struct error *err)
{
    const char *name = value->text;

    if (strv_contains(&policy->extra_allow, name))
        return policy_refuse(err, OPTION_EXTRA_DENY, value, "%s is both allowed and denied", name);
    for (size_t i = 0; i < policy->extra_allow.count; i++) {
        const struct syscall_group *group = find_group(policy->extra_allow.items[i]);
        if (group != NULL && list_has_syscall(group->members, name))
            return policy_refuse(err, OPTION_EXTRA_DENY, value, "%s belongs to allowed group %s",
                                 name, group->name);
    }
    if (list_has_syscall(policy_launch_syscalls, name))
        return policy_refuse(err, OPTION_EXTRA_DENY, value,
                             "%s cannot be denied: the launch itself needs it to start the command",
                             name);
    return true;
}

static void add_number(struct policy *policy, const char *name)
{
    int number = arch_syscall_number(arch_native, name);

    if (number >= 0)
        policy->denied_numbers[policy->denied_count++] = number;
}

static int compare_numbers(const void *left, const void *right)
{
    int a = *(const int *)left;
    int b = *(const int *)right;

    return (a > b) - (a < b);
}

static bool expand_denied(struct policy *policy, struct error *err)
{
    size_t most = 0;

    for (size_t i = 0; i < policy->extra_deny.count; i++) {
        const struct syscall_group *group = find_group(policy->extra_deny.items[i]);
        most++;
        for (size_t m = 0; group != NULL && group->members[m] != NULL; m++)
            most++;
    }
    if (most == 0)
        return true;
    policy->denied_numbers = calloc(most, sizeof(*policy->denied_numbers));
    if (policy->denied_numbers == NULL)
        return policy_out_of_memory(err);
    for (size_t i = 0; i < policy->extra_deny.count; i++) {
        const struct syscall_group *group = find_group(policy->extra_deny.items[i]);
        if (group == NULL)
            add_number(policy, policy->extra_deny.items[i]);
        for (size_t m = 0; group != NULL && group->members[m] != NULL; m++)
            add_number(policy, group->members[m]);
    }
    qsort(policy->denied_numbers, policy->denied_count, sizeof(*policy->denied_numbers),
          compare_numbers);
    size_t kept = 0;
    for (size_t i = 0; i < policy->denied_count; i++) {
        if (kept == 0 || policy->denied_numbers[kept - 1] != policy->denied_numbers[i])
            policy->denied_numbers[kept++] = policy->denied_numbers[i];
    }
    policy->denied_count = kept;
    return true;
}

bool policy_take_syscalls(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *denied = &record->lists[OPTION_EXTRA_DENY];

    if (!take_allowed(policy, record, err) || !check_known(record, err))
        return false;
    for (size_t i = 0; i < denied->count; i++) {
        const char *name = denied->values[i].text;
        if (!check_denied(policy, &denied->values[i], err))
            return false;
        if (!strv_contains(&policy->extra_deny, name) && !strv_add(&policy->extra_deny, name))
            return policy_out_of_memory(err);
    }
    return expand_denied(policy, err);
}
