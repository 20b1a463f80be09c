/*
 * System calls and constants that the libc of the build machine may lack, and a raw system call.
 *
 * sys_call0() … sys_call6() return what the kernel returns: a value, or -errno. They use no libc,
 * no errno and no thread-local storage, so they are safe in code that runs between clone and exec,
 * also in a process that shares its parent's memory and has no thread descriptor of its own. The
 * functions at the end are for hosted code; they return -errno as well.
 */
#ifndef SANDLOCK_KERNEL_SYS_H
#define SANDLOCK_KERNEL_SYS_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The kernel's struct statx (statx(2)); not every libc has it. */
struct sys_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    uint64_t times[8]; /* access, birth, change, modification: seconds, then nanoseconds */
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t rest[14];
};
#define SYS_STATX_BASIC 0x7ff /* STATX_BASIC_STATS */
_Static_assert(sizeof(struct sys_statx) == 256, "struct statx has 256 bytes");

/* ---- numbers: identical on every architecture since 5.1 ("unified" numbers, 424 and up) ---- */

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#ifndef SYS_landlock_add_rule
#define SYS_landlock_add_rule 445
#endif
#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* ---- numbers that differ: x86-64 has its own, the others share the generic table ---- */

#if defined(__x86_64__)
#define SYS_NUMBER(x86_64, generic) (x86_64)
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
#define SYS_NUMBER(x86_64, generic) (generic)
#else
#error "sandlock supports x86_64, aarch64 and riscv64"
#endif

#ifndef SYS_process_vm_readv
#define SYS_process_vm_readv SYS_NUMBER(310, 270)
#endif
#ifndef SYS_process_vm_writev
#define SYS_process_vm_writev SYS_NUMBER(311, 271)
#endif
#ifndef SYS_kcmp
#define SYS_kcmp SYS_NUMBER(312, 272)
#endif
#ifndef SYS_seccomp
#define SYS_seccomp SYS_NUMBER(317, 277)
#endif
#ifndef SYS_memfd_create
#define SYS_memfd_create SYS_NUMBER(319, 279)
#endif

/* ---- seccomp (seccomp(2), seccomp_unotify(2)) ---- */

#ifndef SECCOMP_FILTER_FLAG_TSYNC
#define SECCOMP_FILTER_FLAG_TSYNC (1UL << 0)
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3) /* 5.0 */
#endif
#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4) /* 5.7 */
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif
#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#endif
#ifndef SECCOMP_RET_KILL_PROCESS
#define SECCOMP_RET_KILL_PROCESS 0x80000000U
#endif
#ifndef SECCOMP_ADDFD_FLAG_SETFD
#define SECCOMP_ADDFD_FLAG_SETFD (1UL << 0)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1) /* 5.14 */
#endif

/* ---- prctl ---- */

#ifndef PR_SET_CHILD_SUBREAPER
#define PR_SET_CHILD_SUBREAPER 36
#endif
#ifndef PR_GET_CHILD_SUBREAPER
#define PR_GET_CHILD_SUBREAPER 37
#endif
#ifndef PR_SET_NO_NEW_PRIVS
#define PR_SET_NO_NEW_PRIVS 38
#endif
#ifndef PR_GET_NO_NEW_PRIVS
#define PR_GET_NO_NEW_PRIVS 39
#endif
#ifndef PR_SET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#endif
#ifndef PR_GET_THP_DISABLE
#define PR_GET_THP_DISABLE 42
#endif
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#endif
#ifndef PR_CAP_AMBIENT_CLEAR_ALL
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif
#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

/* ---- openat2(2) ---- */

#ifndef RESOLVE_NO_XDEV
#define RESOLVE_NO_XDEV 0x01
#endif
#ifndef RESOLVE_NO_MAGICLINKS
#define RESOLVE_NO_MAGICLINKS 0x02
#endif
#ifndef RESOLVE_NO_SYMLINKS
#define RESOLVE_NO_SYMLINKS 0x04
#endif
#ifndef RESOLVE_BENEATH
#define RESOLVE_BENEATH 0x08
#endif
#ifndef RESOLVE_IN_ROOT
#define RESOLVE_IN_ROOT 0x10
#endif
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* 5.12 */
#endif

/* ---- pidfd, clone, close_range, memfd ---- */

#ifndef PIDFD_NONBLOCK
#define PIDFD_NONBLOCK O_NONBLOCK /* 5.10 */
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* 6.9 */
#endif
#ifndef PIDFD_SIGNAL_THREAD
#define PIDFD_SIGNAL_THREAD (1UL << 0) /* 6.9 */
#endif
#ifndef PIDFD_SIGNAL_THREAD_GROUP
#define PIDFD_SIGNAL_THREAD_GROUP (1UL << 1) /* 6.9 */
#endif
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1UL << 2) /* 6.9 */
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2) /* 5.11 */
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#endif
#ifndef MFD_ALLOW_SEALING
#define MFD_ALLOW_SEALING 0x0002U
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* 6.3 */
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

/* ---- the raw call ---- */

#define SYS_INLINE static inline __attribute__((always_inline, unused))

SYS_INLINE long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
#else
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;

    __asm__ volatile("ecall"
                     : "+r"(a0)
                     : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
                     : "memory");
    return a0;
#endif
}

/* Unused arguments are passed as 0: several calls refuse garbage in arguments a newer kernel may
 * use. */
SYS_INLINE long sys_call5(long number, long a, long b, long c, long d, long e)
{
    return sys_call6(number, a, b, c, d, e, 0);
}

SYS_INLINE long sys_call4(long number, long a, long b, long c, long d)
{
    return sys_call6(number, a, b, c, d, 0, 0);
}

SYS_INLINE long sys_call3(long number, long a, long b, long c)
{
    return sys_call6(number, a, b, c, 0, 0, 0);
}

SYS_INLINE long sys_call2(long number, long a, long b)
{
    return sys_call6(number, a, b, 0, 0, 0, 0);
}

SYS_INLINE long sys_call1(long number, long a)
{
    return sys_call6(number, a, 0, 0, 0, 0, 0);
}

SYS_INLINE long sys_call0(long number)
{
    return sys_call6(number, 0, 0, 0, 0, 0, 0);
}

/* ---- hosted wrappers: a result, or -errno ---- */

/* A descriptor that refers to the process; close-on-exec by definition. */
int sys_pidfd_open(pid_t pid, unsigned flags);

/* Sends `sig` with kill()'s siginfo. flags 0, or one PIDFD_SIGNAL_*. */
int sys_pidfd_send_signal(int pidfd, int sig, unsigned flags);

/* A duplicate of descriptor `fd` of the process behind `pidfd`, close-on-exec. */
int sys_pidfd_getfd(int pidfd, int fd);

/* open() with RESOLVE_* flags; O_CLOEXEC is added. EAGAIN, which the kernel answers when a rename
 * raced with a scoped lookup, is retried a bounded number of times. `mode` must be 0 unless O_CREAT
 * or O_TMPFILE is set. */
int sys_openat2(int dir_fd, const char *path, uint64_t open_flags, uint64_t mode, uint64_t resolve);

int sys_close_range(unsigned first, unsigned last, unsigned flags);
pid_t sys_gettid(void);

/* Asks for shorter time slices of the calling thread, which then gets its turn sooner when it wakes up
 * on a busy CPU; its share of the CPU stays the same. Only where the scheduler is the ordinary one. Linux
 * 6.12; before, and after a refusal, nothing changes. 0 or -errno. */
int sys_shorten_slice(uint64_t nanoseconds);

/* CLOCK_MONOTONIC in nanoseconds, without the vDSO: for what runs once. The first call through the vDSO
 * costs a static program as much as forty of these. */
int64_t sys_monotonic_ns(void);

/* What is ready behind an epoll instance, without waiting: the number of events, or -errno. A filter of the caller's may
 * refuse one of the calls that tell, not both. */
struct epoll_event;
int sys_epoll_look(int epoll, struct epoll_event *events, int count);

/* An anonymous file, close-on-exec, sealable. Not executable unless MFD_EXEC is among the flags
 * (before 6.3 the kernel has no such distinction, and the file is an ordinary one). */
int sys_memfd(const char *name, unsigned flags);

/* True if the calling thread has any capability in force, and if that cannot be told. */
bool sys_is_privileged(void);

/* The same of what it may put in force, so of every program that it starts without new privileges. */
bool sys_may_be_privileged(void);

/* process_vm_readv/-writev of one range. Returns the bytes moved (a prefix if the range runs into
 * an unmapped page), or -errno. */
ssize_t sys_process_read(pid_t tid, uint64_t address, void *data, size_t size);
ssize_t sys_process_write(pid_t tid, uint64_t address, const void *data, size_t size);

/* process_vm_readv of several ranges. */
ssize_t sys_process_gather(pid_t tid, const struct iovec *ranges, size_t range_count,
                           const struct iovec *places, size_t place_count);

/* process_vm_writev of several ranges, from places of ours. */
ssize_t sys_process_scatter(pid_t tid, const struct iovec *ranges, size_t range_count,
                            const struct iovec *places, size_t place_count);

#endif
