/*
 * The terminal of a run: who may be in front of it, and its settings afterwards.
 */
#include "launch/internal.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* A program that collects all output of its command (the tools of an interactive agent) may read the terminal
 * itself meanwhile, which it could not if somebody else were in front. It is not the shell of an interactive job:
 * that has groups of its own for jobs, or, where it reads their output, ignores what would stop it. Who ignores that
 * cannot be seen to use the terminal either. */
static bool caller_may_read(void)
{
    pid_t parent = getppid();

    return !isatty(1) && !isatty(2) && parent > 0 && getpgid(parent) == getpgrp() &&
           !is_ignored(SIGTTIN) && !is_ignored(SIGTTOU);
}

/* The terminal goes to the child only if all three streams are inherited, standard input is a
 * terminal, and our own group is its foreground group: a captured or background run never takes it. Nor does
 * one in a pipeline, of which other programs may ask their user for something, unless it is told to. One whose caller
 * may read the terminal gets it when it uses it. */
void launch_terminal_prepare(struct launch *launch, const struct launch_spec *spec)
{
    bool inherits = true;
    int fd = -1;

    for (int i = 0; i < 3; i++)
        inherits = inherits && spec->streams[i].mode == STREAM_INHERIT;
    bool wanted = inherits && (spec->force_terminal || isatty(0));
    if (inherits && isatty(0))
        fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    else if (wanted || spec->own_process)
        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    /* Also for other runs: if one uses the terminal it is stopped, and that is answered. */
    if (fd >= 0 || (!spec->own_process && launch_terminal_controls()))
        launch->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return;
    bool later = spec->own_process && !spec->force_terminal && caller_may_read();
    launch->foreground_wanted = wanted;
    launch->take_foreground = wanted && !later && tcgetpgrp(fd) == getpgrp();
    launch->terminal = fd;
    launch->terminal_saved =
        launch->take_foreground && tcgetattr(fd, &launch->terminal_before) == 0;
}

bool launch_foreground_is_wanted(const struct launch *launch)
{
    return launch->foreground_wanted;
}

bool launch_terminal_controls(void)
{
    CLEANUP_FD int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 || errno != ENXIO; /* tty(4) */
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

/* The command's own group, or one that a member put in front and that died with it. */
static bool is_left_behind(const struct launch *launch, pid_t owner)
{
    return owner == launch->record->child || (getpgid(owner) < 0 && errno == ESRCH);
}

bool launch_foreground_take_back(struct launch *launch)
{
    pid_t owner = -1;

    if (!launch->take_foreground || launch->record == NULL || launch->record->child <= 0)
        return false;
    return ioctl(launch->terminal, TIOCGPGRP, &owner) == 0 && is_left_behind(launch, owner) &&
           set_foreground(launch->terminal, getpgrp()) == 0;
}

/* A program that was killed had no time to undo raw mode or to switch the echo on again. The settings of a
 * job that is not in front (any more) are whoever's is. */
void launch_terminal_restore(struct launch *launch)
{
    const struct launch_record *record = launch->record;

    if (launch->terminal_saved && atomic_load(&record->child_exited) != 0 &&
        WIFSIGNALED(record->wait_status) && tcgetpgrp(launch->terminal) == getpgrp()) {
        sigset_t before = block_background_stop();
        tcsetattr(launch->terminal, TCSANOW, &launch->terminal_before);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}
