/* What the child executes: its environment, the paths to try, the arguments of the shell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/command.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- Helpers --------------------------------------------------------------------------------- */

static size_t list_length(const char *const *list)
{
    size_t length = 0;

    while (list[length] != NULL)
        length++;
    return length;
}

static struct command prepared(const struct policy *policy, const char *const *argv,
                               const char *const *environment)
{
    struct command command;
    struct error err = {0};

    if (!command_prepare(&command, policy, argv, list_length(argv), (char *const *)environment,
                         &err))
        fail_msg("refused: %s", err.text);
    return command;
}

static void assert_list(char *const *actual, const char *const *expected)
{
    size_t i = 0;

    assert_non_null(actual);
    for (; expected[i] != NULL; i++) {
        assert_non_null(actual[i]);
        assert_string_equal(actual[i], expected[i]);
    }
    assert_null(actual[i]);
}

static void assert_environment(const struct policy *policy, const char *const *environment,
                               const char *const *expected)
{
    struct command command = prepared(policy, LIST("x"), environment);

    assert_list(command.envp.items, expected);
    command_free(&command);
}

static void assert_candidates(const char *const *environment, const char *file,
                              const char *const *expected)
{
    struct policy policy = {0};
    struct command command = prepared(&policy, LIST(file), environment);

    assert_list(command.candidates.items, expected);
    command_free(&command);
}

/* "PATH=" and one entry of `length` times 'd', then `rest`. Owned by the caller. */
static char *path_with_long_entry(size_t length, const char *rest)
{
    char *text = malloc(sizeof("PATH=/") + length + strlen(rest));

    assert_non_null(text);
    memcpy(text, "PATH=/", 6);
    memset(text + 6, 'd', length - 1);
    memcpy(text + 5 + length, rest, strlen(rest) + 1);
    return text;
}

/* ---- Environment ----------------------------------------------------------------------------- */

static void everything_is_inherited_in_order(void **state)
{
    struct policy policy = {0};

    (void)state;
    assert_environment(&policy, LIST("B=2", "A=1", "PATH=/p", "odd"),
                       LIST("B=2", "A=1", "PATH=/p", "odd"));
}

static void an_empty_environment_is_an_empty_array(void **state)
{
    struct policy policy = {0};

    (void)state;
    assert_environment(&policy, LIST(NULL), LIST(NULL));
    assert_environment(&policy, NULL, LIST(NULL));
}

static void a_clean_environment_keeps_five_names(void **state)
{
    struct policy policy = {.clean_env = true};

    (void)state;
    assert_environment(&policy,
                       LIST("SECRET=s", "LANG=l", "TERM=t", "USER=u", "HOME=/h", "PATH=/p",
                            "PATHS=/q", "HOMES=1", "LD_PRELOAD=/x", "LANGUAGE=de", "HOME"),
                       LIST("LANG=l", "TERM=t", "USER=u", "HOME=/h", "PATH=/p"));
}

static void a_clean_environment_always_has_a_path(void **state)
{
    struct policy policy = {.clean_env = true};

    (void)state;
    assert_environment(&policy, LIST("HOME=/h"),
                       LIST("HOME=/h", "PATH=/usr/local/bin:/usr/bin:/bin"));
    policy.clean_env = false;
    assert_environment(&policy, LIST("HOME=/h"), LIST("HOME=/h"));
}

static void a_given_variable_wins_over_every_inherited_value(void **state)
{
    struct policy policy = {0};

    (void)state;
    strv_add(&policy.env, "A=9");
    assert_environment(&policy, LIST("A=1", "B=2", "A=2", "AA=3", "A=4", "A"),
                       LIST("A=9", "B=2", "AA=3", "A"));
    strv_free(&policy.env);
}

static void given_variables_replace_in_place_and_the_last_value_wins(void **state)
{
    struct policy policy = {.clean_env = true};

    (void)state;
    strv_add(&policy.env, "NEW=1");
    strv_add(&policy.env, "HOME=/first");
    strv_add(&policy.env, "EMPTY=");
    strv_add(&policy.env, "HOME=/last=one");
    strv_add(&policy.env, "NEW=2");
    assert_environment(
        &policy, LIST("HOME=/h", "USER=u"),
        LIST("HOME=/last=one", "USER=u", "PATH=/usr/local/bin:/usr/bin:/bin", "NEW=2", "EMPTY="));
    strv_free(&policy.env);
}

static void listed_gpus_are_named_for_both_vendors(void **state)
{
    uint32_t devices[] = {0, 2};
    struct policy policy = {.gpu = GPU_LIST, .gpu_devices = devices, .gpu_device_count = 2};

    (void)state;
    strv_add(&policy.env, "CUDA_DEVICE_ORDER=FASTEST_FIRST");
    assert_environment(&policy, LIST("CUDA_VISIBLE_DEVICES=7", "A=1"),
                       LIST("CUDA_VISIBLE_DEVICES=0,2", "A=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID",
                            "ROCR_VISIBLE_DEVICES=0,2"));
    policy.gpu = GPU_ALL;
    assert_environment(&policy, LIST("CUDA_VISIBLE_DEVICES=7"),
                       LIST("CUDA_VISIBLE_DEVICES=7", "CUDA_DEVICE_ORDER=FASTEST_FIRST"));
    strv_free(&policy.env);
}

/* ---- Paths to try ---------------------------------------------------------------------------- */

static void a_name_is_tried_in_every_entry_of_path(void **state)
{
    (void)state;
    assert_candidates(LIST("PATH=/a:b:/c/"), "x", LIST("/a/x", "b/x", "/c//x"));
}

static void an_empty_entry_is_the_current_directory(void **state)
{
    (void)state;
    assert_candidates(LIST("PATH=:/a::/b:"), "x", LIST("x", "/a/x", "x", "/b/x", "x"));
    assert_candidates(LIST("PATH="), "x", LIST("x"));
}

static void without_path_the_usual_directories_are_tried(void **state)
{
    (void)state;
    assert_candidates(LIST("HOME=/h"), "x", LIST("/bin/x", "/usr/bin/x"));
}

static void the_path_of_the_command_counts(void **state)
{
    struct policy policy = {0};

    (void)state;
    strv_add(&policy.env, "PATH=/given");
    struct command command = prepared(&policy, LIST("x"), LIST("PATH=/host"));
    assert_list(command.candidates.items, LIST("/given/x"));
    command_free(&command);
    strv_free(&policy.env);
}

static void a_name_with_a_slash_is_not_searched(void **state)
{
    (void)state;
    assert_candidates(LIST("PATH=/a"), "./x", LIST("./x"));
    assert_candidates(LIST("PATH=/a"), "/bin/x", LIST("/bin/x"));
    assert_candidates(LIST("PATH=/a"), "sub/x", LIST("sub/x"));
}

static void an_overlong_entry_is_skipped(void **state)
{
    char *path = path_with_long_entry(PATH_MAX - 2, ":/b"); /* entry, '/', 'x': one too many */

    (void)state;
    assert_candidates(LIST(path), "x", LIST("/b/x"));
    free(path);
    path = path_with_long_entry(PATH_MAX - 2, "");
    assert_candidates(LIST(path), "x", LIST("x")); /* something is always tried */
    free(path);

    path = path_with_long_entry(PATH_MAX - 3, ":/b"); /* the longest that execve takes */
    struct policy policy = {0};
    struct command command = prepared(&policy, LIST("x"), LIST(path));
    assert_int_equal(command.candidates.count, 2);
    assert_int_equal(strlen(command.candidates.items[0]), PATH_MAX - 1);
    command_free(&command);
    free(path);
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static void the_shell_gets_a_slot_for_the_path_and_the_arguments(void **state)
{
    struct policy policy = {0};
    struct command command = prepared(&policy, LIST("script", "a", "", "c"), LIST("PATH=/p"));

    (void)state;
    assert_list(command.argv.items, LIST("script", "a", "", "c"));
    assert_string_equal(command.shell_argv[0], "/bin/sh");
    assert_null(command.shell_argv[1]);
    assert_list((char *const *)command.shell_argv + 2, LIST("a", "", "c"));
    command_free(&command);

    command = prepared(&policy, LIST("script"), LIST("PATH=/p"));
    assert_null(command.shell_argv[1]);
    assert_null(command.shell_argv[2]);
    command_free(&command);
}

static void assert_refused(const char *const *argv, size_t argc, const char *text)
{
    struct policy policy = {0};
    struct command command;
    struct error err = {0};

    assert_false(command_prepare(&command, &policy, argv, argc, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_string_equal(err.text, text);
    command_free(&command); /* nothing is left in it */
}

static void a_command_needs_a_name(void **state)
{
    (void)state;
    assert_refused(NULL, 1, "empty command");
    assert_refused(LIST("x"), 0, "empty command");
    assert_refused(LIST(""), 1, "empty command");
    assert_refused(LIST("x", "y", NULL), 3, "command argument 2 is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_inherited_in_order),
        cmocka_unit_test(an_empty_environment_is_an_empty_array),
        cmocka_unit_test(a_clean_environment_keeps_five_names),
        cmocka_unit_test(a_clean_environment_always_has_a_path),
        cmocka_unit_test(a_given_variable_wins_over_every_inherited_value),
        cmocka_unit_test(given_variables_replace_in_place_and_the_last_value_wins),
        cmocka_unit_test(listed_gpus_are_named_for_both_vendors),
        cmocka_unit_test(a_name_is_tried_in_every_entry_of_path),
        cmocka_unit_test(an_empty_entry_is_the_current_directory),
        cmocka_unit_test(without_path_the_usual_directories_are_tried),
        cmocka_unit_test(the_path_of_the_command_counts),
        cmocka_unit_test(a_name_with_a_slash_is_not_searched),
        cmocka_unit_test(an_overlong_entry_is_skipped),
        cmocka_unit_test(the_shell_gets_a_slot_for_the_path_and_the_arguments),
        cmocka_unit_test(a_command_needs_a_name),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
