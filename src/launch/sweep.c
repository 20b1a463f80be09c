/*
 * The last resort: the guardian died without having ended the sandbox. The first child died with it
 * (PDEATHSIG), other members may live on as orphans. The command line is a subreaper, so they are its
 * children, and "no child left" is the proof that they ended. A host of the library is none: there they
 * are found among all processes by what domain S alone allows, which is signals to members and to
 * nothing else of the user; without the signal scope, a ptrace-class access.
 */
#include "launch/internal.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Passes that find nothing but what was killed before mean that something is wrong. Of those by domain all count. */
#define SWEEP_PASSES_MAX 1000
#define SWEEP_PAUSE_US 1000
/* What one counts that finds outsiders alone: of our children, whose list can change while it is read. */
#define SWEEP_NOBODY 100
/* Ended children that are reaped between two passes: first, and at most. */
#define REAPED_AT_ONCE 64
#define REAPED_AT_ONCE_MAX 4096
/* Descendants looked at in one pass, more than there can be at a time. */
#define DESCENT_MAX (1 << 23)
#define DESCENT_SPARE 256
/* Births looked at one after the other before the whole list is read again; of a burst the newest. */
#define CHASE_STEPS_MAX 20000
#define CHASE_WINDOW 64
#define STATUS_SIZE_MAX (1 << 20)

/* ---- Members by domain ---------------------------------------------------------------------------- */

/* Reading the link needs PTRACE_MODE_READ, which Landlock gives for nested domains only. Nobody but root has it
 * for a process that is not dumpable, because its program cannot be read: such a member is not found. */
static bool is_accessible(int proc_fd, const char *number)
{
    char path[NAME_MAX + 8];
    char target[8];

    snprintf(path, sizeof(path), "%s/cwd", number);
    return readlinkat(proc_fd, path, target, sizeof(target)) >= 0;
}

static bool has_ended(int pidfd)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
}

/* With the scope the kernel tells members from others, at the kill itself: no other process can have taken the number
 * meanwhile, and it is no matter which program a member runs, or as which user. True: one was killed that has not
 * ended yet. */
static bool kill_if_member(int proc_fd, const char *number, bool signal_scope)
{
    pid_t pid = (pid_t)strtol(number, NULL, 10);

    if (pid <= 1 || pid == getpid() || (!signal_scope && !is_accessible(proc_fd, number)))
        return false;
    /* Refused for all threads but the first (pidfd_open(2)): the scope lets signals to our own pass. */
    CLEANUP_FD int pidfd = sys_pidfd_open(pid, 0);
    if (pidfd < 0)
        return false;
    /* Asked again through what cannot be reused any more. */
    if (!signal_scope && !is_accessible(proc_fd, number))
        return false;
    return sys_pidfd_send_signal(pidfd, SIGKILL, 0) == 0 && !has_ended(pidfd);
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

static bool kill_members_in(DIR *proc, long first, long last, bool signal_scope)
{
    bool found = false;

    for (long pid = last; pid >= first; pid--) {
        char number[24];
        snprintf(number, sizeof(number), "%ld", pid);
        found = kill_if_member(dirfd(proc), number, signal_scope) || found;
    }
    return found;
}

/* Looks only at what was born since: a process that forks and exits moves on faster than a directory is
 * listed, but it cannot do so without using up numbers. Ends when nothing new was born meanwhile. */
static bool chase_newborn(DIR *proc, long since, bool signal_scope)
{
    bool found = false;

    for (int step = 0; step < CHASE_STEPS_MAX; step++) {
        long newest = last_pid();
        if (newest < 0 || newest <= since) /* nothing new, or the numbers began anew: list again */
            break;
        long first = newest - since > CHASE_WINDOW ? newest - CHASE_WINDOW : since + 1;
        found = kill_members_in(proc, first, newest, signal_scope) || found;
        since = newest;
    }
    return found;
}

static void sweep_by_domain(bool signal_scope)
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
                found = kill_if_member(dirfd(proc), entry->d_name, signal_scope) || found;
        }
        found = chase_newborn(proc, newest, signal_scope) || found;
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
    uint64_t own_filters;
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

/* How many seccomp filters confine a process, with no_new_privs. -1: it cannot be told. */
static int64_t filters_of(pid_t pid)
{
    CLEANUP_FD int fd = procfs_open_file(-1, pid, "status", O_RDONLY);
    CLEANUP_FREE char *status = NULL;
    uint64_t confined, filters;
    size_t length;

    if (fd < 0 || fd_read_file(fd, STATUS_SIZE_MAX, &status, &length) != 0 ||
        !procfs_status_number(status, "NoNewPrivs", 10, &confined) ||
        !procfs_status_number(status, "Seccomp_filters", 10, &filters))
        return -1;
    return confined == 0 ? 0 : (int64_t)filters;
}

/*
 * An outsider that one of our own children left behind, and that is ours by that. A member has more filters than we
 * had, from its first instruction on and for good, and everybody may read that, whatever program it runs. This is
 * asked of our children alone: they keep their numbers, and what is below a member is one. A command that has no
 * filter yet ends by itself, its guardian being dead. Who cannot be judged is taken for a member, and so is an
 * outsider that has confined itself.
 */
static bool is_left_by_our_own(const struct descent *descent, pid_t pid)
{
    if (descent->own_count == 0)
        return false; /* the usual case: there are no outsiders below us */
    int64_t filters = filters_of(pid);
    return filters >= 0 && (uint64_t)filters <= descent->own_filters;
}

static void add_children(struct descent *descent, pid_t parent)
{
    ssize_t count = list_children(descent, parent);

    if (count <= 0)
        return; /* it has ended, and its children are ours */
    if (!make_room(descent, descent->count + (size_t)count))
        return;
    for (ssize_t i = 0; i < count; i++) {
        pid_t pid = descent->children[i];
        if (is_our_own(descent, pid) || (parent == getpid() && is_left_by_our_own(descent, pid)))
            continue;
        descent->items[descent->count++] = (struct descendant){.pid = pid, .parent = parent};
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
    if (launch->own_child_count > 0) {
        int64_t filters = filters_of(getpid());
        launch->own_filters = filters > 0 ? (uint64_t)filters : 0;
    }
}

/* The command line made itself a subreaper before the guardian existed: what it inherits are the
 * sandbox's orphans. */
static void sweep_children(struct launch *launch)
{
    struct descent descent = {.own = launch->own_children,
                              .own_count = launch->own_child_count,
                              .own_filters = launch->own_filters};
    int at_once = REAPED_AT_ONCE;
    int reaped;

    for (int idle = 0; idle < SWEEP_PASSES_MAX && reap_children(&descent, at_once, &reaped);) {
        kill_descendants(&descent);
        /* Twice as many each time, or the time would grow with the square of their number. */
        at_once = at_once < REAPED_AT_ONCE_MAX ? at_once * 2 : at_once;
        bool nobody = descent.own_count > 0 && descent.count == 0;
        idle = reaped > 0 ? 0 : idle + (nobody ? SWEEP_NOBODY : 1);
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

/* Those who cannot be told from members by signals alone are not swept: a scope that was seen to hold at the start and
 * does not hold any more is no reason to look for another sign. The wall refuses the question once it is up;
 * there the proof of the start stands. */
static void sweep_from_host(const struct launch *launch)
{
    if (!is_confined_here(launch) || (launch->scoped && launch_reaches_outsiders()))
        return;
    sweep_by_domain(launch->scoped);
}

void launch_sweep_members(struct launch *launch)
{
    /* What it opens is never what the host has closed, and stayed open where a guard says so of all. */
    struct fd_guard guard = fd_guard_thread((struct fd_guard){NULL, NULL});

    if (launch->own_process)
        sweep_children(launch);
    else
        sweep_from_host(launch);
    fd_guard_thread(guard);
}
