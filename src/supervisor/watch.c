/* Watching threads that might get stuck: see watch.h. */
#include "supervisor/watch.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "supervisor/internal.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long a thread is in the same call, or what calls owe, until it is taken for stuck: counted in looks, since
 * time goes on while the process is stopped, and without what it waited for a processor. */
#define STUCK_MS 2000

/* So many milliseconds without waiting pay for one of waiting. */
#define PAYING_BACK 4

/* So long, and the receiving thread is not waited for any longer. */
#define LOST_MS 4000

/* A thread that runs for this part of the time has a processor, others wait for one; but fewer ticks than these
 * also those have that run for a moment. */
#define RUNNING_SHARE 10
#define RUNNING_TICKS 2

void watch_init(struct watch *watch)
{
    pthread_condattr_t monotonic;

    *watch = (struct watch){0};
    for (size_t i = 0; i < WATCHED_THREADS; i++)
        atomic_store(&watch->threads[i].socket, -1);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void watch_destroy(struct watch *watch)
{
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
}

/* ---- The watched threads --------------------------------------------------------------------------- */

static void wake(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    atomic_store(&watch->looking, true);
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

/* Only its own thread writes the count. */
static void step(struct watched *watched, memory_order order)
{
    unsigned count = atomic_load_explicit(&watched->count, memory_order_relaxed);

    atomic_store_explicit(&watched->count, count + 1, order);
}

void supervisor_watch_begin(struct supervisor *supervisor, enum watched_thread thread, int number)
{
    struct watch *watch = &supervisor->watch;
    struct watched *watched = &watch->threads[thread];

    if (atomic_load_explicit(&watched->tid, memory_order_relaxed) == 0)
        atomic_store_explicit(&watched->tid, (int)sys_call0(SYS_gettid), memory_order_relaxed);
    atomic_store_explicit(&watched->number, number, memory_order_relaxed);
    step(watched, memory_order_seq_cst); /* against look_at_all() */
    if (!atomic_load(&watch->looking))
        wake(watch);
}

void supervisor_watch_end(struct supervisor *supervisor, enum watched_thread thread)
{
    step(&supervisor->watch.threads[thread], memory_order_release);
}

void supervisor_watch_socket(struct supervisor *supervisor, enum watched_thread thread, int fd)
{
    atomic_store_explicit(&supervisor->watch.threads[thread].socket, fd, memory_order_relaxed);
}

/* ---- The watching thread --------------------------------------------------------------------------- */

static void report(struct supervisor *supervisor, const struct watched *watched)
{
    const char *call = arch_syscall_name(arch_native, atomic_load(&watched->number));

    supervisor_fail(supervisor, "the supervisor is stuck: %s of a member kept it waiting%s",
                    call == NULL ? "a system call" : call,
                    watched->spent_ms >= STUCK_MS ? "" : ", as others before");
    if (supervisor->on_stuck != NULL)
        supervisor->on_stuck(supervisor->on_stuck_data);
}

/* The members are dead, so nobody shares the socket. Some kernels refuse this while a thread waits;
 * then the wait ends with the kernel's last attempt to connect. */
static void end_wait(const struct watched *watched)
{
    int fd = atomic_load(&watched->socket);

    if (fd >= 0 && fd_are_ours())
        shutdown(fd, SHUT_RDWR);
}

unsigned watch_time_spent(const struct procfs_stat *now, uint64_t ticks_before,
                          long ticks_per_second, unsigned interval_ms)
{
    uint64_t ticks = now->user_ticks + now->system_ticks;

    if (now->state != 'R')
        return interval_ms;
    if (ticks <= ticks_before || ticks_per_second <= 0)
        return 0;
    uint64_t ran = (ticks - ticks_before) * 1000 / (uint64_t)ticks_per_second;
    bool running = ticks - ticks_before >= RUNNING_TICKS && ran >= interval_ms / RUNNING_SHARE;
    return running || ran > interval_ms ? interval_ms : (unsigned)ran;
}

unsigned watch_owed(unsigned owed_ms, unsigned spent_ms, bool others_wait, int64_t elapsed_ms)
{
    unsigned owes_ms = others_wait ? spent_ms : 0;
    int64_t owed = (int64_t)owed_ms + owes_ms;
    int64_t paid = elapsed_ms > owes_ms ? (elapsed_ms - owes_ms) / PAYING_BACK : 0;

    return paid < owed ? (unsigned)(owed - paid) : 0;
}

/* Of the time since the last look, which found the thread in the same call. Where /proc does not tell, all
 * of it. */
static unsigned time_spent(const struct supervisor *supervisor, struct watched *watched)
{
    unsigned interval_ms = supervisor->watch.interval_ms;
    struct procfs_stat now;
    char name[32];
    char text[1024];

    snprintf(name, sizeof(name), "task/%d/stat", atomic_load(&watched->tid));
    if (procfs_read(supervisor->proc_fd, getpid(), name, text, sizeof(text)) <= 0 ||
        procfs_parse_stat(text, &now) != 0)
        return interval_ms;
    unsigned spent = watch_time_spent(&now, watched->ticks, sysconf(_SC_CLK_TCK), interval_ms);
    watched->ticks = now.user_ticks + now.system_ticks;
    return spent;
}

/* Others are kept waiting: a call is not received yet, or not handled. Not so timers and signals, which get their turn
 * after each call. A held call has others beside it as a rule. */
static bool others_wait(const struct supervisor *supervisor, enum watched_thread thread)
{
    struct pollfd listener = {.fd = supervisor->listener, .events = POLLIN};

    return thread != WATCH_RECEIVER || atomic_load(&supervisor->received_ahead) > 0 ||
           (poll(&listener, 1, 0) == 1 && (listener.revents & POLLIN) != 0);
}

/* True if the thread is in a call, or was since the last look. */
static bool look_at(struct supervisor *supervisor, enum watched_thread thread, int64_t elapsed_ms)
{
    struct watch *watch = &supervisor->watch;
    struct watched *watched = &watch->threads[thread];
    unsigned count = atomic_load(&watched->count);
    bool inside = (count & 1) != 0;
    bool moved = count != watched->seen;
    /* In a new call, too: the next look counts the processor time from here. */
    unsigned spent_ms = inside ? time_spent(supervisor, watched) : 0;

    spent_ms = moved ? 0 : spent_ms;
    watched->seen = count;
    watched->spent_ms = inside && !moved ? watched->spent_ms + spent_ms : 0;
    watched->owed_ms = watch_owed(watched->owed_ms, spent_ms,
                                  spent_ms > 0 && others_wait(supervisor, thread), elapsed_ms);
    if ((watched->spent_ms >= STUCK_MS || watched->owed_ms >= STUCK_MS) && !watch->reported) {
        watch->reported = true;
        report(supervisor, watched);
    } else if (watched->spent_ms > STUCK_MS) {
        end_wait(watched);
    }
    if (watched->spent_ms >= LOST_MS && thread == WATCH_RECEIVER && !watch->given_up) {
        watch->given_up = true;
        if (supervisor->on_lost != NULL)
            supervisor->on_lost(supervisor->on_stuck_data);
    }
    return inside || moved;
}

static bool look_at_all(struct supervisor *supervisor)
{
    struct watch *watch = &supervisor->watch;
    int64_t now = sys_monotonic_ns();
    int64_t elapsed_ms = (now - watch->looked_at) / 1000000;
    bool busy = false;

    for (unsigned i = 0; i < WATCHED_THREADS; i++)
        busy |= look_at(supervisor, (enum watched_thread)i, elapsed_ms);
    watch->looked_at = now;
    return busy;
}

/* With the lock. What does not last from one look to the next is not seen: so looks are close where calls are
 * slow. */
static void pause_between_looks(struct supervisor *supervisor)
{
    struct watch *watch = &supervisor->watch;
    struct timespec until;

    watch->interval_ms = sys_monotonic_ns() < atomic_load(&supervisor->stalls_until)
                             ? CLOSE_LOOK_INTERVAL_MS
                             : LOOK_INTERVAL_MS;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)watch->interval_ms * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    while (!watch->stopping && pthread_cond_timedwait(&watch->changed, &watch->lock, &until) == 0) {
    }
}

static void run(void *job, bool usable)
{
    struct supervisor *supervisor = job;
    struct watch *watch = &supervisor->watch;

    if (!usable)
        return;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping) {
        while (!watch->stopping && !atomic_load(&watch->looking))
            pthread_cond_wait(&watch->changed, &watch->lock);
        pause_between_looks(supervisor);
        if (watch->stopping || look_at_all(supervisor))
            continue;
        /* A call that begins now wakes us, one that began before is seen by this look. */
        atomic_store(&watch->looking, false);
        if (look_at_all(supervisor))
            atomic_store(&watch->looking, true);
    }
    pthread_mutex_unlock(&watch->lock);
}

bool watch_start(struct supervisor *supervisor)
{
    struct watch *watch = &supervisor->watch;

    if (!watch->started)
        watch->started = supervisor_make_workers(supervisor) &&
                         workers_submit_staying(supervisor->workers, run, supervisor);
    return watch->started;
}

void watch_stop(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}
