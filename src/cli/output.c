/* Output of the command line: see cli.h. Nothing is buffered, so that a message is out before whatever
 * happens next, and a run never holds text that a signal could lose. */
#include "cli/cli.h"

#include "kernel/sys.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What all readers of reports get together, whose pipe is full. */
#define PATIENCE_NS 5000000000LL

/* Of this process, so one variable: a reader that kept one message waiting is not waited for with the next. */
static int64_t patience = PATIENCE_NS;

int64_t cli_patience(void)
{
    return patience;
}

void cli_patience_spend(int64_t nanoseconds)
{
    patience -= nanoseconds < patience ? nanoseconds : patience;
}

static int wait_for_room(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    int ready = poll(&polled, 1, (int)(patience / 1000000));

    return ready != 0 ? 0 : -ETIMEDOUT;
}

int cli_write(int fd, const void *data, size_t size, int (*await_room)(void *data, int fd),
              void *await_data)
{
    const char *next = data;
    int result = 0;

    while (size > 0 && result == 0) {
        int64_t started = sys_monotonic_ns();
        result = await_room != NULL ? await_room(await_data, fd) : wait_for_room(fd);
        /* A pipe that has room takes so much at once, also where it blocks. */
        ssize_t written = result == 0 ? write(fd, next, size < PIPE_BUF ? size : PIPE_BUF) : 0;
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            result = -errno;
        if (written > 0) {
            next += written;
            size -= (size_t)written;
        }
        cli_patience_spend(sys_monotonic_ns() - started);
        if (written < 0 && result == 0 && patience == 0)
            result = -ETIMEDOUT;
    }
    return result;
}

static void say_prefixed(const char *text)
{
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;

    buffer_append_text(&line, "sandlock: ");
    text_escape_controls(&line, text, strlen(text));
    buffer_append_char(&line, '\n');
    if (!buffer_failed(&line))
        cli_write(STDERR_FILENO, line.data, line.length, NULL, NULL);
}

void cli_say(const char *format, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    say_prefixed(text != NULL ? text : format);
}

int cli_fail(const struct error *err)
{
    say_prefixed(err->text);
    return err->kind == ERROR_CONFIG ? CLI_USAGE : CLI_OWN_FAILURE;
}

int cli_fail_plain(const struct error *err)
{
    say_prefixed(err->text);
    return CLI_FAILURE;
}

int cli_print(const struct buffer *text)
{
    if (buffer_failed(text)) {
        cli_say("out of memory");
        return CLI_FAILURE;
    }
    /* What main() put there takes everything and keeps nothing. */
    int flags = fcntl(STDOUT_FILENO, F_GETFD);
    int result = flags < 0 || (flags & FD_CLOEXEC) != 0
                     ? -EBADF
                     : fd_write_all(STDOUT_FILENO, buffer_text(text), text->length);
    if (result == 0 || result == -EPIPE)
        return CLI_OK;
    cli_say("writing standard output: %s", strerror(-result));
    return CLI_FAILURE;
}

int cli_help(const struct cli_command *command, bool long_form)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    command->help(&text, long_form);
    return cli_print(&text);
}

int cli_usage_error(const char *command, const char *format, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    cli_say("%s (see sandlock %s%s--help)", text != NULL ? text : format, command,
            command[0] != '\0' ? " " : "");
    return CLI_USAGE;
}
