/*
 * The holder: see held.h. Operations arrive in a list under a lock, the polling thread keeps them in an
 * array of its own. Nothing wakes it but its event descriptor, the operations' descriptors and its
 * timers; no signal is ever sent to it.
 */
#include "net/held.h"

#include "kernel/procfs.h"
#include "supervisor/loop.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

/* How often each member that waits is looked at: for signals, and whether it is still there. */
#define LOOK_INTERVAL 50000000LL

/* A descriptor that stays ready although its operation cannot go on is not asked again at once. */
#define MUTE_INTERVAL 2000000LL
#define MUTE_INTERVAL_MAX 50000000LL

/* Calls under way per sandbox: at most so many, and this share of the open files of our process. */
#define ADMITTED_MAX 4096U
#define ADMITTED_SHARE 4U

/* The signal lines stand behind the groups, of which there are rarely many. */
#define STATUS_SIZE 8192

struct holder {
    pthread_mutex_t lock; /* guards the next four */
    struct held *incoming, *closing;
    bool running, stopping;
    bool closes; /* the closing thread runs */
    pthread_cond_t closing_there;
    int wake_fd;

    atomic_uint admitted;
    unsigned limit; /* immutable */

    /* The polling thread's own, and holder_free()'s. */
    struct held **items;
    struct pollfd *polls; /* [0] is wake_fd, [i + 1] belongs to items[i] */
    size_t count, capacity;
    int64_t next_look;
};

static unsigned share_of_open_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / ADMITTED_SHARE >= ADMITTED_MAX)
        return ADMITTED_MAX;
    unsigned share = (unsigned)limit.rlim_cur / ADMITTED_SHARE;
    return share > 0 ? share : 1;
}

struct holder *holder_new(void)
{
    struct holder *holder = calloc(1, sizeof(*holder));

    if (holder == NULL)
        return NULL;
    holder->polls = calloc(1, sizeof(*holder->polls));
    holder->wake_fd = holder->polls == NULL ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (holder->wake_fd < 0) {
        int error = errno; /* free() may change it before glibc 2.33 */
        free(holder->polls);
        free(holder);
        errno = error;
        return NULL;
    }
    pthread_mutex_init(&holder->lock, NULL);
    pthread_cond_init(&holder->closing_there, NULL);
    holder->limit = share_of_open_files();
    return holder;
}

/* ---- How many ------------------------------------------------------------------------------------- */

bool holder_admit(struct holder *holder)
{
    if (atomic_fetch_add(&holder->admitted, 1) < holder->limit)
        return true;
    holder_leave(holder);
    return false;
}

void holder_leave(struct holder *holder)
{
    atomic_fetch_sub(&holder->admitted, 1);
}

bool holder_is_busy(struct holder *holder)
{
    return atomic_load(&holder->admitted) != 0;
}

unsigned holder_limit(const struct holder *holder)
{
    return holder->limit;
}

/* ---- Signals of the member ------------------------------------------------------------------------- */

bool held_signal_waits(const char *status, pid_t tid)
{
    uint64_t tgid, threads, own, shared, blocked;

    if (!procfs_status_number(status, "Tgid", 10, &tgid) ||
        !procfs_status_number(status, "Threads", 10, &threads) ||
        !procfs_status_number(status, "SigPnd", 16, &own) ||
        !procfs_status_number(status, "ShdPnd", 16, &shared) ||
        !procfs_status_number(status, "SigBlk", 16, &blocked))
        return false;
    if ((own & ~blocked) != 0)
        return true;
    bool takes_shared = (pid_t)tgid == tid || threads == 1;
    return takes_shared && (shared & ~blocked) != 0;
}

static bool signal_waits(const struct request *request)
{
    char status[STATUS_SIZE];
    pid_t tid = (pid_t)request->notification.pid;
    ssize_t length =
        procfs_read(supervisor_proc_fd(request->supervisor), tid, "status", status, sizeof(status));

    supervisor_check_violation(request->supervisor, length, "openat");
    return length > 0 && held_signal_waits(status, tid);
}

/* ---- One operation --------------------------------------------------------------------------------- */

/* An unanswered request is answered EIO, which nobody hears where the member is gone. */
static void conclude(struct held *held)
{
    if (held->close != NULL)
        held->close(held);
    if (held->has_result)
        request_answer_value(held->request, held->result);
    request_drop(held->request);
    held->request = NULL;
    held->release(held);
}

static void finish(struct holder *holder, struct held *held)
{
    bool taken = false;

    if (held->close != NULL) {
        pthread_mutex_lock(&holder->lock);
        taken = holder->closes && !holder->stopping;
        if (taken) {
            held->next = holder->closing;
            holder->closing = held;
            pthread_cond_signal(&holder->closing_there);
        }
        pthread_mutex_unlock(&holder->lock);
    }
    if (!taken)
        conclude(held);
}

static bool is_due(int64_t time, int64_t now)
{
    return time != 0 && time <= now;
}

/* True: it is over. */
static bool go_on(struct holder *holder, struct held *held, short revents, int64_t now)
{
    bool expired = is_due(held->deadline, now);

    if (revents == 0 && !expired && !is_due(held->retry, now))
        return false;
    if (!request_is_valid(held->request))
        return true;
    held->progressed = false;
    struct supervisor *supervisor = held->request->supervisor;
    supervisor_watch_begin(supervisor, WATCH_HOLDER, held->request->notification.data.nr);
    supervisor_watch_socket(supervisor, WATCH_HOLDER, held->fd);
    bool over = held->step(held, expired);
    supervisor_watch_socket(supervisor, WATCH_HOLDER, -1);
    supervisor_watch_end(supervisor, WATCH_HOLDER);
    if (over || expired)
        return true;
    bool again = !held->progressed && held->backs_off && held->mute > 0;
    held->mute = again ? held->mute * 2 : MUTE_INTERVAL;
    if (held->mute > MUTE_INTERVAL_MAX)
        held->mute = MUTE_INTERVAL_MAX;
    if (!held->progressed)
        held->muted_until = now + held->mute;
    return false;
}

static bool look(struct held *held)
{
    if (!request_is_valid(held->request))
        return true;
    if (!signal_waits(held->request))
        return false;
    held->result = held->interrupted(held);
    held->has_result = true;
    return true;
}

/* ---- The polling thread ---------------------------------------------------------------------------- */

static bool reserve(struct holder *holder)
{
    size_t capacity = holder->capacity == 0 ? 16 : holder->capacity * 2;

    if (holder->count < holder->capacity)
        return true;
    struct held **items = realloc(holder->items, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    holder->items = items;
    struct pollfd *polls = realloc(holder->polls, (capacity + 1) * sizeof(*polls));
    if (polls == NULL)
        return false;
    holder->polls = polls;
    holder->capacity = capacity;
    return true;
}

static void take_incoming(struct holder *holder)
{
    pthread_mutex_lock(&holder->lock);
    struct held *held = holder->incoming;
    holder->incoming = NULL;
    pthread_mutex_unlock(&holder->lock);

    while (held != NULL) {
        struct held *next = held->next;
        if (reserve(holder)) {
            holder->items[holder->count++] = held;
        } else {
            request_answer_errno(held->request, ENOMEM);
            finish(holder, held);
        }
        held = next;
    }
}

static void earlier(int64_t *wake, int64_t time)
{
    if (time != 0 && time < *wake)
        *wake = time;
}

/* Waits for an event, a timer or the next look. False if waiting failed for good. */
static bool wait_for_events(struct holder *holder)
{
    int64_t now = loop_now();
    int64_t wake = holder->next_look;

    holder->polls[0] = (struct pollfd){.fd = holder->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < holder->count; i++) {
        const struct held *held = holder->items[i];
        bool muted = held->muted_until > now;
        holder->polls[i + 1] = (struct pollfd){.fd = muted ? -1 : held->fd, .events = held->events};
        earlier(&wake, held->deadline);
        earlier(&wake, held->retry);
        if (muted)
            earlier(&wake, held->muted_until);
    }
    int64_t left = wake > now ? wake - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000LL),
                               .tv_nsec = (long)(left % 1000000000LL)};
    /* Once in a while also where nothing is held: see loop_set_guard(). */
    if (holder->count == 0)
        timeout = (struct timespec){.tv_sec = LOOP_CHECK_NS / 1000000000LL};
    bool without_end = holder->count == 0 && !fd_are_guarded();
    int result = ppoll(holder->polls, holder->count + 1, without_end ? NULL : &timeout, NULL);
    if (!fd_are_ours())
        return false;
    if (result < 0) {
        for (size_t i = 0; i <= holder->count; i++)
            holder->polls[i].revents = 0;
        return errno == EINTR || errno == ENOMEM;
    }
    if (holder->polls[0].revents != 0) {
        uint64_t ignored;
        return read(holder->wake_fd, &ignored, sizeof(ignored)) >= 0 || errno == EAGAIN;
    }
    return true;
}

static void serve(struct holder *holder)
{
    int64_t now = loop_now();
    bool looks = now >= holder->next_look;
    size_t kept = 0;

    for (size_t i = 0; i < holder->count; i++) {
        struct held *held = holder->items[i];
        if (go_on(holder, held, holder->polls[i + 1].revents, now) || (looks && look(held)))
            finish(holder, held);
        else
            holder->items[kept++] = held;
    }
    holder->count = kept;
    if (looks)
        holder->next_look = now + LOOK_INTERVAL;
}

static bool is_stopping(struct holder *holder)
{
    pthread_mutex_lock(&holder->lock);
    bool stopping = holder->stopping;
    pthread_mutex_unlock(&holder->lock);
    return stopping;
}

static void release_all(struct holder *holder)
{
    take_incoming(holder);
    for (size_t i = 0; i < holder->count; i++)
        finish(holder, holder->items[i]);
    holder->count = 0;
}

/* The request only brought us here: its call is answered by whoever holds it. */
static void run(const struct request *request, void *data)
{
    struct holder *holder = data;
    bool usable = true;

    *request->fate = REQUEST_HANDED_OVER;
    request_job_stays(request);
    while (usable && !is_stopping(holder)) {
        take_incoming(holder);
        usable = wait_for_events(holder);
        if (usable)
            serve(holder);
    }
}

/* The job is over, or never ran. Whoever waits must not wait for ever. */
static void ended(void *data)
{
    struct holder *holder = data;

    pthread_mutex_lock(&holder->lock);
    holder->stopping = true;
    pthread_mutex_unlock(&holder->lock);
    release_all(holder);
}

/* `started` is set by the receiving thread alone, and read under the lock. */
static bool start_thread(struct holder *holder, const struct request *request, bool *started,
                         void (*work)(const struct request *request, void *data),
                         void (*over)(void *data))
{
    if (*started)
        return true;
    struct request starter = *request;
    starter.fate = NULL; /* the call itself stays with the caller */
    bool submitted = request_submit(&starter, work, holder, over);
    pthread_mutex_lock(&holder->lock);
    *started = submitted;
    pthread_mutex_unlock(&holder->lock);
    return submitted;
}

bool holder_start(struct holder *holder, const struct request *request)
{
    return start_thread(holder, request, &holder->running, run, ended);
}

/* ---- The closing thread ---------------------------------------------------------------------------- */

static void close_all(const struct request *request, void *data)
{
    struct holder *holder = data;

    *request->fate = REQUEST_HANDED_OVER;
    request_job_stays(request);
    pthread_mutex_lock(&holder->lock);
    while (!holder->stopping) {
        struct held *held = holder->closing;
        if (held == NULL) {
            pthread_cond_wait(&holder->closing_there, &holder->lock);
            continue;
        }
        holder->closing = held->next;
        pthread_mutex_unlock(&holder->lock);
        conclude(held);
        pthread_mutex_lock(&holder->lock);
    }
    pthread_mutex_unlock(&holder->lock);
}

bool holder_start_closing(struct holder *holder, const struct request *request)
{
    return start_thread(holder, request, &holder->closes, close_all, NULL);
}

/* ---- For its users ---------------------------------------------------------------------------------- */

void holder_stop(struct holder *holder)
{
    uint64_t one = 1;

    pthread_mutex_lock(&holder->lock);
    holder->stopping = true;
    pthread_cond_broadcast(&holder->closing_there);
    pthread_mutex_unlock(&holder->lock);
    if (fd_are_ours() && write(holder->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is full, so the thread wakes anyway. */
    }
}

bool held_submit(struct holder *holder, struct held *held)
{
    const struct supervisor *supervisor = held->request->supervisor;
    uint64_t one = 1;

    pthread_mutex_lock(&holder->lock);
    bool taken = holder->running && !holder->stopping;
    if (taken) {
        held->next = holder->incoming;
        holder->incoming = held;
    }
    pthread_mutex_unlock(&holder->lock);
    if (taken && supervisor_descriptors_are_ours(supervisor) &&
        write(holder->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is full, so the thread wakes anyway. */
    }
    return taken;
}

void holder_free(struct holder *holder)
{
    if (holder == NULL)
        return;
    holder->stopping = true; /* nobody else is left */
    release_all(holder);
    while (holder->closing != NULL) {
        struct held *held = holder->closing;
        holder->closing = held->next;
        conclude(held);
    }
    pthread_cond_destroy(&holder->closing_there);
    pthread_mutex_destroy(&holder->lock);
    fd_close(holder->wake_fd);
    free(holder->items);
    free(holder->polls);
    free(holder);
}
