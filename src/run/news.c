/*
 * Waiting for a sandbox. Who waits sleeps on a word of the launch record that changes with every announcement.
 * The guardian announces too, when no member is left: a waiter is then woken, perhaps on a sleeping CPU, while
 * guardian and supervising thread still end, and does not fall asleep again for the moment that is missing.
 */
#include "kernel/sys.h"
#include "run/internal.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

/* The longest busy wait for what is known to come at once. */
#define SPIN_NS 200000

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static _Atomic uint32_t *news_of(const struct sandbox *sandbox)
{
    return &launch_record_of(sandbox->launch)->news;
}

void sandbox_announce(struct sandbox *sandbox)
{
    atomic_fetch_add_explicit(news_of(sandbox), 1, memory_order_release);
    sys_call3(SYS_futex, (long)news_of(sandbox), FUTEX_WAKE, INT32_MAX);
}

/* Until the condition holds, but not for longer than waking a sleeping CPU may take. */
#define SPIN_UNTIL(condition)                             \
    for (int64_t spin_end = sys_monotonic_ns() + SPIN_NS; \
         !(condition) && sys_monotonic_ns() < spin_end;)  \
    sched_yield()

void sandbox_await_news(struct sandbox *sandbox, int64_t deadline)
{
    _Atomic uint32_t *news = news_of(sandbox);
    struct timespec until = to_timespec(deadline);
    uint32_t seen = atomic_load_explicit(news, memory_order_acquire);

    pthread_mutex_unlock(&sandbox->lock);
    if (atomic_load_explicit(&launch_record_of(sandbox->launch)->finished, memory_order_acquire) !=
        0)
        SPIN_UNTIL(atomic_load_explicit(news, memory_order_acquire) != seen);
    sys_call6(SYS_futex, (long)news, FUTEX_WAIT_BITSET, seen, deadline != 0 ? (long)&until : 0, 0,
              FUTEX_BITSET_MATCH_ANY);
    pthread_mutex_lock(&sandbox->lock);
}

/* A thread that has announced the end is about to end itself. */
void sandbox_join(struct sandbox *sandbox)
{
    bool joined = false;

    SPIN_UNTIL((joined = pthread_tryjoin_np(sandbox->thread, NULL) == 0));
    if (!joined)
        pthread_join(sandbox->thread, NULL);
    sandbox->joined = true;
}
