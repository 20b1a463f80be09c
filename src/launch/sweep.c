/*
 * The last resort: the guardian died without having ended the sandbox. The first child died with it
 * (PDEATHSIG), other members may live on as orphans. The command line is a subreaper, so they are its
 * children, and "no child left" is the proof that they ended. A host of the library is none: there they
 * are found by a right that only we have, as from domain S a ptrace-class access succeeds for members
 * and for nothing else of the user.
 */
#include "launch/internal.h"

#include "kernel/procfs.h"
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

/* Passes that find nothing but what was killed before mean that something is wrong. Of those by access, which see no
 * end of a member, all count. */
#define SWEEP_PASSES_MAX 1000
#define SWEEP_PAUSE_US 1000
/* Ended children that are reaped between two passes: first, and at most. */
#define REAPED_AT_ONCE 64
#define REAPED_AT_ONCE_MAX 4096
/* Descendants looked at in one pass, more than there can be at a time. */
#define DESCENT_MAX (1 << 23)
#define DESCENT_SPARE 256
/* Births looked at one after the other before the whole list is read again; of a burst the newest. */
#define CHASE_STEPS_MAX 20000
#define CHASE_WINDOW 64

/* ---- Members by access --------------------------------------------------------------------------- */

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

/* ---- Children of the command line ---------------------------------------------------------------- */

struct descendant {
    pid_t pid, parent;
};

/* All that live below us, parents first. */
struct descent {
    struct descendant *items;
    size_t count, capacity;
    pid_t *children; /* of one of them */
    size_t children_capacity;
    pid_t *own; /* children of ours that are no members, borrowed; 0: reaped */
    size_t own_count;
};

/* One that has another parent than when it was found is not the same process, unless it is ours by now. A child
 * of ours keeps its number until we reap it. */
static void end_descendant(const struct descendant *descendant)
{
    CLEANUP_FD int pidfd = sys_pidfd_open(descendant->pid, 0);

    if (descendant->parent != getpid()) {
        pid_t parent = procfs_parent(-1, descendant->pid);
        if (parent != descendant->parent && parent != getpid())
            return;
    }
    /* A filter of the caller's may refuse the one; where it refuses the other nothing was started. */
    int result = pidfd < 0 ? pidfd : sys_pidfd_send_signal(pidfd, SIGKILL, 0);
    if (result < 0 && result != -ESRCH)
        kill(descendant->pid, SIGKILL);
}

/* The number of children, all of them in `children`, or -errno. */
static ssize_t list_children(struct descent *descent, pid_t parent)
{
    for (;;) {
        ssize_t count = procfs_children(-1, parent, descent->children, descent->children_capacity);
        if (count <= (ssize_t)descent->children_capacity)
            return count;
        size_t capacity = (size_t)count + DESCENT_SPARE;
        pid_t *larger = realloc(descent->children, capacity * sizeof(*larger));
        if (larger == NULL)
            return -ENOMEM;
        descent->children = larger;
        descent->children_capacity = capacity;
    }
}

static bool make_room(struct descent *descent, size_t wanted)
{
    if (descent->items != NULL && wanted <= descent->capacity)
        return true;
    if (wanted > DESCENT_MAX)
        return false;
    struct descendant *larger = realloc(descent->items, 2 * wanted * sizeof(*larger));
    if (larger == NULL)
        return false;
    descent->items = larger;
    descent->capacity = 2 * wanted;
    return true;
}

/* Such a child keeps its number until it is reaped. */
static bool is_our_own(const struct descent *descent, pid_t pid)
{
    for (size_t i = 0; i < descent->own_count; i++) {
        if (descent->own[i] == pid)
            return true;
    }
    return false;
}

static void add_children(struct descent *descent, pid_t parent)
{
    ssize_t count = list_children(descent, parent);

    if (count <= 0)
        return; /* it has ended, and its children are ours */
    if (!make_room(descent, descent->count + (size_t)count))
        return;
    for (ssize_t i = 0; i < count; i++) {
        if (!is_our_own(descent, descent->children[i]))
            descent->items[descent->count++] =
                (struct descendant){.pid = descent->children[i], .parent = parent};
    }
}

/* Each is killed before its children are read, and can then make no more: so who forks without end is caught up
 * with, however deep the tree is. */
static void kill_descendants(struct descent *descent)
{
    descent->count = 0;
    add_children(descent, getpid());
    for (size_t i = 0; i < descent->count; i++) {
        end_descendant(&descent->items[i]);
        add_children(descent, descent->items[i].pid);
    }
}

/* Some of those that ended, not all: as many may be made meanwhile. False: no child is left. */
static bool reap_children(struct descent *descent, int at_once, int *reaped)
{
    for (*reaped = 0; *reaped < at_once; ++*reaped) {
        pid_t pid = RETRY_ON_EINTR(waitpid(-1, NULL, WNOHANG | __WALL));
        if (pid < 0)
            return false;
        if (pid == 0)
            break;
        for (size_t i = 0; i < descent->own_count; i++)
            descent->own[i] = descent->own[i] == pid ? 0 : descent->own[i];
    }
    return true;
}

void launch_note_children(struct launch *launch)
{
    struct descent descent = {0};
    siginfo_t ended;

    if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD)
        return; /* the usual case */
    ssize_t count = list_children(&descent, getpid());
    launch->own_children = descent.children;
    launch->own_child_count = count > 0 ? (size_t)count : 0;
}

/* The command line made itself a subreaper before the guardian existed: what it inherits are the
 * sandbox's orphans. */
static void sweep_children(struct launch *launch)
{
    struct descent descent = {.own = launch->own_children, .own_count = launch->own_child_count};
    int at_once = REAPED_AT_ONCE;
    int reaped;

    for (int idle = 0; idle < SWEEP_PASSES_MAX && reap_children(&descent, at_once, &reaped);) {
        kill_descendants(&descent);
        /* Twice as many each time, or the time would grow with the square of their number. */
        at_once = at_once < REAPED_AT_ONCE_MAX ? at_once * 2 : at_once;
        idle = reaped == 0 ? idle + 1 : 0;
        if (reaped == 0)
            usleep(SWEEP_PAUSE_US);
    }
    free(descent.items);
    free(descent.children);
}

/* ---- Which of them ------------------------------------------------------------------------------- */

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
        sweep_children(launch);
    else if (is_confined_here(launch))
        sweep_by_access();
}
