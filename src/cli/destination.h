/*
 * Where reports go: a path, "fd:N" or "-". Opened before the sandbox exists, because afterwards this
 * process is confined, and because a report that cannot be written must end the run before it began.
 * Opening changes no file that is there, and one that was made can be taken back: a run that is refused
 * in the end leaves nothing behind.
 */
#ifndef SANDLOCK_CLI_DESTINATION_H
#define SANDLOCK_CLI_DESTINATION_H

#include "launch/grant_open.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

struct destination {
    int fd;        /* -1: not asked for */
    int directory; /* of a file that was made, else -1 */
    bool owned;    /* opened here, closed by destination_close() */
    const char
        *grant; /* the write grant by which the command can change the file, borrowed; or NULL */
};

#define DESTINATION_NONE ((struct destination){.fd = -1, .directory = -1})

enum destination_mode {
    DESTINATION_REPLACE, /* one document: destination_empty() before it is written */
    DESTINATION_APPEND,  /* a log: lines are added */
};

/* Opens `text` for writing; never follows a symbolic link in the last component nor, if there is an `opener`
 * (borrowed, or NULL), one that the command of an earlier run may have made; never blocks on a FIFO without
 * reader, creates files with mode 0600. `option` names the option in messages. */
bool destination_open(const char *text, const char *option, enum destination_mode mode,
                      struct grant_opener *opener, struct destination *destination,
                      struct error *err);
void destination_close(struct destination *destination);

/* Removes what a regular file held before; every other kind of destination is left alone. */
bool destination_empty(const struct destination *destination, const char *option,
                       struct error *err);

/* Closes it and removes the file if destination_open() made it. `text` as there. */
void destination_withdraw(struct destination *destination, const char *text);

/* The descriptor a caller passed by number: open, inherited and writable. `option` as above. */
bool destination_inherited(const char *number, const char *option, int *fd, struct error *err);

#endif
