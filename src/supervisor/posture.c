/* The posture record: see posture.h. */
#include "supervisor/posture.h"

#include "util/buffer.h"
#include "util/json.h"
#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static const char *const state_names[] = {
    [POSTURE_ACTIVE] = "active", [POSTURE_DEGRADED] = "degraded", [POSTURE_DISABLED] = "disabled",
    [POSTURE_OFF] = "off",       [POSTURE_ABSENT] = "absent",
};

void posture_free(struct posture *posture)
{
    for (size_t i = 0; i < posture->count; i++)
        free(posture->entries[i].why);
    free(posture->entries);
    strv_free(&posture->exceptions);
    strv_free(&posture->methods);
    *posture = POSTURE_INIT;
}

static struct posture_entry *find(const struct posture *posture, const char *name)
{
    for (size_t i = 0; i < posture->count; i++)
        if (strcmp(posture->entries[i].name, name) == 0)
            return &posture->entries[i];
    return NULL;
}

const struct posture_entry *posture_find(const struct posture *posture, const char *name)
{
    return find(posture, name);
}

static struct posture_entry *find_or_append(struct posture *posture, const char *name)
{
    struct posture_entry *entry = find(posture, name);

    if (entry != NULL)
        return entry;
    if (posture->count == posture->capacity) {
        size_t capacity = posture->capacity == 0 ? 32 : posture->capacity * 2;
        struct posture_entry *entries = realloc(posture->entries, capacity * sizeof(*entries));
        if (entries == NULL)
            return NULL;
        posture->entries = entries;
        posture->capacity = capacity;
    }
    entry = &posture->entries[posture->count++];
    *entry = (struct posture_entry){.name = name};
    return entry;
}

void posture_set(struct posture *posture, const char *name, enum posture_state state,
                 const char *by, const char *why)
{
    struct posture_entry *entry = find_or_append(posture, name);

    if (entry == NULL) {
        posture->failed = true;
        return;
    }
    char *copy = NULL;
    if (why != NULL) {
        copy = strdup(why);
        posture->failed |= copy == NULL;
    }
    free(entry->why);
    entry->state = state;
    entry->by = state == POSTURE_ACTIVE ? by : NULL;
    entry->why = copy;
}

void posture_exception(struct posture *posture, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        posture->failed = true;
        return;
    }
    if (strv_contains(&posture->exceptions, text)) {
        free(text);
        return;
    }
    if (!strv_take(&posture->exceptions, text))
        posture->failed = true;
}

void posture_method(struct posture *posture, const char *need, const char *method)
{
    char *pair = NULL;
    ptrdiff_t index = strv_find_key(&posture->methods, need, strlen(need));

    if (asprintf(&pair, "%s=%s", need, method) < 0) {
        posture->failed = true;
        return;
    }
    if (index >= 0)
        strv_replace(&posture->methods, (size_t)index, pair);
    else if (!strv_take(&posture->methods, pair))
        posture->failed = true;
}

static bool unknown_entry(const struct posture *posture, const char *name, struct error *err)
{
    CLEANUP_BUFFER struct buffer known = BUFFER_INIT;
    const char *names[64];
    size_t count = 0;

    for (size_t i = 0; i < posture->count && count < 63; i++) {
        names[count++] = posture->entries[i].name;
        buffer_printf(&known, "%s%s", i > 0 ? ", " : "", posture->entries[i].name);
    }
    names[count] = NULL;
    const char *meant = text_closest(name, names);
    return error_config(err, "--require: no posture entry is called \"%s\"%s%s%s (known: %s)", name,
                        meant != NULL ? "; did you mean \"" : "", meant != NULL ? meant : "",
                        meant != NULL ? "\"?" : "", buffer_text(&known));
}

bool posture_check_required(const struct posture *posture, const struct strv *required,
                            struct error *err)
{
    for (size_t i = 0; i < required->count; i++) {
        const char *name = required->items[i];
        const struct posture_entry *entry = posture_find(posture, name);
        if (entry == NULL)
            return unknown_entry(posture, name, err);
        if (entry->state != POSTURE_ACTIVE)
            return error_runtime(err, 0, "required protection \"%s\" is %s%s%s", name,
                                 state_names[entry->state], entry->why == NULL ? "" : ": ",
                                 entry->why == NULL ? "" : entry->why);
    }
    return true;
}

static void write_entries(struct json *json, const struct posture *posture)
{
    json_key(json, "entries");
    json_array_begin(json);
    for (size_t i = 0; i < posture->count; i++) {
        const struct posture_entry *entry = &posture->entries[i];
        json_object_begin(json);
        json_string_member(json, "name", entry->name);
        json_string_member(json, "state", state_names[entry->state]);
        json_string_member(json, "by", entry->by);
        json_string_member(json, "why", entry->why);
        json_object_end(json);
    }
    json_array_end(json);
}

static void write_methods(struct json *json, const struct posture *posture)
{
    json_key(json, "methods");
    json_object_begin(json);
    for (size_t i = 0; i < posture->methods.count; i++) {
        const char *pair = posture->methods.items[i];
        const char *equals = strchr(pair, '=');
        char need[64];
        snprintf(need, sizeof(need), "%.*s", (int)(equals - pair), pair);
        json_string_member(json, need, equals + 1);
    }
    json_object_end(json);
}

bool posture_to_json(const struct posture *posture, const char *sandbox, const char *mode,
                     struct buffer *out)
{
    const struct landlock_support *support = landlock_support_get();
    struct utsname system;
    struct json json;

    json_init(&json, out, 0);
    json_object_begin(&json);
    json_int_member(&json, "v", 1);
    json_string_member(&json, "sandbox", sandbox);
    json_string_member(&json, "kernel", uname(&system) == 0 ? system.release : NULL);
    json_key(&json, "landlock");
    json_object_begin(&json);
    json_int_member(&json, "abi", support->abi);
    json_int_member(&json, "errata", support->errata);
    json_object_end(&json);
    json_string_member(&json, "mode", mode);
    write_entries(&json, posture);
    write_methods(&json, posture);
    json_key(&json, "exceptions");
    json_array_begin(&json);
    for (size_t i = 0; i < posture->exceptions.count; i++)
        json_string(&json, posture->exceptions.items[i]);
    json_array_end(&json);
    json_object_end(&json);
    return !posture->failed && !buffer_failed(out);
}
