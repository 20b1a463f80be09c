/* Signals and job control of the command line: see terminal.h. */
#include "run/terminal.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

static bool is_fatal(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

bool terminal_block_signals(struct terminal *terminal, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(&set, forwarded[i]);
    pthread_sigmask(SIG_BLOCK, &set, &terminal->mask_before);
    terminal->blocked = true;
    terminal->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->signal_fd >= 0 || error_runtime(err, errno, "signalfd");
}

static void on_signal(void *data, short revents)
{
    struct terminal *terminal = data;
    struct signalfd_siginfo info;

    (void)revents;
    while (RETRY_ON_EINTR(read(terminal->signal_fd, &info, sizeof(info))) == sizeof(info)) {
        int number = (int)info.ssi_signo;
        bool again = is_fatal(number) && terminal->fatal_signal != 0;

        if (is_fatal(number) && terminal->fatal_signal == 0)
            terminal->fatal_signal = number;
        if (again && (number == SIGTERM || number == SIGINT))
            launch_command(terminal->launch, COMMAND_KILL);
        else
            launch_signal_group(terminal->launch, number);
    }
}

/* Returns when the guardian has stopped every member, or does not answer. */
static void pause_members(struct launch *launch)
{
    struct launch_record *record = launch_record_of(launch);
    const struct timespec limit = {1, 0};
    uint32_t before = atomic_load_explicit(&record->acknowledged, memory_order_acquire);

    if (launch_command(launch, COMMAND_PAUSE) == 0)
        sys_call6(SYS_futex, (long)&record->acknowledged, FUTEX_WAIT, before, (long)&limit, 0, 0);
}

/* The command stopped: so do we, with our whole group, and on SIGCONT everything goes on. */
static void follow_stop(struct terminal *terminal)
{
    struct launch *launch = terminal->launch;
    int fd = launch_terminal(launch);
    pid_t owner = -1;

    /* All of them: who made the command stop must not run on while nobody watches the clock. */
    pause_members(launch);
    launch_foreground_take_back(launch);
    kill(0, SIGSTOP);
    /* Here we are again: by `fg` our group has the terminal and passes it on; by `bg` it has not. */
    if (ioctl(fd, TIOCGPGRP, &owner) == 0 && owner == getpgrp())
        launch_foreground_give(launch);
    launch_command(launch, COMMAND_RESUME);
    launch_signal_group(launch, SIGCONT);
}

static void on_report(void *data, short revents)
{
    struct terminal *terminal = data;
    uint64_t count;

    (void)revents;
    if (RETRY_ON_EINTR(read(launch_report_fd(terminal->launch), &count, sizeof(count))) < 0)
        return;
    uint32_t signal = atomic_load_explicit(&launch_record_of(terminal->launch)->stop_signal,
                                           memory_order_acquire);
    /* What the terminal does to a job. A member that stops itself stops only itself. */
    if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)
        follow_stop(terminal);
}

bool terminal_watch(struct terminal *terminal, struct loop *loop, struct launch *launch,
                    struct error *err)
{
    int report = launch_report_fd(launch);

    terminal->launch = launch;
    terminal->loop = loop;
    if (!loop_add_quiet(loop, terminal->signal_fd, POLLIN, on_signal, terminal) ||
        (report >= 0 && !loop_add_quiet(loop, report, POLLIN, on_report, terminal)))
        return error_runtime(err, ENOMEM, "event loop");
    return true;
}

void terminal_finish(struct terminal *terminal)
{
    if (terminal->loop != NULL) {
        loop_remove(terminal->loop, terminal->signal_fd);
        if (launch_report_fd(terminal->launch) >= 0)
            loop_remove(terminal->loop, launch_report_fd(terminal->launch));
        terminal->loop = NULL;
    }
    fd_close(terminal->signal_fd);
    terminal->signal_fd = -1;
    if (terminal->blocked)
        pthread_sigmask(SIG_SETMASK, &terminal->mask_before, NULL);
    terminal->blocked = false;
}
