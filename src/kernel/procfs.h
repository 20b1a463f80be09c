/*
 * Bounded readers of /proc/<pid>.
 *
 * Every function takes the descriptor of a /proc directory (procfs_open()), so that a supervisor
 * looks at the procfs it was started with whatever becomes of its own root; -1 means "/proc" by
 * name. Ids are the caller's: a process can end and its id be used again between two calls, so
 * compare start times, or hold a pidfd and check it afterwards. Everything returns -errno on
 * failure; a task that is gone yields -ENOENT or -ESRCH.
 */
#ifndef SANDLOCK_KERNEL_PROCFS_H
#define SANDLOCK_KERNEL_PROCFS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCFS_COMM_SIZE 65 /* kernel threads show up to 64 bytes, user tasks 15 */
#define PROCFS_PATH_MAX 64  /* "/proc/<pid>/task/<tid>/children" and shorter */

struct procfs_stat {
    pid_t pid;
    pid_t parent;
    pid_t group;
    pid_t session;
    int64_t terminal; /* device number of its controlling terminal as TIOCGDEV tells it; 0: none */
    pid_t foreground; /* group in front of its terminal; -1: no terminal, 0: not visible here */
    char state;       /* R S D T t Z X I … */
    long threads;     /* in the whole process */
    uint64_t user_ticks; /* in clock ticks (sysconf(_SC_CLK_TCK)) */
    uint64_t system_ticks;
    uint64_t start_time; /* clock ticks after boot */
    uint64_t virtual_bytes;
    uint64_t resident_pages;
    char comm[PROCFS_COMM_SIZE]; /* any bytes the process chose, NUL-terminated */
};

/* An O_PATH descriptor of /proc, or -errno. */
int procfs_open(void);

/* Whether the directory is a procfs that shows processes by the numbers they have for us. 0, or -errno and
 * in `reason` a constant text: -ENODEV (no procfs, or not the top of one), -EXDEV (that of another pid
 * namespace: what it shows under a number is not the process that we know by it), those of reading. */
int procfs_check_own(int proc_fd, const char **reason);

/* Opens "<pid>/<name>" (pid 0: "thread-self/<name>", the calling thread). Close-on-exec. */
int procfs_open_file(int proc_fd, pid_t pid, const char *name, int flags);

/* Reads up to `size - 1` bytes of "<pid>/<name>" and terminates them. Returns the number read. A
 * file that is longer is cut without notice: for small files. */
ssize_t procfs_read(int proc_fd, pid_t pid, const char *name, char *data, size_t size);

/* The process a thread belongs to. */
pid_t procfs_tgid(int proc_fd, pid_t tid);

/* What /proc/<pid>/stat says. */
int procfs_stat(int proc_fd, pid_t pid, struct procfs_stat *stat);

/* Pure: parses the content of a stat file. The command's name stands in parentheses and may contain
 * parentheses and blanks itself, so everything behind it is found from the last ')'. -EINVAL: no
 * stat line. */
int procfs_parse_stat(const char *text, struct procfs_stat *stat);

/* Pure: the value of a line of a status file ("Umask"), as text inside `status`; NULL if there is none. The
 * kernel escapes line feeds in the process's name, so no line can be forged. */
const char *procfs_status_field(const char *status, const char *name);

/* Pure: the first number of that value. False if the line or the number is missing or too large. */
bool procfs_status_number(const char *status, const char *name, int base, uint64_t *value);

pid_t procfs_parent(int proc_fd, pid_t pid);

/* Number of threads of the process. */
long procfs_thread_count(int proc_fd, pid_t pid);

/* The children of all threads of a process. Stores at most `capacity` of them and returns the
 * number there are in all (which may be more than `capacity`). -ENOTSUP: a kernel without
 * CONFIG_PROC_CHILDREN. The list is a snapshot: children made meanwhile may be missing. */
ssize_t procfs_children(int proc_fd, pid_t pid, pid_t *children, size_t capacity);

/* The thread ids of a process, in the same manner. */
ssize_t procfs_threads(int proc_fd, pid_t pid, pid_t *threads, size_t capacity);

/* What descriptor `fd` of the task refers to ("/path", "/path (deleted)", "socket:[N]", …). A
 * thread may have a table of its own, so pass the thread's id, or 0 for the calling thread. Returns
 * the length; -ENAMETOOLONG if it does not fit with its NUL. */
ssize_t procfs_read_fd_link(int proc_fd, pid_t tid, int fd, char *target, size_t size);

/* The same for "<pid>/<name>": exe, cwd, root, ns/user, … */
ssize_t procfs_read_link(int proc_fd, pid_t pid, const char *name, char *target, size_t size);

#endif
