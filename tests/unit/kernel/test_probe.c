/* The host probe: it tells the truth, also under a container's filter, and leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "kernel/probe.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <dirent.h>
#include <linux/filter.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void a_release_begins_with_two_numbers(void **state)
{
    int major = -1, minor = -1;

    (void)state;
    assert_true(probe_parse_release("6.18.44-fc", &major, &minor));
    assert_int_equal(major, 6);
    assert_int_equal(minor, 18);
    assert_true(probe_parse_release("5.4", &major, &minor));
    assert_int_equal(minor, 4);
    assert_false(probe_parse_release("6", &major, &minor));
    assert_false(probe_parse_release("6.x", &major, &minor));
    assert_false(probe_parse_release("", &major, &minor));
    assert_int_equal(major, 5);
}

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static volatile sig_atomic_t child_signals;

static void count_signal(int sig)
{
    (void)sig;
    child_signals++;
}

static void a_probe_leaves_nothing_behind(void **state)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct sigaction old;
    struct probe_result result;
    sigset_t before, after;

    (void)state;
    memset(&before, 0,
           sizeof(before)); /* the kernel's set is shorter, and so is what libc clears */
    memset(&after, 0, sizeof(after));
    sigaction(SIGCHLD, &action, &old);
    sigprocmask(SIG_SETMASK, NULL, &before);
    int descriptors = count_descriptors();
    int privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    child_signals = 0;
    probe_host(&result);
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(child_signals, 0);
    assert_int_equal(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), privileges);
    sigprocmask(SIG_SETMASK, NULL, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    sigaction(SIGCHLD, &old, NULL);

    struct probe_result again;
    probe_host(&again);
    assert_int_equal(again.filter_count, result.filter_count);
    assert_int_equal(again.under_filter, result.under_filter);
}

static void methods_follow_from_what_works(void **state)
{
    struct probe_result result;

    (void)state;
    probe_host(&result);
    assert_true(result.kernel_major >= 5);
    assert_int_equal(result.landlock.abi, landlock_support_get()->abi);
    assert_int_equal(result.read_method == TASK_MEMORY_CALL, result.process_vm_readv.available);
    assert_int_equal(result.fetch_method == PROBE_FETCH_PIDFD, result.pidfd_getfd.available);
    assert_int_equal(result.fetch_method, probe_fetch_method());
    assert_int_equal(result.under_filter, result.filter_count > 0);
    /* Whatever is not available says why. */
    assert_true(result.listener.available || result.listener.reason[0] != '\0');
    assert_true(result.user_namespaces.available || result.user_namespaces.reason[0] != '\0');
    assert_true(result.proc.available);
    assert_true(result.dev_shm.available || result.dev_shm.reason[0] != '\0');
}

/* Runs the probe in a child whose filter answers EPERM to the calls, and also lets a listener watch
 * acct() if asked for. */
static struct probe_result probe_under_filter(const int *calls, unsigned short count,
                                              unsigned long flags)
{
    struct probe_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        struct sock_filter code[32] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
        unsigned short length = 1;
        for (unsigned short i = 0; i < count; i++) {
            code[length++] =
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
            code[length++] =
                (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
        }
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct sock_fprog program = {.len = length, .filter = code};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&program) < 0)
            _exit(1);
        probe_host(shared);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct probe_result result = *shared;
    munmap(shared, sizeof(*shared));
    return result;
}

static void a_containers_refusals_are_seen(void **state)
{
    static const int refused[] = {SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
                                  SYS_kcmp, SYS_unshare};
    struct probe_result open_host;

    (void)state;
    probe_host(&open_host);
    struct probe_result result = probe_under_filter(refused, 5, 0);
    assert_false(result.process_vm_readv.available);
    assert_int_equal(result.process_vm_readv.sys_errno, EPERM);
    assert_non_null(strstr(result.process_vm_readv.reason, "process_vm_readv"));
    assert_false(result.pidfd_getfd.available);
    assert_false(result.kcmp.available);
    assert_false(result.user_namespaces.available);
    assert_true(result.under_filter);
    assert_true(result.no_new_privileges);
    assert_false(result.under_listener && !open_host.under_listener);
    /* The next rung of each ladder still holds. */
    assert_int_equal(result.proc_mem.available, open_host.proc_mem.available);
    assert_int_equal(result.ptrace.available, open_host.ptrace.available);
    assert_int_equal(result.read_method,
                     open_host.proc_mem.available ? TASK_MEMORY_FILE : TASK_MEMORY_NONE);
    assert_int_equal(result.fetch_method,
                     open_host.ptrace.available ? PROBE_FETCH_TRACER : PROBE_FETCH_NONE);
}

static void without_ptrace_there_is_no_way_to_fetch(void **state)
{
    static const int refused[] = {SYS_pidfd_getfd, SYS_ptrace};

    (void)state;
    struct probe_result result = probe_under_filter(refused, 2, 0);
    assert_false(result.ptrace.available);
    assert_int_equal(result.fetch_method, PROBE_FETCH_NONE);
}

static void each_single_call_that_is_refused_is_seen(void **state)
{
    static const int numbers[PROBE_CALLS] = {
        [PROBE_OPENAT2] = SYS_openat2,
        [PROBE_FACCESSAT2] = SYS_faccessat2,
        [PROBE_STATX] = SYS_statx,
        [PROBE_CLOSE_RANGE] = SYS_close_range,
        [PROBE_PIDFD_SEND_SIGNAL] = SYS_pidfd_send_signal,
        [PROBE_MEMFD_CREATE] = SYS_memfd_create,
        [PROBE_SIGNALFD] = SYS_signalfd4,
        [PROBE_KILL] = SYS_kill,
    };
    struct probe_result open_host;

    (void)state;
    probe_host(&open_host);
    for (int i = 0; i < PROBE_CALLS; i++) {
        struct probe_result result = probe_under_filter(&numbers[i], 1, 0);
        for (int other = 0; other < PROBE_CALLS; other++) {
            const struct probe_item *item = &result.calls[other];
            assert_int_equal(item->available, other != i && open_host.calls[other].available);
            assert_true(item->available ||
                        strstr(item->reason, probe_call_name((enum probe_call)other)) != NULL);
        }
        assert_int_equal(result.calls[i].sys_errno, EPERM);
    }
}

static void a_refused_restriction_is_seen(void **state)
{
    static const int refused[] = {SYS_landlock_restrict_self};
    struct probe_result open_host;

    (void)state;
    probe_host(&open_host);
    assert_true(open_host.landlock_restrict.available || open_host.landlock.abi <= 0 ||
                open_host.under_filter);
    struct probe_result result = probe_under_filter(refused, 1, 0);
    assert_false(result.landlock_restrict.available);
    assert_int_equal(result.landlock_restrict.sys_errno, EPERM);
    assert_int_equal(result.listener.available, open_host.listener.available);
}

static void a_second_listener_is_recognised_as_nesting(void **state)
{
    struct probe_result open_host;

    (void)state;
    probe_host(&open_host);
    if (!open_host.listener.available)
        skip_because("no second listener can be had here");
    struct probe_result result = probe_under_filter(NULL, 0, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    assert_true(result.under_listener);
    assert_false(result.listener.available);
    assert_non_null(strstr(result.listener.reason, "--no-supervisor"));
    /* What could not be tried is judged by the version, and says so. */
    assert_int_equal(result.sync_wake_up.available, open_host.sync_wake_up.available);
    assert_non_null(strstr(result.sync_wake_up.reason, "version"));
    assert_true(result.wait_killable.available == open_host.wait_killable.available);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_begins_with_two_numbers),
        cmocka_unit_test(a_probe_leaves_nothing_behind),
        cmocka_unit_test(methods_follow_from_what_works),
        cmocka_unit_test(a_containers_refusals_are_seen),
        cmocka_unit_test(without_ptrace_there_is_no_way_to_fetch),
        cmocka_unit_test(each_single_call_that_is_refused_is_seen),
        cmocka_unit_test(a_refused_restriction_is_seen),
        cmocka_unit_test(a_second_listener_is_recognised_as_nesting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
