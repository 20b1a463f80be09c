/*
 * From a policy and a command to a confined process. Everything that can fail for a reason a person
 * should read is prepared before the first clone; the child then runs a straight list of system
 * calls (src/bare/child.c).
 *
 * Order (launch_prepare and launch_begin are one after the other, split because the second must run
 * on the thread that supervises):
 *   launch_prepare   caller's thread: validate, claim the name, open grants, rulesets, filters,
 *                    environment, stdio, feature state
 *   launch_begin     supervising thread: enter domain S, clone the guardian, wait until the child
 *                    is confined, register the listener
 *   launch_release   let a parked child exec
 *   launch_finish    after the guardian has ended: reap it, remove the runtime directory
 */
#ifndef SANDLOCK_LAUNCH_LAUNCH_H
#define SANDLOCK_LAUNCH_LAUNCH_H

#include "bare/record.h"
#include "policy/policy.h"
#include "supervisor/denial.h"
#include "supervisor/loop.h"
#include "supervisor/posture.h"
#include "supervisor/supervisor.h"
#include "util/buffer.h"
#include "util/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Numbers are part of the C ABI. */
enum stream_mode {
    STREAM_INHERIT = 0,
    STREAM_PIPED = 1,
    STREAM_NULL = 2,
    STREAM_FD = 3,     /* internal: a descriptor given by the caller */
    STREAM_CLOSED = 4, /* internal: the command finds it closed */
};

struct stream_spec {
    enum stream_mode mode;
    int fd; /* STREAM_FD: borrowed */
};

struct fd_map {
    int target; /* 3 or above */
    int source; /* borrowed */
};

/* Caps against absurd values. */
#define LAUNCH_ARGV_MAX (1 << 20)

struct launch_spec {
    struct policy *policy; /* a reference is taken */
    const char *name;      /* NULL: automatic */
    const char *const *argv;
    size_t argc;
    struct stream_spec streams[3];
    const struct fd_map *fds;
    size_t fd_count;
    const int
        *exec_fd; /* execute this open image (a sealed memfd, say) instead of argv[0]: no path is
                            resolved, so no grant is needed for it; borrowed; NULL: no */
    void (*entry)(
        void *data); /* run this function instead of executing anything; the descriptors 0 to
                                  2 and the mapped ones are all it has; returning is exit status 0 */
    void *entry_data;
    bool park;           /* the child waits for launch_release() before exec */
    bool end_with_child; /* one-shot: the guardian ends the sandbox when the command exits */
    bool own_process;    /* the CLI: guardian does not share memory, violations trap */
    bool confine;        /* this thread may be confined for good (domain S and role filters) */
    bool no_threads;     /* none can be made: workers' jobs are done by this one or refused */
    bool force_terminal; /* -i: use /dev/tty also when standard input is no terminal */
    /* Signals (bit N - 1) that this process ignores for itself; the command gets their default action. */
    uint64_t own_ignored;
    const sigset_t *signal_mask;           /* for the command; NULL: the calling thread's */
    const struct rlimit *inherited_nofile; /* for the command; NULL: this process's pair */
    uint64_t resolve_ms; /* the names of the rules get no more time; 0: as long as is usual */
};

struct launch;

struct launch *launch_prepare(const struct launch_spec *spec, struct error *err);

/* False: nothing of it is left but the object. On success the child is confined, and parked if that
 * was asked for. */
bool launch_begin(struct launch *launch, struct loop *loop, struct error *err);

void launch_release(struct launch *launch);

/* True if there are traps, hence a listener and a supervisor. Known after prepare. */
bool launch_supervised(const struct launch *launch);

/* Guardian commands; safe from any thread. 0 or -errno (-ESRCH when the guardian is gone). A kill comes
 * also where no other command does: the guardian is then told that the host has ended. A command is done when
 * `acknowledged` in the record has come to what `ordered` is after the call. */
int launch_command(struct launch *launch, enum guardian_command command);
int launch_signal_group(struct launch *launch, int signal);

/* COMMAND_KILL, on the loop's thread. On the command line it kills the guardian, too, if that has been stopped by
 * somebody and does not obey. */
void launch_kill(struct launch *launch);

/* To be asked about once a second, on the loop's thread: members were killed, and for seconds none of them has ended. */
bool launch_ends_in_vain(struct launch *launch);

/* After that was true: which they are, for a person to read. NULL: it was not, or they have ended since. */
const char *launch_left_members(const struct launch *launch);

/* COMMAND_FINISH and then launch_kill(). Any thread: on another than the loop's it is the two commands alone. */
void launch_end(struct launch *launch);

int launch_guardian_pidfd(const struct launch *launch);
bool launch_guardian_is_gone(const struct launch *launch);

/* False on a thread with a descriptor table of its own (unshare(CLONE_FILES)), in which the numbers mean something
 * else: then commands still arrive, and nothing may be read, written or closed. */
bool launch_descriptors_are_here(const struct launch *launch);

/* The host has closed descriptors of ours, which is seen at others than those that the answer above looks at: it is
 * false on every thread then. Tells the guardian to end. */
void launch_lose_descriptors(struct launch *launch);

/* Where launch_free() may not be called, since the descriptors are not here: after launch_finish(), ends the threads.
 * The rest stays. */
void launch_leave(struct launch *launch);

pid_t launch_child(const struct launch *launch);
struct launch_record *launch_record_of(const struct launch *launch);
const char *launch_name(const struct launch *launch);
const char *launch_command_name(const struct launch *launch);      /* argv[0] */
struct supervisor *launch_supervisor(const struct launch *launch); /* NULL without listener */
struct denial_log *launch_denials(const struct launch *launch);
const struct posture *launch_posture(struct launch *launch); /* any thread */

/* Appends {"V":R,…} of the ports that lie elsewhere on the host. False, and nothing appended: there are
 * none. Any thread. */
bool launch_ports(const struct launch *launch, struct buffer *json);
bool launch_confined(const struct launch *launch); /* domain S is really in force */

/* Why the run goes on without introspection, NULL if it does not; for a person to read. */
const char *launch_warning(const struct launch *launch);

/* Standard input is a terminal of another session, of which the command reads nothing (stream_terminals.h). */
bool launch_refuses_input(const struct launch *launch);

/* The host's end of a piped stream, -1 if none; the caller takes it over. */
int launch_take_stream(struct launch *launch, int stream);

/* Terminal that the child's group has or may get, -1 if none; stop reports, -1 if there is none. */
int launch_terminal(const struct launch *launch);
int launch_report_fd(const struct launch *launch);

/* Of the command line: the command has the terminal of the session by a stream, or may open it. */
bool launch_terminal_is_used(const struct launch *launch);
/* Of the command line: there is who could let its job go on, if that is stopped. */
bool launch_job_can_go_on(const struct launch *launch);

bool launch_foreground_is_wanted(const struct launch *launch); /* once the command uses it */
bool launch_foreground_is_ours(const struct launch *launch);   /* our own group is in front */
bool launch_foreground_is_given(
    const struct launch *launch); /* to the child's group, by us, to this moment */
bool launch_foreground_was_given_at_once(const struct launch *launch);
int launch_foreground_give(struct launch *launch);       /* to the child's group; 0 or -errno */
bool launch_foreground_take_back(struct launch *launch); /* if the child's group still has it */
void launch_foreground_leave(struct launch *launch);     /* it is whose somebody else has made it */

/* After the end: the child's group was in front, by us. */
bool launch_foreground_ended_in_front(const struct launch *launch);

/* After the guardian ended (or to end it): kills what is left if it did not end in order, reaps it,
 * gives up the name. Idempotent. Where the descriptors are others it only ends it. Of members that do not end it tells
 * by launch_left_members() after some seconds, at once when that is known already: nothing may be freed then, since
 * the guardian uses it. */
void launch_finish(struct launch *launch);

/* After that: closes what can wait until the result is visible. launch_free() does the same. */
void launch_tidy(struct launch *launch);
/* Finishes first; NULL is accepted. With members left it stays. */
void launch_free(struct launch *launch);

/* Confines the calling thread to the policy's path grants. */
bool launch_confine(const struct policy *policy, struct error *err);

/* The posture this policy would have here, without running anything. */
bool launch_posture_preview(struct policy *policy, struct posture *posture, struct error *err);

#endif
