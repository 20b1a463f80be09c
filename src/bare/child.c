/* The child's steps: see child.h. The order is part of the security design; each step says why. */
#include "bare/child.h"

#include "bare/errno_text.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SIGNAL_COUNT 64
#define KERNEL_SIGSET_SIZE 8

static size_t text_length(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    return length;
}

static void write_text(int fd, const char *text)
{
    sys_call3(SYS_write, fd, (long)text, (long)text_length(text));
}

static void wake(struct launch_record *record, uint32_t state)
{
    atomic_store_explicit(&record->state, state, memory_order_release);
    sys_call3(SYS_futex, (long)&record->state, FUTEX_WAKE, INT32_MAX);
}

/* Sleeps until the word has another value. */
static void await_word(const _Atomic uint32_t *word, uint32_t value)
{
    while (atomic_load_explicit(word, memory_order_acquire) == value)
        sys_call6(SYS_futex, (long)word, FUTEX_WAIT, value, 0, 0, 0);
}

/* Reports a failed step on the stream a person reads and in the record the host reads. */
static int fail(const struct child_plan *plan, int error_fd, uint32_t step, const char *object,
                long error)
{
    struct launch_record *record = plan->record;

    record->failed_errno = (int)-error;
    atomic_store_explicit(&record->failed_step, step, memory_order_release);
    if (error_fd >= 0) {
        write_text(error_fd, "sandlock child: ");
        write_text(error_fd, launch_step_name(step));
        if (object != NULL) {
            write_text(error_fd, " ");
            write_text(error_fd, object);
        }
        write_text(error_fd, ": ");
        write_text(error_fd, bare_errno_text((int)-error));
        write_text(error_fd, "\n");
    }
    /* After READY nobody waits for this word; before it the host does. */
    wake(record, LAUNCH_FAILED);
    return 127;
}

static long write_file(const char *path, const char *text)
{
    long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    long length = (long)text_length(text);
    long written = sys_call3(SYS_write, fd, (long)text, length);
    sys_call1(SYS_close, fd);
    if (written < 0)
        return written;
    return written == length ? 0 : -EIO;
}

/* uid and gid maps of one line each. setgroups must be denied first, or the kernel refuses the gid
 * map of an unprivileged writer (user_namespaces(7)). */
static long map_user(const struct child_plan *plan, uint32_t *step)
{
    *step = STEP_USER_NAMESPACE;
    long result = LAUNCH_TRY(plan->record, *step, sys_call1(SYS_unshare, CLONE_NEWUSER));
    if (result < 0)
        return result;
    *step = STEP_UID_MAP;
    result = LAUNCH_TRY(plan->record, *step, write_file("/proc/self/uid_map", plan->uid_map));
    if (result < 0)
        return result;
    *step = STEP_SETGROUPS;
    result = LAUNCH_TRY(plan->record, *step, write_file("/proc/self/setgroups", "deny"));
    if (result < 0)
        return result;
    *step = STEP_GID_MAP;
    return LAUNCH_TRY(plan->record, *step, write_file("/proc/self/gid_map", plan->gid_map));
}

/*
 * A limit of 0 does not stop a core that is piped to a handler; an empty filter leaves it nothing to write
 * (core(5)). In a process that is not dumpable the file of the filter is root's. Then the limit is 1, under which
 * the kernel starts no handler, and which is too small for a file as well.
 */
static long forbid_cores(const struct child_plan *plan, uint32_t *step)
{
    *step = STEP_CORE_FILTER;
    long result = LAUNCH_TRY(plan->record, *step, write_file("/proc/self/coredump_filter", "0"));
    const uint64_t size = result == -EACCES ? 1 : 0;
    const struct bare_rlimit limit = {size, size};

    if (result < 0 && result != -EACCES)
        return result;
    *step = STEP_CORE_LIMIT;
    return LAUNCH_TRY(plan->record, *step,
                      sys_call4(SYS_prlimit64, 0, RLIMIT_CORE, (long)&limit, 0));
}

/* Steps that change the process before any confinement, hence may need what the domain forbids. */
static long prepare_process(const struct child_plan *plan, uint32_t *step)
{
    long result;

    *step = STEP_GROUP;
    result = LAUNCH_TRY(plan->record, *step, sys_call2(SYS_setpgid, 0, 0));
    if (result < 0)
        return result;

    if (plan->terminal_fd >= 0) {
        /* All signals are blocked, so a background group is not stopped by SIGTTOU here. */
        int group = (int)sys_call0(SYS_getpid);
        *step = STEP_FOREGROUND;
        result = LAUNCH_TRY(plan->record, *step,
                            sys_call3(SYS_ioctl, plan->terminal_fd, TIOCSPGRP, (long)&group));
        if (result < 0)
            return result;
    }

#if defined(SANDLOCK_FAULT_INJECTION)
    if (plan->record->fault == FAULT_SLOW_CHILD)
        sys_call2(SYS_nanosleep, (long)&(struct timespec){1, 0}, 0);
#endif
    /* Compared with the guardian's id, never with 1: in a container the guardian's host may be 1. */
    *step = STEP_PARENT_DEATH;
    result =
        LAUNCH_TRY(plan->record, *step, sys_call5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (result < 0)
        return result;
    if (sys_call0(SYS_getppid) != plan->record->guardian)
        return -ESRCH;

    if (plan->no_randomize_memory) {
        *step = STEP_PERSONALITY;
        result = LAUNCH_TRY(plan->record, *step, sys_call1(SYS_personality, 0xffffffff));
        if (result < 0)
            return result;
        result = sys_call1(SYS_personality, result | ADDR_NO_RANDOMIZE);
        if (result < 0)
            return result;
    }
    if (plan->affinity != NULL) {
        *step = STEP_AFFINITY;
        result = LAUNCH_TRY(
            plan->record, *step,
            sys_call3(SYS_sched_setaffinity, 0, (long)plan->affinity_size, (long)plan->affinity));
        if (result < 0)
            return result;
    }
    if (plan->no_huge_pages) {
        *step = STEP_HUGE_PAGES;
        result =
            LAUNCH_TRY(plan->record, *step, sys_call5(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0));
        if (result < 0)
            return result;
    }
    if (plan->no_coredump) {
        result = forbid_cores(plan, step);
        if (result < 0)
            return result;
    }
    if (plan->map_user) {
        result = map_user(plan, step);
        if (result < 0)
            return result;
    }
    return 0;
}

/* With no_new_privs no exec adds a capability, neither root's nor one of a file, so what is not permitted
 * now never is again, whatever the bounding set says; dropping it from there may take CAP_SETPCAP. The
 * kernel takes it out of the ambient set with the inheritable one. */
static long keep_user(const struct child_plan *plan)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const uint32_t others = ~CAP_TO_MASK(CAP_SETUID);
    long result =
        LAUNCH_TRY(plan->record, STEP_KEEP_USER, sys_call2(SYS_capget, (long)&header, (long)sets));

    if (result < 0)
        return result;
    sys_call5(SYS_prctl, PR_CAPBSET_DROP, CAP_SETUID, 0, 0, 0);
    sets[0].effective &= others;
    sets[0].permitted &= others;
    sets[0].inheritable &= others;
    return sys_call2(SYS_capset, (long)&header, (long)sets);
}

/* The kernel's struct landlock_path_beneath_attr. */
struct path_beneath {
    uint64_t rights;
    int32_t fd;
} __attribute__((packed));

#define RULE_PATH_BENEATH 1

/* "self" is this process only from here on. A path of procfs has no link that anybody could change but
 * "self", and none is followed at its end. */
static long add_own_rule(const struct child_plan *plan, const struct bare_own_rule *rule)
{
    const long flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    long fd = LAUNCH_TRY(plan->record, STEP_OWN_ENTRY,
                         sys_call4(SYS_openat, AT_FDCWD, (long)rule->path, flags, 0));

    if (rule->optional && (fd == -ENOENT || fd == -ENOTDIR))
        return 0;
    if (fd < 0)
        return fd;
    struct path_beneath beneath = {rule->rights, (int32_t)fd};
    long result =
        sys_call4(SYS_landlock_add_rule, plan->ruleset, RULE_PATH_BENEATH, (long)&beneath, 0);
    sys_call1(SYS_close, fd);
    return result;
}

static long add_own_rules(const struct child_plan *plan, const char **object)
{
    for (size_t i = 0; i < plan->own_rule_count; i++) {
        *object = plan->own_rules[i].path;
        plan->record->failed_own_rule = (uint32_t)i;
        long result = add_own_rule(plan, &plan->own_rules[i]);
        if (result < 0)
            return result;
    }
    return 0;
}

/* After this nothing can be undone. Landlock first: it needs no_new_privs and a system call that a
 * member may not make. */
static long confine(const struct child_plan *plan, uint32_t *step)
{
    *step = STEP_NO_NEW_PRIVS;
    long result =
        LAUNCH_TRY(plan->record, *step, sys_call5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (result < 0)
        return result;

    if (plan->keep_user) {
        *step = STEP_KEEP_USER;
        result = keep_user(plan);
        if (result < 0)
            return result;
    }

    if (plan->ruleset >= 0) {
        *step = STEP_LANDLOCK;
        result = LAUNCH_TRY(plan->record, *step,
                            sys_call2(SYS_landlock_restrict_self, plan->ruleset, 0));
        if (result < 0)
            return result;
    }

    *step = STEP_SECCOMP;
    if (!plan->listener)
        return LAUNCH_TRY(plan->record, *step,
                          sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&plan->program));

    long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    result =
        LAUNCH_TRY(plan->record, *step,
                   sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (long)&plan->program));
    if (result == -EINVAL) { /* before Linux 5.19 the second flag is unknown */
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
        result = sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (long)&plan->program);
    }
    if (result < 0)
        return result;
    plan->record->listener = (int)result; /* a number in the table shared with the host */
    return 0;
}

/* Leaves the table shared with the host and drops every descriptor but those planned. Never by
 * listing /proc: the domain may forbid that, and then nothing would be closed. */
static long private_table(const struct child_plan *plan)
{
    for (size_t i = 0; i < plan->close_range_count; i++) {
        const struct bare_range *range = &plan->close_ranges[i];
        long flags = i == 0 ? CLOSE_RANGE_UNSHARE : 0;
        long result = LAUNCH_TRY(plan->record, STEP_DESCRIPTORS,
                                 sys_call3(SYS_close_range, range->first, range->last, flags));
        if (result < 0)
            return result;
    }
    return 0;
}

/* The sources exist, so what is refused here a filter of the host's has refused. */
static long wire_descriptors(const struct child_plan *plan)
{
    for (size_t i = 0; i < plan->map_count; i++) {
        const struct bare_map *map = &plan->maps[i];
        /* Inherited as it is: what is close-on-exec there may be a descriptor of ours that landed on
         * a number the host had closed, and must end at exec. */
        if (map->source < 0)
            continue;
        long result = sys_call3(SYS_dup3, map->source, map->target, 0);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The supervisor puts descriptors at high numbers. Growing the table here costs little; later, with
 * other threads, the kernel would wait for a grace period of many milliseconds. */
static void grow_table(const struct child_plan *plan)
{
    for (int source = 0; plan->table_top > 0 && source <= 2; source++) {
        /* The lowest free number from there on, so that nothing is replaced. */
        long fd = sys_call3(SYS_fcntl, source, F_DUPFD_CLOEXEC, plan->table_top);
        if (fd >= 0) {
            sys_call1(SYS_close, fd);
            return;
        }
    }
}

/* Nothing that the caller wants the command to ignore. */
static bool is_host_matter(const struct child_plan *plan, int number)
{
    return number == SIGPIPE || (plan->own_ignored >> (number - 1) & 1) != 0;
}

/* Handlers are reset before the mask is lifted: until exec they would run the host's code, in the
 * library inside the host's memory. Ignored signals stay ignored (nohup), but not SIGPIPE, which
 * language runtimes ignore for themselves. */
static long restore_signals(const struct child_plan *plan)
{
    struct bare_sigaction action;
    const struct bare_sigaction by_default = {0};

    for (int number = 1; number <= SIGNAL_COUNT; number++) {
        bool is_own = is_host_matter(plan, number);
        if (number == SIGKILL || number == SIGSTOP || (!is_own && !plan->has_handlers))
            continue;
        action.handler = 0; /* for analyzers, which do not see what a raw system call writes */
        if (sys_call4(SYS_rt_sigaction, number, 0, (long)&action, KERNEL_SIGSET_SIZE) < 0)
            continue;
        bool is_default = action.handler == (uintptr_t)SIG_DFL;
        bool is_ignored = action.handler == (uintptr_t)SIG_IGN;
        if (is_default || (is_ignored && !is_own))
            continue;
        long result = sys_call4(SYS_rt_sigaction, number, (long)&by_default, 0, KERNEL_SIGSET_SIZE);
        if (result < 0)
            return result;
    }
    return LAUNCH_TRY(plan->record, STEP_SIGNALS,
                      sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&plan->signal_mask, 0,
                                KERNEL_SIGSET_SIZE));
}

/* Runs the host's function in place of a command. Only what is mapped already can run here. */
static int enter(const struct child_plan *plan)
{
    for (size_t i = 0; i < plan->map_count; i++) {
        if (plan->maps[i].source >= 0)
            sys_call1(SYS_close, plan->maps[i].source);
    }
    sys_call5(SYS_prctl, PR_SET_NAME, (long)plan->argv[0], 0, 0, 0);
    /* An exec would have taken it along: whoever can write there leads the guardian, which in the library
     * runs in the host's memory. */
    if (sys_call2(SYS_munmap, (long)plan->guardian_memory, (long)plan->guardian_memory_size) != 0)
        return 127;
    plan->entry(plan->entry_data);
    return 0;
}

/* execvp's rules on the prepared list; returns the error to report. */
static long execute(const struct child_plan *plan)
{
    long error = -ENOENT;
    bool saw_access = false;

    if (plan->exec_fd >= 0)
        return sys_call5(SYS_execveat, plan->exec_fd, (long)"", (long)plan->argv, (long)plan->envp,
                         AT_EMPTY_PATH);
    for (size_t i = 0; plan->candidates[i] != NULL; i++) {
        const char *path = plan->candidates[i];
        long result =
            LAUNCH_TRY(plan->record, STEP_EXEC,
                       sys_call3(SYS_execve, (long)path, (long)plan->argv, (long)plan->envp));
        if (result == -ENOEXEC) {
            plan->shell_argv[1] = path;
            return sys_call3(SYS_execve, (long)plan->shell_argv[0], (long)plan->shell_argv,
                             (long)plan->envp);
        }
        error = result;
        switch (-result) {
        case EACCES:
            saw_access = true;
            continue;
        case ENOENT:
        case ENOTDIR:
        case ESTALE:
        case ENODEV:
        case ETIMEDOUT:
            continue;
        default:
            return result;
        }
    }
    return saw_access ? -EACCES : error;
}

int child_main(void *argument)
{
    struct child_plan *plan = argument;
    struct launch_record *record = plan->record;
    uint32_t step = STEP_NONE;
    int error_fd = plan->error_fd;

    long result = prepare_process(plan, &step);
    if (result < 0)
        return fail(plan, error_fd, step, NULL, result);
    if (plan->cwd != NULL) {
        /* Before Landlock, so that an ungranted directory can be the cwd; opens are still judged. */
        result = LAUNCH_TRY(record, STEP_CWD, sys_call1(SYS_chdir, (long)plan->cwd));
        if (result < 0)
            return fail(plan, error_fd, STEP_CWD, plan->shown_cwd, result);
    }
    const char *object = NULL;
    result = add_own_rules(plan, &object);
    if (result < 0)
        return fail(plan, error_fd, STEP_OWN_ENTRY, object, result);
    result = confine(plan, &step);
    if (result < 0)
        return fail(plan, error_fd, step, NULL, result);
    result = private_table(plan);
    if (result >= 0)
        result = wire_descriptors(plan);
    if (result < 0)
        return fail(plan, error_fd, STEP_DESCRIPTORS, NULL, result);
    grow_table(plan);
    if (error_fd >= 0)
        error_fd = 2;

    /* READY stands for the guardian too. It has less to do than we had, so nobody waits here. */
    await_word(&record->guarded, GUARDED_NOT_YET);
    if (atomic_load_explicit(&record->guarded, memory_order_acquire) != GUARDED_YES)
        return 127; /* the guardian has reported why */

    /* Only now: READY allows the host to close the child's ends in its own table, which was ours. */
    wake(record, LAUNCH_READY);
    /* A run sets this word while we confine ourselves, once nothing of its start can fail any more. */
    await_word(&record->release, RELEASE_WAIT);
#if defined(SANDLOCK_FAULT_INJECTION)
    if (record->fault == FAULT_SLOW_EXEC)
        sys_call2(SYS_nanosleep, (long)&(struct timespec){1, 0}, 0);
#endif

    if (plan->limit_open_files) {
        /* Last before exec: the limit bounds the number handed out, and everything above needed some. */
        result = LAUNCH_TRY(record, STEP_OPEN_FILES,
                            sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&plan->open_files, 0));
        if (result < 0)
            return fail(plan, error_fd, STEP_OPEN_FILES, NULL, result);
    }
    result = restore_signals(plan);
    if (result < 0)
        return fail(plan, error_fd, STEP_SIGNALS, NULL, result);
    if (plan->entry != NULL)
        return enter(plan);
    result = execute(plan);
    return fail(plan, error_fd, STEP_EXEC, plan->shown_program, result);
}
