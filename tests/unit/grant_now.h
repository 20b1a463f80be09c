/* Adds a grant with its name at once, the way a launch does in two steps. */
#ifndef SANDLOCK_TESTS_GRANT_NOW_H
#define SANDLOCK_TESTS_GRANT_NOW_H

#include "supervisor/grants.h"
#include "util/fd.h"

#include <sys/stat.h>

static inline int grant_now(struct grants *grants, int fd, bool writable)
{
    struct stat status;
    size_t before = grants->count;
    int copy = fd_duplicate_above(fd, 3);

    if (copy < 0 || fstat(fd, &status) != 0)
        return -errno;
    int result = grants_pin(grants, copy, writable, S_ISDIR(status.st_mode));
    if (result == 0)
        result = grants_resolve(grants);
    return result == 0 && grants->count == before ? -ENOENT : result;
}

#endif
