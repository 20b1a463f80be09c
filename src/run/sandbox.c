/*
 * Life of one sandbox: see sandbox.h. One thread supervises (supervise.c); everybody else only sends the guardian
 * commands and waits for `phase` (wait.c). Here: creation, commands, questions and the end of the object.
 */
#include "kernel/sys.h"
#include "run/internal.h"
#include "util/fault.h"
#include "util/fd.h"
#include "util/process.h"
#include "util/quiet.h"
#include "util/thread_stack.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The supervising thread runs shallow code; its buffers are on the heap. */
#define SUPERVISOR_STACK (256 * 1024)

/* What the guardian may need to obey: more than a busy machine and a fetch (kernel/fetch.h) keep it from that. Who
 * waits looks as often whether it is still there. */
#define OBEDIENCE_NS (5 * NS_PER_S)
#define ALIVE_CHECK_NS (20 * NS_PER_MS)

bool sandbox_is_ours(const struct sandbox *sandbox)
{
    return sandbox->owner == getpid() &&
           (!sandbox->hosted || sandbox->generation == process_generation());
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
    int result = pthread_create(&sandbox->thread, &attributes, sandbox_supervise, sandbox);
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
    sandbox->cpu_time = CPU_TIME_INIT;
    sandbox->hosted = spec->supervision != SUPERVISE_CALLER;
    sandbox->generation = sandbox->hosted ? process_generation() : 0;
    sandbox->capture_output = spec->capture;
    sandbox->forward_signals = spec->forward_signals;
    sandbox->on_lost = spec->lost;
    sandbox->on_timeout = spec->timed_out;
    sandbox->timeout_data = spec->timed_out_data;
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
        sandbox_await_news(sandbox, 0);
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
    if (!sandbox_begin(sandbox, err))
        return false;
    sandbox->phase = PHASE_RUNNING;
    /* Nobody would see that the terminal has stopped it before somebody waits, who may poll until it ends. */
    if (!sandbox->forward_signals && !sandbox->once && launch_report_fd(sandbox->launch) >= 0)
        sandbox_go_on(sandbox); /* it may have been stopped by now */
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
    if (sandbox->parked && !sandbox->killed && sandbox->phase == PHASE_RUNNING) {
        sandbox->parked = false;
        launch_release(sandbox->launch);
        result = 0;
    }
    pthread_mutex_unlock(&sandbox->lock);
    return result;
}

int sandbox_command_locked(struct sandbox *sandbox, enum guardian_command command)
{
    if (command == COMMAND_KILL)
        sandbox->killed = true;
    return sandbox->phase == PHASE_RUNNING ? launch_command(sandbox->launch, command) : -ESRCH;
}

static bool guardian_is_gone(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    bool gone = sandbox->phase != PHASE_RUNNING || launch_guardian_is_gone(sandbox->launch);
    pthread_mutex_unlock(&sandbox->lock);
    return gone;
}

/* Returns when the guardian has done all that had been ordered when `ordered` was read. Without the lock: the run
 * may end meanwhile, and others wait for that. -ESRCH: it has ended, or is about to; -ETIMEDOUT. */
static int await_obedience(struct sandbox *sandbox, uint32_t ordered)
{
    struct launch_record *record = launch_record_of(sandbox->launch);
    const struct timespec slice = {0, ALIVE_CHECK_NS};
    int64_t deadline = sys_monotonic_ns() + OBEDIENCE_NS;

    for (;;) {
        uint32_t done = atomic_load_explicit(&record->acknowledged, memory_order_acquire);
        if ((int32_t)(done - ordered) >= 0) /* at its end it does no more than kill */
            return atomic_load_explicit(&record->ending, memory_order_acquire) != 0 ? -ESRCH : 0;
        if (guardian_is_gone(sandbox))
            return -ESRCH;
        if (sys_monotonic_ns() > deadline)
            return -ETIMEDOUT;
        sys_call6(SYS_futex, (long)&record->acknowledged, FUTEX_WAIT, done, (long)&slice, 0, 0);
    }
}

/* Gives up the lock, waits for what was ordered with `result`, and returns how that ended. */
static int unlock_and_await(struct sandbox *sandbox, int result)
{
    uint32_t ordered =
        atomic_load_explicit(&launch_record_of(sandbox->launch)->ordered, memory_order_acquire);

    pthread_mutex_unlock(&sandbox->lock);
    return result == 0 ? await_obedience(sandbox, ordered) : result;
}

/* The same for what is done to members: -ESRCH also where none was left. */
static int unlock_and_await_members(struct sandbox *sandbox, int result)
{
    const struct launch_record *record = launch_record_of(sandbox->launch);

    result = unlock_and_await(sandbox, result);
    bool deserted = atomic_load_explicit(&record->deserted, memory_order_relaxed) != 0;
    return result == 0 && deserted ? -ESRCH : result;
}

int sandbox_kill(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    int result = sandbox_command_locked(sandbox, COMMAND_KILL);
    result = unlock_and_await(sandbox, result);
    return result == -ESRCH ? 0 : result;
}

int sandbox_pause(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    int result = sandbox_command_locked(sandbox, COMMAND_PAUSE);
    sandbox->paused = sandbox->paused || result == 0;
    return unlock_and_await_members(sandbox, result);
}

int sandbox_resume(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    int result = sandbox_command_locked(sandbox, COMMAND_RESUME);
    if (sandbox->phase == PHASE_RUNNING && sandbox->stopped_by_terminal)
        launch_signal_group(sandbox->launch, SIGCONT); /* it may have ended a moment later */
    sandbox->paused = sandbox->paused && result != 0;
    sandbox->stopped_by_terminal = sandbox->stopped_by_terminal && result != 0;
    return unlock_and_await_members(sandbox, result);
}

void sandbox_go_on(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    launch_command(sandbox->launch, COMMAND_ORPHAN); /* it uses the terminal again, in vain now */
    sandbox->stopped_by_terminal = sandbox->paused;
    if (!sandbox->paused)
        launch_signal_group(sandbox->launch, SIGCONT);
    pthread_mutex_unlock(&sandbox->lock);
}

/* Once the guardian has said that the command exited its number may be used again, so then a
 * descriptor that is simply ready is handed out. Before that a pidfd names the right process. */
static bool command_exited(const struct sandbox *sandbox)
{
    return sandbox->phase != PHASE_RUNNING || launch_guardian_is_gone(sandbox->launch) ||
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

bool sandbox_refuses_input(const struct sandbox *sandbox)
{
    return launch_refuses_input(sandbox->launch);
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

bool sandbox_output_is_cut(const struct sandbox *sandbox)
{
    return sandbox->captures[1].cut || sandbox->captures[2].cut;
}

bool sandbox_ports(const struct sandbox *sandbox, struct buffer *json)
{
    return launch_descriptors_are_here(sandbox->launch) && launch_ports(sandbox->launch, json);
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

static bool is_lost(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->lock);
    bool lost = sandbox->lost;
    pthread_mutex_unlock(&sandbox->lock);
    return lost;
}

/* What is left are the descriptors and their numbers, which may be somebody else's here, and what knows them. */
static void leave(struct sandbox *sandbox)
{
    fd_guard_thread(loop_guard(sandbox->loop));
    loop_lose(sandbox->loop); /* its thread has ended */
    launch_leave(sandbox->launch);
    fd_guard_thread((struct fd_guard){NULL, NULL});
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
        sandbox_command_locked(sandbox, COMMAND_FINISH);
        sandbox_command_locked(sandbox, COMMAND_KILL);
        pthread_mutex_unlock(&sandbox->lock);
        sandbox_join(sandbox);
    }
    if (sandbox->launch != NULL) {
        launch_finish(sandbox->launch);
        if (!launch_descriptors_are_here(sandbox->launch) ||
            launch_left_members(sandbox->launch) != NULL) {
            leave(sandbox);
            return;
        }
    }
    cpu_time_finish(&sandbox->cpu_time);
    terminal_finish(&sandbox->terminal);
    for (int i = 0; i < 3; i++)
        capture_free(&sandbox->captures[i]);
    launch_free(sandbox->launch);
    loop_free(sandbox->loop);
    pthread_mutex_destroy(&sandbox->lock);
    free(sandbox);
}
