/*
 * Readers of /proc/<pid>: see procfs.h. One idea: every path is built in a fixed buffer from
 * numbers and constant names, and every file is read into a buffer of fixed size.
 */
#include "kernel/procfs.h"

#include "kernel/sys.h"
#include "util/fd.h"
#include "util/text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* status grows with the groups of the user (65536 at most); Tgid stands in the first lines. */
#define STATUS_HEAD_SIZE 1024
#define STATUS_SIZE_MAX (1 << 20)
#define STAT_SIZE 1024
#define CHILDREN_CHUNK 4096

int procfs_open(void)
{
    int fd = openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Whether the procfs knows us by our own number alone, and not by one more in a namespace below its own. The
 * number it shows could be the same in both by chance. 1, 0 or -errno. */
static int has_our_numbers(int proc_fd, pid_t own)
{
    CLEANUP_FD int fd = procfs_open_file(proc_fd, own, "status", O_RDONLY);
    CLEANUP_FREE char *status = NULL;
    size_t length;

    if (fd < 0)
        return fd;
    int result = fd_read_file(fd, STATUS_SIZE_MAX, &status, &length);
    if (result != 0)
        return result;
    const char *numbers = procfs_status_field(status, "NStgid");
    if (numbers == NULL)
        return 1; /* a kernel without pid namespaces */
    return numbers[strcspn(numbers, "\t\n")] != '\t';
}

/* The same from what the procfs says of a descriptor of ours, which costs a third. -ENOTSUP: it does not say. */
static int has_our_numbers_by_pidfd(int proc_fd, pid_t own)
{
    CLEANUP_FD int pidfd = sys_pidfd_open(own, 0);
    char name[32], text[512], ours[48];

    if (pidfd < 0)
        return -ENOTSUP;
    snprintf(name, sizeof(name), "fdinfo/%d", pidfd);
    if (procfs_read(proc_fd, 0, name, text, sizeof(text)) <= 0 || strstr(text, "\nNSpid:") == NULL)
        return -ENOTSUP;
    snprintf(ours, sizeof(ours), "\nNSpid:\t%d\n", (int)own);
    return strstr(text, ours) != NULL;
}

int procfs_check_own(int proc_fd, const char **reason)
{
    /* The last one that passed, in its parts: one process asks again and again about the same. */
    static _Atomic uint64_t own_device, own_inode, own_process;
    const uint64_t process = (uint64_t)getpid();
    char self[24], link[24] = "";
    struct statfs system;
    struct stat root, status;

    *reason = "";
    if (fstat(proc_fd, &root) != 0)
        return -errno;
    if (atomic_load(&own_process) == process && atomic_load(&own_device) == root.st_dev &&
        atomic_load(&own_inode) == root.st_ino)
        return 0;
    *reason = "no procfs is mounted there";
    if (fstatfs(proc_fd, &system) != 0 || system.f_type != PROC_SUPER_MAGIC ||
        fstatat(proc_fd, "self", &status, AT_SYMLINK_NOFOLLOW) != 0)
        return -ENODEV;
    ssize_t length = readlinkat(proc_fd, "self", link, sizeof(link) - 1);
    snprintf(self, sizeof(self), "%" PRIu64, process);
    int ours = length >= 0 && strcmp(link, self) == 0;
    if (ours != 0)
        ours = has_our_numbers_by_pidfd(proc_fd, (pid_t)process);
    if (ours == -ENOTSUP)
        ours = has_our_numbers(proc_fd, (pid_t)process);
    if (ours < 0) {
        *reason = "its files cannot be read";
        return ours;
    }
    if (ours == 0) {
        *reason = "it is the procfs of another pid namespace";
        return -EXDEV;
    }
    *reason = "";
    atomic_store(&own_device, root.st_dev);
    atomic_store(&own_inode, root.st_ino);
    atomic_store(&own_process, process);
    return 0;
}

/* Builds "<pid>/<name>", with "/proc/" in front where there is no descriptor to start from. */
static int build_path(int proc_fd, pid_t pid, const char *name, char path[PROCFS_PATH_MAX])
{
    const char *prefix = proc_fd < 0 ? "/proc/" : "";
    int length = pid == 0 ? snprintf(path, PROCFS_PATH_MAX, "%sthread-self/%s", prefix, name)
                          : snprintf(path, PROCFS_PATH_MAX, "%s%d/%s", prefix, (int)pid, name);

    if (pid < 0)
        return -ESRCH;
    return length < 0 || length >= PROCFS_PATH_MAX ? -ENAMETOOLONG : 0;
}

int procfs_open_file(int proc_fd, pid_t pid, const char *name, int flags)
{
    char path[PROCFS_PATH_MAX];
    int error = build_path(proc_fd, pid, name, path);

    if (error != 0)
        return error;
    int fd = openat(proc_fd < 0 ? AT_FDCWD : proc_fd, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

ssize_t procfs_read(int proc_fd, pid_t pid, const char *name, char *data, size_t size)
{
    CLEANUP_FD int fd = procfs_open_file(proc_fd, pid, name, O_RDONLY);

    if (size > 0)
        data[0] = '\0';
    if (fd < 0)
        return fd;
    if (size == 0)
        return -EINVAL;
    ssize_t got = fd_read_full(fd, data, size - 1);
    if (got >= 0)
        data[got] = '\0';
    return got;
}

pid_t procfs_tgid(int proc_fd, pid_t tid)
{
    static const char key[] = "\nTgid:\t";
    char status[STATUS_HEAD_SIZE];
    ssize_t got = procfs_read(proc_fd, tid, "status", status, sizeof(status));

    if (got < 0)
        return (pid_t)got;
    /* The kernel escapes the name in the first line: a line feed in it cannot forge the key. */
    const char *line = strstr(status, key);
    if (line == NULL)
        return -EINVAL;
    line += sizeof(key) - 1;
    uint64_t tgid;
    if (!text_parse_uint(line, strcspn(line, "\n"), INT32_MAX, &tgid) || tgid == 0)
        return -ESRCH; /* 0: the reader's pid namespace does not contain it */
    return (pid_t)tgid;
}

/* Takes the next blank-separated signed number. */
static int next_number(const char **cursor, int64_t *value)
{
    char *end;

    while (**cursor == ' ')
        (*cursor)++;
    /* Some fields are unsigned 64-bit and may exceed the signed range (no limit is 2^64 - 1). */
    bool negative = **cursor == '-';
    errno = 0;
    *value = negative ? strtoll(*cursor, &end, 10) : (int64_t)strtoull(*cursor, &end, 10);
    if (end == *cursor || errno != 0 || (*end != ' ' && *end != '\n' && *end != '\0'))
        return -EINVAL;
    *cursor = end;
    return 0;
}

int procfs_parse_stat(const char *text, struct procfs_stat *stat)
{
    /* Fields 4 to 24 of proc(5), by position behind the state. */
    enum {
        FIELD_PARENT = 0,
        FIELD_GROUP = 1,
        FIELD_SESSION = 2,
        FIELD_TERMINAL = 3,
        FIELD_FOREGROUND = 4,
        FIELD_USER = 10,
        FIELD_SYSTEM = 11,
        FIELD_THREADS = 16,
        FIELD_START = 18,
        FIELD_VIRTUAL = 19,
        FIELD_RESIDENT = 20,
        FIELD_COUNT
    };
    int64_t fields[FIELD_COUNT];
    const char *open = strchr(text, '(');
    const char *close = strrchr(text, ')');

    *stat = (struct procfs_stat){0};
    if (open == NULL || close == NULL || close < open || close[1] != ' ' || close[2] == '\0')
        return -EINVAL;
    uint64_t pid;
    if (open == text || !text_parse_uint(text, (size_t)(open - text) - 1, INT32_MAX, &pid))
        return -EINVAL;
    size_t comm = (size_t)(close - open) - 1;
    if (comm >= sizeof(stat->comm))
        comm = sizeof(stat->comm) - 1;
    memcpy(stat->comm, open + 1, comm);

    const char *cursor = close + 3;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (next_number(&cursor, &fields[i]) != 0)
            return -EINVAL;
    }
    stat->pid = (pid_t)pid;
    stat->state = close[2];
    stat->parent = (pid_t)fields[FIELD_PARENT];
    stat->group = (pid_t)fields[FIELD_GROUP];
    stat->session = (pid_t)fields[FIELD_SESSION];
    stat->terminal = (int64_t)(uint32_t)fields[FIELD_TERMINAL];
    stat->foreground = (pid_t)fields[FIELD_FOREGROUND];
    stat->user_ticks = (uint64_t)fields[FIELD_USER];
    stat->system_ticks = (uint64_t)fields[FIELD_SYSTEM];
    stat->threads = (long)fields[FIELD_THREADS];
    stat->start_time = (uint64_t)fields[FIELD_START];
    stat->virtual_bytes = (uint64_t)fields[FIELD_VIRTUAL];
    stat->resident_pages = (uint64_t)fields[FIELD_RESIDENT];
    return 0;
}

int procfs_stat(int proc_fd, pid_t pid, struct procfs_stat *stat)
{
    char text[STAT_SIZE];
    ssize_t got = procfs_read(proc_fd, pid, "stat", text, sizeof(text));

    if (got < 0) {
        *stat = (struct procfs_stat){0};
        return (int)got;
    }
    return procfs_parse_stat(text, stat);
}

const char *procfs_status_field(const char *status, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = status; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, "\t ");
    }
    return NULL;
}

bool procfs_status_number(const char *status, const char *name, int base, uint64_t *value)
{
    const char *text = procfs_status_field(status, name);
    char *end;

    if (text == NULL)
        return false;
    errno = 0;
    *value = strtoull(text, &end, base);
    return end != text && errno == 0;
}

pid_t procfs_parent(int proc_fd, pid_t pid)
{
    struct procfs_stat stat;
    int error = procfs_stat(proc_fd, pid, &stat);

    return error != 0 ? error : stat.parent;
}

long procfs_thread_count(int proc_fd, pid_t pid)
{
    struct procfs_stat stat;
    int error = procfs_stat(proc_fd, pid, &stat);

    return error != 0 ? error : stat.threads;
}

/* A growing answer: how many there are, and the first `capacity` of them. */
struct pid_list {
    pid_t *items;
    size_t capacity;
    size_t count;
};

static void pid_list_add(struct pid_list *list, pid_t pid)
{
    if (list->count < list->capacity)
        list->items[list->count] = pid;
    list->count++;
}

/* Reads one "children" file: numbers, each followed by a blank, of any length in total. */
static int read_children(int proc_fd, pid_t pid, pid_t tid, struct pid_list *list)
{
    char name[PROCFS_PATH_MAX];
    char chunk[CHILDREN_CHUNK];
    int number = 0;

    snprintf(name, sizeof(name), "task/%d/children", (int)tid);
    CLEANUP_FD int fd = procfs_open_file(proc_fd, pid, name, O_RDONLY);
    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t got = fd_read_full(fd, chunk, sizeof(chunk));
        if (got <= 0)
            return (int)got;
        for (ssize_t i = 0; i < got; i++) {
            if (chunk[i] >= '0' && chunk[i] <= '9') {
                if (number > (INT32_MAX - 9) / 10)
                    return -EINVAL;
                number = number * 10 + (chunk[i] - '0');
            } else if (number > 0) {
                pid_list_add(list, number);
                number = 0;
            }
        }
    }
}

typedef int thread_visitor(int proc_fd, pid_t pid, pid_t tid, struct pid_list *list);

static int visit_threads(int proc_fd, pid_t pid, thread_visitor *visit, struct pid_list *list)
{
    int fd = procfs_open_file(proc_fd, pid, "task", O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return fd;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int error = -errno;
        fd_close(fd);
        return error;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        uint64_t tid;
        if (!text_parse_uint(entry->d_name, strlen(entry->d_name), INT32_MAX, &tid))
            continue; /* "." and ".." */
        int visited = visit(proc_fd, pid, (pid_t)tid, list);
        /* A thread that ended meanwhile has no children: the process took them over. */
        if (visited != 0 && visited != -ENOENT && visited != -ESRCH) {
            result = visited;
            break;
        }
    }
    closedir(directory);
    return result;
}

static int visit_thread(int proc_fd, pid_t pid, pid_t tid, struct pid_list *list)
{
    (void)proc_fd;
    (void)pid;
    pid_list_add(list, tid);
    return 0;
}

/* Distinguishes "no such thread" from "no such file in this kernel". */
static int check_children_supported(int proc_fd)
{
    CLEANUP_FD int fd = procfs_open_file(proc_fd, 0, "children", O_RDONLY);

    return fd == -ENOENT ? -ENOTSUP : 0;
}

ssize_t procfs_children(int proc_fd, pid_t pid, pid_t *children, size_t capacity)
{
    struct pid_list list = {.items = children, .capacity = capacity};
    int error = visit_threads(proc_fd, pid, read_children, &list);

    if (error == 0 && list.count == 0)
        error = check_children_supported(proc_fd);
    return error != 0 ? error : (ssize_t)list.count;
}

ssize_t procfs_threads(int proc_fd, pid_t pid, pid_t *threads, size_t capacity)
{
    struct pid_list list = {.items = threads, .capacity = capacity};
    int error = visit_threads(proc_fd, pid, visit_thread, &list);

    return error != 0 ? error : (ssize_t)list.count;
}

ssize_t procfs_read_link(int proc_fd, pid_t pid, const char *name, char *target, size_t size)
{
    char path[PROCFS_PATH_MAX];
    int error = build_path(proc_fd, pid, name, path);

    if (size > 0)
        target[0] = '\0';
    if (error != 0)
        return error;
    ssize_t length = readlinkat(proc_fd < 0 ? AT_FDCWD : proc_fd, path, target, size);
    if (length < 0)
        return -errno;
    if ((size_t)length >= size) {
        target[0] = '\0';
        return -ENAMETOOLONG;
    }
    target[length] = '\0';
    return length;
}

ssize_t procfs_read_fd_link(int proc_fd, pid_t tid, int fd, char *target, size_t size)
{
    char name[PROCFS_PATH_MAX];

    if (fd < 0)
        return -EBADF;
    snprintf(name, sizeof(name), "fd/%d", fd);
    return procfs_read_link(proc_fd, tid, name, target, size);
}
