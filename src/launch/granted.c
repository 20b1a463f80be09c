/* Opening the path grants: see granted.h. */
#include "launch/granted.h"

#include "kernel/sys.h"
#include "launch/grant_open.h"
#include "util/buffer.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

/* Of /dev/tty, /dev/console, /dev/ptmx: doors to terminals, none of which is one. */
#define TTYAUX_MAJOR 5

struct opening {
    granted_visit visit;
    void *data;
    const struct policy *policy;
    struct grant_opener opener;
    struct error *err;
};

static enum option_id option_of(bool write, bool optional)
{
    if (write)
        return optional ? OPTION_FS_WRITE_TRY : OPTION_FS_WRITE;
    return optional ? OPTION_FS_READ_TRY : OPTION_FS_READ;
}

/* Each grant has a descriptor until the run has begun. */
static void describe_open_files(const struct policy *policy, struct buffer *text)
{
    size_t grants = policy->fs_read.count + policy->fs_read_try.count + policy->fs_write.count +
                    policy->fs_write_try.count;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (grants > limit.rlim_cur / 2)
        buffer_printf(text,
                      "; %zu grants need more than the %llu open files of this process: "
                      "raise ulimit -n, or grant directories above them",
                      grants, (unsigned long long)limit.rlim_cur);
    else
        buffer_printf(text,
                      "; this process has used up its %llu open files: close some, or raise "
                      "ulimit -n",
                      (unsigned long long)limit.rlim_cur);
}

/* Where a relative path was looked for, and which spelling would have said what was meant. `below`: the
 * write grant that a link on the way lies below, or NULL. `index`: which grant of its kind it is. */
static void grant_failed(struct opening *opening, int error, bool write, bool optional,
                         size_t index, const char *path, const char *below)
{
    enum option_id id = option_of(write, optional);
    const char *option = option_display_name(&option_specs[id]);
    const char *start = opening->policy->cwd;
    char place[ERROR_TEXT_MAX / 2];
    bool in_profile = policy_place(opening->policy, id, index, place, sizeof(place));
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    CLEANUP_FREE char *own = path[0] == '/' ? NULL : getcwd(NULL, 0);

    if (in_profile)
        buffer_printf(&text, "%s: %s", place, path);
    else
        buffer_printf(&text, "grant %s %s", option, path);
    if (own != NULL) {
        bool absolute = start != NULL && start[0] == '/';
        buffer_printf(&text, " (that is %s%s%s/%s)", absolute ? "" : own,
                      start == NULL || absolute ? "" : "/", start == NULL ? "" : start,
                      strncmp(path, "./", 2) == 0 ? path + 2 : path);
    }
    if (below != NULL)
        buffer_printf(&text, ": " GRANT_LINK_BELOW "; grant what it leads to", below);
    else
        buffer_printf(&text, ": %s", strerror(error));
    if (below == NULL && path[0] == '~')
        buffer_append_text(&text,
                           "; the shell expands ~ only unquoted, $HOME also in double quotes");
    else if (!write && !in_profile && strcmp(path, "w") == 0)
        buffer_append_text(&text, "; -rw is -r with the value w, -w alone grants both");
    else if (error == EMFILE)
        describe_open_files(opening->policy, &text);
    else if (error == ENOENT && !optional && in_profile)
        buffer_printf(&text, "; if it may be missing put it into %s_try", option_specs[id].key);
    else if (error == ENOENT && !optional)
        buffer_printf(&text, "; if it may be missing use %s-try", option);
    error_runtime(opening->err, 0, "%s", buffer_text(&text));
    opening->err->sys_errno = error;
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != EIO)
        opening->err->kind = ERROR_CONFIG; /* asked for wrongly, found before a process exists */
}

/* /dev/tty, which is to every process the terminal that controls it. */
static bool stands_for_terminal(int path_fd, const struct object_identity *object)
{
    struct stat status;

    return S_ISCHR(object->mode) && fstat(path_fd, &status) == 0 &&
           status.st_rdev == makedev(TTYAUX_MAJOR, 0);
}

/* The caller's controlling terminal, by a name of its own. */
static bool is_own_terminal(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
           major(status.st_rdev) != TTYAUX_MAJOR && tcgetsid(fd) == getsid(0);
}

/* A grant of /dev/tty is one of the terminal of the run, also by the name to which /dev/stdin, /dev/stdout
 * and /dev/stderr lead: it is another inode, and Landlock would not know. */
static bool open_terminal(struct opening *opening, const char *path, bool write)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        char name[48];
        if (!is_own_terminal(stream))
            continue;
        snprintf(name, sizeof(name), "/proc/thread-self/fd/%d", stream);
        struct granted item = {.path = path, .write = write, .optional = true};
        CLEANUP_FD int fd = open(name, O_PATH | O_CLOEXEC);
        if (fd < 0 || !object_identify(fd, &item.object)) /* by /dev/tty it is there all the same */
            continue;
        item.fd = fd_steal(&fd);
        bool ok = opening->visit(opening->data, &item);
        fd_close(item.fd);
        return ok;
    }
    return true;
}

/* 0 or -errno. */
static int identify(int path_fd, struct object_identity *object)
{
    struct sys_statx unused;

    if (object_identify(path_fd, object))
        return 0;
    long result = sys_call5(SYS_statx, path_fd, (long)"", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                            SYS_STATX_BASIC, (long)&unused);
    return result < 0 ? (int)result : -EIO;
}

static bool open_one(struct opening *opening, const char *path, size_t index, bool write,
                     bool optional)
{
    const char *below = NULL;
    CLEANUP_FD int fd = FAULT_OR("grant", -EIO, grant_open(&opening->opener, path, &below));
    struct granted item = {.path = path, .write = write, .optional = optional};

    if (optional && (fd == -ENOENT || fd == -ENOTDIR))
        return true;
    int result = fd < 0 ? fd : identify(fd, &item.object);
    if (result < 0) {
        grant_failed(opening, -result, write, optional, index, path, below);
        return false;
    }
    item.truncates_early = object_truncates_early(fd);
    bool of_terminal = stands_for_terminal(fd, &item.object);
    item.fd = fd_steal(&fd);
    bool ok = opening->visit(opening->data, &item);
    fd_close(item.fd);
    return ok && (!of_terminal || open_terminal(opening, path, write));
}

static bool open_all(struct opening *opening, const struct strv *paths, bool write, bool optional)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (!open_one(opening, paths->items[i], i, write, optional))
            return false;
    }
    return true;
}

/* Opens the start directory, from where relative grants are looked for. */
static bool open_start(struct opening *opening, int *start_fd)
{
    const char *start = opening->policy->cwd;
    const char *below = NULL;
    int result;

    if (start == NULL)
        return true;
    *start_fd = openat(AT_FDCWD, start, O_PATH | O_DIRECTORY | O_CLOEXEC);
    result = *start_fd < 0 || access(start, X_OK) != 0 ? -errno : 0;
    if (result == 0) {
        opening->opener.start_fd = *start_fd;
        result = grant_check(&opening->opener, start, *start_fd, &below);
    }
    if (result == 0)
        return true;
    char place[ERROR_TEXT_MAX / 2];
    bool in_profile = policy_place(opening->policy, OPTION_CWD, 0, place, sizeof(place));
    const char *given = in_profile ? place : "--cwd";
    const char *mark = in_profile ? ":" : "";
    if (below != NULL)
        error_runtime(opening->err, 0, "%s%s %s: " GRANT_LINK_BELOW "; name what it leads to",
                      given, mark, start, below);
    else
        error_runtime(opening->err, -result, "%s%s %s", given, mark, start);
    opening->err->sys_errno = -result;
    opening->err->kind = ERROR_CONFIG;
    return false;
}

bool granted_each(const struct policy *policy, granted_visit visit, void *data, struct error *err)
{
    struct opening opening = {.visit = visit,
                              .data = data,
                              .policy = policy,
                              .opener = {.policy = policy, .start_fd = AT_FDCWD},
                              .err = err};
    CLEANUP_FD int start_fd = -1;

    bool opened = open_start(&opening, &start_fd) &&
                  open_all(&opening, &policy->fs_read, false, false) &&
                  open_all(&opening, &policy->fs_read_try, false, true) &&
                  open_all(&opening, &policy->fs_write, true, false) &&
                  open_all(&opening, &policy->fs_write_try, true, true);
    grant_opener_free(&opening.opener);
    return opened;
}

struct collection {
    struct granted_list *list;
    struct error *err;
};

static bool collect(void *data, struct granted *item)
{
    const struct collection *collection = data;
    struct granted_list *list = collection->list;

    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        struct granted *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return error_runtime(collection->err, ENOMEM, "grants");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *item;
    item->fd = -1;
    return true;
}

bool granted_open(struct granted_list *list, const struct policy *policy, struct error *err)
{
    struct collection collection = {list, err};

    *list = GRANTED_INIT;
    if (granted_each(policy, collect, &collection, err))
        return true;
    granted_free(list);
    return false;
}

void granted_free(struct granted_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        fd_close(list->items[i].fd);
    free(list->items);
    *list = GRANTED_INIT;
}
