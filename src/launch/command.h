/*
 * What the child executes, prepared as plain arrays before the clone: argv, the final environment,
 * and the list of paths to try. Whether a candidate exists is decided later, by the child inside its
 * domain; here nothing is looked up.
 */
#ifndef SANDLOCK_LAUNCH_COMMAND_H
#define SANDLOCK_LAUNCH_COMMAND_H

#include "policy/policy.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdbool.h>
#include <stddef.h>

struct command {
    struct strv argv;
    struct strv envp;
    struct strv candidates;
    const char **shell_argv; /* "/bin/sh", slot, argv[1..], NULL; owned array of borrowed strings */
    char *shown_program;     /* argv[0] and the policy's cwd for messages, escaped; owned */
    char *shown_cwd;         /* NULL: none */
};

/* argv: argc pointers, none NULL; at least one. `environment` is the host's (environ). */
bool command_prepare(struct command *command, const struct policy *policy, const char *const *argv,
                     size_t argc, char *const *environment, struct error *err);
void command_free(struct command *command);

#endif
