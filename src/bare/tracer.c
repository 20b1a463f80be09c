/*
 * Tracing: see tracer.h and kernel/fetch.h. Threads are seized (no signal is sent, none is seen by the
 * member), stopped by PTRACE_INTERRUPT, and continue after the detach as if nothing had been: signals
 * that came meanwhile are delivered then. A guardian that dies in the middle takes its tracees along
 * (PTRACE_O_EXITKILL): a thread with a half-injected call must not run on.
 */
#include "bare/tracing.h"

#include <linux/futex.h>
#include <time.h>

#if defined(__x86_64__)

#define WORD_SLICE 10000000L

static void report(const struct tracer *tracer)
{
    uint64_t one = 1;

    sys_call3(SYS_write, tracer->report_fd, (long)&one, sizeof(one));
}

/* ---- Letting go -------------------------------------------------------------------------------- */

/* True if the thread is not traced any more. */
static bool let_go(struct tracee *tracee)
{
    if (!tracee->stopped)
        return false;
    tracee->stopped = false; /* otherwise it was killed and is on its way to the end */
    return tracee_request(PTRACE_DETACH, tracee->tid, 0, tracee->deliver) == 0;
}

void tracer_release(struct tracer *tracer)
{
    for (int i = tracer == NULL ? -1 : tracer->count - 1; i >= 0; i--) {
        struct tracee *tracee = &tracer->tracees[i];
        uint32_t event = 0;
        enum look look = tracee->stopped ? LOOK_STOPPED : tracee_look(tracer, tracee->tid, &event);
        if (look == LOOK_STOPPED && !tracee->stopped)
            tracee_note_stop(tracee, event);
        bool gone = look == LOOK_GONE;
        if (look == LOOK_STOPPED) /* or killed, and perhaps dead by now */
            gone = let_go(tracee) || tracee_look(tracer, tracee->tid, &event) == LOOK_GONE;
        if (gone)
            tracee_forget(tracer, tracee);
    }
}

void tracer_release_one(struct tracer *tracer, long tid)
{
    uint32_t event;

    tracer_release(tracer);
    if (tracer == NULL || tracee_find(tracer, tid) != NULL ||
        tracee_look(tracer, tid, &event) != LOOK_STOPPED)
        return;
    /* Nobody's: cloned by one of ours in the moment of its release. */
    struct tracee stranger = {.tid = (int)tid};
    tracee_note_stop(&stranger, event);
    if (!let_go(&stranger))
        tracee_look(tracer, tid, &event);
}

/* ---- The command ------------------------------------------------------------------------------- */

/* The supervisor's next word after STOPPED. */
static uint32_t await_word(struct tracer *tracer)
{
    struct fetch_mailbox *box = tracer->box;
    const struct timespec slice = {0, WORD_SLICE};
    int64_t deadline = tracer_now() + TRACER_PATIENCE;

    for (;;) {
        uint32_t state = atomic_load(&box->state);
        if (state != FETCH_STOPPED)
            return state;
        if (tracer_is_killed(tracer) || tracer_now() > deadline) {
            atomic_store(&box->error, EPERM);
            if (tracer_advance(tracer, FETCH_STOPPED, FETCH_REFUSED))
                return FETCH_REFUSED;
            continue;
        }
        sys_call6(SYS_futex, (long)&box->state, FUTEX_WAIT, FETCH_STOPPED, (long)&slice, 0, 0);
    }
}

void tracer_serve(struct tracer *tracer)
{
    struct fetch_mailbox *box = tracer == NULL ? NULL : tracer->box;

    if (box == NULL || atomic_load(&box->state) != FETCH_STOP)
        return;
    tracer_release(tracer); /* makes room */
    long result = tracer_stop_process(tracer);
    if (result < 0) {
        atomic_store(&box->error, EPERM);
        atomic_store(&box->state, FETCH_REFUSED);
        report(tracer);
        tracer_release(tracer);
        return;
    }
    atomic_store(&box->state, FETCH_STOPPED);
    report(tracer);
    uint32_t state = await_word(tracer);
    if (state == FETCH_GO) {
        state = tracer_inject(tracer, tracee_find(tracer, box->tid));
        /* Before the caller is let go: its restarted call finds the descriptor received. */
        atomic_store(&box->state, state);
    }
    if (state != FETCH_CANCEL)
        report(tracer);
    tracer_release(tracer);
}

#else /* other architectures: the probe says that there is no such method */

void tracer_serve(struct tracer *tracer)
{
    (void)tracer;
}

void tracer_release(struct tracer *tracer)
{
    (void)tracer;
}

void tracer_release_one(struct tracer *tracer, long tid)
{
    (void)tracer;
    (void)tid;
}

#endif
