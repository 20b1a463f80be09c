/*
 * Results: a copy of how a run ended and of what it wrote, independent of the sandbox it came from.
 */
#include "api/api.h"

#include "util/buffer.h"
#include "util/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)SANDLOCK_EXIT_REASON_EXITED == (int)EXIT_EXITED, "exit reason");
_Static_assert((int)SANDLOCK_EXIT_REASON_SIGNALED == (int)EXIT_SIGNALED, "exit reason");
_Static_assert((int)SANDLOCK_EXIT_REASON_KILLED == (int)EXIT_KILLED, "exit reason");
_Static_assert((int)SANDLOCK_EXIT_REASON_TIMEOUT == (int)EXIT_TIMEOUT, "exit reason");
_Static_assert(sizeof(sandlock_exit_reason) == 4, "exit reason");

/* ---- Making ------------------------------------------------------------------------------------ */

/* One byte more than needed: empty output is captured output, and has an address. */
static bool copy_bytes(struct captured *captured, const char *bytes, size_t length)
{
    if (bytes == NULL)
        return true;
    captured->bytes = malloc(length + 1);
    if (captured->bytes == NULL)
        return false;
    memcpy(captured->bytes, bytes, length);
    captured->bytes[length] = '\0';
    captured->length = length;
    return true;
}

sandlock_result_t *api_result_new(const struct outcome *outcome, const char *const output[2],
                                  const size_t length[2])
{
    sandlock_result_t *result = calloc(1, sizeof(*result));

    if (result == NULL)
        return NULL;
    result->object.tag = API_RESULT;
    result->reason = (sandlock_exit_reason)outcome->reason;
    result->code = outcome->reason == EXIT_EXITED ? outcome->code : -1;
    result->signal = outcome->reason == EXIT_SIGNALED ? outcome->signal : -1;
    result->failed = outcome->failure != NULL;
    if (copy_bytes(&result->streams[0], output[0], length[0]) &&
        copy_bytes(&result->streams[1], output[1], length[1]))
        return result;
    sandlock_result_free(result);
    return NULL;
}

/* A run that ended badly for a reason of ours has a result all the same; the reason goes where a
 * caller can ask for it. */
static void explain(const struct outcome *outcome)
{
    struct error err;

    error_clear(&err);
    if (outcome->failure != NULL || outcome->left != NULL) {
        error_runtime(&err, 0, "%s", outcome->failure != NULL ? outcome->failure : outcome->left);
        api_report(&err);
    } else if (outcome->failed_step != STEP_NONE) {
        /* The child has said so on its own standard error. */
        error_runtime(&err, outcome->failed_errno, "%s", launch_step_name(outcome->failed_step));
        api_set_error(&err);
    }
}

sandlock_result_t *api_result_wait(struct sandbox *sandbox, uint64_t timeout_ms)
{
    struct outcome outcome = {.failed_step = STEP_NONE};
    const char *output[2] = {NULL, NULL};
    size_t length[2] = {0, 0};
    struct error err;

    error_clear(&err);
    if (!sandbox_wait(sandbox, timeout_ms, 0, &outcome, &err)) {
        api_report(&err);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        bool captured = false;
        const char *bytes = sandbox_output(sandbox, STDOUT_FILENO + i, &length[i], &captured);
        if (captured)
            output[i] = bytes != NULL ? bytes : "";
    }
    sandlock_result_t *result = api_result_new(&outcome, output, length);
    if (result == NULL) {
        error_runtime(&err, 0, "out of memory while copying the output of the command");
        api_report(&err);
        return NULL;
    }
    if (sandbox_output_is_cut(sandbox)) {
        error_runtime(&err, ENOMEM, "the captured output of the command is not complete");
        api_report(&err);
    }
    explain(&outcome);
    return result;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

int sandlock_result_exit_code(const sandlock_result_t *result)
{
    return api_is(result, API_RESULT) ? result->code : -1;
}

sandlock_exit_reason sandlock_result_reason(const sandlock_result_t *result)
{
    return api_is(result, API_RESULT) ? result->reason : SANDLOCK_EXIT_REASON_KILLED;
}

int sandlock_result_signal(const sandlock_result_t *result)
{
    return api_is(result, API_RESULT) ? result->signal : -1;
}

bool sandlock_result_success(const sandlock_result_t *result)
{
    return api_is(result, API_RESULT) && result->reason == SANDLOCK_EXIT_REASON_EXITED &&
           result->code == 0;
}

static const uint8_t *stream_bytes(const sandlock_result_t *result, int stream, uintptr_t *len)
{
    if (len == NULL)
        return NULL;
    *len = 0;
    if (!api_is(result, API_RESULT))
        return NULL;
    *len = result->streams[stream].length;
    return result->streams[stream].bytes;
}

const uint8_t *sandlock_result_stdout_bytes(const sandlock_result_t *result, uintptr_t *len)
{
    return stream_bytes(result, 0, len);
}

const uint8_t *sandlock_result_stderr_bytes(const sandlock_result_t *result, uintptr_t *len)
{
    return stream_bytes(result, 1, len);
}

/*
 * How many bytes at the start are one maximal invalid part: a sequence that is right as far as it
 * goes counts as one, anything else byte by byte (Unicode, "substitution of maximal subparts").
 * Behind the second byte of a sequence any continuation byte is right, so one trial completion tells.
 */
static size_t invalid_part(const uint8_t *bytes, size_t length)
{
    size_t part = 1;

    for (size_t have = 2; have <= 3 && have <= length; have++) {
        char trial[4] = {'\x80', '\x80', '\x80', '\x80'};
        memcpy(trial, bytes, have);
        if (text_utf8_sequence(trial, sizeof(trial)) <= have)
            break;
        part = have;
    }
    return part;
}

char *api_text_from_bytes(const uint8_t *bytes, size_t length)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    size_t start = 0;

    for (size_t at = 0; at < length;) {
        size_t sequence = text_utf8_sequence((const char *)bytes + at, length - at);
        if (sequence > 0) {
            at += sequence;
            continue;
        }
        buffer_append(&text, bytes + start, at - start);
        buffer_append_text(&text, "\xef\xbf\xbd");
        at += invalid_part(bytes + at, length - at);
        start = at;
    }
    buffer_append(&text, bytes + start, length - start);
    return buffer_take(&text);
}

static char *stream_text(const sandlock_result_t *result, int stream)
{
    if (!api_is(result, API_RESULT))
        return NULL;
    const struct captured *captured = &result->streams[stream];
    if (captured->bytes == NULL || memchr(captured->bytes, '\0', captured->length) != NULL)
        return NULL;
    char *text = api_string_give(api_text_from_bytes(captured->bytes, captured->length));
    if (text == NULL)
        api_fail(0, "out of memory while copying the output of the command");
    return text;
}

char *sandlock_result_stdout(const sandlock_result_t *result)
{
    return stream_text(result, 0);
}

char *sandlock_result_stderr(const sandlock_result_t *result)
{
    return stream_text(result, 1);
}

void sandlock_result_free(sandlock_result_t *result)
{
    if (!api_is(result, API_RESULT))
        return;
    result->object.tag = API_RELEASED;
    free(result->streams[0].bytes);
    free(result->streams[1].bytes);
    free(result);
}
