/*
 * What the host offers: see probe.h. One idea: an experiment runs in a cloned child that only makes
 * raw system calls and leaves its findings in a page shared with the parent.
 */
#include "kernel/probe.h"

#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "kernel/put_text.h"
#include "kernel/sys.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#define EXPERIMENT_STEP_NS 200000L
#define EXPERIMENT_STEPS_MAX 25000 /* 5 s: no experiment waits for anything */
#define KCMP_VM_TYPE 1
#define NO_SUCH_NOTIFICATION 1

/* Findings are 0 or -errno; what was never reached stays NOT_TRIED. */
#define NOT_TRIED (-4096)

struct findings {
    int unshare, uid_map;
    int listener, addfd_send, sync_wake_up;
    int restrict_self;
    int pidfd_open, pidfd_getfd, vm_read, vm_write, mem, ptrace, kcmp;
    uint64_t target; /* what the experiments on memory read and write */
};

/* ---- experiments: run in a child, raw calls only ---- */

static void exit_child(void)
{
    for (;;)
        sys_call1(SYS_exit_group, 0);
}

/* A child with the exit signal 0: the host's SIGCHLD handler does not run and its wait() does not
 * reap it; only a wait with __WALL does. */
static long clone_silently(void)
{
    return sys_call5(SYS_clone, 0, 0, 0, 0, 0);
}

static int write_text(const char *path, const char *text, size_t length)
{
    long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0);

    if (fd < 0)
        return (int)fd;
    long put = sys_call3(SYS_write, fd, (long)text, (long)length);
    sys_call1(SYS_close, fd);
    return put < 0 ? (int)put : 0;
}

static void try_user_namespace(struct findings *findings)
{
    char map[40];
    unsigned uid = (unsigned)sys_call0(SYS_geteuid);

    findings->unshare = (int)sys_call1(SYS_unshare, CLONE_NEWUSER);
    if (findings->unshare != 0)
        return;
    char *end = put_number(map, uid);
    *end++ = ' ';
    end = put_number(end, uid);
    memcpy(end, " 1\n", 3);
    end += 3;
    /* Some distributions let the unshare succeed and take the capabilities away: only the written
     * map shows that the namespace is of use. */
    findings->uid_map = write_text("/proc/self/uid_map", map, (size_t)(end - map));
}

static void try_listener(struct findings *findings)
{
    /* acct(2) stands for a call that nothing in this child makes. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_acct, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

    long result = sys_call5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* With no ruleset: the kernel goes on to look for one. */
    long restricted = result == 0 ? sys_call2(SYS_landlock_restrict_self, -1, 0) : result;
    findings->restrict_self = restricted == -EBADF ? 0 : (int)restricted;
    if (result == 0)
        result = sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                           (long)&program);
    findings->listener = result < 0 ? (int)result : 0;
    if (result < 0)
        return;
    int listener = (int)result;
    findings->sync_wake_up = notify_set_sync_wake_up(listener);
    /* No such notification exists: a kernel that knows the flag looks for it and says ENOENT, one
     * that does not refuses the flag first (EINVAL). */
    int added = notify_answer_fd(listener, NO_SUCH_NOTIFICATION, listener, true);
    findings->addfd_send = added == -ENOENT ? 0 : added;
}

/* Reads what the other process has at the same address as we have. */
static int try_mem_file(pid_t pid, const volatile uint64_t *address)
{
    char path[32] = "/proc/";
    uint64_t copy = 0;
    char *end = put_number(path + 6, (unsigned)pid);

    memcpy(end, "/mem", 5);
    long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    long got = sys_call4(SYS_pread64, fd, (long)&copy, sizeof(copy), (long)address);
    sys_call1(SYS_close, fd);
    return got < 0 ? (int)got : got == (long)sizeof(copy) ? 0 : -EFAULT;
}

static int moved_all(ssize_t moved)
{
    return moved < 0 ? (int)moved : moved == (ssize_t)sizeof(uint64_t) ? 0 : -EFAULT;
}

static void try_on_child(struct findings *findings, pid_t pid, int shared_fd)
{
    volatile uint64_t *target = &findings->target;
    uint64_t copy = 0;

    findings->vm_read = moved_all(sys_process_read(pid, (uintptr_t)target, &copy, sizeof(copy)));
    findings->vm_write = moved_all(sys_process_write(pid, (uintptr_t)target, &copy, sizeof(copy)));
    findings->mem = try_mem_file(pid, target);
    long same = sys_call5(SYS_kcmp, sys_call0(SYS_getpid), pid, KCMP_VM_TYPE, 0, 0);
    findings->kcmp = same < 0 ? (int)same : 0;

    findings->pidfd_open = sys_pidfd_open(pid, 0);
    if (findings->pidfd_open >= 0) {
        int pidfd = findings->pidfd_open;
        findings->pidfd_open = 0;
        int fetched = sys_pidfd_getfd(pidfd, shared_fd);
        findings->pidfd_getfd = fetched < 0 ? fetched : 0;
    }
    findings->ptrace = (int)sys_call4(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
}

/* The child ends with the pipe: kill may be refused here. */
static void try_access(struct findings *findings)
{
    int shared_fd = (int)sys_call2(SYS_eventfd2, 0, O_CLOEXEC);
    int ends[2] = {-1, -1};
    char nothing;

    if (sys_call2(SYS_pipe2, (long)ends, O_CLOEXEC) != 0)
        return;
    long pid = clone_silently();
    if (pid == 0) {
        sys_call5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        sys_call1(SYS_close, ends[1]);
        while (sys_call3(SYS_read, ends[0], (long)&nothing, 1) == -EINTR)
            continue;
        exit_child();
    }
    if (pid < 0)
        return;
    try_on_child(findings, (pid_t)pid, shared_fd);
    sys_call1(SYS_close, ends[1]);
    sys_call4(SYS_wait4, pid, 0, __WALL, 0);
}

/* ---- running an experiment ---- */

/* Waits for the end of the child; one that does not end is killed, or left to itself where that is refused. */
static void reap(pid_t pid)
{
    const struct timespec step = {.tv_nsec = EXPERIMENT_STEP_NS};

    for (int i = 0; i < EXPERIMENT_STEPS_MAX; i++) {
        if (sys_call4(SYS_wait4, pid, 0, WNOHANG | __WALL, 0) != 0)
            return;
        nanosleep(&step, NULL);
    }
    if (sys_call2(SYS_kill, pid, SIGKILL) != 0)
        return;
    while (sys_call4(SYS_wait4, pid, 0, __WALL, 0) == -EINTR)
        continue;
}

static void run_experiment(void (*experiment)(struct findings *), struct findings *findings)
{
    sigset_t all;
    sigset_t before;

    /* The child has the host's handlers; none of them may run in it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    long pid = clone_silently();
    if (pid == 0) {
        sys_call5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        experiment(findings);
        exit_child();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid > 0)
        reap((pid_t)pid);
}

/* ---- from findings to facts ---- */

static void set_item(struct probe_item *item, int finding, const char *purpose)
{
    item->available = finding == 0;
    item->sys_errno = finding < 0 && finding != NOT_TRIED ? -finding : 0;
    item->reason[0] = '\0';
    if (finding == NOT_TRIED)
        snprintf(item->reason, sizeof(item->reason), "%s: could not be tried", purpose);
    else if (finding < 0)
        snprintf(item->reason, sizeof(item->reason), "%s: %s", purpose, strerror(-finding));
}

static void remark(struct probe_item *item, const char *text)
{
    snprintf(item->reason, sizeof(item->reason), "%s", text);
}

/* Where no listener could be had to try a flag on, the kernel's version must do. */
static void set_by_version(struct probe_result *result, struct probe_item *item, int major,
                           int minor)
{
    item->available = result->kernel_major > major ||
                      (result->kernel_major == major && result->kernel_minor >= minor);
    item->sys_errno = 0;
    snprintf(item->reason, sizeof(item->reason),
             "judged by the kernel's version: needs Linux %d.%d", major, minor);
}

static void probe_seccomp_calls(struct probe_result *result)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    int known = (int)sys_call3(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, (long)&action);

    if (known == 0)
        known = notify_check_sizes();
    set_item(&result->user_notification, known, "seccomp user notification");

    /* No program is given: a kernel that knows the flags goes on to read it and fails EFAULT. */
    int flag = (int)sys_call3(
        SYS_seccomp, SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0);
    set_item(&result->wait_killable, flag == -EFAULT ? 0 : flag, "WAIT_KILLABLE_RECV");
    if (flag == -EINVAL)
        remark(&result->wait_killable, "needs Linux 5.19");
}

static void apply_listener(struct probe_result *result, const struct findings *findings)
{
    set_item(&result->landlock_restrict, findings->restrict_self, "landlock_restrict_self");
    set_item(&result->listener, findings->listener, "installing a filter with a listener");
    result->under_listener = findings->listener == -EBUSY;
    if (result->under_listener)
        remark(&result->listener, "an outer sandbox already supervises this process, and a process "
                                  "can have one listener only: use --no-supervisor");
    if (findings->listener == 0) {
        set_item(&result->addfd_send, findings->addfd_send, "SECCOMP_ADDFD_FLAG_SEND");
        set_item(&result->sync_wake_up, findings->sync_wake_up, "synchronous wake-up");
        if (findings->sync_wake_up == -EINVAL)
            remark(&result->sync_wake_up, "needs Linux 6.6");
    } else {
        set_by_version(result, &result->addfd_send, 5, 14);
        set_by_version(result, &result->sync_wake_up, 6, 6);
    }
}

static void apply_access(struct probe_result *result, const struct findings *findings)
{
    set_item(&result->pidfd_open, findings->pidfd_open, "pidfd_open");
    set_item(&result->pidfd_getfd, findings->pidfd_getfd, "pidfd_getfd");
    set_item(&result->process_vm_readv, findings->vm_read, "process_vm_readv");
    set_item(&result->process_vm_writev, findings->vm_write, "process_vm_writev");
    set_item(&result->proc_mem, findings->mem, "/proc/PID/mem");
    set_item(&result->ptrace, findings->ptrace, "ptrace");
    set_item(&result->kcmp, findings->kcmp, "kcmp");
}

static void apply_user_namespaces(struct probe_result *result, const struct findings *findings)
{
    if (findings->unshare != 0)
        set_item(&result->user_namespaces, findings->unshare, "unshare(CLONE_NEWUSER)");
    else
        set_item(&result->user_namespaces, findings->uid_map,
                 "the namespace can be made, but writing its uid_map fails");
}

static void probe_in_children(struct probe_result *result)
{
    struct findings *findings =
        mmap(NULL, sizeof(*findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct findings nothing = {
        .unshare = NOT_TRIED,
        .uid_map = NOT_TRIED,
        .listener = NOT_TRIED,
        .addfd_send = NOT_TRIED,
        .sync_wake_up = NOT_TRIED,
        .restrict_self = NOT_TRIED,
        .pidfd_open = NOT_TRIED,
        .vm_read = NOT_TRIED,
        .pidfd_getfd = NOT_TRIED,
        .vm_write = NOT_TRIED,
        .mem = NOT_TRIED,
        .ptrace = NOT_TRIED,
        .kcmp = NOT_TRIED,
    };
    struct findings found = nothing;

    if (findings != MAP_FAILED) {
        *findings = nothing;
        run_experiment(try_user_namespace, findings);
        run_experiment(try_listener, findings);
        run_experiment(try_access, findings);
        found = *findings;
        munmap(findings, sizeof(*findings));
    }
    apply_user_namespaces(result, &found);
    apply_listener(result, &found);
    apply_access(result, &found);
}

static void probe_dev_shm(struct probe_result *result)
{
    struct statvfs fs;
    /* No name: nothing to clean up, and nothing for anyone to find. */
    CLEANUP_FD int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        set_item(&result->dev_shm, -errno, "making a file in /dev/shm");
        return;
    }
    int error = fd_write_all(fd, "", 1);
    set_item(&result->dev_shm, error, "writing a file in /dev/shm");
    if (error == 0 && fstatvfs(fd, &fs) == 0)
        result->dev_shm_free = (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void probe_proc(struct probe_result *result)
{
    const char *reason;
    CLEANUP_FD int fd = procfs_open();
    int error = fd < 0 ? fd : procfs_check_own(fd, &reason);

    set_item(&result->proc, error, "opening it");
    if (fd >= 0 && error != 0)
        remark(&result->proc, reason);
}

static int read_yama_scope(void)
{
    CLEANUP_FD int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    char digit;

    if (fd < 0 || fd_read_full(fd, &digit, 1) != 1 || digit < '0' || digit > '3')
        return -1;
    return digit - '0';
}

/* The number behind a key of /proc/thread-self/status, -1 if there is no such key. */
static int status_number(const char *status, const char *key)
{
    const char *line = strstr(status, key);
    uint64_t value;

    if (line == NULL)
        return -1;
    line += strlen(key);
    return text_parse_uint(line, strcspn(line, "\n"), INT32_MAX, &value) ? (int)value : -1;
}

static void probe_own_confinement(struct probe_result *result)
{
    /* The groups of the user stand in the middle of the file and can be many. */
    CLEANUP_FD int fd = procfs_open_file(-1, 0, "status", O_RDONLY);
    CLEANUP_FREE char *status = NULL;
    size_t length;

    result->filter_count = -1;
    if (fd < 0 || fd_read_file(fd, 1 << 20, &status, &length) != 0)
        return;
    result->under_filter = status_number(status, "\nSeccomp:\t") > 0;
    result->filter_count = status_number(status, "\nSeccomp_filters:\t");
    result->no_new_privileges = status_number(status, "\nNoNewPrivs:\t") > 0;
}

bool probe_parse_release(const char *release, int *major, int *minor)
{
    uint64_t numbers[2];
    const char *at = release;

    for (int i = 0; i < 2; i++) {
        size_t digits = strspn(at, "0123456789");
        if (!text_parse_uint(at, digits, INT32_MAX, &numbers[i]))
            return false;
        at += digits;
        if (i == 0 && *at++ != '.')
            return false;
    }
    *major = (int)numbers[0];
    *minor = (int)numbers[1];
    return true;
}

/* ---- calls that are there or refused ---- */

static long closed(long fd)
{
    if (fd >= 0)
        sys_call1(SYS_close, fd);
    return fd;
}

static long try_openat2(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};

    return closed(sys_call4(SYS_openat2, AT_FDCWD, (long)"/", (long)&how, sizeof(how)));
}

static long try_faccessat2(void)
{
    return sys_call4(SYS_faccessat2, AT_FDCWD, (long)"/", F_OK, AT_EACCESS);
}

static long try_statx(void)
{
    struct sys_statx answer;

    return sys_call5(SYS_statx, AT_FDCWD, (long)"/", 0, SYS_STATX_BASIC, (long)&answer);
}

/* No descriptor has that number. */
static long try_close_range(void)
{
    return sys_close_range(UINT32_MAX, UINT32_MAX, 0);
}

static long try_pidfd_send_signal(void)
{
    int result = sys_pidfd_send_signal(-1, 0, 0);

    return result == -EBADF ? 0 : result;
}

static long try_memfd_create(void)
{
    return closed(sys_memfd("sandlock-probe", 0));
}

static long try_signalfd(void)
{
    uint64_t none = 0;

    return closed(sys_call4(SYS_signalfd4, -1, (long)&none, sizeof(none), O_CLOEXEC));
}

static long try_kill(void)
{
    return sys_call2(SYS_kill, sys_call0(SYS_getpid), 0);
}

static const struct {
    const char *name;
    long (*attempt)(void);
} probed_calls[PROBE_CALLS] = {
    [PROBE_OPENAT2] = {"openat2", try_openat2},
    [PROBE_FACCESSAT2] = {"faccessat2", try_faccessat2},
    [PROBE_STATX] = {"statx", try_statx},
    [PROBE_CLOSE_RANGE] = {"close_range", try_close_range},
    [PROBE_PIDFD_SEND_SIGNAL] = {"pidfd_send_signal", try_pidfd_send_signal},
    [PROBE_MEMFD_CREATE] = {"memfd_create", try_memfd_create},
    [PROBE_SIGNALFD] = {"signalfd4", try_signalfd},
    [PROBE_KILL] = {"kill", try_kill},
};

/* 0 or -errno. A limit of the moment refuses nothing. */
static int try_call(enum probe_call call)
{
    long result = probed_calls[call].attempt();

    return result >= 0 || result == -EMFILE || result == -ENFILE || result == -ENOMEM ? 0
                                                                                      : (int)result;
}

const char *probe_call_name(enum probe_call call)
{
    return probed_calls[call].name;
}

static void probe_calls(struct probe_result *result)
{
    for (int i = 0; i < PROBE_CALLS; i++)
        set_item(&result->calls[i], try_call((enum probe_call)i), probed_calls[i].name);
}

/* ---- the way to a member's descriptor ---- */

/* Seizing a thread and its injected call are written for this architecture alone. The caller must not be
 * woken out of its notification (WAIT_KILLABLE_RECV), and Yama must let ancestors trace. */
static bool tracing_can_work(bool ptrace, bool wait_killable, int yama_scope)
{
#if defined(__x86_64__)
    return ptrace && wait_killable && yama_scope < 2;
#else
    (void)ptrace;
    (void)wait_killable;
    (void)yama_scope;
    return false;
#endif
}

static enum probe_fetch fetch_method;
static bool call_refused[PROBE_CALLS];
static pthread_once_t methods_once = PTHREAD_ONCE_INIT;

static void find_methods(void)
{
    pid_t self = (pid_t)sys_call0(SYS_getpid);

    /* A kernel with Landlock has these calls (Linux 5.9), and only a filter could refuse them. */
    if (sys_call5(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_DISABLED) {
        fetch_method = PROBE_FETCH_PIDFD;
        return;
    }
    for (int i = 0; i < PROBE_CALLS; i++)
        call_refused[i] = try_call((enum probe_call)i) != 0;
    CLEANUP_FD int pidfd = sys_pidfd_open(self, 0);
    CLEANUP_FD int copy = pidfd < 0 ? pidfd : sys_pidfd_getfd(pidfd, pidfd);

    fetch_method = copy >= 0 ? PROBE_FETCH_PIDFD : PROBE_FETCH_NONE;
    if (copy >= 0)
        return;
    /* We trace nobody, so that the kernel's answer is ESRCH, whichever process it is about. */
    bool ptrace = sys_call4(SYS_ptrace, PTRACE_DETACH, self, 0, 0) == -ESRCH;
    int flag = (int)sys_call3(
        SYS_seccomp, SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0);
    if (tracing_can_work(ptrace, flag == -EFAULT, read_yama_scope()))
        fetch_method = PROBE_FETCH_TRACER;
}

enum probe_fetch probe_fetch_method(void)
{
    pthread_once(&methods_once, find_methods);
    return fetch_method;
}

bool probe_has_call(enum probe_call call)
{
    pthread_once(&methods_once, find_methods);
    return !call_refused[call];
}

void probe_host(struct probe_result *result)
{
    struct utsname host;

    *result = (struct probe_result){0};
    if (uname(&host) == 0) {
        snprintf(result->kernel_release, sizeof(result->kernel_release), "%s", host.release);
        snprintf(result->machine, sizeof(result->machine), "%s", host.machine);
        probe_parse_release(host.release, &result->kernel_major, &result->kernel_minor);
    }
    result->landlock = *landlock_support_get();
    result->yama_ptrace_scope = read_yama_scope();
    probe_own_confinement(result);
    probe_seccomp_calls(result);
    probe_in_children(result);
    probe_calls(result);
    probe_proc(result);
    probe_dev_shm(result);

    bool tracing = tracing_can_work(result->ptrace.available, result->wait_killable.available,
                                    result->yama_ptrace_scope);
    result->fetch_method = result->pidfd_getfd.available ? PROBE_FETCH_PIDFD
                           : tracing                     ? PROBE_FETCH_TRACER
                                                         : PROBE_FETCH_NONE;
    result->read_method = result->process_vm_readv.available ? TASK_MEMORY_CALL
                          : result->proc_mem.available       ? TASK_MEMORY_FILE
                                                             : TASK_MEMORY_NONE;
    result->write_method = result->process_vm_writev.available ? TASK_MEMORY_CALL
                           : result->proc_mem.available        ? TASK_MEMORY_FILE
                                                               : TASK_MEMORY_NONE;
}

const char *probe_fetch_name(enum probe_fetch method)
{
    switch (method) {
    case PROBE_FETCH_PIDFD:
        return "pidfd_getfd";
    case PROBE_FETCH_TRACER:
        return "tracer";
    case PROBE_FETCH_NONE:
        break;
    }
    return "none";
}

const char *probe_memory_name(enum task_memory_method method)
{
    switch (method) {
    case TASK_MEMORY_CALL:
        return "process_vm";
    case TASK_MEMORY_FILE:
        return "/proc/PID/mem";
    case TASK_MEMORY_NONE:
        break;
    }
    return "none";
}
