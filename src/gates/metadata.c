/*
 * metadata-gate: Landlock does not stop a member from changing mode, owner, times, extended
 * attributes or inode flags of files that no write grant covers. These calls are rare, so they are
 * trapped, judged on the pinned object, and performed on exactly that object; none ever continues,
 * because their paths and values lie in memory that other threads can change.
 *
 * The kernel sees the supervisor as the caller. It is the same user and inside the domain of the
 * policy; where it is root, it takes the member's ids, groups and capabilities before it walks and before
 * it performs anything (member/identity.h), so nothing is lent, whatever becomes of the object meanwhile.
 */
#include "gates/gates.h"
#include "gates/metadata_call.h"
#include "member/advice.h"
#include "member/own_rights.h"
#include "member/path_verdict.h"
#include "supervisor/supervisor.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LAYER "metadata-gate"

/* Not in every <linux/magic.h>. */
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

struct gate {
    const struct grants *grants; /* borrowed */
    struct local_devices local;
    atomic_size_t values; /* bytes that calls under way hold */
    /* Never used: musl's allocator gives a mapping back with the last block of its size, so that without
     * this one each call would map, fault in and unmap its memory. */
    struct metadata_call *kept;
    int proc_fd; /* borrowed */
    struct own_rights rights;
    bool mapped; /* members live in a user namespace where the user is `uid`, `gid` */
    uint32_t uid, gid;
};

/* ---- When it is on -------------------------------------------------------------------------------- */

static bool is_root_path(const char *path)
{
    return path[0] == '/' && path[strspn(path, "/")] == '\0';
}

static bool writes_everything(const struct strv *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (is_root_path(paths->items[i]))
            return true;
    }
    return false;
}

static bool gate_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_METADATA_GATE) == 0 &&
           !writes_everything(&policy->fs_write) && !writes_everything(&policy->fs_write_try);
}

static bool gate_start(struct supervisor *supervisor, void **state, struct error *err)
{
    const struct policy *policy = supervisor_policy(supervisor);
    struct gate *gate = calloc(1, sizeof(*gate));

    if (gate == NULL)
        return error_runtime(err, ENOMEM, "metadata gate");
    pthread_mutex_init(&gate->local.lock, NULL);
    gate->grants = supervisor_grants(supervisor);
    gate->proc_fd = supervisor_proc_fd(supervisor);
    gate->rights = own_rights_now();
    gate->mapped = policy_maps_user(policy);
    gate->uid = policy->uid;
    gate->gid = policy->gid;
    *state = gate;
    return true;
}

static void gate_stop(void *state)
{
    struct gate *gate = state;

    if (gate == NULL)
        return;
    metadata_call_free(gate->kept);
    pthread_mutex_destroy(&gate->local.lock);
    free(gate);
}

/* ---- One call ------------------------------------------------------------------------------------- */

/* What a worker takes over. */
struct job {
    struct gate *gate;
    struct metadata_call *call; /* owned; NULL: to be read again */
    int path_fd;                /* the pinned and granted object, owned; -1: not looked at yet */
    bool on_block_device;       /* it lies there, for all that is known */
    bool knows_identity;        /* the supervisor may more than the member */
    struct member_identity identity; /* owned, if known */
};

/* Only what the request itself tells is left. */
static void job_forget(struct job *job)
{
    metadata_call_free(job->call);
    fd_close(job->path_fd);
    identity_release(&job->identity);
    *job = (struct job){.gate = job->gate, .path_fd = -1};
}

static void job_free(void *data)
{
    struct job *job = data;

    if (job == NULL)
        return;
    job_forget(job);
    free(job);
}

static int map_id(uint32_t *id, uint32_t inside, uint32_t outside)
{
    if (*id == UINT32_MAX) /* unchanged */
        return 0;
    if (*id != inside)
        return -EINVAL; /* as the kernel says of an id that the namespace does not map */
    *id = outside;
    return 0;
}

/* Ids inside the values are the member's; the kernel will read them as the supervisor's. */
static int map_ids(const struct gate *gate, struct metadata_call *call)
{
    if (!gate->mapped)
        return 0;
    switch (call->spelling->operation) {
    case METADATA_OWNER: {
        int result = map_id(&call->uid, gate->uid, geteuid());
        return result < 0 ? result : map_id(&call->gid, gate->gid, getegid());
    }
    case METADATA_XATTR_SET:
    case METADATA_XATTR_SET_PACKED:
        /* Access control lists hold ids of any user of the host. */
        return strncmp(call->name, "system.posix_acl_", strlen("system.posix_acl_")) == 0
                   ? -EOPNOTSUPP
                   : 0;
    default:
        return 0;
    }
}

static int look_at_rights(const struct request *request, struct job *job)
{
    return own_rights_look(&job->gate->rights, request, job->gate->mapped, &job->knows_identity,
                           &job->identity);
}

static int pin(const struct job *job, bool cached_only)
{
    return identity_pin(job->knows_identity ? &job->identity : NULL, &job->call->object,
                        cached_only);
}

/* The kernel judges when it has the inode's lock. A look of ours before that would say nothing: who holds the
 * lock decides when it ends, and the owner may be another one by then. */
static int perform_as_member(const struct request *request, struct job *job, int path_fd)
{
    struct lowered_rights lowered = {0};

    int result = look_at_rights(request, job);
    if (result == 0 && job->knows_identity)
        result = identity_lower(&job->identity, &lowered);
    if (result < 0)
        return result;
    result = metadata_perform(job->call, path_fd);
    identity_restore(&lowered);
    return result;
}

static struct verdict refuse(const struct request *request, const char *path, unsigned type,
                             const char *rule)
{
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    bool itself = type != S_IFLNK; /* a grant follows links */
    if (!request_is_valid(request))
        return verdict_errno(EPERM);
    bool usable = rule == NULL && advice_grant(&advice, request, true, path, itself, &rule);
    request_record_denial(request, path[0] == '\0' ? NULL : path, "write", EACCES, LAYER, rule,
                          usable ? buffer_text(&advice) : NULL);
    return verdict_errno(EACCES);
}

/* Why nothing of such a file system is changed; NULL: nothing is said against it. */
static const char *refusal_of_file_system(int path_fd)
{
    switch (object_file_system(path_fd)) {
    case PROC_SUPER_MAGIC:
        /* "self" was the supervisor's own, and the entries of others are no member's business. */
        return "entries of /proc cannot be changed";
    case ANON_INODE_FS_MAGIC: /* one inode for the whole machine, as a rule */
    case PID_FS_MAGIC:        /* a process's own, whoever holds a descriptor of it */
        return "objects that stand for something else than a file cannot be changed";
    case 0:
        return "the file system cannot be told";
    default:
        return NULL;
    }
}

static bool is_xattr_call(const struct metadata_call *call)
{
    enum metadata_operation operation = call->spelling->operation;

    return operation == METADATA_XATTR_SET || operation == METADATA_XATTR_SET_PACKED ||
           operation == METADATA_XATTR_REMOVE;
}

/* True for what cannot be told, too. */
static bool is_in_memory(int path_fd)
{
    uint32_t system = object_file_system(path_fd);

    return system == TMPFS_MAGIC || system == HUGETLBFS_MAGIC || system == 0;
}

/* Permissions that nobody has of a file in memory, and that the call would give: the launch takes them away from a
 * caller's that is a stream (launch/streams.c). */
static bool gives_back(const struct metadata_call *call, int path_fd)
{
    static const unsigned classes[] = {0444, 0222};
    struct stat status;

    if (fstat(path_fd, &status) != 0)
        return true;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if ((status.st_mode & classes[i]) == 0 && (call->mode & classes[i]) != 0)
            return true;
    }
    return false;
}

/* Of what no tree contains. NULL: nothing is said against it. */
static const char *refusal_of_nameless(const struct metadata_call *call, int path_fd)
{
    unsigned type = object_type(path_fd);
    bool is_mode = call->spelling->operation == METADATA_MODE;

    /* A memfd's are as private as its content, and a socket's mode is for the file of its name. Those of others
     * would tell more to whoever shares the object, and the launch has closed the way back through inherited
     * pipes. */
    if (type == S_IFREG && is_in_memory(path_fd)) {
        if (is_mode && gives_back(call, path_fd))
            return "a file in memory gets no permission back";
        if (is_xattr_call(call)) /* the access control list is one, and gives permissions */
            return "a file in memory without a name gets no extended attributes";
    }
    if (type == S_IFREG || (type == S_IFSOCK && is_mode))
        return NULL;
    if (type == S_IFIFO && is_mode)
        return "the mode of a pipe cannot be changed";
    return is_xattr_call(call) ? "an object without a name gets no extended attributes"
                               : "owner and times of an object without a name cannot be changed";
}

/* An object whose own name is too long, say, is judged by the directory in which the member has named it. */
static enum path_verdict find_verdict(const struct job *job, int path_fd, bool cached_only,
                                      char path[PATH_MAX])
{
    const struct grants *grants = job->gate->grants;
    struct object parent;
    char name[NAME_MAX + 1];

    enum path_verdict verdict = path_verdict_of(grants, path_fd, true, cached_only, path);
    if (verdict != PATH_UNKNOWN || !object_parent(&job->call->object, &parent, name))
        return verdict;
    CLEANUP_FD int parent_fd =
        identity_pin(job->knows_identity ? &job->identity : NULL, &parent, cached_only);
    if (parent_fd == -EAGAIN && cached_only)
        return PATH_UNDECIDED;
    if (parent_fd == -EMFILE || parent_fd == -ENFILE || parent_fd == -ENOMEM) {
        errno = -parent_fd;
        return PATH_FAILED;
    }
    return parent_fd < 0 ? verdict
                         : path_verdict_in(grants, path_fd, parent_fd, name, true, cached_only);
}

/* VERDICT_NEXT: granted, to be performed; or *undecided, because telling it would wait. */
static struct verdict judge(const struct request *request, const struct job *job, int path_fd,
                            bool cached_only, bool *undecided)
{
    char path[PATH_MAX] = "";

    enum path_verdict verdict = find_verdict(job, path_fd, cached_only, path);
    int failure = errno;
    const char *rule = job->on_block_device ? NULL : refusal_of_file_system(path_fd);
    *undecided = false;
    if (rule != NULL)
        return refuse(request, path, 0, rule);
    if (job->call->ioctl != NULL && job->call->ioctl->whole_file_system)
        return refuse(request, path, 0, "acts on the whole file system");
    if (verdict == PATH_FAILED)
        return verdict_errno(failure);
    if (verdict == PATH_REFUSED)
        return refuse(request, path, object_type(path_fd), path[0] == '\0' ? "no rule" : NULL);
    if (verdict == PATH_UNKNOWN)
        return refuse(request, path, 0, PATH_UNKNOWN_TEXT);
    rule = verdict == PATH_NAMELESS ? refusal_of_nameless(job->call, path_fd) : NULL;
    if (rule != NULL)
        return refuse(request, path, 0, rule);
    *undecided = verdict == PATH_UNDECIDED;
    return verdict_next();
}

static struct verdict perform(const struct request *request, struct job *job, int path_fd)
{
    /* A caller that is gone, or was interrupted and will ask again, has no effect any more. */
    if (!request_is_valid(request))
        return verdict_errno(EPERM);
    int result = perform_as_member(request, job, path_fd);
    return result < 0 ? verdict_errno(-result) : verdict_value(0);
}

static int decode(const struct request *request, struct job *job)
{
    struct gate *gate = job->gate;
    pid_t tid = (pid_t)request->notification.pid;
    struct member_view view = {.proc_fd = gate->proc_fd, .tid = tid, .tgid = request->tgid};
    const struct metadata_spelling *spelling = &metadata_spellings[request->trap->detail];

    int result = metadata_decode(job->call, spelling, &view, &request->notification.data);
    if (result == 0)
        result = look_at_rights(request, job);
    return result == 0 ? map_ids(gate, job->call) : result;
}

/* What was read by number was the caller's only if it still waits: whoever records or performs asks. */
static int prepare(const struct request *request, struct job *job)
{
    job->call = metadata_call_new();
    if (job->call == NULL)
        return -ENOMEM;
    job->call->values = &job->gate->values;
    return decode(request, job);
}

/* On a worker always: the kernel takes the inode's lock, which a member can hold for seconds by
 * writing to the file. */
static struct verdict work(const struct request *request, void *data)
{
    struct job *job = data;
    struct verdict verdict = verdict_next();
    bool undecided;
    int result = job->call == NULL ? prepare(request, job) : 0;

    if (result < 0)
        return verdict_errno(-result);
    if (job->call->is_nothing)
        return verdict_value(0);
    if (job->path_fd < 0) {
        job->path_fd = pin(job, false);
        /* That may have taken until after the end of the run, and of the grants. */
        if (!request_is_valid(request))
            return verdict_errno(EPERM);
        if (job->path_fd < 0)
            return verdict_errno(-job->path_fd);
        local_devices_learn(&job->gate->local, job->path_fd);
        job->on_block_device = false; /* that was perhaps another object */
        verdict = judge(request, job, job->path_fd, false, &undecided);
    }
    return verdict.kind == VERDICT_NEXT ? perform(request, job, job->path_fd) : verdict;
}

/* Judges here and now if nothing can wait: the path is cached and the file system is a local one.
 * True: refused, *verdict says how. Otherwise a worker goes on, from the pinned object if there is one. */
static bool refuse_at_once(const struct request *request, struct job *job, struct verdict *verdict)
{
    if (job->call->takes_long || fault_is("use-workers"))
        return false;
    CLEANUP_FD int path_fd = pin(job, true);
    if (path_fd == -EAGAIN)
        return false;
    if (path_fd < 0) {
        *verdict = verdict_errno(-path_fd);
        return true;
    }
    if (!local_devices_find(&job->gate->local, path_fd, &job->on_block_device))
        return false;
    bool undecided;
    *verdict = judge(request, job, path_fd, true, &undecided);
    if (verdict->kind != VERDICT_NEXT)
        return true;
    if (!undecided)
        job->path_fd = fd_steal(&path_fd);
    return false;
}

static struct verdict on_metadata_call(struct request *request)
{
    struct job *job = calloc(1, sizeof(*job));
    struct verdict verdict;

    if (job == NULL)
        return verdict_errno(ENOMEM);
    job->gate = request->state;
    job->path_fd = -1;
    if (job->gate->kept == NULL) /* of the receiving thread alone */
        job->gate->kept = metadata_call_new();
    int result = prepare(request, job);
    if (result < 0)
        verdict = verdict_errno(-result);
    else if (job->call->is_nothing)
        verdict = verdict_value(0);
    else if (!refuse_at_once(request, job, &verdict)) {
        if (request_would_wait(request))
            job_forget(job);
        if (request_perform_judge(request, work, job, job_free))
            return verdict_taken();
        verdict = verdict_errno(ENOMEM);
    }
    job_free(job);
    return verdict;
}

/* ---- Traps ---------------------------------------------------------------------------------------- */

/* ioctl passes unless the request is one of inode_ioctls: the gaps between them. */
#define GAP(first, last)                                                           \
    {                                                                              \
        .test_count = 1, .tests = {                                                \
            {.arg = 1, .op = ARG_IN_RANGE, .value = (first), .value_high = (last)} \
        }                                                                          \
    }

static const struct filter_rule other_ioctls[] = {
    GAP(0, 0x40046601U),           GAP(0x40046603U, 0x40046603U), GAP(0x40046605U, 0x40047210U),
    GAP(0x40047212U, 0x40047601U), GAP(0x40047603U, 0x40086601U), GAP(0x40086603U, 0x40086603U),
    GAP(0x40086605U, 0x40087601U), GAP(0x40087603U, 0x401C581FU), GAP(0x401C5821U, 0x40806684U),
    GAP(0x40806686U, 0x41009431U), GAP(0x41009433U, 0x800C6612U), GAP(0x800C6614U, 0xFFFFFFFFU),
};

/* The rows of metadata_call.def by name, so that a trap can tell its row. */
enum metadata_row {
#define METADATA_CALL(syscall, ...) ROW_##syscall,
#include "gates/metadata_call.def"
#undef METADATA_CALL
};

static const struct trap traps[] = {
#define METADATA_CALL(name, operation_, ...)                                        \
    {.syscall = #name,                                                              \
     .passes = METADATA_##operation_ == METADATA_INODE_IOCTL ? other_ioctls : NULL, \
     .pass_count = METADATA_##operation_ == METADATA_INODE_IOCTL                    \
                       ? sizeof(other_ioctls) / sizeof(other_ioctls[0])             \
                       : 0,                                                         \
     .handle = on_metadata_call,                                                    \
     .detail = ROW_##name},
#include "gates/metadata_call.def"
#undef METADATA_CALL
};

static const char *const needs[] = {
    "fchmodat",     "fchmodat2", "fchownat", "utimensat", "setxattr", "removexattr",
    "file_setattr", "ioctl",     "fstatfs",  "capget",    "identity", NULL,
};

const struct feature feature_metadata_gate = {
    .name = LAYER,
    .wanted = gate_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = gate_start,
    .stop = gate_stop,
};
