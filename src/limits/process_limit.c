/*
 * process-limit: at most N live processes, the first one included; threads and zombies do not count.
 * Fork-like calls are trapped, waits and exits are not: no number is kept of who is alive. `used` is
 * an upper bound that grows with every permission; when it reaches the limit, the tree below the
 * guardian is counted, and only that count refuses.
 *
 * The notification is answered by CONTINUE, since clone's flags are registers. Whether and when the
 * fork then happens is known from evidence alone (fork_ledger.h); until it is known, the permission
 * counts as a process. A call that cannot be decided yet waits some milliseconds, and so does a
 * refusal: the process whose end the caller has just seen or caused must not be in its way.
 */
#include "limits/limits.h"

#include "kernel/process_tree.h"
#include "limits/fork_ledger.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LAYER "process-limit"

#define MILLISECOND 1000000LL

/* How long a call may wait for what is not known, and at least waits before it is refused. */
#define UNKNOWN_PATIENCE (20 * MILLISECOND)
#define REFUSAL_PATIENCE (5 * MILLISECOND)

/* Between two counts on behalf of waiting calls; never less than the last count took, so that a fork
 * storm cannot keep the receiving thread busy with counting. */
#define COUNT_INTERVAL (MILLISECOND / 4)

/* How often a count looks at most. */
#define LOOKS_MAX 4

/* Calls that wait; one per thread of the sandbox can come. */
#define WAITING_MAX 4096

struct waiting_call {
    struct request *request; /* owned */
    int64_t since;
    struct waiting_call *next;
};

struct limit {
    struct supervisor *supervisor;
    int proc_fd; /* borrowed */
    size_t maximum;
    size_t used; /* upper bound of processes alive and permissions not settled */
    struct process_tree tree;
    bool forgot; /* the tree is made anew, and not known who has forked */
    struct fork_ledger ledger;

    struct waiting_call *first, **last;
    size_t waiting;
    int timer;          /* 0: none */
    int64_t not_before; /* the next count */
};

static bool limit_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return policy->max_processes > 0;
}

static bool limit_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct limit *limit;
    pid_t child;
    int proc_fd = supervisor_proc_fd(supervisor);

    ssize_t result = procfs_children(proc_fd, getpid(), &child, 1);
    if (result < 0)
        return error_runtime(err, (int)-result,
                             "the process limit needs /proc/<pid>/task/<tid>/children");
    limit = calloc(1, sizeof(*limit));
    if (limit == NULL)
        return error_runtime(err, ENOMEM, "process limit");
    limit->supervisor = supervisor;
    limit->proc_fd = proc_fd;
    limit->maximum = supervisor_policy(supervisor)->max_processes;
    limit->used = 1; /* the first process */
    limit->last = &limit->first;
    *state = limit;
    return true;
}

static struct waiting_call *take_first(struct limit *limit)
{
    struct waiting_call *call = limit->first;

    limit->first = call->next;
    if (limit->first == NULL)
        limit->last = &limit->first;
    limit->waiting--;
    return call;
}

static void limit_leave_loop(void *state)
{
    struct limit *limit = state;

    loop_timer_cancel(supervisor_loop(limit->supervisor), limit->timer);
    limit->timer = 0;
}

static void limit_stop(void *state)
{
    struct limit *limit = state;

    if (limit == NULL)
        return;
    while (limit->first != NULL) {
        struct waiting_call *call = take_first(limit);
        request_drop(call->request);
        free(call);
    }
    process_tree_free(&limit->tree);
    fork_ledger_free(&limit->ledger);
    free(limit);
}

/* ---- Counting ------------------------------------------------------------------------------------- */

/* Looks until everyone is found who was there at the beginning and still is, at most LOOKS_MAX times. False:
 * who changed its parent during the walk may have been missed. */
static bool look_at_members(struct limit *limit, size_t unsettled)
{
    struct process_tree *tree = &limit->tree;
    pid_t guardian = supervisor_guardian(limit->supervisor);
    ssize_t added = 1;
    bool in_doubt = true;

    for (int i = 0; i < LOOKS_MAX && added >= 0; i++) {
        bool first = i == 0 || limit->forgot;
        if (first)
            tree->in_doubt = false;
        added = process_tree_refresh(tree, limit->proc_fd, guardian);
        if (added < 0)
            break;
        /* Later looks answer the first one's doubt and have none of their own. */
        in_doubt = (first || in_doubt) && tree->in_doubt;
        if (limit->forgot && i == 0) {
            for (size_t k = 0; k < tree->count; k++)
                tree->entries[k].forked = true;
            in_doubt = true;
            continue;
        }
        limit->forgot = false;
        limit->used = process_tree_count_alive(tree) + unsettled;
        if (limit->used >= limit->maximum || (added == 0 && !in_doubt))
            break;
    }
    if (added < 0) {
        supervisor_check_violation(limit->supervisor, added, "openat");
        process_tree_free(tree);
        limit->forgot = true;
    }
    return added >= 0 && !in_doubt;
}

/* Sets `used` from /proc. What cannot be counted is at the limit. Returns the number of permissions
 * that are not settled. */
static size_t recount(struct limit *limit)
{
    int64_t begin = loop_now();

    /* First the evidence, then the count: a child of a settled permission is counted. */
    size_t unsettled = fork_ledger_settle(&limit->ledger, limit->proc_fd);
    if (!look_at_members(limit, unsettled) && limit->used < limit->maximum)
        limit->used = limit->maximum;
    int64_t end = loop_now();
    int64_t pause = end - begin > COUNT_INTERVAL ? end - begin : COUNT_INTERVAL;
    limit->not_before = end + pause;
    return unsettled;
}

/* The permission, except for the answer. 0, or -errno: not even a reservation can be made (-EAGAIN: the limit
 * is reached after all). */
static int permit(struct limit *limit, const struct request *request)
{
    pid_t tid = (pid_t)request->notification.pid;
    int noted = process_tree_note_fork(&limit->tree, limit->proc_fd, request->tgid);

    if (noted == -E2BIG) { /* full of processes that have ended */
        recount(limit);
        if (limit->used >= limit->maximum)
            return -EAGAIN;
        noted = process_tree_note_fork(&limit->tree, limit->proc_fd, request->tgid);
    }
    if (noted == 0)
        noted = fork_ledger_reserve(&limit->ledger, limit->proc_fd, tid, request->tgid);
    if (noted == 0)
        limit->used++;
    return noted;
}

static void record(const struct limit *limit, const struct request *request)
{
    char rule[48], suggest[48];

    snprintf(rule, sizeof(rule), "at most %zu process%s", limit->maximum,
             limit->maximum == 1 ? "" : "es");
    snprintf(suggest, sizeof(suggest), "--max-processes %zu", limit->maximum + 1);
    request_record_denial(request, NULL, "create", EAGAIN, LAYER, rule, suggest);
}

/* The call waits for its answer, so whoever seems to be gone is hidden. */
static void record_hidden(const struct request *request)
{
    if (request_is_valid(request))
        request_record_denial(request, NULL, "create", EAGAIN, LAYER,
                              "/proc hides the process (hidepid): its program is not readable",
                              NULL);
}

/* ---- Calls that wait ------------------------------------------------------------------------------ */

static void on_timer(void *data);

static void arm(struct limit *limit)
{
    if (limit->first != NULL && limit->timer == 0)
        limit->timer =
            loop_timer_add(supervisor_loop(limit->supervisor), limit->not_before, on_timer, limit);
}

/* True if the call was answered. */
static bool decide(struct limit *limit, const struct waiting_call *call, size_t unsettled,
                   int64_t now)
{
    const struct request *request = call->request;

    if (!request_is_valid(request)) {
        request_answer_errno(request, EAGAIN); /* heard by nobody */
        return true;
    }
    int permitted = limit->used < limit->maximum ? permit(limit, request) : -EAGAIN;
    if (permitted == 0) {
        request_answer_continue(request);
        return true;
    }
    int64_t patience = unsettled > 0 ? UNKNOWN_PATIENCE : REFUSAL_PATIENCE;
    if (now - call->since < patience)
        return false;
    if (permitted == -ESRCH)
        record_hidden(request);
    else
        record(limit, request);
    request_answer_errno(request, EAGAIN);
    return true;
}

/* In the order of arrival. Whoever must wait goes on waiting behind nobody new. */
static void serve_waiting(struct limit *limit)
{
    size_t unsettled = recount(limit);
    int64_t now = loop_now();
    size_t count = limit->waiting;

    for (size_t i = 0; i < count && limit->first != NULL; i++) {
        struct waiting_call *call = take_first(limit);
        if (decide(limit, call, unsettled, now)) {
            request_drop(call->request);
            free(call);
            continue;
        }
        call->next = NULL;
        *limit->last = call;
        limit->last = &call->next;
        limit->waiting++;
    }
}

static void on_timer(void *data)
{
    struct limit *limit = data;

    limit->timer = 0;
    serve_waiting(limit);
    arm(limit);
}

static struct verdict wait_for_room(struct limit *limit, struct request *request)
{
    struct waiting_call *call;

    if (limit->waiting >= WAITING_MAX)
        return verdict_errno(EAGAIN);
    call = calloc(1, sizeof(*call));
    if (call == NULL)
        return verdict_errno(EAGAIN);
    call->since = loop_now();
    call->request = request_detach(request);
    if (call->request == NULL) {
        free(call);
        return verdict_errno(EAGAIN);
    }
    *limit->last = call;
    limit->last = &call->next;
    limit->waiting++;
    arm(limit);
    if (limit->timer == 0) /* out of memory: nobody would come back to it */
        serve_waiting(limit);
    return verdict_taken();
}

/* ---- The trap ------------------------------------------------------------------------------------- */

static struct verdict on_fork(struct request *request)
{
    struct limit *limit = request->state;

    /* Also the same call come again, because a signal was pending when the fork began: its earlier
     * permission has made no process. */
    fork_ledger_settle_thread(&limit->ledger, (pid_t)request->notification.pid);
    if (limit->used >= limit->maximum && limit->first == NULL && loop_now() >= limit->not_before)
        recount(limit);
    if (limit->used >= limit->maximum || limit->first != NULL)
        return wait_for_room(limit, request);
    int permitted = permit(limit, request);
    if (permitted == -ESRCH)
        record_hidden(request);
    return permitted == 0 ? verdict_next() : verdict_errno(EAGAIN);
}

static const struct filter_rule threads[] = {
    {.test_count = 1, .tests = {{.arg = 0, .op = ARG_ANY_BIT, .mask = CLONE_THREAD}}},
};

static const struct trap traps[] = {
    {.syscall = "clone", .passes = threads, .pass_count = 1, .handle = on_fork},
    {.syscall = "fork", .handle = on_fork},
    {.syscall = "vfork", .handle = on_fork},
};

const struct feature feature_process_limit = {
    .name = LAYER,
    .wanted = limit_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .start = limit_start,
    .leave_loop = limit_leave_loop,
    .stop = limit_stop,
};
