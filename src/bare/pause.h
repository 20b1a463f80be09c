/*
 * A pause of all members, and its end: who had been stopped before stays stopped. Members are found in the list
 * of all processes, whoever their parent is. No libc, like all of the guardian.
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
};

/* Both are called by the guardian, whose descendants the members are. A second beginning stops those again whom
 * another member, or a timer, has continued; a second end does nothing.
 * `signal_scope`: its domain lets it signal members alone. False: the members cannot be listed, and without the
 * scope nobody has been signalled. */
bool pause_begin(struct pause *pause, bool signal_scope);
bool pause_end(struct pause *pause, bool signal_scope);

#endif
