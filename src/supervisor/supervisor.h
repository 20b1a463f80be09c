/*
 * The supervisor core: receives notifications, finds the task, dispatches to the features that trap
 * the call, and answers exactly once. The loop does only work that cannot block; the rest goes to
 * workers that answer by themselves.
 *
 * Life: supervisor_new() → supervisor_start_features() (caller's rights) → the thread enters its
 * domain → guardian and child are made → supervisor_attach(listener) → the loop calls
 * supervisor_ready() → supervisor_free() after the last member is gone.
 */
#ifndef SANDLOCK_SUPERVISOR_SUPERVISOR_H
#define SANDLOCK_SUPERVISOR_SUPERVISOR_H

#include "kernel/probe.h"
#include "policy/policy.h"
#include "supervisor/denial.h"
#include "supervisor/feature.h"
#include "supervisor/grants.h"
#include "supervisor/loop.h"
#include "supervisor/stats.h"
#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Blocking operations per sandbox that may be under way; further ones wait in order (workers.h tells how
 * many). */
#define WORKERS_MAX 256

/* Who handles a system call that the role's own filter does not allow. */
enum violation_policy {
    VIOLATION_TRAP,  /* the process is ours (CLI): SIGSYS, its handler reports and exits 125 */
    VIOLATION_ERRNO, /* a library host must live: ENOTRECOVERABLE, the wrapper ends the run */
};

struct network;
struct fetch_mailbox;

struct supervisor_config {
    const struct policy *policy;           /* borrowed */
    const struct feature *const *registry; /* all features in dispatch order, NULL-terminated */
    struct grants *grants;      /* borrowed, may be NULL; named before the first verdict */
    struct denial_log *denials; /* borrowed, may be NULL */
    enum violation_policy violation;
    bool confined;      /* install the role filters (supervisor-confinement) */
    bool interactive;   /* the role filter allows terminal hand-over and job control */
    bool traced;        /* descriptors are fetched by a guardian that traces (kernel/fetch.h) */
    bool terminal;      /* the caller's session has a controlling terminal ... */
    int terminal_fd;    /* borrowed: a descriptor of it, where members may be in front; -1 */
    bool keeps_session; /* ... that members in the background could read from another session */
    /* Borrowed: device numbers of the terminals among the members' streams that control other sessions. */
    const int64_t *foreign_terminals;
    size_t foreign_terminal_count;
    bool early_truncation;   /* for the members' filter */
    struct network *network; /* borrowed, for the network room; may be NULL */
    const char *home;        /* of the user, canonical, for advice; copied; NULL: not known */
    struct descriptor_window window;
};

struct supervisor *supervisor_new(const struct supervisor_config *config, struct error *err);

/* Ends the workers and the features. The members must be dead. A worker that is still stuck in a
 * blocking call after two seconds is left behind with everything it can reach; the features' stop hooks
 * then run when it ends. Only the denial log is given back at once. NULL is accepted. */
void supervisor_free(struct supervisor *supervisor);

/* Instead of that where no descriptor may be touched: the loop and the calling thread have a guard that says so.
 * Ends the threads and leaves everything else. */
void supervisor_leave(struct supervisor *supervisor);

/* Who owns what the supervisor borrows (policy, grants, network) frees it in `gone`: called exactly once,
 * when nobody can use it any more: within supervisor_free(), or later by the last thread left behind. */
void supervisor_on_gone(struct supervisor *supervisor, void (*gone)(void *data), void *data);

/* The traps of all wanted features for the members' filter; borrowed until free. 0 traps: no
 * listener is needed. */
const struct filter_trap *supervisor_traps(const struct supervisor *supervisor, size_t *count);

/* All that the members' filter must know of the wanted features; the traps are borrowed. */
struct member_filter_options supervisor_filter_options(const struct supervisor *supervisor);

bool supervisor_start_features(struct supervisor *supervisor, struct error *err);

/* Whether /proc shows the processes of this namespace under the numbers they have here: a reading that takes
 * its time, to be made before the command runs. */
bool supervisor_check_proc(const struct supervisor *supervisor, struct error *err);

/* Posture entries of the features, wanted or not. Those that need descriptors of members are degraded where
 * these cannot be fetched, and those that need a call that is refused here. */
void supervisor_describe(const struct supervisor *supervisor, struct posture *posture);

/* Why calls are refused, and features degraded, where no method duplicates a member's descriptor. */
#define SUPERVISOR_UNFETCHED \
    "descriptors of members cannot be fetched here: pidfd_getfd and tracing are refused"

/* True if neither pidfd_getfd nor tracing duplicates descriptors of members: every call that would be
 * performed on one is refused. */
bool supervisor_cannot_fetch(const struct supervisor *supervisor);

/* True if the feature is of no use without descriptors of members. */
bool feature_needs_descriptors(const struct feature *feature);

/* True if the feature behind this posture entry is of no use without the call. */
bool feature_needs_call(const char *entry, enum probe_call call);

/* Takes over the listener, sets the synchronous wake-up flag, adds it to the loop. `guardian` and
 * `child` are for features that walk the tree; `guardian_pidfd` is borrowed. The role filter goes
 * in before the first notification is received. When the listener hangs up (no task uses the filter
 * any more) it is removed from the loop. The listener is owned by the supervisor also after a
 * failure. The calling thread is the one that runs the loop. */
bool supervisor_attach(struct supervisor *supervisor, struct loop *loop, int listener,
                       pid_t guardian, pid_t child, int guardian_pidfd, struct error *err);

/* With config.traced: the eventfd that the guardian reports to, borrowed, or -1; and the mailbox that it
 * shares, which must live as long as the loop. Before attach. */
int supervisor_fetch_fd(const struct supervisor *supervisor);
void supervisor_share_mailbox(struct supervisor *supervisor, struct fetch_mailbox *mailbox);

/* For threads that share their root directory with others, which may change it: from here on no member's call
 * is answered in another root directory than the present one, the run ends instead. Before attach. */
void supervisor_watch_root(struct supervisor *supervisor);

/* The first error that ends the run (a violated role filter, a failed receive); NULL if none. */
const char *supervisor_failure(const struct supervisor *supervisor);

/* Called once, on the loop's thread, when the run must end because of a failure; the run kills all
 * members. Without a callback the loop is stopped. Set before attach. */
void supervisor_on_failure(struct supervisor *supervisor, void (*callback)(void *data), void *data);

/* Called once, on the loop's thread, when no process runs under the members' filter any more and no call was
 * ever received: then no thread but this one uses what is there for verdicts. Not after a failure. Set
 * before attach. */
void supervisor_on_idle_end(struct supervisor *supervisor, void (*callback)(void *data),
                            void *data);

/* Who kills all members where a thread that serves them does not come back from handling a call; and who
 * is told, two seconds later, that the loop's thread is still there, so that nobody should wait for it.
 * Each is called once, on another thread of the supervisor's. Set before attach. */
void supervisor_on_stuck(struct supervisor *supervisor, void (*kill)(void *data),
                         void (*lost)(void *data), void *data);

/* Installs the supervisor role's filter on the calling thread now (normally done lazily). 0/-errno. */
int supervisor_enter_filter(struct supervisor *supervisor);

struct stats *supervisor_stats(struct supervisor *supervisor);

/* ---- For features ---------------------------------------------------------------------------- */

const struct policy *supervisor_policy(const struct supervisor *supervisor);
const struct grants *supervisor_grants(const struct supervisor *supervisor);
struct denial_log *supervisor_denials(const struct supervisor *supervisor);
const char *supervisor_home(const struct supervisor *supervisor); /* of the config */
int supervisor_proc_fd(const struct supervisor *supervisor);      /* O_PATH on /proc */
int supervisor_listener(const struct supervisor *supervisor);
pid_t supervisor_guardian(const struct supervisor *supervisor);
pid_t supervisor_child(const struct supervisor *supervisor);
bool supervisor_is_confined(const struct supervisor *supervisor); /* its threads are in domain S */
/* False: the host has closed its descriptors, ours among them (util/fd.h). Any thread. */
bool supervisor_descriptors_are_ours(const struct supervisor *supervisor);

struct loop *supervisor_loop(const struct supervisor *supervisor);
struct network *supervisor_network(const struct supervisor *supervisor);
bool supervisor_has_terminal(const struct supervisor *supervisor);
/* As configured; the descriptor is usable on the loop's thread, -1: there is none. */
int supervisor_terminal_fd(const struct supervisor *supervisor);
/* True if the terminal of that device number controls another session, whose programs use it. */
bool supervisor_is_foreign_terminal(const struct supervisor *supervisor, int64_t device);
/* In turn, from index 0 on; -1: no more. */
int64_t supervisor_foreign_terminal(const struct supervisor *supervisor, size_t index);
struct descriptor_window supervisor_window(const struct supervisor *supervisor);

/* True if the feature is wanted by the policy (started, trapping). */
bool supervisor_has(const struct supervisor *supervisor, const struct feature *feature);

/* True, and the run is ended, if `result` (a value or -errno) says that the role filter refused the
 * call. For results that do not become an answer; an answer of ENOTRECOVERABLE is noticed by itself. */
bool supervisor_check_violation(struct supervisor *supervisor, long result, const char *call);

/* True if the notification is still waiting: to be asked after every look at the task by number. */
bool request_is_valid(const struct request *request);

/* Threads that no member may make wait. Handling a notification is watched as a whole. */
enum watched_thread {
    WATCH_RECEIVER,
    WATCH_HOLDER, /* of held calls */
    WATCHED_THREADS,
};

/* Around a step that must not wait, by the watched thread itself: if it takes two seconds, the run ends.
 * `number` is the system call that is handled. No system call while steps follow each other. */
void supervisor_watch_begin(struct supervisor *supervisor, enum watched_thread thread, int number);
void supervisor_watch_end(struct supervisor *supervisor, enum watched_thread thread);

/* Within a step: the member's socket that is worked on, to be shut down if the thread waits for it; -1
 * when that is over. */
void supervisor_watch_socket(struct supervisor *supervisor, enum watched_thread thread, int fd);

/* The answers for VERDICT_TAKEN. Any thread; exactly one per request. */
void request_answer_errno(const struct request *request, int error);
void request_answer_value(const struct request *request, int64_t value);
void request_answer_continue(const struct request *request);

/* VERDICT_NEXT of a worker: the features behind the one that owns the trap observe the call, then it
 * continues. For workers alone. */
void request_pass_on(const struct request *request);

/* Answers with a duplicate of `fd` (borrowed) in the caller's table: at number `at`, which is replaced
 * as by dup3(), or at the lowest free one if `at` < 0. The number, or -errno: then nothing was answered
 * yet. The kernel makes the caller itself install it and waits for that. */
int request_answer_fd(const struct request *request, int fd, int at, bool close_on_exec);

/* Where pidfd_getfd is refused: a duplicate of the caller's descriptor `number` that was fetched for this
 * very call, or -errno. After -EPERM whatever the handler then answers with an errno is not sent: the call
 * comes again as a new notification when the descriptor is here. Nothing may have been performed by then.
 * Any thread. */
int request_fetched_fd(const struct request *request, int number);

/* True if that is the way to a descriptor here. */
bool supervisor_fetches(const struct supervisor *supervisor);

/* The handler does without the descriptor. */
void request_take_back_wish(const struct request *request);

/* Runs `work` on a worker thread with a copy of the request (task is NULL there) and `data`; an
 * unanswered request is answered EIO when `work` returns. `release` (may be NULL) is called with
 * `data` exactly once when the job is over, also if it never ran. After a call that can block for
 * ever `work` must use nothing but its request, its data and its feature's state. Only for the
 * receiving thread, which then returns VERDICT_TAKEN. False: no thread or memory, or too many jobs wait;
 * nothing was taken, the caller refuses the call. */
bool request_submit(const struct request *request,
                    void (*work)(const struct request *request, void *data), void *data,
                    void (*release)(void *data));

/* The same for work that waits for no member and no other host, only perhaps for a file system: where there
 * is no worker and none can be made (threads are forbidden, or used up) it is done here and now. */
bool request_perform(const struct request *request,
                     void (*work)(const struct request *request, void *data), void *data,
                     void (*release)(void *data));

/* The same for work that is over with its answer: `judge` returns it, `data` is released, and then it is
 * sent. The thread is counted on for the call that the member makes next. */
bool request_perform_judge(const struct request *request,
                           struct verdict (*judge)(const struct request *request, void *data),
                           void *data, void (*release)(void *data));

/* True if a job would have to wait for others, which may take for ever and happen to thousands: the caller
 * should then hand over nothing that it read or opened, and let `work` read it again from the request. For
 * the receiving thread. */
bool request_would_wait(const struct request *request);

/* Inside `work`: the job lasts until the feature's leave_loop hook ends it, so its thread is none that
 * waiting jobs could count on. */
void request_job_stays(const struct request *request);

/* A copy to be answered later (task is NULL there); the handler returns VERDICT_TAKEN. NULL when out
 * of memory. request_drop() frees it and answers EIO if nobody did. */
struct request *request_detach(const struct request *request);
void request_drop(struct request *request); /* NULL is accepted */

/* Records a denial of this request: fills pid, comm, call and errno. object and suggest may be
 * NULL and are copied. */
void request_record_denial(const struct request *request, const char *object, const char *want,
                           int error, const char *layer, const char *rule, const char *suggest);

/* The same for an object that is a kind and a number ("process 12"): cheap when it comes again. The
 * texts are static. Nothing is suggested. */
void request_record_numbered_denial(const struct request *request, const char *kind, int64_t number,
                                    const char *want, int error, const char *layer,
                                    const char *rule);

#endif
