/* The option table and the command line parser. */
#include "policy_test.h"

static const char *only_text(const char *const *words, enum option_id id)
{
    static char text[256];
    struct record record;

    parse_words(words, &record);
    assert_int_equal(record.lists[id].count, 1);
    snprintf(text, sizeof(text), "%s", record_text(&record, id));
    record_free(&record);
    return text;
}

static void test_every_name_is_found_and_unique(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        assert_int_equal(spec->id, i);
        assert_non_null(spec->help);
        if (spec->name != NULL)
            assert_ptr_equal(option_find_long(spec->name, strlen(spec->name)), spec);
        if (spec->short_name != 0)
            assert_ptr_equal(option_find_short(spec->short_name), spec);
        if (spec->section != NULL)
            assert_ptr_equal(option_find_key(spec->section, spec->key), spec);
        assert_true(spec->name != NULL || spec->section != NULL);
        if (option_takes_value(spec) && spec->name != NULL)
            assert_non_null(spec->metavar);
        else
            assert_null(spec->metavar);
    }
    assert_null(option_find_long("fs-rea", 6));
    assert_null(option_find_short('\0'));
    assert_null(option_find_key("filesystem", "reads"));
}

static void test_display_names(void **state)
{
    char key[64];

    assert_string_equal(option_display_name(&option_specs[OPTION_FS_READ]), "--fs-read");
    assert_string_equal(option_display_name(&option_specs[OPTION_EXEC]), "[program].exec");
    option_key_name(&option_specs[OPTION_FS_READ], key, sizeof(key));
    assert_string_equal(key, "[filesystem].read");
}

static void test_every_option_reaches_the_record(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char word[128];
        if (spec->name == NULL)
            continue;
        const char *value = sample_value(spec->id);
        if (value != NULL)
            snprintf(word, sizeof(word), "--%s=%s", spec->name, value);
        else
            snprintf(word, sizeof(word), "--%s", spec->name);
        assert_string_equal(only_text(WORDS(word), spec->id), value != NULL ? value : "true");
    }
}

static void test_forms_of_a_value(void **state)
{
    assert_string_equal(only_text(WORDS("--fs-read", "/a"), OPTION_FS_READ), "/a");
    assert_string_equal(only_text(WORDS("--fs-read=/a"), OPTION_FS_READ), "/a");
    assert_string_equal(only_text(WORDS("--fs-read=/a=b"), OPTION_FS_READ), "/a=b");
    assert_string_equal(only_text(WORDS("-r", "/a"), OPTION_FS_READ), "/a");
    assert_string_equal(only_text(WORDS("-r/a"), OPTION_FS_READ), "/a");
    assert_string_equal(only_text(WORDS("-r=/a"), OPTION_FS_READ), "/a");
    assert_string_equal(only_text(WORDS("--fs-read=-a"), OPTION_FS_READ), "-a");
    assert_string_equal(only_text(WORDS("-r=-a"), OPTION_FS_READ), "-a");
    assert_string_equal(only_text(WORDS("--log-denials", "-"), OPTION_LOG_DENIALS), "-");
    assert_string_equal(only_text(WORDS("--env=A="), OPTION_ENV), "A=");
    assert_string_equal(only_text(WORDS("--env", "A=\xff"), OPTION_ENV), "A=\xff");
}

static void test_flag_letters_may_be_bundled(void **state)
{
    struct record record;

    parse_words(WORDS("-it", "5"), &record);
    assert_true(record_given(&record, OPTION_INTERACTIVE));
    assert_string_equal(record_text(&record, OPTION_TIMEOUT), "5");
    record_free(&record);
    assert_string_equal(only_text(WORDS("-it5"), OPTION_TIMEOUT), "5");
    assert_string_equal(only_text(WORDS("-it=5"), OPTION_TIMEOUT), "5");
}

static void assert_command_at(const char *const *words, int index)
{
    struct record record;

    assert_int_equal(parse_words(words, &record).command_index, index);
    record_free(&record);
}

static void test_where_the_command_begins(void **state)
{
    assert_command_at(WORDS("-r", "/", "--", "ls", "-l"), 3);
    assert_command_at(WORDS("-r", "/", "ls", "--", "-r"), 2);
    assert_command_at(WORDS("ls", "--fs-read"), 0);
    assert_command_at(WORDS("-i"), 1);
    assert_command_at(WORDS("-i", "--"), 2);
    assert_command_at(WORDS("-i", "-", "x"), 1);
    assert_command_at(WORDS("--", "--fs-read"), 1);
}

static void test_options_behind_the_command_are_the_commands(void **state)
{
    struct record record;

    parse_words(WORDS("-r", "/a", "ls", "-r", "/b"), &record);
    assert_int_equal(record.lists[OPTION_FS_READ].count, 1);
    record_free(&record);
}

static void test_help_is_reported(void **state)
{
    struct record record;

    assert_int_equal(parse_words(WORDS("-h"), &record).help, HELP_SHORT);
    record_free(&record);
    assert_int_equal(parse_words(WORDS("-r", "/", "--help", "--bogus"), &record).help, HELP_LONG);
    record_free(&record);
    assert_int_equal(parse_words(WORDS("-ih"), &record).help, HELP_SHORT);
    record_free(&record);
    assert_int_equal(parse_words(WORDS("ls", "--help"), &record).help, HELP_NONE);
    record_free(&record);
}

static void test_values_that_are_missing_or_unwanted(void **state)
{
    assert_words_refused(WORDS("--fs-read"), TEXTS("--fs-read", "needs a value", "PATH"));
    assert_words_refused(WORDS("-r"), TEXTS("-r", "needs a value"));
    assert_words_refused(WORDS("--fs-read", "--", "ls"), TEXTS("--fs-read", "needs a value"));
    assert_words_refused(WORDS("--fs-read", "-x"), TEXTS("'-x'", "--fs-read=PATH"));
    assert_words_refused(WORDS("-r-x"), TEXTS("'-x'", "-r=PATH"));
    assert_words_refused(WORDS("--clean-env=yes"), TEXTS("--clean-env", "takes no value", "'yes'"));
    assert_words_refused(WORDS("-i=yes"), TEXTS("-i", "takes no value"));
    assert_words_refused(WORDS("--help=x"), TEXTS("--help", "takes no value"));
}

static void test_giving_once_what_has_one_value(void **state)
{
    struct record record;

    assert_words_refused(WORDS("--cwd=/a", "--cwd=/b"),
                         TEXTS("--cwd", "given twice", "'/a'", "'/b'"));
    assert_words_refused(WORDS("-i", "-i"), TEXTS("--interactive", "given twice"));
    assert_words_refused(WORDS("--gpu=0", "--gpu=1"), TEXTS("--gpu", "given twice"));
    parse_words(WORDS("-r/a", "-r/b", "--cpu-cores=0", "--cpu-cores=0"), &record);
    assert_int_equal(record.lists[OPTION_FS_READ].count, 2);
    assert_int_equal(record.lists[OPTION_CPU_CORES].count, 2);
    record_free(&record);
}

static void test_options_that_exclude_each_other(void **state)
{
    assert_words_refused(WORDS("-p", "a", "--profile-file=b"),
                         TEXTS("--profile", "--profile-file", "exclude"));
    assert_words_refused(WORDS("--user=1:1", "--uid=1"), TEXTS("--user", "--uid", "exclude"));
}

static void test_a_name_is_not_answered_with_one_of_the_opposite_meaning(void **state)
{
    static const char *const words[] = {"--fs-deny-try", "--no-clean-env", "--coredump",
                                        "--disallow",    "--fs-protect",   "--fs-hide",
                                        "--joinable"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct options_parsed parsed;
        struct record record;
        struct error err = {0};
        record_init(&record);
        assert_false(options_parse(2, WORDS(words[i], "x"), 0, &record, &parsed, &err));
        assert_has_texts(err.text, TEXTS("unknown option", words[i]));
        assert_null(strstr(err.text, "did you mean"));
        record_free(&record);
    }
    assert_words_refused(WORDS("--clean-emv"), TEXTS("did you mean '--clean-env'"));
    assert_words_refused(WORDS("--no-coredumps"), TEXTS("did you mean '--no-coredump'"));
    assert_words_refused(WORDS("--nosupervisor"), TEXTS("did you mean '--no-supervisor'"));
}

static void test_unknown_options_are_named(void **state)
{
    assert_words_refused(WORDS("--fs-raed=/"), TEXTS("unknown option '--fs-raed'", "'--fs-read'"));
    assert_words_refused(WORDS("--fs-rea", "/"), TEXTS("unknown option '--fs-rea'"));
    assert_words_refused(WORDS("--qqqqqqq"), TEXTS("unknown option '--qqqqqqq'"));
    assert_words_refused(WORDS("-x"), TEXTS("unknown option '-x'"));
    assert_words_refused(WORDS("-ix"), TEXTS("unknown option '-x' in '-ix'"));
    assert_words_refused(WORDS("-cwd=/"), TEXTS("unknown option '-c'", "'--cwd'"));
    assert_words_refused(WORDS("--max-memory=1G"), TEXTS("unknown option '--max-memory'"));
    assert_words_refused(WORDS("--\x1b[2J"), TEXTS("unknown option '--\\x1b[2J'"));
}

static void test_former_spellings_name_the_new_one(void **state)
{
    assert_words_refused(WORDS("--net-bind=80"), TEXTS("'--net-bind'", "--net-allow-bind"));
    assert_words_refused(WORDS("--net-allow-host=h"), TEXTS("it is spelled --net-allow now"));
    assert_words_refused(WORDS("--net-connect=80"), TEXTS("--net-allow tcp://*:PORT"));
}

/* The nearest name would be that of something else: --fs-deny is not --net-deny. */
static void test_features_of_other_releases_are_answered_with_no_other_name(void **state)
{
    static const char *const absent[] = {
        "--fs-deny",    "--fs-mount",   "--chroot",      "--image",       "--workdir",
        "--fs-storage", "--max-disk",   "--on-exit",     "--on-error",    "--dry-run",
        "--http-allow", "--http-deny",  "--http-port",   "--http-ca",     "--http-key",
        "--http-auth",  "--credential", "--http-ca-out", "--max-memory",  "--http-inject-ca",
        "--cpu",        "--max-cpu",    "--num-cpus",    "--random-seed", "--deterministic-dirs",
        "--time-start", "--https-key",  "--https-ca",    "--fs-isolation"};
    char expected[128];

    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        struct options_parsed parsed;
        struct record record;
        struct error err = {0};
        record_init(&record);
        assert_false(options_parse(2, WORDS(absent[i], "x"), 0, &record, &parsed, &err));
        snprintf(expected, sizeof(expected),
                 "unknown option '%s': this release has no such feature", absent[i]);
        assert_string_equal(err.text, expected);
        record_free(&record);
        /* What is there is not called absent. */
        assert_null(option_find_long(absent[i] + 2, strlen(absent[i]) - 2));
    }
    assert_words_refused(WORDS("--fs-raed=x"), TEXTS("did you mean '--fs-read'"));
    assert_words_refused(WORDS("-m", "1G"), TEXTS("'-m': this release has no such feature"));
    assert_words_refused(WORDS("-m1G"), TEXTS("'-m': this release has no such feature"));
    assert_words_refused(WORDS("-c=50"), TEXTS("'-c': this release has no such feature"));
    assert_words_refused(WORDS("-ic", "50"), TEXTS("'-c': this release has no such feature"));
    for (char letter = '!'; letter <= '~'; letter++)
        assert_false(option_letter_is_absent(letter) && option_find_short(letter) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_is_found_and_unique),
        cmocka_unit_test(test_display_names),
        cmocka_unit_test(test_every_option_reaches_the_record),
        cmocka_unit_test(test_forms_of_a_value),
        cmocka_unit_test(test_flag_letters_may_be_bundled),
        cmocka_unit_test(test_where_the_command_begins),
        cmocka_unit_test(test_options_behind_the_command_are_the_commands),
        cmocka_unit_test(test_help_is_reported),
        cmocka_unit_test(test_values_that_are_missing_or_unwanted),
        cmocka_unit_test(test_giving_once_what_has_one_value),
        cmocka_unit_test(test_options_that_exclude_each_other),
        cmocka_unit_test(test_a_name_is_not_answered_with_one_of_the_opposite_meaning),
        cmocka_unit_test(test_unknown_options_are_named),
        cmocka_unit_test(test_former_spellings_name_the_new_one),
        cmocka_unit_test(test_features_of_other_releases_are_answered_with_no_other_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
