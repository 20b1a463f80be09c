/*
 * Fetching: see fetch.h and kernel/fetch.h. One fetch at a time is under way, the others wait in line with
 * their notifications unanswered.
 */
#include "supervisor/fetch.h"

#include "supervisor/fetch_queue.h"
#include "supervisor/fetch_store.h"
#include "supervisor/internal.h"

#include "kernel/fetch.h"
#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define STORED_NS 1000000000LL

/* A guardian that has not come back by then waits for what no member should be able to make it wait for. */
#define GUARDIAN_PATIENCE 10000000000LL

struct fetcher {
    struct supervisor *supervisor;
    int report_fd; /* eventfd: the guardian reported, or a worker brought a job */
    bool watched;

    /* The loop's thread alone. */
    struct fetch_mailbox *box;
    int guardian_pidfd; /* borrowed */
    struct fetch_job *current;
    int channel;        /* our end; -1: the caller has none yet */
    int placed;         /* the number of the other one in the caller's table */
    uint64_t inode;     /* of the other one */
    bool let_through;   /* the injected call has passed */
    int patience, tidy; /* timers, 0: none */

    /* Both have locks of their own. */
    struct fetch_queue queue;
    struct fetch_store store;
};

struct fetcher *fetcher_new(struct supervisor *supervisor)
{
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));

    if (fetcher == NULL)
        return NULL;
    fetcher->supervisor = supervisor;
    fetcher->channel = fetcher->guardian_pidfd = -1;
    fetcher->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fetcher->report_fd < 0) {
        free(fetcher);
        return NULL;
    }
    fetch_queue_init(&fetcher->queue);
    fetch_store_init(&fetcher->store);
    return fetcher;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    fetch_queue_free(&fetcher->queue);
    fetch_store_free(&fetcher->store);
    free(fetcher->current);
    fd_close(fetcher->channel);
    fd_close(fetcher->report_fd);
    free(fetcher);
}

int fetcher_report_fd(const struct fetcher *fetcher)
{
    return fetcher == NULL ? -1 : fetcher->report_fd;
}

/* ---- What was fetched ---------------------------------------------------------------------------- */

static void close_file(void *job, bool usable)
{
    int *fd = job;

    (void)usable;
    close(*fd);
    free(fd);
}

/* On the loop's thread, which makes the workers. */
static void close_files(struct fetcher *fetcher)
{
    int files[FETCH_STORE_MAX];
    unsigned count = fetch_store_take_files(&fetcher->store, files);

    for (unsigned i = 0; i < count; i++) {
        int *job = malloc(sizeof(*job));
        if (job != NULL)
            *job = files[i];
        if (job == NULL || !supervisor_make_workers(fetcher->supervisor) ||
            !workers_submit(fetcher->supervisor->workers, close_file, job)) {
            free(job);
            close(files[i]);
        }
    }
}

static bool is_on_loop(const struct fetcher *fetcher)
{
    return pthread_equal(pthread_self(), fetcher->supervisor->loop_thread);
}

static void wake_loop(struct fetcher *fetcher)
{
    uint64_t one = 1;

    if (write(fetcher->report_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        supervisor_fail(fetcher->supervisor, "waking the supervisor failed: %s", strerror(errno));
}

static void drop_those(struct fetcher *fetcher, pid_t tid, pid_t tgid, int64_t now)
{
    if (fetcher == NULL || !fetch_store_drop(&fetcher->store, tid, tgid, now))
        return;
    if (is_on_loop(fetcher))
        close_files(fetcher);
    else
        wake_loop(fetcher);
}

void fetcher_forget(struct fetcher *fetcher, pid_t tid)
{
    drop_those(fetcher, tid, 0, 0);
}

void fetcher_forget_process(struct fetcher *fetcher, pid_t tgid)
{
    drop_those(fetcher, 0, tgid, 0);
    if (fetcher != NULL)
        fetch_queue_forgive(&fetcher->queue, tgid);
}

static void tidy(void *data)
{
    struct fetcher *fetcher = data;

    fetcher->tidy = 0;
    drop_those(fetcher, 0, 0, loop_now());
    if (!fetch_store_is_empty(&fetcher->store))
        fetcher->tidy =
            loop_timer_add(fetcher->supervisor->loop, loop_now() + STORED_NS, tidy, fetcher);
}

/* Takes `fd`. */
static void store(struct fetcher *fetcher, const struct fetch_job *job, int fd)
{
    const struct fetch_key key = {.tid = (pid_t)job->notification.pid,
                                  .tgid = job->tgid,
                                  .data = job->notification.data,
                                  .number = job->number};

    fetch_store_put(&fetcher->store, &key, fd, loop_now() + STORED_NS);
    if (fetcher->tidy == 0)
        fetcher->tidy =
            loop_timer_add(fetcher->supervisor->loop, loop_now() + STORED_NS, tidy, fetcher);
}

bool supervisor_fetches(const struct supervisor *supervisor)
{
    return supervisor->fetcher != NULL;
}

int request_fetched_fd(const struct request *request, int number)
{
    struct fetcher *fetcher = request->supervisor->fetcher;
    int fd = -1;

    if (number < 0)
        return -EBADF;
    if (fetcher == NULL || request->wish == NULL)
        return -EPERM;
    const struct fetch_key key = {.tid = (pid_t)request->notification.pid,
                                  .tgid = request->tgid,
                                  .data = request->notification.data,
                                  .number = number};
    int result = fetch_store_find(&fetcher->store, &key, &fd);
    if (result == 0)
        return fd;
    if (result > 0)
        *request->wish = (struct fetch_wish){.made = true, .number = number};
    return -EPERM;
}

void request_take_back_wish(const struct request *request)
{
    if (request->wish != NULL)
        request->wish->made = request->wish->refused = false;
}

/* ---- The line ------------------------------------------------------------------------------------ */

static void start_next(struct fetcher *fetcher);

static void check_sent(struct fetcher *fetcher, int result)
{
    if (result < 0 && result != -ENOENT &&
        !supervisor_check_violation(fetcher->supervisor, result, "ioctl"))
        supervisor_fail(fetcher->supervisor, "answering a notification failed: %s",
                        strerror(-result));
}

static void answer_errno(struct fetcher *fetcher, const struct seccomp_notif *notification,
                         int error)
{
    check_sent(fetcher, notify_error(fetcher->supervisor->listener, notification->id, error));
}

/* The process cannot be stopped or traced. No handler will see the call, which says why. */
static void refuse(struct fetcher *fetcher, const struct fetch_job *job, int error)
{
    const struct request request = {
        .supervisor = fetcher->supervisor, .notification = job->notification, .tgid = job->tgid};
    char object[32];

    snprintf(object, sizeof(object), "descriptor %d", job->number);
    request_record_denial(&request, object, "use", error, "supervisor",
                          "the process cannot be stopped or traced to fetch its descriptor", NULL);
    answer_errno(fetcher, &job->notification, error);
}

static void shun(struct fetcher *fetcher, pid_t tgid)
{
    struct fetch_job *job = fetch_queue_shun(&fetcher->queue, tgid, loop_now());

    while (job != NULL) {
        struct fetch_job *next = job->next;
        refuse(fetcher, job, EPERM);
        free(job);
        job = next;
    }
}

bool fetcher_take(struct fetcher *fetcher, const struct request *request, int number)
{
    struct fetch_job *job = fetcher == NULL ? NULL : malloc(sizeof(*job));

    if (job == NULL)
        return false;
    *job = (struct fetch_job){
        .notification = request->notification, .tgid = request->tgid, .number = number};
    if (!fetch_queue_add(&fetcher->queue, job, loop_now())) {
        free(job);
        return false;
    }
    if (is_on_loop(fetcher))
        start_next(fetcher);
    else
        wake_loop(fetcher);
    return true;
}

/* ---- One fetch ----------------------------------------------------------------------------------- */

static void end_current(struct fetcher *fetcher)
{
    struct fetch_job *job = fetcher->current;

    fetcher->current = NULL;
    free(job);
    fd_close(fetcher->channel);
    fetcher->channel = -1;
    if (fetcher->patience != 0)
        loop_timer_cancel(fetcher->supervisor->loop, fetcher->patience);
    fetcher->patience = 0;
    atomic_store(&fetcher->box->state, FETCH_IDLE);
}

static void give_up_guardian(void *data)
{
    struct fetcher *fetcher = data;

    fetcher->patience = 0;
    sys_pidfd_send_signal(fetcher->guardian_pidfd, SIGKILL, 0);
    supervisor_fail(fetcher->supervisor,
                    "the guardian did not come back from fetching a descriptor");
}

/* As the commands of the run reach the guardian. */
static bool order(struct fetcher *fetcher, const struct fetch_job *job)
{
    struct fetch_mailbox *box = fetcher->box;

    box->tgid = job->tgid;
    box->tid = (int32_t)job->notification.pid;
    box->number = job->notification.data.nr;
    box->wanted = job->number;
    box->patience = fetch_queue_patience(&fetcher->queue, loop_now());
    atomic_store(&box->message, 0);
    atomic_store(&box->state, FETCH_STOP);
    int result = sys_pidfd_send_signal(fetcher->guardian_pidfd, SIGUSR1, 0);
    return !supervisor_check_violation(fetcher->supervisor, result, "pidfd_send_signal") &&
           result == 0;
}

static void start_next(struct fetcher *fetcher)
{
    while (fetcher->current == NULL && fetcher->box != NULL &&
           !atomic_load(&fetcher->supervisor->failed)) {
        struct fetch_job *job = fetch_queue_take(&fetcher->queue);
        if (job == NULL)
            return;
        fetcher->current = job;
        fetcher->let_through = false;
        fetcher->patience = loop_timer_add(
            fetcher->supervisor->loop, loop_now() + GUARDIAN_PATIENCE, give_up_guardian, fetcher);
        if (fetcher->patience != 0 && order(fetcher, job))
            return;
        refuse(fetcher, job, EPERM);
        end_current(fetcher);
    }
}

/* Puts the socket into the caller's table, where nobody can touch it any more. 0 or -errno. */
static int place_channel(struct fetcher *fetcher)
{
    const struct fetch_job *job = fetcher->current;
    int pair[2];
    struct stat status;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    int result = fstat(pair[1], &status) == 0 ? 0 : -errno;
    if (result == 0)
        result =
            notify_add_fd(fetcher->supervisor->listener, job->notification.id, pair[1], -1, true);
    close(pair[1]);
    if (result < 0) {
        close(pair[0]);
        return result;
    }
    fetcher->inode = status.st_ino;
    fetcher->placed = result;
    fetcher->channel = pair[0];
    return 0;
}

static void wake_guardian(struct fetcher *fetcher)
{
    sys_call3(SYS_futex, (long)&fetcher->box->state, FUTEX_WAKE, INT32_MAX);
}

/* All threads but the caller stand still, and the caller waits for us. */
static void on_stopped(struct fetcher *fetcher)
{
    struct fetch_mailbox *box = fetcher->box;
    const struct seccomp_notif *notification = &fetcher->current->notification;
    uint32_t stopped = FETCH_STOPPED;

    /* The caller itself installs it, and we wait for that. */
    supervisor_watch_begin(fetcher->supervisor, WATCH_RECEIVER, notification->data.nr);
    int result = place_channel(fetcher);
    supervisor_watch_end(fetcher->supervisor, WATCH_RECEIVER);
    if (result < 0) {
        supervisor_check_violation(fetcher->supervisor, result, "socketpair");
        atomic_compare_exchange_strong(&box->state, &stopped, FETCH_CANCEL);
        wake_guardian(fetcher);
        if (result != -ENOENT) /* the caller is gone */
            answer_errno(fetcher, notification, -result);
        end_current(fetcher);
        return;
    }
    box->channel = fetcher->placed;
    if (atomic_compare_exchange_strong(&box->state, &stopped, FETCH_GO)) {
        check_sent(fetcher,
                   notify_error(fetcher->supervisor->listener, notification->id, FETCH_RESTART));
        wake_guardian(fetcher);
    }
    /* Otherwise the guardian lost its patience: REFUSED comes. */
}

/* Exactly one descriptor. -1: none. */
static int receive(struct fetcher *fetcher)
{
    char byte;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_LEN(sizeof(int))}; /* no room for a second */
    int fd = -1;

    ssize_t got = recvmsg(fetcher->channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) {
        supervisor_check_violation(fetcher->supervisor, -errno, "recvmsg");
        return -1;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len < CMSG_LEN(sizeof(int)))
        return -1;
    memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    if ((message.msg_flags & MSG_CTRUNC) == 0 && header->cmsg_len == CMSG_LEN(sizeof(int)))
        return fd;
    fd_close(fd);
    return -1;
}

/* What the guardian says, if it says something new. */
static void take_report(struct fetcher *fetcher)
{
    if (fetcher->current == NULL)
        return;
    switch (atomic_load(&fetcher->box->state)) {
    case FETCH_STOPPED:
        on_stopped(fetcher);
        return;
    case FETCH_DONE:
        store(fetcher, fetcher->current, receive(fetcher));
        break;
    case FETCH_REFUSED:
        refuse(fetcher, fetcher->current, atomic_load(&fetcher->box->error));
        shun(fetcher, fetcher->current->tgid);
        break;
    case FETCH_AGAIN:
    case FETCH_FAILED:
        break;
    default:
        return;
    }
    end_current(fetcher);
}

static void on_report(void *data, short revents)
{
    struct fetcher *fetcher = data;
    uint64_t count;

    (void)revents;
    if (read(fetcher->report_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        supervisor_check_violation(fetcher->supervisor, -errno, "read");
    take_report(fetcher);
    start_next(fetcher);
    close_files(fetcher);
}

/* ---- The caller's own calls ------------------------------------------------------------------------ */

/* The kernel is about to read the message from the member's memory, whatever it says by then. What it can
 * say is bounded by the socket, so this must be ours: checked here, and held by the stopped threads. */
static bool is_injected(struct fetcher *fetcher, const struct seccomp_notif *notification)
{
    const struct seccomp_data *data = &notification->data;
    char link[64], expected[64];

    if (fetcher->let_through || fetcher->channel < 0 ||
        atomic_load(&fetcher->box->state) != FETCH_SENDING || data->nr != SYS_sendmsg ||
        (int)(uint32_t)data->args[0] != fetcher->placed ||
        data->args[1] != atomic_load(&fetcher->box->message) || data->args[2] != FETCH_SEND_FLAGS ||
        data->instruction_pointer != fetcher->current->notification.data.instruction_pointer)
        return false;
    snprintf(expected, sizeof(expected), "socket:[%" PRIu64 "]", fetcher->inode);
    ssize_t length = procfs_read_fd_link(fetcher->supervisor->proc_fd, (pid_t)notification->pid,
                                         fetcher->placed, link, sizeof(link));
    return length > 0 && strcmp(link, expected) == 0;
}

bool fetcher_intercept(struct fetcher *fetcher, const struct seccomp_notif *notification)
{
    if (fetcher == NULL || fetcher->current == NULL ||
        fetcher->current->notification.pid != notification->pid)
        return false;
    uint32_t state = atomic_load(&fetcher->box->state);
    if (state != FETCH_GO && state != FETCH_SENDING && state != FETCH_SENT && state != FETCH_STOP &&
        state != FETCH_STOPPED) {
        take_report(fetcher); /* it comes again already */
        start_next(fetcher);
        return false;
    }
    if (state == FETCH_SENDING || state == FETCH_SENT) {
        if (is_injected(fetcher, notification)) {
            fetcher->let_through = true;
            check_sent(fetcher, notify_continue(fetcher->supervisor->listener, notification->id));
        } else {
            answer_errno(fetcher, notification, EPERM);
        }
        return true;
    }
    /* Its call is under way already: this is a new thread of a dead one's number, or a call that was
     * interrupted before its answer. The fetch will fail; this one is judged as any other. */
    return false;
}

/* ---- Life ------------------------------------------------------------------------------------------ */

bool fetcher_attach(struct fetcher *fetcher, struct fetch_mailbox *mailbox, int guardian_pidfd)
{
    if (fetcher == NULL)
        return true;
    fetcher->box = mailbox;
    fetcher->guardian_pidfd = guardian_pidfd;
    fetcher->watched =
        loop_add_quiet(fetcher->supervisor->loop, fetcher->report_fd, POLLIN, on_report, fetcher);
    return fetcher->watched;
}

void fetcher_leave_loop(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    if (fetcher->watched)
        loop_remove(fetcher->supervisor->loop, fetcher->report_fd);
    if (fetcher->patience != 0)
        loop_timer_cancel(fetcher->supervisor->loop, fetcher->patience);
    if (fetcher->tidy != 0)
        loop_timer_cancel(fetcher->supervisor->loop, fetcher->tidy);
    fetcher->patience = fetcher->tidy = 0;
    fetcher->box = NULL; /* the record's memory may go */
}
