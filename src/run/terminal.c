/* Signals and job control of the command line: see terminal.h. */
#include "run/terminal.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One request can come twice: timeout(1) signals its child and then its group. Nobody is impatient so soon. */
#define SAME_REQUEST_NS 200000000LL

/* A command that got the terminal on demand is continued so often, at such distances. */
#define DEMAND_REPEATS 3
#define DEMAND_REPEAT_NS 100000000LL

/* A command that waits for the terminal is looked for it so often, and after so many looks that is said. */
#define WAIT_NS 100000000LL
#define WAITS_UNSAID 10

/* Below a second. */
#define PAUSE_PATIENCE_NS 999000000LL

static const int forwarded[] = {SIGTERM, SIGINT,  SIGHUP,   SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};

/* Our job may be stopped while the command is not in front, also by another process of it that uses the terminal. */
static const int job_stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};

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

/* What the terminal does to a job. */
static bool stops_job(int number)
{
    bool stops = false;

    for (size_t i = 0; i < sizeof(job_stops) / sizeof(job_stops[0]); i++)
        stops = stops || number == job_stops[i];
    return stops;
}

bool terminal_block_signals(struct terminal *terminal, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(job_stops) / sizeof(job_stops[0]); i++) {
        if (!is_ignored(job_stops[i]))
            sigaddset(&set, job_stops[i]);
    }
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
        if (stops_job(number)) {
            terminal->stop_asked = number;
            continue;
        }
        if (number == SIGCONT)
            terminal->stop_asked = 0;
        bool impatient = is_fatal(number) && terminal->fatal_signal != 0 &&
                         sys_monotonic_ns() - terminal->fatal_at >= SAME_REQUEST_NS;

        if (is_fatal(number) && terminal->fatal_signal == 0) {
            terminal->fatal_signal = number;
            terminal->fatal_at = sys_monotonic_ns();
        }
        if (impatient && (number == SIGTERM || number == SIGINT))
            launch_kill(terminal->launch);
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
    int64_t deadline = sys_monotonic_ns() + PAUSE_PATIENCE_NS;

    if (launch_command(launch, COMMAND_PAUSE) != 0)
        return;
    uint32_t ordered = atomic_load_explicit(&record->ordered, memory_order_acquire);
    for (int64_t left = PAUSE_PATIENCE_NS; left > 0; left = deadline - sys_monotonic_ns()) {
        uint32_t done = atomic_load_explicit(&record->acknowledged, memory_order_acquire);
        const struct timespec limit = {.tv_nsec = (long)left};
        if ((int32_t)(done - ordered) >= 0)
            return;
        sys_call6(SYS_futex, (long)&record->acknowledged, FUTEX_WAIT, done, (long)&limit, 0, 0);
    }
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

/* Nobody here does what a shell does about a job: the command goes on as one that the terminal does not stop. */
static void go_on(struct launch *launch)
{
    launch_command(launch, COMMAND_ORPHAN); /* before it uses the terminal again, in vain now */
    launch_signal_group(launch, SIGCONT);
}

/* The command was stopped by `number`: so are we, or our whole group (`whom` 0), and when we go on everything does. */
static void follow_stop(struct terminal *terminal, pid_t whom, int number)
{
    struct launch *launch = terminal->launch;

    /* All of them: who made the command stop must not run on while nobody watches the clock. */
    pause_members(launch);
    bool had_terminal = launch_foreground_take_back(launch);
    bool continued = stop(whom, number);
    if (!continued)
        launch_command(launch, COMMAND_ORPHAN);
    /* By `fg` our group has the terminal and passes it on; by `bg` it has not. */
    if ((continued || had_terminal) && launch_foreground_is_ours(launch))
        launch_foreground_give(launch);
    else if (continued)
        launch_foreground_leave(launch);
    /* With SIGCONT comes what may have ended us: it is to be there before the command goes on. */
    forward_signals(terminal);
    terminal->stop_asked = 0;
    launch_command(launch, COMMAND_RESUME);
    launch_signal_group(launch, SIGCONT);
}

/* We were asked to stop, as by the key that stops our job while the command, a group of its own, is not in
 * front. The others of our group have been asked themselves. If one of them used the terminal it is to have it: the
 * command gets it when it uses it itself. */
static void stop_with_job(struct terminal *terminal)
{
    struct launch *launch = terminal->launch;

    pause_members(launch);
    forward_signals(terminal);
    int number = terminal->stop_asked;
    if (number != 0) { /* no SIGCONT has come meanwhile, which this would withdraw */
        bool had_terminal = launch_foreground_take_back(launch);
        bool continued = stop(getpid(), number);
        if (had_terminal && launch_foreground_is_ours(launch) && (number == SIGTSTP || !continued))
            launch_foreground_give(launch);
        else if (continued)
            launch_foreground_leave(launch);
        forward_signals(terminal);
        terminal->stop_asked = 0;
    }
    launch_command(launch, COMMAND_RESUME);
}

static void on_signal(void *data, short revents)
{
    struct terminal *terminal = data;

    (void)revents;
    forward_signals(terminal);
    if (terminal->stop_asked != 0)
        stop_with_job(terminal);
}

/* That stopped the command last, 0 while it runs. */
static int last_stop(const struct terminal *terminal)
{
    return (int)atomic_load_explicit(&launch_record_of(terminal->launch)->stop_signal,
                                     memory_order_acquire);
}

static void continue_again(void *data)
{
    const struct terminal *terminal = data;
    int last = last_stop(terminal);

    if (last == 0 || stops_job(last)) /* else it was meant to stop */
        launch_signal_group(terminal->launch, SIGCONT);
}

/* Who handles the signal (a prompt for a password restores settings first) stops itself by it a moment later, perhaps
 * when the others go on already. */
static bool put_in_front(struct terminal *terminal)
{
    if (launch_foreground_give(terminal->launch) != 0)
        return false;
    launch_signal_group(terminal->launch, SIGCONT);
    for (int i = 1; i <= DEMAND_REPEATS; i++)
        loop_timer_add(terminal->loop, loop_now() + i * DEMAND_REPEAT_NS, continue_again, terminal);
    return true;
}

/* Whose standard input is something else has the terminal only if it was said so. */
static void note_want(struct terminal *terminal)
{
    if (!terminal->wanted && terminal->on_want != NULL)
        terminal->on_want();
    terminal->wanted = true;
}

/* The command uses a terminal in front of which is another group than ours. */
static void look_for_front(void *data)
{
    struct terminal *terminal = data;
    int last = last_stop(terminal);

    terminal->waiting = false;
    if (last != SIGTTIN && last != SIGTTOU)
        return; /* somebody let it go on */
    if (launch_foreground_is_ours(terminal->launch) && put_in_front(terminal))
        return;
    if (!launch_job_can_go_on(terminal->launch)) {
        go_on(terminal->launch);
        return;
    }
    if (++terminal->waits == WAITS_UNSAID)
        note_want(terminal);
    terminal->waiting =
        loop_timer_add(terminal->loop, loop_now() + WAIT_NS, look_for_front, terminal) != 0;
    if (!terminal->waiting)
        go_on(terminal->launch);
}

static void wait_for_front(struct terminal *terminal)
{
    terminal->waits = 0;
    if (!terminal->waiting)
        look_for_front(terminal);
}

static bool is_pipe(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

/* True if a shell sees that we stop: as its own child that is all of a job. Others of a job, as a pipeline's, a
 * script or a program that waits for us, would run on, and the shell would not let go on what it does not take for
 * stopped. */
static bool is_whole_job(void)
{
    return getpgid(getppid()) != getpgrp() && !is_pipe(0) && !is_pipe(1);
}

/* It used the terminal in the background: that stops it, us if it is all of our job, and nobody else. */
static void stop_in_background(struct terminal *terminal, int number)
{
    if (!launch_job_can_go_on(terminal->launch)) {
        note_want(terminal);
        go_on(terminal->launch);
    } else if (is_whole_job()) {
        follow_stop(terminal, getpid(), number);
    } else {
        wait_for_front(terminal);
    }
}

/* The command was stopped as the terminal does it. A member that stops itself stops only itself, as far as the two
 * can be told apart. */
static void on_job_stop(struct terminal *terminal, int number)
{
    struct launch *launch = terminal->launch;
    bool in_front = launch_foreground_is_ours(launch);

    if (number == SIGTSTP && !launch_foreground_is_given(launch)) {
        /* The key reaches who is in front. */
        if (!launch_job_can_go_on(launch))
            go_on(launch);
    } else if (!launch_terminal_is_used(launch)) {
        go_on(launch); /* the terminal has not stopped it */
    } else if (number == SIGTSTP) {
        follow_stop(terminal, 0, number);
    } else if (in_front && launch_foreground_is_wanted(launch)) {
        /* We have kept the terminal for ourselves so far, or a shell has given it to our group after we gave it to the
         * command: it does so for each process of a pipeline. */
        if (!put_in_front(terminal))
            follow_stop(terminal, 0, number);
    } else if (in_front || launch_foreground_is_given(launch)) {
        if (in_front)
            note_want(terminal);
        follow_stop(terminal, 0, number);
    } else {
        stop_in_background(terminal, number);
    }
}

static void on_report(void *data, short revents)
{
    struct terminal *terminal = data;
    uint64_t count;

    (void)revents;
    if (RETRY_ON_EINTR(read(launch_report_fd(terminal->launch), &count, sizeof(count))) < 0)
        return;
    int number = last_stop(terminal);
    if (stops_job(number))
        on_job_stop(terminal, number);
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

void terminal_hear(struct terminal *terminal)
{
    on_signal(terminal, POLLIN);
}

/* The interrupt and quit keys reach who is in front. A command that we put there has kept them from our job, and
 * that it died by the signal is how they are known. A shell goes by the signal that ended us, and a script, which
 * would have had the signal itself, by both (status 130 alone would mean that the command has dealt with it). */
static void pass_on_key(struct terminal *terminal)
{
    const struct launch_record *record = launch_record_of(terminal->launch);
    const struct timespec at_once = {0, 0};
    sigset_t own;

    if (terminal->fatal_signal != 0 ||
        atomic_load_explicit(&record->finished, memory_order_acquire) == 0 ||
        atomic_load_explicit(&record->child_exited, memory_order_acquire) == 0 ||
        !WIFSIGNALED(record->wait_status) || !launch_foreground_ended_in_front(terminal->launch))
        return;
    int number = WTERMSIG(record->wait_status);
    if ((number != SIGINT && number != SIGQUIT) || is_ignored(number))
        return;
    bool beside_caller = getpgid(getppid()) == getpgrp();
    if (beside_caller ? !launch_foreground_was_given_at_once(terminal->launch)
                      : !launch_job_can_go_on(terminal->launch))
        return;
    terminal->fatal_signal = number;
    terminal->fatal_at = sys_monotonic_ns();
    if (!launch_foreground_was_given_at_once(terminal->launch))
        return;
    kill(0, number); /* ours waits */
    sigemptyset(&own);
    sigaddset(&own, number);
    sigtimedwait(&own, NULL, &at_once); /* until everything is done */
}

void terminal_finish(struct terminal *terminal)
{
    if (terminal->loop != NULL) {
        pass_on_key(terminal);
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
