/* A table without locks, as a fork may come at any moment and its copy must not wait: see lifelines.h. */
#include "launch/lifelines.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

/* More at a time are only not closed in copies. */
#define LIFELINES_MAX 4096

enum { FREE = 0, TAKEN = -1 }; /* else the descriptor plus one */

static struct {
    _Atomic int fd;
    dev_t device;
    ino_t inode;
} lifelines[LIFELINES_MAX];
static atomic_size_t used; /* slots ever used: the rest need no look */

/* The numbers may be others in this copy: it is one of another thread's table, or the host has closed them. */
static void close_copies(void)
{
    size_t seen = atomic_load_explicit(&used, memory_order_acquire);

    for (size_t i = 0; i < seen; i++) {
        int fd = atomic_load_explicit(&lifelines[i].fd, memory_order_acquire) - 1;
        struct stat status;
        if (fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == lifelines[i].device &&
            status.st_ino == lifelines[i].inode)
            close(fd);
        atomic_store_explicit(&lifelines[i].fd, FREE, memory_order_relaxed);
    }
}

static void register_handler(void)
{
    pthread_atfork(NULL, NULL, close_copies);
}

void lifelines_add(int fd, dev_t device, ino_t inode)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_handler);
    for (size_t i = 0; i < LIFELINES_MAX; i++) {
        int expected = FREE;
        size_t seen = atomic_load_explicit(&used, memory_order_acquire);
        while (seen <= i && !atomic_compare_exchange_weak(&used, &seen, i + 1))
            continue;
        if (!atomic_compare_exchange_strong(&lifelines[i].fd, &expected, TAKEN))
            continue;
        lifelines[i].device = device;
        lifelines[i].inode = inode;
        atomic_store_explicit(&lifelines[i].fd, fd + 1, memory_order_release);
        return;
    }
}

void lifelines_remove(int fd)
{
    for (size_t i = 0; fd >= 0 && i < atomic_load_explicit(&used, memory_order_acquire); i++) {
        int expected = fd + 1;
        if (atomic_compare_exchange_strong(&lifelines[i].fd, &expected, FREE))
            return;
    }
}
