/*
 * Capture of one output stream: drained while the command runs, from start to end of file, without
 * limit, so that a full pipe never blocks the command. Where the memory ends it ends too, and the pipe
 * breaks. The bytes belong to the sandbox, not to one
 * wait call.
 */
#ifndef SANDLOCK_RUN_CAPTURE_H
#define SANDLOCK_RUN_CAPTURE_H

#include "supervisor/loop.h"
#include "util/buffer.h"

#include <stdbool.h>
#include <sys/types.h>

struct capture {
    int fd; /* our end of the pipe, non-blocking; -1: not captured, or finished */
    dev_t
        device; /* of the pipe: a host that closes its descriptors may have something else there */
    ino_t inode;
    bool captured;
    bool cut; /* there was no memory for the rest */
    struct buffer bytes;
    struct loop *loop;
};

#define CAPTURE_INIT ((struct capture){.fd = -1})

/* Takes the descriptor over and watches it. False when out of memory. */
bool capture_start(struct capture *capture, struct loop *loop, int fd);

/* After the last member is gone: takes what lies in the pipe now, and stops, also when a write end left the
 * sandbox. What somebody else writes to it from then on is not the command's. */
void capture_finish(struct capture *capture);
void capture_free(struct capture *capture);

#endif
