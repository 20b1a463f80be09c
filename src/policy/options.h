/*
 * The one table of options. A row says everything about one setting: how it is spelled on the
 * command line and in a profile, what kind of value it takes, how the command line combines with a
 * profile, whether it works without a supervisor, and how it is explained. The option parser, the
 * profile parser and writer, --help, the man page, the completions, the --no-supervisor check and
 * the `confine()` check are all loops over it, so they cannot disagree. An option whose feature does
 * not exist is not in the table and is therefore refused as unknown.
 */
#ifndef SANDLOCK_POLICY_OPTIONS_H
#define SANDLOCK_POLICY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_id {
#define OPTION(id, ...) OPTION_##id,
#include "policy/options.def"
#undef OPTION
    OPTION_COUNT
};

/* How a value is written. The TOML type follows from it. */
enum value_kind {
    VALUE_FLAG,      /* option without value; TOML boolean */
    VALUE_TEXT,      /* one string */
    VALUE_PATH,      /* one path: variables are expanded in profiles */
    VALUE_UINT,      /* unsigned number, also accepted as TOML integer */
    VALUE_SIZE,      /* SIZE; TOML string or integer */
    VALUE_DURATION,  /* N[ms|s|m|h]; TOML string or integer of seconds */
    VALUE_TEXT_LIST, /* repeatable; TOML array of strings */
    VALUE_PATH_LIST, /* repeatable; TOML array of path strings */
    VALUE_PORT_LIST, /* repeatable PORTS; TOML array mixing integers and strings */
    VALUE_UINT_LIST, /* comma list; TOML array of integers */
    VALUE_ENV,       /* repeatable KEY=VALUE; TOML table string -> string */
};

/* How a command line value meets the value of a profile. */
enum merge_rule {
    MERGE_NONE,    /* command line only */
    MERGE_ADD,     /* appended after the profile's entries */
    MERGE_SET,     /* replaces the profile's value */
    MERGE_OR,      /* can only switch on */
    MERGE_BY_NAME, /* per variable replace */
};

/* What the option is for: decides where it is stored and which calls accept it. */
enum option_scope {
    SCOPE_POLICY,  /* part of the policy object */
    SCOPE_PROGRAM, /* the command itself: exec, args */
    SCOPE_RUN,     /* one run of the command line: name, timeout, status-fd, … */
};

struct option_spec {
    enum option_id id;
    const char *name;    /* long option without "--"; NULL: profile key only */
    char short_name;     /* 0: none */
    const char *metavar; /* NULL for flags */
    const char *section; /* profile section; NULL: no profile key */
    const char *key;     /* profile key */
    enum value_kind kind;
    enum merge_rule merge;
    enum option_scope scope;
    bool unsupervised;   /* works with --no-supervisor */
    bool confine;        /* accepted by confine() */
    const char *group;   /* heading in --help; NULL: an older spelling, shown nowhere */
    const char *help;    /* one line, no full stop; names the default */
    const char *details; /* further sentences for the long help and the man page, or NULL */
};

/* All rows, in the order of enum option_id. */
extern const struct option_spec option_specs[OPTION_COUNT];

static inline bool option_takes_value(const struct option_spec *spec)
{
    return spec->kind != VALUE_FLAG;
}

/* True for kinds that may be given more than once. */
bool option_is_list(const struct option_spec *spec);

/* NULL if there is no such option. `length` bytes of `name` count. */
const struct option_spec *option_find_long(const char *name, size_t length);
const struct option_spec *option_find_short(char name);
const struct option_spec *option_find_key(const char *section, const char *key);

/* True for a setting of other releases whose feature this one does not have. It is refused like every
 * unknown one, but no similar name is suggested, which would mean something else. */
bool option_is_absent(const char *name, size_t length);
bool option_key_is_absent(const char *section, const char *key); /* key NULL: the section itself */
bool option_letter_is_absent(char letter);
/* A key of profiles that had no sections. */
bool option_flat_key_is_absent(const char *key);

/* "--fs-read" or "[filesystem].read" style names for messages; static or interned storage. */
const char *option_display_name(const struct option_spec *spec); /* "--NAME", or the key form */
void option_key_name(const struct option_spec *spec, char *text, size_t size); /* "[s].k" */

#endif
