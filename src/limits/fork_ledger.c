/* Reservations and the evidence that settles them: see fork_ledger.h. */
#include "limits/fork_ledger.h"

#include "kernel/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Room for FORK_CHILDREN_MAX numbers of seven digits, and more. */
#define CHILDREN_TEXT_MAX 512

void fork_ledger_free(struct fork_ledger *ledger)
{
    free(ledger->items);
    *ledger = FORK_LEDGER_INIT;
}

size_t fork_children_parse(const char *text, pid_t *children, size_t capacity)
{
    size_t count = 0;
    uint32_t number = 0;

    for (; *text != '\0'; text++) {
        if (*text >= '0' && *text <= '9') {
            number = number * 10 + (uint32_t)(*text - '0');
        } else if (number > 0) {
            if (count < capacity)
                children[count] = (pid_t)number;
            count++;
            number = 0;
        }
    }
    return count;
}

/* False if they cannot all be told. */
static bool read_children(int proc_fd, pid_t tgid, pid_t tid, pid_t *children, size_t *count)
{
    char name[PROCFS_PATH_MAX], text[CHILDREN_TEXT_MAX];

    snprintf(name, sizeof(name), "task/%d/children", (int)tid);
    ssize_t length = procfs_read(proc_fd, tgid, name, text, sizeof(text));
    if (length < 0 || (size_t)length >= sizeof(text) - 1)
        return false;
    *count = fork_children_parse(text, children, FORK_CHILDREN_MAX);
    return *count <= FORK_CHILDREN_MAX;
}

static int read_thread(int proc_fd, pid_t tgid, pid_t tid, struct procfs_stat *stat)
{
    char name[PROCFS_PATH_MAX], text[1024];

    snprintf(name, sizeof(name), "task/%d/stat", (int)tid); /* "<tid>/stat" sums up the process */
    ssize_t length = procfs_read(proc_fd, tgid, name, text, sizeof(text));
    return length < 0 ? (int)length : procfs_parse_stat(text, stat);
}

/* Start times are counted in ticks since boot, suspended time included. */
static uint64_t ticks_now(void)
{
    long per_second = sysconf(_SC_CLK_TCK);
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * (uint64_t)per_second +
           (uint64_t)now.tv_nsec / (1000000000U / (uint64_t)per_second);
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
    struct fork_reservation *item = &ledger->items[ledger->count++];
    *item = (struct fork_reservation){
        .tid = tid,
        .tgid = tgid,
        .start_time = stat.start_time,
        .user_ticks = stat.user_ticks,
        .clock_ticks = ticks_now(),
    };
    item->knows_children = read_children(proc_fd, tgid, tid, item->children, &item->child_count);
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

static bool was_there(const struct fork_reservation *item, pid_t child)
{
    for (size_t i = 0; i < item->child_count; i++) {
        if (item->children[i] == child)
            return true;
    }
    return false;
}

/* A child that was not there and is not older than the permission (an older one was adopted from a
 * thread that ended). */
static bool has_new_child(const struct fork_reservation *item, int proc_fd)
{
    pid_t children[FORK_CHILDREN_MAX];
    size_t count;
    struct procfs_stat stat;

    if (!item->knows_children ||
        !read_children(proc_fd, item->tgid, item->tid, children, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!was_there(item, children[i]) && procfs_stat(proc_fd, children[i], &stat) == 0 &&
            stat.start_time >= item->clock_ticks)
            return true;
    }
    return false;
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
    return stat.user_ticks > item->user_ticks || has_new_child(item, proc_fd);
}

size_t fork_ledger_settle(struct fork_ledger *ledger, int proc_fd)
{
    for (size_t i = ledger->count; i > 0; i--) {
        if (is_settled(&ledger->items[i - 1], proc_fd))
            drop(ledger, i - 1);
    }
    return ledger->count;
}
