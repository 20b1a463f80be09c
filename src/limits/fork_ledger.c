/* Reservations and the evidence that settles them: see fork_ledger.h. */
#include "limits/fork_ledger.h"

#include "kernel/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The kernel divides the measured time between user and system by sampled ticks, so a thread inside a
 * long fork can seem to gain a tick of user time or two; not three. */
#define USER_TICKS_EVIDENCE 3

void fork_ledger_free(struct fork_ledger *ledger)
{
    free(ledger->items);
    *ledger = FORK_LEDGER_INIT;
}

static int read_thread(int proc_fd, pid_t tgid, pid_t tid, struct procfs_stat *stat)
{
    char name[PROCFS_PATH_MAX], text[1024];

    snprintf(name, sizeof(name), "task/%d/stat", (int)tid); /* "<tid>/stat" sums up the process */
    ssize_t length = procfs_read(proc_fd, tgid, name, text, sizeof(text));
    return length < 0 ? (int)length : procfs_parse_stat(text, stat);
}

/* Of that thread, zombies too. 0, 1 or -errno. The kernel may pass over children while others end, but
 * shows no list as empty that is not. */
static int has_children(int proc_fd, pid_t tgid, pid_t tid)
{
    char name[PROCFS_PATH_MAX], text[16];

    snprintf(name, sizeof(name), "task/%d/children", (int)tid);
    ssize_t length = procfs_read(proc_fd, tgid, name, text, sizeof(text));
    return length < 0 ? (int)length : length > 0;
}

int fork_ledger_reserve(struct fork_ledger *ledger, int proc_fd, pid_t tid, pid_t tgid)
{
    struct procfs_stat stat;

    /* Threads that ended leave reservations behind: the ledger is as large as what is under way. */
    if (ledger->count == ledger->capacity)
        fork_ledger_settle(ledger, proc_fd);
    if (ledger->count == ledger->capacity) {
        size_t capacity = ledger->capacity == 0 ? 8 : ledger->capacity * 2;
        struct fork_reservation *items = realloc(ledger->items, capacity * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
        ledger->items = items;
        ledger->capacity = capacity;
    }
    if (read_thread(proc_fd, tgid, tid, &stat) != 0)
        return -ESRCH;
    ledger->items[ledger->count++] = (struct fork_reservation){
        .tid = tid,
        .tgid = tgid,
        .start_time = stat.start_time,
        .user_ticks = stat.user_ticks,
        .alone = stat.threads == 1 && has_children(proc_fd, tgid, tid) == 0,
    };
    return 0;
}

static void drop(struct fork_ledger *ledger, size_t index)
{
    ledger->items[index] = ledger->items[--ledger->count];
}

void fork_ledger_settle_thread(struct fork_ledger *ledger, pid_t tid)
{
    for (size_t i = ledger->count; i > 0; i--) {
        if (ledger->items[i - 1].tid == tid)
            drop(ledger, i - 1);
    }
}

static bool is_settled(const struct fork_reservation *item, int proc_fd)
{
    struct procfs_stat stat;
    int result = read_thread(proc_fd, item->tgid, item->tid, &stat);

    if (result == -ENOENT || result == -ESRCH)
        return true;
    if (result < 0)
        return false;
    if (stat.start_time != item->start_time)
        return true;
    switch (stat.state) {
    case 'S': /* fork never sleeps so, and the answer has woken the thread before it was sent off */
    case 'T':
    case 't':
    case 'Z':
    case 'X':
        return true;
    default:
        break;
    }
    if (stat.user_ticks >= item->user_ticks + USER_TICKS_EVIDENCE)
        return true;
    return item->alone && has_children(proc_fd, item->tgid, item->tid) == 1;
}

size_t fork_ledger_settle(struct fork_ledger *ledger, int proc_fd)
{
    for (size_t i = ledger->count; i > 0; i--) {
        if (is_settled(&ledger->items[i - 1], proc_fd))
            drop(ledger, i - 1);
    }
    return ledger->count;
}
