/* The process index with real processes and threads: identity, exits, exhaustion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "supervisor/task.h"
#include "trapped_child.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

struct gone_list {
    size_t count;
    pid_t last;
};

static void note_gone(void *data, struct task *task)
{
    struct gone_list *gone = data;

    gone->count++;
    gone->last = task->tgid;
}

static struct seccomp_notif receive(int listener)
{
    struct seccomp_notif notification;
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(notify_receive(listener, &notification), 1);
    return notification;
}

static int call_twice(void *data)
{
    (void)data;
    syscall(SYS_getsid, 0);
    syscall(SYS_getsid, 0);
    return 7;
}

static void *call_once(void *data)
{
    (void)data;
    syscall(SYS_getsid, 0);
    syscall(SYS_getsid, 0);
    return NULL;
}

static int call_from_a_thread(void *data)
{
    pthread_t thread;

    syscall(SYS_getsid, 0);
    if (pthread_create(&thread, NULL, call_once, data) != 0)
        return 1;
    pthread_join(thread, NULL);
    syscall(SYS_getsid, 0);
    return 7;
}

static const int getsid_only[] = {SYS_getsid};

static void a_process_has_one_record_until_it_exits(void **state)
{
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child child = trapped_spawn(getsid_only, 1, call_twice, NULL);
    struct gone_list gone = {0};
    int error = 0;

    (void)state;
    assert_non_null(index);
    struct seccomp_notif first = receive(child.listener);
    struct task *task = task_index_find(index, (pid_t)first.pid, child.listener, first.id, &error);
    assert_non_null(task);
    assert_int_equal(task->tgid, child.pid);
    assert_int_equal(task_index_count(index), 1);
    assert_int_equal(task_index_drain(index, note_gone, &gone), 0);
    assert_int_equal(gone.count, 0);
    assert_int_equal(notify_continue(child.listener, first.id), 0);

    struct seccomp_notif second = receive(child.listener);
    assert_ptr_equal(task_index_find(index, (pid_t)second.pid, child.listener, second.id, &error),
                     task);
    assert_int_equal(notify_continue(child.listener, second.id), 0);

    /* Visible before the parent's wait returns, without a wait. */
    struct pollfd exits = {.fd = task_index_fd(index), .events = POLLIN};
    assert_int_equal(poll(&exits, 1, 10000), 1);
    assert_int_equal(task_index_drain(index, note_gone, &gone), 0);
    assert_int_equal(gone.count, 1);
    assert_int_equal(gone.last, child.pid);
    assert_int_equal(task_index_count(index), 0);
    assert_int_equal(trapped_wait(&child), 7);
    close(child.listener);
    task_index_free(index);
}

static void threads_belong_to_the_record_of_their_process(void **state)
{
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child child = trapped_spawn(getsid_only, 1, call_from_a_thread, NULL);
    pid_t tid = 0;
    int error = 0;

    (void)state;
    struct seccomp_notif leader = receive(child.listener);
    struct task *task =
        task_index_find(index, (pid_t)leader.pid, child.listener, leader.id, &error);
    assert_non_null(task);
    assert_int_equal(notify_continue(child.listener, leader.id), 0);
    for (int i = 0; i < 2; i++) { /* resolved, then remembered */
        struct seccomp_notif thread = receive(child.listener);
        assert_int_not_equal(thread.pid, child.pid);
        tid = (pid_t)thread.pid;
        for (int again = 0; again < 2; again++) { /* not by a call that has been answered */
            error = 0;
            assert_null(task_index_find(index, tid, child.listener, leader.id, &error));
            assert_int_equal(error, ESRCH);
            assert_ptr_equal(task_index_find(index, tid, child.listener, thread.id, &error), task);
        }
        assert_int_equal(notify_continue(child.listener, thread.id), 0);
    }
    assert_int_equal(task_index_count(index), 1);
    /* Its number is another caller's by now: the old process is not the one that waits. */
    struct seccomp_notif later = receive(child.listener);
    for (int i = 0; i < 1000 && syscall(SYS_tgkill, child.pid, tid, 0) == 0; i++)
        usleep(10000);
    assert_null(task_index_find(index, tid, child.listener, later.id, &error));
    assert_int_equal(error, ESRCH);
    assert_int_equal(notify_continue(child.listener, later.id), 0);
    assert_int_equal(trapped_wait(&child), 7);
    /* A thread that is gone is not found by memory alone. */
    assert_null(task_index_find(index, child.pid + 100000, child.listener, 1, &error));
    assert_int_equal(error, ESRCH);
    close(child.listener);
    task_index_free(index);
}

static void a_process_first_seen_by_a_thread_is_found_by_its_leader(void **state)
{
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child child = trapped_spawn(getsid_only, 1, call_from_a_thread, NULL);
    int error = 0;

    (void)state;
    struct seccomp_notif leader = receive(child.listener);
    assert_int_equal(notify_continue(child.listener, leader.id), 0);
    struct seccomp_notif thread = receive(child.listener);
    struct task *task =
        task_index_find(index, (pid_t)thread.pid, child.listener, thread.id, &error);
    assert_non_null(task);
    assert_int_equal(task->tgid, child.pid);
    kill(child.pid, SIGKILL);
    assert_int_equal(trapped_wait(&child), 128 + SIGKILL);
    struct gone_list gone = {0};
    assert_int_equal(task_index_drain(index, note_gone, &gone), 0);
    assert_int_equal(gone.last, child.pid);
    close(child.listener);
    task_index_free(index);
}

static void a_caller_that_died_is_not_recorded(void **state)
{
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child child = trapped_spawn(getsid_only, 1, call_twice, NULL);
    int error = 0;

    (void)state;
    struct seccomp_notif first = receive(child.listener);
    kill(child.pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    /* A zombie still has its number; only the notification tells that the caller is gone. */
    assert_null(task_index_find(index, child.pid, child.listener, first.id, &error));
    assert_int_equal(error, ESRCH);
    assert_int_equal(task_index_count(index), 0);
    assert_int_equal(trapped_wait(&child), 128 + SIGKILL);
    close(child.listener);
    task_index_free(index);
}

static void without_descriptors_the_call_must_be_refused(void **state)
{
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child child = trapped_spawn(getsid_only, 1, call_twice, NULL);
    struct seccomp_notif first = receive(child.listener);
    struct rlimit before, none;
    int error = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct task *task = task_index_find(index, child.pid, child.listener, first.id, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(task);
    assert_int_equal(error, EAGAIN);
    assert_int_equal(task_index_count(index), 0);
    /* Control: the same caller is found once there is room. */
    assert_non_null(task_index_find(index, child.pid, child.listener, first.id, &error));
    kill(child.pid, SIGKILL);
    trapped_wait(&child);
    close(child.listener);
    task_index_free(index);
}

static void many_exits_are_drained_at_once(void **state)
{
    enum { CHILDREN = 70 }; /* more than one batch, and several in one bucket are likely */
    struct task_index *index = task_index_new(-1, 100, SIZE_MAX);
    struct trapped_child children[CHILDREN];
    struct gone_list gone = {0};
    int error = 0;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = trapped_spawn(getsid_only, 1, call_twice, NULL);
        struct seccomp_notif first = receive(children[i].listener);
        assert_non_null(
            task_index_find(index, (pid_t)first.pid, children[i].listener, first.id, &error));
    }
    assert_int_equal(task_index_count(index), CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i].pid, SIGKILL);
        trapped_wait(&children[i]);
        close(children[i].listener);
    }
    assert_int_equal(task_index_drain(index, note_gone, &gone), 0);
    assert_int_equal(gone.count, CHILDREN);
    assert_int_equal(task_index_count(index), 0);
    task_index_free(index);
}

static void no_more_than_so_many_are_kept_and_the_forgotten_one_is_found_again(void **state)
{
    enum { CHILDREN = 6, MOST = 4 };
    struct task_index *index = task_index_new(-1, MOST, SIZE_MAX);
    struct trapped_child children[CHILDREN];
    struct seccomp_notif calls[CHILDREN];
    uint64_t ids[CHILDREN];
    int error = 0;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = trapped_spawn(getsid_only, 1, call_twice, NULL);
        calls[i] = receive(children[i].listener);
        struct task *task =
            task_index_find(index, (pid_t)calls[i].pid, children[i].listener, calls[i].id, &error);
        assert_non_null(task);
        ids[i] = task->id;
        assert_true(task_index_count(index) <= MOST);
        /* The first is looked for each time, so it is never the one that goes. */
        task =
            task_index_find(index, (pid_t)calls[0].pid, children[0].listener, calls[0].id, &error);
        assert_non_null(task);
        assert_int_equal(task->id, ids[0]);
    }
    struct task *again =
        task_index_find(index, (pid_t)calls[1].pid, children[1].listener, calls[1].id, &error);
    assert_non_null(again);
    assert_int_equal(again->tgid, children[1].pid);
    assert_int_not_equal(again->id, ids[1]);
    assert_int_equal(task_index_count(index), MOST);
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i].pid, SIGKILL);
        trapped_wait(&children[i]);
        close(children[i].listener);
    }
    assert_int_equal(task_index_drain(index, NULL, NULL), 0);
    assert_int_equal(task_index_count(index), 0);
    task_index_free(index);
}

static void several_indexes_together_keep_no_more_than_so_many(void **state)
{
    enum { INDEXES = 3, CHILDREN = 9, MOST_OF_ALL = 4 };
    struct task_index *indexes[INDEXES];
    struct trapped_child children[CHILDREN];
    struct seccomp_notif calls[CHILDREN];
    size_t all = 0;
    int error = 0;

    (void)state;
    for (int i = 0; i < INDEXES; i++)
        indexes[i] = task_index_new(-1, 100, MOST_OF_ALL);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = trapped_spawn(getsid_only, 1, call_twice, NULL);
        calls[i] = receive(children[i].listener);
        assert_non_null(task_index_find(indexes[i / 3], (pid_t)calls[i].pid, children[i].listener,
                                        calls[i].id, &error));
    }
    assert_int_equal(task_index_count(indexes[0]), 3); /* it was there before the others */
    assert_int_equal(task_index_count(indexes[1]), 1);
    assert_int_equal(task_index_count(indexes[2]), 1);
    task_index_free(indexes[0]);
    for (int i = CHILDREN - 3; i < CHILDREN; i++)
        assert_non_null(task_index_find(indexes[2], (pid_t)calls[i].pid, children[i].listener,
                                        calls[i].id, &error));
    assert_int_equal(task_index_count(indexes[2]), 3); /* there is room again */
    for (int i = 1; i < INDEXES; i++)
        all += task_index_count(indexes[i]);
    assert_int_equal(all, MOST_OF_ALL);
    task_index_free(indexes[1]);
    task_index_free(indexes[2]);
    for (int i = 0; i < CHILDREN; i++) {
        kill(children[i].pid, SIGKILL);
        trapped_wait(&children[i]);
        close(children[i].listener);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_one_record_until_it_exits),
        cmocka_unit_test(threads_belong_to_the_record_of_their_process),
        cmocka_unit_test(a_process_first_seen_by_a_thread_is_found_by_its_leader),
        cmocka_unit_test(a_caller_that_died_is_not_recorded),
        cmocka_unit_test(without_descriptors_the_call_must_be_refused),
        cmocka_unit_test(many_exits_are_drained_at_once),
        cmocka_unit_test(no_more_than_so_many_are_kept_and_the_forgotten_one_is_found_again),
        cmocka_unit_test(several_indexes_together_keep_no_more_than_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
