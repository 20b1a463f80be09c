/* Names on disk: see claim.h. */
#include "launch/claim.h"

#include "util/fault.h"
#include "util/fd.h"
#include "util/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_FORMAT "/dev/shm/sandlock-%lu"
#define PID_FILE "pid"
#define PID_FILE_NEW ".pid.tmp"
/* The blank is in no name of a sandbox (grammar_name), so nobody can call a sandbox like this. */
#define LOCK_FILE ".lock file"

/* Whoever can open a file for reading can lock it: a member that may read everything must not hold up
 * other launches. */
#define LOCK_MODE 0200

/* A lock of the open file description, which conflicts between threads too. Some libcs hide it. */
#ifndef F_OFD_SETLK
#define F_OFD_SETLK 37
#endif

/* Everything that may be in a sandbox's directory; nothing else is ever removed. */
static const char *const known_files[] = {PID_FILE, PID_FILE_NEW, "mode", "control.sock"};

/* How long a claim may wait for the lock of the root, and between two tries. */
#define LOCK_WAIT_MAX_US 5000000
#define LOCK_PAUSE_MIN_US 50
#define LOCK_PAUSE_MAX_US 16000

/* A name that is being given up while it is taken vanishes under our hands; then it is made anew. */
#define TAKE_TRIES 100

/* How often, and between two looks, the end of a guardian is waited for: a second. */
#define ENDING_WAITS 500
#define ENDING_PAUSE_US 2000

void claim_resolve_name(const char *name, char resolved[65])
{
    static atomic_uint counter;

    if (name != NULL)
        snprintf(resolved, 65, "%s", name);
    else
        snprintf(resolved, 65, "sandbox-%ld-%u", (long)getpid(),
                 atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed) + 1);
}

/* Opens a directory of ours for what is to be done in it. A umask may have taken even our own rights from
 * one that was made; who can change what is there can at most have us give up rights of others on it. */
static int directory_open(int at, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat status;
    int fd = openat(at, name, flags);

    if (fd >= 0 || errno != EACCES)
        return fd;
    if (fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode) ||
        status.st_uid != geteuid() || fchmodat(at, name, 0700, AT_SYMLINK_NOFOLLOW) != 0) {
        errno = EACCES;
        return -1;
    }
    return openat(at, name, flags);
}

/* Opens or makes the root. Anybody can create the name in the world-writable parent first, so what
 * is there is used only if it is a real directory of ours that nobody else can change. */
static int root_open(char *warning, size_t warning_size)
{
    char path[64];
    struct stat status;

    snprintf(path, sizeof(path), ROOT_FORMAT, (unsigned long)geteuid());
    CLEANUP_FD int fd = directory_open(AT_FDCWD, path);
    if (fd < 0 && errno == ENOENT) {
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            snprintf(warning, warning_size, "runtime directory %s: %s", path, strerror(errno));
            return -1;
        }
        fd = directory_open(AT_FDCWD, path);
    }
    if (fd < 0 || fstat(fd, &status) != 0) {
        snprintf(warning, warning_size, "runtime directory %s: %s", path, strerror(errno));
        return -1;
    }
    if (status.st_uid != geteuid()) {
        snprintf(warning, warning_size, "runtime directory %s is owned by another user (uid %lu)",
                 path, (unsigned long)status.st_uid);
        return -1;
    }
    if ((status.st_mode & 022) != 0) {
        snprintf(warning, warning_size, "runtime directory %s is writable for others (mode %o)",
                 path, (unsigned)status.st_mode & 07777);
        return -1;
    }
    if ((status.st_mode & 0777) != 0700 && fchmod(fd, 0700) != 0) {
        snprintf(warning, warning_size, "runtime directory %s: chmod: %s", path, strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}

/* Opens the lock file of the root, or makes it. */
static int lock_open(int root_fd, char *warning, size_t warning_size)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    unsigned long user = (unsigned long)geteuid();
    struct stat status;
    CLEANUP_FD int fd = openat(root_fd, LOCK_FILE, flags, LOCK_MODE);

    /* Made under a umask it may have no bits at all, and then nobody has opened it for reading either. */
    if (fd < 0 || fstat(fd, &status) != 0 ||
        ((status.st_mode & 07777) == 0 &&
         (fchmod(fd, LOCK_MODE) != 0 || fstat(fd, &status) != 0))) {
        snprintf(warning, warning_size, "runtime directory lock " ROOT_FORMAT "/" LOCK_FILE ": %s",
                 user, strerror(errno));
        return -1;
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 07777) != LOCK_MODE) {
        snprintf(warning, warning_size,
                 "runtime directory lock " ROOT_FORMAT "/" LOCK_FILE
                 " is not a file of this user with mode 0200; remove it",
                 user);
        return -1;
    }
    return fd_steal(&fd);
}

/* Serialises claims among this user's processes; held for some tens of microseconds. Waiters back off,
 * each in its own rhythm: polled in step by a thousand of them the lock would cost all the time there
 * is. Bounded, because a stopped process may hold it. */
static int root_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    unsigned pause_us = LOCK_PAUSE_MIN_US;
    unsigned waited_us = 0;
    unsigned jitter = (unsigned)getpid() * 2654435761U;

    for (;;) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return 0;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return -errno;
        if (waited_us >= LOCK_WAIT_MAX_US)
            return -EAGAIN;
        jitter = jitter * 1664525U + 1013904223U;
        unsigned pause = pause_us + (jitter >> 16) % pause_us;
        usleep(pause);
        waited_us += pause;
        if (pause_us < LOCK_PAUSE_MAX_US)
            pause_us *= 2;
    }
}

/* Not by closing alone: a child that another thread forked meanwhile has the descriptor too. */
static void root_unlock(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    fcntl(fd, F_OFD_SETLK, &lock);
}

enum holder { HELD_BY_NOBODY, HELD_BY_GUARDIAN, HELD_BY_HOST };

static bool is_locked(int fd, off_t start, off_t length)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    return fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_WRLCK; /* rather than by nobody */
}

/* Which process holds a record lock of the pid file. A lock for reading is none of ours: any member that can
 * read the file can have it. */
static enum holder lock_holder(int directory_fd, const char *file)
{
    CLEANUP_FD int fd = openat(directory_fd, file, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) /* where it is we that cannot look, nobody's name is taken away */
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? HELD_BY_HOST
                                                                     : HELD_BY_NOBODY;
    /* A sandbox of this very process is no conflict for F_GETLK, which the caller handles by the
     * list of its own claims; closing the descriptor would even drop that lock. */
    if (is_locked(fd, 0, CLAIM_GUARDIAN_BYTE))
        return HELD_BY_HOST;
    return is_locked(fd, CLAIM_GUARDIAN_BYTE, 0) ? HELD_BY_GUARDIAN : HELD_BY_NOBODY;
}

/* ---- Claims of this process ------------------------------------------------------------------
 * Record locks do not conflict within a process, and closing any descriptor of the file drops them:
 * a name held by ourselves is therefore found in this list, before its file is touched. */

static struct {
    _Atomic(const struct claim *) owner; /* compared alone: it may be freed by another thread */
    _Atomic uint64_t object;             /* 0: none */
    _Atomic uint64_t
        generation; /* of the process that has it; in a fork of it this is nobody's any more */
} own_claims[4096];
static atomic_size_t own_claims_used; /* slots ever used: the rest need no look */

static size_t own_claims_seen(void)
{
    return atomic_load_explicit(&own_claims_used, memory_order_acquire);
}

/* Two objects with one number would only make a free name look taken. */
static uint64_t object_number(dev_t device, ino_t inode)
{
    return ((uint64_t)device << 48 ^ (uint64_t)device >> 16 ^ (uint64_t)inode) | 1ULL << 63;
}

static bool own_claims_hold(dev_t device, ino_t inode)
{
    uint64_t generation = process_generation();

    for (size_t i = 0; i < own_claims_seen(); i++) {
        if (atomic_load_explicit(&own_claims[i].object, memory_order_acquire) ==
                object_number(device, inode) &&
            own_claims[i].generation == generation)
            return true;
    }
    return false;
}

static bool own_claims_add(const struct claim *claim)
{
    for (size_t i = 0; i < sizeof(own_claims) / sizeof(own_claims[0]); i++) {
        const struct claim *expected = NULL;
        size_t seen = own_claims_seen();
        while (seen <= i && !atomic_compare_exchange_weak(&own_claims_used, &seen, i + 1))
            continue;
        if (atomic_load_explicit(&own_claims[i].owner, memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&own_claims[i].owner, &expected, claim,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            own_claims[i].generation = process_generation();
            atomic_store_explicit(&own_claims[i].object, object_number(claim->device, claim->inode),
                                  memory_order_release);
            return true;
        }
    }
    return false;
}

static void own_claims_remove(const struct claim *claim)
{
    for (size_t i = 0; i < own_claims_seen(); i++) {
        if (atomic_load_explicit(&own_claims[i].owner, memory_order_relaxed) != claim)
            continue;
        atomic_store_explicit(&own_claims[i].object, 0, memory_order_relaxed);
        atomic_store_explicit(&own_claims[i].owner, NULL, memory_order_release);
    }
}

/* ---- Taking a name ---------------------------------------------------------------------------- */

static void directory_clear(int directory_fd)
{
    for (size_t i = 0; i < sizeof(known_files) / sizeof(known_files[0]); i++)
        unlinkat(directory_fd, known_files[i], 0);
}

void claim_close(struct claim *claim)
{
    fd_close(claim->pid_fd);
    fd_close(claim->directory_fd);
    fd_close(claim->root_fd);
    claim->pid_fd = claim->directory_fd = claim->root_fd = -1;
}

/* The directory is there (made now, or left by a dead owner): lock a new pid file in it. */
static int directory_take(struct claim *claim, bool fresh)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = CLAIM_GUARDIAN_BYTE};
    struct stat status;

    if (fstat(claim->directory_fd, &status) != 0)
        return -errno;
    claim->device = status.st_dev;
    claim->inode = status.st_ino;
    if ((status.st_mode & 0700) != 0700 && fchmod(claim->directory_fd, 0700) != 0)
        return -errno;
    if (!fresh)
        directory_clear(claim->directory_fd);
    /* Readable once it is locked. */
    claim->pid_fd = openat(claim->directory_fd, PID_FILE_NEW,
                           O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, LOCK_MODE);
    if (claim->pid_fd < 0)
        return -errno;
    if (fcntl(claim->pid_fd, F_SETLK, &lock) != 0 || fchmod(claim->pid_fd, 0600) != 0 ||
        fstat(claim->pid_fd, &status) != 0)
        return -errno;
    claim->pid_file_inode = status.st_ino;
    return own_claims_add(claim) ? 0 : -EMFILE;
}

/* ENDING: the guardian alone still has it. */
enum take_result { TAKEN, IN_USE, ENDING, FAILED };

static enum take_result take_locked(struct claim *claim, int *error)
{
    bool exists = mkdirat(claim->root_fd, claim->name, 0700) != 0;

    *error = 0;
    if (exists && errno != EEXIST) {
        *error = errno;
        return FAILED;
    }
    claim->directory_fd = directory_open(claim->root_fd, claim->name);
    if (claim->directory_fd < 0) {
        *error = errno;
        if (!exists) /* of use to nobody */
            unlinkat(claim->root_fd, claim->name, AT_REMOVEDIR);
        return FAILED;
    }
    if (exists) {
        struct stat status;
        if (fstat(claim->directory_fd, &status) != 0) {
            *error = errno;
            return FAILED;
        }
        if (own_claims_hold(status.st_dev, status.st_ino))
            return IN_USE;
        /* In the order in which the file is renamed, or it would be missed under both names. */
        enum holder holder = lock_holder(claim->directory_fd, PID_FILE_NEW);
        if (holder == HELD_BY_NOBODY)
            holder = lock_holder(claim->directory_fd, PID_FILE);
        if (holder != HELD_BY_NOBODY)
            return holder == HELD_BY_HOST ? IN_USE : ENDING;
    }
    *error = -FAULT_OR("claim", -EIO, directory_take(claim, !exists));
    if (*error == 0)
        return TAKEN;
    if (!exists) { /* ours, and of no use to anybody */
        directory_clear(claim->directory_fd);
        unlinkat(claim->root_fd, claim->name, AT_REMOVEDIR);
    }
    return FAILED;
}

/*
 * Tries until there is an answer. The guardian of a host that was killed ends within moments, when it has
 * killed the members, and gives up the name. One that goes on has a host that lives, and has lost its own
 * lock. With the lock of the root, which others may have meanwhile. Where nobody has chosen the name there is a
 * next one: a second copy of the library in this process cannot see that the name is the first one's.
 */
static enum take_result take_soon(struct claim *claim, int lock, int *error)
{
    int vanished = 0;
    int waits = 0;

    for (;;) {
        enum take_result result = take_locked(claim, error);
        bool again = (result == FAILED && *error == ENOENT && vanished++ < TAKE_TRIES) ||
                     (result == ENDING && claim->chosen && waits++ < ENDING_WAITS);
        if (!again)
            return result == ENDING ? IN_USE : result;
        fd_close(claim->directory_fd);
        claim->directory_fd = -1;
        if (result != ENDING)
            continue;
        root_unlock(lock);
        usleep(ENDING_PAUSE_US);
        if (root_lock(lock) != 0)
            return IN_USE;
    }
}

bool claim_take(struct claim *claim, const char *name, bool chosen, char *warning,
                size_t warning_size, struct error *err)
{
    int error;

    *claim = CLAIM_INIT;
    claim->chosen = chosen;
    warning[0] = '\0';
    snprintf(claim->name, sizeof(claim->name), "%s", name);
    claim->root_fd = root_open(warning, warning_size);
    if (claim->root_fd >= 0 && fault_is("claim-root")) {
        fd_close(claim->root_fd);
        claim->root_fd = -1;
        snprintf(warning, warning_size, "runtime directory: %s", strerror(EIO));
    }
    if (claim->root_fd < 0)
        return true;
    CLEANUP_FD int lock = lock_open(claim->root_fd, warning, warning_size);
    if (lock < 0) {
        claim_close(claim);
        return true;
    }
    error = -root_lock(lock);
    if (error != 0) {
        claim_close(claim);
        if (chosen)
            return error_runtime(err, error, "runtime directory lock for the name '%s'", name);
        snprintf(warning, warning_size, "runtime directory lock: %s", strerror(error));
        return true;
    }
    enum take_result result = take_soon(claim, lock, &error);
    root_unlock(lock);
    if (result == TAKEN) {
        claim->active = true;
        return true;
    }
    own_claims_remove(claim);
    claim_close(claim);
    if (result == IN_USE)
        return error_runtime(
            err, 0, "sandbox '%s' is already running; give another --name or leave it out", name);
    /* What is there is no sandbox, but it keeps the name from being one's own. */
    if (chosen && error == ENOTDIR)
        return error_runtime(err, 0,
                             "the name '%s' cannot be taken: " ROOT_FORMAT
                             "/%s is not a directory; remove it or give another --name",
                             name, (unsigned long)geteuid(), name);
    snprintf(warning, warning_size, "runtime directory of sandbox '%s': %s", name, strerror(error));
    return true;
}

int claim_publish(struct claim *claim, pid_t child, pid_t supervisor)
{
    char text[64];

    if (!claim->active)
        return 0;
    int length = snprintf(text, sizeof(text), "%ld\n%ld\n", (long)child, (long)supervisor);
    ssize_t put = FAULT_OR("pid-file", -1, pwrite(claim->pid_fd, text, (size_t)length, 0));
    if (put != length)
        return put < 0 ? -errno : -ENOSPC;
    /* The lock follows the inode, so the name is never without one. */
    if (renameat(claim->directory_fd, PID_FILE_NEW, claim->directory_fd, PID_FILE) != 0)
        return -errno;
    claim->published = true;
    return 0;
}

/* Without the lock of the root: as long as our file lies in the directory its lock keeps others off,
 * and after that whoever takes the name puts a file of its own there first, which keeps the directory. */
void claim_release(struct claim *claim, bool removed)
{
    struct stat status;

    if (!claim->active)
        return;
    claim->active = false;
    if (!removed) {
        const char *file = claim->published ? PID_FILE : PID_FILE_NEW;
        /* The guardian may have removed ours, and somebody else taken the directory with a file of its own. */
        if (fstatat(claim->directory_fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_ino == claim->pid_file_inode)
            unlinkat(claim->directory_fd, file, 0);
        if (fstatat(claim->root_fd, claim->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_dev == claim->device && status.st_ino == claim->inode)
            unlinkat(claim->root_fd, claim->name, AT_REMOVEDIR);
    }
    own_claims_remove(claim);
}
