/*
 * Renames and links: Landlock looks at the directories on both sides, asks none if they are one and the
 * same, and says EXDEV where only the right to get into another directory lacks.
 */
#include "gates/explain_parts.h"

#include "kernel/sys.h"
#include "member/advice.h"
#include "member/path_verdict.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNMOVABLE "without fs-refer no file gets into another directory"

/* One end of a rename or a link. */
struct end {
    int directory;       /* owned */
    char path[PATH_MAX]; /* of the directory */
    char name[NAME_MAX + 1];
    unsigned kind; /* of what has the name; 0: nothing */
    bool slash;
    bool refused; /* no write grant covers the directory */
    struct sys_statx status;
};

static void end_release(struct end *end)
{
    fd_close(end->directory);
}

#define CLEANUP_END __attribute__((cleanup(end_release)))

/* What became of a step: it may wait elsewhere, or the kernel answers by itself. */
enum step { STEP_DONE, STEP_WAITS, STEP_SILENT };

static enum step step_of(int result, bool cached_only)
{
    return result >= 0 ? STEP_DONE : result == -EAGAIN && cached_only ? STEP_WAITS : STEP_SILENT;
}

/* The grant of the pinned directory. */
static enum step judge_end(const struct explain_files *files, struct end *end, bool cached_only)
{
    if (!explain_look_at(end->directory, &end->status))
        return STEP_SILENT;
    switch (path_verdict_of(files->grants, end->directory, true, cached_only, end->path)) {
    case PATH_UNDECIDED:
        return STEP_WAITS;
    case PATH_UNKNOWN:
    case PATH_FAILED:
    case PATH_NAMELESS:
        return STEP_SILENT;
    case PATH_REFUSED:
        end->refused = true;
        break;
    case PATH_GRANTED:
        break;
    }
    return STEP_DONE;
}

/* The end that the question names: a directory and a name in it. */
static enum step find_end(struct explain_files *files, const struct question *question,
                          struct end *end, bool cached_only)
{
    end->directory = explain_pin(question, cached_only);
    if (end->directory < 0)
        return step_of(end->directory, cached_only);
    if (!explain_is_local(files, end->directory, cached_only))
        return STEP_WAITS;
    memcpy(end->name, question->leaf, sizeof(end->name));
    end->kind = explain_leaf_kind(question, end->directory);
    end->slash = question->slash;
    if (!explain_leaf_fits(question, end->kind))
        return STEP_SILENT;
    return judge_end(files, end, cached_only);
}

/* protected_hardlinks of proc(5). */
static bool may_be_linked(const struct explain_files *files, int path_fd,
                          const struct sys_statx *object)
{
    bool privileged = (object->mode & S_ISUID) != 0 ||
                      (object->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);

    return !files->hard_links_protected || geteuid() == 0 || object->uid == geteuid() ||
           (S_ISREG(object->mode) && !privileged && explain_mode_bits_allow(path_fd, R_OK | W_OK));
}

/* The end that a link starts from: the object itself is named, and counts where it lies now. */
static enum step find_linked(struct explain_files *files, const struct question *question,
                             struct end *end, bool cached_only)
{
    CLEANUP_FD int path_fd = explain_pin(question, cached_only);
    struct sys_statx object;
    char path[PATH_MAX];
    bool unlinked;

    if (path_fd < 0)
        return step_of(path_fd, cached_only);
    if (!explain_is_local(files, path_fd, cached_only))
        return STEP_WAITS;
    if (!explain_look_at(path_fd, &object) || !may_be_linked(files, path_fd, &object) ||
        grants_path_of(path_fd, path, sizeof(path), &unlinked) != 0 ||
        !explain_split_path(path, end->name, &end->slash))
        return STEP_SILENT;
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = cached_only ? RESOLVE_CACHED : 0};
    end->kind = explain_kind_of_mode(object.mode);
    end->directory = (int)sys_call4(SYS_openat2, AT_FDCWD, (long)path, (long)&how, sizeof(how));
    if (end->directory < 0)
        return step_of(end->directory, cached_only);
    return judge_end(files, end, cached_only);
}

static bool is_same_mount(const struct sys_statx *left, const struct sys_statx *right)
{
    if ((left->mask & right->mask & STATX_MOUNT) != 0)
        return left->rest[0] == right->rest[0];
    return left->dev_major == right->dev_major && left->dev_minor == right->dev_minor;
}

static bool is_same_directory(const struct end *left, const struct end *right)
{
    return left->status.inode == right->status.inode &&
           left->status.dev_major == right->status.dev_major &&
           left->status.dev_minor == right->status.dev_minor;
}

/* True if `end` lies in the directory that `above` names. */
static bool lies_below(const struct end *end, const struct end *above)
{
    char path[PATH_MAX + NAME_MAX + 2];
    int length = snprintf(path, sizeof(path), "%s/%s",
                          strcmp(above->path, "/") == 0 ? "" : above->path, above->name);

    return strncmp(end->path, path, (size_t)length) == 0 &&
           (end->path[length] == '\0' || end->path[length] == '/');
}

/* False: the kernel refuses the pair before Landlock is asked, or as Landlock would. */
static bool pair_fits(const struct explain_job *job, const struct end *from, const struct end *to)
{
    if (!is_same_mount(&from->status, &to->status)) /* EXDEV */
        return false;
    if (!explain_mode_bits_allow(to->directory, W_OK | X_OK))
        return false;
    if (job->links)
        return true;
    if (!explain_mode_bits_allow(from->directory, W_OK | X_OK))
        return false;
    bool directories =
        from->kind == KIND_DIRECTORY && (!job->exchanges || to->kind == KIND_DIRECTORY);
    if ((from->slash || to->slash) && !directories) /* ENOTDIR */
        return false;
    return !lies_below(to, from) && !lies_below(from, to); /* EINVAL, ENOTEMPTY */
}

/* The errno that Landlock answers, 0 if it allows the pair. Files leave the rights of a directory behind, so
 * another one must give no more: of two write grants none does. */
static int refusal_of_pair(const struct explain_job *job, const struct end *from,
                           const struct end *to)
{
    if (is_same_directory(from, to))
        return to->refused ? EACCES : 0;
    if (to->refused || (from->refused && !job->links))
        return EACCES;
    return from->refused || (job->files->handled & LL_FS_REFER) == 0 ? EXDEV : 0;
}

static bool append_advice(struct buffer *out, const struct request *request, const struct end *end,
                          const char **rule)
{
    if (out->length > 0)
        buffer_append_char(out, ' ');
    return advice_grant(out, request, true, end->path, true, rule);
}

static void record_pair(const struct request *request, const struct explain_job *job,
                        const struct end *from, const struct end *to, int error)
{
    CLEANUP_BUFFER struct buffer object = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;
    bool granted = !from->refused && !to->refused; /* the kernel lacks the right itself */
    const struct end *named = to->refused && (job->links || !from->refused) ? to : from;
    const char *rule = granted ? UNMOVABLE : NULL;
    bool usable = !granted && !(job->links && from->kind == KIND_DIRECTORY); /* EPERM */

    explain_append_name(&object, named->path, named->name);
    if (from->refused)
        usable = usable && append_advice(&advice, request, from, &rule);
    if (to->refused && !(from->refused && is_same_directory(from, to)))
        usable = usable && append_advice(&advice, request, to, &rule);
    if (buffer_failed(&object) || buffer_failed(&advice) || !request_is_valid(request))
        return;
    request_record_denial(request, buffer_text(&object), "write", error, LAYER, rule,
                          usable ? buffer_text(&advice) : NULL);
}

bool explain_ask_pair(const struct request *request, struct explain_job *job, bool cached_only)
{
    CLEANUP_END struct end from = {.directory = -1};
    CLEANUP_END struct end to = {.directory = -1};
    struct explain_files *files = job->files;
    enum step step = job->links ? find_linked(files, &job->questions[0], &from, cached_only)
                                : find_end(files, &job->questions[0], &from, cached_only);

    if (step == STEP_DONE)
        step = find_end(files, &job->questions[1], &to, cached_only);
    if (step != STEP_DONE)
        return step == STEP_SILENT;
    int error = pair_fits(job, &from, &to) ? refusal_of_pair(job, &from, &to) : 0;
    if (error == 0)
        return true;
    for (int i = 0; i < 2; i++) {
        int access = i == 0 && job->links ? 0 : W_OK | X_OK;
        int reaches =
            explain_member_reaches(request, files, &job->questions[i], access, cached_only);
        if (reaches <= 0)
            return reaches == 0;
    }
    record_pair(request, job, &from, &to, error);
    return true;
}
