/* The user's home directory, for advice about grants: see policy/place.h. */
#ifndef SANDLOCK_LAUNCH_HOME_H
#define SANDLOCK_LAUNCH_HOME_H

#include <limits.h>

/* The canonical name of what $HOME names, in `room`; where that cannot be told without waiting for a file system,
 * $HOME itself; NULL: none is known. */
const char *home_directory(char room[PATH_MAX]);

#endif
