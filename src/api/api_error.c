/*
 * The last error of each thread, and diagnostics on standard error. A thread's error is replaced by
 * the next failing call on it and by nothing else, like errno, so that a caller may look at it late.
 */
#include "api/api.h"
#include "util/fd.h"
#include "util/quiet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local struct error last_error;

void api_set_error(const struct error *err)
{
    if (err != &last_error)
        last_error = *err;
}

bool api_fail(int sys_errno, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_runtime(&last_error, sys_errno, "%s", text);
}

const char *sandlock_last_error(void)
{
    return last_error.text;
}

int sandlock_last_errno(void)
{
    return last_error.sys_errno;
}

/* Standard error may be a pipe that nobody reads any more, or a file at its limit. In one write: a host
 * whose descriptor does not block is not to be kept waiting. */
static void write_quietly(int fd, const char *text, size_t length)
{
    struct quiet quiet;

    quiet_begin(&quiet);
    ssize_t written = RETRY_ON_EINTR(write(fd, text, length));
    (void)written;
    quiet_end(&quiet);
}

void api_report(const struct error *err)
{
    char line[ERROR_TEXT_MAX + 16];
    int length;

    api_set_error(err);
    length = snprintf(line, sizeof(line), "sandlock: %s\n", err->text);
    if (length > 0 && (size_t)length < sizeof(line))
        write_quietly(STDERR_FILENO, line, (size_t)length);
}

void api_warn(const char *warning)
{
    char line[ERROR_TEXT_MAX + 128];

    if (warning == NULL)
        return;
    int length = snprintf(line, sizeof(line), "sandlock: warning: " SANDBOX_WARNING "\n", warning);
    if (length > 0 && (size_t)length < sizeof(line))
        write_quietly(STDERR_FILENO, line, (size_t)length);
}
