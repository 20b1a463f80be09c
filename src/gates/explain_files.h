/*
 * What --explain asks the path grants about: the calls whose refusal by Landlock raises no notification.
 * A question is recorded as a denial only if the call would come as far as Landlock, and if the kernel
 * would not refuse it with the same errno anyway.
 */
#ifndef SANDLOCK_GATES_EXPLAIN_FILES_H
#define SANDLOCK_GATES_EXPLAIN_FILES_H

#include "kernel/landlock.h"
#include "member/object.h"
#include "member/own_rights.h"
#include "supervisor/supervisor.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum explain_act {
    EXPLAIN_OPEN,
    EXPLAIN_OPEN_HOW, /* flags in a structure */
    EXPLAIN_CREAT,
    EXPLAIN_EXECUTE,
    EXPLAIN_TRUNCATE,
    EXPLAIN_MKDIR,
    EXPLAIN_MKNOD,
    EXPLAIN_SYMLINK,
    EXPLAIN_RMDIR,
    EXPLAIN_UNLINK,
    EXPLAIN_RENAME,
    EXPLAIN_LINK,
    EXPLAIN_QUEUE, /* of POSIX messages */
    EXPLAIN_CONNECT,
    EXPLAIN_BIND,
};

/* Register numbers; below 0: there is none. */
struct explain_spelling {
    const char *syscall;
    enum explain_act act;
    int8_t dirfd, path, flags, dirfd2, path2;
};

/* What all questions of a run have in common. */
struct explain_files {
    const struct grants *grants; /* borrowed */
    int proc_fd;                 /* borrowed */
    uint64_t handled;            /* LL_FS_*: what Landlock judges */
    bool hard_links_protected;   /* fs.protected_hardlinks (proc(5)) */
    struct own_rights rights;
    bool mapped; /* members live in a user namespace */
    struct local_devices local;
};

#define EXPLAIN_QUEUES "/dev/mqueue"

/* What a name must be for the call to reach Landlock at all. */
enum existence { MUST_EXIST, MUST_NOT_EXIST, ANY_EXISTENCE };

/* Kinds of files, as bits. */
#define KIND_FILE 1U
#define KIND_DIRECTORY 2U
#define KIND_LINK 4U
#define KIND_OTHER 8U
#define KIND_ANY (KIND_FILE | KIND_DIRECTORY | KIND_LINK | KIND_OTHER)

/* One question to the grants. */
struct question {
    struct object object; /* the object, or with a `leaf` the directory that holds it */
    uint64_t resolve;     /* RESOLVE_* of openat2 */
    char leaf[NAME_MAX + 1];
    bool slash;             /* one follows the leaf */
    enum existence leaf_is; /* both: as what the kernel answers otherwise by itself */
    unsigned kinds;
    int access; /* R_OK, W_OK, X_OK: refused by mode bits already, Landlock is not the reason */

    bool write;
    bool truncates;      /* a write if it is a regular file */
    bool unasked;        /* Landlock asks for nothing but the creation */
    bool opens;          /* and not only names the object */
    bool appends;        /* O_APPEND */
    bool keeps_times;    /* O_NOATIME */
    bool may_create;     /* if the object does not exist, the question is about its directory */
    bool queue;          /* the directory is where message queues are mounted */
    unsigned steps;      /* links and interpreters on the way here */
    bool executes;       /* the question goes on with what interprets the program */
    unsigned leaf_kinds; /* another kind fails even if it is granted; 0: any is as good */
    const struct question *first; /* as it was asked, of one that goes on; borrowed */
};

/* The questions of one call. A rename or a link asks about two names at once. */
struct explain_job {
    struct explain_files *files; /* borrowed */
    struct question questions[2];
    size_t count;
    bool pair;      /* from questions[0] to questions[1] */
    bool links;     /* and the first one stays */
    bool exchanges; /* and the second one goes to the first */
};

/* NULL: no memory. */
struct explain_job *explain_job_new(struct explain_files *files);
void explain_job_free(void *job); /* NULL is accepted */

/* What the call asks, from its registers and the caller's memory. The caller validates the notification
 * afterwards. Leaves the job empty where the kernel refuses the call by itself. */
void explain_job_decode(struct explain_job *job, const struct request *request,
                        const struct explain_spelling *row);

/* The creation of a socket by this name. */
void explain_job_add_socket(struct explain_job *job, const struct request *request,
                            const char *path);

/* Asks, and records the first refusal. False: the answer would have to wait, and nothing was recorded; only
 * with `cached_only`. */
bool explain_job_ask(const struct request *request, struct explain_job *job, bool cached_only);

/* Splits "a/b/c/" into "a/b" and "c"; *slash: one followed. False: there is no last name ("/", "..", too
 * long). */
bool explain_split_path(char *path, char leaf[NAME_MAX + 1], bool *slash);

/* ---- Interpreters: explain_program.c -------------------------------------------------------------- */

/* What executes the program behind a descriptor of a regular file: the interpreter of a script, or the
 * loader of a dynamic one. False: nothing does, or it cannot be read. May wait for the file system. */
bool explain_interpreter(int path_fd, char interpreter[PATH_MAX], bool *script);

#endif
