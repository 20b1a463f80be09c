/*
 * Building, sharing and checking policies: see policy.h. Values arrive as text with their origin
 * and are judged here and in the policy_*.c parts, nowhere else; every refusal names the origin.
 */
#include "policy/policy.h"

#include "policy/grammar.h"
#include "policy/network_reach.h"
#include "policy/policy_parts.h"
#include "policy/quote.h"
#include "util/fd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool policy_out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "building the policy");
}

bool policy_refuse(struct error *err, enum option_id id, const struct raw_value *value,
                   const char *format, ...)
{
    char reason[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    error_config(err, "%s", reason);
    return policy_blame(err, id, value);
}

bool policy_blame(struct error *err, enum option_id id, const struct raw_value *value)
{
    char name[ERROR_TEXT_MAX / 2];

    record_origin_name(id, &value->origin, name, sizeof(name));
    return error_wrap(err, "%s", name);
}

/* ---- Files and network ----------------------------------------------------------------------- */

static bool take_paths(struct strv *paths, const struct record *record, enum option_id id,
                       struct error *err)
{
    const struct raw_list *list = &record->lists[id];

    for (size_t i = 0; i < list->count; i++) {
        if (list->values[i].text[0] == '\0')
            return policy_refuse(err, id, &list->values[i], "the path is empty");
        if (!strv_add(paths, list->values[i].text))
            return policy_out_of_memory(err);
    }
    return true;
}

static bool take_files(struct policy *policy, const struct record *record, struct error *err)
{
    return take_paths(&policy->fs_read, record, OPTION_FS_READ, err) &&
           take_paths(&policy->fs_read_try, record, OPTION_FS_READ_TRY, err) &&
           take_paths(&policy->fs_write, record, OPTION_FS_WRITE, err) &&
           take_paths(&policy->fs_write_try, record, OPTION_FS_WRITE_TRY, err);
}

static const enum option_id placed[] = {OPTION_FS_READ, OPTION_FS_READ_TRY, OPTION_FS_WRITE,
                                        OPTION_FS_WRITE_TRY, OPTION_CWD};

static bool is_placed(const struct raw_value *value)
{
    return value->origin.kind == ORIGIN_PROFILE && value->origin.line > 0;
}

static bool take_places(struct policy *policy, const struct record *record, struct error *err)
{
    const char *file = NULL;
    size_t count = 0;

    for (size_t i = 0; i < sizeof(placed) / sizeof(placed[0]); i++) {
        const struct raw_list *list = &record->lists[placed[i]];
        for (size_t n = 0; n < list->count; n++) {
            if (!is_placed(&list->values[n]))
                continue;
            file = list->values[n].origin.file;
            count++;
        }
    }
    if (count == 0)
        return true;
    policy->places = calloc(count, sizeof(*policy->places));
    policy->profile = file == NULL ? NULL : strdup(file);
    if (policy->places == NULL || (file != NULL && policy->profile == NULL))
        return policy_out_of_memory(err);
    for (size_t i = 0; i < sizeof(placed) / sizeof(placed[0]); i++) {
        const struct raw_list *list = &record->lists[placed[i]];
        for (size_t n = 0; n < list->count; n++) {
            const struct origin *origin = &list->values[n].origin;
            if (is_placed(&list->values[n]))
                policy->places[policy->place_count++] =
                    (struct policy_place){placed[i], (unsigned)n, origin->line, origin->column};
        }
    }
    return true;
}

bool policy_place(const struct policy *policy, enum option_id id, size_t index, char *text,
                  size_t size)
{
    for (size_t i = 0; i < policy->place_count; i++) {
        const struct policy_place *place = &policy->places[i];
        const struct origin origin = {ORIGIN_PROFILE, policy->profile, place->line, place->column};
        if (place->id != id || place->index != index)
            continue;
        record_origin_name(id, &origin, text, size);
        return true;
    }
    return false;
}

static bool take_rules(struct net_rules *rules, const struct record *record, enum option_id id,
                       enum net_rule_side side, struct error *err)
{
    const struct raw_list *list = &record->lists[id];

    for (size_t i = 0; i < list->count; i++) {
        if (!net_rules_parse(rules, list->values[i].text, side, err))
            return policy_blame(err, id, &list->values[i]);
    }
    return net_rules_drop_duplicates(rules) || policy_out_of_memory(err);
}

/* One value alone, so that a bad one is named with its own place. */
static bool check_ports(const struct raw_value *value, enum option_id id, bool allow_any,
                        struct error *err)
{
    const char *text = value->text;
    struct port_range *ranges = NULL;
    size_t range_count = 0;
    bool any = false;

    if (grammar_ports(&text, 1, allow_any, &any, &ranges, &range_count, err)) {
        free(ranges);
        return true;
    }
    /* The reason names the item; "" of "80-" alone would not help. */
    if (err != NULL && strstr(err->text, text) == NULL)
        error_wrap(err, "%s", quote(text).text);
    return policy_blame(err, id, value);
}

static bool take_ports(const struct record *record, enum option_id id, bool *any,
                       struct port_range **ranges, size_t *range_count, struct error *err)
{
    const struct raw_list *list = &record->lists[id];
    bool found_any = false;

    if (list->count == 0)
        return true;
    CLEANUP_FREE const char **texts = calloc(list->count, sizeof(*texts));
    if (texts == NULL)
        return policy_out_of_memory(err);
    for (size_t i = 0; i < list->count; i++) {
        texts[i] = list->values[i].text;
        if (!check_ports(&list->values[i], id, any != NULL, err))
            return false;
    }
    if (!grammar_ports(texts, list->count, any != NULL, &found_any, ranges, range_count, err))
        return policy_blame(err, id, &list->values[list->count - 1]);
    if (any != NULL)
        *any = found_any;
    return true;
}

static bool take_network(struct policy *policy, const struct record *record, struct error *err)
{
    return take_rules(&policy->net_allow, record, OPTION_NET_ALLOW, NET_ALLOW, err) &&
           take_rules(&policy->net_deny, record, OPTION_NET_DENY, NET_DENY, err) &&
           take_ports(record, OPTION_NET_ALLOW_BIND, &policy->bind_any, &policy->bind_ports,
                      &policy->bind_port_count, err) &&
           take_ports(record, OPTION_NET_DENY_BIND, NULL, &policy->deny_bind_ports,
                      &policy->deny_bind_port_count, err);
}

/* Long rules take milliseconds, so once: many ask what they leave. */
static void note_reach(struct policy *policy)
{
    if (policy->net_allow.count > 0 || policy->net_deny.count > 0)
        network_reach_all(&policy->net_allow, &policy->net_deny, policy->reaches);
}

/* ---- Build ----------------------------------------------------------------------------------- */

static void note_given(struct policy *policy, const struct record *record)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_specs[i].scope != SCOPE_POLICY || !record->lists[i].given)
            continue;
        /* An explicit empty list says nothing, except that no GPU list means every GPU. */
        policy->given[i] = record->lists[i].count > 0 || i == OPTION_GPU;
    }
    if (record_given(record, OPTION_LOG_DENIALS))
        policy->given[OPTION_EXPLAIN] = true;
}

static void take_flags(struct policy *policy)
{
    policy->clean_env = policy->given[OPTION_CLEAN_ENV];
    policy->no_coredump = policy->given[OPTION_NO_COREDUMP];
    policy->no_huge_pages = policy->given[OPTION_NO_HUGE_PAGES];
    policy->no_randomize_memory = policy->given[OPTION_NO_RANDOMIZE_MEMORY];
    policy->no_supervisor = policy->given[OPTION_NO_SUPERVISOR];
    policy->explain = policy->given[OPTION_EXPLAIN];
    policy->port_remap = policy->given[OPTION_PORT_REMAP];
}

static bool take_record(struct policy *policy, const struct record *record, struct error *err)
{
    if (record->setter_error != NULL)
        return error_config(err, "%s", record->setter_error);
    note_given(policy, record);
    take_flags(policy);
    if (policy->no_supervisor && !policy_check_unsupervised(record, NULL, err))
        return false;
    return take_files(policy, record, err) && take_places(policy, record, err) &&
           take_network(policy, record, err) && policy_take_process(policy, record, err) &&
           policy_take_syscalls(policy, record, err) && policy_take_hardening(policy, record, err);
}

bool policy_build(const struct record *record, struct policy **policy, struct error *err)
{
    struct policy *built = calloc(1, sizeof(*built));

    *policy = NULL;
    if (built == NULL)
        return policy_out_of_memory(err);
    atomic_init(&built->references, 1);
    if (!take_record(built, record, err)) {
        policy_unref(built);
        return false;
    }
    note_reach(built);
    *policy = built;
    return true;
}

struct policy *policy_ref(struct policy *policy)
{
    atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    return policy;
}

void policy_unref(struct policy *policy)
{
    if (policy == NULL)
        return;
    if (atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) != 1)
        return;
    strv_free(&policy->fs_read);
    strv_free(&policy->fs_read_try);
    strv_free(&policy->fs_write);
    strv_free(&policy->fs_write_try);
    net_rules_free(&policy->net_allow);
    net_rules_free(&policy->net_deny);
    free(policy->bind_ports);
    free(policy->deny_bind_ports);
    strv_free(&policy->extra_deny);
    strv_free(&policy->extra_allow);
    free(policy->denied_numbers);
    free(policy->cwd);
    strv_free(&policy->env);
    free(policy->cpu_cores);
    free(policy->gpu_devices);
    strv_free(&policy->required);
    free(policy->places);
    free(policy->profile);
    free(policy);
}

/* ---- Rules of special modes ------------------------------------------------------------------ */

/* A destination that Landlock can judge alone: it knows TCP ports, of any address. A spec that does not parse
 * is left to those who name its fault. */
static bool kernel_can_judge(const char *spec)
{
    struct net_rules rules = {0};
    bool can = true;

    net_rules_parse(&rules, spec, NET_ALLOW, NULL);
    for (size_t i = 0; i < rules.count; i++)
        can = can && rules.items[i].protocol == NET_TCP && rules.items[i].target == NET_TARGET_ANY;
    net_rules_free(&rules);
    return can;
}

/* Appends the names under which a row was given, once per kind of origin. */
static void name_offender(struct buffer *names, const struct record *record, enum option_id id,
                          const char **profile)
{
    const struct raw_list *list = &record->lists[id];
    bool named[ORIGIN_SETTER + 1] = {false};

    for (size_t i = 0; i < list->count; i++) {
        const struct origin *origin = &list->values[i].origin;
        char name[64];
        if (id == OPTION_NET_ALLOW && kernel_can_judge(list->values[i].text))
            continue;
        if (origin->kind == ORIGIN_PROFILE && *profile == NULL)
            *profile = origin->file;
        if (named[origin->kind])
            continue;
        named[origin->kind] = true;
        record_field_name(id, origin->kind, name, sizeof(name));
        buffer_printf(names, "%s%s", names->length > 0 ? ", " : "", name);
    }
}

/* The first of the destinations that the kernel cannot judge, NULL if there is none. */
static const char *first_beyond_kernel(const struct raw_list *specs)
{
    for (size_t i = 0; i < specs->count; i++) {
        if (!kernel_can_judge(specs->values[i].text))
            return specs->values[i].text;
    }
    return NULL;
}

bool policy_check_unsupervised(const struct record *record, const char *source, struct error *err)
{
    CLEANUP_BUFFER struct buffer names = BUFFER_INIT;
    const char *file = NULL;
    const char *beyond = first_beyond_kernel(&record->lists[OPTION_NET_ALLOW]);
    char hint[ERROR_TEXT_MAX / 2] = "";

    if (beyond != NULL)
        snprintf(hint, sizeof(hint),
                 "; without a supervisor --net-allow takes only tcp://*:PORTS (the kernel knows "
                 "ports, not addresses): not %s",
                 quote(beyond).text);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((i == OPTION_NET_ALLOW && beyond != NULL) || !option_specs[i].unsupervised)
            name_offender(&names, record, option_specs[i].id, &file);
    }
    if (buffer_failed(&names))
        return policy_out_of_memory(err);
    if (names.length == 0)
        return true;
    if (file == NULL)
        return error_config(err,
                            "--no-supervisor is incompatible with: %s; leave one of them out%s",
                            buffer_text(&names), hint);
    return error_config(
        err, "--no-supervisor is incompatible with: %s (profile %s); leave one of them out%s",
        buffer_text(&names), quote(source != NULL ? source : file).text, hint);
}

bool policy_check_confine(const struct policy *policy, struct error *err)
{
    CLEANUP_BUFFER struct buffer names = BUFFER_INIT;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char name[64];
        if (!policy->given[i] || option_specs[i].confine)
            continue;
        record_field_name(option_specs[i].id, ORIGIN_SETTER, name, sizeof(name));
        buffer_printf(&names, "%s%s", names.length > 0 ? ", " : "", name);
    }
    if (buffer_failed(&names))
        return policy_out_of_memory(err);
    if (names.length == 0)
        return true;
    return error_config(err,
                        "confine accepts file grants and protections only; not accepted here: %s",
                        buffer_text(&names));
}
