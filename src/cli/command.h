/* Which command a run executes: -e, the words after the options, or the profile's exec and args. */
#ifndef SANDLOCK_CLI_COMMAND_H
#define SANDLOCK_CLI_COMMAND_H

#include "policy/record.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdbool.h>
#include <stddef.h>

/* Fills `argv` (empty before) from the first that is there: `-e CMD` with the words as $0 $1 …; the
 * words; [program].exec with args. False: no command at all, or out of memory. */
bool command_choose(const struct record *record, const char *const *words, size_t word_count,
                    struct strv *argv, struct error *err);

#endif
