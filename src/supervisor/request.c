/*
 * Answers, and requests that outlive the dispatcher's look at them. A request is answered exactly
 * once: the first answer marks the owner's fate, later ones are dropped, and an owner that ends
 * without an answer answers EIO.
 */
#include "supervisor/internal.h"

#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "kernel/task_memory.h"
#include "supervisor/fault_probe.h"
#include "supervisor/wall.h"
#include "util/fault.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool request_is_valid(const struct request *request)
{
    int result = notify_check_id(request->supervisor->listener, request->notification.id);

    supervisor_check_violation(request->supervisor, result, "ioctl");
    return result == 0;
}

/* True if the caller is the one that answers. */
static bool claim_answer(const struct request *request)
{
    if (request->fate == NULL)
        return true;
    if (*request->fate != REQUEST_PENDING)
        return false;
    *request->fate = REQUEST_ANSWERED;
    return true;
}

/* What was fetched for this call has served. */
static void clear_fetched(const struct request *request)
{
    if (request->supervisor->fetcher != NULL)
        fetcher_forget(request->supervisor->fetcher, (pid_t)request->notification.pid);
}

static bool wishes(const struct request *request)
{
    return request->wish != NULL && request->wish->made;
}

/* True: the call comes again, with the descriptor that its handler lacked. */
static bool fetch_instead(const struct request *request)
{
    if (!wishes(request) || request->fate == NULL || *request->fate != REQUEST_PENDING ||
        !fetcher_take(request->supervisor->fetcher, request, request->wish->number))
        return false;
    *request->fate = REQUEST_HANDED_OVER;
    return true;
}

/* -ENOENT: the task died, or a signal interrupted the call and it will come again. */
static void check_sent(const struct request *request, int result)
{
    if (result == 0 || result == -ENOENT)
        return;
    if (!supervisor_check_violation(request->supervisor, result, "ioctl"))
        supervisor_fail(request->supervisor, "answering a notification failed: %s",
                        strerror(-result));
}

/* The feature that traps the call. */
static const struct feature *feature_of(const struct request *request)
{
    const struct supervisor *supervisor = request->supervisor;

    for (size_t i = 0; i < supervisor->trap_count; i++) {
        if (supervisor->links[i].trap == request->trap)
            return supervisor->links[i].owner->feature;
    }
    return NULL;
}

static const char *layer_of(const struct request *request)
{
    const struct feature *feature = feature_of(request);

    return feature == NULL ? "supervisor" : feature->name;
}

/* Where no way leads to a descriptor of the caller's, only doing without the feature helps. */
static void record_unfetched(const struct request *request, int error)
{
    const struct feature *feature = feature_of(request);
    const char *name = feature == NULL ? NULL : supervisor_switch_for(request->supervisor, feature);
    char object[64], suggest[64];

    snprintf(object, sizeof(object), "descriptor %d",
             (int)(uint32_t)request->notification.data.args[0]);
    snprintf(suggest, sizeof(suggest), "--without %s", name == NULL ? "" : name);
    request_record_denial(request, object, "use", error, layer_of(request), SUPERVISOR_UNFETCHED,
                          name == NULL ? NULL : suggest);
}

static const char *reason_unreadable(const struct request *request)
{
    char status[512]; /* its first lines */
    uint64_t uid;

    ssize_t length = procfs_read(request->supervisor->proc_fd, (pid_t)request->notification.pid,
                                 "status", status, sizeof(status));
    if (length > 0 && procfs_status_number(status, "Uid", 10, &uid) && uid != getuid())
        return "the process cannot be looked at: it has become another user, and sandlock may not "
               "look at those of others (CAP_SYS_PTRACE)";
    return "the process cannot be looked at: its program is not readable";
}

/* A refusal that no handler has explained may be one of looking at the caller: nothing can be read of a
 * process whose program may be executed, but not read (ptrace(2), PR_SET_DUMPABLE in prctl(2)). */
static void record_unreadable(const struct request *request, int error)
{
    bool unfetched = request->wish != NULL && request->wish->refused;
    char byte;

    if ((error != EPERM && error != EACCES && !(unfetched && error == ENOSYS)) ||
        request->trap == NULL || request->recorded == NULL || *request->recorded)
        return;
    /* The right is asked for before the address, where nothing is. */
    ssize_t result = task_memory_read((pid_t)request->notification.pid, 1, &byte, sizeof(byte));
    if ((result == -EPERM || result == -EACCES) && request_is_valid(request))
        request_record_denial(request, NULL, "call", error, layer_of(request),
                              reason_unreadable(request), NULL);
    else if (unfetched)
        record_unfetched(request, error);
}

void request_answer_errno(const struct request *request, int error)
{
    struct supervisor *supervisor = request->supervisor;

    if (error != ENOTRECOVERABLE && fetch_instead(request))
        return;
    if (!claim_answer(request))
        return;
    clear_fetched(request);
    record_unreadable(request, error);
    /* Such an answer comes from a call of our own, whose number no errno can carry. */
    if (error == ENOTRECOVERABLE)
        supervisor_fail(supervisor,
                        "the %s made a system call outside its list while it handled %s (%d)",
                        supervisor_role_here(supervisor),
                        arch_syscall_name(arch_native, request->notification.data.nr),
                        request->notification.data.nr);
    atomic_fetch_add_explicit(&supervisor->stats.refused, 1, memory_order_relaxed);
    check_sent(request, notify_error(supervisor->listener, request->notification.id, error));
}

void request_answer_value(const struct request *request, int64_t value)
{
    if (value < 0 && value >= -4095) {
        request_answer_errno(request, (int)-value);
        return;
    }
    if (!claim_answer(request))
        return;
    clear_fetched(request);
    check_sent(request,
               notify_value(request->supervisor->listener, request->notification.id, value));
}

void request_answer_continue(const struct request *request)
{
    if (fetch_instead(request) || !claim_answer(request))
        return;
    clear_fetched(request);
    check_sent(request, notify_continue(request->supervisor->listener, request->notification.id));
}

void supervisor_answer(const struct request *request, struct verdict verdict)
{
    switch (verdict.kind) {
    case VERDICT_NEXT:
    case VERDICT_CONTINUE:
        request_answer_continue(request);
        return;
    case VERDICT_VALUE:
        request_answer_value(request, verdict.value);
        return;
    case VERDICT_ERRNO:
        request_answer_errno(request, verdict.error);
        return;
    case VERDICT_TAKEN:
        break;
    }
    /* Taken, but neither answered nor given to a new owner: nobody would ever answer. */
    if (*request->fate == REQUEST_PENDING)
        request_answer_errno(request, EIO);
}

int request_answer_fd(const struct request *request, int fd, int at, bool close_on_exec)
{
    int listener = request->supervisor->listener;
    uint64_t id = request->notification.id;

    if (request->fate != NULL && *request->fate != REQUEST_PENDING)
        return -EIO;
    int number = at < 0 ? notify_answer_fd(listener, id, fd, close_on_exec)
                        : notify_answer_fd_at(listener, id, fd, at, close_on_exec);
    supervisor_check_violation(request->supervisor, number, "ioctl");
    if (number >= 0) {
        claim_answer(request);
        clear_fetched(request);
    }
    return number;
}

/* ---- Copies ------------------------------------------------------------------------------------ */

struct owned_request {
    struct request request; /* first: request_drop() gets its address */
    enum request_fate fate;
    struct fetch_wish wish;
    bool recorded;
    void (*work)(const struct request *request, void *data);
    struct verdict (*judge)(const struct request *request, void *data); /* instead of `work` */
    struct verdict verdict;
    void (*release)(void *data);
    void *data;
};

static struct owned_request *copy_request(const struct request *request)
{
    struct owned_request *copy = calloc(1, sizeof(*copy));

    if (copy == NULL)
        return NULL;
    copy->request = *request;
    copy->request.task = NULL; /* the index belongs to the receiving thread */
    copy->request.fate = &copy->fate;
    copy->request.wish = &copy->wish;
    copy->request.recorded = &copy->recorded;
    return copy;
}

static void hand_over(const struct request *request)
{
    if (request->fate != NULL)
        *request->fate = REQUEST_HANDED_OVER;
}

struct request *request_detach(const struct request *request)
{
    struct owned_request *copy = copy_request(request);

    if (copy == NULL)
        return NULL;
    hand_over(request);
    clear_fetched(request); /* who keeps the call has its descriptor */
    return &copy->request;
}

void request_drop(struct request *request)
{
    if (request == NULL)
        return;
    request_answer_errno(request, EIO); /* dropped if there was an answer */
    free(request);
}

/* ---- Workers ----------------------------------------------------------------------------------- */

static void run_job(void *job, bool usable)
{
    struct owned_request *owned = job;

    if (usable)
        fault_misbehave(owned->request.supervisor, ROLE_WORKER);
    usable = usable && supervisor_keeps_root(owned->request.supervisor);
    if (usable && owned->judge != NULL)
        owned->verdict = owned->judge(&owned->request, owned->data);
    else if (usable)
        owned->work(&owned->request, owned->data);
    if (owned->release != NULL)
        owned->release(owned->data);
}

static void finish_job(void *job)
{
    struct owned_request *owned = job;

    if (owned->judge != NULL)
        supervisor_answer(&owned->request, owned->verdict);
    request_drop(&owned->request);
}

static void run_whole_job(void *job, bool usable)
{
    run_job(job, usable);
    finish_job(job);
}

static bool enter_worker(void *data)
{
    struct supervisor *supervisor = data;

    fd_guard_thread(supervisor->guard);
    if (!supervisor->config.confined)
        return true;
    struct wall_options options = {.role = ROLE_WORKER,
                                   .violation = supervisor->config.violation,
                                   .features = supervisor->wanted,
                                   .privileged = supervisor->privileged};
    struct bpf_program program = {0};
    struct error err = {0};
    if (!wall_program(&options, &program, &err)) {
        supervisor_fail(supervisor, "worker filter: %s", err.text);
        return false;
    }
    int result = FAULT_OR("worker-filter", -EIO, wall_install(&program));
    bpf_program_free(&program);
    if (result < 0)
        supervisor_fail(supervisor, "installing the worker filter failed: %s", strerror(-result));
    return result == 0;
}

static void give_back_borrowed(void *data)
{
    supervisor_give_back_borrowed(data);
}

/* After supervisor_leave() everything stays: who holds the handle still reads what happened. */
static void destroy_left_behind(void *data)
{
    struct supervisor *supervisor = data;

    if (!supervisor->left)
        supervisor_destroy(supervisor);
}

/* The pool is made with the first job: most runs never need it, and every watched descriptor makes
 * each wait of the loop a little longer. */
bool supervisor_make_workers(struct supervisor *supervisor)
{
    if (supervisor->workers != NULL)
        return true;
    struct workers_hooks hooks = {
        .enter = enter_worker,
        .leaving_behind = give_back_borrowed,
        .last_left = destroy_left_behind,
        .data = supervisor,
    };

    supervisor->workers = workers_new(&hooks);
    if (supervisor->workers == NULL)
        return false;
    if (!loop_add_quiet(supervisor->loop, supervisor->wake_fd, POLLIN, supervisor_on_wake,
                        supervisor)) {
        workers_free(supervisor->workers);
        supervisor->workers = NULL;
    }
    return supervisor->workers != NULL;
}

/* `job` tells what is to be done. */
static bool submit(const struct request *request, const struct owned_request *job, bool or_here)
{
    struct supervisor *supervisor = request->supervisor;

    if (!supervisor_make_workers(supervisor))
        return false;
    struct owned_request *copy = copy_request(request);
    if (copy == NULL)
        return false;
    copy->work = job->work;
    copy->judge = job->judge;
    copy->verdict = verdict_errno(EIO);
    copy->data = job->data;
    copy->release = job->release;
    bool taken = job->judge == NULL
                     ? workers_submit(supervisor->workers, run_whole_job, copy)
                     : workers_submit_in_two(supervisor->workers, run_job, finish_job, copy);
    if (!taken && !(or_here && workers_are_none(supervisor->workers))) {
        free(copy);
        return false;
    }
    hand_over(request);
    if (taken)
        atomic_fetch_add_explicit(&supervisor->stats.worker_jobs, 1, memory_order_relaxed);
    else
        run_whole_job(copy, true);
    return true;
}

bool request_submit(const struct request *request,
                    void (*work)(const struct request *request, void *data), void *data,
                    void (*release)(void *data))
{
    struct owned_request job = {.work = work, .data = data, .release = release};

    return submit(request, &job, false);
}

bool request_perform(const struct request *request,
                     void (*work)(const struct request *request, void *data), void *data,
                     void (*release)(void *data))
{
    struct owned_request job = {.work = work, .data = data, .release = release};

    return submit(request, &job, true);
}

bool request_perform_judge(const struct request *request,
                           struct verdict (*judge)(const struct request *request, void *data),
                           void *data, void (*release)(void *data))
{
    struct owned_request job = {.judge = judge, .data = data, .release = release};

    return submit(request, &job, true);
}

bool request_would_wait(const struct request *request)
{
    struct workers *workers = request->supervisor->workers;

    return fault_is("workers-busy") || (workers != NULL && workers_are_busy(workers));
}

void request_job_stays(const struct request *request)
{
    workers_one_stays(request->supervisor->workers);
}

/* ---- Denials ----------------------------------------------------------------------------------- */

/* The command's name, for people. Read by number, so believed only if the caller still waits. */
static void read_comm(const struct request *request, char comm[16])
{
    pid_t pid = request->tgid > 0 ? request->tgid : (pid_t)request->notification.pid;
    ssize_t length = procfs_read(request->supervisor->proc_fd, pid, "comm", comm, 16);

    supervisor_check_violation(request->supervisor, length, "openat");
    if (length > 0 && comm[length - 1] == '\n')
        length--;
    comm[length > 0 && request_is_valid(request) ? length : 0] = '\0';
}

static const char *call_name(const struct request *request)
{
    const char *name = arch_syscall_name(arch_native, request->notification.data.nr);

    return name == NULL ? "unknown system call" : name;
}

/* With the lock of what is borrowed held. */
static void record(const struct request *request, struct denial *denial)
{
    struct denial_log *log = request->supervisor->config.denials;
    bool told_of_each = denial_log_has_sink(log);

    denial->pid = request->tgid > 0 ? request->tgid : (pid_t)request->notification.pid;
    if (told_of_each)
        read_comm(request, denial->comm);
    if (denial_log_merge(log, denial))
        return;
    if (!told_of_each)
        read_comm(request, denial->comm);
    denial_log_add(log, denial);
}

static void write_log(void *job, bool usable)
{
    struct denial_log *log = job;

    if (usable)
        denial_log_write_out(log);
    denial_log_free(log); /* this share of it */
}

void supervisor_start_log_writer(struct supervisor *supervisor)
{
    struct denial_log *log = supervisor->config.denials;

    if (supervisor->log_writer_considered)
        return;
    supervisor->log_writer_considered = true;
    if (!denial_log_has_sink(log) || !supervisor_make_workers(supervisor))
        return;
    if (!workers_submit_staying(supervisor->workers, write_log, denial_log_share(log)))
        denial_log_free(log);
}

static void note_recorded(const struct request *request)
{
    if (request->recorded != NULL)
        *request->recorded = true;
}

/* Where that is refused nothing is seen to be covered, also what a grant does cover. */
static bool lacks_openat2(const char *layer)
{
    return feature_needs_call(layer, PROBE_OPENAT2) && !probe_has_call(PROBE_OPENAT2);
}

void request_record_denial(const struct request *request, const char *object, const char *want,
                           int error, const char *layer, const char *rule, const char *suggest)
{
    struct supervisor *supervisor = request->supervisor;
    struct denial denial = {
        .call = call_name(request),
        .object = (char *)object, /* copied, not changed */
        .want = want,
        .error = error,
        .layer = layer,
        .rule = rule == NULL && lacks_openat2(layer) ? "openat2 is refused here" : rule,
        .suggest = (char *)suggest,
    };

    if (wishes(request)) /* no answer yet */
        return;
    note_recorded(request);
    pthread_mutex_lock(&supervisor->borrowed_lock);
    record(request, &denial);
    pthread_mutex_unlock(&supervisor->borrowed_lock);
}

static void write_out_and_record(const struct request *request, const struct denial_key *key,
                                 const char *rule)
{
    struct denial_log *log = request->supervisor->config.denials;
    char object[64];
    struct denial denial = {
        .call = key->call,
        .object = object,
        .want = key->want,
        .error = key->error,
        .layer = key->layer,
        .rule = rule,
    };

    snprintf(object, sizeof(object), "%s %lld", key->kind, (long long)key->number);
    record(request, &denial);
    denial_log_set_key(log, &denial, key);
}

void request_record_numbered_denial(const struct request *request, const char *kind, int64_t number,
                                    const char *want, int error, const char *layer,
                                    const char *rule)
{
    struct supervisor *supervisor = request->supervisor;
    struct denial_key key = {.call = call_name(request),
                             .kind = kind,
                             .want = want,
                             .layer = layer,
                             .number = number,
                             .error = error};

    if (wishes(request))
        return;
    note_recorded(request);
    pthread_mutex_lock(&supervisor->borrowed_lock);
    if (!denial_log_merge_key(supervisor->config.denials, &key))
        write_out_and_record(request, &key, rule);
    pthread_mutex_unlock(&supervisor->borrowed_lock);
}
