/* See path_verdict.h. The name that is looked at is the one the kernel prints for the pinned object, never
 * one that a member wrote. */
#include "member/path_verdict.h"

#include "policy/place.h"
#include "util/fault.h"
#include "util/text.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What the kernel prints for objects outside every tree. "(unreachable)/x" is none of these: that one
 * lies in a tree that our root does not reach. */
static bool is_nameless(const char *text)
{
    static const char *const prefixes[] = {"pipe:[", "socket:[",       "anon_inode:", "/memfd:",
                                           "/SYSV",  "/anon_hugepage", "/[aio]",      "/dmabuf:"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

static enum path_verdict verdict_from(enum grants_answer answer)
{
    switch (answer) {
    case GRANTS_COVER:
        return PATH_GRANTED;
    case GRANTS_WOULD_WAIT:
        return PATH_UNDECIDED;
    case GRANTS_CANNOT_TELL:
        return PATH_UNKNOWN;
    case GRANTS_FAILED:
        return PATH_FAILED;
    case GRANTS_DO_NOT_COVER:
        break;
    }
    return PATH_REFUSED;
}

/* The kernel gives no name that could be used. */
static enum path_verdict judge_unnamed(const struct grants *grants, int path_fd, int error,
                                       bool write, bool cached_only)
{
    if (error == -ENOMEM) {
        errno = ENOMEM;
        return PATH_FAILED;
    }
    char text[PATH_MAX];
    if (error == -ENOENT && grants_text_of(grants, path_fd, text, sizeof(text)) >= 0) {
        if (strncmp(text, "/memfd:" VIEW_FILE_PREFIX, strlen("/memfd:" VIEW_FILE_PREFIX)) == 0)
            return PATH_REFUSED;
        if (is_nameless(text))
            return PATH_NAMELESS;
    }
    return path_verdict_in(grants, path_fd, -1, NULL, write, cached_only);
}

enum path_verdict path_verdict_in(const struct grants *grants, int path_fd, int parent_fd,
                                  const char *name, bool write, bool cached_only)
{
    if (grants == NULL)
        return PATH_UNKNOWN;
    return verdict_from(grants_judge_in(grants, path_fd, parent_fd, name, write, cached_only));
}

enum path_verdict path_verdict_of(const struct grants *grants, int path_fd, bool write,
                                  bool cached_only, char path[PATH_MAX])
{
    bool unlinked;
    int result = grants_name_of(grants, path_fd, path, PATH_MAX, &unlinked);

    if (result < 0) {
        path[0] = '\0';
        return judge_unnamed(grants, path_fd, result, write, cached_only);
    }
    if (fault_is("verdict-allow"))
        return PATH_GRANTED;
    if (grants == NULL)
        return PATH_REFUSED;
    return verdict_from(grants_judge(grants, path_fd, path, unlinked, write, cached_only));
}

const char *path_advice(struct buffer *out, bool write, const char *path, bool itself,
                        const char *home)
{
    char place[PATH_MAX];

    snprintf(place, sizeof(place), "%s", path);
    if (!itself) {
        char *slash = strrchr(place, '/');
        if (slash != NULL)
            slash[slash == place ? 1 : 0] = '\0';
    }
    const char *granted = write ? NULL : place_system_directory(place);
    if (granted == NULL || place_caution(granted, write, home) != NULL) /* a home may lie in it */
        granted = place;
    const char *caution = place_caution(granted, write, home);
    if (caution != NULL)
        return caution;
    buffer_append_text(out, write ? "--fs-write " : "--fs-read ");
    text_shell_quote(out, granted);
    return NULL;
}
