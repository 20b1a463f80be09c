/*
 * Process part of a policy: directory, environment, user, limits, CPUs and GPUs. A value of zero
 * where it would mean "nothing can run" is refused and the message says what omitting it means.
 */
#include "policy/grammar.h"
#include "policy/policy_parts.h"
#include "policy/quote.h"
#include "util/fd.h"
#include "util/key_index.h"
#include "util/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct raw_value *last_value(const struct record *record, enum option_id id)
{
    const struct raw_list *list = &record->lists[id];

    return list->count == 0 ? NULL : &list->values[list->count - 1];
}

/* ---- Directory and environment --------------------------------------------------------------- */

static bool take_cwd(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_value *value = last_value(record, OPTION_CWD);

    if (value == NULL)
        return true;
    if (value->text[0] == '\0')
        return policy_refuse(err, OPTION_CWD, value, "the path is empty");
    policy->cwd = strdup(value->text);
    return policy->cwd != NULL || policy_out_of_memory(err);
}

static bool set_variable(struct strv *env, struct key_index *index, const char *text)
{
    ptrdiff_t position = key_index_find(index, env, text);

    if (position < 0) {
        if (!strv_add(env, text))
            return false;
        key_index_add(index, env, env->count - 1);
        return true;
    }
    char *copy = strdup(text);
    if (copy == NULL)
        return false;
    strv_replace(env, (size_t)position, copy);
    return true;
}

static bool take_env(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_ENV];
    CLEANUP_KEY_INDEX struct key_index index = KEY_INDEX_INIT;

    if (list->count > 0 && !key_index_reserve(&index, list->count))
        return policy_out_of_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        size_t key_length = 0;
        if (!grammar_env(list->values[i].text, &key_length, err))
            return policy_blame(err, OPTION_ENV, &list->values[i]);
        if (!set_variable(&policy->env, &index, list->values[i].text))
            return policy_out_of_memory(err);
    }
    return true;
}

/* ---- User ------------------------------------------------------------------------------------ */

/* (uid_t)-1 means "leave unchanged" to the kernel: it is nobody's number. */
static bool check_id(enum option_id id, const struct raw_value *value, uint32_t number,
                     struct error *err)
{
    if (number != UINT32_MAX)
        return true;
    return policy_refuse(err, id, value, "%u is not a user or group number", number);
}

static bool take_user_pair(struct policy *policy, const struct raw_value *user, struct error *err)
{
    if (!grammar_user(user->text, &policy->uid, &policy->gid, err))
        return policy_blame(err, OPTION_USER, user);
    return check_id(OPTION_USER, user, policy->uid, err) &&
           check_id(OPTION_USER, user, policy->gid, err);
}

static bool take_number(enum option_id id, const struct raw_value *value, uint32_t *number,
                        struct error *err)
{
    if (!grammar_uint32(value->text, 0, UINT32_MAX, number, err))
        return policy_blame(err, id, value);
    return true;
}

static bool take_uid_and_gid(struct policy *policy, const struct raw_value *uid,
                             const struct raw_value *gid, struct error *err)
{
    const struct raw_value *given = uid != NULL ? uid : gid;

    if (uid == NULL || (gid == NULL && uid->origin.kind == ORIGIN_PROFILE))
        return policy_refuse(err, uid != NULL ? OPTION_UID : OPTION_GID, given,
                             "[program].uid and [program].gid are given together or not at all");
    if (!take_number(OPTION_UID, uid, &policy->uid, err) ||
        !check_id(OPTION_UID, uid, policy->uid, err))
        return false;
    policy->gid = policy->uid; /* --uid N is short for --user N:N */
    if (gid == NULL)
        return true;
    return take_number(OPTION_GID, gid, &policy->gid, err) &&
           check_id(OPTION_GID, gid, policy->gid, err);
}

static bool take_user(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_value *user = last_value(record, OPTION_USER);
    const struct raw_value *uid = last_value(record, OPTION_UID);
    const struct raw_value *gid = last_value(record, OPTION_GID);

    if (user == NULL && uid == NULL && gid == NULL)
        return true;
    policy->has_user = true;
    if (user == NULL)
        return take_uid_and_gid(policy, uid, gid, err);
    if (uid != NULL || gid != NULL)
        return policy_refuse(err, OPTION_USER, user,
                             "excludes --uid, [program].uid and "
                             "[program].gid: give the user once");
    return take_user_pair(policy, user, err);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static bool take_limit(const struct record *record, enum option_id id, const char *omitted,
                       uint32_t *limit, struct error *err)
{
    const struct raw_value *value = last_value(record, id);

    if (value == NULL)
        return true;
    if (grammar_uint32(value->text, 0, 0, limit, NULL))
        return policy_refuse(err, id, value, "must be at least 1; omit %s", omitted);
    if (!grammar_uint32(value->text, 1, UINT32_MAX, limit, err))
        return policy_blame(err, id, value);
    return true;
}

static bool take_limits(struct policy *policy, const struct record *record, struct error *err)
{
    return take_limit(record, OPTION_MAX_OPEN_FILES, "max_open_files to inherit the limit",
                      &policy->max_open_files, err) &&
           take_limit(record, OPTION_MAX_PROCESSES, "max_processes for no limit",
                      &policy->max_processes, err);
}

/* ---- CPUs and GPUs --------------------------------------------------------------------------- */

/* Texts of all values, borrowed. NULL when out of memory. */
static const char **borrow_texts(const struct raw_list *list)
{
    const char **texts = calloc(list->count + 1, sizeof(*texts));

    for (size_t i = 0; texts != NULL && i < list->count; i++)
        texts[i] = list->values[i].text;
    return texts;
}

/*
 * CPUs the machine is configured with. Read from the kernel's list ("0-3,8-11": the last number
 * plus one), because musl's sysconf() answers with the caller's affinity instead.
 */
static uint32_t configured_cpus(void)
{
    CLEANUP_FD int fd = open("/sys/devices/system/cpu/present", O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;

    if (fd >= 0 && fd_read_file(fd, 4096, &text, &length) == 0) {
        while (length > 0 && text[length - 1] == '\n')
            length--;
        size_t start = length;
        while (start > 0 && text[start - 1] >= '0' && text[start - 1] <= '9')
            start--;
        uint64_t highest;
        if (text_parse_uint(text + start, length - start, UINT32_MAX - 1, &highest))
            return (uint32_t)highest + 1;
    }
    long count = sysconf(_SC_NPROCESSORS_CONF);
    return count > 0 ? (uint32_t)count : 1;
}

static bool check_cores(const struct raw_value *value, const uint32_t *cores, size_t count,
                        uint32_t configured, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (cores[i] >= configured)
            return policy_refuse(err, OPTION_CPU_CORES, value,
                                 "CPU %u does not exist: this machine has %u (0-%u)", cores[i],
                                 configured, configured - 1);
    }
    return true;
}

static int compare_cores(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* A set: sorted, each CPU once. */
static void normalise_cores(struct policy *policy)
{
    size_t kept = 0;

    qsort(policy->cpu_cores, policy->cpu_core_count, sizeof(*policy->cpu_cores), compare_cores);
    for (size_t i = 0; i < policy->cpu_core_count; i++) {
        if (kept == 0 || policy->cpu_cores[kept - 1] != policy->cpu_cores[i])
            policy->cpu_cores[kept++] = policy->cpu_cores[i];
    }
    policy->cpu_core_count = kept;
}

static bool take_cpu_cores(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_CPU_CORES];

    if (list->count == 0)
        return true;

    CLEANUP_FREE const char **texts = borrow_texts(list);
    uint32_t configured = configured_cpus();
    if (texts == NULL)
        return policy_out_of_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        CLEANUP_FREE uint32_t *cores = NULL;
        size_t count = 0;
        if (!grammar_uint_list(&texts[i], 1, &cores, &count, err))
            return policy_blame(err, OPTION_CPU_CORES, &list->values[i]);
        if (!check_cores(&list->values[i], cores, count, configured, err))
            return false;
    }
    if (!grammar_uint_list(texts, list->count, &policy->cpu_cores, &policy->cpu_core_count, err))
        return policy_blame(err, OPTION_CPU_CORES, &list->values[0]);
    normalise_cores(policy);
    return true;
}

/* An option gives one text, a profile or a setter one value per device, or none at all: every GPU.
 */
static bool take_gpu(struct policy *policy, const struct record *record, struct error *err)
{
    const struct raw_list *list = &record->lists[OPTION_GPU];

    if (!list->given)
        return true;
    if (list->count == 0) {
        policy->gpu = GPU_ALL;
        return true;
    }

    CLEANUP_BUFFER struct buffer joined = BUFFER_INIT;
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buffer_append_char(&joined, ',');
        buffer_append_text(&joined, list->values[i].text);
    }
    if (buffer_failed(&joined))
        return policy_out_of_memory(err);
    if (!grammar_gpu(buffer_text(&joined), &policy->gpu, &policy->gpu_devices,
                     &policy->gpu_device_count, err))
        return policy_blame(err, OPTION_GPU, &list->values[0]);
    return true;
}

bool policy_maps_user(const struct policy *policy)
{
    return policy->has_user && (policy->uid != getuid() || policy->gid != getgid());
}

bool policy_take_process(struct policy *policy, const struct record *record, struct error *err)
{
    return take_cwd(policy, record, err) && take_env(policy, record, err) &&
           take_user(policy, record, err) && take_limits(policy, record, err) &&
           take_cpu_cores(policy, record, err) && take_gpu(policy, record, err);
}
