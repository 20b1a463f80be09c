/* From the registers and memory of a call to the questions it asks: see explain_files.h. */
#include "gates/explain_files.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

/* O_TMPFILE is this bit and O_DIRECTORY. */
#define TMPFILE_BIT ((uint64_t)O_TMPFILE & ~(uint64_t)O_DIRECTORY)

/* Of the kernel's numbers: a libc for 64 bits has 0 for O_LARGEFILE, and no name for FASYNC. */
#if defined(__aarch64__)
#define LARGEFILE 0400000U
#else
#define LARGEFILE 0100000U
#endif
#define ASYNC 020000U
#define ACCESS_MODE 3U /* in musl O_ACCMODE has O_PATH in it */

/* What openat2 knows; others are EINVAL there. */
#define OPEN_FLAGS                                                                               \
    ((uint64_t)(ACCESS_MODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |    \
                O_SYNC | O_DSYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | \
                O_PATH | O_TMPFILE | ASYNC | LARGEFILE))
#define RESOLVE_FLAGS                                                                             \
    ((uint64_t)(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | \
                RESOLVE_IN_ROOT | RESOLVE_CACHED))

/* An absolute path starts at the caller's root, unless dirfd is the root of the walk. */
#define SCOPED ((uint64_t)(RESOLVE_BENEATH | RESOLVE_IN_ROOT))

/* The kernel takes no more than a page. */
#define HOW_MAX 4096

#define NOREPLACE 1U /* RENAME_* */
#define EXCHANGE 2U
#define WHITEOUT 4U

static int int_arg(const struct request *request, int number, int absent)
{
    return number < 0 ? absent : (int)(uint32_t)request->notification.data.args[number];
}

static bool read_text(const struct request *request, int number, char text[PATH_MAX])
{
    return task_memory_read_string((pid_t)request->notification.pid,
                                   request->notification.data.args[number], text, PATH_MAX) >= 0;
}

/* ---- Questions ------------------------------------------------------------------------------------ */

static void drop_question(struct explain_job *job)
{
    object_release(&job->questions[--job->count].object);
}

/* The next question of the job about this path; NULL if it cannot be asked. */
static struct question *add_named(struct explain_job *job, const struct request *request,
                                  int directory, const char *path, unsigned at_flags)
{
    struct question *question = &job->questions[job->count];
    struct member_view view = {.proc_fd = job->files->proc_fd,
                               .tid = (pid_t)request->notification.pid,
                               .tgid = request->tgid};

    *question = (struct question){.object = OBJECT_INIT, .kinds = KIND_ANY};
    if (object_by_path(&question->object, &view, directory, path, at_flags) != 0) {
        object_release(&question->object);
        return NULL;
    }
    job->count++;
    return question;
}

/* The same about the path in these registers. */
static struct question *add_question(struct explain_job *job, const struct request *request,
                                     int8_t dirfd, int8_t path, unsigned at_flags)
{
    char text[PATH_MAX];

    if (!read_text(request, path, text))
        return NULL;
    return add_named(job, request, int_arg(request, dirfd, AT_FDCWD), text, at_flags);
}

/* Turns it to the directory that holds the last name. NULL: there is none. */
static struct question *ask_for_directory(struct explain_job *job, struct question *question,
                                          enum existence leaf_is, unsigned kinds)
{
    if (question == NULL)
        return NULL;
    question->write = true;
    question->access = W_OK | X_OK;
    question->leaf_is = leaf_is;
    question->kinds = kinds;
    if (!question->object.is_base &&
        explain_split_path(question->object.path, question->leaf, &question->slash)) {
        question->object.no_follow = false; /* that was for the last name */
        return question;
    }
    drop_question(job);
    return NULL;
}

/* The directory that holds the last name of the path in these registers. */
static struct question *add_directory(struct explain_job *job, const struct request *request,
                                      int8_t dirfd, int8_t path, enum existence leaf_is,
                                      unsigned kinds)
{
    return ask_for_directory(job, add_question(job, request, dirfd, path, 0), leaf_is, kinds);
}

/* ---- Opens ---------------------------------------------------------------------------------------- */

/* False: EINVAL, or not judged by Landlock. */
static bool is_judged_open(uint64_t flags)
{
    bool writes = (flags & ACCESS_MODE) != O_RDONLY;

    if ((flags & O_PATH) != 0)
        return false;
    if ((flags & TMPFILE_BIT) != 0)
        return (flags & O_DIRECTORY) != 0 && (flags & O_CREAT) == 0 && writes;
    return (flags & (O_CREAT | O_DIRECTORY)) != (O_CREAT | O_DIRECTORY);
}

static unsigned kinds_of_open(uint64_t flags)
{
    if ((flags & O_DIRECTORY) != 0) { /* O_TMPFILE, too */
        bool writes = (flags & ACCESS_MODE) != O_RDONLY || (flags & O_TRUNC) != 0;
        return writes && (flags & TMPFILE_BIT) == 0 ? 0 : KIND_DIRECTORY;
    }
    if ((flags & ACCESS_MODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0)
        return KIND_FILE | KIND_OTHER;
    return KIND_FILE | KIND_OTHER | KIND_DIRECTORY;
}

/* The object of an open whose walk has rules of its own. */
static struct question *add_scoped(struct explain_job *job, const struct request *request,
                                   const struct explain_spelling *row, uint64_t flags,
                                   uint64_t resolve)
{
    char path[PATH_MAX];

    if (!read_text(request, row->path, path) || path[0] == '\0')
        return NULL;
    /* Where the walk starts; for an absolute path it matters only with SCOPED. */
    bool anywhere = path[0] == '/' && (resolve & SCOPED) == 0;
    int directory = int_arg(request, row->dirfd, AT_FDCWD);
    struct question *question = add_named(job, request, directory, anywhere ? "/" : ".", 0);
    if (question == NULL)
        return NULL;
    snprintf(question->object.path, sizeof(question->object.path), "%s", path);
    question->object.no_follow = (flags & O_NOFOLLOW) != 0;
    question->resolve = resolve;
    return question;
}

static void add_open(struct explain_job *job, const struct request *request,
                     const struct explain_spelling *row, uint64_t flags, uint64_t resolve)
{
    unsigned mode = (unsigned)(flags & ACCESS_MODE);
    bool truncates = (flags & O_TRUNC) != 0;
    unsigned at_flags = (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    struct question *question;

    if (!is_judged_open(flags))
        return;
    question = resolve == 0 ? add_question(job, request, row->dirfd, row->path, at_flags)
                            : add_scoped(job, request, row, flags, resolve);
    if (question == NULL)
        return;
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        ask_for_directory(job, question, MUST_NOT_EXIST, KIND_FILE);
        return;
    }
    question->opens = true;
    question->kinds = kinds_of_open(flags);
    question->write = mode == O_WRONLY || mode == O_RDWR;
    question->unasked = mode == ACCESS_MODE; /* for ioctl alone: neither read nor write (open(2)) */
    question->truncates = truncates;
    question->appends = (flags & O_APPEND) != 0;
    question->keeps_times = (flags & O_NOATIME) != 0;
    question->may_create = (flags & O_CREAT) != 0;
    question->access = (mode == O_WRONLY ? 0 : R_OK) | (mode != O_RDONLY || truncates ? W_OK : 0);
    if ((flags & TMPFILE_BIT) != 0)
        question->access = W_OK | X_OK;
}

/* False: the kernel does not take it. */
static bool read_how(const struct request *request, const struct explain_spelling *row,
                     struct open_how *how)
{
    pid_t tid = (pid_t)request->notification.pid;
    uint64_t address = request->notification.data.args[row->flags];
    uint64_t size = request->notification.data.args[row->flags + 1];
    uint8_t tail[HOW_MAX] = {0};

    /* A longer structure is the same one, if it says nothing new (openat2(2)). */
    if (size < sizeof(*how) || size > HOW_MAX ||
        task_memory_read_all(tid, address, how, sizeof(*how)) != 0)
        return false;
    size -= sizeof(*how);
    if (size > 0 && task_memory_read_all(tid, address + sizeof(*how), tail, size) != 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (tail[i] != 0)
            return false;
    }
    bool creates = (how->flags & (O_CREAT | TMPFILE_BIT)) != 0;
    return (how->flags & ~OPEN_FLAGS) == 0 && (how->resolve & ~RESOLVE_FLAGS) == 0 &&
           (how->resolve & SCOPED) != SCOPED && (how->mode & ~(creates ? 07777ULL : 0)) == 0;
}

/* ---- Other calls ---------------------------------------------------------------------------------- */

static void add_execution(struct explain_job *job, const struct request *request,
                          const struct explain_spelling *row)
{
    unsigned at_flags = (unsigned)int_arg(request, row->flags, 0);
    struct question *question;

    if ((at_flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return;
    question = add_question(job, request, row->dirfd, row->path, at_flags);
    if (question == NULL)
        return;
    question->kinds = KIND_FILE;
    question->access = X_OK;
    question->executes = true;
}

static void add_truncation(struct explain_job *job, const struct request *request,
                           const struct explain_spelling *row)
{
    int64_t length = (int64_t)request->notification.data.args[row->path + 1];
    struct question *question;

    if (length < 0 || (job->files->handled & LL_FS_TRUNCATE) == 0)
        return;
    question = add_question(job, request, row->dirfd, row->path, 0);
    if (question == NULL)
        return;
    question->kinds = KIND_FILE;
    question->access = W_OK;
    question->write = true;
}

static void add_node(struct explain_job *job, const struct request *request,
                     const struct explain_spelling *row)
{
    switch (int_arg(request, row->flags, 0) & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        add_directory(job, request, row->dirfd, row->path, MUST_NOT_EXIST, KIND_FILE);
        break;
    default: /* EPERM, EINVAL */
        break;
    }
}

static void add_symlink(struct explain_job *job, const struct request *request,
                        const struct explain_spelling *row)
{
    char text[PATH_MAX];

    if (read_text(request, row->path2, text) && text[0] != '\0')
        add_directory(job, request, row->dirfd, row->path, MUST_NOT_EXIST, KIND_LINK);
}

static void add_removal(struct explain_job *job, const struct request *request,
                        const struct explain_spelling *row)
{
    unsigned at_flags = (unsigned)int_arg(request, row->flags, 0);
    bool directory = row->act == EXPLAIN_RMDIR || at_flags == AT_REMOVEDIR;
    unsigned kinds = directory ? KIND_DIRECTORY : KIND_ANY & ~KIND_DIRECTORY;

    if ((at_flags & ~(unsigned)AT_REMOVEDIR) != 0)
        return;
    struct question *question =
        add_directory(job, request, row->dirfd, row->path, MUST_EXIST, kinds);
    if (question != NULL)
        question->leaf_kinds = kinds;
}

static void add_rename(struct explain_job *job, const struct request *request,
                       const struct explain_spelling *row)
{
    unsigned flags = (unsigned)int_arg(request, row->flags, 0);
    enum existence target = (flags & NOREPLACE) != 0  ? MUST_NOT_EXIST
                            : (flags & EXCHANGE) != 0 ? MUST_EXIST
                                                      : ANY_EXISTENCE;

    if ((flags & ~(NOREPLACE | EXCHANGE | WHITEOUT)) != 0 ||
        ((flags & EXCHANGE) != 0 && (flags & (NOREPLACE | WHITEOUT)) != 0))
        return;
    job->exchanges = (flags & EXCHANGE) != 0;
    job->pair = add_directory(job, request, row->dirfd, row->path, MUST_EXIST, KIND_ANY) != NULL &&
                add_directory(job, request, row->dirfd2, row->path2, target, KIND_ANY) != NULL;
}

static void add_link(struct explain_job *job, const struct request *request,
                     const struct explain_spelling *row)
{
    unsigned flags = (unsigned)int_arg(request, row->flags, 0);
    unsigned at_flags = (flags & AT_EMPTY_PATH) |
                        ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : (unsigned)AT_SYMLINK_NOFOLLOW);

    if ((flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
        return;
    job->links = true;
    job->pair =
        add_question(job, request, row->dirfd, row->path, at_flags) != NULL &&
        add_directory(job, request, row->dirfd2, row->path2, MUST_NOT_EXIST, KIND_FILE) != NULL;
}

/* Landlock sees a queue as a file of its file system, wherever that is mounted; what can be granted is the
 * mount below /dev. libc takes the slash of the name away. */
static void add_queue(struct explain_job *job, const struct request *request,
                      const struct explain_spelling *row)
{
    char name[PATH_MAX], path[PATH_MAX + sizeof(EXPLAIN_QUEUES)];
    unsigned flags = (unsigned)int_arg(request, row->flags, 0), mode = flags & ACCESS_MODE;
    enum existence existence = (flags & O_CREAT) == 0  ? MUST_EXIST
                               : (flags & O_EXCL) != 0 ? MUST_NOT_EXIST
                                                       : ANY_EXISTENCE;

    if (!read_text(request, row->path, name) || name[0] == '\0' || strlen(name) > NAME_MAX ||
        strchr(name, '/') != NULL)
        return;
    snprintf(path, sizeof(path), EXPLAIN_QUEUES "/%s", name);
    struct question *question =
        ask_for_directory(job, add_named(job, request, AT_FDCWD, path, 0), existence, KIND_FILE);
    if (question == NULL)
        return;
    question->write = mode == O_WRONLY || mode == O_RDWR;
    question->access = 0;
    question->unasked = mode == ACCESS_MODE;
    question->queue = true;
}

void explain_job_add_socket(struct explain_job *job, const struct request *request,
                            const char *path)
{
    ask_for_directory(job, add_named(job, request, AT_FDCWD, path, 0), MUST_NOT_EXIST, KIND_OTHER);
}

static void decode(struct explain_job *job, const struct request *request,
                   const struct explain_spelling *row)
{
    struct open_how how;

    switch (row->act) {
    case EXPLAIN_OPEN:
        add_open(job, request, row, (unsigned)int_arg(request, row->flags, 0), 0);
        break;
    case EXPLAIN_OPEN_HOW:
        if (read_how(request, row, &how))
            add_open(job, request, row, how.flags, how.resolve);
        break;
    case EXPLAIN_CREAT:
        add_open(job, request, row, O_CREAT | O_WRONLY | O_TRUNC, 0);
        break;
    case EXPLAIN_EXECUTE:
        add_execution(job, request, row);
        break;
    case EXPLAIN_TRUNCATE:
        add_truncation(job, request, row);
        break;
    case EXPLAIN_MKDIR:
        add_directory(job, request, row->dirfd, row->path, MUST_NOT_EXIST, KIND_DIRECTORY);
        break;
    case EXPLAIN_MKNOD:
        add_node(job, request, row);
        break;
    case EXPLAIN_SYMLINK:
        add_symlink(job, request, row);
        break;
    case EXPLAIN_RMDIR:
    case EXPLAIN_UNLINK:
        add_removal(job, request, row);
        break;
    case EXPLAIN_RENAME:
        add_rename(job, request, row);
        break;
    case EXPLAIN_LINK:
        add_link(job, request, row);
        break;
    case EXPLAIN_QUEUE:
        add_queue(job, request, row);
        break;
    case EXPLAIN_CONNECT:
    case EXPLAIN_BIND:
        break;
    }
}

void explain_job_decode(struct explain_job *job, const struct request *request,
                        const struct explain_spelling *row)
{
    bool of_two = row->act == EXPLAIN_RENAME || row->act == EXPLAIN_LINK;

    decode(job, request, row);
    while (of_two && !job->pair && job->count > 0) /* one name of two is no question */
        drop_question(job);
}
