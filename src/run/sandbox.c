/*
 * Life of one sandbox: see sandbox.h. One thread supervises: it begins the launch (so that guardian
 * and members nest inside its domain), serves the loop until the guardian is gone, and finishes. That
 * is a private thread in the library and the caller's own in the command line; everybody else only
 * sends the guardian commands and waits for `phase`.
 */
#include "run/sandbox.h"

#include "kernel/sys.h"
#include "run/capture.h"
#include "run/terminal.h"
#include "util/fault.h"
#include "util/fd.h"
#include "util/quiet.h"
#include "util/thread_stack.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The supervising thread runs shallow code; its buffers are on the heap. */
#define SUPERVISOR_STACK (256 * 1024)

/* The longest busy wait for what is known to come at once. */
#define SPIN_NS 200000

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

enum phase {
    PHASE_CREATING, /* the child is not confined yet */
    PHASE_RUNNING,  /* guardian commands are possible */
    PHASE_ENDED,    /* `outcome` is final */
    PHASE_FAILED,   /* creation failed, `create_error` tells why */
};

struct sandbox {
    pid_t owner; /* the process that made it */
    struct launch *launch;
    struct loop *loop;
    bool own_thread;
    bool hosted; /* in somebody else's process */
    bool capture_output;
    bool forward_signals;
    bool end_with_child;
    void (*on_lost)(const char *why);

    struct capture captures[3]; /* 1 and 2 are used */
    struct terminal terminal;
    int64_t started_ns;

    pthread_t thread;
    bool joined;
    pthread_mutex_t lock; /* guards what follows, and guardian commands against the finish */
    enum phase phase;
    bool parked;
    bool once;
    bool driven; /* a waiter serves the loop; further ones wait for it as for a thread of ours */
    bool timed_out;
    bool failed; /* the supervisor failed */
    bool lost;   /* the supervising thread is stuck for good, and the run is over without it */
    uint64_t kill_after_ms;
    struct error create_error;
    struct outcome outcome;
};

bool sandbox_is_ours(const struct sandbox *sandbox)
{
    return sandbox->owner == getpid();
}

/* ---- Outcome ------------------------------------------------------------------------------------ */

static const char *failure_text(const struct sandbox *sandbox)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);
    const struct supervisor *supervisor = launch_supervisor(sandbox->launch);

    if (supervisor != NULL && supervisor_failure(supervisor) != NULL)
        return supervisor_failure(supervisor);
    if (sandbox->failed)
        return "the event loop of the supervisor failed";
    if (atomic_load_explicit(&record->finished, memory_order_acquire) == 0)
        return "the guardian process died";
    return NULL;
}

static void outcome_fill(struct sandbox *sandbox)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);
    struct outcome *outcome = &sandbox->outcome;

    outcome->code = -1;
    outcome->signal = 0;
    outcome->reason = EXIT_KILLED;
    if (atomic_load_explicit(&record->child_exited, memory_order_acquire) != 0) {
        int status = record->wait_status;
        if (WIFEXITED(status)) {
            outcome->reason = EXIT_EXITED;
            outcome->code = WEXITSTATUS(status);
        } else if (WIFSIGNALED(status)) {
            outcome->signal = WTERMSIG(status);
            outcome->reason = outcome->signal == SIGKILL ? EXIT_KILLED : EXIT_SIGNALED;
        }
        outcome->usage = record->usage;
    }
    outcome->failed_step =
        (enum launch_step)atomic_load_explicit(&record->failed_step, memory_order_acquire);
    outcome->failed_errno = record->failed_errno;
    outcome->failure = failure_text(sandbox);
    if (sandbox->timed_out) {
        outcome->reason = EXIT_TIMEOUT;
        outcome->code = -1;
    } else if (outcome->failure != NULL) {
        outcome->reason = EXIT_KILLED; /* whatever the status says, the run failed */
        outcome->code = -1;
    }
    outcome->host_signal = sandbox->terminal.fatal_signal;
    outcome->wall_ns = sys_monotonic_ns() - sandbox->started_ns;
}

/* ---- News ---------------------------------------------------------------------------------------- */

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static _Atomic uint32_t *news_of(const struct sandbox *sandbox)
{
    return &launch_record_of(sandbox->launch)->news;
}

/* Wakes all who wait, after a change and without the lock, or they would have to wait for that next. It
 * does not free the sandbox before this thread is joined. */
static void announce(struct sandbox *sandbox)
{
    atomic_fetch_add_explicit(news_of(sandbox), 1, memory_order_release);
    sys_call3(SYS_futex, (long)news_of(sandbox), FUTEX_WAKE, INT32_MAX);
}

/* Until the condition holds, but not for longer than waking a sleeping CPU may take. */
#define SPIN_UNTIL(condition)                             \
    for (int64_t spin_end = sys_monotonic_ns() + SPIN_NS; \
         !(condition) && sys_monotonic_ns() < spin_end;)  \
    sched_yield()

/*
 * Sleeps until something was announced, or `deadline` has come (0: never). Lock held. The guardian announces
 * too when no member is left: who waits is woken while guardian and supervising thread still end, and then
 * does not fall asleep again for the moment that is missing.
 */
static void await_news(struct sandbox *sandbox, int64_t deadline)
{
    _Atomic uint32_t *news = news_of(sandbox);
    struct timespec until = to_timespec(deadline);
    uint32_t seen = atomic_load_explicit(news, memory_order_acquire);

    pthread_mutex_unlock(&sandbox->lock);
    if (atomic_load_explicit(&launch_record_of(sandbox->launch)->finished, memory_order_acquire) !=
        0)
        SPIN_UNTIL(atomic_load_explicit(news, memory_order_acquire) != seen);
    sys_call6(SYS_futex, (long)news, FUTEX_WAIT_BITSET, seen, deadline != 0 ? (long)&until : 0, 0,
              FUTEX_BITSET_MATCH_ANY);
    pthread_mutex_lock(&sandbox->lock);
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
    launch_command(sandbox->launch, COMMAND_FINISH);
    launch_command(sandbox->launch, COMMAND_KILL);
}

/* On another thread than the loop's, which will see the failure if it ever comes back. */
static void on_supervisor_stuck(void *data)
{
    struct sandbox *sandbox = data;

    launch_command(sandbox->launch, COMMAND_FINISH);
    launch_command(sandbox->launch, COMMAND_KILL);
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
    announce(sandbox);
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

static bool begin(struct sandbox *sandbox, struct error *err)
{
    struct launch *launch = sandbox->launch;

    sandbox->started_ns = sys_monotonic_ns();
    if (launch_supervised(launch)) {
        supervisor_on_failure(launch_supervisor(launch), on_supervisor_failure, sandbox);
        supervisor_on_stuck(launch_supervisor(launch), on_supervisor_stuck, on_supervisor_lost,
                            sandbox);
    }
    /* All that can fail before the command may run. */
    if (!watch_streams(sandbox, err) ||
        (sandbox->forward_signals &&
         !terminal_watch(&sandbox->terminal, sandbox->loop, launch, err)) ||
        !launch_begin(launch, sandbox->loop, err))
        return false;
    if (!loop_add_quiet(sandbox->loop, launch_guardian_pidfd(launch), POLLIN, on_guardian_gone,
                        sandbox)) {
        launch_finish(launch); /* here: a sweep for members needs this thread's domain */
        return error_runtime(err, ENOMEM, "event loop");
    }
    return true;
}

/* The guardian is gone, hence every member. Terminal, name and output, then the result is visible. */
static void finish(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    launch_finish(sandbox->launch);
    terminal_finish(&sandbox->terminal);
    if (!sandbox->lost) { /* else the result has been read */
        for (int stream = 1; stream <= 2; stream++)
            capture_finish(&sandbox->captures[stream]);
        outcome_fill(sandbox);
    }
    sandbox->phase = PHASE_ENDED;
    pthread_mutex_unlock(&sandbox->lock);
    announce(sandbox);
}

static void serve(struct sandbox *sandbox)
{
    if (loop_run(sandbox->loop) != 0)
        sandbox->failed = true;
    finish(sandbox);
}

static void set_phase(struct sandbox *sandbox, enum phase phase)
{
    pthread_mutex_lock(&sandbox->lock);
    sandbox->phase = phase;
    pthread_mutex_unlock(&sandbox->lock);
    announce(sandbox);
}

static void *supervise(void *data)
{
    struct sandbox *sandbox = data;

    if (!begin(sandbox, &sandbox->create_error)) {
        set_phase(sandbox, PHASE_FAILED);
        return NULL;
    }
    if (!sandbox->once) /* one wake-up of the caller less, while the command starts */
        set_phase(sandbox, PHASE_RUNNING);
    serve(sandbox);
    launch_tidy(sandbox->launch); /* while who waited is waking up */
    return NULL;
}

/* ---- Creation ------------------------------------------------------------------------------------ */

/* The thread blocks every signal: the host's handlers run on the host's threads. */
static int start_thread(struct sandbox *sandbox)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;

    if (fault_is("supervisor-thread") || pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    pthread_attr_setstacksize(&attributes, thread_stack_size(SUPERVISOR_STACK));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&sandbox->thread, &attributes, supervise, sandbox);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return result;
}

static struct sandbox *sandbox_new(const struct sandbox_spec *spec, struct error *err)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

    if (sandbox == NULL) {
        error_runtime(err, ENOMEM, "sandbox");
        return NULL;
    }
    sandbox->owner = getpid();
    for (int i = 0; i < 3; i++)
        sandbox->captures[i] = CAPTURE_INIT;
    sandbox->terminal = TERMINAL_INIT;
    sandbox->hosted = spec->supervision != SUPERVISE_CALLER;
    sandbox->capture_output = spec->capture;
    sandbox->forward_signals = spec->forward_signals;
    sandbox->on_lost = spec->lost;
    sandbox->terminal.on_want = spec->wants_terminal;
    sandbox->end_with_child = spec->launch.end_with_child;
    sandbox->parked = spec->launch.park;
    sandbox->once = spec->once;
    sandbox->joined = true;
    sandbox->loop = loop_new();
    if (sandbox->loop == NULL || pthread_mutex_init(&sandbox->lock, NULL) != 0) {
        error_runtime(err, ENOMEM, "sandbox");
        loop_free(sandbox->loop);
        free(sandbox);
        return NULL;
    }
    return sandbox;
}

/* Begins on a thread of its own and waits until the child is confined. -1: no thread could be made. */
static int begin_on_thread(struct sandbox *sandbox)
{
    if (start_thread(sandbox) != 0)
        return -1;
    sandbox->own_thread = true;
    sandbox->joined = false;
    pthread_mutex_lock(&sandbox->lock);
    while (sandbox->phase == PHASE_CREATING)
        await_news(sandbox, 0);
    bool ok = sandbox->phase != PHASE_FAILED;
    pthread_mutex_unlock(&sandbox->lock);
    return ok ? 1 : 0;
}

static bool prepare(struct sandbox *sandbox, const struct sandbox_spec *spec, bool confine,
                    struct error *err)
{
    struct launch_spec launch_spec = spec->launch;

    if (spec->forward_signals) {
        if (!terminal_block_signals(&sandbox->terminal, err))
            return false;
        launch_spec.signal_mask = &sandbox->terminal.mask_before;
    }
    launch_spec.confine = confine;
    sandbox->launch = launch_prepare(&launch_spec, err);
    if (sandbox->launch == NULL)
        return false;
    int denial_fd = spec->denial_fd;
    if (spec->admitted != NULL && !spec->admitted(spec->admitted_data, &denial_fd, err))
        return false;
    if (denial_fd >= 0 && launch_denials(sandbox->launch) != NULL)
        denial_log_set_sink(launch_denials(sandbox->launch), denial_fd);
    return true;
}

static bool begin_on_caller(struct sandbox *sandbox, struct error *err)
{
    if (!begin(sandbox, err))
        return false;
    sandbox->phase = PHASE_RUNNING;
    return true;
}

/* A thread is needed for the walls around the supervisor, or for progress without a waiter. */
static bool wants_thread(const struct sandbox *sandbox, const struct sandbox_spec *spec)
{
    if (spec->supervision != SUPERVISE_THREAD)
        return false;
    return launch_supervised(sandbox->launch) || (spec->background && spec->capture);
}

static struct sandbox *create(const struct sandbox_spec *spec, struct error *err)
{
    struct sandbox *sandbox = sandbox_new(spec, err);
    bool confine = spec->supervision != SUPERVISE_CALLER_UNCONFINED;

    if (sandbox == NULL)
        return NULL;
    if (!prepare(sandbox, spec, confine, err)) {
        sandbox_free(sandbox);
        return NULL;
    }
    if (wants_thread(sandbox, spec)) {
        int result = begin_on_thread(sandbox);
        if (result == 0) {
            if (err != NULL)
                *err = sandbox->create_error;
            sandbox_free(sandbox);
            return NULL;
        }
        if (result > 0)
            return sandbox;
        /* The host may not create threads: the caller supervises while it waits, without walls. */
        sandbox_free(sandbox);
        if (spec->background) {
            error_runtime(err, EAGAIN, "supervisor thread");
            return NULL;
        }
        struct sandbox_spec fallback = *spec;
        fallback.supervision = SUPERVISE_CALLER_UNCONFINED;
        fallback.launch.no_threads = true;
        return create(&fallback, err);
    }
    if (!begin_on_caller(sandbox, err)) {
        sandbox_free(sandbox);
        return NULL;
    }
    return sandbox;
}

struct sandbox *sandbox_create(const struct sandbox_spec *spec, struct error *err)
{
    if (spec->supervision == SUPERVISE_CALLER)
        return create(spec, err);
    struct sandbox_spec hosted = *spec;
    struct quiet quiet;
    quiet_begin(&quiet);
    if (hosted.launch.signal_mask == NULL)
        hosted.launch.signal_mask = &quiet.before;
    struct sandbox *sandbox = create(&hosted, err);
    quiet_end(&quiet);
    return sandbox;
}

/* ---- Commands ------------------------------------------------------------------------------------ */

int sandbox_start(struct sandbox *sandbox)
{
    int result = -1;

    pthread_mutex_lock(&sandbox->lock);
    if (sandbox->parked && sandbox->phase == PHASE_RUNNING) {
        sandbox->parked = false;
        launch_release(sandbox->launch);
        result = 0;
    }
    pthread_mutex_unlock(&sandbox->lock);
    return result;
}

static int command_locked(struct sandbox *sandbox, enum guardian_command command)
{
    return sandbox->phase == PHASE_RUNNING ? launch_command(sandbox->launch, command) : -ESRCH;
}

static int command(struct sandbox *sandbox, enum guardian_command what)
{
    pthread_mutex_lock(&sandbox->lock);
    int result = command_locked(sandbox, what);
    pthread_mutex_unlock(&sandbox->lock);
    return result;
}

int sandbox_kill(struct sandbox *sandbox)
{
    int result = command(sandbox, COMMAND_KILL);

    return result == 0 || result == -ESRCH ? 0 : -1;
}

int sandbox_pause(struct sandbox *sandbox)
{
    return command(sandbox, COMMAND_PAUSE);
}

int sandbox_resume(struct sandbox *sandbox)
{
    return command(sandbox, COMMAND_RESUME);
}

/* Once the guardian has said that the command exited its number may be used again, so then a
 * descriptor that is simply ready is handed out. Before that a pidfd names the right process. */
static bool command_exited(const struct sandbox *sandbox)
{
    struct pollfd guardian = {.fd = launch_guardian_pidfd(sandbox->launch), .events = POLLIN};

    return sandbox->phase != PHASE_RUNNING || poll(&guardian, 1, 0) != 0 ||
           atomic_load_explicit(&launch_record_of(sandbox->launch)->child_exited,
                                memory_order_acquire) != 0;
}

int sandbox_poll_fd(struct sandbox *sandbox)
{
    CLEANUP_FD int fd = -1;

    pthread_mutex_lock(&sandbox->lock);
    if (!command_exited(sandbox))
        fd = sys_pidfd_open(launch_child(sandbox->launch), 0);
    bool exited = command_exited(sandbox); /* after opening: it might have ended in between */
    pthread_mutex_unlock(&sandbox->lock);
    if (!exited)
        return fd_steal(&fd);
    int ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return ready >= 0 ? ready : -errno;
}

/* ---- Waiting ------------------------------------------------------------------------------------- */

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

    launch_command(sandbox->launch, COMMAND_KILL);
}

static void on_deadline(void *data)
{
    struct sandbox *sandbox = data;

    if (ended_in_time(sandbox))
        return;
    sandbox->timed_out = true;
    launch_command(sandbox->launch, COMMAND_FINISH);
    if (sandbox->kill_after_ms == 0) {
        launch_command(sandbox->launch, COMMAND_KILL);
        return;
    }
    launch_command(sandbox->launch, COMMAND_TERMINATE);
    int64_t deadline = sys_monotonic_ns() + (int64_t)sandbox->kill_after_ms * NS_PER_MS;
    if (loop_timer_add(sandbox->loop, deadline, on_kill_deadline, sandbox) == 0)
        launch_command(sandbox->launch, COMMAND_KILL);
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
    int result = command_locked(sandbox, COMMAND_FINISH);
    return result == 0 || result == -ESRCH ||
           error_runtime(err, -result, "the guardian process cannot be reached");
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
    serve(sandbox);
    if (sandbox->hosted)
        quiet_end(&quiet);
    return true;
}

/* True when the run has ended, false when the deadline came first. Lock held. */
static bool await_end_until(struct sandbox *sandbox, uint64_t milliseconds)
{
    int64_t deadline = deadline_after(milliseconds);

    while (sandbox->phase != PHASE_ENDED && sys_monotonic_ns() < deadline)
        await_news(sandbox, deadline);
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
            command_locked(sandbox, COMMAND_TERMINATE);
            ended = await_end_until(sandbox, kill_after_ms);
        }
        if (!ended)
            command_locked(sandbox, COMMAND_KILL);
    }
    while (sandbox->phase != PHASE_ENDED)
        await_news(sandbox, 0);
    pthread_mutex_unlock(&sandbox->lock);
    return true;
}

bool sandbox_wait(struct sandbox *sandbox, uint64_t timeout_ms, uint64_t kill_after_ms,
                  struct outcome *outcome, struct error *err)
{
    /* A piped input that nobody took: the command must see its end. */
    pthread_mutex_lock(&sandbox->lock);
    int input = launch_take_stream(sandbox->launch, 0);
    bool ended = sandbox->phase == PHASE_ENDED;
    bool drive = !ended && !sandbox->own_thread && !sandbox->driven;
    if (drive)
        sandbox->driven = true;
    pthread_mutex_unlock(&sandbox->lock);
    fd_close(input);

    sandbox->kill_after_ms = kill_after_ms;
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

/* ---- Queries ------------------------------------------------------------------------------------- */

pid_t sandbox_pid(const struct sandbox *sandbox)
{
    return launch_child(sandbox->launch);
}

const char *sandbox_name(const struct sandbox *sandbox)
{
    return launch_name(sandbox->launch);
}

const char *sandbox_warning(const struct sandbox *sandbox)
{
    return launch_warning(sandbox->launch);
}

int sandbox_take_stream(struct sandbox *sandbox, int stream)
{
    return launch_take_stream(sandbox->launch, stream);
}

const char *sandbox_output(const struct sandbox *sandbox, int stream, size_t *length,
                           bool *captured)
{
    if (stream < 1 || stream > 2 || !sandbox->captures[stream].captured) {
        *captured = false;
        *length = 0;
        return NULL;
    }
    *captured = true;
    *length = sandbox->captures[stream].bytes.length;
    return buffer_text(&sandbox->captures[stream].bytes);
}

bool sandbox_ports(const struct sandbox *sandbox, struct buffer *json)
{
    return launch_ports(sandbox->launch, json);
}

const struct posture *sandbox_posture(struct sandbox *sandbox)
{
    return launch_posture(sandbox->launch);
}

struct denial_log *sandbox_denials(const struct sandbox *sandbox)
{
    return launch_denials(sandbox->launch);
}

const struct stats *sandbox_stats(const struct sandbox *sandbox)
{
    struct supervisor *supervisor = launch_supervisor(sandbox->launch);

    return supervisor != NULL ? supervisor_stats(supervisor) : NULL;
}

/* A thread that has announced the end is about to end itself. */
static void join(struct sandbox *sandbox)
{
    bool joined = false;

    SPIN_UNTIL((joined = pthread_tryjoin_np(sandbox->thread, NULL) == 0));
    if (!joined)
        pthread_join(sandbox->thread, NULL);
    sandbox->joined = true;
}

static bool is_lost(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    bool lost = sandbox->lost;
    pthread_mutex_unlock(&sandbox->lock);
    return lost;
}

void sandbox_free(struct sandbox *sandbox)
{
    /* A copy's memory stays: the process was forked while other threads might be at work on it. */
    if (sandbox == NULL || !sandbox_is_ours(sandbox))
        return;
    if (is_lost(sandbox)) { /* its thread still uses everything */
        pthread_detach(sandbox->thread);
        return;
    }
    if (!sandbox->joined) {
        pthread_mutex_lock(&sandbox->lock);
        command_locked(sandbox, COMMAND_FINISH);
        command_locked(sandbox, COMMAND_KILL);
        pthread_mutex_unlock(&sandbox->lock);
        join(sandbox);
    }
    if (sandbox->launch != NULL)
        launch_finish(sandbox->launch);
    terminal_finish(&sandbox->terminal);
    for (int i = 0; i < 3; i++)
        capture_free(&sandbox->captures[i]);
    launch_free(sandbox->launch);
    loop_free(sandbox->loop);
    pthread_mutex_destroy(&sandbox->lock);
    free(sandbox);
}
