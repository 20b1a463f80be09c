/*
 * The terminal of a run: who may be in front of it, and its settings afterwards.
 */
#include "launch/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The terminal goes to the child only if all three streams are inherited, standard input is a
 * terminal, and our own group is its foreground group: a captured or background run never takes it. */
void launch_terminal_prepare(struct launch *launch, const struct launch_spec *spec)
{
    int fd = -1;

    for (int i = 0; i < 3; i++) {
        if (spec->streams[i].mode != STREAM_INHERIT)
            return;
    }
    if (isatty(0))
        fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    else if (spec->force_terminal)
        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    /* Also for a background run: if it reads the terminal it is stopped, and that is followed. */
    launch->take_foreground = tcgetpgrp(fd) == getpgrp();
    launch->terminal = fd;
    launch->terminal_saved =
        launch->take_foreground && tcgetattr(fd, &launch->terminal_before) == 0;
    launch->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Whoever is not in front at this moment would be stopped by SIGTTOU for the call. */
static int set_foreground(int terminal, pid_t group)
{
    sigset_t set;
    sigset_t before;

    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int result = ioctl(terminal, TIOCSPGRP, &group) == 0 ? 0 : -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int launch_foreground_give(struct launch *launch)
{
    return launch->terminal < 0 ? -ENOTTY : set_foreground(launch->terminal, launch->record->child);
}

/* The command's own group, or one that a member put in front and that died with it. */
static bool is_left_behind(const struct launch *launch, pid_t owner)
{
    return owner == launch->record->child || (getpgid(owner) < 0 && errno == ESRCH);
}

void launch_foreground_take_back(struct launch *launch)
{
    pid_t owner = -1;

    if (launch->terminal < 0 || launch->record == NULL || launch->record->child <= 0)
        return;
    if (ioctl(launch->terminal, TIOCGPGRP, &owner) == 0 && is_left_behind(launch, owner))
        set_foreground(launch->terminal, getpgrp());
}

/* A program that was killed had no time to undo raw mode or to switch the echo on again. */
void launch_terminal_restore(struct launch *launch)
{
    const struct launch_record *record = launch->record;

    if (launch->terminal_saved && atomic_load(&record->child_exited) != 0 &&
        WIFSIGNALED(record->wait_status))
        tcsetattr(launch->terminal, TCSANOW, &launch->terminal_before);
}
