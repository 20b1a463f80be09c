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
#include <time.h>
#include <unistd.h>

/* One request can come twice: timeout(1) signals its child and then its group. Nobody is impatient so soon. */
#define SAME_REQUEST_NS 200000000LL

static const int forwarded[] = {SIGTERM, SIGINT,  SIGHUP,   SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};

static bool is_fatal(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
}

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
           action.sa_handler == SIG_IGN;
}

bool terminal_block_signals(struct terminal *terminal, struct error *err)
{
    sigset_t set;

    /* What the caller ignores (nohup, a script's background job) stays ignored, here as in the command.
     * Blocked it would be queued all the same, and be read as if it were meant for us. */
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        if (forwarded[i] == SIGCONT || !is_ignored(forwarded[i]))
            sigaddset(&set, forwarded[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, &terminal->mask_before);
    terminal->blocked = true;
    terminal->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->signal_fd >= 0 || error_runtime(err, errno, "signalfd");
}

static void forward_signals(struct terminal *terminal)
{
    struct signalfd_siginfo info;

    while (RETRY_ON_EINTR(read(terminal->signal_fd, &info, sizeof(info))) == sizeof(info)) {
        int number = (int)info.ssi_signo;
        bool impatient = is_fatal(number) && terminal->fatal_signal != 0 &&
                         sys_monotonic_ns() - terminal->fatal_at >= SAME_REQUEST_NS;

        if (is_fatal(number) && terminal->fatal_signal == 0) {
            terminal->fatal_signal = number;
            terminal->fatal_at = sys_monotonic_ns();
        }
        if (impatient && (number == SIGTERM || number == SIGINT))
            launch_command(terminal->launch, COMMAND_KILL);
        else
            launch_signal_group(terminal->launch, number);
        /* A stopped process dies of nothing but SIGKILL until it goes on: kill(1) of a shell, timeout(1) and
         * a terminal that hangs up send it this, too. The guardian sends it after the other. */
        if (is_fatal(number))
            launch_signal_group(terminal->launch, SIGCONT);
    }
}

static void on_signal(void *data, short revents)
{
    (void)revents;
    forward_signals(data);
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

static bool is_in_front(const struct terminal *terminal)
{
    pid_t owner = -1;

    return ioctl(launch_terminal(terminal->launch), TIOCGPGRP, &owner) == 0 && owner == getpgrp();
}

/* Stops our whole group as the kernel would, had the command been of it: not if nobody could let it go on
 * (credentials(7), orphaned), nor as the first process of a container. The caller's disposition and mask are
 * no matter, the command has its own. True: we were stopped, and a SIGCONT came. */
static bool stop_group(int number)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    const struct timespec at_once = {0, 0};
    struct sigaction before;
    sigset_t stop, go_on, mask_before;

    sigemptyset(&stop);
    sigaddset(&stop, number);
    sigemptyset(&go_on);
    sigaddset(&go_on, SIGCONT);
    sigaction(number, &by_default, &before);
    pthread_sigmask(SIG_UNBLOCK, &stop, &mask_before);
    kill(0, number); /* which withdraws a SIGCONT from before */
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    sigaction(number, &before, NULL);
    return sigtimedwait(&go_on, NULL, &at_once) == SIGCONT;
}

/* The command was stopped by `number`: so are we, and when we go on everything does. */
static void follow_stop(struct terminal *terminal, int number)
{
    struct launch *launch = terminal->launch;

    /* All of them: who made the command stop must not run on while nobody watches the clock. */
    pause_members(launch);
    bool had_terminal = launch_foreground_take_back(launch);
    bool continued = stop_group(number);
    if (!continued)
        launch_command(launch, COMMAND_ORPHAN);
    /* By `fg` our group has the terminal and passes it on; by `bg` it has not. */
    if ((continued || had_terminal) && is_in_front(terminal))
        launch_foreground_give(launch);
    /* With SIGCONT comes what may have ended us: it is to be there before the command goes on. */
    forward_signals(terminal);
    launch_command(launch, COMMAND_RESUME);
    launch_signal_group(launch, SIGCONT);
}

/* Whose standard input is something else has the terminal only if it was said so. */
static void note_want(struct terminal *terminal, int number)
{
    if (number != SIGTSTP && !terminal->wanted && terminal->on_want != NULL &&
        is_in_front(terminal)) {
        terminal->wanted = true;
        terminal->on_want();
    }
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
    if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
        note_want(terminal, (int)signal);
        follow_stop(terminal, (int)signal);
    }
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
