/*
 * One sandbox from creation to its end: the object behind the library's handles and behind the
 * command line. It owns the launch, the supervisor (on a thread of its own, or on the calling
 * thread), the capture buffers and the result.
 *
 * Calls of different threads on one sandbox are allowed: pid, kill, pause and resume may run while
 * another thread waits. Wait is serialised.
 */
#ifndef SANDLOCK_RUN_SANDBOX_H
#define SANDLOCK_RUN_SANDBOX_H

#include "launch/launch.h"
#include "policy/policy.h"
#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Numbers are part of the C ABI. */
enum exit_reason {
    EXIT_EXITED = 0,   /* code is valid */
    EXIT_SIGNALED = 1, /* a signal other than SIGKILL */
    EXIT_KILLED = 2,   /* SIGKILL, or the status could not be obtained */
    EXIT_TIMEOUT = 3,  /* our own time limit fired */
};

/* How a run ended. The texts belong to the sandbox. */
struct outcome {
    enum exit_reason reason;
    int code;         /* exit code, -1 unless EXITED */
    int command_code; /* what the command exited with, also after TIMEOUT; -1 if it did not exit */
    int signal;       /* terminating signal, SIGKILL included; 0 if none */

    /* A launch step failed after the sandbox existed (the code is 127 then). */
    enum launch_step failed_step; /* STEP_NONE: the command was executed */
    int failed_errno;

    /* The supervisor failed (role filter violated, guardian killed); NULL otherwise. */
    const char *failure;

    /* Members that were killed and do not end, which the guardian still waits for; NULL: none. */
    const char *left;

    /* The fatal signal that reached this process and was forwarded; 0: none, or not before the time limit
     * had ended the run. The command line dies by it when everything is done. */
    int host_signal;

    int64_t wall_ns;
    struct rusage usage;
};

enum supervision {
    SUPERVISE_THREAD,            /* the library: a private thread, confined */
    SUPERVISE_CALLER,            /* the command line: the calling thread, confined for good */
    SUPERVISE_CALLER_UNCONFINED, /* no thread can be created: calling thread, without the walls */
};

struct sandbox_spec {
    struct launch_spec launch;
    enum supervision supervision;
    bool background; /* progress must not depend on a waiter (create, popen) */
    bool once;    /* the caller goes on to wait for the end, without a time limit: with a thread of
                        its own the creation returns only then */
    bool capture; /* drain piped streams 1 and 2 into the result; false: the caller takes them */
    bool forward_signals; /* CLI: SIGTERM, SIGINT, … go to the command's group */
    int denial_fd;        /* JSON line per denial; -1: none */
    /* CLI: called on the caller's thread when nothing that was asked for can be refused any more and
     * nothing runs yet; what the run writes is opened here, before the confinement. May set *denial_fd.
     * False and an error end the creation. NULL: none */
    bool (*admitted)(void *data, int *denial_fd, struct error *err);
    void *admitted_data;
    void (*lost)(
        const char *why); /* CLI: the supervising thread, the caller's, does not come back from a
                                      call; the members have been killed. On another thread */
    /* CLI: the time limit has come, and the members are told to end. On the supervising thread. */
    void (*timed_out)(void *data);
    void *timed_out_data;
    /* CLI: the command was stopped since it uses the terminal, which this process could have given it but
     * was not told to. On the supervising thread. */
    void (*wants_terminal)(void);
};

struct sandbox;

/* False in a process that was forked from the one that made the sandbox: its copy of the object stands
 * for nothing (threads and locks stayed behind, and processes and name are not its own). All that may be
 * done with it is to free it, which then only forgets it. */
bool sandbox_is_ours(const struct sandbox *sandbox);

/* Creates everything up to the parked (spec.launch.park) or running command. NULL and an error if
 * any step failed; nothing is left behind then. */
struct sandbox *sandbox_create(const struct sandbox_spec *spec, struct error *err);

/* CLI, before it releases the command: waits until the descriptor takes something and hears signals meanwhile. 0, or
 * -EINTR when a signal came that is to end the run, -ESRCH when it has ended, -ETIMEDOUT. */
int sandbox_await_room(struct sandbox *sandbox, int fd, int64_t nanoseconds);

/* Releases a parked command. 0, or -1 if it is not parked (any more), or was killed. */
int sandbox_start(struct sandbox *sandbox);

/* Waits for the end of the run: the command has exited, every other member is dead (or does not end for seconds
 * although it was killed, see outcome.left), the output is
 * collected. `timeout_ms` 0: no limit; on expiry SIGTERM (if kill_after_ms > 0), after that SIGKILL
 * to all members; not if the command had exited by then. A later call returns the same outcome at once.
 * False on an internal error. */
bool sandbox_wait(struct sandbox *sandbox, uint64_t timeout_ms, uint64_t kill_after_ms,
                  struct outcome *outcome, struct error *err);

/* These return when it is done: 0, or -errno; -ETIMEDOUT when the guardian does not answer for seconds, and the
 * command is carried out if it ever does. Of pause and resume the later one counts, also of another thread. */
int sandbox_kill(
    struct sandbox *sandbox); /* SIGKILL to every member. 0 also when nothing is left */
int sandbox_pause(struct sandbox *sandbox);  /* -ESRCH: no process is left */
int sandbox_resume(struct sandbox *sandbox); /* the same */

pid_t sandbox_pid(const struct sandbox *sandbox); /* also the process group */
const char *sandbox_name(const struct sandbox *sandbox);

/* A new close-on-exec descriptor that is readable once the command has exited, for event loops.
 * -errno on failure. */
int sandbox_poll_fd(struct sandbox *sandbox);

/* Why the run goes on without introspection, NULL if it does not. */
const char *sandbox_warning(const struct sandbox *sandbox);
bool sandbox_refuses_input(const struct sandbox *sandbox); /* launch_refuses_input() */

/* What that means to the user; the format of the one line about it. */
#define SANDBOX_WARNING "%s (the run is not listed and its name is not protected)"

/* The host's end of piped stream 0, 1 or 2, handed to the caller; -1 if there is none (any more).
 * A stream that was taken is not captured. */
int sandbox_take_stream(struct sandbox *sandbox, int stream);

/* Captured bytes of stream 1 or 2 so far; valid after a wait. captured is false if the stream was
 * not captured. Borrowed until free. */
const char *sandbox_output(const struct sandbox *sandbox, int stream, size_t *length,
                           bool *captured);

/* True if there was no memory for all that the command wrote; valid after a wait. */
bool sandbox_output_is_cut(const struct sandbox *sandbox);

/* Appends {"V":R,…}: virtual ports whose real port is another one, sorted. False, and nothing appended:
 * there are none. */
bool sandbox_ports(const struct sandbox *sandbox, struct buffer *json);

const struct posture *sandbox_posture(struct sandbox *sandbox);
struct denial_log *sandbox_denials(const struct sandbox *sandbox); /* NULL without supervisor */
const struct stats *sandbox_stats(const struct sandbox *sandbox);  /* NULL without supervisor */

/* Kills what still runs, reaps it, removes the runtime directory, frees. NULL is accepted. Of a copy
 * nothing is touched. Where members do not end for seconds it returns and frees nothing: the guardian uses it. */
void sandbox_free(struct sandbox *sandbox);

#endif
