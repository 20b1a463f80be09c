/* One-shot runs: endings, output, refusals, names, ownership of what is passed in. */
#include "check.h"

static sandlock_sandbox_t *policy;

static sandlock_result_t *shell(const char *script)
{
    return sandlock_run(policy, NULL, SHELL(script));
}

static void endings(void)
{
    check_exit(shell("exit 0"), 0);
    check_exit(shell("exit 7"), 7);
    check_end(shell("kill -TERM $$"), SANDLOCK_EXIT_REASON_SIGNALED, -1, SIGTERM);
    check_end(shell("kill -KILL $$"), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
}

static void output_is_captured_per_stream(void)
{
    sandlock_result_t *result = shell("echo out; echo err >&2");
    uintptr_t length = 0;
    char *text = sandlock_result_stdout(result);

    CHECK_TEXT(text, "out\n");
    sandlock_string_free(text);
    text = sandlock_result_stderr(result);
    CHECK_TEXT(text, "err\n");
    sandlock_string_free(text);
    sandlock_string_free(text);
    CHECK(memcmp(sandlock_result_stdout_bytes(result, &length), "out\n", 4) == 0 && length == 4);
    check_exit(result, 0);

    result = shell(":");
    length = 1;
    CHECK(sandlock_result_stdout_bytes(result, &length) != NULL && length == 0);
    check_exit(result, 0);
}

static void ten_megabytes_on_both_streams(void)
{
    sandlock_result_t *result =
        shell("head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; "
              "wait");
    uintptr_t out = 0;
    uintptr_t err = 0;

    CHECK(result != NULL);
    CHECK(sandlock_result_stdout_bytes(result, &out) != NULL);
    CHECK(sandlock_result_stderr_bytes(result, &err) != NULL);
    CHECK(out == 10000000 && err == 10000000);
    CHECK(sandlock_result_stdout(result) == NULL); /* NUL bytes: not a text */
    check_exit(result, 0);
}

/* Written by a process that outlives the command: it is dead and its output is in when run returns. */
static void what_the_command_leaves_behind_is_gone(void)
{
    sandlock_result_t *result = shell("(trap '' HUP TERM; echo left; exec sleep 1000) & "
                                      "sleep 0.2; echo $!");
    char *text = sandlock_result_stdout(result);
    int pid = 0;

    CHECK(text != NULL && sscanf(text, "left\n%d", &pid) == 1);
    CHECK(process_state(pid) == 0);
    sandlock_string_free(text);
    check_exit(result, 0);
}

static void missing_commands_end_with_127(void)
{
    sandlock_result_t *result = sandlock_run(policy, NULL, ARGV("/no/such/command"));
    char *text = sandlock_result_stderr(result);

    CHECK_CONTAINS(text, "sandlock child: ");
    CHECK_CONTAINS(text, "/no/such/command");
    sandlock_string_free(text);
    CHECK_CONTAINS(sandlock_last_error(), "exec");
    CHECK(sandlock_last_errno() == ENOENT);
    check_exit(result, 127);
    CHECK(sandlock_run_interactive(policy, NULL, ARGV("/no/such/command")) == 127);
}

static void interactive_runs_give_the_code(void)
{
    CHECK(sandlock_run_interactive(policy, NULL, SHELL("exit 3")) == 3);
    CHECK(sandlock_run_interactive(policy, NULL, SHELL("kill -TERM $$")) == -1);
    CHECK_CONTAINS(sandlock_last_error(), "signal 15");
    CHECK(sandlock_run_interactive(policy, NULL, SHELL("kill -KILL $$")) == -1);
    CHECK_CONTAINS(sandlock_last_error(), "signal 9");
}

static void names_are_checked_and_unique(void)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a/b",
                                      "a b",
                                      "a\n",
                                      "\x7f",
                                      "\xff",
                                      "0123456789012345678901234567890123456789012345678901234567"
                                      "8901234"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(sandlock_run(policy, bad[i], SHELL(":")) == NULL);
        CHECK_CONTAINS(sandlock_last_error(), "the sandbox name ");
        CHECK(strstr(sandlock_last_error(), "sandbox name: ") == NULL);
    }
    check_exit(sandlock_run(policy, "c-abi-\xc3\xa4", SHELL(":")), 0);

    sandlock_handle_t *handle = sandlock_create(policy, "c-abi-taken", SHELL(":"));
    CHECK(handle != NULL);
    CHECK(sandlock_run(policy, "c-abi-taken", SHELL(":")) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "c-abi-taken");
    sandlock_start(handle);
    check_exit(sandlock_handle_wait(handle), 0);
    /* The name is free as soon as the wait has returned, though the handle still exists. */
    check_exit(sandlock_run(policy, "c-abi-taken", SHELL(":")), 0);
    sandlock_handle_free(handle);
}

static void a_missing_grant_fails_the_run(void)
{
    sandlock_sandbox_t *other =
        build(sandlock_sandbox_builder_fs_read(base_builder(), "/no/such/grant"));

    CHECK(sandlock_run(other, NULL, SHELL(":")) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "/no/such/grant");
    CHECK(sandlock_last_errno() == ENOENT);
    CHECK(sandlock_create(other, NULL, SHELL(":")) == NULL);
    CHECK(sandlock_popen(other, NULL, SHELL(":"), 0, 0, 0, NULL, NULL, NULL) == NULL);
    CHECK(sandlock_run_interactive(other, NULL, SHELL(":")) == -1);
    sandlock_sandbox_free(other);
}

static void a_grant_that_may_be_missing_fails_none(void)
{
    sandlock_builder_t *b =
        sandlock_sandbox_builder_fs_write_if_exists(base_builder(), "/no/such/grant");
    sandlock_sandbox_t *other = build(b);

    check_exit(sandlock_run(other, NULL, SHELL("exit 4")), 4);
    sandlock_sandbox_free(other);
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    other = build(sandlock_sandbox_builder_fs_write_if_exists(base_builder(), path));
    check_exit(
        sandlock_run(other, NULL, ARGV("/bin/sh", "-c", ": >\"$0\"/file && rm \"$0\"/file", path)),
        0);
    CHECK(rmdir(path) == 0);
    sandlock_sandbox_free(other);
}

static void required_entries_are_active_or_nothing_runs(void)
{
    sandlock_sandbox_t *other = build(sandlock_sandbox_builder_require(base_builder(), "fs-refer"));

    check_exit(sandlock_run(other, NULL, SHELL("exit 4")), 4);
    sandlock_sandbox_free(other);
    sandlock_builder_t *b = sandlock_sandbox_builder_require(base_builder(), "fs-refer, net-tcp");
    other = build(sandlock_sandbox_builder_disable(b, SANDLOCK_PROTECTION_NET_TCP));
    CHECK(sandlock_run(other, NULL, SHELL("exit 4")) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "\"net-tcp\"");
    sandlock_sandbox_free(other);
}

static void arguments_and_environment_pass_as_bytes(void)
{
    sandlock_builder_t *b = base_builder();

    b = sandlock_sandbox_builder_clean_env(b, true);
    b = sandlock_sandbox_builder_env_var(b, "BYTES", "a\xff=b");
    sandlock_sandbox_t *other = build(b);
    sandlock_result_t *result = sandlock_run(
        other, NULL,
        ARGV("/bin/sh", "-c", "printf '%s|%s|%s' \"$BYTES\" \"$1\" \"$SECRET\"", "sh", "x\xfe"));
    uintptr_t length = 0;
    const uint8_t *bytes = sandlock_result_stdout_bytes(result, &length);
    CHECK(length == 8 && memcmp(bytes, "a\xff=b|x\xfe|", 8) == 0);
    char *text = sandlock_result_stdout(result);
    CHECK_TEXT(text, "a\xef\xbf\xbd=b|x\xef\xbf\xbd|");
    sandlock_string_free(text);
    check_exit(result, 0);
    sandlock_sandbox_free(other);
}

/* The grants are enforced: the same act succeeds where it is granted and outside of a sandbox. */
static void files_outside_the_grants_are_out_of_reach(void)
{
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    char script[128];
    int fd = mkstemp(path);

    CHECK(fd >= 0 && write(fd, "secret", 6) == 6);
    close(fd);
    snprintf(script, sizeof(script), "cat %s", path);
    CHECK(system(script) == 0);
    sandlock_result_t *result = shell(script);
    uintptr_t length = 1;
    sandlock_result_stdout_bytes(result, &length);
    CHECK(length == 0);
    check_exit(result, 1);
    sandlock_sandbox_t *other = build(sandlock_sandbox_builder_fs_read(base_builder(), path));
    check_exit(sandlock_run(other, NULL, SHELL(script)), 0);
    sandlock_sandbox_free(other);
    unlink(path);
}

int main(void)
{
    setenv("SECRET", "not inherited", 1);
    policy = base_policy();
    endings();
    output_is_captured_per_stream();
    ten_megabytes_on_both_streams();
    what_the_command_leaves_behind_is_gone();
    missing_commands_end_with_127();
    interactive_runs_give_the_code();
    names_are_checked_and_unique();
    a_missing_grant_fails_the_run();
    a_grant_that_may_be_missing_fails_none();
    required_entries_are_active_or_nothing_runs();
    arguments_and_environment_pass_as_bytes();
    files_outside_the_grants_are_out_of_reach();
    sandlock_sandbox_free(policy);
    return 0;
}
