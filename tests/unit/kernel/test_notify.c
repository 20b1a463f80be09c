/*
 * Seccomp notification with a real filter. A child that shares the descriptor table installs a
 * filter that reports getpgid(); the test plays the supervisor, the child records what its calls
 * returned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "kernel/notify.h"
#include "kernel/probe.h"
#include "util/fd.h"

#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define CALLS_MAX 4

struct shared {
    volatile int listener;            /* -errno if it could not be made */
    volatile long results[CALLS_MAX]; /* of the child's calls */
};

struct fixture {
    struct shared *shared;
    pid_t child;
    int listener;
};

static long install_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

    sys_call5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                     (long)&program);
}

/* Starts a child that makes `calls` reported calls, getpgid(0), getpgid(1), … */
static void start(struct fixture *fixture, int calls)
{
    int ready[2];

    fixture->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fixture->shared, MAP_FAILED);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    struct shared *shared = fixture->shared;
    fixture->child = (pid_t)sys_call5(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (fixture->child == 0) {
        sys_call5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        shared->listener = (int)install_filter();
        sys_call3(SYS_write, ready[1], (long)"r", 1);
        for (int i = 0; i < calls; i++)
            shared->results[i] = sys_call1(SYS_getpgid, i);
        sys_call1(SYS_exit_group, 0);
    }
    char byte;
    assert_int_equal(fd_read_full(ready[0], &byte, 1), 1);
    fd_close(ready[0]);
    fd_close(ready[1]);
    fixture->listener = shared->listener;
    if (fixture->listener == -EBUSY) { /* we are supervised ourselves */
        waitpid(fixture->child, NULL, 0);
        munmap(fixture->shared, sizeof(struct shared));
        skip_because("this process is supervised itself");
    }
    assert_true(fixture->listener >= 0);
}

static struct seccomp_notif receive(const struct fixture *fixture)
{
    struct seccomp_notif notification;

    assert_int_equal(notify_receive(fixture->listener, &notification), 1);
    return notification;
}

static void finish(struct fixture *fixture)
{
    int status;

    assert_int_equal(waitpid(fixture->child, &status, 0), fixture->child);
    assert_true(WIFEXITED(status));
    fd_close(fixture->listener);
}

static void end(struct fixture *fixture)
{
    munmap(fixture->shared, sizeof(struct shared));
}

static void a_notification_tells_task_call_and_arguments(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct seccomp_notif notification = receive(&fixture);
        assert_int_equal(notification.pid, fixture.child);
        assert_int_equal(notification.data.nr, SYS_getpgid);
        assert_int_equal(notification.data.args[0], i);
        assert_int_equal(notify_continue(fixture.listener, notification.id), 0);
    }
    finish(&fixture);
    assert_int_equal(fixture.shared->results[0], getpgrp()); /* the kernel really executed it */
    end(&fixture);
}

static void a_value_is_what_the_call_returns(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, 2);
    struct seccomp_notif notification = receive(&fixture);
    assert_int_equal(notify_value(fixture.listener, notification.id, 123456789012), 0);
    notification = receive(&fixture);
    /* An error must not slip in as a value; the notification stays pending. */
    assert_int_equal(notify_value(fixture.listener, notification.id, -1), -EINVAL);
    assert_int_equal(notify_value(fixture.listener, notification.id, -4095), -EINVAL);
    assert_int_equal(notify_value(fixture.listener, notification.id, -5000), 0);
    finish(&fixture);
    assert_int_equal(fixture.shared->results[0], 123456789012);
    assert_int_equal(fixture.shared->results[1], -5000);
    end(&fixture);
}

static void an_error_is_an_error_whatever_number_was_asked_for(void **state)
{
    static const int errors[] = {EACCES, 0, -EACCES, 4096};
    struct fixture fixture;

    (void)state;
    start(&fixture, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(notify_error(fixture.listener, receive(&fixture).id, errors[i]), 0);
    finish(&fixture);
    assert_int_equal(fixture.shared->results[0], -EACCES);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(fixture.shared->results[i], -EIO);
    end(&fixture);
}

static void an_id_is_valid_until_it_is_answered(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, 1);
    uint64_t id = receive(&fixture).id;
    assert_int_equal(notify_check_id(fixture.listener, id), 0);
    assert_int_equal(notify_check_id(fixture.listener, id + 1), -ENOENT);
    assert_int_equal(notify_error(fixture.listener, id, EPERM), 0);
    finish(&fixture);
    assert_int_equal(notify_value(fixture.listener, id, 0), -EBADF); /* closed by finish() */
    end(&fixture);
}

static void an_answer_to_an_answered_call_reports_enoent(void **state)
{
    struct fixture fixture;

    (void)state;
    start(&fixture, 2);
    uint64_t first = receive(&fixture).id;
    assert_int_equal(notify_value(fixture.listener, first, 0), 0);
    uint64_t second = receive(&fixture).id; /* so the first is over */
    assert_int_equal(notify_check_id(fixture.listener, first), -ENOENT);
    assert_int_equal(notify_error(fixture.listener, first, EPERM), -ENOENT);
    assert_int_equal(notify_answer_fd(fixture.listener, first, fixture.listener, true), -ENOENT);
    assert_int_equal(notify_value(fixture.listener, second, 0), 0);
    finish(&fixture);
    end(&fixture);
}

static void an_injected_descriptor_is_the_result(void **state)
{
    struct fixture fixture;
    CLEANUP_FD int file = memfd_create("injected", MFD_CLOEXEC);
    struct stat ours, theirs;

    (void)state;
    start(&fixture, 2);
    int closing = notify_answer_fd(fixture.listener, receive(&fixture).id, file, true);
    int lasting = notify_answer_fd(fixture.listener, receive(&fixture).id, file, false);
    finish(&fixture);
    assert_true(closing >= 0 && lasting >= 0);
    assert_int_equal(fixture.shared->results[0], closing);
    assert_int_equal(fixture.shared->results[1], lasting);
    /* The table is shared, so the child's descriptors are visible here. */
    assert_int_equal(fstat(file, &ours), 0);
    assert_int_equal(fstat(closing, &theirs), 0);
    assert_int_equal(ours.st_ino, theirs.st_ino);
    assert_int_equal(fcntl(closing, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(lasting, F_GETFD) & FD_CLOEXEC, 0);
    fd_close(closing);
    fd_close(lasting);
    end(&fixture);
}

static void a_descriptor_can_be_placed_without_an_answer(void **state)
{
    struct fixture fixture;
    CLEANUP_FD int file = memfd_create("placed", MFD_CLOEXEC);

    (void)state;
    start(&fixture, 1);
    uint64_t id = receive(&fixture).id;
    assert_int_equal(notify_add_fd(fixture.listener, id, file, 200, true), 200);
    int lowest = notify_add_fd(fixture.listener, id, file, -1, true);
    assert_true(lowest >= 0 && lowest < 200);
    assert_int_equal(notify_check_id(fixture.listener, id), 0); /* still to be answered */
    assert_int_equal(notify_value(fixture.listener, id, 7), 0);
    finish(&fixture);
    assert_int_equal(fixture.shared->results[0], 7);
    fd_close(200);
    fd_close(lowest);
    end(&fixture);
}

static void a_failed_injection_leaves_the_call_answerable(void **state)
{
    struct fixture fixture;
    CLEANUP_FD int path = open("/", O_PATH | O_CLOEXEC);

    (void)state;
    start(&fixture, 1);
    uint64_t id = receive(&fixture).id;
    assert_int_equal(notify_answer_fd(fixture.listener, id, path, true), -EBADF);
    assert_int_equal(notify_answer_fd(fixture.listener, id, -1, true), -EBADF);
    assert_int_equal(notify_error(fixture.listener, id, EMFILE), 0);
    finish(&fixture);
    assert_int_equal(fixture.shared->results[0], -EMFILE);
    end(&fixture);
}

static void a_task_killed_in_the_queue_is_nothing_received(void **state)
{
    struct fixture fixture;
    struct seccomp_notif notification;

    (void)state;
    start(&fixture, 1);
    struct pollfd poll_fd = {.fd = fixture.listener, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    assert_true((poll_fd.revents & POLLIN) != 0);
    kill(fixture.child, SIGKILL);
    assert_int_equal(waitpid(fixture.child, NULL, 0), fixture.child);
    assert_int_equal(notify_receive(fixture.listener, &notification), 0);
    fd_close(fixture.listener);
    assert_int_equal(notify_receive(fixture.listener, &notification), -EBADF);
    end(&fixture);
}

static void the_wake_up_flag_is_passed_by_value(void **state)
{
    struct fixture fixture;
    struct utsname host;
    int major = 0, minor = 0;

    (void)state;
    start(&fixture, 1);
    int result = notify_set_sync_wake_up(fixture.listener);
    assert_int_equal(notify_continue(fixture.listener, receive(&fixture).id), 0);
    finish(&fixture);
    end(&fixture);
    uname(&host);
    assert_true(probe_parse_release(host.release, &major, &minor));
    assert_int_equal(result, major > 6 || (major == 6 && minor >= 6) ? 0 : -EINVAL);
}

static void the_kernels_structures_fit(void **state)
{
    (void)state;
    assert_int_equal(notify_check_sizes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernels_structures_fit),
        cmocka_unit_test(a_notification_tells_task_call_and_arguments),
        cmocka_unit_test(a_value_is_what_the_call_returns),
        cmocka_unit_test(an_error_is_an_error_whatever_number_was_asked_for),
        cmocka_unit_test(an_id_is_valid_until_it_is_answered),
        cmocka_unit_test(an_answer_to_an_answered_call_reports_enoent),
        cmocka_unit_test(an_injected_descriptor_is_the_result),
        cmocka_unit_test(a_descriptor_can_be_placed_without_an_answer),
        cmocka_unit_test(a_failed_injection_leaves_the_call_answerable),
        cmocka_unit_test(a_task_killed_in_the_queue_is_nothing_received),
        cmocka_unit_test(the_wake_up_flag_is_passed_by_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
