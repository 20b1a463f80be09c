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

/* By option, and by profile key where there is one. */
static const struct {
    const char *name;
    const char *section;
    const char *key;
} absent_settings[] = {
    {"fs-deny", "filesystem", "deny"},
    {"fs-deny-glob", "filesystem", "deny_glob"},
    {"fs-protect", "filesystem", "protect"},
    {"fs-hide", "filesystem", "hide"},
    {"fs-mount", "filesystem", "mount"},
    {"chroot", "filesystem", "chroot"},
    {"on-exit", "filesystem", "on_exit"},
    {"on-error", "filesystem", "on_error"},
    {"workdir", "config", "workdir"},
    {"fs-storage", "config", "fs_storage"},
    {"fs-isolation", NULL, NULL},
    {"dry-run", NULL, NULL},
    {"image", NULL, NULL},
    {"joinable", NULL, NULL},
    {"http-allow", "http", "allow"},
    {"http-deny", "http", "deny"},
    {"http-port", "http", "ports"},
    {"http-ca", "config", "http_ca"},
    {"http-key", "config", "http_key"},
    {"http-ca-out", "config", "http_ca_out"},
    {"http-inject-ca", "config", "http_inject_ca"},
    {"https-ca", NULL, NULL},
    {"https-key", NULL, NULL},
    {"http-auth", NULL, NULL},
    {"credential", NULL, NULL},
    {"max-memory", "limits", "memory"},
    {"max-disk", "limits", "disk"},
    {"cpu", "limits", "cpu"},
    {"max-cpu", NULL, NULL},
    {"num-cpus", "limits", "num_cpus"},
    {"random-seed", "determinism", "random_seed"},
    {"time-start", "determinism", "time_start"},
    {"deterministic-dirs", "determinism", "deterministic_dirs"},
};
#define ABSENT_COUNT (sizeof(absent_settings) / sizeof(absent_settings[0]))

bool option_is_absent(const char *name, size_t length)
{
    for (size_t i = 0; i < ABSENT_COUNT; i++) {
        if (strlen(absent_settings[i].name) == length &&
            memcmp(absent_settings[i].name, name, length) == 0)
            return true;
    }
    return false;
}

bool option_key_is_absent(const char *section, const char *key)
{
    for (size_t i = 0; i < ABSENT_COUNT; i++) {
        if (absent_settings[i].key != NULL && strcmp(absent_settings[i].section, section) == 0 &&
            (key == NULL || strcmp(absent_settings[i].key, key) == 0))
            return true;
    }
    return false;
}

bool option_letter_is_absent(char letter)
{
    return letter == 'm' || letter == 'c'; /* --max-memory, --cpu */
}

/* "max_memory" of "max-memory". */
static bool is_underscored(const char *key, const char *name)
{
    for (; *key != '\0' && *name != '\0'; key++, name++) {
        if (*key != (*name == '-' ? '_' : *name))
            return false;
    }
    return *key == *name;
}

bool option_flat_key_is_absent(const char *key)
{
    static const char *const spelled_otherwise[] = {"fs_denied", "http_ports"};

    for (size_t i = 0; i < ABSENT_COUNT; i++) {
        if (is_underscored(key, absent_settings[i].name))
            return true;
    }
    for (size_t i = 0; i < sizeof(spelled_otherwise) / sizeof(spelled_otherwise[0]); i++) {
        if (strcmp(spelled_otherwise[i], key) == 0)
            return true;
    }
    return false;
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
