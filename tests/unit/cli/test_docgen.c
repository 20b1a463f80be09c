/* The generated man pages and completions know every option and key of the table. */
#include "../policy/policy_test.h"

#include "cli/docgen.h"
#include "cli/help.h"

static char *document(void (*write)(struct buffer *out))
{
    struct buffer text = BUFFER_INIT;

    write(&text);
    char *taken = buffer_take(&text);
    assert_non_null(taken);
    return taken;
}

/* True if `word` stands in the text and no longer name of the same beginning is meant. */
static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *found = text; (found = strstr(found, word)) != NULL; found += length) {
        if (strchr("abcdefghijklmnopqrstuvwxyz-\\_", found[length]) == NULL ||
            strncmp(found + length, "\\f", 2) == 0)
            return true;
    }
    return false;
}

static void assert_every_option(void (*write)(struct buffer *out), const char *prefix, bool roff)
{
    char *text = document(write);

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char word[128] = "";
        if (!help_shows(spec))
            continue;
        strcat(word, prefix);
        for (const char *c = spec->name; *c != '\0'; c++)
            strcat(word, roff && *c == '-' ? "\\-" : (char[]){*c, '\0'});
        if (!has_word(text, word))
            fail_msg("%s is missing", word);
    }
    free(text);
}

static void test_every_option_is_in_every_document(void **state)
{
    assert_every_option(docgen_man, "\\-\\-", true);
    assert_every_option(docgen_bash, "--", false);
    assert_every_option(docgen_zsh, "--", false);
    assert_every_option(docgen_fish, " -l ", false);
}

static void test_keys_without_an_option_are_in_none(void **state)
{
    char *bash = document(docgen_bash);

    assert_false(has_word(bash, "--uid"));
    free(bash);
}

/* The words that a shell offers for a value. */
static void assert_offers(void (*write)(struct buffer *out), const char *before, const char *words,
                          const char *after)
{
    char *text = document(write);
    char expected[512];

    snprintf(expected, sizeof(expected), "%s%s%s", before, words, after);
    if (strstr(text, expected) == NULL)
        fail_msg("\"%s\" is missing", expected);
    free(text);
}

static void test_every_feature_is_offered_and_explained(void **state)
{
    char words[256] = "";

    for (unsigned bit = 1; bit <= FEATURE_PROC_VIEW; bit <<= 1)
        assert_non_null(policy_feature_name(bit));
#define FEATURE(id, name)                                                     \
    snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s",    \
             words[0] != '\0' ? " " : "", policy_feature_name(FEATURE_##id)); \
    assert_non_null(strstr(option_specs[OPTION_WITHOUT].details, name));
#include "policy/features.def"
#undef FEATURE
    assert_offers(docgen_bash, "--without)\n            COMPREPLY=($(compgen -W \"", words, "\"");
    assert_offers(docgen_bash, "--with)\n            COMPREPLY=($(compgen -W \"", words, "\"");
    assert_offers(docgen_zsh, "(", words, ")");
    assert_offers(docgen_fish, "'", words, "'");
}

static void test_every_profile_key_is_described(void **state)
{
    char *text = document(docgen_man_profile);

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char heading[64], key[64];
        if (spec->section == NULL)
            continue;
        snprintf(heading, sizeof(heading), ".SS [%s]\n", spec->section);
        snprintf(key, sizeof(key), "\\fB%s\\fR (", spec->key);
        const char *section = strstr(text, heading);
        assert_non_null(section);
        const char *end = strstr(section + 1, ".SS ");
        const char *found = strstr(section, key);
        if (found == NULL || (end != NULL && found > end))
            fail_msg("[%s].%s is missing", spec->section, spec->key);
    }
    free(text);
}

static void test_no_line_of_a_man_page_is_an_accidental_request(void **state)
{
    static const char *const known[] = {".TH ", ".SH ", ".SS ", ".TP", ".PP", ".br",
                                        ".B ",  ".IP",  ".RS",  ".RE", ".nf", ".fi"};
    char *text = document(docgen_man);

    for (const char *line = text; *line != '\0';) {
        bool good = line[0] != '.' && line[0] != '\'';
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            good = good || strncmp(line, known[i], strlen(known[i])) == 0;
        if (!good)
            fail_msg("%.60s", line);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_in_every_document),
        cmocka_unit_test(test_keys_without_an_option_are_in_none),
        cmocka_unit_test(test_every_feature_is_offered_and_explained),
        cmocka_unit_test(test_every_profile_key_is_described),
        cmocka_unit_test(test_no_line_of_a_man_page_is_an_accidental_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
