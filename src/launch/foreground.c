/*
 * The terminal of a run: who may be in front of it, and its settings afterwards.
 */
#include "launch/internal.h"

#include "kernel/procfs.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes of one job above each other: scripts that run scripts. */
#define ANCESTORS_MAX 64

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Who reads the output may use the terminal meanwhile: a pager in the same pipeline, or a program that collects what
 * its tools print (an interactive agent). It could not if somebody else were in front. There is none where the
 * session began with us. Where what would stop the command is ignored (a shell that reads the output of a command
 * does so) it could not be seen to use the terminal. */
static bool reader_may_use_terminal(void)
{
    pid_t parent = getppid();

    return (!isatty(1) || !isatty(2)) && parent > 0 && getsid(parent) == getsid(0) &&
           !is_ignored(SIGTTIN) && !is_ignored(SIGTTOU);
}

/* A group of another pid namespace has the number 0 here. Two of them could not be told apart, nor could the
 * terminal be given back. */
static bool is_own_group(pid_t owner)
{
    pid_t own = getpgrp();

    return own > 0 && owner == own;
}

enum terminal_grant { GRANT_NONE, GRANT_OF_DIRECTORY, GRANT_OF_TERMINAL };

/* What the path names is the terminal, /dev/tty, or a directory where one of them is. */
static enum terminal_grant leads_to_terminal(const struct stat *named, unsigned terminal)
{
    static const char *const directories[] = {"/", "/dev", "/dev/pts"};
    struct stat directory;

    if (S_ISCHR(named->st_mode))
        return named->st_rdev == terminal || named->st_rdev == makedev(TTYAUX_MAJOR, 0)
                   ? GRANT_OF_TERMINAL
                   : GRANT_NONE;
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (stat(directories[i], &directory) == 0 && directory.st_dev == named->st_dev &&
            directory.st_ino == named->st_ino)
            return GRANT_OF_DIRECTORY;
    }
    return GRANT_NONE;
}

static enum terminal_grant grant_of_terminal(const struct policy *policy, unsigned terminal)
{
    const struct strv *const lists[] = {&policy->fs_read, &policy->fs_read_try, &policy->fs_write,
                                        &policy->fs_write_try};
    CLEANUP_FD int start =
        policy->cwd == NULL ? -1 : open(policy->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum terminal_grant best = GRANT_NONE;
    struct stat named;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i]->count && best != GRANT_OF_TERMINAL; j++) {
            if (fstatat(start < 0 ? AT_FDCWD : start, lists[i]->items[j], &named, 0) != 0)
                continue;
            enum terminal_grant one = leads_to_terminal(&named, terminal);
            best = one > best ? one : best;
        }
    }
    return best;
}

/* What neither has the terminal nor may open it is not stopped by it. */
static void find_uses(struct launch *launch, const struct launch_spec *spec, unsigned device)
{
    const struct stream_terminals *streams = &launch->streams_on_terminals;
    enum terminal_grant grant = device == 0 || launch->take_foreground
                                    ? GRANT_NONE
                                    : grant_of_terminal(launch->policy, device);

    if (spec->own_process && launch->report_fd >= 0)
        launch->uses_terminal =
            streams->on_own || spec->force_terminal || device == 0 || grant != GRANT_NONE;
    /* A process of another session is not asked by the kernel when it reads. A directory with terminals gives those of
     * other sessions, too, whoever opens them. A command that gets in front by reading needs no other session for it. */
    launch->keeps_session = !launch->take_foreground && !launch->foreground_is_due &&
                            (streams->reads_own || grant == GRANT_OF_TERMINAL);
}

/* Who could let our job go on when it is stopped: the first process above us that is in another group. 0: nobody, as
 * it is in another session (setpgid(2), "orphaned"), or ours is a group of another pid namespace. */
static pid_t job_keeper(void)
{
    pid_t own = getpgrp();
    pid_t process = getppid();
    struct procfs_stat stat;

    for (int i = 0; own > 0 && process > 0 && i < ANCESTORS_MAX; i++) {
        pid_t group = getpgid(process);
        if (group != own)
            return group >= 0 && getsid(process) == getsid(0) ? process : 0;
        process = procfs_stat(-1, process, &stat) == 0 ? stat.parent : 0;
    }
    return 0;
}

static void choose_foreground(struct launch *launch, const struct launch_spec *spec, int fd,
                              bool wanted)
{
    bool later = spec->own_process && !spec->force_terminal && reader_may_use_terminal();
    pid_t owner = tcgetpgrp(fd);
    launch->foreground_wanted = wanted;
    launch->foreground_is_due = wanted && is_own_group(owner); /* whoever reads gets it then */
    /* Who says so has it also where it cannot be given back. */
    launch->take_foreground =
        wanted && !later &&
        (is_own_group(owner) || (spec->force_terminal && owner == 0 && getpgrp() == 0));
    launch->foreground_at_once = launch->take_foreground;
    launch->terminal = fd;
    launch->terminal_saved =
        launch->take_foreground && tcgetattr(fd, &launch->terminal_before) == 0;
}

/* The terminal goes to the child only if all three streams are inherited, standard input is a
 * terminal, and our own group is its foreground group: a captured or background run never takes it. Nor does
 * one in a pipeline, of which other programs may ask their user for something, unless it is told to. One whose output
 * is read by who may use the terminal gets it when it uses it. */
void launch_terminal_prepare(struct launch *launch, const struct launch_spec *spec)
{
    bool inherits = true;
    int fd;

    stream_terminals_plan(&launch->streams_on_terminals, spec);
    for (int i = 0; i < 3; i++)
        inherits = inherits && spec->streams[i].mode == STREAM_INHERIT;
    bool on_input = launch->streams_on_terminals.input_is_own;
    bool wanted = inherits && (spec->force_terminal || on_input);
    if (inherits && on_input)
        fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    else
        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    unsigned device = 0;
    launch->has_terminal = fd >= 0 || errno != ENXIO; /* tty(4); else it cannot be told */
    if (fd >= 0 && ioctl(fd, TIOCGDEV, &device) != 0)
        device = 0;
    if (!wanted && !spec->own_process) { /* it will never be in front */
        fd_close(fd);
        fd = -1;
    }
    /* Also for other runs: if one uses the terminal it is stopped, and that is answered. */
    if (fd >= 0 || (!spec->own_process && launch->has_terminal))
        launch->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (spec->own_process && launch->report_fd >= 0)
        launch->job_keeper = job_keeper();
    if (fd >= 0)
        choose_foreground(launch, spec, fd, wanted);
    if (launch->has_terminal)
        find_uses(launch, spec, device);
}

bool launch_terminal_is_used(const struct launch *launch)
{
    return launch->uses_terminal;
}

bool launch_job_can_go_on(const struct launch *launch)
{
    return launch->job_keeper > 0 && getsid(launch->job_keeper) == getsid(0);
}

bool launch_foreground_is_wanted(const struct launch *launch)
{
    return launch->foreground_wanted;
}

bool launch_foreground_is_ours(const struct launch *launch)
{
    pid_t owner = -1;

    return launch->terminal >= 0 && ioctl(launch->terminal, TIOCGPGRP, &owner) == 0 &&
           is_own_group(owner);
}

bool launch_foreground_is_given(const struct launch *launch)
{
    return launch->take_foreground;
}

bool launch_foreground_was_given_at_once(const struct launch *launch)
{
    return launch->foreground_at_once;
}

bool launch_foreground_ended_in_front(const struct launch *launch)
{
    return launch->ended_in_front;
}

/* Whoever is not in front at this moment would be stopped by SIGTTOU for the call. The mask before. */
static sigset_t block_background_stop(void)
{
    sigset_t set;
    sigset_t before;

    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    return before;
}

static int set_foreground(int terminal, pid_t group)
{
    sigset_t before = block_background_stop();
    int result = ioctl(terminal, TIOCSPGRP, &group) == 0 ? 0 : -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int launch_foreground_give(struct launch *launch)
{
    if (launch->terminal < 0)
        return -ENOTTY;
    launch->take_foreground = true;
    if (!launch->terminal_saved)
        launch->terminal_saved = tcgetattr(launch->terminal, &launch->terminal_before) == 0;
    return set_foreground(launch->terminal, launch->record->child);
}

/* The command's own group, or one that a member put in front and that died with it: of other groups the first process
 * may have ended before the rest, as in a pipeline. */
static bool is_left_behind(const struct launch *launch, pid_t owner)
{
    return owner > 0 &&
           (owner == launch->record->child || (kill(-owner, 0) != 0 && errno == ESRCH));
}

bool launch_foreground_take_back(struct launch *launch)
{
    pid_t owner = -1;

    launch->ended_in_front = false;
    if (!launch->take_foreground || launch->record == NULL || launch->record->child <= 0 ||
        ioctl(launch->terminal, TIOCGPGRP, &owner) != 0 || !is_left_behind(launch, owner))
        return false;
    launch->ended_in_front = owner == launch->record->child;
    if (getpgrp() <= 0 || set_foreground(launch->terminal, getpgrp()) != 0)
        return false;
    launch->take_foreground = false;
    return true;
}

void launch_foreground_leave(struct launch *launch)
{
    launch->take_foreground = false;
}

/* Of a command whose guardian was killed nobody knows how it ended, if it had not by then: it died with it. */
static bool command_was_killed(const struct launch_record *record)
{
    return atomic_load(&record->child_exited) != 0 ? WIFSIGNALED(record->wait_status)
                                                   : atomic_load(&record->finished) == 0;
}

/* A program that was killed had no time to undo raw mode or to switch the echo on again. The settings of a
 * job that is not in front (any more) are whoever's is. */
void launch_terminal_restore(struct launch *launch)
{
    if (launch->terminal_saved && command_was_killed(launch->record) &&
        launch_foreground_is_ours(launch)) {
        sigset_t before = block_background_stop();
        tcsetattr(launch->terminal, TCSANOW, &launch->terminal_before);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}
