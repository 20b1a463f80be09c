/* See path_verdict.h. The name that is looked at is the one the kernel prints for the pinned object, never
 * one that a member wrote. */
#include "member/path_verdict.h"

#include "kernel/procfs.h"
#include "util/fault.h"
#include "util/text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What the kernel prints for objects outside every tree. "(unreachable)/x" is none of these: that one
 * lies in a tree that our root does not reach. */
static bool is_nameless(int path_fd)
{
    static const char *const prefixes[] = {"pipe:[", "socket:[",       "anon_inode:", "/memfd:",
                                           "/SYSV",  "/anon_hugepage", "/[aio]",      "/dmabuf:"};
    char text[PATH_MAX];

    if (procfs_read_fd_link(-1, 0, path_fd, text, sizeof(text)) < 0)
        return false;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

enum path_verdict path_verdict_of(const struct grants *grants, int path_fd, bool write,
                                  bool cached_only, char path[PATH_MAX])
{
    bool unlinked;
    int result = grants_path_of(path_fd, path, PATH_MAX, &unlinked);

    if (result < 0) {
        path[0] = '\0';
        return result == -ENOENT && is_nameless(path_fd) ? PATH_NAMELESS : PATH_UNKNOWN;
    }
    if (fault_is("verdict-allow"))
        return PATH_GRANTED;
    if (grants == NULL)
        return PATH_REFUSED;
    switch (grants_judge(grants, path_fd, path, unlinked, write, cached_only)) {
    case GRANTS_COVER:
        return PATH_GRANTED;
    case GRANTS_WOULD_WAIT:
        return PATH_UNDECIDED;
    case GRANTS_DO_NOT_COVER:
        break;
    }
    return PATH_REFUSED;
}

void path_advice(struct buffer *out, const char *option, const char *path, bool is_directory)
{
    char directory[PATH_MAX];

    snprintf(directory, sizeof(directory), "%s", path);
    if (!is_directory) {
        char *slash = strrchr(directory, '/');
        if (slash != NULL)
            slash[slash == directory ? 1 : 0] = '\0';
    }
    buffer_append_text(out, option);
    buffer_append_char(out, ' ');
    text_shell_quote(out, directory);
}
