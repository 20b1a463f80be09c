/* Waiting for the end of a run, and the time limit. */
#include "kernel/sys.h"
#include "run/internal.h"
#include "util/fd.h"
#include "util/quiet.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>

/* The limit is the command's. What it left behind may take longer to end than the command was given. A
 * guardian that has much to do may not have seen the end yet; while it lives the number is the command's. */
static bool ended_in_time(const struct sandbox *sandbox)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);

    if (atomic_load_explicit(&record->child_exited, memory_order_acquire) != 0)
        return true;
    CLEANUP_FD int pidfd = sys_pidfd_open(launch_child(sandbox->launch), 0);
    struct pollfd command = {.fd = pidfd, .events = POLLIN};
    bool exited = pidfd >= 0 && poll(&command, 1, 0) == 1;
    return exited || atomic_load_explicit(&record->child_exited, memory_order_acquire) != 0;
}

static void on_kill_deadline(void *data)
{
    struct sandbox *sandbox = data;

    launch_kill(sandbox->launch);
}

static void on_deadline(void *data)
{
    struct sandbox *sandbox = data;

    if (ended_in_time(sandbox))
        return;
    sandbox->timed_out = true;
    sandbox->timed_out_at = sys_monotonic_ns();
    sandbox->killed = true;
    if (sandbox->kill_after_ms == 0) {
        launch_end(sandbox->launch);
    } else {
        launch_command(sandbox->launch, COMMAND_FINISH);
        launch_command(sandbox->launch, COMMAND_TERMINATE);
        int64_t deadline = sys_monotonic_ns() + (int64_t)sandbox->kill_after_ms * NS_PER_MS;
        if (loop_timer_add(sandbox->loop, deadline, on_kill_deadline, sandbox) == 0)
            launch_kill(sandbox->launch);
    }
    if (sandbox->on_timeout != NULL)
        sandbox->on_timeout(sandbox->timeout_data);
}

/* A time far enough ahead to mean "never" without overflowing. */
static int64_t deadline_after(uint64_t milliseconds)
{
    const uint64_t longest = (uint64_t)INT64_MAX / (4 * NS_PER_MS);

    return sys_monotonic_ns() +
           (int64_t)(milliseconds < longest ? milliseconds : longest) * NS_PER_MS;
}

/* The guardian ends the sandbox when the command has exited. One that cannot be told would be waited for
 * without end. Lock held where the sandbox has a thread. */
static bool order_finish(struct sandbox *sandbox, struct error *err)
{
    if (sandbox->end_with_child) /* it knows, and needs no wall for a command */
        return true;
    int result = sandbox_command_locked(sandbox, COMMAND_FINISH);
    return result == 0 || result == -ESRCH ||
           error_runtime(err, -result, "the guardian process cannot be reached");
}

int sandbox_await_room(struct sandbox *sandbox, int fd, int64_t nanoseconds)
{
    int64_t deadline = sys_monotonic_ns() + nanoseconds;
    struct pollfd polled[] = {
        {.fd = fd, .events = POLLOUT},
        {.fd = sandbox->terminal.signal_fd, .events = POLLIN},
        {.fd = launch_guardian_pidfd(sandbox->launch), .events = POLLIN},
    };

    for (;;) {
        int64_t left = deadline - sys_monotonic_ns();
        int ready = poll(polled, 3, left > 0 ? (int)((left + NS_PER_MS - 1) / NS_PER_MS) : 0);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0 && polled[1].revents != 0)
            terminal_hear(&sandbox->terminal);
        if (sandbox->terminal.fatal_signal != 0)
            return -EINTR;
        if (ready > 0 && polled[2].revents != 0)
            return -ESRCH;
        if (ready > 0 && polled[0].revents != 0)
            return 0;
        if (ready <= 0 && left <= 0)
            return -ETIMEDOUT;
    }
}

static bool wait_on_caller(struct sandbox *sandbox, uint64_t timeout_ms, struct error *err)
{
    int timer = 0;

    if (!order_finish(sandbox, err))
        return false;
    if (timeout_ms > 0) {
        timer = loop_timer_add(sandbox->loop, deadline_after(timeout_ms), on_deadline, sandbox);
        if (timer == 0)
            return error_runtime(err, ENOMEM, "timeout");
    }
    struct quiet quiet;
    if (sandbox->hosted)
        quiet_begin(&quiet);
    sandbox_serve(sandbox);
    if (sandbox->hosted)
        quiet_end(&quiet);
    return true;
}

/* True when the run has ended, false when the deadline came first. Lock held. */
static bool await_end_until(struct sandbox *sandbox, uint64_t milliseconds)
{
    int64_t deadline = deadline_after(milliseconds);

    while (sandbox->phase != PHASE_ENDED && sys_monotonic_ns() < deadline)
        sandbox_await_news(sandbox, deadline);
    return sandbox->phase == PHASE_ENDED;
}

static bool wait_for_thread(struct sandbox *sandbox, uint64_t timeout_ms, uint64_t kill_after_ms,
                            struct error *err)
{
    pthread_mutex_lock(&sandbox->lock);
    if (!order_finish(sandbox, err)) {
        pthread_mutex_unlock(&sandbox->lock);
        return false;
    }
    if (timeout_ms > 0 && !await_end_until(sandbox, timeout_ms) && !ended_in_time(sandbox)) {
        sandbox->timed_out = true;
        bool ended = false;
        if (kill_after_ms > 0) {
            sandbox_command_locked(sandbox, COMMAND_TERMINATE);
            ended = await_end_until(sandbox, kill_after_ms);
        }
        if (!ended)
            sandbox_command_locked(sandbox, COMMAND_KILL);
    }
    while (sandbox->phase != PHASE_ENDED)
        sandbox_await_news(sandbox, 0);
    pthread_mutex_unlock(&sandbox->lock);
    return true;
}

bool sandbox_wait(struct sandbox *sandbox, uint64_t timeout_ms, uint64_t kill_after_ms,
                  struct outcome *outcome, struct error *err)
{
    pthread_mutex_lock(&sandbox->lock);
    bool here = launch_descriptors_are_here(sandbox->launch);
    bool ended = sandbox->phase == PHASE_ENDED;
    bool drive = !ended && !sandbox->own_thread && !sandbox->driven;
    if (drive && !here) {
        pthread_mutex_unlock(&sandbox->lock);
        return error_runtime(err, EBADF,
                             "this thread has other descriptors than the one that made the handle");
    }
    if (drive) {
        sandbox->driven = true;
        sandbox->kill_after_ms = kill_after_ms;
    }
    pthread_mutex_unlock(&sandbox->lock);

    if (drive) {
        if (!wait_on_caller(sandbox, timeout_ms, err)) {
            pthread_mutex_lock(&sandbox->lock);
            sandbox->driven = false; /* nothing happened: another call may try again */
            pthread_mutex_unlock(&sandbox->lock);
            return false;
        }
    } else if (!ended && !wait_for_thread(sandbox, timeout_ms, kill_after_ms, err)) {
        return false;
    }
    *outcome = sandbox->outcome;
    return true;
}
