/* The sandbox object, shared by the files of this room only. */
#ifndef SANDLOCK_RUN_INTERNAL_H
#define SANDLOCK_RUN_INTERNAL_H

#include "run/capture.h"
#include "run/cpu_time.h"
#include "run/sandbox.h"
#include "run/terminal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

enum phase {
    PHASE_CREATING, /* the child is not confined yet */
    PHASE_RUNNING,  /* guardian commands are possible */
    PHASE_ENDED,    /* `outcome` is final */
    PHASE_FAILED,   /* creation failed, `create_error` tells why */
};

struct sandbox {
    pid_t owner;         /* the process that made it ... */
    uint64_t generation; /* ... and, in somebody else's process, which of those with this number */
    struct launch *launch;
    struct loop *loop;
    bool own_thread;
    bool hosted;   /* in somebody else's process */
    bool own_root; /* the supervising thread's root directory and umask are no other thread's */
    bool capture_output;
    bool forward_signals;
    bool end_with_child;
    void (*on_lost)(const char *why);
    void (*on_timeout)(void *data);
    void *timeout_data;

    struct capture captures[3]; /* 1 and 2 are used */
    struct terminal terminal;
    struct cpu_time cpu_time; /* with forward_signals: that of a process of ours */
    int64_t started_ns;

    pthread_t thread;
    bool joined;
    pthread_mutex_t lock; /* guards what follows, and guardian commands against the finish */
    enum phase phase;
    bool parked;
    _Atomic bool killed; /* or about to be: so it is not started any more */
    bool paused;
    bool stopped_by_terminal; /* while it was paused, so it goes on only then */
    bool once;
    bool driven; /* a waiter serves the loop; further ones wait for it as for a thread of ours */
    bool timed_out;
    int64_t timed_out_at; /* CLOCK_MONOTONIC */
    bool failed;          /* the supervisor failed */
    bool cpu_spent;       /* it may use no more CPU time */
    bool cut_off;         /* the host has closed our descriptors */
    bool left;            /* members do not end: the run is over without them */
    bool lost; /* the supervising thread is stuck for good, and the run is over without it */
    uint64_t kill_after_ms; /* of the driving waiter */
    struct error create_error;
    struct outcome outcome;
};

/* ---- news.c: who waits, and what wakes it ---- */

/* Wakes all who wait, after a change and without the lock, or they would have to wait for that next. They do not
 * free the sandbox before its thread is joined. */
void sandbox_announce(struct sandbox *sandbox);

/* Sleeps until something was announced, or the monotonic time `deadline` has come (0: never); for loops that
 * look at `phase`. Lock held. */
void sandbox_await_news(struct sandbox *sandbox, int64_t deadline);

/* Waits for the end of the sandbox's thread. */
void sandbox_join(struct sandbox *sandbox);

/* ---- supervise.c: the supervising thread ---- */

/* From the launch to the running command; then sandbox_serve() until its end. */
bool sandbox_begin(struct sandbox *sandbox, struct error *err);
void sandbox_serve(struct sandbox *sandbox);

/* Both, as the start function of a thread: the argument is the sandbox. */
void *sandbox_supervise(void *sandbox);

/* ---- sandbox.c ---- */

/* -ESRCH when the run has ended. Returns at once. Lock held. */
int sandbox_command_locked(struct sandbox *sandbox, enum guardian_command command);

/* The terminal has stopped the command, and nobody here does what a shell does about a job: it goes on as one that
 * the terminal does not stop. On the supervising thread. */
void sandbox_go_on(struct sandbox *sandbox);

#endif
