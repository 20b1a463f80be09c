/*
 * The process index: see task.h. One epoll instance watches the pidfds of all records, so that
 * "has anybody exited?" is one cheap call before every look at the index, however many there are.
 *
 * A leader's thread id is its process id, which stays reserved until the pidfd reports the exit; a
 * hit on it needs no further check after a drain. The id of another thread can be reused without any
 * sign, so a remembered one is verified against the kernel each time.
 */
#include "supervisor/task.h"

#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define BUCKETS 256      /* power of two */
#define THREAD_CACHE 128 /* power of two; collisions cost one look at /proc */
#define EXIT_BATCH 32

/* Records of all indexes. Global because what it bounds is: the program has one table of descriptors, and nobody
 * owns all the runs of a host. So a fork of the host needs no care either: it has copies of the table and of this. */
static atomic_size_t recorded;

struct known_thread {
    pid_t tid;
    struct task *task;
};

struct task_index {
    int proc_fd; /* borrowed */
    int epoll;
    uint64_t last_id;
    size_t count, most, most_of_all;
    struct task *oldest, *newest;
    struct task *buckets[BUCKETS];
    struct known_thread threads[THREAD_CACHE];
};

static struct task **bucket_of(struct task_index *index, pid_t tgid)
{
    return &index->buckets[(unsigned)tgid & (BUCKETS - 1)];
}

static struct known_thread *thread_of(struct task_index *index, pid_t tid)
{
    return &index->threads[(unsigned)tid & (THREAD_CACHE - 1)];
}

struct task_index *task_index_new(int proc_fd, size_t most, size_t most_of_all)
{
    struct task_index *index = calloc(1, sizeof(*index));

    if (index == NULL)
        return NULL;
    index->proc_fd = proc_fd;
    index->most = most;
    index->most_of_all = most_of_all;
    index->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (index->epoll < 0) {
        free(index);
        return NULL;
    }
    return index;
}

/* The watch is removed explicitly: if the host forked meanwhile, a copy of the pidfd may live on in
 * the other process, and epoll would go on reporting it with a pointer to freed memory. */
static void free_task(struct task_index *index, struct task *task)
{
    epoll_ctl(index->epoll, EPOLL_CTL_DEL, task->pidfd, NULL);
    fd_close(task->pidfd);
    atomic_fetch_sub(&recorded, 1);
    free(task);
}

void task_index_free(struct task_index *index)
{
    if (index == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (index->buckets[i] != NULL) {
            struct task *task = index->buckets[i];
            index->buckets[i] = task->next;
            free_task(index, task);
        }
    }
    fd_close(index->epoll);
    free(index);
}

void task_index_leave(struct task_index *index)
{
    if (index != NULL)
        atomic_fetch_sub(&recorded, index->count);
}

int task_index_fd(const struct task_index *index)
{
    return index->epoll;
}

size_t task_index_count(const struct task_index *index)
{
    return index->count;
}

uint64_t task_index_last_id(const struct task_index *index)
{
    return index->last_id;
}

/* ---- By when they were looked for ---------------------------------------------------------------- */

static void append(struct task_index *index, struct task *task)
{
    task->older = index->newest;
    task->newer = NULL;
    if (index->newest != NULL)
        index->newest->newer = task;
    else
        index->oldest = task;
    index->newest = task;
}

static void take_out(struct task_index *index, struct task *task)
{
    if (task->older != NULL)
        task->older->newer = task->newer;
    else
        index->oldest = task->newer;
    if (task->newer != NULL)
        task->newer->older = task->older;
    else
        index->newest = task->older;
}

static struct task *looked_for(struct task_index *index, struct task *task)
{
    if (task != NULL && task != index->newest) {
        take_out(index, task);
        append(index, task);
    }
    return task;
}

static void forget(struct task_index *index, struct task *task)
{
    struct task **place = bucket_of(index, task->tgid);

    while (*place != task)
        place = &(*place)->next;
    *place = task->next;
    take_out(index, task);
    index->count--;
    for (size_t i = 0; i < THREAD_CACHE; i++)
        if (index->threads[i].task == task)
            index->threads[i] = (struct known_thread){0};
}

/* ---- Finding ------------------------------------------------------------------------------------- */

static struct task *find_process(struct task_index *index, pid_t tgid)
{
    struct task *task = *bucket_of(index, tgid);

    while (task != NULL && task->tgid != tgid)
        task = task->next;
    return task;
}

static int to_index_error(long result)
{
    switch (-result) {
    case ENOTRECOVERABLE:
        return ENOTRECOVERABLE;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC: /* epoll watches of the user */
        return EAGAIN;
    default:
        return ESRCH;
    }
}

static bool has_too_many(const struct task_index *index)
{
    return index->count > index->most || atomic_load(&recorded) > index->most_of_all;
}

static struct task *add_process(struct task_index *index, pid_t tgid, int *pidfd, int *error)
{
    struct task *task = malloc(sizeof(*task));

    if (task == NULL) {
        *error = EAGAIN;
        return NULL;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = task};
    if (epoll_ctl(index->epoll, EPOLL_CTL_ADD, *pidfd, &event) != 0) {
        *error = to_index_error(-errno);
        free(task);
        return NULL;
    }
    struct task **bucket = bucket_of(index, tgid);
    *task = (struct task){
        .tgid = tgid, .pidfd = fd_steal(pidfd), .id = ++index->last_id, .next = *bucket};
    *bucket = task;
    index->count++;
    atomic_fetch_add(&recorded, 1);
    append(index, task);
    while (has_too_many(index) && index->oldest != task) {
        struct task *oldest = index->oldest;
        forget(index, oldest);
        free_task(index, oldest);
    }
    return task;
}

/* The caller's process, found or made, not yet validated. */
static struct task *resolve(struct task_index *index, pid_t tid, int listener, uint64_t id,
                            int *error)
{
    CLEANUP_FD int pidfd = sys_pidfd_open(tid, 0); /* succeeds for leaders only */
    pid_t tgid = tid;

    if (pidfd == -EINVAL || pidfd == -ENOENT) {
        tgid = procfs_tgid(index->proc_fd, tid);
        if (tgid < 0) {
            *error = to_index_error(tgid);
            return NULL;
        }
        struct task *task = find_process(index, tgid);
        if (task == NULL)
            pidfd = sys_pidfd_open(tgid, 0);
        else if (notify_check_id(listener, id) == 0)
            return task;
    }
    if (pidfd < 0) {
        *error = to_index_error(pidfd);
        return NULL;
    }
    /* Still waiting: the number was the caller's all the time, so the pidfd is the caller's. */
    int valid = notify_check_id(listener, id);
    if (valid < 0) {
        *error = to_index_error(valid);
        return NULL;
    }
    return add_process(index, tgid, &pidfd, error);
}

struct task *task_index_find(struct task_index *index, pid_t tid, int listener,
                             uint64_t notification_id, int *error)
{
    struct task *task = find_process(index, tid);

    if (task != NULL)
        return looked_for(index, task);
    struct known_thread *known = thread_of(index, tid);
    if (known->tid == tid && known->task != NULL &&
        sys_call3(SYS_tgkill, known->task->tgid, tid, 0) == 0 &&
        notify_check_id(listener, notification_id) == 0)
        return looked_for(index, known->task);

    task = looked_for(index, resolve(index, tid, listener, notification_id, error));
    if (task != NULL && task->tgid != tid)
        *known = (struct known_thread){.tid = tid, .task = task};
    return task;
}

int task_index_drain(struct task_index *index, void (*gone)(void *data, struct task *task),
                     void *data)
{
    struct epoll_event events[EXIT_BATCH];
    int ready;

    do {
        ready = sys_epoll_look(index->epoll, events, EXIT_BATCH);
        for (int i = 0; i < ready; i++) {
            struct task *task = events[i].data.ptr;
            forget(index, task);
            if (gone != NULL)
                gone(data, task);
            free_task(index, task);
        }
    } while (ready == EXIT_BATCH);
    return ready < 0 ? ready : 0;
}
