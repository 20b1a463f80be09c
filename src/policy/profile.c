/*
 * Profile text to record: see profile.h. The TOML tree is walked along the option table, so a key
 * is accepted exactly if a row has it; everything else is an "unknown field" with its place and the
 * names that would have been right.
 */
#include "policy/profile.h"

#include "policy/grammar.h"
#include "policy/profile_path.h"
#include "policy/quote.h"
#include "policy/toml.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct reader {
    const char *source; /* NULL: text that is no file */
    struct record *record;
    struct profile_expander expander;
    struct error *err;
};

/* ---- Messages -------------------------------------------------------------------------------- */

/* "FILE:LINE:COLUMN: MESSAGE". Returns false. */
static bool refuse_at(const struct reader *reader, unsigned line, unsigned column,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

static bool refuse_at(const struct reader *reader, unsigned line, unsigned column,
                      const char *format, ...)
{
    char reason[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    if (reader->source == NULL)
        return error_config(reader->err, "%u:%u: %s", line, column, reason);
    return error_config(reader->err, "%s:%u:%u: %s", reader->source, line, column, reason);
}

static bool out_of_memory(const struct reader *reader)
{
    return error_runtime(reader->err, ENOMEM, "reading the profile");
}

static bool refuse_type(const struct reader *reader, const struct option_spec *spec,
                        const struct toml_value *found, const char *expected)
{
    return refuse_at(reader, found->line, found->column, "[%s].%s: expected %s, found %s",
                     spec->section, spec->key, expected, toml_type_name(found->type));
}

/* ---- Unknown fields -------------------------------------------------------------------------- */

static bool section_exists(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_specs[i].section != NULL && strcmp(option_specs[i].section, name) == 0)
            return true;
    }
    return false;
}

/* Sections, or the keys of one section, each once. NULL-terminated. */
static void collect_names(const char *section, const char *names[OPTION_COUNT + 1])
{
    size_t count = 0;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (spec->section == NULL || (section != NULL && strcmp(spec->section, section) != 0))
            continue;
        const char *name = section == NULL ? spec->section : spec->key;
        bool known = false;
        for (size_t n = 0; n < count; n++)
            known = known || strcmp(names[n], name) == 0;
        if (!known)
            names[count++] = name;
    }
    names[count] = NULL;
}

/* Flat keys of sandlock 0.7 whose meaning lives elsewhere today. */
static const struct {
    const char *former;
    enum option_id now;
} former_keys[] = {
    {"fs_readable", OPTION_FS_READ},           {"fs_writable", OPTION_FS_WRITE},
    {"net_bind", OPTION_NET_ALLOW_BIND},       {"max_processes", OPTION_MAX_PROCESSES},
    {"max_open_files", OPTION_MAX_OPEN_FILES}, {"deny_syscalls", OPTION_EXTRA_DENY},
    {"net_allow_hosts", OPTION_NET_ALLOW},     {"net_connect", OPTION_NET_ALLOW},
};

static bool is_opposite(const char *name, const char *candidate)
{
    return strncmp(candidate, "no_", 3) == 0 && strncmp(name, "no", 2) != 0;
}

/* The one key of a section that ends in this word, or NULL: in [syscalls] "deny" is meant to be extra_deny, not
 * [network].deny. None that means the opposite. */
static const char *longer_key(const char *section, const char *word)
{
    const char *found = NULL;
    size_t length = strlen(word);

    for (size_t i = 0; section != NULL && i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        size_t key_length = spec->section == NULL ? 0 : strlen(spec->key);
        if (key_length <= length + 1 || strcmp(spec->section, section) != 0 ||
            is_opposite(word, spec->key) || spec->key[key_length - length - 1] != '_' ||
            strcmp(spec->key + key_length - length, word) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = spec->key;
    }
    return found;
}

/* "net_allow" for --net-allow. */
static bool is_name_of_option(const struct option_spec *spec, const char *name)
{
    size_t i = 0;

    if (spec->name == NULL)
        return false;
    while (name[i] != '\0' && (spec->name[i] == '-' ? '_' : spec->name[i]) == name[i])
        i++;
    return name[i] == '\0' && spec->name[i] == '\0';
}

/* Where a name that stands in the wrong place belongs, or "" . */
static void describe_right_place(const char *name, char *text, size_t size)
{
    const struct option_spec *spec = NULL;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(former_keys) / sizeof(former_keys[0]); i++) {
        if (strcmp(former_keys[i].former, name) == 0)
            spec = &option_specs[former_keys[i].now];
    }
    for (size_t i = 0; spec == NULL && i < OPTION_COUNT; i++) {
        if (option_specs[i].key != NULL && strcmp(option_specs[i].key, name) == 0)
            spec = &option_specs[i];
    }
    for (size_t i = 0; spec == NULL && i < OPTION_COUNT; i++) {
        if (option_specs[i].key != NULL && is_name_of_option(&option_specs[i], name))
            spec = &option_specs[i];
    }
    if (spec != NULL)
        snprintf(text, size, "; it is written [%s].%s%s", spec->section, spec->key,
                 strcmp(name, "net_connect") == 0 ? " = [\"tcp://*:PORT\"]" : "");
    else if (strcmp(name, "user") == 0)
        snprintf(text, size, "; it is written [program].uid and [program].gid");
    else if (strcmp(name, "name") == 0)
        snprintf(text, size, "; it is given with %s",
                 option_display_name(&option_specs[OPTION_NAME]));
    else if (strcmp(name, "no_raw_sockets") == 0)
        snprintf(text, size, "; there are never raw sockets");
    else if (strcmp(name, "no_udp") == 0)
        snprintf(text, size, "; without rules in [network] there is no UDP");
    else if (strcmp(name, "sandbox") == 0)
        snprintf(text, size, "; its keys are spread over the sections");
}

static bool refuse_unknown(const struct reader *reader, const struct toml_member *member,
                           const char *section)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    const char *names[OPTION_COUNT + 1];
    char place[96];

    collect_names(section, names);
    buffer_printf(&text, "unknown field %s", quote_bytes(member->key, member->key_length).text);
    if (section != NULL)
        buffer_printf(&text, " in [%s]", section);
    const char *meant = longer_key(section, member->key);
    if ((section != NULL ? option_key_is_absent(section, member->key)
                         : option_key_is_absent(member->key, NULL)) ||
        option_flat_key_is_absent(member->key)) {
        buffer_append_text(&text, "; this release has no such feature");
        meant = NULL;
    } else if (meant == NULL) {
        describe_right_place(member->key, place, sizeof(place));
        buffer_append_text(&text, place);
        meant = place[0] != '\0' ? NULL : text_closest(member->key, names);
        if (meant != NULL && is_opposite(member->key, meant))
            meant = NULL;
    }
    if (meant != NULL)
        buffer_printf(&text, "; did you mean '%s'?", meant);
    buffer_printf(&text, " (valid %s: ", section == NULL ? "sections" : "keys");
    for (size_t i = 0; names[i] != NULL; i++)
        buffer_printf(&text, "%s%s", i == 0 ? "" : ", ", names[i]);
    buffer_append_char(&text, ')');
    return refuse_at(reader, member->line, member->column, "%s", buffer_text(&text));
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool store(const struct reader *reader, const struct option_spec *spec,
                  const struct toml_value *value, const char *text)
{
    struct origin origin = {
        .kind = ORIGIN_PROFILE,
        .file = reader->source,
        .line = value->line,
        .column = value->column,
    };

    return record_add(reader->record, spec->id, text, &origin) || out_of_memory(reader);
}

static bool check_no_nul(const struct reader *reader, const struct option_spec *spec,
                         const struct toml_value *value, const char *text, size_t length)
{
    if (memchr(text, '\0', length) == NULL)
        return true;
    return refuse_at(reader, value->line, value->column,
                     "[%s].%s: must not contain a NUL character, got %s", spec->section, spec->key,
                     quote_bytes(text, length).text);
}

static bool read_text(const struct reader *reader, const struct option_spec *spec,
                      const struct toml_value *value)
{
    return check_no_nul(reader, spec, value, value->string.data, value->string.length) &&
           store(reader, spec, value, value->string.data);
}

static bool read_path(struct reader *reader, const struct option_spec *spec,
                      const struct toml_value *value)
{
    if (!check_no_nul(reader, spec, value, value->string.data, value->string.length))
        return false;

    struct error reason = {0};
    CLEANUP_FREE char *path = profile_expand(&reader->expander, value->string.data, &reason);
    if (path == NULL && reason.kind == ERROR_CONFIG)
        return refuse_at(reader, value->line, value->column, "[%s].%s: %s: %s", spec->section,
                         spec->key, quote(value->string.data).text, reason.text);
    if (path == NULL)
        return out_of_memory(reader);
    return store(reader, spec, value, path);
}

static bool read_integer(const struct reader *reader, const struct option_spec *spec,
                         const struct toml_value *value, int64_t maximum)
{
    char text[24];

    if (value->integer < 0 || value->integer > maximum)
        return refuse_at(reader, value->line, value->column,
                         "[%s].%s: %" PRId64 " is out of range: expected an integer from 0 to "
                         "%" PRId64,
                         spec->section, spec->key, value->integer, maximum);
    snprintf(text, sizeof(text), "%" PRId64, value->integer);
    return store(reader, spec, value, text);
}

/* How long a run may take is no part of the policy, so that building it would not notice. */
static bool check_duration(const struct reader *reader, const struct option_spec *spec,
                           const struct toml_value *value)
{
    uint64_t milliseconds;
    struct error reason = {0};

    if (grammar_duration(record_text(reader->record, spec->id), spec->id == OPTION_KILL_AFTER,
                         &milliseconds, &reason))
        return true;
    return refuse_at(reader, value->line, value->column, "[%s].%s: %s", spec->section, spec->key,
                     reason.text);
}

static bool read_env_entry(const struct reader *reader, const struct option_spec *spec,
                           const struct toml_member *member)
{
    const struct toml_value *value = member->value;

    if (value->type != TOML_STRING)
        return refuse_at(reader, value->line, value->column,
                         "[%s].%s: %s: expected string, found %s", spec->section, spec->key,
                         quote_bytes(member->key, member->key_length).text,
                         toml_type_name(value->type));
    /* A '=' in the key would move the border between name and value. */
    if (member->key_length == 0 || memchr(member->key, '=', member->key_length) != NULL ||
        memchr(member->key, '\0', member->key_length) != NULL)
        return refuse_at(reader, member->line, member->column,
                         "[%s].%s: %s is no variable name: it must not be empty or contain '=' "
                         "or NUL",
                         spec->section, spec->key,
                         quote_bytes(member->key, member->key_length).text);
    if (!check_no_nul(reader, spec, value, value->string.data, value->string.length))
        return false;

    CLEANUP_BUFFER struct buffer entry = BUFFER_INIT;
    buffer_printf(&entry, "%s=%s", member->key, value->string.data);
    if (buffer_failed(&entry))
        return out_of_memory(reader);
    return store(reader, spec, value, buffer_text(&entry));
}

static bool read_env(const struct reader *reader, const struct option_spec *spec,
                     const struct toml_value *value)
{
    if (value->type != TOML_TABLE)
        return refuse_type(reader, spec, value, "table of strings");
    for (size_t i = 0; i < value->table.count; i++) {
        if (!read_env_entry(reader, spec, &value->table.members[i]))
            return false;
    }
    return true;
}

/* One element of an array key. */
static bool read_element(struct reader *reader, const struct option_spec *spec,
                         const struct toml_value *item)
{
    switch (spec->kind) {
    case VALUE_TEXT_LIST:
        return item->type == TOML_STRING ? read_text(reader, spec, item)
                                         : refuse_type(reader, spec, item, "string");
    case VALUE_PATH_LIST:
        return item->type == TOML_STRING ? read_path(reader, spec, item)
                                         : refuse_type(reader, spec, item, "string");
    case VALUE_PORT_LIST:
        if (item->type == TOML_STRING)
            return read_text(reader, spec, item);
        return item->type == TOML_INTEGER ? read_integer(reader, spec, item, UINT16_MAX)
                                          : refuse_type(reader, spec, item, "integer or string");
    default:
        return item->type == TOML_INTEGER ? read_integer(reader, spec, item, UINT32_MAX)
                                          : refuse_type(reader, spec, item, "integer");
    }
}

static const char *array_description(enum value_kind kind)
{
    switch (kind) {
    case VALUE_PORT_LIST:
        return "array of integers and strings";
    case VALUE_UINT_LIST:
        return "array of integers";
    default:
        return "array of strings";
    }
}

static bool read_array(struct reader *reader, const struct option_spec *spec,
                       const struct toml_value *value)
{
    if (value->type != TOML_ARRAY)
        return refuse_type(reader, spec, value, array_description(spec->kind));
    record_set_empty(reader->record, spec->id); /* given, also when no element follows */
    for (size_t i = 0; i < value->array.count; i++) {
        if (!read_element(reader, spec, value->array.items[i]))
            return false;
    }
    return true;
}

static bool read_flag(const struct reader *reader, const struct option_spec *spec,
                      const struct toml_value *value)
{
    if (value->type != TOML_BOOLEAN)
        return refuse_type(reader, spec, value, "boolean");
    return !value->boolean || store(reader, spec, value, "true");
}

static bool read_value(struct reader *reader, const struct option_spec *spec,
                       const struct toml_value *value)
{
    switch (spec->kind) {
    case VALUE_FLAG:
        return read_flag(reader, spec, value);
    case VALUE_TEXT:
        return value->type == TOML_STRING ? read_text(reader, spec, value)
                                          : refuse_type(reader, spec, value, "string");
    case VALUE_PATH:
        return value->type == TOML_STRING ? read_path(reader, spec, value)
                                          : refuse_type(reader, spec, value, "string");
    case VALUE_UINT:
        return value->type == TOML_INTEGER ? read_integer(reader, spec, value, UINT32_MAX)
                                           : refuse_type(reader, spec, value, "integer");
    case VALUE_SIZE:
    case VALUE_DURATION:
        if (value->type != TOML_STRING && value->type != TOML_INTEGER)
            return refuse_type(reader, spec, value, "string or integer");
        if (!(value->type == TOML_STRING ? read_text(reader, spec, value)
                                         : read_integer(reader, spec, value, INT64_MAX)))
            return false;
        return spec->kind == VALUE_SIZE || check_duration(reader, spec, value);
    case VALUE_ENV:
        return read_env(reader, spec, value);
    case VALUE_TEXT_LIST:
    case VALUE_PATH_LIST:
    case VALUE_PORT_LIST:
    case VALUE_UINT_LIST:
        return read_array(reader, spec, value);
    }
    return false;
}

/* ---- The document ---------------------------------------------------------------------------- */

/* NULs in a key would end it early in every comparison below. */
static bool is_plain_key(const struct toml_member *member)
{
    return strlen(member->key) == member->key_length;
}

static bool read_section(struct reader *reader, const struct toml_member *section)
{
    if (section->value->type != TOML_TABLE)
        return refuse_at(reader, section->value->line, section->value->column,
                         "[%s]: expected table, found %s", section->key,
                         toml_type_name(section->value->type));
    for (size_t i = 0; i < section->value->table.count; i++) {
        const struct toml_member *member = &section->value->table.members[i];
        const struct option_spec *spec =
            is_plain_key(member) ? option_find_key(section->key, member->key) : NULL;
        if (spec == NULL)
            return refuse_unknown(reader, member, section->key);
        if (!read_value(reader, spec, member->value))
            return false;
    }
    return true;
}

/* Half a user would be another user; found here so that loading the profile alone tells. */
static bool check_user(const struct reader *reader)
{
    bool has_uid = record_given(reader->record, OPTION_UID);

    if (has_uid == record_given(reader->record, OPTION_GID))
        return true;
    enum option_id given = has_uid ? OPTION_UID : OPTION_GID;
    const struct origin *origin = &reader->record->lists[given].values[0].origin;
    return refuse_at(reader, origin->line, origin->column,
                     "[program].uid and [program].gid are given together or not at all; only %s "
                     "is there",
                     option_specs[given].key);
}

/* A section that only other releases have wants nothing that is missing here as long as it is empty. */
static bool asks_for_nothing(const struct toml_member *member)
{
    return is_plain_key(member) && option_key_is_absent(member->key, NULL) &&
           member->value->type == TOML_TABLE && member->value->table.count == 0;
}

static bool read_document(struct reader *reader, const struct toml_value *root)
{
    for (size_t i = 0; i < root->table.count; i++) {
        const struct toml_member *member = &root->table.members[i];
        if (!section_exists(member->key) && asks_for_nothing(member))
            continue;
        if (!is_plain_key(member) || !section_exists(member->key))
            return refuse_unknown(reader, member, NULL);
        if (!read_section(reader, member))
            return false;
    }
    return check_user(reader);
}

bool profile_parse(const char *text, size_t length, const char *source, struct record *record,
                   struct error *err)
{
    struct reader reader = {.source = source, .record = record, .err = err};

    if (length > PROFILE_SIZE_MAX)
        return error_config(err, "%s: profile is larger than %d bytes",
                            source != NULL ? source : "profile", PROFILE_SIZE_MAX);
    struct toml_value *root = toml_parse(text, length, err);
    if (root == NULL) {
        if (source == NULL)
            return false;
        /* The TOML reader's text begins with "LINE:COLUMN: "; joined without a blank it is the form
         * that editors understand. */
        char reason[ERROR_TEXT_MAX];
        memcpy(reason, err != NULL ? err->text : "", err != NULL ? strlen(err->text) + 1 : 1);
        return error_config(err, "%s:%s", source, reason);
    }
    bool good = read_document(&reader, root);
    toml_free(root);
    profile_expander_free(&reader.expander);
    return good;
}

static bool is_fifo(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

bool profile_load_fd(int fd, const char *path, struct record *record, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    int result = fd_read_file(fd, PROFILE_SIZE_MAX, &text, &length);

    if (result == -EFBIG)
        return error_config(err, "profile %s is larger than %d bytes", path, PROFILE_SIZE_MAX);
    if (result != 0)
        return error_config(err, "read profile %s: %s", path, strerror(-result));
    if (length == 0 && is_fifo(fd))
        return error_config(err, "read profile %s: it is a FIFO that nobody writes", path);
    return profile_parse(text, length, path, record, err);
}

bool profile_load_file(const char *path, struct record *record, struct error *err)
{
    if (path[0] == '\0')
        return error_config(err, "the path of the profile is empty");
    /* A FIFO that nobody writes would make us wait for ever. */
    CLEANUP_FD int fd = RETRY_ON_EINTR(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));

    if (fd < 0)
        return error_config(err, "open profile %s: %s", path, strerror(errno));
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0)
        return error_config(err, "open profile %s: %s", path, strerror(errno));
    return profile_load_fd(fd, path, record, err);
}
