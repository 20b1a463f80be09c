/*
 * Members that no signal ends: one that waits in the kernel for a file system whose server does not answer, or one
 * whose end somebody outside traces. The guardian waits for them, and does not mind for how long; who waits for the
 * guardian does. So about once a second it is asked whether any member has ended since; one that is only slow runs, or
 * others end meanwhile. The guardian is left to it then, with the name and everything else that it uses.
 */
#include "launch/internal.h"

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define LOOK_NS 1000000000LL
#define LOOKS_IN_VAIN 5

/* So many are named, and so many looked at. */
#define NAMED_MAX 8
#define LEFT_MAX 1024

/* Where the guardian's end wakes nobody. */
#define PAUSE_NS 10000000L

struct left {
    pid_t pids[LEFT_MAX];
    size_t count;
    bool unknown; /* the kernel does not tell them */
    bool running; /* one of them is on its way */
};

static bool is_ordered(const struct launch *launch)
{
    const struct launch_record *record = launch->record;

    return atomic_load_explicit(&record->ending, memory_order_acquire) != 0 ||
           (atomic_load_explicit(&launch->kill_ordered, memory_order_acquire) &&
            atomic_load_explicit(&record->child_exited, memory_order_acquire) == 0);
}

/* All below the guardian, which inherits every orphan. */
static struct left *find_left(const struct launch *launch)
{
    struct left *left = calloc(1, sizeof(*left));
    struct procfs_stat stat;

    if (left == NULL)
        return NULL;
    pid_t parent = launch->guardian;
    for (size_t next = 0;; parent = left->pids[next++]) {
        size_t room = LEFT_MAX - left->count;
        ssize_t count = procfs_children(-1, parent, left->pids + left->count, room);
        left->unknown = left->unknown || (count < 0 && count != -ENOENT && count != -ESRCH);
        if (count > 0)
            left->count += (size_t)count < room ? (size_t)count : room;
        if (next == left->count)
            break;
    }
    for (size_t i = 0; i < left->count; i++)
        left->running =
            left->running || (procfs_stat(-1, left->pids[i], &stat) == 0 && stat.state == 'R');
    return left;
}

static void describe(const struct left *left, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "%s", left->count == 0 ? "(they cannot be listed)" : "");
    for (size_t i = 0; i < left->count && i < NAMED_MAX && used < size; i++) {
        struct procfs_stat stat = {.comm = "?"};
        char name[4 * PROCFS_COMM_SIZE];
        procfs_stat(-1, left->pids[i], &stat);
        text_to_line(name, sizeof(name), stat.comm);
        used += (size_t)snprintf(text + used, size - used, "%s%d (%s)", i > 0 ? ", " : "",
                                 (int)left->pids[i], name);
    }
    if (left->count > NAMED_MAX && used < size)
        snprintf(text + used, size - used, " and %zu more", left->count - NAMED_MAX);
}

static bool nobody_moves(struct launch *launch)
{
    /* What is opened meanwhile is closed whatever a host did to its descriptors. */
    struct fd_guard guard = fd_guard_thread((struct fd_guard){NULL, NULL});
    struct procfs_stat stat;
    bool stopped = procfs_stat(-1, launch->guardian, &stat) == 0 &&
                   (stat.state == 'T' || stat.state == 't'); /* it has killed nobody yet */
    struct left *left = stopped ? NULL : find_left(launch);

    if (left == NULL) {
        fd_guard_thread(guard);
        return false;
    }
    bool still = !left->running && (left->count > 0 || left->unknown);
    if (still && launch->ending.looks + 1 >= LOOKS_IN_VAIN) {
        char who[sizeof(launch->ending.left) / 2];
        describe(left, who, sizeof(who));
        snprintf(launch->ending.left, sizeof(launch->ending.left),
                 "members that were killed do not end, and the guardian process %d waits for them: "
                 "%s",
                 (int)launch->guardian, who);
    }
    free(left);
    fd_guard_thread(guard);
    return still;
}

bool launch_ends_in_vain(struct launch *launch)
{
    struct ending *ending = &launch->ending;
    int64_t now = sys_monotonic_ns();
    uint32_t ended = atomic_load_explicit(&launch->record->ended, memory_order_acquire);
    bool first = ending->next_look == 0;

    if (launch->guardian <= 0 || !is_ordered(launch))
        return false;
    if (!first && ending->ended == ended && now < ending->next_look)
        return ending->looks >= LOOKS_IN_VAIN;
    if (first || ending->ended != ended || !nobody_moves(launch))
        ending->looks = 0;
    else if (ending->looks < LOOKS_IN_VAIN)
        ending->looks++;
    ending->ended = ended;
    ending->next_look = now + LOOK_NS;
    return ending->looks >= LOOKS_IN_VAIN;
}

const char *launch_left_members(const struct launch *launch)
{
    return launch->guardian > 0 && launch->ending.looks >= LOOKS_IN_VAIN ? launch->ending.left
                                                                         : NULL;
}

static void await_a_moment(const struct launch *launch)
{
    const struct timespec pause = {0, PAUSE_NS};
    struct pollfd ended = {.fd = launch->guardian_pidfd, .events = POLLIN};

    if (!launch_descriptors_are_here(launch))
        nanosleep(&pause, NULL);
    else if (poll(&ended, 1, LOOK_NS / 1000000) < 0 || (ended.revents & ~POLLIN) != 0)
        nanosleep(&pause, NULL);
}

bool launch_await_guardian(struct launch *launch)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(launch->guardian, &status, WNOHANG | __WALL);
        /* Where a filter refuses that, nothing started; but its memory is freed next. */
        if (pid < 0 && errno != ECHILD && errno != EINTR && launch_descriptors_are_here(launch)) {
            struct pollfd ended = {.fd = launch->guardian_pidfd, .events = POLLIN};
            while (poll(&ended, 1, -1) < 0 && errno == EINTR)
                continue;
        }
        if (pid > 0 || (pid < 0 && errno != EINTR))
            return true;
        if (launch_ends_in_vain(launch))
            return false;
        await_a_moment(launch);
    }
}
