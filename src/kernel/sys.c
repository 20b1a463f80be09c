/*
 * Hosted wrappers of system calls: see sys.h. They go through the raw call, so that they do not
 * depend on which of them the libc knows, and none of them is a cancellation point.
 */
#include "kernel/sys.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>

/* A scoped lookup fails EAGAIN if any rename or mount happened meanwhile; someone who renames in a
 * loop must not keep us here. */
#define OPENAT2_ATTEMPTS 64

int sys_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)sys_call2(SYS_pidfd_open, pid, flags);
}

int sys_pidfd_send_signal(int pidfd, int sig, unsigned flags)
{
    return (int)sys_call4(SYS_pidfd_send_signal, pidfd, sig, 0, flags);
}

int sys_pidfd_getfd(int pidfd, int fd)
{
    return (int)sys_call3(SYS_pidfd_getfd, pidfd, fd, 0);
}

int sys_openat2(int dir_fd, const char *path, uint64_t open_flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = open_flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    long result = -EAGAIN;

    for (int i = 0; i < OPENAT2_ATTEMPTS && (result == -EAGAIN || result == -EINTR); i++)
        result = sys_call4(SYS_openat2, dir_fd, (long)path, (long)&how, sizeof(how));
    return (int)result;
}

int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    return (int)sys_call3(SYS_close_range, first, last, flags);
}

pid_t sys_gettid(void)
{
    return (pid_t)sys_call0(SYS_gettid);
}

int sys_shorten_slice(uint64_t nanoseconds)
{
    struct { /* sched_setattr(2), in its first version */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof(attributes)};
    long result = sys_call4(SYS_sched_getattr, 0, (long)&attributes, sizeof(attributes), 0);

    if (result < 0)
        return (int)result;
    if (attributes.policy != SCHED_OTHER)
        return -EINVAL;
    attributes.runtime = nanoseconds;
    return (int)sys_call3(SYS_sched_setattr, 0, (long)&attributes, 0);
}

int sys_memfd(const char *name, unsigned flags)
{
    flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
    /* Say which kind is meant: with vm.memfd_noexec the kernel refuses or warns otherwise. */
    unsigned kind = (flags & MFD_EXEC) != 0 ? MFD_EXEC : MFD_NOEXEC_SEAL;
    long result = sys_call2(SYS_memfd_create, (long)name, flags | kind);

    if (result == -EINVAL)
        result = sys_call2(SYS_memfd_create, (long)name, flags & ~(MFD_EXEC | MFD_NOEXEC_SEAL));
    return (int)result;
}

int64_t sys_monotonic_ns(void)
{
    struct timespec now = {0};

    sys_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int sys_epoll_look(int epoll, struct epoll_event *events, int count)
{
    int ready;

    do {
        ready = epoll_wait(epoll, events, count, 0);
        if (ready < 0 && errno != EINTR)
            ready = epoll_pwait(epoll, events, count, 0, NULL);
    } while (ready < 0 && errno == EINTR);
    return ready < 0 ? -errno : ready;
}

static bool read_capabilities(struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return sys_call2(SYS_capget, (long)&header, (long)sets) == 0;
}

bool sys_is_privileged(void)
{
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return !read_capabilities(sets) || (sets[0].effective | sets[1].effective) != 0;
}

bool sys_may_be_privileged(void)
{
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return !read_capabilities(sets) || (sets[0].permitted | sets[1].permitted) != 0;
}

static ssize_t process_move(long number, pid_t tid, uint64_t address, void *data, size_t size)
{
    struct iovec local = {.iov_base = data, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};

    return sys_call6(number, tid, (long)&local, 1, (long)&remote, 1, 0);
}

ssize_t sys_process_read(pid_t tid, uint64_t address, void *data, size_t size)
{
    return process_move(SYS_process_vm_readv, tid, address, data, size);
}

ssize_t sys_process_gather(pid_t tid, const struct iovec *ranges, size_t range_count,
                           const struct iovec *places, size_t place_count)
{
    return sys_call6(SYS_process_vm_readv, tid, (long)places, (long)place_count, (long)ranges,
                     (long)range_count, 0);
}

ssize_t sys_process_scatter(pid_t tid, const struct iovec *ranges, size_t range_count,
                            const struct iovec *places, size_t place_count)
{
    return sys_call6(SYS_process_vm_writev, tid, (long)places, (long)place_count, (long)ranges,
                     (long)range_count, 0);
}

ssize_t sys_process_write(pid_t tid, uint64_t address, const void *data, size_t size)
{
    return process_move(SYS_process_vm_writev, tid, address, (void *)(uintptr_t)data, size);
}
