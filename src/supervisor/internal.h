/* The supervisor's own state, shared by supervisor.c (life), describe.c (posture), dispatch.c (the way of a
 * notification) and request.c (answers). No other room includes this. */
#ifndef SANDLOCK_SUPERVISOR_INTERNAL_H
#define SANDLOCK_SUPERVISOR_INTERNAL_H

#include "supervisor/fetch.h"
#include "supervisor/supervisor.h"
#include "supervisor/task.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"

#include <pthread.h>
#include <stdatomic.h>

struct active_feature {
    const struct feature *feature;
    void *state;
    bool started;
};

/* One feature's interest in one number. */
struct chain_link {
    int number;
    const struct trap *trap;
    struct active_feature *owner;
    const struct filter_rule *passes; /* of the trap, or those of the window */
    size_t pass_count;
};

struct supervisor {
    struct supervisor_config config;
    char *home; /* what config.home says */

    /* From the registry: the wanted features, their traps, and the same sorted for dispatch. */
    struct active_feature *features;
    const struct feature **wanted; /* NULL-terminated, for the walls */
    size_t feature_count;
    bool grants_named;         /* config.grants have their names: some call was received */
    bool features_keep_tasks;  /* one of them has a task_gone hook */
    struct filter_trap *traps; /* traps[i] is what links[i] tells the filter */
    struct chain_link *links;  /* by number, within one number in registry order */
    size_t trap_count;
    struct filter_rule outside_window[2]; /* conditions that hold for numbers outside */
    size_t outside_window_count;
    uint16_t *first_link; /* by number: links[first_link[n] .. first_link[n + 1]) */

    /* With explain: what the members' filter would answer by itself. NULL otherwise. */
    struct filter_plan *explained;

    bool privileged;         /* its thread has capabilities */
    bool members_privileged; /* and they may have them */
    int proc_fd;
    bool root_watched; /* the root directory may change, and is to be this one */
    dev_t root_device;
    ino_t root_inode;
    struct task_index *tasks;
    struct stats stats;

    int listener; /* owned, -1 before attach; closed only when no thread can use it any more */
    struct loop *loop;
    pthread_t loop_thread;
    struct fd_guard guard; /* the loop's, for the workers */
    int wake_fd; /* eventfd: a worker noticed a failure; in the loop once there are workers */
    pid_t guardian, child;
    bool filter_entered, listener_watched;
    /* A member has made the receiving thread wait for long: by loop_now(). */
    _Atomic int64_t stalls_until;
    atomic_size_t received_ahead; /* calls that wait for the one that is handled */
    bool left;                    /* supervisor_leave() was called */

    struct workers *workers; /* NULL until the first job */
    bool log_writer_considered;
    struct fetcher *fetcher; /* NULL: descriptors are duplicated by pidfd_getfd, or not at all */
    struct fetch_mailbox *mailbox; /* borrowed */

    pthread_mutex_t failure_lock; /* guards failure_text while failed is false */
    atomic_bool failed;
    char failure_text[256];
    bool failure_reported; /* loop thread only */
    void (*on_failure)(void *data);
    void *on_failure_data;
    void (*on_idle_end)(void *data);
    void *on_idle_end_data;
    void (*on_stuck)(void *data);
    void (*on_lost)(void *data);
    void *on_stuck_data;
    struct watch watch;

    void (*gone)(void *data); /* frees what was borrowed */
    void *gone_data;

    pthread_mutex_t borrowed_lock; /* config.denials is cleared when threads are left behind */
};

/* Ends the run: the first reason is kept, the callback is called on the loop's thread. Any thread. */
void supervisor_fail(struct supervisor *supervisor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* False, and the run is ended: the root directory is watched and is another one now. Any thread. */
bool supervisor_keeps_root(struct supervisor *supervisor);

/* The role of the calling thread, for messages. */
const char *supervisor_role_here(const struct supervisor *supervisor);

/* On the loop's thread: hands a failure to the callback, once. */
void supervisor_report_failure(struct supervisor *supervisor);

/* The end, when no thread can use the supervisor any more; and before threads are left behind. */
void supervisor_destroy(struct supervisor *supervisor);
void supervisor_give_back_borrowed(struct supervisor *supervisor);

/* On the loop's thread: sees to it that there is a pool. False: there is none. */
bool supervisor_make_workers(struct supervisor *supervisor);

/* On the loop's thread, with every call: the first makes the thread that writes the denial log, a worker,
 * if a log is wanted. Without the thread it is written at the end of the run. */
void supervisor_start_log_writer(struct supervisor *supervisor);

/* Of a feature of the registry: this run has it. */
bool supervisor_wants(const struct supervisor *supervisor, const struct feature *feature);

/* The word for --without that leaves `feature` out of this run, its own or that of what needs it; or NULL. */
const char *supervisor_switch_for(const struct supervisor *supervisor,
                                  const struct feature *feature);

/* With explain: true if the members' filter refuses the call by itself; *verdict is its answer, and the
 * denial is recorded. */
bool supervisor_judge_explained(struct supervisor *supervisor, struct request *request,
                                struct verdict *verdict);

/* Answers the request as the verdict says. Any thread. */
void supervisor_answer(const struct request *request, struct verdict verdict);

/* Loop callbacks. */
void supervisor_on_wake(void *data, short revents);
void dispatch_on_listener(void *data, short revents);
void dispatch_on_exits(void *data, short revents);

#endif
