/*
 * Writes inside somebody else's process: what one of them may raise in the calling thread (SIGPIPE, SIGXFSZ
 * above the limit of file sizes) has a default action that ends the process. It is kept off until it
 * has been taken away again.
 */
#ifndef SANDLOCK_UTIL_QUIET_H
#define SANDLOCK_UTIL_QUIET_H

#include <signal.h>

struct quiet {
    sigset_t before; /* the thread's signal mask */
    sigset_t ours;   /* signals that were not pending before */
};

/* Blocks both signals for the calling thread. */
void quiet_begin(struct quiet *quiet);

/* Takes away what was raised since, on the same thread, and restores its mask. errno stays. */
void quiet_end(const struct quiet *quiet);

#endif
