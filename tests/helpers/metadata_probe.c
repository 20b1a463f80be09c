/*
 * Changes metadata by every spelling, as raw system calls:
 *
 *     metadata_probe SPELLING PATH      one of them on PATH
 *     metadata_probe all PATH           every one; descriptor forms on an O_RDONLY descriptor of it
 *     metadata_probe fds N              every descriptor form on the inherited descriptor N
 *     metadata_probe list               the names
 *     metadata_probe race PATH DECOY SECONDS
 *                                       chmod of a path whose bytes another thread swaps between
 *                                       PATH and DECOY (of equal length); prints how many were OK
 *
 * Forms have names of their own: fchmodat_dirfd is relative to a descriptor of PATH's directory,
 * fchmodat2_empty acts on a descriptor by AT_EMPTY_PATH, proc_self_fd, proc_pid_fd and dev_fd are chmod
 * of a link to the descriptor. Modes become 0640, times 1000000000, the attribute is user.sandlock.
 * Prints "name: OK" or "name: ERRNO" per call. Exits 0 if all calls were OK, else 1.
 */
#define _GNU_SOURCE
#include "patience.h"
#include "probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <time.h>
#include <utime.h>

#define MODE 0640
#define TIME 1000000000L
#define ATTRIBUTE "user.sandlock"
#define VALUE "probe"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_REMOVEXATTRAT 466
#define NR_FILE_SETATTR 469

struct target {
    const char *path; /* as given */
    int dirfd;        /* its directory, O_PATH */
    const char *name; /* in that directory */
    int fd;           /* O_RDONLY, -1 if it could not be opened */
};

static const struct timespec new_times[2] = {{TIME, 0}, {TIME, 0}};
static const long new_timevals[4] = {TIME, 0, TIME, 0};
static const struct utimbuf new_seconds = {TIME, TIME};

static struct {
    uint64_t value;
    uint32_t size, flags;
} packed = {0, sizeof(VALUE), 0};

static unsigned char file_attr[24]; /* no flags */

static long keep_owner(void)
{
    return -1;
}

#define PATH_FORM(name, call)                     \
    static long do_##name(const struct target *t) \
    {                                             \
        return call;                              \
    }

#ifdef SYS_chmod
PATH_FORM(chmod, syscall(SYS_chmod, t->path, MODE))
PATH_FORM(chown, syscall(SYS_chown, t->path, keep_owner(), keep_owner()))
PATH_FORM(lchown, syscall(SYS_lchown, t->path, keep_owner(), keep_owner()))
PATH_FORM(utime, syscall(SYS_utime, t->path, &new_seconds))
PATH_FORM(utimes, syscall(SYS_utimes, t->path, new_timevals))
PATH_FORM(futimesat, syscall(SYS_futimesat, AT_FDCWD, t->path, new_timevals))
PATH_FORM(futimesat_dirfd, syscall(SYS_futimesat, t->dirfd, t->name, new_timevals))
#endif
PATH_FORM(fchmod, syscall(SYS_fchmod, t->fd, MODE))
PATH_FORM(fchmodat, syscall(SYS_fchmodat, AT_FDCWD, t->path, MODE))
PATH_FORM(fchmodat_dirfd, syscall(SYS_fchmodat, t->dirfd, t->name, MODE))
PATH_FORM(fchmodat2, syscall(NR_FCHMODAT2, AT_FDCWD, t->path, MODE, 0))
PATH_FORM(fchmodat2_nofollow, syscall(NR_FCHMODAT2, AT_FDCWD, t->path, MODE, AT_SYMLINK_NOFOLLOW))
PATH_FORM(fchmodat2_empty, syscall(NR_FCHMODAT2, t->fd, "", MODE, AT_EMPTY_PATH))
PATH_FORM(fchown, syscall(SYS_fchown, t->fd, keep_owner(), keep_owner()))
PATH_FORM(fchownat, syscall(SYS_fchownat, AT_FDCWD, t->path, keep_owner(), keep_owner(), 0))
PATH_FORM(fchownat_empty,
          syscall(SYS_fchownat, t->fd, "", keep_owner(), keep_owner(), AT_EMPTY_PATH))
PATH_FORM(utimensat, syscall(SYS_utimensat, AT_FDCWD, t->path, new_times, 0))
PATH_FORM(utimensat_dirfd, syscall(SYS_utimensat, t->dirfd, t->name, new_times, 0))
PATH_FORM(utimensat_nofollow,
          syscall(SYS_utimensat, AT_FDCWD, t->path, new_times, AT_SYMLINK_NOFOLLOW))
PATH_FORM(utimensat_now, syscall(SYS_utimensat, AT_FDCWD, t->path, NULL, 0))
PATH_FORM(utimensat_fd, syscall(SYS_utimensat, t->fd, NULL, new_times, 0))
PATH_FORM(setxattr, syscall(SYS_setxattr, t->path, ATTRIBUTE, VALUE, sizeof(VALUE), 0))
PATH_FORM(lsetxattr, syscall(SYS_lsetxattr, t->path, ATTRIBUTE, VALUE, sizeof(VALUE), 0))
PATH_FORM(fsetxattr, syscall(SYS_fsetxattr, t->fd, ATTRIBUTE, VALUE, sizeof(VALUE), 0))
PATH_FORM(setxattrat,
          syscall(NR_SETXATTRAT, AT_FDCWD, t->path, 0, ATTRIBUTE, &packed, sizeof(packed)))

/* A removal needs something to remove. Put there unconfined or by a granted call before. */
PATH_FORM(removexattr, syscall(SYS_removexattr, t->path, ATTRIBUTE))
PATH_FORM(lremovexattr, syscall(SYS_lremovexattr, t->path, ATTRIBUTE))
PATH_FORM(fremovexattr, syscall(SYS_fremovexattr, t->fd, ATTRIBUTE))
PATH_FORM(removexattrat, syscall(NR_REMOVEXATTRAT, AT_FDCWD, t->path, 0, ATTRIBUTE))
PATH_FORM(file_setattr,
          syscall(NR_FILE_SETATTR, AT_FDCWD, t->path, file_attr, sizeof(file_attr), 0))

static long do_ioctl_setflags(const struct target *t)
{
    int flags = FS_NODUMP_FL;

    return ioctl(t->fd, FS_IOC_SETFLAGS, &flags);
}

static long do_ioctl_fssetxattr(const struct target *t)
{
    struct fsxattr attributes = {0};

    return ioctl(t->fd, FS_IOC_FSSETXATTR, &attributes);
}

static long do_ioctl_setversion(const struct target *t)
{
    int version = 7;

    return ioctl(t->fd, FS_IOC_SETVERSION, &version);
}

static long by_link(const char *directory, int fd)
{
    char link[80];

    snprintf(link, sizeof(link), "%s/%d", directory, fd);
    return syscall(SYS_fchmodat, AT_FDCWD, link, MODE);
}

PATH_FORM(proc_self_fd, by_link("/proc/self/fd", t->fd))
PATH_FORM(proc_thread_self_fd, by_link("/proc/thread-self/fd", t->fd))
PATH_FORM(dev_fd, by_link("/dev/fd", t->fd))

static long do_proc_pid_fd(const struct target *t)
{
    char directory[64];

    snprintf(directory, sizeof(directory), "/proc/%d/fd", (int)getpid());
    return by_link(directory, t->fd);
}

enum needs { BY_PATH, BY_FD };

static const struct spelling {
    const char *name;
    long (*call)(const struct target *target);
    enum needs needs;
} spellings[] = {
#define ROW(name, needs)        \
    {                           \
#name, do_##name, needs \
    }
#ifdef SYS_chmod
    ROW(chmod, BY_PATH),
    ROW(chown, BY_PATH),
    ROW(lchown, BY_PATH),
    ROW(utime, BY_PATH),
    ROW(utimes, BY_PATH),
    ROW(futimesat, BY_PATH),
    ROW(futimesat_dirfd, BY_PATH),
#endif
    ROW(fchmod, BY_FD),
    ROW(fchmodat, BY_PATH),
    ROW(fchmodat_dirfd, BY_PATH),
    ROW(fchmodat2, BY_PATH),
    ROW(fchmodat2_nofollow, BY_PATH),
    ROW(fchmodat2_empty, BY_FD),
    ROW(fchown, BY_FD),
    ROW(fchownat, BY_PATH),
    ROW(fchownat_empty, BY_FD),
    ROW(utimensat, BY_PATH),
    ROW(utimensat_dirfd, BY_PATH),
    ROW(utimensat_nofollow, BY_PATH),
    ROW(utimensat_now, BY_PATH),
    ROW(utimensat_fd, BY_FD),
    ROW(setxattr, BY_PATH),
    ROW(removexattr, BY_PATH),
    ROW(lsetxattr, BY_PATH),
    ROW(lremovexattr, BY_PATH),
    ROW(fsetxattr, BY_FD),
    ROW(fremovexattr, BY_FD),
    ROW(setxattrat, BY_PATH),
    ROW(removexattrat, BY_PATH),
    ROW(file_setattr, BY_PATH),
    ROW(ioctl_setflags, BY_FD),
    ROW(ioctl_fssetxattr, BY_FD),
    ROW(ioctl_setversion, BY_FD),
    ROW(proc_self_fd, BY_FD),
    ROW(proc_thread_self_fd, BY_FD),
    ROW(proc_pid_fd, BY_FD),
    ROW(dev_fd, BY_FD),
};

#define SPELLINGS (sizeof(spellings) / sizeof(spellings[0]))

static int run(const struct spelling *spelling, const struct target *target)
{
    if (spelling->needs == BY_FD && target->fd < 0) {
        printf("%s: no descriptor\n", spelling->name);
        return 0;
    }
    return probe_report(spelling->name, spelling->call(target));
}

static struct target open_target(const char *path)
{
    static char directory[4096];
    struct target target = {.path = path};
    const char *slash = strrchr(path, '/');

    target.name = slash == NULL ? path : slash + 1;
    snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    target.dirfd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    target.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return target;
}

/* ---- The race ------------------------------------------------------------------------------------- */

static char raced_path[4096];
static atomic_int race_over;

static void *swap_bytes(void *data)
{
    char **paths = data;
    size_t length = strlen(paths[0]);

    for (unsigned i = 0; !atomic_load(&race_over); i++)
        memcpy(raced_path, paths[i & 1], length);
    return NULL;
}

static int race(char *path, char *decoy, int seconds)
{
    char *paths[2] = {path, decoy};
    pthread_t thread;
    long ok = 0, refused = 0;
    double end = now_ms() + seconds * 1e3;

    if (strlen(path) != strlen(decoy) || strlen(path) >= sizeof(raced_path))
        return 2;
    strcpy(raced_path, path);
    pthread_create(&thread, NULL, swap_bytes, paths);
    while (goes_on(end, ok < refused ? ok : refused, 1)) {
        if (syscall(SYS_fchmodat, AT_FDCWD, raced_path, 0600) == 0)
            ok++;
        else
            refused++;
    }
    atomic_store(&race_over, 1);
    pthread_join(thread, NULL);
    printf("race: ok %ld refused %ld\n", ok, refused);
    return 0;
}

int main(int argc, char **argv)
{
    int good = 1, found = 0;

    packed.value = (uint64_t)(uintptr_t)VALUE;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < SPELLINGS; i++)
            puts(spellings[i].name);
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "race") == 0)
        return race(argv[2], argv[3], atoi(argv[4]));
    if (argc != 3) {
        fprintf(stderr, "usage: metadata_probe SPELLING|all|fds PATH|FD\n");
        return 2;
    }
    int fds = strcmp(argv[1], "fds") == 0;
    struct target target =
        fds ? (struct target){.path = "", .name = "", .fd = atoi(argv[2])} : open_target(argv[2]);
    for (size_t i = 0; i < SPELLINGS; i++) {
        int wanted = fds ? spellings[i].needs == BY_FD
                         : strcmp(argv[1], "all") == 0 || strcmp(argv[1], spellings[i].name) == 0;
        if (!wanted)
            continue;
        found = 1;
        good &= run(&spellings[i], &target);
    }
    return found ? !good : 2;
}
