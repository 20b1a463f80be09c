/*
 * What the command line does with signals and the terminal while the command runs: forwards signals
 * to the command's group, stops itself when the command stops (Ctrl-Z) and hands the terminal back
 * and forth.
 */
#ifndef SANDLOCK_RUN_TERMINAL_H
#define SANDLOCK_RUN_TERMINAL_H

#include "launch/launch.h"
#include "supervisor/loop.h"
#include "util/error.h"

#include <signal.h>
#include <stdbool.h>

struct terminal {
    struct launch *launch;
    struct loop *loop;
    int signal_fd;
    bool blocked;
    sigset_t mask_before;
    int fatal_signal; /* first TERM, INT, HUP or QUIT that was forwarded; 0: none */
};

#define TERMINAL_INIT ((struct terminal){.signal_fd = -1})

/* Blocks the forwarded signals on this thread, before the launch. */
bool terminal_block_signals(struct terminal *terminal, struct error *err);

/* Watches signals and stop reports once the command exists. */
bool terminal_watch(struct terminal *terminal, struct loop *loop, struct launch *launch,
                    struct error *err);

/* Stops watching and restores the mask. */
void terminal_finish(struct terminal *terminal);

#endif
