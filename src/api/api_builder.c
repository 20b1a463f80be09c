/*
 * The builder and its setters: each puts text into a record, as an option or a profile key would, and
 * judges nothing. Only what the record cannot hold as it was meant is noted here (a variable's key
 * that contains '=', an absurd count); the first such note makes the build fail.
 */
#include "api/api.h"

#include "util/fd.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A longer list of CPUs or GPUs is a caller's mistake, and its array is not worth reading. */
#define NUMBER_LIST_MAX 65536

static const struct origin from_setter = {.kind = ORIGIN_SETTER};

/* Memory ran out: a builder that lost a value must not become a policy, so there is none any more. */
static sandlock_builder_t *give_up(sandlock_builder_t *b)
{
    sandlock_builder_free(b);
    api_fail(0, "out of memory while building a policy");
    return NULL;
}

static sandlock_builder_t *keep(sandlock_builder_t *b, bool stored)
{
    return stored ? b : give_up(b);
}

__attribute__((format(printf, 2, 3))) static sandlock_builder_t *note_bad(sandlock_builder_t *b,
                                                                          const char *format, ...)
{
    va_list args;

    if (b->record.setter_error != NULL)
        return b;
    va_start(args, format);
    int length = vasprintf(&b->record.setter_error, format, args);
    va_end(args);
    if (length < 0)
        b->record.setter_error = NULL;
    return keep(b, length >= 0);
}

/* ---- Life -------------------------------------------------------------------------------------- */

sandlock_builder_t *sandlock_sandbox_builder_new(void)
{
    sandlock_builder_t *b = calloc(1, sizeof(*b));

    if (b == NULL) {
        api_fail(0, "out of memory while making a builder");
        return NULL;
    }
    b->object.tag = API_BUILDER;
    record_init(&b->record);
    return b;
}

void sandlock_builder_free(sandlock_builder_t *b)
{
    if (!api_is(b, API_BUILDER))
        return;
    b->object.tag = API_RELEASED;
    record_free(&b->record);
    free(b);
}

/* ---- Kinds of setters -------------------------------------------------------------------------- */

static sandlock_builder_t *add_text(sandlock_builder_t *b, enum option_id id, const char *text)
{
    if (!api_is(b, API_BUILDER))
        return NULL;
    if (text == NULL)
        return b;
    return keep(b, record_add(&b->record, id, text, &from_setter));
}

static sandlock_builder_t *set_text(sandlock_builder_t *b, enum option_id id, const char *text)
{
    if (!api_is(b, API_BUILDER))
        return NULL;
    if (text == NULL)
        return b;
    return keep(b, record_set(&b->record, id, text, &from_setter));
}

static sandlock_builder_t *set_number(sandlock_builder_t *b, enum option_id id, uint32_t number)
{
    char text[16];

    snprintf(text, sizeof(text), "%" PRIu32, number);
    return set_text(b, id, text);
}

static sandlock_builder_t *set_flag(sandlock_builder_t *b, enum option_id id, bool on)
{
    if (!api_is(b, API_BUILDER))
        return NULL;
    if (on)
        return set_text(b, id, "true");
    record_clear(&b->record, id);
    return b;
}

/* An array replaces what an earlier call gave. An empty one is recorded as given and empty. */
static sandlock_builder_t *set_numbers(sandlock_builder_t *b, enum option_id id,
                                       const uint32_t *numbers, uint32_t count)
{
    char field[64];

    if (!api_is(b, API_BUILDER))
        return NULL;
    if (numbers == NULL && count > 0)
        return b;
    if (count > NUMBER_LIST_MAX) {
        record_field_name(id, ORIGIN_SETTER, field, sizeof(field));
        return note_bad(b, "%s: %" PRIu32 " numbers given (at most %d)", field, count,
                        NUMBER_LIST_MAX);
    }
    record_set_empty(&b->record, id);
    for (uint32_t i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%" PRIu32, numbers[i]);
        if (!record_add(&b->record, id, text, &from_setter))
            return give_up(b);
    }
    return b;
}

/* A comma list becomes one value per item; blanks around items and empty items are dropped. */
static sandlock_builder_t *add_items(sandlock_builder_t *b, enum option_id id, const char *list)
{
    if (!api_is(b, API_BUILDER))
        return NULL;
    while (list != NULL) {
        const char *comma = strchr(list, ',');
        const char *item = list;
        size_t length = comma != NULL ? (size_t)(comma - list) : strlen(list);
        text_trim(&item, &length);
        if (length > 0) {
            CLEANUP_FREE char *copy = strndup(item, length);
            if (copy == NULL || !record_add(&b->record, id, copy, &from_setter))
                return give_up(b);
        }
        list = comma != NULL ? comma + 1 : NULL;
    }
    return b;
}

/* The last request for a protection counts, so an earlier one is taken back from both lists. */
static sandlock_builder_t *request_protection(sandlock_builder_t *b, enum option_id id,
                                              uint32_t protection)
{
    if (!api_is(b, API_BUILDER))
        return NULL;
    if (protection >= PROTECTION_COUNT)
        return b;
    const char *name = protection_name((enum protection)protection);
    record_remove(&b->record, OPTION_ALLOW_DEGRADED, name);
    record_remove(&b->record, OPTION_DISABLE, name);
    return keep(b, record_add(&b->record, id, name, &from_setter));
}

/* ---- Setters ----------------------------------------------------------------------------------- */

sandlock_builder_t *sandlock_sandbox_builder_fs_read(sandlock_builder_t *b, const char *path)
{
    return add_text(b, OPTION_FS_READ, path);
}

sandlock_builder_t *sandlock_sandbox_builder_fs_read_if_exists(sandlock_builder_t *b,
                                                               const char *path)
{
    return add_text(b, OPTION_FS_READ_TRY, path);
}

sandlock_builder_t *sandlock_sandbox_builder_fs_write(sandlock_builder_t *b, const char *path)
{
    return add_text(b, OPTION_FS_WRITE, path);
}

sandlock_builder_t *sandlock_sandbox_builder_fs_write_if_exists(sandlock_builder_t *b,
                                                                const char *path)
{
    return add_text(b, OPTION_FS_WRITE_TRY, path);
}

sandlock_builder_t *sandlock_sandbox_builder_gpu_devices(sandlock_builder_t *b,
                                                         const uint32_t *devices, uint32_t len)
{
    return set_numbers(b, OPTION_GPU, devices, len);
}

sandlock_builder_t *sandlock_sandbox_builder_cwd(sandlock_builder_t *b, const char *path)
{
    return set_text(b, OPTION_CWD, path);
}

sandlock_builder_t *sandlock_sandbox_builder_max_processes(sandlock_builder_t *b, uint32_t n)
{
    return set_number(b, OPTION_MAX_PROCESSES, n);
}

sandlock_builder_t *sandlock_sandbox_builder_cpu_cores(sandlock_builder_t *b, const uint32_t *cores,
                                                       uint32_t len)
{
    return set_numbers(b, OPTION_CPU_CORES, cores, len);
}

sandlock_builder_t *sandlock_sandbox_builder_net_allow(sandlock_builder_t *b, const char *spec)
{
    return add_text(b, OPTION_NET_ALLOW, spec);
}

sandlock_builder_t *sandlock_sandbox_builder_net_deny(sandlock_builder_t *b, const char *spec)
{
    return add_text(b, OPTION_NET_DENY, spec);
}

sandlock_builder_t *sandlock_sandbox_builder_net_allow_bind(sandlock_builder_t *b, const char *spec)
{
    return add_text(b, OPTION_NET_ALLOW_BIND, spec);
}

sandlock_builder_t *sandlock_sandbox_builder_net_deny_bind(sandlock_builder_t *b, const char *spec)
{
    return add_text(b, OPTION_NET_DENY_BIND, spec);
}

sandlock_builder_t *sandlock_sandbox_builder_port_remap(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_PORT_REMAP, v);
}

sandlock_builder_t *sandlock_sandbox_builder_user(sandlock_builder_t *b, uint32_t uid, uint32_t gid)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu32 ":%" PRIu32, uid, gid);
    return set_text(b, OPTION_USER, text);
}

sandlock_builder_t *sandlock_sandbox_builder_clean_env(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_CLEAN_ENV, v);
}

/* A key with '=' would silently set another variable. The message stops there: what follows may be a
 * value, and values may be secrets. */
sandlock_builder_t *sandlock_sandbox_builder_env_var(sandlock_builder_t *b, const char *key,
                                                     const char *value)
{
    CLEANUP_FREE char *text = NULL;

    if (!api_is(b, API_BUILDER))
        return NULL;
    if (key == NULL || value == NULL)
        return b;
    if (key[0] == '\0')
        return note_bad(b, "env_var: the key is empty");
    if (key[0] == '=')
        return note_bad(b, "env_var: the key begins with '='");
    if (strchr(key, '=') != NULL)
        return note_bad(b, "env_var: the key that begins with '%.*s' contains '='",
                        (int)strcspn(key, "="), key);
    if (asprintf(&text, "%s=%s", key, value) < 0) {
        text = NULL;
        return give_up(b);
    }
    return add_text(b, OPTION_ENV, text);
}

sandlock_builder_t *sandlock_sandbox_builder_extra_deny_syscalls(sandlock_builder_t *b,
                                                                 const char *names)
{
    return add_items(b, OPTION_EXTRA_DENY, names);
}

sandlock_builder_t *sandlock_sandbox_builder_extra_allow_syscalls(sandlock_builder_t *b,
                                                                  const char *names)
{
    return add_items(b, OPTION_EXTRA_ALLOW, names);
}

sandlock_builder_t *sandlock_sandbox_builder_max_open_files(sandlock_builder_t *b, unsigned int n)
{
    return set_number(b, OPTION_MAX_OPEN_FILES, n);
}

sandlock_builder_t *sandlock_sandbox_builder_no_randomize_memory(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_NO_RANDOMIZE_MEMORY, v);
}

sandlock_builder_t *sandlock_sandbox_builder_no_huge_pages(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_NO_HUGE_PAGES, v);
}

sandlock_builder_t *sandlock_sandbox_builder_no_coredump(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_NO_COREDUMP, v);
}

sandlock_builder_t *sandlock_sandbox_builder_allow_degraded(sandlock_builder_t *b,
                                                            uint32_t protection)
{
    return request_protection(b, OPTION_ALLOW_DEGRADED, protection);
}

sandlock_builder_t *sandlock_sandbox_builder_disable(sandlock_builder_t *b, uint32_t protection)
{
    return request_protection(b, OPTION_DISABLE, protection);
}

sandlock_builder_t *sandlock_sandbox_builder_require(sandlock_builder_t *b, const char *names)
{
    return add_text(b, OPTION_REQUIRE, names);
}

sandlock_builder_t *sandlock_sandbox_builder_no_supervisor(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_NO_SUPERVISOR, v);
}

sandlock_builder_t *sandlock_sandbox_builder_without(sandlock_builder_t *b, const char *feature)
{
    return add_text(b, OPTION_WITHOUT, feature);
}

sandlock_builder_t *sandlock_sandbox_builder_explain(sandlock_builder_t *b, bool v)
{
    return set_flag(b, OPTION_EXPLAIN, v);
}
