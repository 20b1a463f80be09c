/* The option table and its look-ups: see options.h. */
#include "policy/options.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

const struct option_spec option_specs[OPTION_COUNT] = {
#define OPTION(id, ...) [OPTION_##id] = {OPTION_##id, __VA_ARGS__},
#include "policy/options.def"
#undef OPTION
};

#define NAME_TEXT_MAX 48

/* "--NAME" of every row, built once: the table itself holds the bare names only. */
static char display_names[OPTION_COUNT][NAME_TEXT_MAX];
static pthread_once_t display_names_once = PTHREAD_ONCE_INIT;

static void build_display_names(void)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (spec->name != NULL)
            snprintf(display_names[i], sizeof(display_names[i]), "--%s", spec->name);
        else
            option_key_name(spec, display_names[i], sizeof(display_names[i]));
    }
}

bool option_is_list(const struct option_spec *spec)
{
    switch (spec->kind) {
    case VALUE_TEXT_LIST:
    case VALUE_PATH_LIST:
    case VALUE_PORT_LIST:
    case VALUE_ENV:
        return true;
    case VALUE_UINT_LIST:
        /* "all" and a list exclude each other, so --gpu takes its whole list at once. */
        return spec->id != OPTION_GPU;
    default:
        return false;
    }
}

const struct option_spec *option_find_long(const char *name, size_t length)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *candidate = option_specs[i].name;
        if (candidate != NULL && strlen(candidate) == length &&
            memcmp(candidate, name, length) == 0)
            return &option_specs[i];
    }
    return NULL;
}

const struct option_spec *option_find_short(char name)
{
    for (size_t i = 0; name != 0 && i < OPTION_COUNT; i++) {
        if (option_specs[i].short_name == name)
            return &option_specs[i];
    }
    return NULL;
}

const struct option_spec *option_find_key(const char *section, const char *key)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (spec->section != NULL && strcmp(spec->section, section) == 0 &&
            strcmp(spec->key, key) == 0)
            return spec;
    }
    return NULL;
}

const char *option_display_name(const struct option_spec *spec)
{
    pthread_once(&display_names_once, build_display_names);
    return display_names[spec->id];
}

void option_key_name(const struct option_spec *spec, char *text, size_t size)
{
    if (spec->section != NULL)
        snprintf(text, size, "[%s].%s", spec->section, spec->key);
    else
        snprintf(text, size, "--%s", spec->name != NULL ? spec->name : "");
}
