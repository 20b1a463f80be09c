/*
 * A pause of all members, and its end: who had been stopped before stays stopped. Members are found in the list
 * of all processes, whoever their parent is, and killed so where they cannot be reached as children. No libc, like all
 * of the guardian.
 */
#ifndef SANDLOCK_BARE_PAUSE_H
#define SANDLOCK_BARE_PAUSE_H

#include <stdbool.h>

/* Members that a pause finds stopped and remembers. It takes the others for its own, so that its end continues
 * them: nobody is left behind. */
#define PAUSE_NOTED_MAX 256

struct pause {
    bool active;
    int count;
    int stopped[PAUSE_NOTED_MAX];

    /* Of pause_look_again(): who was stopped at the last look, and how often somebody was not any more. */
    int seen_count;
    int seen[PAUSE_NOTED_MAX];
    int strikes;
    unsigned looks;
};

/* Both are called by the guardian, whose descendants the members are. A second beginning stops those again whom
 * another member, or a timer, has continued; a second end does nothing.
 * `signal_scope`: its domain lets it signal members alone. False: the members cannot be listed, and without the
 * scope nobody has been signalled. */
bool pause_begin(struct pause *pause, bool signal_scope);
bool pause_end(struct pause *pause, bool signal_scope);

/* While it lasts: stops those again who go on, as a timer's SIGCONT makes them. True: that does not help, they keep
 * coming back. One continued by hand, or by somebody who is about to end the pause, does not get that far. */
bool pause_look_again(struct pause *pause, bool signal_scope);

/* Without the scope, at the end: SIGKILL to every member, whoever its parent is. */
void members_kill(void);

#endif
