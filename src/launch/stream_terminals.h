/*
 * The standard streams that are terminals. A command gets them opened anew, so that what it sets on its descriptors is
 * not set on the caller's, and can read only the terminal of standard input, only where the kernel asks a job in the
 * background (tty_ioctl(4), SIGTTIN): a terminal of another session it would read beside the program that is in front
 * there.
 */
#ifndef SANDLOCK_LAUNCH_STREAM_TERMINALS_H
#define SANDLOCK_LAUNCH_STREAM_TERMINALS_H

#include "launch/launch.h"

#include <stdbool.h>
#include <stdint.h>

struct stream_terminals {
    struct stream_spec streams[3]; /* the launch's, with what the command gets instead */
    int opened[3];                 /* owned; -1: none */
    bool on_own;                   /* a stream is the terminal that controls this session ... */
    bool input_is_own;             /* ... standard input is */
    bool reads_own;                /* ... and can be read by the command */
    bool reads_foreign;            /* one of another session can be read by the command */
    bool keeps_output; /* an output could not be opened for writing only, and can be read */
    bool
        input_refused; /* standard input is one of another session, and is /dev/null for the command */
    int64_t foreign[3]; /* device numbers of terminals of other sessions */
    unsigned foreign_count;
};

/* clang-format off */
#define STREAM_TERMINALS_INIT ((struct stream_terminals){.opened = {-1, -1, -1}})
/* clang-format on */

/* Nothing is opened, and nothing differs from the spec, for streams that are no terminals. */
void stream_terminals_plan(struct stream_terminals *terminals, const struct launch_spec *spec);

/* What was opened; once it is duplicated, and at the end. */
void stream_terminals_close(struct stream_terminals *terminals);

#endif
