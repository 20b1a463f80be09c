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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One request can come twice: timeout(1) signals its child and then its group. Nobody is impatient so soon. */
#define SAME_REQUEST_NS 200000000LL

/* A command that got the terminal on demand is continued so often, at such distances. */
#define DEMAND_REPEATS 3
#define DEMAND_REPEAT_NS 100000000LL

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

    sigemptyset(&set);
    if (!is_ignored(SIGTSTP)) /* our job may be stopped while the command is not in front */
        sigaddset(&set, SIGTSTP);
    /* What the caller ignores (nohup, a script's background job) stays ignored, here as in the command.
     * Blocked it would be queued all the same, and be read as if it were meant for us. */
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        if (forwarded[i] == SIGCONT || !is_ignored(forwarded[i]))
            sigaddset(&set, forwarded[i]);
    }
    /* By the call itself: a libc leaves the signals that it uses for itself out of what it tells (musl 34). */
    sigemptyset(&terminal->mask_before);
    sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, (long)&terminal->mask_before,
              sizeof(uint64_t));
    terminal->blocked = true;
    terminal->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->signal_fd >= 0 || error_runtime(err, errno, "signalfd");
}

static void forward_signals(struct terminal *terminal)
{
    struct signalfd_siginfo info;

    while (RETRY_ON_EINTR(read(terminal->signal_fd, &info, sizeof(info))) == sizeof(info)) {
        int number = (int)info.ssi_signo;
        terminal->stop_asked = number == SIGTSTP || (terminal->stop_asked && number != SIGCONT);
        if (number == SIGTSTP)
            continue;
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

/* Stops this process, or our whole group (`whom` 0), as the kernel would, had the command been of it: not if
 * nobody could let it go on (credentials(7), orphaned), nor as the first process of a container. The caller's
 * disposition and mask are no matter, the command has its own. True: we were stopped, and a SIGCONT came. */
static bool stop(pid_t whom, int number)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    const struct timespec at_once = {0, 0};
    struct sigaction before;
    sigset_t stopping, go_on, mask_before;

    sigemptyset(&stopping);
    sigaddset(&stopping, number);
    sigemptyset(&go_on);
    sigaddset(&go_on, SIGCONT);
    sigaction(number, &by_default, &before);
    pthread_sigmask(SIG_UNBLOCK, &stopping, &mask_before);
    kill(whom, number); /* which withdraws a SIGCONT from before */
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
    bool continued = stop(0, number);
    if (!continued)
        launch_command(launch, COMMAND_ORPHAN);
    /* By `fg` our group has the terminal and passes it on; by `bg` it has not. */
    if ((continued || had_terminal) && is_in_front(terminal))
        launch_foreground_give(launch);
    /* With SIGCONT comes what may have ended us: it is to be there before the command goes on. */
    forward_signals(terminal);
    terminal->stop_asked = false;
    launch_command(launch, COMMAND_RESUME);
    launch_signal_group(launch, SIGCONT);
}

/* We were asked to stop, as by the key that stops our job while the command, a group of its own, is not in
 * front. The others of our group have been asked themselves. */
static void stop_with_job(struct terminal *terminal)
{
    struct launch *launch = terminal->launch;

    pause_members(launch);
    forward_signals(terminal);
    if (terminal->stop_asked) { /* no SIGCONT has come meanwhile, which this would withdraw */
        bool had_terminal = launch_foreground_take_back(launch);
        stop(getpid(), SIGTSTP);
        if (had_terminal && is_in_front(terminal))
            launch_foreground_give(launch);
        forward_signals(terminal);
        terminal->stop_asked = false;
    }
    launch_command(launch, COMMAND_RESUME);
}

static void on_signal(void *data, short revents)
{
    struct terminal *terminal = data;

    (void)revents;
    forward_signals(terminal);
    if (terminal->stop_asked)
        stop_with_job(terminal);
}

static void continue_command(void *data)
{
    const struct terminal *terminal = data;

    launch_signal_group(terminal->launch, SIGCONT);
}

/* It uses the terminal that we have kept for ourselves so far, or that a shell has given to our group after we gave it
 * to the command: it does so for each process of a pipeline. Who handles the signal (a prompt for a password
 * restores settings first) stops itself by it a moment later, perhaps when the others go on already. */
static bool serve_demand(struct terminal *terminal, int number)
{
    if (number == SIGTSTP || !launch_foreground_is_wanted(terminal->launch) ||
        !is_in_front(terminal) || launch_foreground_give(terminal->launch) != 0)
        return false;
    continue_command(terminal);
    for (int i = 1; i <= DEMAND_REPEATS; i++)
        loop_timer_add(terminal->loop, loop_now() + i * DEMAND_REPEAT_NS, continue_command,
                       terminal);
    return true;
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
    if ((signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) &&
        !serve_demand(terminal, (int)signal)) {
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
