/* The unvalidated record: see record.h. */
#include "policy/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void record_init(struct record *record)
{
    memset(record, 0, sizeof(*record));
}

static void list_clear(struct raw_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->values[i].text);
    list->count = 0;
    list->given = false;
}

static void list_free(struct raw_list *list)
{
    list_clear(list);
    free(list->values);
    *list = (struct raw_list){0};
}

void record_free(struct record *record)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        list_free(&record->lists[i]);
    free(record->setter_error);
    record->setter_error = NULL;
}

static bool list_reserve(struct raw_list *list, size_t more)
{
    if (list->count + more <= list->capacity)
        return true;
    size_t capacity = list->capacity == 0 ? 4 : list->capacity;
    while (capacity < list->count + more)
        capacity *= 2;
    struct raw_value *larger = reallocarray(list->values, capacity, sizeof(*larger));
    if (larger == NULL)
        return false;
    list->values = larger;
    list->capacity = capacity;
    return true;
}

bool record_add(struct record *record, enum option_id id, const char *text,
                const struct origin *origin)
{
    struct raw_list *list = &record->lists[id];
    char *copy = strdup(text);

    if (copy == NULL || !list_reserve(list, 1)) {
        free(copy);
        return false;
    }
    list->values[list->count++] = (struct raw_value){.text = copy, .origin = *origin};
    list->given = true;
    return true;
}

bool record_set(struct record *record, enum option_id id, const char *text,
                const struct origin *origin)
{
    /* Copied first: `text` may be the value that is dropped here. */
    char *copy = strdup(text);

    if (copy == NULL)
        return false;
    list_clear(&record->lists[id]);
    bool added = record_add(record, id, copy, origin);
    free(copy);
    return added;
}

void record_set_empty(struct record *record, enum option_id id)
{
    list_clear(&record->lists[id]);
    record->lists[id].given = true;
}

void record_clear(struct record *record, enum option_id id)
{
    list_clear(&record->lists[id]);
}

void record_remove(struct record *record, enum option_id id, const char *text)
{
    struct raw_list *list = &record->lists[id];
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->values[i].text, text) == 0)
            free(list->values[i].text);
        else
            list->values[kept++] = list->values[i];
    }
    list->count = kept;
    list->given = kept > 0;
}

const char *record_text(const struct record *record, enum option_id id)
{
    const struct raw_list *list = &record->lists[id];

    return list->count == 0 ? NULL : list->values[list->count - 1].text;
}

static void move_list(struct raw_list *to, struct raw_list *from)
{
    list_free(to);
    *to = *from;
    *from = (struct raw_list){0};
}

static bool append_list(struct raw_list *to, struct raw_list *from)
{
    if (!list_reserve(to, from->count))
        return false;
    for (size_t i = 0; i < from->count; i++)
        to->values[to->count++] = from->values[i];
    to->given = true;
    from->count = 0; /* the texts have moved */
    list_free(from);
    return true;
}

bool record_overlay(struct record *base, struct record *over)
{
    /* --user and --uid replace the profile's pair as a whole: half of it would be another user. */
    if (record_given(over, OPTION_USER) || record_given(over, OPTION_UID)) {
        list_clear(&base->lists[OPTION_USER]);
        list_clear(&base->lists[OPTION_UID]);
        list_clear(&base->lists[OPTION_GID]);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct raw_list *from = &over->lists[i];
        if (!from->given)
            continue;
        switch (option_specs[i].merge) {
        case MERGE_ADD:
        case MERGE_BY_NAME: /* the last value of a name wins when the policy is built */
            if (!append_list(&base->lists[i], from))
                return false;
            break;
        case MERGE_NONE:
        case MERGE_SET:
        case MERGE_OR: /* a flag is only ever recorded as on */
            move_list(&base->lists[i], from);
            break;
        }
    }
    if (base->setter_error == NULL) {
        base->setter_error = over->setter_error;
        over->setter_error = NULL;
    }
    record_free(over);
    return true;
}

/* Builder functions whose name is not simply the option's with underscores. */
static const char *setter_name(enum option_id id)
{
    switch (id) {
    case OPTION_EXTRA_DENY:
        return "extra_deny_syscalls";
    case OPTION_EXTRA_ALLOW:
        return "extra_allow_syscalls";
    case OPTION_GPU:
        return "gpu_devices";
    case OPTION_ENV:
        return "env_var";
    default:
        return option_specs[id].name != NULL ? option_specs[id].name : option_specs[id].key;
    }
}

void record_field_name(enum option_id id, enum origin_kind kind, char *text, size_t size)
{
    const struct option_spec *spec = &option_specs[id];

    switch (kind) {
    case ORIGIN_OPTION:
        snprintf(text, size, "%s", option_display_name(spec));
        return;
    case ORIGIN_PROFILE:
        option_key_name(spec, text, size);
        return;
    case ORIGIN_SETTER:
        snprintf(text, size, "%s", setter_name(id));
        for (char *c = text; size > 0 && *c != '\0'; c++) {
            if (*c == '-')
                *c = '_';
        }
        return;
    }
}

void record_origin_name(enum option_id id, const struct origin *origin, char *text, size_t size)
{
    char name[64];

    record_field_name(id, origin->kind, name, sizeof(name));
    /* Rules are known by their option, whatever language they are given in. */
    if (origin->kind == ORIGIN_SETTER && (id == OPTION_NET_ALLOW || id == OPTION_NET_DENY)) {
        snprintf(text, size, "%s (%s)", name, option_display_name(&option_specs[id]));
        return;
    }
    if (origin->kind != ORIGIN_PROFILE || origin->line == 0)
        snprintf(text, size, "%s", name);
    else if (origin->file == NULL)
        snprintf(text, size, "%u:%u: %s", origin->line, origin->column, name);
    else
        snprintf(text, size, "%s:%u:%u: %s", origin->file, origin->line, origin->column, name);
}

bool record_blame(const struct record *record, enum option_id id, struct error *err)
{
    const struct raw_list *list = &record->lists[id];
    char name[ERROR_TEXT_MAX / 2];

    record_origin_name(id, &list->values[list->count - 1].origin, name, sizeof(name));
    return error_wrap(err, "%s", name);
}
