/*
 * Help texts, written from the option table and the tables below: nothing about an option is said
 * anywhere else. The generators of the man pages and completions (docgen.c) read the same tables.
 */
#ifndef SANDLOCK_CLI_HELP_H
#define SANDLOCK_CLI_HELP_H

#include "policy/options.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/* COMMAND(name, arguments, summary) for every command of this build. */
#define CLI_COMMANDS(COMMAND)                                                              \
    COMMAND(run, "[OPTION...] [--] COMMAND [ARG...]", "run a command confined")            \
    COMMAND(check, "[--json] [--profile NAME]", "report what this system supports")        \
    COMMAND(profile, "list | show NAME | delete NAME", "manage the profiles of this user") \
    COMMAND(help, "[COMMAND...]", "explain a command")

void help_top(struct buffer *out);
void help_run(struct buffer *out, bool long_form);
void help_check(struct buffer *out, bool long_form);
void help_profile(struct buffer *out, bool long_form);
void help_help(struct buffer *out, bool long_form);

/* The headings of the option groups in the order of the table; the result is NULL after the last. */
const char *help_group(size_t index);

/* True for options that are shown: they have a name and are no compatibility spelling. */
bool help_shows(const struct option_spec *spec);

struct help_pair {
    const char *name;
    const char *text;
};

/* Grammar of values, exit statuses, examples; each ends with a row whose name is NULL. */
extern const struct help_pair help_values[];
extern const struct help_pair help_statuses[];
extern const struct help_pair help_examples[]; /* name: the command line */

/* True if an option that is shown takes a value written as `metavar`. */
bool help_uses_value(const char *metavar);

struct help_command {
    const char *name;
    const char *arguments;
    const char *summary;
};

/* The rows of CLI_COMMANDS; ends with a row whose name is NULL. */
extern const struct help_command help_commands[];

#endif
