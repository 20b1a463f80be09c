/*
 * The last error of each thread, and diagnostics on standard error. A thread's error is replaced by
 * the next failing call on it and by nothing else, like errno, so that a caller may look at it late.
 */
#include "api/api.h"
#include "util/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/*
 * Standard error may be a pipe that nobody reads any more, and the host may have the default action
 * for SIGPIPE. So the signal is blocked on this thread for the write, and one that the write caused is
 * consumed; one that was pending before stays.
 */
static void write_without_sigpipe(int fd, const char *text, size_t length)
{
    const struct timespec at_once = {0, 0};
    sigset_t pipe_signal;
    sigset_t pending;
    sigset_t saved;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &pipe_signal, &saved) != 0)
        return;
    int result = fd_write_all(fd, text, length);
    if (result == -EPIPE && !was_pending)
        (void)RETRY_ON_EINTR(sigtimedwait(&pipe_signal, NULL, &at_once));
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

void api_report(const struct error *err)
{
    char line[ERROR_TEXT_MAX + 16];
    int length;

    api_set_error(err);
    length = snprintf(line, sizeof(line), "sandlock: %s\n", err->text);
    if (length > 0 && (size_t)length < sizeof(line))
        write_without_sigpipe(STDERR_FILENO, line, (size_t)length);
}
