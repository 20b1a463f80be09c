/*
 * Writing policies: see policy.h. A policy becomes a record of normalised values first; TOML and
 * JSON are then two walks over the same rows, so that what one shows the other shows, and what is
 * written loads back to the same policy.
 */
#include "policy/policy.h"
#include "policy/profile_path.h"
#include "policy/quote.h"
#include "policy/render.h"
#include "policy/toml.h"
#include "util/json.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct origin no_place = {.kind = ORIGIN_SETTER};

/* ---- Policy to record ------------------------------------------------------------------------ */

static bool put(struct record *record, enum option_id id, const char *text)
{
    return record_add(record, id, text, &no_place);
}

static bool put_texts(struct record *record, enum option_id id, const struct strv *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (!put(record, id, texts->items[i]))
            return false;
    }
    return true;
}

static bool put_number(struct record *record, enum option_id id, uint32_t number)
{
    char text[16];

    snprintf(text, sizeof(text), "%" PRIu32, number);
    return put(record, id, text);
}

static bool put_numbers(struct record *record, enum option_id id, const uint32_t *numbers,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!put_number(record, id, numbers[i]))
            return false;
    }
    return true;
}

static bool put_flag(struct record *record, enum option_id id, bool on)
{
    return !on || put(record, id, "true");
}

static bool put_rules(struct record *record, enum option_id id, const struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
        net_rule_render(&rules->items[i], &text);
        if (buffer_failed(&text) || !put(record, id, buffer_text(&text)))
            return false;
    }
    return true;
}

static bool put_ports(struct record *record, enum option_id id, const struct port_range *ranges,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
        port_range_render(&ranges[i], &text);
        if (buffer_failed(&text) || !put(record, id, buffer_text(&text)))
            return false;
    }
    return true;
}

static bool put_network(const struct policy *policy, struct record *record)
{
    if (policy->bind_any && !put(record, OPTION_NET_ALLOW_BIND, "*"))
        return false;
    return put_rules(record, OPTION_NET_ALLOW, &policy->net_allow) &&
           put_rules(record, OPTION_NET_DENY, &policy->net_deny) &&
           put_ports(record, OPTION_NET_ALLOW_BIND, policy->bind_ports, policy->bind_port_count) &&
           put_ports(record, OPTION_NET_DENY_BIND, policy->deny_bind_ports,
                     policy->deny_bind_port_count) &&
           put_flag(record, OPTION_PORT_REMAP, policy->port_remap);
}

static bool put_process(const struct policy *policy, struct record *record)
{
    if (policy->cwd != NULL && !put(record, OPTION_CWD, policy->cwd))
        return false;
    if (policy->has_user && (!put_number(record, OPTION_UID, policy->uid) ||
                             !put_number(record, OPTION_GID, policy->gid)))
        return false;
    return put_texts(record, OPTION_ENV, &policy->env) &&
           put_flag(record, OPTION_CLEAN_ENV, policy->clean_env) &&
           put_flag(record, OPTION_NO_COREDUMP, policy->no_coredump) &&
           put_flag(record, OPTION_NO_HUGE_PAGES, policy->no_huge_pages) &&
           put_flag(record, OPTION_NO_RANDOMIZE_MEMORY, policy->no_randomize_memory) &&
           put_flag(record, OPTION_NO_SUPERVISOR, policy->no_supervisor) &&
           put_flag(record, OPTION_EXPLAIN, policy->explain);
}

static bool put_limits(const struct policy *policy, struct record *record)
{
    if (policy->max_processes != 0 &&
        !put_number(record, OPTION_MAX_PROCESSES, policy->max_processes))
        return false;
    if (policy->max_open_files != 0 &&
        !put_number(record, OPTION_MAX_OPEN_FILES, policy->max_open_files))
        return false;
    if (policy->gpu == GPU_ALL)
        record_set_empty(record, OPTION_GPU);
    return put_numbers(record, OPTION_GPU, policy->gpu_devices, policy->gpu_device_count) &&
           put_numbers(record, OPTION_CPU_CORES, policy->cpu_cores, policy->cpu_core_count);
}

static bool put_features(struct record *record, enum option_id id, unsigned bits)
{
    for (unsigned bit = 1; bits >= bit && bit != 0; bit <<= 1) {
        const char *name = policy_feature_name(bits & bit);
        if (name != NULL && !put(record, id, name))
            return false;
    }
    return true;
}

static bool put_hardening(const struct policy *policy, struct record *record)
{
    for (unsigned i = 0; i < PROTECTION_COUNT; i++) {
        const char *name = protection_name((enum protection)i);
        if (policy->protections[i] == PROTECTION_DEGRADABLE &&
            !put(record, OPTION_ALLOW_DEGRADED, name))
            return false;
        if (policy->protections[i] == PROTECTION_DISABLED && !put(record, OPTION_DISABLE, name))
            return false;
    }
    return put_texts(record, OPTION_EXTRA_DENY, &policy->extra_deny) &&
           put_texts(record, OPTION_EXTRA_ALLOW, &policy->extra_allow) &&
           put_features(record, OPTION_WITHOUT, policy->without) &&
           put_features(record, OPTION_WITH, policy->with) &&
           put_texts(record, OPTION_REQUIRE, &policy->required);
}

bool policy_to_record(const struct policy *policy, struct record *record)
{
    return put_texts(record, OPTION_FS_READ, &policy->fs_read) &&
           put_texts(record, OPTION_FS_READ_TRY, &policy->fs_read_try) &&
           put_texts(record, OPTION_FS_WRITE, &policy->fs_write) &&
           put_texts(record, OPTION_FS_WRITE_TRY, &policy->fs_write_try) &&
           put_network(policy, record) && put_process(policy, record) &&
           put_limits(policy, record) && put_hardening(policy, record);
}

/* ---- Rows of a record ------------------------------------------------------------------------ */

static bool is_written(const struct record *record, const struct option_spec *spec)
{
    const struct raw_list *list = &record->lists[spec->id];

    if (spec->section == NULL || !list->given)
        return false;
    return list->count > 0 || spec->id == OPTION_GPU; /* an empty list of GPUs means every GPU */
}

static bool is_array(const struct option_spec *spec)
{
    switch (spec->kind) {
    case VALUE_TEXT_LIST:
    case VALUE_PATH_LIST:
    case VALUE_PORT_LIST:
    case VALUE_UINT_LIST:
        return true;
    default:
        return false;
    }
}

/* True if this text of this kind of row is a number to TOML and JSON. */
static bool is_number(const struct option_spec *spec, const char *text, uint64_t *number)
{
    switch (spec->kind) {
    case VALUE_UINT:
    case VALUE_SIZE:
    case VALUE_DURATION:
    case VALUE_PORT_LIST:
    case VALUE_UINT_LIST:
        return text_parse_uint(text, strlen(text), INT64_MAX, number);
    default:
        return false;
    }
}

static bool is_path(const struct option_spec *spec)
{
    return spec->kind == VALUE_PATH || spec->kind == VALUE_PATH_LIST;
}

/* ---- TOML ------------------------------------------------------------------------------------ */

static const char *const section_order[] = {
    "config", "determinism", "program", "filesystem",  "network",
    "http",   "syscalls",    "limits",  "protections", "features",
};

#define SECTION_COUNT (sizeof(section_order) / sizeof(section_order[0]))

static void write_toml_value(struct buffer *out, const struct option_spec *spec, const char *text)
{
    uint64_t number;

    if (spec->kind == VALUE_FLAG) {
        buffer_append_text(out, "true");
    } else if (is_number(spec, text, &number)) {
        buffer_printf(out, "%" PRIu64, number);
    } else if (is_path(spec)) {
        CLEANUP_BUFFER struct buffer path = BUFFER_INIT;
        profile_protect(&path, text);
        out->failed = out->failed || buffer_failed(&path);
        toml_write_string(out, buffer_text(&path), path.length);
    } else {
        toml_write_string(out, text, strlen(text));
    }
}

/* TOML text is UTF-8, paths and values need not be: those are named in a comment, never silently
 * dropped. Without them the profile grants less, not more. */
static bool is_writable(struct buffer *out, const struct option_spec *spec, const char *text)
{
    if (text_is_utf8(text, strlen(text)))
        return true;
    buffer_printf(out, "# %s: omitted because it is not UTF-8: %s\n", spec->key, quote(text).text);
    return false;
}

static void write_toml_array(struct buffer *out, const struct option_spec *spec,
                             const struct raw_list *list)
{
    size_t writable = 0;
    size_t written = 0;

    for (size_t i = 0; i < list->count; i++)
        writable += is_writable(out, spec, list->values[i].text);
    if (writable == 0 && list->count > 0)
        return;
    buffer_printf(out, "%s = [", spec->key);
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->values[i].text;
        if (!text_is_utf8(text, strlen(text)))
            continue;
        if (writable > 1)
            buffer_append_text(out, "\n    ");
        write_toml_value(out, spec, text);
        if (writable > 1)
            buffer_append_char(out, ',');
        written++;
    }
    buffer_append_text(out, written > 1 ? "\n]\n" : "]\n");
}

static void write_toml_key(struct buffer *out, const char *key, size_t length)
{
    bool bare = length > 0;

    for (size_t i = 0; i < length; i++) {
        char c = key[i];
        bare = bare && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    if (bare)
        buffer_append(out, key, length);
    else
        toml_write_string(out, key, length);
}

/* A sub-table of its own, behind all other keys of its section. */
static void write_toml_env(struct buffer *out, const struct option_spec *spec,
                           const struct raw_list *list)
{
    buffer_printf(out, "%s[%s.%s]\n", out->length > 0 ? "\n" : "", spec->section, spec->key);
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->values[i].text;
        const char *equals = strchr(text, '=');
        if (equals == NULL || !is_writable(out, spec, text))
            continue;
        write_toml_key(out, text, (size_t)(equals - text));
        buffer_append_text(out, " = ");
        toml_write_string(out, equals + 1, strlen(equals + 1));
        buffer_append_char(out, '\n');
    }
}

static void write_toml_row(struct buffer *out, const struct option_spec *spec,
                           const struct record *record)
{
    const struct raw_list *list = &record->lists[spec->id];

    if (is_array(spec)) {
        write_toml_array(out, spec, list);
    } else if (is_writable(out, spec, record_text(record, spec->id))) {
        buffer_printf(out, "%s = ", spec->key);
        write_toml_value(out, spec, record_text(record, spec->id));
        buffer_append_char(out, '\n');
    }
}

static void write_toml_section(struct buffer *out, const char *section, const struct record *record)
{
    const struct option_spec *table = NULL;
    bool has_header = false;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (!is_written(record, spec) || strcmp(spec->section, section) != 0)
            continue;
        if (spec->kind == VALUE_ENV) {
            table = spec;
            continue;
        }
        if (!has_header)
            buffer_printf(out, "%s[%s]\n", out->length > 0 ? "\n" : "", section);
        has_header = true;
        write_toml_row(out, spec, record);
    }
    if (table != NULL)
        write_toml_env(out, table, &record->lists[table->id]);
}

bool record_to_toml(const struct record *record, struct buffer *out)
{
    for (size_t i = 0; i < SECTION_COUNT; i++)
        write_toml_section(out, section_order[i], record);
    return !buffer_failed(out);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_json_value(struct json *json, const struct option_spec *spec, const char *text)
{
    uint64_t number;

    if (spec->kind == VALUE_FLAG)
        json_bool(json, true);
    else if (is_number(spec, text, &number))
        json_uint(json, number);
    else
        json_string(json, text);
}

static int compare_values(const void *left, const void *right)
{
    const struct raw_value *a = left;
    const struct raw_value *b = right;

    return strcmp(a->text, b->text);
}

static void write_json_env(struct json *json, const struct raw_list *list)
{
    size_t size = list->count * sizeof(*list->values);
    struct raw_value *sorted = malloc(size);

    if (sorted == NULL) {
        json->out->failed = true;
        return;
    }
    memcpy(sorted, list->values, size);
    qsort(sorted, list->count, sizeof(*sorted), compare_values);
    json_object_begin(json);
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(sorted[i].text, '=');
        char *key =
            equals == NULL ? NULL : strndup(sorted[i].text, (size_t)(equals - sorted[i].text));
        if (key == NULL)
            continue;
        json_string_member(json, key, equals + 1);
        free(key);
    }
    json_object_end(json);
    free(sorted);
}

static void write_json_row(struct json *json, const struct option_spec *spec,
                           const struct record *record)
{
    const struct raw_list *list = &record->lists[spec->id];

    json_key(json, spec->key);
    if (spec->kind == VALUE_ENV) {
        write_json_env(json, list);
    } else if (is_array(spec)) {
        json_array_begin(json);
        for (size_t i = 0; i < list->count; i++)
            write_json_value(json, spec, list->values[i].text);
        json_array_end(json);
    } else {
        write_json_value(json, spec, record_text(record, spec->id));
    }
}

static int compare_rows(const void *left, const void *right)
{
    const struct option_spec *a = *(const struct option_spec *const *)left;
    const struct option_spec *b = *(const struct option_spec *const *)right;
    int sections = strcmp(a->section, b->section);

    return sections != 0 ? sections : strcmp(a->key, b->key);
}

bool record_to_json(const struct record *record, struct buffer *out)
{
    const struct option_spec *rows[OPTION_COUNT];
    const char *section = NULL;
    size_t count = 0;
    struct json json;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_written(record, &option_specs[i]))
            rows[count++] = &option_specs[i];
    }
    qsort(rows, count, sizeof(rows[0]), compare_rows);
    json_init(&json, out, 2);
    json_object_begin(&json);
    for (size_t i = 0; i < count; i++) {
        if (section == NULL || strcmp(section, rows[i]->section) != 0) {
            if (section != NULL)
                json_object_end(&json);
            section = rows[i]->section;
            json_key(&json, section);
            json_object_begin(&json);
        }
        write_json_row(&json, rows[i], record);
    }
    if (section != NULL)
        json_object_end(&json);
    json_object_end(&json);
    return !buffer_failed(out);
}

/* ---- Policies -------------------------------------------------------------------------------- */

typedef bool (*record_writer)(const struct record *record, struct buffer *out);

static bool write_policy(const struct policy *policy, struct buffer *out, record_writer writer)
{
    struct record record;

    record_init(&record);
    bool good = policy_to_record(policy, &record) && writer(&record, out);
    record_free(&record);
    return good;
}

bool policy_to_toml(const struct policy *policy, struct buffer *out)
{
    return write_policy(policy, out, record_to_toml);
}

bool policy_to_json(const struct policy *policy, struct buffer *out)
{
    return write_policy(policy, out, record_to_json);
}
