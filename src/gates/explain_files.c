/* Asking the path grants, and recording what they refuse: see explain_files.h. */
#include "gates/explain_parts.h"

#include "kernel/sys.h"
#include "member/advice.h"
#include "member/path_verdict.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif

#define ATTRIBUTE_APPEND 0x20    /* STATX_ATTR_APPEND */
#define DEVICES_CLOSED 0x4       /* ST_NODEV of statfs(2) */
#define STEPS_MAX 5              /* interpreters of interpreters; the kernel says ELOOP */
#define LINKS_MAX 40             /* path_resolution(7) */
#define QUEUES_MAGIC 0x19800202U /* mqueue file systems */

struct explain_job *explain_job_new(struct explain_files *files)
{
    struct explain_job *job = calloc(1, sizeof(*job));

    if (job != NULL)
        job->files = files;
    return job;
}

void explain_job_free(void *data)
{
    struct explain_job *job = data;

    if (job == NULL)
        return;
    for (size_t i = 0; i < job->count; i++)
        object_release(&job->questions[i].object);
    free(job);
}

bool explain_split_path(char *path, char leaf[NAME_MAX + 1], bool *slash)
{
    size_t length = strlen(path), whole = length;

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    *slash = length < whole;
    char *separator = strrchr(path, '/');
    const char *name = separator == NULL ? path : separator + 1;
    size_t size = strlen(name);
    if (size == 0 || size > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    memcpy(leaf, name, size + 1);
    if (separator == NULL)
        memcpy(path, ".", sizeof("."));
    else
        separator[separator == path ? 1 : 0] = '\0';
    return true;
}

/* ---- Records -------------------------------------------------------------------------------------- */

/* "self" was walked by the supervisor, but the member wrote it. */
static void name_self(char path[PATH_MAX])
{
    char own[32], rest[PATH_MAX];
    int length = snprintf(own, sizeof(own), "/proc/%d", (int)getpid());

    if (strncmp(path, own, (size_t)length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return;
    snprintf(rest, sizeof(rest), "%s", path + length);
    snprintf(path, PATH_MAX, "/proc/self%.*s", PATH_MAX - 16, rest);
}

void explain_append_name(struct buffer *out, const char *place, const char *leaf)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s", place);
    name_self(path);
    buffer_append_text(out, path);
    if (leaf[0] == '\0')
        return;
    if (strcmp(path, "/") != 0)
        buffer_append_char(out, '/');
    buffer_append_text(out, leaf);
}

static void record_path(const struct request *request, const struct question *question,
                        const char *place, bool hopeless)
{
    CLEANUP_BUFFER struct buffer object = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    const char *rule = NULL;

    explain_append_name(&object, place, question->leaf);
    bool usable = !hopeless && advice_grant(&advice, request, question->write, place, true, &rule);
    if (buffer_failed(&object) || !request_is_valid(request))
        return;
    request_record_denial(request, buffer_text(&object), question->write ? "write" : "read", EACCES,
                          LAYER, rule, usable ? buffer_text(&advice) : NULL);
}

/* ---- What the kernel says without us ----------------------------------------------------------------- */

unsigned explain_kind_of_mode(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return KIND_FILE;
    case S_IFDIR:
        return KIND_DIRECTORY;
    case S_IFLNK:
        return KIND_LINK;
    default:
        return KIND_OTHER;
    }
}

bool explain_look_at(int path_fd, struct sys_statx *answer)
{
    *answer = (struct sys_statx){0};
    return sys_call5(SYS_statx, path_fd, (long)"", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
                     SYS_STATX_BASIC | STATX_MOUNT, (long)answer) == 0;
}

/* The kind of the leaf; 0: there is none. */
unsigned explain_leaf_kind(const struct question *question, int directory)
{
    struct stat status;

    return fstatat(directory, question->leaf, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? explain_kind_of_mode(status.st_mode)
               : 0;
}

bool explain_leaf_fits(const struct question *question, unsigned kind)
{
    if (question->leaf_is != ANY_EXISTENCE && (kind != 0) != (question->leaf_is == MUST_EXIST))
        return false; /* ENOENT, EEXIST */
    /* "name/" is a directory, or becomes one: else ENOTDIR, EISDIR, ENOENT. */
    return !question->slash || (question->kinds & KIND_DIRECTORY) != 0;
}

bool explain_mode_bits_allow(int path_fd, int access)
{
    return sys_call4(SYS_faccessat2, path_fd, (long)"", access, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/* False: the kernel refuses the object before Landlock is asked, or as Landlock would. */
static bool object_fits(const struct question *question, int path_fd,
                        const struct sys_statx *object)
{
    struct statfs system;

    if ((explain_kind_of_mode(object->mode) & question->kinds) ==
        0) /* ELOOP, ENOTDIR, EISDIR, EINVAL */
        return false;
    if (!question->opens)
        return true;
    if ((S_ISCHR(object->mode) || S_ISBLK(object->mode)) && fstatfs(path_fd, &system) == 0 &&
        ((unsigned long)system.f_flags & DEVICES_CLOSED) != 0)
        return false;
    if (question->keeps_times && geteuid() != 0 && object->uid != geteuid())
        return false; /* EPERM */
    bool writes = (question->access & W_OK) != 0;
    return !writes || (object->attributes & ATTRIBUTE_APPEND) == 0 ||
           (question->appends && !question->truncates);
}

/* ---- One name ------------------------------------------------------------------------------------- */

/* An O_PATH descriptor of what the question is about, or -errno. */
int explain_pin(const struct question *question, bool cached_only)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (question->object.no_follow ? O_NOFOLLOW : 0),
        .resolve = question->resolve | RESOLVE_NO_MAGICLINKS | (cached_only ? RESOLVE_CACHED : 0),
    };

    if (question->resolve == 0)
        return object_pin(&question->object, cached_only);
    int start = question->object.base < 0 ? AT_FDCWD : question->object.base;
    return (int)sys_call4(SYS_openat2, start, (long)question->object.path, (long)&how, sizeof(how));
}

int explain_member_reaches(const struct request *request, const struct explain_files *files,
                           const struct question *question, int access, bool cached_only)
{
    CLEANUP_IDENTITY struct member_identity identity = {0};
    struct lowered_rights lowered;
    bool known = false;

    if (own_rights_look(&files->rights, request, files->mapped, &known, &identity) < 0)
        return 0;
    if (!known || !identity_differs(&identity))
        return 1;
    if (identity_lower(&identity, &lowered) < 0)
        return 0;
    CLEANUP_FD int fd = explain_pin(question, cached_only);
    bool allowed = fd >= 0 && explain_mode_bits_allow(fd, access);
    identity_restore(&lowered);
    if (fd == -EAGAIN && cached_only)
        return fd;
    return allowed || fd == -ENOENT; /* what is to be made */
}

bool explain_is_local(struct explain_files *files, int path_fd, bool cached_only)
{
    if (!cached_only)
        local_devices_learn(&files->local, path_fd);
    return !cached_only || local_devices_has(&files->local, path_fd);
}

/* What a look at one question led to. */
enum outcome {
    ANSWERED, /* and recorded if it is refused */
    WAITS,    /* with `cached_only`: nothing was recorded */
    GOES_ON,  /* the question is another one now */
};

static enum outcome outcome_of(bool answered)
{
    return answered ? ANSWERED : WAITS;
}

/* The program is granted: so must be what interprets it. The walk starts where the caller's does. */
static enum outcome turn_to_interpreter(const struct request *request,
                                        const struct explain_files *files,
                                        struct question *question, int path_fd, int *base)
{
    struct member_view view = {
        .proc_fd = files->proc_fd, .tid = (pid_t)request->notification.pid, .tgid = request->tgid};
    struct object *object = &question->object;
    char path[PATH_MAX];
    bool script;

    if (++question->steps > STEPS_MAX || !explain_interpreter(path_fd, path, &script))
        return ANSWERED;
    int result = object_by_path(object, &view, AT_FDCWD, path, 0);
    fd_close(*base);
    *base = object->base;
    question->executes = script; /* a loader needs none */
    return result == 0 ? GOES_ON : ANSWERED;
}

static enum outcome judge(const struct request *request, const struct explain_files *files,
                          struct question *question, int path_fd, int *base, bool cached_only)
{
    struct sys_statx object;
    char path[PATH_MAX];
    bool named = question->leaf[0] != '\0';

    if (!explain_look_at(path_fd, &object))
        return ANSWERED;
    unsigned kind = named ? explain_leaf_kind(question, path_fd) : 0;
    if (named ? !explain_leaf_fits(question, kind) : !object_fits(question, path_fd, &object))
        return ANSWERED;
    if (!explain_mode_bits_allow(path_fd, question->access))
        return ANSWERED;
    question->write |=
        question->truncates && S_ISREG(object.mode) && (files->handled & LL_FS_TRUNCATE) != 0;
    if (question->unasked && !question->write)
        return ANSWERED;
    enum path_verdict verdict =
        path_verdict_of(files->grants, path_fd, question->write, cached_only, path);
    if (verdict == PATH_UNDECIDED)
        return WAITS;
    if (verdict != PATH_REFUSED)
        return question->executes ? turn_to_interpreter(request, files, question, path_fd, base)
                                  : ANSWERED;
    int reaches = explain_member_reaches(request, files, question->first, 0, cached_only);
    if (reaches == 1)
        reaches = explain_member_reaches(request, files, question, question->access, cached_only);
    if (reaches <= 0)
        return outcome_of(reaches == 0);
    /* Of other kinds, and for the open of a socket, the kernel has an errno of its own behind it. */
    bool hopeless = (question->leaf_kinds != 0 && (kind & question->leaf_kinds) == 0) ||
                    (question->opens && S_ISSOCK(object.mode));
    record_path(request, question, path, hopeless);
    return ANSWERED;
}

/* The object of an O_CREAT does not exist: its directory is asked for it, or if there is a link that leads
 * nowhere, where that one leads. */
static enum outcome turn_to_creation(struct question *question, int *base, bool cached_only)
{
    char text[PATH_MAX];
    bool follows = question->resolve == 0 && !question->object.no_follow;

    if (!explain_split_path(question->object.path, question->leaf, &question->slash))
        return ANSWERED;
    question->object.no_follow = false;
    CLEANUP_FD int directory = explain_pin(question, cached_only);
    if (directory < 0)
        return outcome_of(!(directory == -EAGAIN && cached_only));
    ssize_t length = readlinkat(directory, question->leaf, text, sizeof(text) - 1);
    if (length > 0 && follows) {
        if (++question->steps > LINKS_MAX)
            return ANSWERED;
        text[length] = '\0';
        question->leaf[0] = '\0';
        snprintf(question->object.path, sizeof(question->object.path), "%s", text);
        fd_close(*base);
        *base = text[0] == '/' ? -1 : fd_steal(&directory);
        question->object.base = *base;
        return GOES_ON;
    }
    question->may_create = question->unasked = question->opens = question->truncates = false;
    question->write = true;
    question->access = W_OK | X_OK;
    question->leaf_is = MUST_NOT_EXIST;
    question->kinds = KIND_FILE;
    return GOES_ON;
}

/* Queues that no grant can name: the one that is asked for is certain to be refused if it would be made. */
static void record_unmounted_queue(const struct request *request, const struct question *question)
{
    CLEANUP_BUFFER struct buffer object = BUFFER_INIT;

    buffer_printf(&object, "message queue /%s", question->leaf);
    if (question->leaf_is != ANY_EXISTENCE || question->unasked || buffer_failed(&object) ||
        !request_is_valid(request))
        return;
    request_record_denial(request, buffer_text(&object), question->write ? "write" : "read", EACCES,
                          LAYER, "queues can be granted where " EXPLAIN_QUEUES " is mounted", NULL);
}

/* `base`: what the object starts from, if it was opened on the way. */
static enum outcome ask_once(const struct request *request, struct explain_files *files,
                             struct question *question, int *base, bool cached_only)
{
    if (question->queue && cached_only)
        return WAITS;
    CLEANUP_FD int path_fd = explain_pin(question, cached_only);
    if (path_fd == -EAGAIN && cached_only)
        return WAITS;
    if (question->queue && (path_fd < 0 || object_file_system(path_fd) != QUEUES_MAGIC)) {
        record_unmounted_queue(request, question);
        return ANSWERED;
    }
    if (path_fd == -ENOENT && question->may_create && !question->object.is_base)
        return turn_to_creation(question, base, cached_only);
    if (path_fd < 0)
        return ANSWERED; /* the kernel will say the same */
    if (!explain_is_local(files, path_fd, cached_only))
        return WAITS;
    return judge(request, files, question, path_fd, base, cached_only);
}

/* False: the answer would have to wait, and nothing was recorded. The question stays, to be asked again. */
static bool ask(const struct request *request, struct explain_job *job, bool cached_only)
{
    struct question *current = &job->questions[1]; /* free: the job is about one name */
    CLEANUP_FD int base = -1;
    enum outcome outcome;

    *current = job->questions[0];
    current->first = &job->questions[0];
    do
        outcome = ask_once(request, job->files, current, &base, cached_only);
    while (outcome == GOES_ON);
    return outcome == ANSWERED;
}

/* --------------------------------------------------------------------------------------------------- */

bool explain_job_ask(const struct request *request, struct explain_job *job, bool cached_only)
{
    if (job->count == 0)
        return true;
    if (job->pair)
        return explain_ask_pair(request, job, cached_only);
    return ask(request, job, cached_only);
}
