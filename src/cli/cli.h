/*
 * What the commands of the command line share: the command table, exit statuses and output. All text
 * for people goes to standard error with the prefix "sandlock: ", every message in one write; only
 * the answers of commands that exist to print something go to standard output.
 */
#ifndef SANDLOCK_CLI_CLI_H
#define SANDLOCK_CLI_CLI_H

#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of our own. Chosen as env(1), timeout(1) and the shells use them. */
enum cli_status {
    CLI_OK = 0,
    CLI_FAILURE = 1,       /* a command other than run failed */
    CLI_USAGE = 2,         /* asked for wrongly, found before a process existed */
    CLI_TIMEOUT = 124,     /* the time limit fired */
    CLI_OWN_FAILURE = 125, /* sandlock itself or a launch step failed */
    CLI_NOT_EXECUTABLE = 126,
    CLI_NOT_FOUND = 127,
    CLI_SIGNAL_BASE = 128, /* plus the signal that ended the command */
};

struct cli_command {
    const char *name;
    /* argv[0] is the command's own name. Returns the exit status. */
    int (*main)(int argc, const char *const *argv);
    void (*help)(struct buffer *out, bool long_form);
};

/* The commands of this build; ends with a row whose name is NULL. */
extern const struct cli_command cli_commands[];

const struct cli_command *cli_command_find(const char *name); /* NULL: there is none */

/* Writes a report, in pieces that a pipe takes at once. A reader that lets its pipe fill up never keeps sandlock from
 * ending: all waits together are at most some seconds long. `await_room`, if it is not NULL, waits in our place until
 * the descriptor takes something and gives 0 or -errno. 0 or -errno; -ETIMEDOUT: what is left was not read. */
int cli_write(int fd, const void *data, size_t size, int (*await_room)(void *data, int fd),
              void *await_data);

/* What is left of it, in nanoseconds, and what was used up elsewhere. */
int64_t cli_patience(void);
void cli_patience_spend(int64_t nanoseconds);

/* "sandlock: TEXT\n" on standard error, in one write. It stays one line, whatever TEXT quotes. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the error and returns the exit status that belongs to its kind in `run`. */
int cli_fail(const struct error *err);

/* The same for the other commands, where every failure but a usage error is 1. */
int cli_fail_plain(const struct error *err);

/* Writes to standard output. CLI_OK, also when nobody reads it any more (EPIPE); otherwise the
 * failure was reported. */
int cli_print(const struct buffer *text);

/* Help asked for: on standard output, status 0. */
int cli_help(const struct cli_command *command, bool long_form);

/* Usage error of a command that takes few words: the reason, the way to the help, status 2. */
int cli_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int cli_run_main(int argc, const char *const *argv);
int cli_check_main(int argc, const char *const *argv);
int cli_profile_main(int argc, const char *const *argv);
int cli_help_main(int argc, const char *const *argv);

#endif
