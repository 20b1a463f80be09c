/* Output of the command line: see cli.h. Nothing is buffered, so that a message is out before whatever
 * happens next, and a run never holds text that a signal could lose. */
#include "cli/cli.h"

#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void say_prefixed(const char *text)
{
    CLEANUP_BUFFER struct buffer line = BUFFER_INIT;

    buffer_append_text(&line, "sandlock: ");
    text_escape_controls(&line, text, strlen(text));
    buffer_append_char(&line, '\n');
    if (!buffer_failed(&line))
        fd_write_all(STDERR_FILENO, line.data, line.length);
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
