/*
 * The thread that supervises: it begins the launch (so that guardian and members nest inside its domain), serves
 * the loop until the guardian is gone, and finishes. That is a private thread in the library and the caller's own
 * in the command line.
 */
#include "kernel/sys.h"
#include "run/internal.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Outcome ------------------------------------------------------------------------------------ */

static const char *failure_text(const struct sandbox *sandbox)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);
    const struct supervisor *supervisor = launch_supervisor(sandbox->launch);

    if (sandbox->left)
        return NULL;
    if (sandbox->cut_off) /* what was seen of that before is no reason */
        return "this process has closed the descriptors of the sandbox";
    if (supervisor != NULL && supervisor_failure(supervisor) != NULL)
        return supervisor_failure(supervisor);
    if (sandbox->failed)
        return "the event loop of the supervisor failed";
    if (sandbox->cpu_spent)
        return "the supervisor has used up the CPU time of a process (ulimit -t)";
    if (atomic_load_explicit(&record->cpu_spent, memory_order_acquire) != 0)
        return "the guardian process has used up the CPU time of a process (ulimit -t)";
    if (atomic_load_explicit(&record->went_on, memory_order_acquire) != 0)
        return "the stopped command did not stay stopped: a process of it went on by itself, so "
               "that it could "
               "have read the terminal";
    if (atomic_load_explicit(&record->finished, memory_order_acquire) == 0)
        return "the guardian process died";
    return NULL;
}

static void outcome_fill(struct sandbox *sandbox)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);
    struct outcome *outcome = &sandbox->outcome;

    outcome->code = -1;
    outcome->command_code = -1;
    outcome->signal = 0;
    outcome->reason = EXIT_KILLED;
    if (atomic_load_explicit(&record->child_exited, memory_order_acquire) != 0) {
        int status = record->wait_status;
        if (WIFEXITED(status)) {
            outcome->reason = EXIT_EXITED;
            outcome->code = outcome->command_code = WEXITSTATUS(status);
        } else if (WIFSIGNALED(status)) {
            outcome->signal = WTERMSIG(status);
            outcome->reason = outcome->signal == SIGKILL ? EXIT_KILLED : EXIT_SIGNALED;
        }
        outcome->usage = record->usage;
    }
    outcome->failed_step =
        (enum launch_step)atomic_load_explicit(&record->failed_step, memory_order_acquire);
    outcome->failed_errno = record->failed_errno;
    sandbox->left = launch_left_members(sandbox->launch) != NULL;
    outcome->left = launch_left_members(sandbox->launch);
    outcome->failure = failure_text(sandbox);
    if (sandbox->timed_out) {
        outcome->reason = EXIT_TIMEOUT;
        outcome->code = -1;
    } else if (outcome->failure != NULL) {
        outcome->reason = EXIT_KILLED; /* whatever the status says, the run failed */
        outcome->code = -1;
    }
    bool limit_came_first =
        sandbox->timed_out && sandbox->timed_out_at <= sandbox->terminal.fatal_at;
    outcome->host_signal = limit_came_first ? 0 : sandbox->terminal.fatal_signal;
    outcome->wall_ns = sys_monotonic_ns() - sandbox->started_ns;
}

/* ---- The supervising thread ---------------------------------------------------------------------- */

static void on_guardian_gone(void *data, short revents)
{
    struct sandbox *sandbox = data;

    (void)revents;
    loop_remove(sandbox->loop, launch_guardian_pidfd(sandbox->launch));
    loop_stop(sandbox->loop);
}

static void on_supervisor_failure(void *data)
{
    struct sandbox *sandbox = data;

    sandbox->failed = true;
    launch_end(sandbox->launch);
}

/* On another thread than the loop's, which will see the failure if it ever comes back. */
static void on_supervisor_stuck(void *data)
{
    struct sandbox *sandbox = data;

    launch_end(sandbox->launch);
}

/* On that thread too: the loop's does not come back. What it uses stays where it is. */
static void on_supervisor_lost(void *data)
{
    struct sandbox *sandbox = data;

    if (sandbox->on_lost != NULL)
        sandbox->on_lost(supervisor_failure(launch_supervisor(sandbox->launch)));
    pthread_mutex_lock(&sandbox->lock);
    if (sandbox->own_thread && sandbox->phase != PHASE_ENDED) {
        sandbox->lost = true;
        outcome_fill(sandbox);
        sandbox->phase = PHASE_ENDED;
    }
    pthread_mutex_unlock(&sandbox->lock);
    sandbox_announce(sandbox);
}

/* The stop key reaches only who is in front. Others who stop so do it themselves, or another process of the user
 * wants them to. */
static bool is_of_terminal(const struct launch *launch, uint32_t signal)
{
    return signal == SIGTTIN || signal == SIGTTOU ||
           (signal == SIGTSTP && launch_terminal(launch) >= 0);
}

static void on_stop_report(void *data, short revents)
{
    struct sandbox *sandbox = data;
    const struct launch_record *record = launch_record_of(sandbox->launch);
    uint64_t count;

    (void)revents;
    if (RETRY_ON_EINTR(read(launch_report_fd(sandbox->launch), &count, sizeof(count))) < 0)
        return;
    if (is_of_terminal(sandbox->launch,
                       atomic_load_explicit(&record->stop_signal, memory_order_acquire)))
        sandbox_go_on(sandbox);
}

static bool watch_terminal(struct sandbox *sandbox, struct error *err)
{
    int report = launch_report_fd(sandbox->launch);

    if (sandbox->forward_signals)
        return terminal_watch(&sandbox->terminal, sandbox->loop, sandbox->launch, err);
    return report < 0 || loop_add_quiet(sandbox->loop, report, POLLIN, on_stop_report, sandbox) ||
           error_runtime(err, ENOMEM, "event loop");
}

static void on_cpu_spent(void *data, short revents)
{
    struct sandbox *sandbox = data;

    (void)revents;
    cpu_time_finish(&sandbox->cpu_time);
    sandbox->cpu_spent = true;
    launch_end(sandbox->launch);
}

static bool watch_cpu_time(struct sandbox *sandbox, struct error *err)
{
    return !sandbox->forward_signals ||
           cpu_time_watch(&sandbox->cpu_time, sandbox->loop, on_cpu_spent, sandbox) ||
           error_runtime(err, errno, "watch the CPU time");
}

static bool watch_streams(struct sandbox *sandbox, struct error *err)
{
    for (int stream = 1; sandbox->capture_output && stream <= 2; stream++) {
        int fd = launch_take_stream(sandbox->launch, stream);
        if (fd >= 0 && !capture_start(&sandbox->captures[stream], sandbox->loop, fd))
            return error_runtime(err, ENOMEM, "output capture");
    }
    return true;
}

static bool descriptors_are_here(const void *launch)
{
    return launch_descriptors_are_here(launch);
}

bool sandbox_begin(struct sandbox *sandbox, struct error *err)
{
    struct launch *launch = sandbox->launch;
    struct fd_guard guard = {descriptors_are_here, launch};

    if (sandbox->hosted)
        loop_set_guard(sandbox->loop, guard);
    sandbox->started_ns = sys_monotonic_ns();
    if (launch_supervised(launch)) {
        supervisor_on_failure(launch_supervisor(launch), on_supervisor_failure, sandbox);
        supervisor_on_stuck(launch_supervisor(launch), on_supervisor_stuck, on_supervisor_lost,
                            sandbox);
        if (sandbox->hosted && !sandbox->own_root)
            supervisor_watch_root(launch_supervisor(launch));
    }
    /* All that can fail before the command may run. */
    if (!watch_streams(sandbox, err) || !watch_terminal(sandbox, err) ||
        !watch_cpu_time(sandbox, err) || !launch_begin(launch, sandbox->loop, err))
        return false;
    if (sandbox->forward_signals)
        cpu_time_count(&sandbox->cpu_time);
    if (!loop_add_quiet(sandbox->loop, launch_guardian_pidfd(launch), POLLIN, on_guardian_gone,
                        sandbox)) {
        launch_finish(launch); /* here: a sweep for members needs this thread's domain */
        return error_runtime(err, ENOMEM, "event loop");
    }
    return true;
}

/* The guardian is gone, hence every member, or waits in vain for those that are left. Terminal, name and output,
 * then the result is visible. */
static void finish(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    launch_finish(sandbox->launch);
    cpu_time_finish(&sandbox->cpu_time);
    terminal_finish(&sandbox->terminal);
    if (!sandbox->lost) { /* else the result has been read */
        for (int stream = 1; stream <= 2; stream++)
            capture_finish(&sandbox->captures[stream]);
        outcome_fill(sandbox);
    }
    sandbox->phase = PHASE_ENDED;
    pthread_mutex_unlock(&sandbox->lock);
    sandbox_announce(sandbox);
}

/* Whatever has a number may be the host's by now. */
static void finish_cut_off(struct sandbox *sandbox)
{
    fd_guard_thread(loop_guard(sandbox->loop));
    sandbox->cut_off = true;
    launch_lose_descriptors(sandbox->launch);
    finish(sandbox);
    launch_leave(sandbox->launch);
    fd_guard_thread((struct fd_guard){NULL, NULL});
}

/* Once a second it is asked whether the end, if it has been ordered, comes. Without memory for the timer who waits may
 * wait longer. */
static void look_for_end(void *data)
{
    struct sandbox *sandbox = data;

    if (launch_ends_in_vain(sandbox->launch))
        loop_stop(sandbox->loop);
    else
        loop_timer_add(sandbox->loop, loop_now() + LOOP_CHECK_NS, look_for_end, sandbox);
}

void sandbox_serve(struct sandbox *sandbox)
{
    loop_timer_add(sandbox->loop, loop_now() + LOOP_CHECK_NS, look_for_end, sandbox);
    int result = loop_run(sandbox->loop);

    if (result == -EBADF) {
        finish_cut_off(sandbox);
        return;
    }
    if (result != 0)
        sandbox->failed = true;
    finish(sandbox);
}

static void set_phase(struct sandbox *sandbox, enum phase phase)
{
    pthread_mutex_lock(&sandbox->lock);
    sandbox->phase = phase;
    pthread_mutex_unlock(&sandbox->lock);
    sandbox_announce(sandbox);
}

void *sandbox_supervise(void *data)
{
    struct sandbox *sandbox = data;

    /* The host may change its root directory (chroot), its working directory or its umask later: paths of members
     * and "/proc" then still mean what they meant. Threads that this one makes share these with it. Some container
     * profiles refuse this. */
    sandbox->own_root = unshare(CLONE_FS) == 0;
    if (!sandbox_begin(sandbox, &sandbox->create_error)) {
        set_phase(sandbox, PHASE_FAILED);
        return NULL;
    }
    if (!sandbox->once) /* one wake-up of the caller less, while the command starts */
        set_phase(sandbox, PHASE_RUNNING);
    sandbox_serve(sandbox);
    if (launch_descriptors_are_here(sandbox->launch) && !sandbox->left)
        launch_tidy(sandbox->launch); /* while who waited is waking up */
    return NULL;
}
