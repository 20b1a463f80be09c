/*
 * How a run ended, in the three forms a caller can read: exit status, message, status record. Pure
 * functions of the outcome, so that every row of the table of statuses is tested without a process.
 */
#ifndef SANDLOCK_CLI_RESULT_H
#define SANDLOCK_CLI_RESULT_H

#include "run/sandbox.h"
#include "util/buffer.h"

#include <stdint.h>

/* The exit status of `run`, as a shell shows it: 128 + S if it dies by signal S itself; the command's own; 128 + S
 * after signal S; 124 timeout; 125 a failure of sandlock or of a launch step; 127 and 126 when the command was not
 * found or could not be executed. */
int result_exit_status(const struct outcome *outcome);

/* "5s", "1.5s", "0.05s": milliseconds as seconds, without trailing zeros. */
void result_duration(uint64_t milliseconds, char *text, size_t size);

/* What the status record says beside the outcome. */
struct result_facts {
    const char *name;  /* of the sandbox; NULL while there is none */
    int pid;           /* of the command; 0: none */
    uint64_t denials;  /* refusals of the supervisor */
    const char *error; /* reason when `outcome` is NULL; NULL otherwise */
    int status;        /* exit status of this program */
};

/* One line of JSON with the newline. `outcome` NULL: the run failed before or while it was set up. */
void result_record(const struct outcome *outcome, const struct result_facts *facts,
                   struct buffer *out);

#endif
