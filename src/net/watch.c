/* Watching threads that might get stuck: see watch.h. */
#include "net/watch.h"

#include "util/fd.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

/* After how many looks that find a thread in the same call it is taken for stuck: looks and not time,
 * which goes on while the process is stopped. */
#define LOOK_INTERVAL_MS 250
#define STUCK_LOOKS 8

struct watched {
    /* By the watched thread. */
    atomic_bool inside;
    atomic_int fd;
    atomic_uint count;

    /* By the watching thread. */
    unsigned seen;
    unsigned looks; /* that found the same call */
};

struct watch {
    struct watched threads[WATCHED_THREADS];
    atomic_bool looking; /* no wake-up needed; cleared by a look that finds nothing new */
    atomic_bool stopping;
    bool started;  /* the receiving thread's */
    bool reported; /* the watching thread's, like the next */
    struct supervisor *supervisor;
    int wake_fd;
};

struct watch *watch_new(void)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->wake_fd >= 0)
        return watch;
    free(watch);
    return NULL;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    fd_close(watch->wake_fd);
    free(watch);
}

static void wake(struct watch *watch)
{
    uint64_t one = 1;

    if (write(watch->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is full, so the thread wakes anyway. */
    }
}

void watch_begin(struct watch *watch, enum watched_thread thread, int fd)
{
    struct watched *watched = &watch->threads[thread];

    atomic_store(&watched->fd, fd);
    atomic_fetch_add(&watched->count, 1);
    atomic_store(&watched->inside, true);
    if (!atomic_load(&watch->looking) && !atomic_exchange(&watch->looking, true))
        wake(watch);
}

void watch_end(struct watch *watch, enum watched_thread thread)
{
    atomic_store(&watch->threads[thread].inside, false);
}

/* ---- The watching thread --------------------------------------------------------------------------- */

/* True if the thread is in a call, or was since the last look. */
static bool look_at(struct watch *watch, struct watched *watched)
{
    bool inside = atomic_load(&watched->inside);
    unsigned count = atomic_load(&watched->count);
    bool moved = count != watched->seen;

    watched->seen = count;
    watched->looks = inside && !moved ? watched->looks + 1 : 0;
    if (watched->looks == STUCK_LOOKS && !watch->reported) {
        watch->reported = true;
        supervisor_report_stuck(watch->supervisor,
                                "a member changed a socket while it was being connected");
    }
    /* The members are dead, so nobody shares the socket. Some kernels refuse this while a thread
     * waits; then the wait ends with the kernel's last attempt to connect. */
    if (watched->looks > STUCK_LOOKS)
        shutdown(atomic_load(&watched->fd), SHUT_RDWR);
    return inside || moved;
}

static bool look_at_all(struct watch *watch)
{
    bool busy = false;

    for (size_t i = 0; i < WATCHED_THREADS; i++)
        busy |= look_at(watch, &watch->threads[i]);
    return busy;
}

/* The request only brought us here: its call is answered by whoever holds it. */
static void run(const struct request *request, void *data)
{
    struct watch *watch = data;
    uint64_t ignored;

    *request->fate = REQUEST_HANDED_OVER;
    request_job_stays(request);
    watch->supervisor = request->supervisor;
    while (!atomic_load(&watch->stopping)) {
        struct pollfd woken = {.fd = watch->wake_fd, .events = POLLIN};
        bool looking = atomic_load(&watch->looking);
        poll(&woken, 1, looking ? LOOK_INTERVAL_MS : -1);
        if (woken.revents != 0 && read(watch->wake_fd, &ignored, sizeof(ignored)) < 0)
            continue;
        if (look_at_all(watch))
            continue;
        /* A call that begins now wakes us, one that began before is seen by this look. */
        atomic_store(&watch->looking, false);
        if (look_at_all(watch))
            atomic_store(&watch->looking, true);
    }
}

bool watch_start(struct watch *watch, const struct request *request)
{
    if (watch->started)
        return true;
    struct request starter = *request;
    starter.fate = NULL; /* the call itself stays with the caller */
    watch->started = request_submit(&starter, run, watch, NULL);
    return watch->started;
}

void watch_stop(struct watch *watch)
{
    atomic_store(&watch->stopping, true);
    wake(watch);
}
