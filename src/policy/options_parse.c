/* Option parser: see options_parse.h. */
#include "policy/options_parse.h"

#include "policy/quote.h"
#include "util/buffer.h"
#include "util/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct parser {
    int argc;
    const char *const *argv;
    int next; /* the word to read next */
    struct record *record;
    struct error *err;
};

/* ---- Unknown options ------------------------------------------------------------------------- */

/* Spellings of earlier releases, with what says the same today. */
static const struct {
    const char *former;
    enum option_id now;
    const char *value; /* how its value is written now, if that changed */
} former_names[] = {
    {"net-bind", OPTION_NET_ALLOW_BIND, NULL},
    {"net-allow-host", OPTION_NET_ALLOW, NULL},
    {"net-connect", OPTION_NET_ALLOW, " tcp://*:PORT"},
};

static bool find_former_name(const char *name, size_t length, enum option_id *now,
                             const char **value)
{
    for (size_t i = 0; i < sizeof(former_names) / sizeof(former_names[0]); i++) {
        if (strlen(former_names[i].former) == length &&
            memcmp(former_names[i].former, name, length) == 0) {
            *now = former_names[i].now;
            *value = former_names[i].value != NULL ? former_names[i].value : "";
            return true;
        }
    }
    return false;
}

static bool is_negative(const char *name)
{
    return strncmp(name, "no", 2) == 0 && name[2] != '\0';
}

/* A name is not answered with one of the opposite meaning, however alike they are. */
static bool may_mean(const char *name, const char *candidate)
{
    return (strstr(name, "deny") != NULL) == (strstr(candidate, "deny") != NULL) &&
           (strstr(name, "allow") == NULL || strstr(candidate, "allow") != NULL) &&
           is_negative(name) == is_negative(candidate);
}

static const char *closest_long_name(const char *name)
{
    const char *candidates[OPTION_COUNT + 2];
    size_t count = 0;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_specs[i].name != NULL && option_specs[i].group != NULL &&
            may_mean(name, option_specs[i].name))
            candidates[count++] = option_specs[i].name;
    }
    candidates[count++] = "help";
    candidates[count] = NULL;
    return text_closest(name, candidates);
}

static bool refuse_unknown_long(const struct parser *parser, const char *word, size_t length)
{
    enum option_id now;
    const char *value;

    if (find_former_name(word + 2, length - 2, &now, &value))
        return error_config(parser->err, "unknown option %s: it is spelled %s%s now",
                            quote_bytes(word, length).text, option_display_name(&option_specs[now]),
                            value);
    if (option_is_absent(word + 2, length - 2))
        return error_config(parser->err, "unknown option %s: this release has no such feature",
                            quote_bytes(word, length).text);

    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(length > 64 ? 64 : length) - 2, word + 2);
    const char *meant = closest_long_name(name);
    if (meant != NULL)
        return error_config(parser->err, "unknown option %s; did you mean '--%s'?",
                            quote_bytes(word, length).text, meant);
    return error_config(parser->err, "unknown option %s", quote_bytes(word, length).text);
}

/* `c` is the letter within `word` that no option has. */
static bool refuse_unknown_short(const struct parser *parser, const char *word, const char *c)
{
    size_t length = text_utf8_sequence(c, strlen(c));
    char letter[8] = "-";

    if (length == 0)
        length = 1; /* no UTF-8: the byte itself */
    memcpy(letter + 1, c, length);
    if (c == word + 1 && c[length] == '\0' && !option_letter_is_absent(*c))
        return error_config(parser->err, "unknown option %s", quote(word).text);
    const char *name_end = strchr(word, '=');
    size_t word_length = name_end != NULL ? (size_t)(name_end - word) : strlen(word);
    if (option_find_long(word + 1, word_length - 1) != NULL)
        return error_config(parser->err, "unknown option %s in %s; did you mean '-%.*s'?",
                            quote(letter).text, quote(word).text, (int)word_length, word);
    if (option_letter_is_absent(*c))
        return error_config(parser->err, "unknown option %s: this release has no such feature",
                            quote(letter).text);
    return error_config(parser->err, "unknown option %s in %s", quote(letter).text,
                        quote(word).text);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool store(const struct parser *parser, const struct option_spec *spec, const char *value)
{
    static const struct origin origin = {.kind = ORIGIN_OPTION};

    if (!option_is_list(spec) && record_given(parser->record, spec->id)) {
        if (!option_takes_value(spec))
            return error_config(parser->err, "%s is given twice", option_display_name(spec));
        return error_config(parser->err, "%s is given twice: %s and %s", option_display_name(spec),
                            quote(record_text(parser->record, spec->id)).text, quote(value).text);
    }
    if (!record_add(parser->record, spec->id, value, &origin))
        return error_runtime(parser->err, ENOMEM, "reading the options");
    return true;
}

/* Numbers, and lists of them, have no sign: the form with = would not help. */
static bool refuses_sign(const struct option_spec *spec)
{
    return spec->kind == VALUE_UINT || spec->kind == VALUE_SIZE || spec->kind == VALUE_DURATION ||
           spec->kind == VALUE_UINT_LIST || spec->kind == VALUE_PORT_LIST;
}

/* `shown` is the option as the user wrote it, "--fs-read" or "-r". */
static bool store_next_word(struct parser *parser, const struct option_spec *spec,
                            const char *shown)
{
    const char *value = parser->next < parser->argc ? parser->argv[parser->next] : NULL;

    if (value == NULL || strcmp(value, "--") == 0)
        return error_config(parser->err, "option %s needs a value: %s %s", shown, shown,
                            spec->metavar);
    if (refuses_sign(spec) && value[0] == '-' && value[1] >= '0' && value[1] <= '9')
        return error_config(parser->err, "option %s: %s is negative", shown, quote(value).text);
    /* A lone "-" is a value, as usual for standard error or input. */
    if (value[0] == '-' && value[1] != '\0')
        return error_config(parser->err,
                            "option %s needs a value, but %s follows; a value that begins with "
                            "'-' is written %s=%s",
                            shown, quote(value).text, shown, spec->metavar);
    parser->next++;
    return store(parser, spec, value);
}

static bool parse_long(struct parser *parser, const char *word, struct options_parsed *parsed)
{
    const char *equals = strchr(word, '=');
    size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);

    if (length == strlen("--help") && memcmp(word, "--help", length) == 0) {
        if (equals != NULL)
            return error_config(parser->err, "option --help takes no value, got %s",
                                quote(equals + 1).text);
        parsed->help = HELP_LONG;
        return true;
    }
    const struct option_spec *spec = option_find_long(word + 2, length - 2);
    if (spec == NULL)
        return refuse_unknown_long(parser, word, length);
    if (option_takes_value(spec))
        return equals != NULL ? store(parser, spec, equals + 1)
                              : store_next_word(parser, spec, option_display_name(spec));
    if (equals != NULL)
        return error_config(parser->err, "option %s takes no value, got %s",
                            option_display_name(spec), quote(equals + 1).text);
    return store(parser, spec, "true");
}

/* The value in the rest of a word: "-oVALUE" or "-o=VALUE". */
static bool store_attached(struct parser *parser, const struct option_spec *spec, const char *shown,
                           const char *rest)
{
    if (rest[0] == '=')
        return store(parser, spec, rest + 1);
    if (refuses_sign(spec) && rest[0] == '-' && rest[1] >= '0' && rest[1] <= '9')
        return error_config(parser->err, "option %s: %s is negative", shown, quote(rest).text);
    if (rest[0] == '-')
        return error_config(parser->err,
                            "option %s: a value that begins with '-' is written %s=%s, got %s",
                            shown, shown, spec->metavar, quote(rest).text);
    return store(parser, spec, rest);
}

static bool parse_shorts(struct parser *parser, const char *word, struct options_parsed *parsed)
{
    for (const char *c = word + 1; *c != '\0'; c++) {
        const char shown[3] = {'-', *c, '\0'};
        const struct option_spec *spec = option_find_short(*c);
        if (*c == 'h') {
            parsed->help = HELP_SHORT;
            return true;
        }
        if (spec == NULL)
            return refuse_unknown_short(parser, word, c);
        if (option_takes_value(spec))
            return c[1] != '\0' ? store_attached(parser, spec, shown, c + 1)
                                : store_next_word(parser, spec, shown);
        if (c[1] == '=')
            return error_config(parser->err, "option %s takes no value, got %s", shown,
                                quote(c + 2).text);
        if (!store(parser, spec, "true"))
            return false;
    }
    return true;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool check_exclusive(const struct parser *parser, enum option_id one, enum option_id other)
{
    if (!record_given(parser->record, one) || !record_given(parser->record, other))
        return true;
    return error_config(parser->err, "%s and %s exclude each other: give one of them",
                        option_display_name(&option_specs[one]),
                        option_display_name(&option_specs[other]));
}

bool options_parse(int argc, const char *const *argv, int first, struct record *record,
                   struct options_parsed *parsed, struct error *err)
{
    struct parser parser = {
        .argc = argc,
        .argv = argv,
        .next = first,
        .record = record,
        .err = err,
    };

    *parsed = (struct options_parsed){.command_index = argc};
    while (parser.next < argc) {
        const char *word = argv[parser.next];
        if (word[0] != '-' || word[1] == '\0')
            break;
        parser.next++;
        if (strcmp(word, "--") == 0)
            break;
        bool good = word[1] == '-' ? parse_long(&parser, word, parsed)
                                   : parse_shorts(&parser, word, parsed);
        if (!good)
            return false;
        if (parsed->help != HELP_NONE)
            return true;
    }
    parsed->command_index = parser.next;
    return check_exclusive(&parser, OPTION_PROFILE, OPTION_PROFILE_FILE) &&
           check_exclusive(&parser, OPTION_USER, OPTION_UID);
}
