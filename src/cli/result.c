/* How a run ended: see result.h. */
#include "cli/result.h"

#include "cli/cli.h"
#include "util/json.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static int launch_failure_status(const struct outcome *outcome)
{
    if (outcome->failed_step != STEP_EXEC)
        return CLI_OWN_FAILURE;
    return outcome->failed_errno == ENOENT || outcome->failed_errno == ENOTDIR ? CLI_NOT_FOUND
                                                                               : CLI_NOT_EXECUTABLE;
}

int result_exit_status(const struct outcome *outcome)
{
    if (outcome->host_signal != 0)
        return CLI_SIGNAL_BASE + outcome->host_signal;
    if (outcome->failure != NULL)
        return CLI_OWN_FAILURE;
    if (outcome->failed_step != STEP_NONE)
        return launch_failure_status(outcome);
    switch (outcome->reason) {
    case EXIT_EXITED:
        return outcome->code;
    case EXIT_TIMEOUT:
        return CLI_TIMEOUT;
    case EXIT_SIGNALED:
    case EXIT_KILLED:
        break;
    }
    return CLI_SIGNAL_BASE + (outcome->signal != 0 ? outcome->signal : SIGKILL);
}

void result_duration(uint64_t milliseconds, char *text, size_t size)
{
    unsigned rest = (unsigned)(milliseconds % 1000);
    int digits = 3;

    if (rest == 0) {
        snprintf(text, size, "%" PRIu64 "s", milliseconds / 1000);
        return;
    }
    while (rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    snprintf(text, size, "%" PRIu64 ".%0*us", milliseconds / 1000, digits, rest);
}

static const char *reason_text(const struct outcome *outcome)
{
    if (outcome == NULL || outcome->failure != NULL || outcome->failed_step != STEP_NONE)
        return "error";
    switch (outcome->reason) {
    case EXIT_EXITED:
        return "exited";
    case EXIT_SIGNALED:
        return "signaled";
    case EXIT_TIMEOUT:
        return "timeout";
    case EXIT_KILLED:
        break;
    }
    return "killed";
}

/* The command's code, whatever ended the run; where the command never ran, the status that tells so; -1
 * after a signal. */
static int record_exit_code(const struct outcome *outcome, const struct result_facts *facts)
{
    if (outcome == NULL || outcome->failed_step != STEP_NONE || facts->pid <= 0)
        return facts->status;
    return outcome->failure == NULL ? outcome->command_code : -1;
}

static void write_failure(struct json *json, const struct outcome *outcome,
                          const struct result_facts *facts)
{
    if (outcome == NULL) {
        json_string_member(json, "error", facts->error);
        return;
    }
    if (outcome->failure != NULL)
        json_string_member(json, "error", outcome->failure);
    if (outcome->failed_step != STEP_NONE) {
        json_string_member(json, "step", launch_step_name(outcome->failed_step));
        json_int_member(json, "errno", outcome->failed_errno);
    }
}

static int64_t cpu_milliseconds(const struct rusage *usage)
{
    return (int64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
}

void result_record(const struct outcome *outcome, const struct result_facts *facts,
                   struct buffer *out)
{
    struct json json;

    json_init(&json, out, 0);
    json_object_begin(&json);
    json_int_member(&json, "exit_code", record_exit_code(outcome, facts));
    if (outcome != NULL && outcome->signal != 0)
        json_int_member(&json, "signal", outcome->signal);
    json_int_member(&json, "v", 1);
    json_string_member(&json, "reason", reason_text(outcome));
    json_int_member(&json, "status", facts->status);
    if (outcome != NULL && outcome->reason == EXIT_TIMEOUT)
        json_string_member(&json, "limit", "timeout");
    write_failure(&json, outcome, facts);
    json_string_member(&json, "name", facts->name);
    if (facts->pid > 0)
        json_int_member(&json, "pid", facts->pid);
    if (outcome != NULL) {
        json_int_member(&json, "wall_ms", outcome->wall_ns / 1000000);
        json_int_member(&json, "cpu_ms", cpu_milliseconds(&outcome->usage));
        json_int_member(&json, "max_memory_bytes", (int64_t)outcome->usage.ru_maxrss * 1024);
        json_int_member(&json, "denials", (int64_t)facts->denials);
    }
    json_object_end(&json);
    buffer_append_char(out, '\n');
}
