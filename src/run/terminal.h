/*
 * What the command line does with signals and the terminal while the command runs: forwards signals
 * to the command's group, stops itself when the terminal stops the command (Ctrl-Z) and hands the terminal back
 * and forth. Where no shell would let us go on the kernel does not stop us, nor then the command. Processes beside us
 * are stopped and interrupted only where the terminal would do so: when the command is in front, or our job is and
 * the command may use the terminal.
 */
#ifndef SANDLOCK_RUN_TERMINAL_H
#define SANDLOCK_RUN_TERMINAL_H

#include "launch/launch.h"
#include "supervisor/loop.h"
#include "util/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct terminal {
    struct launch *launch;
    struct loop *loop;
    void (*on_want)(
        void);      /* the command was stopped because it uses a terminal that it was not given */
    bool wanted;    /* that was said */
    int stop_asked; /* by this signal to this process: SIGTSTP, SIGTTIN or SIGTTOU; 0: not */
    int waits;      /* looks so far at whether our job is in front, for which the command waits */
    bool waiting;
    int signal_fd;
    bool blocked;
    sigset_t mask_before;
    int fatal_signal; /* first TERM, INT, HUP or QUIT that was forwarded; 0: none */
    int64_t fatal_at; /* when that was (sys_monotonic_ns()) */
};

#define TERMINAL_INIT ((struct terminal){.signal_fd = -1})

/* Blocks the forwarded signals on this thread, before the launch; not those that the caller ignores, except
 * SIGCONT, which has its effect all the same. */
bool terminal_block_signals(struct terminal *terminal, struct error *err);

/* Watches signals and stop reports once the command exists. */
bool terminal_watch(struct terminal *terminal, struct loop *loop, struct launch *launch,
                    struct error *err);

/* Does what the loop does about signals, once, while it does not run. */
void terminal_hear(struct terminal *terminal);

/* Stops watching and restores the mask. */
void terminal_finish(struct terminal *terminal);

#endif
