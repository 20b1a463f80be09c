/* The list of children in /proc, read without libc: see children.h. */
#include "bare/children.h"

#include "kernel/put_text.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <sys/syscall.h>

long children_open(struct children *children)
{
    char path[64];
    char *end = put_text(path, "/proc/self/task/");

    end = put_number(end, (unsigned long)sys_call0(SYS_getpid));
    end = put_text(end, "/children");
    *end = '\0';
    children->length = 0;
    children->at = 0;
    children->fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    return children->fd;
}

/* The next character, or 0 at the end. */
static char children_take(struct children *children)
{
    if (children->at >= children->length) {
        children->at = 0;
        children->length =
            sys_call3(SYS_read, children->fd, (long)children->text, sizeof(children->text));
        if (children->length <= 0)
            return '\0';
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn): the raw system call writes it */
    return children->text[children->at++];
}

/* Every number is followed by a blank. */
long children_next(struct children *children)
{
    long number = 0;
    char digit;

    while ((digit = children_take(children)) >= '0' && digit <= '9')
        number = number * 10 + (digit - '0');
    return digit == ' ' ? number : 0;
}

void children_close(const struct children *children)
{
    sys_call1(SYS_close, children->fd);
}
