/*
 * The way of a notification: receive, find the process, walk the chain of the features that trap the
 * call, answer once. Nothing here may block. Whatever goes wrong on the way ends in a refusal; the
 * call continues only if a feature that wanted to see it had nothing against it.
 */
#include "supervisor/internal.h"
#include "util/fault.h"

#include "kernel/notify.h"
#include "kernel/sys.h"
#include "supervisor/fault_probe.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* Notifications answered before other descriptors get their turn, and how many of them are received before
 * the first is looked at. */
#define RECEIVE_BATCH 64
#define RECEIVE_AHEAD 16

/* And for so long, in nanoseconds: timers, signals and the end of the run come in between however slow
 * members make each of them. */
#define RECEIVE_TIME 5000000LL

/* A call that takes so long makes others wait, who are received one at a time from then on until none has for a
 * while, and the watch looks more closely: a member that can do it once, by memory that is hard to read for instance,
 * can do it again. */
#define RECEIVE_STALLED 100000000LL
#define STALLS_FOR 10000000000LL

static bool is_passed(const struct chain_link *link, const struct seccomp_data *data)
{
    for (size_t i = 0; i < link->pass_count; i++) {
        uint64_t args[6];
        for (int arg = 0; arg < 6; arg++)
            args[arg] = data->args[arg];
        if (filter_rule_holds(&link->passes[i], args))
            return true;
    }
    return false;
}

static struct verdict judge_by_chain(struct supervisor *supervisor, struct request *request)
{
    const struct seccomp_data *data = &request->notification.data;
    bool asked = false;

    if (data->nr < 0 || data->nr > arch_native->newest)
        return verdict_errno(EIO);
    for (size_t i = supervisor->first_link[data->nr]; i < supervisor->first_link[data->nr + 1];
         i++) {
        const struct chain_link *link = &supervisor->links[i];
        if (is_passed(link, data))
            continue;
        asked = true;
        request->trap = link->trap;
        request->state = link->owner->state;
        struct verdict verdict = link->trap->handle(request);
        if (verdict.kind != VERDICT_NEXT && verdict.kind != VERDICT_CONTINUE)
            return verdict;
        if (*request->fate != REQUEST_PENDING)
            return verdict_taken(); /* it answered and then had no opinion: no second answer */
    }
    /* A notification nobody asked for means that filter and table disagree. */
    return asked ? verdict_continue() : verdict_errno(EIO);
}

void request_pass_on(const struct request *request)
{
    const struct supervisor *supervisor = request->supervisor;
    const struct seccomp_data *data = &request->notification.data;
    size_t end = supervisor->first_link[data->nr + 1];
    size_t i = supervisor->first_link[data->nr];

    while (i < end && supervisor->links[i].trap != request->trap)
        i++;
    for (i++; i < end; i++) {
        const struct chain_link *link = &supervisor->links[i];
        if (link->owner->feature->observe == NULL || is_passed(link, data))
            continue;
        struct request seen = *request;
        seen.trap = link->trap;
        seen.state = link->owner->state;
        link->owner->feature->observe(&seen);
    }
    request_answer_continue(request);
}

static void task_gone(void *data, struct task *task)
{
    struct supervisor *supervisor = data;

    fetcher_forget_process(supervisor->fetcher, task->tgid);
    for (size_t i = 0; i < supervisor->feature_count; i++) {
        struct active_feature *active = &supervisor->features[i];
        if (active->started && active->feature->task_gone != NULL)
            active->feature->task_gone(active->state, task);
    }
}

static void drain_exits(struct supervisor *supervisor)
{
    int result = task_index_drain(supervisor->tasks, task_gone, supervisor);

    if (result < 0 && !supervisor_check_violation(supervisor, result, "epoll_wait"))
        supervisor_fail(supervisor, "watching processes failed: %s", strerror(-result));
}

/* In tests, as if something did not come back. */
static void get_stuck(void)
{
    int64_t begin = fault_is("handler-burns") ? sys_monotonic_ns() : 0;

    while (begin != 0 && sys_monotonic_ns() < begin + 60000000000)
        continue;
    if (fault_is("handler-waits"))
        poll(NULL, 0, 60000);
    if (fault_is("handler-naps")) /* and as if each came back late */
        poll(NULL, 0, 300);
}

static struct verdict judge(struct supervisor *supervisor, struct request *request)
{
    if (request->notification.pid == 0) /* not visible in our pid namespace */
        return verdict_errno(EPERM);
    /* A record that outlived its process since the loop last looked names the same number, which is all
     * that is used of it; only state of a feature behind it would be another's. */
    if (supervisor->features_keep_tasks)
        drain_exits(supervisor);
    if (atomic_load(&supervisor->failed) || !supervisor_keeps_root(supervisor))
        return verdict_errno(EIO);
    /* Members can use up the user's threads. Only a host that may not create any goes unwatched: there the
     * caller supervises, and has no walls either. */
    if (!watch_start(supervisor) && supervisor->config.confined)
        return verdict_errno(EAGAIN);
    supervisor_start_log_writer(supervisor);
    get_stuck();

    int error = EPERM;
    uint64_t known = task_index_last_id(supervisor->tasks);
    request->task = task_index_find(supervisor->tasks, (pid_t)request->notification.pid,
                                    supervisor->listener, request->notification.id, &error);
    if (request->task == NULL) /* ESRCH: gone, or hidden from us; then it must not pass either */
        return verdict_errno(error == ESRCH ? EPERM : error);
    request->tgid = request->task->tgid;
    /* Nobody that was known, so perhaps the listener's number is that of another sandbox by now. */
    if (request->task->id > known && !loop_holds(supervisor->loop))
        return verdict_errno(EIO);

    struct verdict verdict;
    if (supervisor_judge_explained(supervisor, request, &verdict))
        return verdict;
    return judge_by_chain(supervisor, request);
}

static void handle(struct supervisor *supervisor, const struct seccomp_notif *notification)
{
    enum request_fate fate = REQUEST_PENDING;
    struct fetch_wish wish = {.made = false};
    bool recorded = false;
    struct request request = {.supervisor = supervisor,
                              .notification = *notification,
                              .fate = &fate,
                              .wish = &wish,
                              .recorded = &recorded};

    if (fetcher_intercept(supervisor->fetcher, notification))
        return;
    supervisor_watch_begin(supervisor, WATCH_RECEIVER, notification->data.nr);
    fault_misbehave(supervisor, ROLE_SUPERVISOR);
    stats_count(&supervisor->stats, notification->data.nr);
    supervisor_answer(&request, judge(supervisor, &request));
    supervisor_watch_end(supervisor, WATCH_RECEIVER);
}

static void stop_watching(struct supervisor *supervisor)
{
    if (supervisor->listener_watched)
        loop_remove(supervisor->loop, supervisor->listener);
    supervisor->listener_watched = false;
}

/* False: nothing more to receive now. */
static bool receive_one(struct supervisor *supervisor, struct seccomp_notif *notification)
{
    int result = notify_receive(supervisor->listener, notification);

    if (result == -ENOTTY || result == -EBADF)
        loop_lose(supervisor->loop); /* not the answer of a listener: its number is another's */
    if (result < 0 && loop_holds(supervisor->loop) &&
        !supervisor_check_violation(supervisor, result, "ioctl"))
        supervisor_fail(supervisor, "receiving a notification failed: %s", strerror(-result));
    return result > 0;
}

static bool more_are_queued(const struct supervisor *supervisor)
{
    struct pollfd listener = {.fd = supervisor->listener, .events = POLLIN};

    /* A lone process is still busy with the answer it got. The loop's own wait finds the rest. */
    return task_index_count(supervisor->tasks) > 1 && poll(&listener, 1, 0) == 1 &&
           (listener.revents & POLLIN) != 0;
}

/* Until a call is received, a signal can make it fail with EINTR: so where calls wait, more are received ahead
 * before the first is handled. A lone one waits for no look at the others. How many were handled. */
static size_t receive_and_handle(struct supervisor *supervisor, size_t ahead)
{
    struct seccomp_notif notifications[RECEIVE_AHEAD];
    size_t count = 0;

    while (count < ahead && (count == 0 || more_are_queued(supervisor)) &&
           receive_one(supervisor, &notifications[count]))
        count++;
    for (size_t i = 0; i < count; i++) { /* after a failure, too: who is received gets an answer */
        int64_t begin = loop_now();
        atomic_store_explicit(&supervisor->received_ahead, count - i - 1, memory_order_relaxed);
        handle(supervisor, &notifications[i]);
        int64_t end = loop_now();
        if (end - begin > RECEIVE_STALLED)
            atomic_store(&supervisor->stalls_until, end + STALLS_FOR);
    }
    return count;
}

/* Before the first verdict, which most runs never need: see grants_resolve(). */
static bool name_grants(struct supervisor *supervisor)
{
    struct grants *grants = supervisor->config.grants;
    int result = FAULT_OR("grants-resolve", -EIO, grants == NULL ? 0 : grants_resolve(grants));

    if (result < 0)
        supervisor_fail(supervisor, "names of the grants: %s", strerror(-result));
    supervisor->grants_named = result == 0;
    return supervisor->grants_named;
}

/* While the guardian ends, which takes longer. With the listener goes the filter, and the kernel frees its
 * code on this CPU at once, in front of whatever comes next. */
static void end_idle(struct supervisor *supervisor)
{
    if (supervisor->grants_named) /* a call was received: perhaps a worker still answers */
        return;
    fd_close(supervisor->listener);
    supervisor->listener = -1;
    if (supervisor->on_idle_end != NULL)
        supervisor->on_idle_end(supervisor->on_idle_end_data);
}

void dispatch_on_listener(void *data, short revents)
{
    struct supervisor *supervisor = data;

    if ((revents & POLLIN) == 0) {
        stop_watching(supervisor); /* POLLHUP alone: no task uses the filter any more */
        if ((revents & (POLLERR | POLLNVAL)) != 0)
            supervisor_fail(supervisor, "the notification descriptor is not usable");
        else
            end_idle(supervisor);
        return;
    }
    /* The first: looks at more descriptors than its own. */
    if (!supervisor->grants_named && !loop_holds(supervisor->loop))
        return;
    if (!supervisor->grants_named && !name_grants(supervisor)) {
        stop_watching(supervisor);
        return;
    }
    if (!supervisor->filter_entered && supervisor_enter_filter(supervisor) < 0) {
        stop_watching(supervisor); /* nothing of a member's is parsed without the wall */
        return;
    }
    int64_t begin = loop_now();
    for (size_t all = 0; all < RECEIVE_BATCH && !atomic_load(&supervisor->failed);) {
        bool alone = all == 0 || begin < atomic_load(&supervisor->stalls_until);
        size_t received = receive_and_handle(supervisor, alone ? 1 : RECEIVE_AHEAD);
        all += received;
        if (received == 0 || !more_are_queued(supervisor) || loop_now() - begin > RECEIVE_TIME)
            break;
    }
    if (atomic_load(&supervisor->failed))
        stop_watching(supervisor);
}

void dispatch_on_exits(void *data, short revents)
{
    drain_exits(data);
}
