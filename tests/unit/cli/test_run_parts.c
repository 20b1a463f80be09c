/* The parts of `run` that decide from text: which command, which advice, which help. */
#include "../policy/policy_test.h"

#include "cli/advice.h"
#include "cli/command.h"
#include "cli/help.h"
#include "util/buffer.h"
#include "util/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Command selection ------------------------------------------------------------------------- */

static void assert_command(const char *profile, const char *const *options,
                           const char *const *words, const char *expected)
{
    struct record record, over;
    struct strv argv = STRV_INIT;
    struct error err = {0};

    load_text(profile, &record);
    parse_words(options, &over);
    assert_true(record_overlay(&record, &over));
    if (!command_choose(&record, words, (size_t)count_words(words), &argv, &err))
        fail_msg("refused: %s", err.text);
    char *joined = strv_join(&argv, "|");
    assert_string_equal(joined, expected);
    free(joined);
    strv_free(&argv);
    record_free(&record);
    record_free(&over);
}

#define PROGRAM "[program]\nexec = \"/bin/prog\"\nargs = [\"one\", \"$HOME\"]\n"
#define NOTHING ((const char *const[]){NULL})

static void test_words_replace_exec_and_args_together(void **state)
{
    assert_command(PROGRAM, NOTHING, WORDS("ls"), "ls");
    assert_command(PROGRAM, NOTHING, WORDS("ls", "-l"), "ls|-l");
}

static void test_a_profile_supplies_the_command(void **state)
{
    assert_command(PROGRAM, NOTHING, NOTHING, "/bin/prog|one|$HOME");
    assert_command("[program]\nexec = \"/bin/prog\"\n", NOTHING, NOTHING, "/bin/prog");
}

static void test_shell_wins_and_takes_words_as_parameters(void **state)
{
    assert_command(PROGRAM, WORDS("-e", "echo $0"), NOTHING, "/bin/sh|-c|echo $0");
    assert_command("", WORDS("-e", "echo $1"), WORDS("name", "a b"), "/bin/sh|-c|echo $1|name|a b");
}

static void test_no_command_is_an_error(void **state)
{
    /* args without exec do not make a command. */
    static const char *const profiles[] = {"", "[program]\nargs = [\"x\"]\n"};

    for (size_t i = 0; i < 2; i++) {
        struct record record;
        struct strv argv = STRV_INIT;
        struct error err = {0};
        load_text(profiles[i], &record);
        assert_false(command_choose(&record, NULL, 0, &argv, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        assert_has_texts(err.text, TEXTS("no command"));
        strv_free(&argv);
        record_free(&record);
    }
}

/* ---- Advice ------------------------------------------------------------------------------------ */

static void assert_advice(const char *const *options, const char *program, int failed_errno,
                          const char *expected)
{
    struct policy *policy = build_words(options);
    struct buffer advice = BUFFER_INIT;

    advice_exec(policy, program, failed_errno, &advice);
    assert_string_equal(buffer_text(&advice), expected);
    buffer_free(&advice);
    policy_unref(policy);
}

static void test_without_grants_the_advice_says_that_nothing_is_accessible(void **state)
{
    assert_advice(NOTHING, "true", EACCES,
                  "nothing is accessible without -r or -w; try -r /usr -r /lib -r /lib64");
    assert_advice(NOTHING, "/usr/bin/true", EACCES,
                  "nothing is accessible without -r or -w; try -r /usr -r /lib -r /lib64");
}

/* A directory with files for the cases below; the process stands in it. */
static char area[] = "/tmp/sandlock-advice-XXXXXX";

static int enter_area(void **state)
{
    (void)state;
    return mkdtemp(area) == NULL || chdir(area) != 0 || mkdir("bin", 0755) != 0;
}

static int leave_area(void **state)
{
    static const char *const files[] = {"plain", "script", "orphan", "dos", "bin/tool"};

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    return rmdir("bin") != 0 || chdir("/") != 0 || rmdir(area) != 0;
}

static void make_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* As assert_advice; %s in `expected` is the area. */
static void assert_area_advice(const char *const *options, const char *program, int failed_errno,
                               const char *format)
{
    CLEANUP_BUFFER struct buffer expected = BUFFER_INIT;
    const char *rest = format;

    for (const char *at; (at = strstr(rest, "%s")) != NULL; rest = at + 2) {
        buffer_append(&expected, rest, (size_t)(at - rest));
        buffer_append_text(&expected, area);
    }
    buffer_append_text(&expected, rest);
    assert_advice(options, program, failed_errno, buffer_text(&expected));
}

static void test_a_relative_program_is_judged_from_the_start_directory(void **state)
{
    (void)state;
    make_file("script", "#!/usr/bin/env sh\n", 0755);
    assert_area_advice(WORDS("-r", "/usr"), "./script", EACCES,
                       "no grant covers '%s/script'; add -r %s/script");
    assert_area_advice(WORDS("-r", "/usr", "--cwd", "bin"), "../script", EACCES,
                       "no grant covers '%s/bin/../script'; add -r %s/bin/../script");
    assert_area_advice(WORDS("-r", "/usr", "-r", "."), "./missing", ENOENT,
                       "'%s/missing' does not exist");
}

static void test_a_program_without_execute_permission_is_named(void **state)
{
    (void)state;
    make_file("plain", "#!/bin/sh\n", 0644);
    assert_advice(WORDS("-r", "."), "./plain", EACCES,
                  "it has no execute permission; chmod +x ./plain");
    assert_area_advice(WORDS("-r", "."), "bin/", EACCES, "'%s/bin/' is a directory");
}

static void test_what_a_granted_program_lacks_is_named(void **state)
{
    (void)state;
    make_file("orphan", "#! /nowhere/interpreter -x\n", 0755);
    make_file("dos", "#!/usr/bin/env\r\n", 0755);
    make_file("script", "#!/usr/bin/env sh\n", 0755);
    assert_advice(WORDS("-r", "."), "./orphan", ENOENT,
                  "its interpreter '/nowhere/interpreter' does not exist");
    assert_advice(WORDS("-r", "."), "./dos", ENOENT,
                  "its interpreter '/usr/bin/env\\r' does not exist");
    assert_advice(WORDS("-r", "."), "./script", EACCES,
                  "no grant covers its interpreter '/usr/bin/env'; add -r /usr");
}

static void test_a_command_is_looked_for_in_path(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "PATH=/nowhere:%s/bin", area);
    make_file("bin/tool", "#!/usr/bin/env sh\n", 0755);
    assert_area_advice(WORDS("-r", "/usr", "--env", path), "tool", EACCES,
                       "no grant covers '%s/bin/tool'; add -r %s/bin/tool");
    assert_area_advice(WORDS("-r", "/usr", "--env", path), "loot", ENOENT,
                       "command not found in PATH='/nowhere:%s/bin'");
}

static void test_other_errors_need_no_advice(void **state)
{
    assert_advice(NOTHING, "/usr/bin/true", ENOEXEC, "");
    assert_advice(NOTHING, "/nowhere/program", ENOENT, "");
}

/* ---- Help -------------------------------------------------------------------------------------- */

static void assert_mentions_every_option(void (*write)(struct buffer *, bool), bool long_form)
{
    struct buffer text = BUFFER_INIT;

    write(&text, long_form);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        char name[64];
        if (!help_shows(spec))
            continue;
        snprintf(name, sizeof(name), "--%s", spec->name);
        assert_has_texts(buffer_text(&text),
                         TEXTS(name, spec->metavar != NULL ? spec->metavar : ""));
    }
    buffer_free(&text);
}

static void test_both_forms_of_the_help_mention_every_option(void **state)
{
    assert_mentions_every_option(help_run, false);
    assert_mentions_every_option(help_run, true);
}

static void test_every_value_of_an_option_is_explained(void **state)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (!help_shows(spec) || spec->metavar == NULL)
            continue;
        const struct help_pair *value = help_values;
        while (value->name != NULL && strncmp(spec->metavar, value->name, strlen(value->name)) != 0)
            value++;
        if (value->name == NULL)
            fail_msg("the help has no grammar for %s", spec->metavar);
    }
}

static void test_help_lines_fit_a_terminal(void **state)
{
    struct buffer text = BUFFER_INIT;

    help_run(&text, false);
    for (const char *line = buffer_text(&text); *line != '\0';) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 80);
        line += length + (line[length] == '\n');
    }
    buffer_free(&text);
}

static void test_top_help_lists_the_commands_of_this_build(void **state)
{
    struct buffer text = BUFFER_INIT;

    help_top(&text);
    assert_has_texts(buffer_text(&text),
                     TEXTS("Usage", "  run", "  check", "  profile", "  help", "--version"));
    assert_null(strstr(buffer_text(&text), "\n  list"));
    assert_null(strstr(buffer_text(&text), "\n  learn"));
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_replace_exec_and_args_together),
        cmocka_unit_test(test_a_profile_supplies_the_command),
        cmocka_unit_test(test_shell_wins_and_takes_words_as_parameters),
        cmocka_unit_test(test_no_command_is_an_error),
        cmocka_unit_test(test_without_grants_the_advice_says_that_nothing_is_accessible),
        cmocka_unit_test(test_a_relative_program_is_judged_from_the_start_directory),
        cmocka_unit_test(test_a_program_without_execute_permission_is_named),
        cmocka_unit_test(test_what_a_granted_program_lacks_is_named),
        cmocka_unit_test(test_a_command_is_looked_for_in_path),
        cmocka_unit_test(test_other_errors_need_no_advice),
        cmocka_unit_test(test_both_forms_of_the_help_mention_every_option),
        cmocka_unit_test(test_every_value_of_an_option_is_explained),
        cmocka_unit_test(test_help_lines_fit_a_terminal),
        cmocka_unit_test(test_top_help_lists_the_commands_of_this_build),
    };

    return cmocka_run_group_tests(tests, enter_area, leave_area);
}
