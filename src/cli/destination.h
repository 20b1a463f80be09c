/*
 * Where reports go: a path, "fd:N" or "-". Opened before the sandbox exists, because afterwards this
 * process is confined, and because a report that cannot be written must end the run before it began.
 */
#ifndef SANDLOCK_CLI_DESTINATION_H
#define SANDLOCK_CLI_DESTINATION_H

#include "util/error.h"

#include <stdbool.h>

struct destination {
    int fd;     /* -1: not asked for */
    bool owned; /* opened here, closed by destination_close() */
};

#define DESTINATION_NONE ((struct destination){.fd = -1})

enum destination_mode {
    DESTINATION_REPLACE, /* one document: an existing file is emptied */
    DESTINATION_APPEND,  /* a log: lines are added */
};

/* Opens `text` for writing; never follows a symbolic link in the last component, never blocks on a
 * FIFO without reader, creates files with mode 0600. `option` names the option in messages. */
bool destination_open(const char *text, const char *option, enum destination_mode mode,
                      struct destination *destination, struct error *err);
void destination_close(struct destination *destination);

/* The descriptor a caller passed by number: open, inherited and writable. `option` as above. */
bool destination_inherited(const char *number, const char *option, int *fd, struct error *err);

#endif
