/* The raw system call and the hosted wrappers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "kernel/sys.h"
#include "util/fd.h"

#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void a_raw_call_returns_what_the_kernel_returns(void **state)
{
    (void)state;
    errno = EXDEV;
    assert_int_equal(sys_call0(SYS_getpid), getpid());
    assert_int_equal(sys_call1(SYS_close, -1), -EBADF);
    assert_int_equal(errno, EXDEV); /* errno is not touched */
    assert_int_equal(sys_gettid(), getpid());
}

static void all_six_arguments_arrive(void **state)
{
    CLEANUP_FD int fd = sys_memfd("arguments", 0);
    long page = sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(ftruncate(fd, 2 * page), 0);
    assert_int_equal(pwrite(fd, "second", 6, page), 6);
    long address = sys_call6(SYS_mmap, 0, page, PROT_READ, MAP_SHARED, fd, page);
    assert_true(address > 0);
    assert_memory_equal((const char *)address, "second", 6);
    assert_int_equal(sys_call2(SYS_munmap, address, page), 0);
}

static void a_pidfd_outlives_and_signals_its_process(void **state)
{
    siginfo_t info;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (;;)
            pause();
    }
    CLEANUP_FD int pidfd = sys_pidfd_open(child, 0);
    assert_true(pidfd >= 0);
    assert_true((fcntl(pidfd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(sys_pidfd_send_signal(pidfd, 0, 0), 0);
    assert_int_equal(sys_pidfd_send_signal(pidfd, SIGTERM, 0), 0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED), 0);
    assert_int_equal(info.si_code, CLD_KILLED);
    assert_int_equal(info.si_status, SIGTERM);
    assert_int_equal(sys_pidfd_send_signal(pidfd, 0, 0), -ESRCH);
    assert_int_equal(sys_pidfd_open(-1, 0), -EINVAL);
}

static void a_descriptor_is_fetched_from_a_process(void **state)
{
    CLEANUP_FD int file = sys_memfd("fetched", 0);
    CLEANUP_FD int pidfd = sys_pidfd_open(getpid(), 0);
    CLEANUP_FD int copy = sys_pidfd_getfd(pidfd, file);
    struct stat ours, theirs;

    (void)state;
    if (copy == -EPERM || copy == -ENOSYS)
        skip_because("a filter refuses to fetch descriptors");
    assert_true(copy >= 0);
    assert_int_equal(fstat(file, &ours), 0);
    assert_int_equal(fstat(copy, &theirs), 0);
    assert_int_equal(ours.st_ino, theirs.st_ino);
    assert_int_equal(sys_pidfd_getfd(pidfd, 100000), -EBADF);
}

static void openat2_obeys_its_resolve_flags(void **state)
{
    CLEANUP_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int inside = sys_openat2(proc, "self/status", O_RDONLY, 0, RESOLVE_BENEATH);

    (void)state;
    assert_true(inside >= 0);
    assert_true((fcntl(inside, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(sys_openat2(proc, "../", O_PATH, 0, RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(sys_openat2(proc, "self/status", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), -ELOOP);
    assert_int_equal(sys_openat2(root, "proc/self/exe", O_PATH, 0, RESOLVE_NO_MAGICLINKS), -ELOOP);
    assert_int_equal(sys_openat2(root, ".", O_RDONLY, 0600, 0),
                     -EINVAL); /* a mode without O_CREAT */
}

static void a_range_of_descriptors_is_closed(void **state)
{
    CLEANUP_FD int low = sys_memfd("low", 0);
    int high = fd_duplicate_above(low, 500);

    (void)state;
    assert_true(high >= 500);
    assert_int_equal(sys_close_range((unsigned)high, (unsigned)high + 10, 0), 0);
    assert_int_equal(fcntl(high, F_GETFD), -1);
    assert_true(fcntl(low, F_GETFD) >= 0);
    assert_int_equal(sys_close_range(10, 9, 0), -EINVAL);
}

static void a_memfd_closes_on_exec_and_can_be_sealed(void **state)
{
    CLEANUP_FD int fd = sys_memfd("sealed", 0);
    CLEANUP_FD int executable = sys_memfd("executable", MFD_EXEC);
    struct stat status;

    (void)state;
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(fd_write_all(fd, "x", 1), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
    assert_int_equal(fd_write_all(fd, "y", 1), -EPERM);
    if (executable == -EACCES)
        return; /* vm.memfd_noexec=2 */
    assert_int_equal(fstat(executable, &status), 0);
    assert_true((status.st_mode & S_IXUSR) != 0);
}

/* Old kernels take the request and ignore it; what must hold everywhere is that nothing else changes. */
static void shorter_slices_change_no_priority(void **state)
{
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        int nice = getpriority(PRIO_PROCESS, 0), policy = sched_getscheduler(0);
        bool kept = sys_shorten_slice(100000) == 0 && getpriority(PRIO_PROCESS, 0) == nice &&
                    sched_getscheduler(0) == policy;
        _exit(kept ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool set_capabilities(struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return sys_call2(SYS_capset, (long)&header, (long)sets) == 0;
}

/* Also for an ordinary user, who has nothing to give up. */
static void capabilities_that_are_not_in_force_could_be(void **state)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    (void)state;
    assert_int_equal(sys_call2(SYS_capget, (long)&header, (long)sets), 0);
    bool permitted = (sets[0].permitted | sets[1].permitted) != 0;
    assert_int_equal(sys_may_be_privileged(), permitted);
    pid_t child = fork();
    if (child == 0) {
        sets[0].effective = sets[1].effective = 0;
        bool dropped =
            set_capabilities(sets) && !sys_is_privileged() && sys_may_be_privileged() == permitted;
        memset(sets, 0, sizeof(sets));
        _exit(dropped && set_capabilities(sets) && !sys_may_be_privileged() ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raw_call_returns_what_the_kernel_returns),
        cmocka_unit_test(all_six_arguments_arrive),
        cmocka_unit_test(a_pidfd_outlives_and_signals_its_process),
        cmocka_unit_test(a_descriptor_is_fetched_from_a_process),
        cmocka_unit_test(openat2_obeys_its_resolve_flags),
        cmocka_unit_test(a_range_of_descriptors_is_closed),
        cmocka_unit_test(capabilities_that_are_not_in_force_could_be),
        cmocka_unit_test(shorter_slices_change_no_priority),
        cmocka_unit_test(a_memfd_closes_on_exec_and_can_be_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
