/* What the helper programs share: raw calls and results as text ("OK", "EACCES"). They print one
 * result per line as "name: result" and are linked with nothing of the product. */
#ifndef TESTS_HELPERS_PROBE_H
#define TESTS_HELPERS_PROBE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline const char *probe_errno_name(int error)
{
    static char other[16];

    switch (error) {
#define NAME(e) \
    case e:     \
        return #e;
        NAME(EPERM)
        NAME(ENOENT)
        NAME(ESRCH)
        NAME(EINTR)
        NAME(EIO)
        NAME(EBADF)
        NAME(ECHILD)
        NAME(EAGAIN)
        NAME(ENOMEM)
        NAME(EACCES)
        NAME(EFAULT)
        NAME(EEXIST)
        NAME(EXDEV)
        NAME(ENOTDIR)
        NAME(EISDIR)
        NAME(EINVAL)
        NAME(ENFILE)
        NAME(EMFILE)
        NAME(ENOTTY)
        NAME(EROFS)
        NAME(ERANGE)
        NAME(ENAMETOOLONG)
        NAME(ENOSYS)
        NAME(ELOOP)
        NAME(ENODATA)
        NAME(EOPNOTSUPP)
        NAME(E2BIG)
        NAME(ENOTRECOVERABLE)
        NAME(ECONNREFUSED)
        NAME(EAFNOSUPPORT)
#undef NAME
    default:
        snprintf(other, sizeof(other), "E%d", error);
        return other;
    }
}

/* `result` of syscall(). Prints "name: OK" or "name: EPERM" and returns whether it was OK. */
static inline int probe_report(const char *name, long result)
{
    printf("%s: %s\n", name, result >= 0 ? "OK" : probe_errno_name(errno));
    fflush(stdout);
    return result >= 0;
}

#endif
