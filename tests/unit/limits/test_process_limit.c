/* The process limit at work, and the ledger's parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../gates/gated_run.h"
#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "limits/fork_ledger.h"
#include "limits/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

static int run(uint32_t maximum, int (*body)(void *data))
{
    static const struct feature *const features[] = {&feature_process_limit, NULL};
    struct policy policy = {.max_processes = maximum};
    struct gated_run run = {
        .policy = &policy, .features = features, .body = body, .confined = true};

    return gated_run_apart(&run);
}

static int fill_up(void *data)
{
    pid_t pids[8];

    (void)data;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                pause();
                _exit(0);
            }
            EXPECT(pids[i] > 0);
        }
        EXPECT(fork() == -1 && errno == EAGAIN);
        for (int i = 0; i < 4; i++) {
            EXPECT(kill(pids[i], SIGKILL) == 0);
            EXPECT(waitpid(pids[i], NULL, 0) == pids[i]);
        }
    }
    return 0;
}

static void test_the_first_process_counts_and_one_more_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run(5, fill_up), 0);
}

static int one_after_the_other(void *data)
{
    (void)data;
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        EXPECT(pid > 0);
        EXPECT(waitpid(pid, NULL, 0) == pid);
    }
    for (int i = 0; i < 100; i++) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(0);
        EXPECT(pid > 0);
        EXPECT(waitpid(pid, NULL, 0) == pid);
    }
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0)
            pause();
        EXPECT(pid > 0);
        kill(pid, SIGKILL);
        EXPECT(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    }
    return 0;
}

static void test_a_slot_is_free_when_its_process_has_ended(void **state)
{
    (void)state;
    assert_int_equal(run(2, one_after_the_other), 0);
}

static int leave_zombies(void *data)
{
    (void)data;
    for (int i = 0; i < 20; i++) {
        siginfo_t info;
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        EXPECT(pid > 0);
        EXPECT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    }
    return 0;
}

static void test_zombies_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(run(2, leave_zombies), 0);
}

static void *sit(void *data)
{
    pause();
    return data;
}

static int many_threads(void *data)
{
    pthread_t thread;

    for (int i = 0; i < 30; i++)
        EXPECT(pthread_create(&thread, NULL, sit, data) == 0);
    return 0;
}

static void test_threads_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(run(1, many_threads), 0);
}

static int end_first_thread(void *data)
{
    pthread_t thread;
    pid_t pid = fork();

    if (pid == 0) {
        pthread_create(&thread, NULL, sit, data);
        syscall(SYS_exit, 0);
    }
    EXPECT(pid > 0);
    usleep(50000);
    EXPECT(fork() == -1 && errno == EAGAIN);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 0;
}

static void test_a_process_without_its_first_thread_still_counts(void **state)
{
    (void)state;
    assert_int_equal(run(2, end_first_thread), 0);
}

/* While this thread copies inside the kernel, and neither sleeps nor gains user time. */
static int fork_beside_a_parent_that_copies(void *data)
{
    const size_t size = (size_t)64 << 20;
    char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int zero = open("/dev/zero", O_RDONLY), status;

    (void)data;
    EXPECT(room != MAP_FAILED && read(zero, room, size) > 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 10; i++) {
            pid_t child = fork();
            if (child == 0)
                _exit(0);
            if (child < 0 || waitpid(child, NULL, 0) != child)
                _exit(1);
        }
        _exit(0);
    }
    while (waitpid(pid, &status, WNOHANG) == 0)
        EXPECT(read(zero, room, size) > 0);
    EXPECT(status == 0);
    return 0;
}

static void test_a_parent_inside_the_kernel_takes_one_place(void **state)
{
    (void)state;
    assert_int_equal(run(3, fork_beside_a_parent_that_copies), 0);
}

/* By the child of vfork, while its parent waits for it. */
static int fork_in_vforks_child(void *data)
{
    int status;

    (void)data;
    pid_t pid = vfork();
    if (pid == 0) {
        for (int i = 0; i < 5; i++) {
            pid_t child = fork();
            if (child == 0)
                _exit(0);
            if (child < 0 || waitpid(child, NULL, 0) != child)
                _exit(1);
        }
        /* One that stays: now there are three. */
        pid_t stays = fork();
        if (stays == 0) {
            pause();
            _exit(0);
        }
        int refused = fork() == -1 && errno == EAGAIN;
        kill(stays, SIGKILL);
        waitpid(stays, NULL, 0);
        _exit(stays > 0 && refused ? 0 : 1);
    }
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    return 0;
}

static void test_a_parent_that_waits_in_vfork_takes_one_place(void **state)
{
    (void)state;
    assert_int_equal(run(3, fork_in_vforks_child), 0);
}

#define STORM_THREADS 8
#define STORM_LIMIT 6
#define STORM_SECONDS 1

struct storm {
    atomic_int alive, most, forked;
    atomic_bool over;
};

static struct storm *storm; /* shared with the children */

static void *storm_thread(void *data)
{
    while (!atomic_load(&storm->over)) {
        pid_t pid = fork();
        if (pid == 0) {
            int alive = atomic_fetch_add(&storm->alive, 1) + 1;
            int most = atomic_load(&storm->most);
            while (alive > most && !atomic_compare_exchange_weak(&storm->most, &most, alive))
                ;
            usleep(2000);
            atomic_fetch_sub(&storm->alive, 1);
            _exit(0);
        }
        if (pid > 0) {
            atomic_fetch_add(&storm->forked, 1);
            waitpid(pid, NULL, 0);
        }
    }
    return data;
}

static int raise_storm(void *data)
{
    pthread_t threads[STORM_THREADS];

    storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    atomic_store(&storm->alive, 1);
    for (int i = 0; i < STORM_THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, storm_thread, data) == 0);
    sleep(STORM_SECONDS);
    for (int i = 0;
         i < 2000 && (atomic_load(&storm->forked) <= 20 || atomic_load(&storm->most) <= 2); i++)
        usleep(10000); /* a busy machine */
    atomic_store(&storm->over, true);
    for (int i = 0; i < STORM_THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(atomic_load(&storm->forked) > 20);
    EXPECT(atomic_load(&storm->most) > 2);
    EXPECT(atomic_load(&storm->most) <= STORM_LIMIT);
    return 0;
}

static void test_threads_that_fork_at_once_do_not_exceed_the_limit(void **state)
{
    (void)state;
    assert_int_equal(run(STORM_LIMIT, raise_storm), 0);
}

/* ---- Parts ----------------------------------------------------------------------------------------- */

static void test_life_is_told_from_state_and_threads(void **state)
{
    struct procfs_stat stat = {.state = 'R', .threads = 1};

    (void)state;
    assert_true(process_stat_is_alive(&stat));
    stat.state = 'Z';
    assert_false(process_stat_is_alive(&stat));
    stat.threads = 2;
    assert_true(process_stat_is_alive(&stat));
}

static void test_a_tree_keeps_whom_it_knows_and_drops_who_is_gone(void **state)
{
    struct process_tree tree = PROCESS_TREE_INIT;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        setpgid(0, 0);
        pause();
        _exit(0);
    }
    setpgid(pid, pid);
    assert_true(process_tree_refresh(&tree, -1, getpid()) >= 1);
    assert_int_equal(process_tree_refresh(&tree, -1, getpid()), 0);
    assert_int_equal(process_tree_count_alive(&tree), 1);
    assert_true(process_tree_has_group(&tree, pid));
    assert_false(process_tree_has_group(&tree, getppid()));

    siginfo_t info;
    kill(pid, SIGKILL);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(process_tree_refresh(&tree, -1, getpid()), 0);
    assert_int_equal(process_tree_count_alive(&tree), 0);
    assert_true(process_tree_has_group(&tree, pid));
    waitpid(pid, NULL, 0);
    assert_int_equal(process_tree_refresh(&tree, -1, getpid()), 0);
    assert_int_equal(tree.count, 0);
    process_tree_free(&tree);
}

static void test_a_parent_that_ended_before_the_walk_leaves_no_doubt(void **state)
{
    struct process_tree tree = PROCESS_TREE_INIT;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(process_tree_note_fork(&tree, -1, pid), 0);
    assert_int_equal(process_tree_note_fork(&tree, -1, pid), 0);
    assert_int_equal(process_tree_count_alive(&tree), 1);
    assert_int_equal(process_tree_refresh(&tree, -1, getpid()), 0);
    assert_int_equal(process_tree_count_alive(&tree), 1);
    assert_false(tree.in_doubt);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(process_tree_refresh(&tree, -1, getpid()), 0);
    assert_int_equal(tree.count, 0);
    assert_false(tree.in_doubt);
    assert_int_equal(process_tree_note_fork(&tree, -1, pid), -ESRCH);
    process_tree_free(&tree);
}

static bool sleeps(pid_t pid)
{
    struct procfs_stat stat;

    return procfs_stat(-1, pid, &stat) == 0 && stat.state == 'S';
}

static void test_a_sleeping_thread_has_no_fork_under_way(void **state)
{
    struct fork_ledger ledger = FORK_LEDGER_INIT;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    for (int i = 0; i < 5000 && !sleeps(pid); i++)
        usleep(1000);
    assert_int_equal(fork_ledger_reserve(&ledger, -1, pid, pid), 0);
    assert_int_equal(fork_ledger_settle(&ledger, -1), 0);

    /* This thread runs: nothing tells that a fork of its own would be over, until it is told. */
    assert_int_equal(fork_ledger_reserve(&ledger, -1, sys_gettid(), getpid()), 0);
    assert_int_equal(ledger.count, 1);
    fork_ledger_settle_thread(&ledger, sys_gettid());
    assert_int_equal(ledger.count, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(fork_ledger_reserve(&ledger, -1, pid, pid), -ESRCH);
    fork_ledger_free(&ledger);
}

/* The ledger's view of this process while it does not sleep. */
static size_t settled_after(struct fork_ledger *ledger, void (*act)(void))
{
    assert_int_equal(fork_ledger_reserve(ledger, -1, sys_gettid(), getpid()), 0);
    act();
    size_t left = fork_ledger_settle(ledger, -1);
    fork_ledger_settle_thread(ledger, sys_gettid());
    return 1 - left;
}

static int gate[2]; /* its children stay until this is closed */

static void stay(void)
{
    char byte;

    close(gate[1]);
    if (read(gate[0], &byte, 1) < 0)
        _exit(1);
    _exit(0);
}

static void add_child(void)
{
    if (fork() == 0)
        stay();
}

static void do_nothing(void)
{
}

/* A descendant makes it, and ends: the orphan is found as a child of this process. */
static void add_orphan(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (fork() == 0)
            stay();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void send_children_away(void)
{
    close(gate[1]);
    while (wait(NULL) > 0) {
    }
    close(gate[0]);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
}

static int judge_children(void)
{
    struct fork_ledger ledger = FORK_LEDGER_INIT;
    pthread_t thread;
    int failed = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    failed |= settled_after(&ledger, do_nothing) == 0 ? 0 : 1;
    failed |= settled_after(&ledger, add_child) == 1 ? 0 : 2;
    /* Now it has a child, whose orphan may be what is found. */
    failed |= settled_after(&ledger, do_nothing) == 0 ? 0 : 4;
    failed |= settled_after(&ledger, add_orphan) == 0 ? 0 : 8;
    send_children_away();
    /* Who had no descendant has forked itself, if only to make who made that. */
    failed |= settled_after(&ledger, add_orphan) == 1 ? 0 : 16;
    send_children_away();
    /* A sibling thread's children. */
    pthread_create(&thread, NULL, sit, NULL);
    failed |= settled_after(&ledger, add_child) == 0 ? 0 : 32;
    send_children_away();
    fork_ledger_free(&ledger);
    return failed;
}

static void test_a_child_is_evidence_only_for_who_was_alone(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(judge_children());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_process_counts_and_one_more_is_refused),
        cmocka_unit_test(test_a_slot_is_free_when_its_process_has_ended),
        cmocka_unit_test(test_zombies_do_not_count),
        cmocka_unit_test(test_threads_do_not_count),
        cmocka_unit_test(test_a_process_without_its_first_thread_still_counts),
        cmocka_unit_test(test_a_parent_inside_the_kernel_takes_one_place),
        cmocka_unit_test(test_a_parent_that_waits_in_vfork_takes_one_place),
        cmocka_unit_test(test_threads_that_fork_at_once_do_not_exceed_the_limit),
        cmocka_unit_test(test_life_is_told_from_state_and_threads),
        cmocka_unit_test(test_a_tree_keeps_whom_it_knows_and_drops_who_is_gone),
        cmocka_unit_test(test_a_parent_that_ended_before_the_walk_leaves_no_doubt),
        cmocka_unit_test(test_a_sleeping_thread_has_no_fork_under_way),
        cmocka_unit_test(test_a_child_is_evidence_only_for_who_was_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
