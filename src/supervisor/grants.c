/*
 * The path grants as the supervisor judges them: see grants.h. Only names that the kernel printed for
 * a pinned descriptor are compared, never a name that a member wrote; and a name is only a hint where to
 * look, because others may rename what it leads to at any time.
 */
#include "supervisor/grants.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define STATX_MOUNT 0x1000 /* STATX_MNT_ID */

#define DELETED_SUFFIX " (deleted)"

void grants_free(struct grants *grants)
{
    for (size_t i = 0; i < grants->count; i++) {
        free(grants->items[i].path);
        fd_close(grants->items[i].path_fd);
    }
    free(grants->items);
    *grants = GRANTS_INIT;
}

/* What is known without asking a server or a daemon. 0 or -errno. */
static int look_at(int directory, const char *name, struct sys_statx *answer)
{
    int flags = AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0);

    *answer =
        (struct sys_statx){0}; /* for analyzers, which do not see what a raw system call writes */
    return (int)sys_call5(SYS_statx, directory, (long)name, flags, SYS_STATX_BASIC | STATX_MOUNT,
                          (long)answer);
}

/* 0: before 5.8. */
static uint64_t mount_of(const struct sys_statx *object)
{
    return (object->mask & STATX_MOUNT) != 0 ? object->rest[0] : 0;
}

static uint64_t device_of(const struct sys_statx *object)
{
    return (uint64_t)object->dev_major << 32 | object->dev_minor;
}

static bool is_same_object(const struct sys_statx *left, const struct sys_statx *right)
{
    return left->inode == right->inode && device_of(left) == device_of(right);
}

static bool leads_to(const char *path, const struct sys_statx *object)
{
    struct sys_statx other;

    return look_at(AT_FDCWD, path, &other) == 0 && is_same_object(&other, object);
}

/* Unlinked objects of the kernel's own tmpfs mount print as if they lay in the root directory. */
static bool is_kernel_internal(const char *path)
{
    static const char *const prefixes[] = {"/memfd:", "/SYSV", "/anon_hugepage", "/[aio]"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

ssize_t grants_text_of(const struct grants *grants, int fd, char *text, size_t size)
{
    bool by_name = grants == NULL || grants->proc_fd == NULL;

    return procfs_read_fd_link(by_name ? -1 : *grants->proc_fd, 0, fd, text, size);
}

int grants_path_of(int fd, char *path, size_t size, bool *unlinked)
{
    return grants_name_of(NULL, fd, path, size, unlinked);
}

int grants_name_of(const struct grants *grants, int fd, char *path, size_t size, bool *unlinked)
{
    struct sys_statx object;

    *unlinked = false;
    ssize_t length = grants_text_of(grants, fd, path, size);
    if (length < 0)
        return (int)length;
    /* "pipe:[1]", "anon_inode:…", or "(unreachable)/…": nothing that a grant could name. */
    if (path[0] != '/')
        return -ENOENT;

    size_t suffix = strlen(DELETED_SUFFIX);
    if ((size_t)length <= suffix || strcmp(path + length - suffix, DELETED_SUFFIX) != 0)
        return 0;
    /* A file may really be called "x (deleted)"; then that name still leads to it. */
    int result = look_at(fd, "", &object);
    if (result < 0)
        return result;
    if (object.links > 0 && leads_to(path, &object))
        return 0;
    *unlinked = true;
    path[(size_t)length - suffix] = '\0';
    return is_kernel_internal(path) ? -ENOENT : 0;
}

static struct grant *append(struct grants *grants)
{
    if (grants->count == grants->capacity) {
        size_t capacity = grants->capacity == 0 ? 8 : grants->capacity * 2;
        struct grant *items = realloc(grants->items, capacity * sizeof(*items));
        if (items == NULL)
            return NULL;
        grants->items = items;
        grants->capacity = capacity;
    }
    return &grants->items[grants->count++];
}

int grants_pin(struct grants *grants, int path_fd, bool writable, bool directory)
{
    struct grant *grant = append(grants);

    if (grant == NULL)
        return -ENOMEM;
    *grant = (struct grant){.path_fd = path_fd, .writable = writable, .directory = directory};
    return 0;
}

/* The kernel drops and remakes the names of procfs at will, so there "unlinked" says nothing. */
static bool is_in_procfs(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && (uint32_t)status.f_type == PROC_SUPER_MAGIC;
}

/* Fills in the name. The name of an unlinked object would cover whatever is created there next. */
static int resolve(const struct grants *grants, struct grant *grant)
{
    char path[PATH_MAX];
    struct sys_statx object;
    bool unlinked = false;

    int result = look_at(grant->path_fd, "", &object);
    if (result == 0)
        result = grants_name_of(grants, grant->path_fd, path, sizeof(path), &unlinked);
    if (result < 0)
        return result;
    grant->device = device_of(&object);
    grant->inode = object.inode;
    grant->mount = mount_of(&object);
    grant->resolved = true;
    if (unlinked && !is_in_procfs(grant->path_fd))
        return 0;
    grant->path = strdup(path);
    return grant->path == NULL ? -ENOMEM : 0;
}

int grants_resolve(struct grants *grants)
{
    size_t kept = 0, open = 0;
    int failure = 0;
    struct sys_statx root;

    grants->root_mount = look_at(AT_FDCWD, "/", &root) == 0 ? mount_of(&root) : 0;
    for (size_t i = 0; i < grants->count; i++) {
        struct grant grant = grants->items[i];
        if (!grant.resolved) {
            int result = resolve(grants, &grant);
            if (result < 0 || !grant.writable || open == GRANTS_KEPT_MAX) {
                fd_close(grant.path_fd);
                grant.path_fd = -1;
            }
            if (result < 0) {
                if (result != -ENOENT)
                    failure = result;
                free(grant.path);
                continue;
            }
        }
        open += grant.path_fd >= 0;
        grants->items[kept++] = grant;
    }
    grants->count = kept;
    return failure;
}

/* ---- By name -------------------------------------------------------------------------------------- */

static bool grant_covers(const struct grant *grant, size_t length, const char *path)
{
    if (length == 1) /* the root itself: every absolute path lies below */
        return grant->directory && path[0] == '/';
    if (strncmp(path, grant->path, length) != 0)
        return false;
    return path[length] == '\0' || (grant->directory && path[length] == '/');
}

const struct grant *grants_find(const struct grants *grants, const char *path, bool write)
{
    const struct grant *best = NULL;
    size_t best_length = 0;

    for (size_t i = 0; i < grants->count; i++) {
        const struct grant *grant = &grants->items[i];
        if (grant->path == NULL || (write && !grant->writable))
            continue;
        size_t length = strlen(grant->path);
        if (length > best_length && grant_covers(grant, length, path)) {
            best = grant;
            best_length = length;
        }
    }
    return best;
}

bool grants_write_all(const struct grants *grants)
{
    return grants_find(grants, "/", true) != NULL;
}

/* ---- By object ------------------------------------------------------------------------------------ */

/* How often a name is asked for again that was out of date when it was used. */
#define ATTEMPTS_MAX 4

/* Of so many grants asking for the names takes less than the way up to the root. */
#define NAMES_ASKED_MAX 4

/* How far up a thread goes that must not be kept long. */
#define LEVELS_AT_ONCE 16

struct question {
    const struct grants *grants;
    int path_fd;
    struct sys_statx object;
    char *path; /* PATH_MAX bytes; NULL: it has no name that could be used */
    bool unlinked, write, cached_only;
    int failed;      /* -errno: there were too few descriptors, or too little memory */
    bool hidden;     /* a directory on the way cannot be searched */
    bool would_wait; /* something was not found out because of `cached_only` */
    bool named;      /* `path` lies below the name of a grant */
    bool renamed;    /* `path` does not lead to the object any more */
};

static bool counts(const struct question *question, const struct grant *grant)
{
    return grant->writable || !question->write;
}

static bool is_object_of(const struct grant *grant, const struct sys_statx *object)
{
    return grant->inode != 0 && grant->inode == object->inode && grant->device == device_of(object);
}

/* No link is followed: a member could have put it there. */
static int open_path(struct question *question, int directory, const char *name, uint64_t resolve)
{
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
        .resolve = resolve | RESOLVE_NO_SYMLINKS | (question->cached_only ? RESOLVE_CACHED : 0),
    };
    int fd = (int)sys_call4(SYS_openat2, directory, (long)name, (long)&how, sizeof(how));

    /* Before 5.12 there is no cached walk. */
    if (question->cached_only && (fd == -EAGAIN || fd == -EINVAL))
        question->would_wait = true;
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
        question->failed = fd;
    if (fd == -EACCES)
        question->hidden = true;
    return fd;
}

static bool is_granted_itself(const struct question *question)
{
    for (size_t i = 0; i < question->grants->count; i++) {
        const struct grant *grant = &question->grants->items[i];
        if (counts(question, grant) && is_object_of(grant, &question->object))
            return true;
    }
    return false;
}

/* A descriptor of the granted directory, where *opened is to be closed. */
static int open_grant(struct question *question, const struct grant *grant, int *opened)
{
    struct sys_statx object;

    if (grant->path_fd >= 0)
        return grant->path_fd;
    *opened = open_path(question, AT_FDCWD, grant->path, 0);
    if (*opened < 0)
        return *opened;
    int result = look_at(*opened, "", &object);
    if (result < 0)
        return result;
    return is_object_of(grant, &object) ? *opened : -ESTALE;
}

static bool is_at(struct question *question, int directory, const char *name, uint64_t resolve)
{
    struct sys_statx found;
    CLEANUP_FD int fd = open_path(question, directory, name, resolve);

    return fd >= 0 && look_at(fd, "", &found) == 0 && is_same_object(&found, &question->object);
}

static bool has_name(const struct question *question, int fd, const char *name)
{
    char path[PATH_MAX];

    return grants_text_of(question->grants, fd, path, sizeof(path)) > 0 && strcmp(path, name) == 0;
}

static bool keeps_its_name(const struct question *question, const struct grant *grant)
{
    return has_name(question, grant->path_fd, grant->path);
}

/* Of two objects in one mount the kernel's names tell which lies below the other, if both still have them: for
 * one that cannot be walked to, because a directory on the way may not be searched any more. */
static bool is_below_by_names(const struct question *question, const struct grant *grant,
                              int directory)
{
    uint64_t mount = mount_of(&question->object);
    struct sys_statx above;

    return mount != 0 && look_at(directory, "", &above) == 0 && mount_of(&above) == mount &&
           has_name(question, directory, grant->path) &&
           has_name(question, question->path_fd, question->path);
}

/* The object's name begins with the grant's. That either leads to what it led to is not certain, so the
 * rest of the name has to lead from the granted directory to the object. An unlinked one has only the
 * name that it had there. */
static bool is_below_named(struct question *question, const struct grant *grant, const char *rest)
{
    CLEANUP_FD int opened = -1;
    int directory = open_grant(question, grant, &opened);

    if (directory < 0)
        return false;
    if (question->unlinked)
        return grant->path_fd < 0 || keeps_its_name(question, grant);
    question->hidden = false;
    return is_at(question, directory, rest, RESOLVE_BENEATH) ||
           (question->hidden && is_below_by_names(question, grant, directory));
}

/* The root directory of the calling thread is the granted one: every object with a name lies below. */
static bool is_below_root(const struct grant *grant)
{
    struct sys_statx root;

    return look_at(AT_FDCWD, "/", &root) == 0 && is_object_of(grant, &root);
}

/* Some file systems number a file anew when it is first written to (overlayfs). */
static bool is_renumbered(const struct question *question, const struct grant *grant)
{
    struct sys_statx object;

    return grant->path_fd >= 0 && look_at(grant->path_fd, "", &object) == 0 &&
           is_same_object(&object, &question->object);
}

static bool is_covered_by_name(struct question *question)
{
    for (size_t i = 0; i < question->grants->count; i++) {
        const struct grant *grant = &question->grants->items[i];
        if (grant->path == NULL || !counts(question, grant))
            continue;
        size_t length = strlen(grant->path);
        if (!grant_covers(grant, length, question->path))
            continue;
        question->named = true;
        if (length == 1) {
            if (is_below_root(grant))
                return true;
            continue;
        }
        const char *rest = question->path + length;
        if (*rest == '\0' ? is_renumbered(question, grant)
                          : is_below_named(question, grant, rest + 1))
            return true;
    }
    return false;
}

/* The directory that holds the object: where the name says, if the object is still there. */
static int open_parent(struct question *question)
{
    char parent[PATH_MAX];
    const char *name = strrchr(question->path, '/') + 1;
    size_t length = (size_t)(name - question->path);

    if (*name == '\0') /* the root */
        return -ENOENT;
    if (question->unlinked && (question->object.mode & S_IFMT) == S_IFDIR)
        return open_path(question, question->path_fd, "..", 0);
    memcpy(parent, question->path, length);
    parent[length] = '\0'; /* behind the slash */
    CLEANUP_FD int fd = open_path(question, AT_FDCWD, parent, 0);
    if (question->unlinked)
        return fd_steal(&fd);
    if (fd >= 0 && is_at(question, fd, name, 0))
        return fd_steal(&fd);
    question->renamed = fd >= 0 || fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP;
    return fd < 0 ? fd : -ESTALE;
}

static bool is_granted_directory(const struct question *question, const struct sys_statx *object)
{
    for (size_t i = 0; i < question->grants->count; i++) {
        const struct grant *grant = &question->grants->items[i];
        if (grant->directory && counts(question, grant) && is_object_of(grant, object))
            return true;
    }
    return false;
}

/* Landlock's own way, from the object to the root: for grants that were moved, and for names that lead
 * through another mount of a granted directory. */
static bool is_covered_from(struct question *question, int start)
{
    CLEANUP_FD int at = start;
    struct sys_statx here, below = {0};

    for (int level = 0; at >= 0 && look_at(at, "", &here) == 0; level++) {
        if (is_granted_directory(question, &here))
            return true;
        if (level > 0 && is_same_object(&here, &below))
            return false; /* the root */
        if (question->cached_only && level == LEVELS_AT_ONCE) {
            question->would_wait = true;
            return false;
        }
        below = here;
        int parent = open_path(question, at, "..", 0);
        fd_close(at);
        at = parent;
    }
    return false;
}

static bool is_covered_from_above(struct question *question)
{
    return is_covered_from(question, open_parent(question));
}

/* True if the names have told that nothing covers the object: no grant was moved, and no other mount
 * can show the granted directories where the object lies. The same as the way up would tell, for less. */
static bool names_tell_all(const struct question *question)
{
    const struct grants *grants = question->grants;
    uint64_t mount = mount_of(&question->object);
    bool in_root_mount = mount == grants->root_mount;
    int asked = 0;

    if (question->named || mount == 0)
        return false;
    for (size_t i = 0; i < grants->count; i++) {
        const struct grant *grant = &grants->items[i];
        if (!counts(question, grant))
            continue;
        bool elsewhere = in_root_mount && grant->device != device_of(&question->object);
        if (grant->path_fd < 0 || grant->path == NULL || (grant->mount != mount && !elsewhere) ||
            asked++ == NAMES_ASKED_MAX || !keeps_its_name(question, grant))
            return false;
    }
    return true;
}

static bool has_any(const struct question *question)
{
    for (size_t i = 0; i < question->grants->count; i++) {
        if (counts(question, &question->grants->items[i]))
            return true;
    }
    return false;
}

static bool begin(struct question *question, enum grants_answer *answer)
{
    *answer = GRANTS_DO_NOT_COVER;
    if (!has_any(question))
        return false;
    if (look_at(question->path_fd, "", &question->object) < 0)
        *answer = GRANTS_CANNOT_TELL;
    else if (is_granted_itself(question))
        *answer = GRANTS_COVER;
    else
        return true;
    return false;
}

/* Nothing was found that covers the object. */
static enum grants_answer give_up(const struct question *question)
{
    if (question->would_wait)
        return GRANTS_WOULD_WAIT;
    if (question->failed != 0) {
        errno = -question->failed;
        return GRANTS_FAILED;
    }
    return question->hidden ? GRANTS_CANNOT_TELL : GRANTS_DO_NOT_COVER;
}

enum grants_answer grants_judge(const struct grants *grants, int path_fd, char path[PATH_MAX],
                                bool unlinked, bool write, bool cached_only)
{
    struct question question = {
        .grants = grants,
        .path_fd = path_fd,
        .path = path,
        .unlinked = unlinked,
        .write = write,
        .cached_only = cached_only,
    };
    enum grants_answer answer;

    if (!begin(&question, &answer))
        return answer;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        question.named = question.renamed = question.hidden = false;
        if (is_covered_by_name(&question))
            return GRANTS_COVER;
        if (names_tell_all(&question))
            return GRANTS_DO_NOT_COVER;
        if (is_covered_from_above(&question))
            return GRANTS_COVER;
        if (question.would_wait || question.failed != 0 || !question.renamed ||
            grants_name_of(grants, path_fd, path, PATH_MAX, &question.unlinked) < 0)
            break;
    }
    return give_up(&question);
}

enum grants_answer grants_judge_in(const struct grants *grants, int path_fd, int parent_fd,
                                   const char *name, bool write, bool cached_only)
{
    struct question question = {
        .grants = grants, .path_fd = path_fd, .write = write, .cached_only = cached_only};
    enum grants_answer answer;
    bool found = true;

    if (!begin(&question, &answer))
        return answer;
    CLEANUP_FD int start = -1;
    if ((question.object.mode & S_IFMT) == S_IFDIR)
        start = open_path(&question, path_fd, "..", 0);
    else if (parent_fd >= 0 && is_at(&question, parent_fd, name, 0))
        start = open_path(&question, parent_fd, ".", 0);
    else
        found = false;
    if (start >= 0 && is_covered_from(&question, fd_steal(&start)))
        return GRANTS_COVER;
    answer = give_up(&question);
    return answer == GRANTS_DO_NOT_COVER && !found ? GRANTS_CANNOT_TELL : answer;
}
