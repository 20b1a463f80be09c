/* The readers of /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Every test runs with an opened /proc and with the name. */
static int proc_fds[2] = {-1, -1};
#define FOR_EACH_PROC(fd)                                                               \
    for (size_t fd##_index = 0, fd##_go = 1; fd##_index < 2; fd##_index++, fd##_go = 1) \
        for (int fd = proc_fds[fd##_index]; fd##_go; fd##_go = 0)

/* A child of the given name, asleep; ready when this returns. */
static pid_t start_child(const char *name)
{
    int ready[2];

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        prctl(PR_SET_NAME, name, 0, 0, 0);
        fd_write_all(ready[1], "r", 1);
        for (;;)
            pause();
    }
    char byte;
    fd_close(ready[1]);
    assert_int_equal(fd_read_full(ready[0], &byte, 1), 1);
    fd_close(ready[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_hostile_name_does_not_move_the_fields(void **state)
{
    static const char *const names[] = {"a) (b", "x) R 1 1 1 (", ")", "(", " ", "a\nTgid:\t1"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        pid_t child = start_child(names[i]);
        FOR_EACH_PROC(proc)
        {
            struct procfs_stat stat;
            assert_int_equal(procfs_stat(proc, child, &stat), 0);
            assert_string_equal(stat.comm, names[i]);
            assert_int_equal(stat.pid, child);
            assert_int_equal(stat.parent, getpid());
            assert_int_equal(stat.group, getpgrp());
            assert_int_equal(stat.session, getsid(0));
            assert_int_equal(stat.threads, 1);
            assert_true(stat.start_time > 0);
            assert_true(stat.virtual_bytes > 0);
            assert_int_equal(procfs_parent(proc, child), getpid());
            assert_int_equal(procfs_tgid(proc, child), child);
        }
        end_child(child);
    }
}

static void the_state_of_a_zombie_is_z(void **state)
{
    struct procfs_stat stat;
    siginfo_t info;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(procfs_stat(-1, child, &stat), 0);
    assert_int_equal(stat.state, 'Z');
    waitpid(child, NULL, 0);
    assert_int_equal(procfs_stat(-1, child, &stat), -ENOENT);
    assert_int_equal(stat.pid, 0);
}

static void what_is_no_stat_line_is_refused(void **state)
{
    static const char good[] = "12 (a b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
                               "18446744073709551615 23";
    static const char *const wrong[] = {
        "",
        "12",
        "12 (a",
        "12 a) S 1",
        ") (",
        "(a) S 1 2",
        "12 (a)",
        "12 (a) ",
        "12 (a) S 1 2 3",
        "x (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
        "12 (a) S 1 2 x 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
        "12 (a) S 1 2 99999999999999999999999 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
    };
    struct procfs_stat stat;

    (void)state;
    assert_int_equal(procfs_parse_stat(good, &stat), 0);
    assert_int_equal(stat.parent, 1);
    assert_int_equal(stat.terminal, 4);
    assert_int_equal(stat.foreground, 5);
    assert_int_equal(stat.user_ticks, 11);
    assert_int_equal(stat.system_ticks, 12);
    assert_int_equal(stat.threads, 17);
    assert_int_equal(stat.start_time, 19);
    assert_int_equal(stat.virtual_bytes, 20);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(procfs_parse_stat(wrong[i], &stat), -EINVAL);
}

struct thread_facts {
    pid_t tid;
    pid_t tgid;
    long threads;
    ssize_t listed;
    ssize_t own_link;    /* own table, by thread-self */
    ssize_t leader_link; /* the same number in the process's table */
    char target[64];
};

static void *look_from_a_thread(void *argument)
{
    struct thread_facts *facts = argument;
    pid_t tids[8];
    int proc = procfs_open();

    facts->tid = sys_gettid();
    facts->tgid = procfs_tgid(proc, facts->tid);
    facts->threads = procfs_thread_count(proc, getpid());
    facts->listed = procfs_threads(proc, getpid(), tids, 8);
    if (unshare(CLONE_FILES) != 0)
        return NULL;
    int fd = fd_duplicate_above(memfd_create("mine", MFD_CLOEXEC), 300);
    facts->own_link = procfs_read_fd_link(proc, 0, fd, facts->target, sizeof(facts->target));
    char unused[64];
    facts->leader_link = procfs_read_fd_link(proc, getpid(), fd, unused, sizeof(unused));
    return NULL;
}

static void a_thread_has_a_process_and_maybe_its_own_table(void **state)
{
    struct thread_facts facts = {0};
    pthread_t thread;
    long before = procfs_thread_count(-1, getpid());

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, look_from_a_thread, &facts), 0);
    pthread_join(thread, NULL);
    assert_int_not_equal(facts.tid, getpid());
    assert_int_equal(facts.tgid, getpid());
    assert_int_equal(facts.threads, before + 1);
    assert_int_equal(facts.listed, before + 1);
    assert_string_equal(facts.target, "/memfd:mine (deleted)");
    assert_int_equal(facts.own_link, strlen(facts.target));
    assert_int_equal(facts.leader_link, -ENOENT);
}

static void children_are_listed_up_to_the_capacity(void **state)
{
    pid_t children[3], found[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        children[i] = start_child("child");
    FOR_EACH_PROC(proc)
    {
        memset(found, 0, sizeof(found));
        ssize_t count = procfs_children(proc, getpid(), found, 3);
        if (count == -ENOTSUP)
            break;
        assert_int_equal(count, 3);
        assert_memory_equal(found, children, sizeof(found)); /* in the order of birth */
        memset(found, 0, sizeof(found));
        assert_int_equal(procfs_children(proc, getpid(), found, 1), 3);
        assert_int_equal(found[0], children[0]);
        assert_int_equal(found[1], 0);
        assert_int_equal(procfs_children(proc, children[0], found, 3), 0);
    }
    for (size_t i = 0; i < 3; i++)
        end_child(children[i]);
    assert_int_equal(procfs_children(-1, children[0], found, 3), -ENOENT);
}

static void links_are_read_whole_or_not_at_all(void **state)
{
    CLEANUP_FD int fd = memfd_create("name", MFD_CLOEXEC);
    static const char target[] = "/memfd:name (deleted)";
    char text[sizeof(target)];

    (void)state;
    FOR_EACH_PROC(proc)
    {
        assert_int_equal(procfs_read_fd_link(proc, 0, fd, text, sizeof(text)), sizeof(target) - 1);
        assert_string_equal(text, target);
        assert_int_equal(procfs_read_fd_link(proc, getpid(), fd, text, sizeof(text) - 1),
                         -ENAMETOOLONG);
        assert_string_equal(text, "");
        assert_int_equal(procfs_read_fd_link(proc, 0, 100000, text, sizeof(text)), -ENOENT);
        assert_int_equal(procfs_read_fd_link(proc, 0, -1, text, sizeof(text)), -EBADF);
        assert_int_equal(procfs_read_link(proc, -1, "exe", text, sizeof(text)), -ESRCH);
    }
}

static void a_line_of_a_status_file_is_found_by_its_whole_name(void **state)
{
    static const char status[] =
        "Name:\tUmask:\t0777\nUmask:\t0022\nTgid:\t41\nNSTgid:\t41\t7\n"
        "SigPnd:\t00000000000000ff\nHuge:\t99999999999999999999\nNone:\t\n";
    uint64_t value = 0;

    (void)state;
    assert_true(procfs_status_number(status, "Umask", 8, &value));
    assert_int_equal(value, 022);
    assert_true(procfs_status_number(status, "Tgid", 10, &value));
    assert_int_equal(value, 41);
    assert_true(procfs_status_number(status, "SigPnd", 16, &value));
    assert_int_equal(value, 0xff);
    assert_false(procfs_status_number(status, "Sig", 16, &value));
    assert_false(procfs_status_number(status, "Huge", 10, &value));
    assert_null(procfs_status_field("", "Umask"));
    assert_null(procfs_status_field("Umask", "Umask"));
    assert_true(strncmp(procfs_status_field(status, "NSTgid"), "41\t7\n", 5) == 0);
}

static void a_file_is_cut_at_the_buffer(void **state)
{
    char text[5];

    (void)state;
    FOR_EACH_PROC(proc)
    {
        assert_int_equal(procfs_read(proc, getpid(), "status", text, sizeof(text)), 4);
        assert_string_equal(text, "Name");
        assert_int_equal(procfs_read(proc, getpid(), "no-such-file", text, sizeof(text)), -ENOENT);
        assert_string_equal(text, "");
    }
}

static void only_the_top_of_our_own_procfs_is_ours(void **state)
{
    static const char *const others[] = {"/", "/proc/self", "/proc/sys", "/tmp"};
    const char *reason;

    (void)state;
    assert_int_equal(procfs_check_own(proc_fds[0], &reason), 0);
    assert_string_equal(reason, "");
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        CLEANUP_FD int fd = open(others[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(procfs_check_own(fd, &reason), -ENODEV);
        assert_string_equal(reason, "no procfs is mounted there");
    }
}

static int open_proc(void **state)
{
    (void)state;
    proc_fds[0] = procfs_open();
    return proc_fds[0] >= 0 ? 0 : -1;
}

static int close_proc(void **state)
{
    (void)state;
    fd_close(proc_fds[0]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_name_does_not_move_the_fields),
        cmocka_unit_test(the_state_of_a_zombie_is_z),
        cmocka_unit_test(what_is_no_stat_line_is_refused),
        cmocka_unit_test(a_thread_has_a_process_and_maybe_its_own_table),
        cmocka_unit_test(children_are_listed_up_to_the_capacity),
        cmocka_unit_test(links_are_read_whole_or_not_at_all),
        cmocka_unit_test(a_line_of_a_status_file_is_found_by_its_whole_name),
        cmocka_unit_test(a_file_is_cut_at_the_buffer),
        cmocka_unit_test(only_the_top_of_our_own_procfs_is_ours),
    };

    return cmocka_run_group_tests(tests, open_proc, close_proc);
}
