/*
 * The walls around the supervisor: the lists pinned call by call, the conditions on arguments, and
 * real installs in processes of their own: normal work goes on, everything else ends as promised.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/task_memory.h"
#include "supervisor/supervisor.h"
#include "supervisor/wall.h"
#include "trapped_child.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* ---- Plans ------------------------------------------------------------------------------------- */

#define CLI(the_role) ((struct wall_options){.role = (the_role), .violation = VIOLATION_TRAP})
#define LIBRARY(the_role) ((struct wall_options){.role = (the_role), .violation = VIOLATION_ERRNO})

/* Names by number: "call" is always allowed, "call?" on conditions, "call!ENOSYS" hidden. */
static char *list_of(const struct wall_options *options)
{
    struct filter_plan *plan = wall_plan(&arch_x86_64, options);
    struct buffer out = BUFFER_INIT;

    assert_non_null(plan);
    for (int number = 0; number <= arch_x86_64.newest; number++) {
        const struct filter_entry *entry = &plan->entries[number];
        const char *name = arch_syscall_name(&arch_x86_64, number);
        if (name == NULL)
            continue;
        if (entry->otherwise == FILTER_ALLOW)
            buffer_printf(&out, "%s ", name);
        else if (entry->rule_count > 0)
            buffer_printf(&out, "%s? ", name);
        else if (entry->otherwise == FILTER_ERRNO(ENOSYS))
            buffer_printf(&out, "%s!ENOSYS ", name);
    }
    filter_plan_free(plan);
    return buffer_take(&out);
}

static void assert_list(struct wall_options options, const char *expected)
{
    CLEANUP_FREE char *list = list_of(&options);

    assert_string_equal(list, expected);
}

static void the_supervisors_list_is_pinned(void **state)
{
    (void)state;
    assert_list(
        CLI(ROLE_SUPERVISOR),
        "read write open close stat fstat lstat poll lseek mmap? mprotect? munmap brk "
        "rt_sigaction rt_sigprocmask rt_sigreturn ioctl? pread64 pwrite64 readv writev "
        "sched_yield mremap madvise dup nanosleep getpid clone? exit wait4 kill? uname fcntl? "
        "ftruncate rmdir unlink readlink gettimeofday getrusage sysinfo getuid getgid geteuid "
        "getegid getppid getpgrp getpgid getsid rt_sigtimedwait sigaltstack prctl? gettid "
        "tkill? futex sched_getaffinity getdents64 set_tid_address restart_syscall "
        "clock_gettime clock_nanosleep exit_group epoll_wait epoll_ctl tgkill? waitid "
        "openat newfstatat unlinkat readlinkat ppoll set_robust_list epoll_pwait dup3 "
        "prlimit64? process_vm_readv process_vm_writev seccomp? getrandom statx rseq "
        "pidfd_send_signal? pidfd_open clone3!ENOSYS openat2 ");
    assert_list(
        LIBRARY(ROLE_SUPERVISOR),
        "read write open close stat fstat lstat poll lseek mmap? mprotect? munmap brk "
        "rt_sigaction rt_sigprocmask rt_sigreturn ioctl? pread64 pwrite64 readv writev "
        "sched_yield mremap madvise dup nanosleep getpid clone? exit wait4 kill? uname fcntl? "
        "ftruncate rmdir unlink readlink gettimeofday getrusage sysinfo getuid getgid setuid "
        "setgid geteuid getegid getppid getpgrp setreuid setregid setgroups setresuid "
        "setresgid getpgid setfsuid setfsgid getsid rt_sigtimedwait sigaltstack prctl? "
        "gettid tkill? futex sched_getaffinity getdents64 set_tid_address restart_syscall "
        "clock_gettime clock_nanosleep exit_group epoll_wait epoll_ctl tgkill? waitid "
        "openat newfstatat unlinkat readlinkat ppoll set_robust_list epoll_pwait dup3 "
        "prlimit64? process_vm_readv process_vm_writev seccomp? getrandom statx rseq "
        "pidfd_send_signal? pidfd_open clone3!ENOSYS openat2 ");
}

static void the_workers_list_is_pinned(void **state)
{
    (void)state;
    assert_list(CLI(ROLE_WORKER),
                "read write open close stat fstat lstat poll lseek mmap? mprotect? munmap brk "
                "rt_sigprocmask rt_sigreturn ioctl? pread64 pwrite64 readv writev sched_yield "
                "mremap madvise dup nanosleep getpid exit fcntl? readlink gettimeofday sysinfo "
                "getuid getgid geteuid getegid getppid sigaltstack prctl? gettid futex "
                "sched_getaffinity getdents64 set_tid_address restart_syscall clock_gettime "
                "clock_nanosleep exit_group tgkill? openat newfstatat readlinkat ppoll "
                "set_robust_list dup3 prlimit64? process_vm_readv process_vm_writev getrandom "
                "statx rseq pidfd_open clone3!ENOSYS openat2 ");
}

static void the_guardians_list_is_pinned(void **state)
{
    (void)state;
    assert_list(
        CLI(ROLE_GUARDIAN),
        "read write close poll rt_sigprocmask nanosleep getpid exit wait4 kill ptrace? setpgid? "
        "getppid setsid rt_sigtimedwait prctl? gettid futex getdents64 restart_syscall "
        "exit_group tgkill? waitid openat unlinkat ppoll statx ");
}

static struct wall_options traced(struct wall_options options)
{
    options.traced = true;
    return options;
}

static void a_guardian_that_traces_has_its_own_list(void **state)
{
    (void)state;
    assert_list(
        traced(CLI(ROLE_GUARDIAN)),
        "read write close poll rt_sigaction? rt_sigprocmask rt_sigreturn nanosleep "
        "setitimer? getpid exit wait4 kill ptrace? setpgid? getppid setsid rt_sigtimedwait "
        "prctl? gettid futex getdents64 restart_syscall clock_gettime exit_group tgkill? waitid "
        "openat unlinkat ppoll statx ");
}

/* ---- Conditions on arguments ------------------------------------------------------------------- */

static uint32_t evaluate_all(const struct arch *arch, const struct wall_options *options,
                             const char *call, const uint64_t args[6])
{
    struct filter_plan *plan = wall_plan(arch, options);
    int number = arch_syscall_number(arch, call);
    struct seccomp_data data = {.nr = number, .arch = arch->audit_arch};

    assert_non_null(plan);
    assert_true(number >= 0);
    memcpy(data.args, args, sizeof(data.args));
    uint32_t action = filter_plan_evaluate(plan, &data);
    filter_plan_free(plan);
    return action;
}

static uint32_t evaluate(const struct arch *arch, const struct wall_options *options,
                         const char *call, uint64_t a, uint64_t b, uint64_t c)
{
    return evaluate_all(arch, options, call, (const uint64_t[6]){a, b, c});
}

/* On every architecture, with garbage in the half that the kernel ignores. */
static void assert_answer(struct wall_options options, const char *call, uint64_t a, uint64_t b,
                          uint64_t c, uint32_t action)
{
    for (size_t i = 0; arch_all[i] != NULL; i++)
        assert_int_equal(evaluate(arch_all[i], &options, call, a, b, c), action);
}

#define GARBAGE 0xdead00000000ULL
#define NO FILTER_ERRNO(ENOTRECOVERABLE)

static void nothing_becomes_executable(void **state)
{
    (void)state;
    for (int role = ROLE_SUPERVISOR; role <= ROLE_WORKER; role++) {
        struct wall_options options = LIBRARY((enum wall_role)role);
        assert_answer(options, "mmap", 0, 4096, PROT_READ | PROT_WRITE, FILTER_ALLOW);
        assert_answer(options, "mmap", 0, 4096, PROT_READ | PROT_EXEC | GARBAGE, NO);
        assert_answer(options, "mprotect", 0, 4096, PROT_READ | GARBAGE, FILTER_ALLOW);
        assert_answer(options, "mprotect", 0, 4096, PROT_EXEC, NO);
        assert_answer(options, "execve", 0, 0, 0, NO);
        assert_answer(options, "execveat", 0, 0, 0, NO);
    }
}

static void only_threads_are_made_and_only_by_the_supervisor(void **state)
{
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

    (void)state;
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "clone", thread, 0, 0, FILTER_ALLOW);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "clone", SIGCHLD, 0, 0, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "clone", CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, NO);
    assert_answer(LIBRARY(ROLE_WORKER), "clone", thread, 0, 0, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "clone3", 0, 0, 0, FILTER_ERRNO(ENOSYS));
    assert_answer(CLI(ROLE_WORKER), "clone3", 0, 0, 0, FILTER_ERRNO(ENOSYS));
    assert_answer(CLI(ROLE_GUARDIAN), "clone", thread, 0, 0, SECCOMP_RET_KILL_PROCESS);
    assert_answer(CLI(ROLE_GUARDIAN), "clone3", 0, 0, 0, SECCOMP_RET_KILL_PROCESS);
}

static void signals_reach_only_the_process_itself(void **state)
{
    const uint64_t own = (uint64_t)getpid();
    struct wall_options interactive = LIBRARY(ROLE_SUPERVISOR);

    (void)state;
    interactive.interactive = true;
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", own | GARBAGE, SIGTERM, 0, FILTER_ALLOW);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", own + 1, SIGTERM, 0, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", (uint64_t)-1, SIGTERM, 0, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", 0, SIGSTOP, 0, NO);
    assert_answer(interactive, "kill", 0, SIGSTOP, 0, FILTER_ALLOW);
    assert_answer(interactive, "kill", own + 1, SIGSTOP, 0, NO);
    assert_answer(interactive, "kill", (uint64_t)-5, 0, 0, FILTER_ALLOW); /* a question */
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", (uint64_t)-5, 0, 0, NO);
    assert_answer(LIBRARY(ROLE_WORKER), "tgkill", own, 1, SIGABRT, FILTER_ALLOW);
    assert_answer(LIBRARY(ROLE_WORKER), "tgkill", own + 1, 1, SIGABRT, NO);
    assert_answer(LIBRARY(ROLE_WORKER), "tgkill", own + 1, 1, 0, FILTER_ALLOW); /* a question */
    assert_answer(LIBRARY(ROLE_WORKER), "kill", own, SIGTERM, 0, NO);
    assert_answer(CLI(ROLE_GUARDIAN), "kill", (uint64_t)-1, SIGKILL, 0, FILTER_ALLOW);
}

/* What the command line may do by descriptor it may do by number, to one process, where a filter refuses the other. */
static void the_command_line_ends_members_by_number_too(void **state)
{
    const uint64_t other = (uint64_t)getpid() + 1;

    (void)state;
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", other, SIGKILL, 0, FILTER_ALLOW);
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", other, SIGUSR1, 0, FILTER_ALLOW);
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", other, SIGTERM, 0, SECCOMP_RET_TRAP);
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", 0, SIGKILL, 0, SECCOMP_RET_TRAP);
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", (uint64_t)-1, SIGKILL, 0, SECCOMP_RET_TRAP);
    assert_answer(CLI(ROLE_SUPERVISOR), "kill", 0x80000000, SIGKILL, 0, SECCOMP_RET_TRAP);
    assert_answer(CLI(ROLE_WORKER), "kill", other, SIGUSR1, 0, SECCOMP_RET_TRAP);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", other, SIGKILL, 0, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "kill", other, SIGUSR1, 0, NO);
}

static void no_role_makes_sockets_or_reaches_the_host(void **state)
{
    static const char *const calls[] = {
        "socket",
        "socketpair",
        "connect",
        "bind",
        "listen",
        "ptrace",
        "mount",
        "umount2",
        "bpf",
        "keyctl",
        "init_module",
        "unshare",
        "setns",
        "chroot",
        "capset",
        "personality",
        "fchmod",
        "fchmodat",
        "fchownat",
        "setxattr",
        "utimensat",
        "renameat2",
        "mkdirat",
        "setpriority",
        "sched_setaffinity",
        "pidfd_getfd",
        "io_uring_setup",
        "userfaultfd",
        "perf_event_open",
    };
    static const enum wall_role roles[] = {ROLE_SUPERVISOR, ROLE_WORKER};

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (size_t r = 0; r < 2; r++) {
            assert_answer(LIBRARY(roles[r]), calls[i], 1, 1, 0, NO);
            assert_answer(CLI(roles[r]), calls[i], 1, 1, 0, SECCOMP_RET_TRAP);
        }
        assert_answer(CLI(ROLE_GUARDIAN), calls[i], 1, 1, 0, SECCOMP_RET_KILL_PROCESS);
    }
}

static void ioctls_are_those_of_the_role(void **state)
{
    struct wall_options interactive = LIBRARY(ROLE_SUPERVISOR);

    (void)state;
    interactive.interactive = true;
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "ioctl", 3, SECCOMP_IOCTL_NOTIF_RECV, 0, FILTER_ALLOW);
    assert_answer(LIBRARY(ROLE_WORKER), "ioctl", 3, SECCOMP_IOCTL_NOTIF_RECV, 0, NO);
    assert_answer(LIBRARY(ROLE_WORKER), "ioctl", 3, SECCOMP_IOCTL_NOTIF_SEND | GARBAGE, 0,
                  FILTER_ALLOW);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "ioctl", 0, 0x5410 /* TIOCSPGRP */, 0, NO);
    assert_answer(interactive, "ioctl", 0, 0x5410, 0, FILTER_ALLOW);
    assert_answer(interactive, "ioctl", 0, 0x5412 /* TIOCSTI */, 0, NO);
}

static void only_where_descriptors_are_fetched_is_there_a_tracer(void **state)
{
    static const uint64_t used[] = {2, 5, 17, 24, 0x4204, 0x4205, 0x4206, 0x4207, 0x420a, 0x420b};
    const uint64_t flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;

    (void)state;
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        assert_answer(traced(CLI(ROLE_GUARDIAN)), "ptrace", used[i], 1, 0, FILTER_ALLOW);
        assert_answer(CLI(ROLE_GUARDIAN), "ptrace", used[i], 1, 0,
                      used[i] == 17 /* PTRACE_DETACH */ ? FILTER_ALLOW : SECCOMP_RET_KILL_PROCESS);
        assert_answer(traced(LIBRARY(ROLE_SUPERVISOR)), "ptrace", used[i], 1, 0, NO);
        assert_answer(traced(LIBRARY(ROLE_WORKER)), "ptrace", used[i], 1, 0, NO);
    }
    /* PTRACE_TRACEME, ATTACH, LISTEN */
    assert_answer(traced(CLI(ROLE_GUARDIAN)), "ptrace", 0, 1, 0, SECCOMP_RET_KILL_PROCESS);
    assert_answer(traced(CLI(ROLE_GUARDIAN)), "ptrace", 16, 1, 0, SECCOMP_RET_KILL_PROCESS);
    assert_answer(traced(CLI(ROLE_GUARDIAN)), "ptrace", 0x4208, 1, 0, SECCOMP_RET_KILL_PROCESS);
    assert_answer(traced(LIBRARY(ROLE_SUPERVISOR)), "socketpair", AF_UNIX, SOCK_SEQPACKET, 0,
                  FILTER_ALLOW);
    assert_answer(traced(LIBRARY(ROLE_SUPERVISOR)), "socketpair", AF_INET, SOCK_STREAM, 0, NO);
    assert_answer(traced(LIBRARY(ROLE_SUPERVISOR)), "recvmsg", 3, 1, flags, FILTER_ALLOW);
    assert_answer(traced(LIBRARY(ROLE_SUPERVISOR)), "recvmsg", 3, 1, MSG_CMSG_CLOEXEC, NO);
    assert_answer(traced(LIBRARY(ROLE_WORKER)), "recvmsg", 3, 1, flags, NO);
    assert_answer(LIBRARY(ROLE_SUPERVISOR), "recvmsg", 3, 1, flags, NO);
}

static void a_library_lets_its_host_change_ids(void **state)
{
    static const char *const calls[] = {"setuid", "setgid", "setresuid", "setresgid", "setgroups"};

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_answer(LIBRARY(ROLE_SUPERVISOR), calls[i], 1, 1, 1, FILTER_ALLOW);
        assert_answer(LIBRARY(ROLE_WORKER), calls[i], 1, 1, 1, FILTER_ALLOW);
        assert_answer(CLI(ROLE_SUPERVISOR), calls[i], 1, 1, 1, SECCOMP_RET_TRAP);
    }
}

static void the_ids_of_members_are_taken_only_by_who_has_more_to_give_up(void **state)
{
    static const char *const calls[] = {"capset", "setfsuid", "setfsgid", "setgroups", "getgroups"};
    static const char *const needs[] = {"identity", NULL};
    static const struct feature gate = {.name = "gate", .needs = {.calls = needs}};
    const struct feature *const features[] = {&gate, NULL};

    (void)state;
    for (int role = ROLE_SUPERVISOR; role <= ROLE_GUARDIAN; role++) {
        struct wall_options cli = CLI((enum wall_role)role);
        struct wall_options library = LIBRARY((enum wall_role)role);
        bool acts = role != ROLE_GUARDIAN;
        cli.features = library.features = features;
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
            cli.privileged = false;
            assert_answer(cli, calls[i], 1, 1, 0,
                          acts ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS);
            cli.privileged = true;
            assert_answer(cli, calls[i], 1, 1, 0, acts ? FILTER_ALLOW : SECCOMP_RET_KILL_PROCESS);
            if (acts) /* whose host may become root again */
                assert_answer(library, calls[i], 1, 1, 0, FILTER_ALLOW);
            cli.features = NULL;
            assert_answer(cli, calls[i], 1, 1, 0,
                          acts ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS);
            cli.features = features;
        }
        assert_answer(cli, "setuid", 1, 0, 0, acts ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS);
    }
}

static void a_feature_widens_the_list_by_what_it_needs(void **state)
{
    static const char *const needs[] = {"fchmodat2", "fchown", "socketpair", NULL};
    static const struct feature gate = {.name = "gate", .needs = {.calls = needs}};
    static const struct feature plain = {.name = "plain"};
    static const struct feature *const features[] = {&plain, &gate, NULL};
    struct wall_options options = LIBRARY(ROLE_WORKER);
    struct wall_options guardian = CLI(ROLE_GUARDIAN);

    (void)state;
    options.features = guardian.features = features;
    assert_answer(options, "fchown", 1, 1, 1, FILTER_ALLOW);
    assert_answer(options, "fchmod", 1, 1, 1, NO);
    assert_answer(options, "socketpair", AF_UNIX, SOCK_STREAM, 0, FILTER_ALLOW);
    assert_answer(options, "socketpair", AF_INET, SOCK_STREAM, 0, NO);
    assert_answer(guardian, "fchown", 1, 1, 1, SECCOMP_RET_KILL_PROCESS);
}

static void members_messages_neither_wait_nor_connect(void **state)
{
    static const char *const needs[] = {"sendmsg:no-wait", "pidfd_send_signal:pipe", NULL};
    static const struct feature sends = {.name = "sends", .needs = {.calls = needs}};
    static const struct feature *const features[] = {&sends, NULL};
    struct wall_options options = LIBRARY(ROLE_WORKER);
    uint32_t fast_open = 0x20000000;

    (void)state;
    assert_answer(options, "sendmsg", 1, 1, MSG_DONTWAIT, NO);
    assert_answer(options, "pidfd_send_signal", 1, SIGPIPE, 0, NO);
    options.features = features;
    assert_answer(options, "sendmsg", 1, 1, MSG_DONTWAIT | MSG_NOSIGNAL, FILTER_ALLOW);
    assert_answer(options, "sendmsg", 1, 1, MSG_NOSIGNAL, NO);
    assert_answer(options, "sendmsg", 1, 1, MSG_DONTWAIT | fast_open, NO);
    assert_answer(options, "pidfd_send_signal", 1, SIGPIPE, 0, FILTER_ALLOW);
    assert_answer(options, "pidfd_send_signal", 1, SIGKILL, 0, NO);
}

static void a_feature_may_end_lingering_alone(void **state)
{
    static const char *const needs[] = {"setsockopt:linger", NULL};
    static const struct feature closing = {.name = "closing", .needs = {.calls = needs}};
    static const struct feature *const features[] = {&closing, NULL};
    struct wall_options options = LIBRARY(ROLE_WORKER);

    (void)state;
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_LINGER, NO);
    options.features = features;
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_LINGER, FILTER_ALLOW);
    assert_answer(options, "setsockopt", 3, IPPROTO_IP, SO_LINGER, NO);
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_SNDTIMEO, NO);
}

static void inert_sockets_and_filters_are_all_that_is_made(void **state)
{
    static const char *const needs[] = {"socket:datagram", "setsockopt:filter", "sendto:netlink",
                                        NULL};
    static const struct feature inert = {.name = "inert", .needs = {.calls = needs}};
    static const struct feature *const features[] = {&inert, NULL};
    struct wall_options options = LIBRARY(ROLE_SUPERVISOR);

    (void)state;
    assert_answer(options, "socket", AF_INET, SOCK_DGRAM, 0, NO);
    options.features = features;
    assert_answer(options, "socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, FILTER_ALLOW);
    assert_answer(options, "socket", AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0, FILTER_ALLOW);
    assert_answer(options, "socket", AF_INET, SOCK_STREAM, 0, NO);
    assert_answer(options, "socket", AF_UNIX, SOCK_DGRAM, 0, NO);
    assert_answer(options, "socket", AF_NETLINK, SOCK_DGRAM, 0, NO);
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_ATTACH_FILTER, FILTER_ALLOW);
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_LOCK_FILTER, FILTER_ALLOW);
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_BROADCAST, NO);
    assert_answer(options, "setsockopt", 3, IPPROTO_IP, SO_ATTACH_FILTER, NO);
    options.role = ROLE_WORKER;
    assert_answer(options, "socket", AF_INET, SOCK_DGRAM, 0, NO);
    assert_answer(options, "setsockopt", 3, SOL_SOCKET, SO_DETACH_FILTER, FILTER_ALLOW);
}

static void a_feature_may_lower_the_limit_that_is_a_mark_alone(void **state)
{
    static const char *const needs[] = {"prlimit64:mark", NULL};
    static const struct feature marks = {.name = "marks", .needs = {.calls = needs}};
    static const struct feature *const features[] = {&marks, NULL};
    struct wall_options options = CLI(ROLE_SUPERVISOR), worker = CLI(ROLE_WORKER);

    (void)state;
    assert_int_not_equal(evaluate(&arch_x86_64, &options, "prlimit64", 7, 10, 1), FILTER_ALLOW);
    options.features = worker.features = features;
    assert_int_equal(evaluate(&arch_x86_64, &options, "prlimit64", 7, 10 /* RLIMIT_LOCKS */, 1),
                     FILTER_ALLOW);
    assert_int_not_equal(evaluate(&arch_x86_64, &options, "prlimit64", 7, 7, 1), FILTER_ALLOW);
    assert_int_not_equal(evaluate(&arch_x86_64, &worker, "prlimit64", 7, 10, 1), FILTER_ALLOW);
}

/* A need may be a form of a call; another feature's need of the whole call stays what it is. */
static void a_feature_may_need_a_form_of_a_call(void **state)
{
    static const char *const forms[] = {"bind:unix", "sendto:connected", NULL};
    static const char *const six[] = {"bind:ip6", NULL};
    static const char *const whole[] = {"bind", NULL};
    static const struct feature narrow = {.name = "narrow", .needs = {.calls = forms}};
    static const struct feature wide = {.name = "wide", .needs = {.calls = whole}};
    static const struct feature *const one[] = {&narrow, NULL}, *const both[] = {&narrow, &wide,
                                                                                 NULL};
    struct wall_options options = LIBRARY(ROLE_SUPERVISOR);

    (void)state;
    assert_answer(options, "bind", 1, 1, 12, NO);
    options.features = one;
    assert_answer(options, "bind", 1, 1, 12, FILTER_ALLOW);
    assert_answer(options, "bind", 1, 1, sizeof(struct sockaddr_in), NO);
    assert_answer(options, "sendto", 1, 1, 1, FILTER_ALLOW); /* no address */
    assert_answer(options, "recvfrom", 1, 1, 1, NO);
    options.features = both;
    assert_answer(options, "bind", 1, 1, sizeof(struct sockaddr_in), FILTER_ALLOW);

    const struct feature other = {.name = "other", .needs = {.calls = six}};
    const struct feature *const others[] = {&other, NULL};
    options.features = others;
    assert_answer(options, "bind", 1, 1, sizeof(struct sockaddr_in6), FILTER_ALLOW);
    assert_answer(options, "bind", 1, 1, sizeof(struct sockaddr_in), NO);
    options.role = ROLE_WORKER;
    assert_answer(options, "bind", 1, 1, sizeof(struct sockaddr_in6), FILTER_ALLOW);
}

/* One option of IP sockets, and none of the socket level that has its number. */
static void an_option_may_be_needed_alone(void **state)
{
    static const char *const port[] = {"setsockopt:port", NULL};
    static const struct feature feature = {.name = "port", .needs = {.calls = port}};
    static const struct feature *const features[] = {&feature, NULL};
    struct wall_options options = LIBRARY(ROLE_SUPERVISOR);

    (void)state;
    assert_answer(options, "setsockopt", 1, IPPROTO_IP, 24, NO);
    options.features = features;
    assert_answer(options, "setsockopt", 1, IPPROTO_IP, 24, FILTER_ALLOW);
    assert_answer(options, "setsockopt", 1, IPPROTO_IP, 25, NO);
    assert_answer(options, "setsockopt", 1, SOL_SOCKET, 24, NO);
}

/* A filter is locked without the power to attach one. */
static void a_lock_may_be_needed_alone(void **state)
{
    static const char *const lock[] = {"setsockopt:lock", NULL};
    static const struct feature feature = {.name = "lock", .needs = {.calls = lock}};
    static const struct feature *const features[] = {&feature, NULL};
    struct wall_options options = LIBRARY(ROLE_WORKER);

    (void)state;
    assert_answer(options, "setsockopt", 1, SOL_SOCKET, SO_LOCK_FILTER, NO);
    options.features = features;
    assert_answer(options, "setsockopt", 1, SOL_SOCKET, SO_LOCK_FILTER, FILTER_ALLOW);
    assert_answer(options, "setsockopt", 1, SOL_SOCKET, SO_ATTACH_FILTER, NO);
}

/* Of every form that a feature may name: what it is, and what the rest of the call is. */
static void a_form_of_a_call_is_not_the_whole_of_it(void **state)
{
    static const struct {
        const char *need, *call;
        uint64_t is[6], others[2][6];
        enum wall_role role;
    } forms[] = {
        {"socketpair", "socketpair", {AF_UNIX}, {{AF_INET}, {AF_NETLINK}}},
        {"bind:unix", "bind", {3, 1, 12}, {{3, 1, 16}, {3, 1, 28}}},
        {"bind:ip6", "bind", {3, 1, 28}, {{3, 1, 16}, {3, 1, 12}}},
        {"sendto:connected", "sendto", {3, 1, 1}, {{3, 1, 1, 0, 1, 16}, {3, 1, 1, 0, 1, 12}}},
        {"recvfrom:connected", "recvfrom", {3, 1, 1}, {{3, 1, 1, 0, 1}, {3, 1, 1, 0, 1, 12}}},
        {"sendto:netlink", "sendto", {3, 1, 1, 0, 1, 12}, {{3, 1, 1, 0, 1, 16}, {3, 1, 1}}},
        {"socket:datagram",
         "socket",
         {AF_INET, SOCK_DGRAM},
         {{AF_INET, SOCK_RAW}, {AF_UNIX, SOCK_DGRAM}}},
        {"setsockopt:filter",
         "setsockopt",
         {3, SOL_SOCKET, SO_DETACH_FILTER},
         {{3, SOL_SOCKET, 50 /* SO_ATTACH_BPF */}, {3, IPPROTO_IP, SO_DETACH_FILTER}}},
        {"setsockopt:lock",
         "setsockopt",
         {3, SOL_SOCKET, SO_LOCK_FILTER},
         {{3, SOL_SOCKET, SO_ATTACH_FILTER}, {3, IPPROTO_IP, SO_LOCK_FILTER}}},
        {"setsockopt:here",
         "setsockopt",
         {3, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */},
         {{3, SOL_SOCKET, SO_BINDTODEVICE}, {3, IPPROTO_IP, 62}}},
        {"setsockopt:send-timeout",
         "setsockopt",
         {3, SOL_SOCKET, SO_SNDTIMEO},
         {{3, SOL_SOCKET, SO_RCVBUF}, {3, IPPROTO_IP, SO_SNDTIMEO}}},
        {"setsockopt:linger",
         "setsockopt",
         {3, SOL_SOCKET, SO_LINGER},
         {{3, SOL_SOCKET, SO_MARK}, {3, IPPROTO_IP, SO_LINGER}}},
        {"setsockopt:reuse",
         "setsockopt",
         {3, SOL_SOCKET, SO_REUSEPORT},
         {{3, SOL_SOCKET, SO_MARK}, {3, IPPROTO_IP, SO_REUSEPORT}}},
        {"setsockopt:port",
         "setsockopt",
         {3, IPPROTO_IP, 24},
         {{3, IPPROTO_IP, 25}, {3, SOL_SOCKET, 24}}},
        {"setsockopt:range",
         "setsockopt",
         {3, IPPROTO_IP, 51},
         {{3, IPPROTO_IP, 24}, {3, SOL_SOCKET, 51}}},
        {"setsockopt:cork",
         "setsockopt",
         {3, IPPROTO_UDP, 1},
         {{3, IPPROTO_UDP, 100 /* UDP_ENCAP */}, {3, SOL_SOCKET, 1}}},
        {"sendmsg:no-wait",
         "sendmsg",
         {3, 1, MSG_DONTWAIT},
         {{3, 1, 0}, {3, 1, MSG_DONTWAIT | 0x20000000 /* MSG_FASTOPEN */}}},
        {"pidfd_send_signal:guardian",
         "pidfd_send_signal",
         {3, SIGUSR1},
         {{3, SIGKILL}, {3, SIGPIPE}},
         ROLE_WORKER},
        {"pidfd_send_signal:guardian",
         "kill",
         {7, SIGUSR1},
         {{7, SIGKILL}, {(uint64_t)-1, SIGUSR1}},
         ROLE_WORKER},
        {"pidfd_send_signal:pipe",
         "pidfd_send_signal",
         {3, SIGPIPE},
         {{3, SIGKILL}, {3, SIGUSR1}},
         ROLE_WORKER},
        {"prlimit64:mark", "prlimit64", {7, 10, 1}, {{7, 7, 1}, {7, 0, 1}}},
        {"fcntl:seal", "fcntl", {3, 1033}, {{3, F_SETOWN}, {3, F_SETLEASE}}},
        {"ioctl", "ioctl", {3, 0x40086602}, {{3, TIOCSTI}, {3, TIOCSCTTY}}},
        {"ioctl:terminal", "ioctl", {3, TCSETSW}, {{3, TIOCSTI}, {3, TIOCSPGRP}}, ROLE_WORKER},
        {"kill:job", "kill", {7, SIGTTOU}, {{7, SIGKILL}, {(uint64_t)-1, SIGTERM}}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const char *const needs[] = {forms[i].need, NULL};
        const struct feature feature = {.name = "narrow", .needs = {.calls = needs}};
        const struct feature *const features[] = {&feature, NULL};
        struct wall_options options = LIBRARY(forms[i].role);
        const char *call = forms[i].call;
        if (evaluate_all(&arch_x86_64, &options, call, forms[i].is) != NO)
            fail_msg("%s is allowed without a need", forms[i].need);
        options.features = features;
        for (size_t a = 0; arch_all[a] != NULL; a++) {
            if (evaluate_all(arch_all[a], &options, call, forms[i].is) != FILTER_ALLOW)
                fail_msg("%s is not allowed", forms[i].need);
            for (int k = 0; k < 2; k++)
                if (evaluate_all(arch_all[a], &options, call, forms[i].others[k]) != NO)
                    fail_msg("%s allows more of %s: %d", forms[i].need, call, k);
        }
    }
}

static void the_programs_do_what_the_plans_say(void **state)
{
    (void)state;
    for (int role = ROLE_SUPERVISOR; role <= ROLE_GUARDIAN; role++) {
        for (int interactive = 0; interactive < 2; interactive++) {
            struct wall_options options = LIBRARY((enum wall_role)role);
            struct bpf_program program = {0};
            struct error err = {0};
            options.interactive = interactive != 0;
            struct filter_plan *plan = wall_plan(arch_native, &options);
            assert_true(wall_program(&options, &program, &err));
            bool same = filter_verify(plan, &program, &err);
            if (!same)
                fail_msg("%s", err.text);
            bpf_program_free(&program);
            filter_plan_free(plan);
        }
    }
}

/* ---- Real installs ----------------------------------------------------------------------------- */

/* Runs `body` in a process of its own, stderr captured. */
static int run_apart(int (*body)(struct wall_options *options), struct wall_options options,
                     char *output, size_t size)
{
    int ends[2], status = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        dup2(ends[1], STDERR_FILENO);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        task_memory_read_method(); /* probed before a wall, as in a launch */
        _exit(body(&options));
    }
    close(ends[1]);
    ssize_t length = fd_read_full(ends[0], output, size - 1);
    output[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define REQUIRE(condition)                                                 \
    do {                                                                   \
        if (!(condition)) {                                                \
            dprintf(STDERR_FILENO, "line %d: %s\n", __LINE__, #condition); \
            return 1;                                                      \
        }                                                                  \
    } while (0)

static bool enter(const struct wall_options *options)
{
    struct bpf_program program = {0};
    struct error err = {0};

    return wall_program(options, &program, &err) && wall_install(&program) == 0;
}

static void *allocate(void *data)
{
    for (size_t size = 16; size < 8 * 1024 * 1024; size *= 3) {
        char *block = malloc(size);
        if (block == NULL)
            return (void *)1;
        memset(block, 1, size);
        block = realloc(block, size * 2);
        free(block);
    }
    return data;
}

static int compare_ints(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static int body_normal_work(struct wall_options *options)
{
    static int numbers[100000];
    pthread_t threads[8];
    int ends[2];
    char byte;

    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(enter(options));
    REQUIRE(allocate(NULL) == NULL);
    for (int i = 0; options->role == ROLE_SUPERVISOR && i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, allocate, NULL) == 0);
    for (int i = 0; options->role == ROLE_SUPERVISOR && i < 8; i++) {
        void *result;
        REQUIRE(pthread_join(threads[i], &result) == 0 && result == NULL);
    }
    qsort(numbers, sizeof(numbers) / sizeof(numbers[0]), sizeof(numbers[0]), compare_ints);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    REQUIRE(write(ends[1], "x", 1) == 1);
    REQUIRE(poll(&ready, 1, -1) == 1);
    REQUIRE(read(ends[0], &byte, 1) == 1);
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(fd_duplicate_above(fd, 10) >= 10);
    REQUIRE(close(fd) == 0);
    usleep(1000);
    sigset_t all;
    sigfillset(&all);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    return 7;
}

static void normal_work_goes_on_behind_the_walls(void **state)
{
    static const enum wall_role roles[] = {ROLE_SUPERVISOR, ROLE_WORKER};
    char output[512];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run_apart(body_normal_work, LIBRARY(roles[i]), output, sizeof(output)), 7);
        assert_string_equal(output, "");
        assert_int_equal(run_apart(body_normal_work, CLI(roles[i]), output, sizeof(output)), 7);
    }
}

static int body_socket(struct wall_options *options)
{
    int before = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    REQUIRE(before >= 0); /* positive control */
    if (options->violation == VIOLATION_TRAP)
        REQUIRE(wall_install_sigsys_handler() == 0);
    REQUIRE(enter(options));
    REQUIRE(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) == -1 && errno == ENOTRECOVERABLE);
    REQUIRE(fork() == -1 && errno == ENOTRECOVERABLE);
    REQUIRE(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                MAP_FAILED &&
            errno == ENOTRECOVERABLE);
    REQUIRE(kill(getppid(), 0) == -1 && errno == ENOTRECOVERABLE);
    return 7;
}

static void a_call_outside_the_list_has_the_promised_result(void **state)
{
    char output[512], expected[128];

    (void)state;
    assert_int_equal(run_apart(body_socket, LIBRARY(ROLE_SUPERVISOR), output, sizeof(output)), 7);
    assert_int_equal(run_apart(body_socket, LIBRARY(ROLE_WORKER), output, sizeof(output)), 7);

    snprintf(expected, sizeof(expected),
             "sandlock: internal error: supervisor called socket (%d) outside its list\n",
             arch_syscall_number(arch_native, "socket"));
    assert_int_equal(run_apart(body_socket, CLI(ROLE_SUPERVISOR), output, sizeof(output)), 125);
    assert_string_equal(output, expected);
    assert_int_equal(run_apart(body_socket, CLI(ROLE_WORKER), output, sizeof(output)), 125);
    assert_string_equal(output, expected);
    assert_int_equal(run_apart(body_socket, CLI(ROLE_GUARDIAN), output, sizeof(output)),
                     128 + SIGSYS);
}

static int body_setuid(struct wall_options *options)
{
    REQUIRE(enter(options));
    REQUIRE(setuid(getuid()) == 0);
    REQUIRE(setgid(getgid()) == 0);
    return 7;
}

static void a_confined_thread_follows_the_hosts_setuid(void **state)
{
    char output[512];

    (void)state;
    assert_int_equal(run_apart(body_setuid, LIBRARY(ROLE_WORKER), output, sizeof(output)), 7);
}

/* ---- A whole supervisor behind its wall -------------------------------------------------------- */

static void answer_with_memory(const struct request *request, void *data)
{
    char text[16] = "";
    uint64_t address = request->notification.data.args[0];

    (void)data;
    ssize_t length =
        task_memory_read_string((pid_t)request->notification.pid, address, text, sizeof(text));
    request_record_denial(request, text, "test", EXDEV, "test", NULL, NULL);
    request_answer_value(request, length);
}

static struct verdict submit(struct request *request)
{
    if (!request_submit(request, answer_with_memory, NULL, NULL))
        return verdict_errno(EAGAIN);
    return verdict_taken();
}

static struct verdict value_5(struct request *request)
{
    (void)request;
    return verdict_value(5);
}

static struct verdict make_socket(struct request *request)
{
    (void)request;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? verdict_errno(errno) : verdict_value(fd);
}

static void make_socket_in_worker(const struct request *request, void *data)
{
    (void)data;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    request_answer_errno(request, fd < 0 ? errno : EIO);
}

static struct verdict submit_socket(struct request *request)
{
    if (!request_submit(request, make_socket_in_worker, NULL, NULL))
        return verdict_errno(EAGAIN);
    return verdict_taken();
}

static const struct trap confined_traps[] = {
    {.syscall = "getsid", .handle = value_5},
    {.syscall = "getpriority", .handle = submit},
    {.syscall = "getpgid", .handle = make_socket},
    {.syscall = "setpriority", .handle = submit_socket},
};

static const struct feature confined_feature = {
    .name = "confined", .traps = confined_traps, .trap_count = 4};

static const struct feature *const confined_registry[] = {&confined_feature, NULL};

static int member_works(void *data)
{
    (void)data;
    for (int i = 0; i < 50; i++) {
        if (syscall(SYS_getsid, 0) != 5 || syscall(SYS_getpriority, "hello", 0) != 5)
            return 1;
    }
    return 7;
}

static int member_provokes(void *data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds the captured stderr, whose end is waited for */
    syscall(*(int *)data, 0);
    pause();
    return 1;
}

static struct loop *loop;

static void stop_at_exit(void *data, short revents)
{
    (void)data;
    (void)revents;
    loop_stop(loop);
}

static void kill_member(void *data)
{
    (void)data;
    sys_pidfd_send_signal(*(int *)data, SIGKILL, 0);
}

static int supervise(const struct wall_options *options, int (*body)(void *data), void *data)
{
    struct policy policy = {0};
    struct denial_log *denials = denial_log_new();
    struct supervisor_config config = {.policy = &policy,
                                       .registry = confined_registry,
                                       .denials = denials,
                                       .violation = options->violation,
                                       .confined = true};
    struct error err = {0};
    struct supervisor *supervisor = supervisor_new(&config, &err);
    int numbers[TRAPPED_MAX];
    size_t count;

    loop = loop_new();
    REQUIRE(supervisor != NULL && loop != NULL);
    const struct filter_trap *traps = supervisor_traps(supervisor, &count);
    for (size_t i = 0; i < count; i++)
        numbers[i] = traps[i].number;
    struct trapped_child child = trapped_spawn(numbers, count, body, data);
    if (options->violation == VIOLATION_TRAP)
        wall_install_sigsys_handler();
    supervisor_on_failure(supervisor, kill_member, &child.pidfd);
    REQUIRE(supervisor_attach(supervisor, loop, child.listener, getpid(), child.pid, child.pidfd,
                              &err));
    REQUIRE(loop_add(loop, child.pidfd, POLLIN, stop_at_exit, NULL));
    REQUIRE(loop_run(loop) == 0);
    int status = trapped_wait(&child);
    if (supervisor_failure(supervisor) != NULL)
        dprintf(STDERR_FILENO, "failure: %s\n", supervisor_failure(supervisor));
    else
        dprintf(STDERR_FILENO, "%d denials\n", (int)denial_log_total(denials));
    /* The wall is really there. */
    REQUIRE(options->violation == VIOLATION_TRAP ||
            (socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == ENOTRECOVERABLE));
    supervisor_free(supervisor);
    loop_free(loop);
    denial_log_free(denials);
    return status;
}

static int body_supervise(struct wall_options *options)
{
    return supervise(options, member_works, NULL);
}

static int body_provoked(struct wall_options *options)
{
    int number = SYS_getpgid;

    return supervise(options, member_provokes, &number);
}

static int body_provoked_worker(struct wall_options *options)
{
    int number = SYS_setpriority;

    return supervise(options, member_provokes, &number);
}

static void a_confined_supervisor_and_its_workers_serve_notifications(void **state)
{
    char output[512];

    (void)state;
    assert_int_equal(run_apart(body_supervise, LIBRARY(ROLE_SUPERVISOR), output, sizeof(output)),
                     7);
    assert_string_equal(output, "50 denials\n");
    assert_int_equal(run_apart(body_supervise, CLI(ROLE_SUPERVISOR), output, sizeof(output)), 7);
}

static void a_violation_ends_the_run_and_leaves_the_host_alive(void **state)
{
    char output[512];

    (void)state;
    assert_int_equal(run_apart(body_provoked, LIBRARY(ROLE_SUPERVISOR), output, sizeof(output)),
                     128 + SIGKILL);
    assert_string_equal(output, "failure: the supervisor made a system call outside its list while "
                                "it handled getpgid (121)\n");
    assert_int_equal(
        run_apart(body_provoked_worker, LIBRARY(ROLE_SUPERVISOR), output, sizeof(output)),
        128 + SIGKILL);
    assert_string_equal(output, "failure: the worker made a system call outside its list while it "
                                "handled setpriority (141)\n");
}

static void a_violation_in_the_program_itself_ends_it(void **state)
{
    char output[512];

    (void)state;
    assert_int_equal(run_apart(body_provoked, CLI(ROLE_SUPERVISOR), output, sizeof(output)), 125);
    assert_non_null(strstr(output, "supervisor called socket ("));
    assert_int_equal(run_apart(body_provoked_worker, CLI(ROLE_SUPERVISOR), output, sizeof(output)),
                     125);
    assert_non_null(strstr(output, "worker called socket ("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_supervisors_list_is_pinned),
        cmocka_unit_test(the_workers_list_is_pinned),
        cmocka_unit_test(the_guardians_list_is_pinned),
        cmocka_unit_test(a_guardian_that_traces_has_its_own_list),
        cmocka_unit_test(only_where_descriptors_are_fetched_is_there_a_tracer),
        cmocka_unit_test(nothing_becomes_executable),
        cmocka_unit_test(only_threads_are_made_and_only_by_the_supervisor),
        cmocka_unit_test(signals_reach_only_the_process_itself),
        cmocka_unit_test(the_command_line_ends_members_by_number_too),
        cmocka_unit_test(no_role_makes_sockets_or_reaches_the_host),
        cmocka_unit_test(ioctls_are_those_of_the_role),
        cmocka_unit_test(a_library_lets_its_host_change_ids),
        cmocka_unit_test(the_ids_of_members_are_taken_only_by_who_has_more_to_give_up),
        cmocka_unit_test(a_feature_widens_the_list_by_what_it_needs),
        cmocka_unit_test(a_feature_may_end_lingering_alone),
        cmocka_unit_test(a_feature_may_lower_the_limit_that_is_a_mark_alone),
        cmocka_unit_test(a_feature_may_need_a_form_of_a_call),
        cmocka_unit_test(inert_sockets_and_filters_are_all_that_is_made),
        cmocka_unit_test(members_messages_neither_wait_nor_connect),
        cmocka_unit_test(an_option_may_be_needed_alone),
        cmocka_unit_test(a_lock_may_be_needed_alone),
        cmocka_unit_test(a_form_of_a_call_is_not_the_whole_of_it),
        cmocka_unit_test(the_programs_do_what_the_plans_say),
        cmocka_unit_test(normal_work_goes_on_behind_the_walls),
        cmocka_unit_test(a_call_outside_the_list_has_the_promised_result),
        cmocka_unit_test(a_confined_thread_follows_the_hosts_setuid),
        cmocka_unit_test(a_confined_supervisor_and_its_workers_serve_notifications),
        cmocka_unit_test(a_violation_ends_the_run_and_leaves_the_host_alive),
        cmocka_unit_test(a_violation_in_the_program_itself_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
