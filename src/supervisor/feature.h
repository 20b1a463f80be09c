/*
 * A feature: one optional capability that traps system calls. Its struct is the one place that says
 * when it is wanted, what it traps under which register conditions, who handles it, and what the
 * supervisor itself needs for it; filter, dispatch and the supervisor's own confinement are all
 * generated from it.
 */
#ifndef SANDLOCK_SUPERVISOR_FEATURE_H
#define SANDLOCK_SUPERVISOR_FEATURE_H

#include "filter/filter.h"
#include "policy/policy.h"
#include "supervisor/posture.h"
#include "util/error.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;
struct task;

enum verdict_kind {
    VERDICT_NEXT =
        0, /* no opinion: the next feature decides; after the last one the call continues */
    VERDICT_CONTINUE, /* as VERDICT_NEXT; only for decisions on registers or where the kernel judges
                         every value the memory could change to at least as strictly */
    VERDICT_ERRNO,    /* refuse with `error` (positive errno) */
    VERDICT_VALUE,    /* answered on behalf: the call returns `value` */
    VERDICT_TAKEN,    /* the handler (or its worker) answers by itself, exactly once */
};

struct verdict {
    enum verdict_kind kind;
    int error;
    int64_t value;
};

static inline struct verdict verdict_next(void)
{
    return (struct verdict){.kind = VERDICT_NEXT};
}

static inline struct verdict verdict_continue(void)
{
    return (struct verdict){.kind = VERDICT_CONTINUE};
}

static inline struct verdict verdict_errno(int error)
{
    return (struct verdict){.kind = VERDICT_ERRNO, .error = error};
}

static inline struct verdict verdict_value(int64_t value)
{
    return (struct verdict){.kind = VERDICT_VALUE, .value = value};
}

static inline struct verdict verdict_taken(void)
{
    return (struct verdict){.kind = VERDICT_TAKEN};
}

/* What became of a notification. Each owner of a request has one, so that "exactly once" is checked
 * and an owner that ends without an answer answers EIO. */
enum request_fate {
    REQUEST_PENDING = 0,
    REQUEST_ANSWERED,
    REQUEST_HANDED_OVER, /* to a worker or to a copy made by request_detach() */
};

/* A descriptor of the caller's that its handler lacks, where none can be duplicated at once: the call then
 * gets no answer but a restart (supervisor/fetch.h). */
struct fetch_wish {
    bool made;
    int number;
    bool refused; /* nothing duplicates it here: a refusal of the call needs no other reason */
};

/* One received notification on its way to an answer. Owned by the dispatcher, or by the worker that
 * took it, or by whoever detached it. */
struct request {
    struct supervisor *supervisor;
    struct seccomp_notif notification; /* id, pid (a thread id), data.nr, data.args */
    struct task *task;       /* the process record, see task.h; NULL outside the receiver */
    pid_t tgid;              /* the process of the calling thread */
    const struct trap *trap; /* the row that matched */
    void *state;             /* of the feature that owns the row */
    enum request_fate *fate; /* the owner's; NULL in tests of a handler alone */
    struct fetch_wish *wish; /* the owner's; NULL: nothing can be wished for */
    bool *recorded;          /* the owner's: a denial of it was; NULL in tests of a handler alone */
};

typedef struct verdict (*trap_handler)(struct request *request);

struct trap {
    const char *syscall;              /* kernel name; skipped on architectures that lack it */
    const struct filter_rule *passes; /* register conditions under which the call is not trapped */
    size_t pass_count;
    trap_handler handle;
    int detail;     /* free for the handler: which operation, which argument is what */
    bool in_window; /* only while argument 0 is a descriptor of the reserved window; no `passes` */
};

/* Descriptor numbers set aside for what the supervisor injects and wants to recognise by register:
 * never a check, since a member can put any descriptor there. */
struct descriptor_window {
    uint32_t first, last; /* inclusive; first > last: there is none */
};

#define DESCRIPTOR_WINDOW_NONE ((struct descriptor_window){.first = 1, .last = 0})

/* What the supervisor needs in its own domain for a feature, beyond the grants of the policy. */
struct feature_needs {
    const char *const
        *calls; /* system calls the supervisor and its workers make; NULL-terminated */
};

struct network;

struct feature {
    const char *name; /* also the posture entry */

    /* True if this policy needs it. NULL: always, when supervised. `network` as the config names it: for
     * features of that room. */
    bool (*wanted)(const struct policy *policy, const struct network *network);

    /* And the caller has a terminal that members could get hold of (supervisor_config). */
    bool on_terminal;
    /* And members in the background could read it from a session of their own. */
    bool keeps_session;

    const struct trap *traps;
    size_t trap_count;

    struct feature_needs needs;

    /* Where no descriptor of a member can be duplicated most of it works all the same. */
    bool makes_do;

    /* Argument rules of the members' filter that make way for the traps (member_filter_options). */
    bool netlink_view, interface_view;

    /* Before the child exists, outside the supervisor's own confinement. *state is handed to the
     * handlers. NULL: no state. */
    bool (*start)(struct supervisor *supervisor, void **state, struct error *err);

    /* On a worker, for a call that a feature before this one lets pass only there (request_pass_on()): it is
     * about to continue, whatever is found here. May be NULL: such calls are not seen. */
    void (*observe)(const struct request *request);

    /* A process of the sandbox is gone (its pidfd became readable). May be NULL. */
    void (*task_gone)(void *state, struct task *task);

    /* On the loop's thread, at the end, while the loop still exists: cancels the feature's timers.
     * May be NULL. */
    void (*leave_loop)(void *state);

    /* After the last member is gone. May be NULL. Perhaps on another thread, when the loop does not
     * exist any more. */
    void (*stop)(void *state);

    /* The posture entries of the feature when it is on; NULL: one active entry of its name. */
    void (*describe)(const struct policy *policy, struct posture *posture);
};

#endif
