/* How a run ended, as exit status, text and status record. */
#include "../policy/policy_test.h"

#include "cli/cli.h"
#include "cli/result.h"

#include <errno.h>
#include <signal.h>

static struct outcome exited(int code)
{
    return (struct outcome){.reason = EXIT_EXITED, .code = code, .command_code = code};
}

static struct outcome ended_by(enum exit_reason reason, int signal_number)
{
    return (struct outcome){
        .reason = reason, .code = -1, .command_code = -1, .signal = signal_number};
}

static struct outcome failed_at(enum launch_step step, int failed_errno)
{
    return (struct outcome){
        .reason = EXIT_EXITED, .code = 127, .failed_step = step, .failed_errno = failed_errno};
}

static void assert_status(struct outcome outcome, int status)
{
    assert_int_equal(result_exit_status(&outcome), status);
}

static void test_a_code_is_passed_on(void **state)
{
    assert_status(exited(0), 0);
    assert_status(exited(1), 1);
    assert_status(exited(255), 255);
}

static void test_a_signal_gives_128_plus_its_number(void **state)
{
    assert_status(ended_by(EXIT_SIGNALED, SIGTERM), 143);
    assert_status(ended_by(EXIT_SIGNALED, SIGSEGV), 139);
    assert_status(ended_by(EXIT_KILLED, SIGKILL), 137);
    /* The status could not be obtained. */
    assert_status(ended_by(EXIT_KILLED, 0), 137);
}

static void test_a_timeout_gives_124_however_the_command_ended(void **state)
{
    struct outcome graceful = {.reason = EXIT_TIMEOUT, .code = -1};

    assert_status(ended_by(EXIT_TIMEOUT, SIGKILL), CLI_TIMEOUT);
    assert_status(graceful, CLI_TIMEOUT);
}

static void test_a_failed_exec_is_told_by_its_errno(void **state)
{
    assert_status(failed_at(STEP_EXEC, ENOENT), 127);
    assert_status(failed_at(STEP_EXEC, ENOTDIR), 127);
    assert_status(failed_at(STEP_EXEC, EACCES), 126);
    assert_status(failed_at(STEP_EXEC, ENOEXEC), 126);
    assert_status(failed_at(STEP_EXEC, E2BIG), 126);
}

static void test_own_failures_give_125(void **state)
{
    struct outcome broken = exited(0);

    broken.failure = "the guardian was killed";
    assert_status(broken, 125);
    for (int step = STEP_NONE + 1; step < STEP_COUNT; step++) {
        if (step != STEP_EXEC)
            assert_status(failed_at((enum launch_step)step, ENOENT), 125);
    }
}

static void assert_duration(uint64_t milliseconds, const char *expected)
{
    char text[32];

    result_duration(milliseconds, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_durations_read_as_seconds(void **state)
{
    assert_duration(1000, "1s");
    assert_duration(2000, "2s");
    assert_duration(60000, "60s");
    assert_duration(3600000, "3600s");
    assert_duration(1500, "1.5s");
    assert_duration(50, "0.05s");
    assert_duration(1, "0.001s");
    assert_duration(1010, "1.01s");
    assert_duration(UINT64_MAX, "18446744073709551.615s");
}

static void assert_record(const struct outcome *outcome, const struct result_facts *facts,
                          const char *expected)
{
    struct buffer line = BUFFER_INIT;

    result_record(outcome, facts, &line);
    assert_string_equal(buffer_text(&line), expected);
    buffer_free(&line);
}

static void test_the_record_of_an_ordinary_end(void **state)
{
    struct outcome outcome = exited(3);
    struct result_facts facts = {.name = "box", .pid = 42, .denials = 7, .status = 3};

    outcome.wall_ns = 1500 * 1000000LL;
    outcome.usage.ru_utime.tv_sec = 1;
    outcome.usage.ru_stime.tv_usec = 250000;
    outcome.usage.ru_maxrss = 2;
    assert_record(&outcome, &facts,
                  "{\"exit_code\":3,\"v\":1,\"reason\":\"exited\",\"status\":3,\"name\":\"box\","
                  "\"pid\":42,\"wall_ms\":1500,\"cpu_ms\":1250,\"max_memory_bytes\":2048,"
                  "\"denials\":7}\n");
}

static void test_the_record_of_a_signal_names_it(void **state)
{
    struct outcome outcome = ended_by(EXIT_KILLED, SIGKILL);
    struct result_facts facts = {.name = "box", .pid = 42, .status = 137};

    assert_record(&outcome, &facts,
                  "{\"exit_code\":-1,\"signal\":9,\"v\":1,\"reason\":\"killed\",\"status\":137,"
                  "\"name\":\"box\",\"pid\":42,\"wall_ms\":0,\"cpu_ms\":0,\"max_memory_bytes\":0,"
                  "\"denials\":0}\n");
}

static void test_the_record_of_a_timeout_names_the_limit(void **state)
{
    struct outcome outcome = ended_by(EXIT_TIMEOUT, SIGKILL);
    struct result_facts facts = {.name = "box", .pid = 42, .status = 124};

    assert_record(&outcome, &facts,
                  "{\"exit_code\":-1,\"signal\":9,\"v\":1,\"reason\":\"timeout\",\"status\":124,"
                  "\"limit\":\"timeout\",\"name\":\"box\",\"pid\":42,\"wall_ms\":0,\"cpu_ms\":0,"
                  "\"max_memory_bytes\":0,\"denials\":0}\n");
}

static void test_the_record_of_a_timeout_has_the_code_of_a_command_that_exited(void **state)
{
    struct outcome outcome = {.reason = EXIT_TIMEOUT, .code = -1, .command_code = 7};
    struct result_facts facts = {.name = "box", .pid = 42, .status = 124};

    assert_record(&outcome, &facts,
                  "{\"exit_code\":7,\"v\":1,\"reason\":\"timeout\",\"status\":124,"
                  "\"limit\":\"timeout\",\"name\":\"box\",\"pid\":42,\"wall_ms\":0,\"cpu_ms\":0,"
                  "\"max_memory_bytes\":0,\"denials\":0}\n");
    /* It never ran: looking up names took all the time. */
    outcome.command_code = -1;
    facts.pid = 0;
    assert_record(&outcome, &facts,
                  "{\"exit_code\":124,\"v\":1,\"reason\":\"timeout\",\"status\":124,"
                  "\"limit\":\"timeout\",\"name\":\"box\",\"wall_ms\":0,\"cpu_ms\":0,"
                  "\"max_memory_bytes\":0,\"denials\":0}\n");
}

static void test_a_signal_that_ends_sandlock_is_its_status(void **state)
{
    struct outcome outcome = exited(5);

    outcome.host_signal = SIGTERM;
    assert_status(outcome, 143);
    outcome.reason = EXIT_TIMEOUT;
    assert_status(outcome, 143);
}

static void test_the_record_of_a_failed_exec_names_step_and_errno(void **state)
{
    struct outcome outcome = failed_at(STEP_EXEC, EACCES);
    struct result_facts facts = {.name = "box", .pid = 42, .status = 126};

    assert_record(&outcome, &facts,
                  "{\"exit_code\":126,\"v\":1,\"reason\":\"error\",\"status\":126,"
                  "\"step\":\"exec\",\"errno\":13,\"name\":\"box\",\"pid\":42,\"wall_ms\":0,"
                  "\"cpu_ms\":0,\"max_memory_bytes\":0,\"denials\":0}\n");
}

static void test_the_record_before_a_sandbox_existed(void **state)
{
    struct result_facts facts = {.error = "no \"such\" path\n", .status = 2};

    assert_record(NULL, &facts,
                  "{\"exit_code\":2,\"v\":1,\"reason\":\"error\",\"status\":2,"
                  "\"error\":\"no \\\"such\\\" path\\n\",\"name\":null}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_code_is_passed_on),
        cmocka_unit_test(test_a_signal_gives_128_plus_its_number),
        cmocka_unit_test(test_a_timeout_gives_124_however_the_command_ended),
        cmocka_unit_test(test_a_failed_exec_is_told_by_its_errno),
        cmocka_unit_test(test_own_failures_give_125),
        cmocka_unit_test(test_durations_read_as_seconds),
        cmocka_unit_test(test_the_record_of_an_ordinary_end),
        cmocka_unit_test(test_the_record_of_a_signal_names_it),
        cmocka_unit_test(test_the_record_of_a_timeout_names_the_limit),
        cmocka_unit_test(test_the_record_of_a_timeout_has_the_code_of_a_command_that_exited),
        cmocka_unit_test(test_a_signal_that_ends_sandlock_is_its_status),
        cmocka_unit_test(test_the_record_of_a_failed_exec_names_step_and_errno),
        cmocka_unit_test(test_the_record_before_a_sandbox_existed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
