/*
 * The last resort: the guardian died without having ended the sandbox. The first child died with it
 * (PDEATHSIG), other members may live on as orphans. The command line is a subreaper, so they are its
 * children, and "no child left" is the proof that they ended. A host of the library is none: there they
 * are found by a right that only we have, as from domain S a ptrace-class access succeeds for members
 * and for nothing else of the user.
 */
#include "launch/internal.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Passes without an end mean that something is wrong; each pass kills all it sees. */
#define SWEEP_PASSES_MAX 1000
#define SWEEP_PAUSE_US 1000
/* Births looked at one after the other before the whole list is read again; of a burst the newest. */
#define CHASE_STEPS_MAX 20000
#define CHASE_WINDOW 64

/* Reading the link needs PTRACE_MODE_READ, which Landlock gives for nested domains only. */
static bool is_member(int proc_fd, const char *number)
{
    char path[NAME_MAX + 8];
    char target[8];

    snprintf(path, sizeof(path), "%s/cwd", number);
    return readlinkat(proc_fd, path, target, sizeof(target)) >= 0;
}

static bool kill_if_member(int proc_fd, const char *number)
{
    pid_t pid = (pid_t)strtol(number, NULL, 10);

    if (pid <= 1 || pid == getpid() || !is_member(proc_fd, number))
        return false;
    int pidfd = sys_pidfd_open(pid, 0);
    if (pidfd < 0)
        return false;
    /* Asked again through what cannot be reused any more. */
    bool member = is_member(proc_fd, number);
    if (member)
        sys_pidfd_send_signal(pidfd, SIGKILL, 0);
    fd_close(pidfd);
    return member;
}

/* The number given out last in our pid namespace, or -1. */
static long last_pid(void)
{
    char text[128];
    CLEANUP_FD int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);

    if (length <= 0)
        return -1;
    text[length] = '\0';
    const char *number = strrchr(text, ' ');
    return number == NULL ? -1 : strtol(number, NULL, 10);
}

static bool kill_members_in(DIR *proc, long first, long last)
{
    bool found = false;

    for (long pid = last; pid >= first; pid--) {
        char number[24];
        snprintf(number, sizeof(number), "%ld", pid);
        found = kill_if_member(dirfd(proc), number) || found;
    }
    return found;
}

/* Looks only at what was born since: a process that forks and exits moves on faster than a directory is
 * listed, but it cannot do so without using up numbers. Ends when nothing new was born meanwhile. */
static bool chase_newborn(DIR *proc, long since)
{
    bool found = false;

    for (int step = 0; step < CHASE_STEPS_MAX; step++) {
        long newest = last_pid();
        if (newest < 0 || newest <= since) /* nothing new, or the numbers began anew: list again */
            break;
        long first = newest - since > CHASE_WINDOW ? newest - CHASE_WINDOW : since + 1;
        found = kill_members_in(proc, first, newest) || found;
        since = newest;
    }
    return found;
}

static void sweep_by_access(void)
{
    for (int pass = 0; pass < SWEEP_PASSES_MAX; pass++) {
        long newest = last_pid();
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        bool found = false;

        if (proc == NULL)
            return;
        while ((entry = readdir(proc)) != NULL) {
            if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                found = kill_if_member(dirfd(proc), entry->d_name) || found;
        }
        found = chase_newborn(proc, newest) || found;
        closedir(proc);
        if (!found)
            return;
    }
}

/* By a pidfd: the wall around the supervisor does not let it name processes by number. A child of ours
 * keeps its number until we reap it. */
static void end_child(pid_t pid)
{
    CLEANUP_FD int pidfd = sys_pidfd_open(pid, 0);

    if (pidfd >= 0)
        sys_pidfd_send_signal(pidfd, SIGKILL, 0);
}

/* The command line made itself a subreaper before the guardian existed: what it inherits are the
 * sandbox's orphans, and it has no other children. */
static void sweep_children(void)
{
    for (int pass = 0; pass < SWEEP_PASSES_MAX; pass++) {
        int result = waitpid(-1, NULL, WNOHANG | __WALL);
        if (result < 0)
            return;
        if (result > 0)
            continue;
        char path[64];
        char text[4096];
        snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        ssize_t length = fd_read_full(fd, text, sizeof(text) - 1);
        if (length <= 0)
            return;
        text[length] = '\0';
        char *cursor = text;
        for (;;) {
            char *end;
            long pid = strtol(cursor, &end, 10);
            if (end == cursor || *end != ' ')
                break;
            if (pid > 1)
                end_child((pid_t)pid);
            cursor = end;
        }
        usleep(SWEEP_PAUSE_US);
    }
}

/* Without the domain every process of the user would pass for a member. The domain is a thread's: others of
 * this process, and what was forked from it, have none. */
static bool is_confined_here(const struct launch *launch)
{
    return launch->confined && launch->confined_process == getpid() &&
           launch->confined_thread == sys_gettid();
}

void launch_sweep_members(struct launch *launch)
{
    if (launch->own_process)
        sweep_children();
    else if (is_confined_here(launch))
        sweep_by_access();
}
