/*
 * The allow lists of the supervisor's own roles: see wall.h. One table, a row per call and condition;
 * what no row allows is a violation. The rows follow from what the code of a role calls, including
 * what libc does for it in both variants: allocation (mmap, brk, mremap, madvise), thread creation
 * (clone, mprotect, rseq, set_robust_list, rt_sigprocmask), thread exit, locks (futex), sorting
 * (sysinfo). Paths are not this wall's concern, the Landlock domain judges those.
 */
#include "supervisor/wall.h"

#include "kernel/sys.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* Roles, as bits. */
#define S (1U << ROLE_SUPERVISOR)
#define W (1U << ROLE_WORKER)
#define G (1U << ROLE_GUARDIAN)

enum wall_condition {
    ALWAYS = 0,
    IN_LIBRARY,     /* VIOLATION_ERRNO: libc runs these on every thread of the host */
    IN_OWN_PROCESS, /* VIOLATION_TRAP: the command line, which has no lifeline */
    INTERACTIVE,    /* terminal hand-over and job control */
    TRACED,         /* descriptors are fetched by tracing */
    NEEDED, /* only if a wanted feature names the call; narrower than naming it alone would be */
    NEEDED_PRIVILEGED, /* and the supervisor has capabilities, or its host may get some */
};

/* Names and not pointers to names: the static program would have to relocate each at every start, and
 * most starts never need this table. */
struct wall_row {
    char call[20];
    unsigned roles;
    enum wall_condition condition;
    uint8_t test_count;
    struct arg_test tests[2];
    bool own_process; /* tests[0].value is our process id */
    /* NEEDED*: the name in a feature's list, if it is not the call's: "bind:unix". */
    char need[28];
};

/* Not in every libc's headers. */
#define NOTIF_SET_FLAGS 0x40082104U
#define SECCOMP_OPERATION_FILTER 1U /* SECCOMP_SET_MODE_FILTER */

#define EQUALS(number, what) \
    .test_count = 1, .tests = {{.arg = (number), .op = ARG_EQUAL, .value = (uint32_t)(what)}}
#define HAS_BIT(number, bit) \
    .test_count = 1, .tests = {{.arg = (number), .op = ARG_ANY_BIT, .mask = (uint32_t)(bit)}}
#define LACKS_BIT(number, bit) \
    .test_count = 1, .tests = {{.arg = (number), .op = ARG_NO_BIT, .mask = (uint32_t)(bit)}}
#define BETWEEN(number, low, high) \
    .test_count = 1,               \
    .tests = {{.arg = (number), .op = ARG_IN_RANGE, .value = (low), .value_high = (high)}}
#define IS_NULL(number) .test_count = 1, .tests = {{.arg = (number), .op = ARG_IS_NULL}}
#define OWN_PROCESS(number) \
    .own_process = true, .test_count = 1, .tests = {{.arg = (number), .op = ARG_EQUAL}}

#define TO_ONE_PROCESS(signal)                                                     \
    .test_count = 2,                                                               \
    .tests = {{.arg = 0, .op = ARG_IN_RANGE, .value = 1, .value_high = INT32_MAX}, \
              {.arg = 1, .op = ARG_EQUAL, .value = (signal)}}
#define DATAGRAMS_OF(family)                                                   \
    .test_count = 2, .tests = {{.arg = 0, .op = ARG_EQUAL, .value = (family)}, \
                               {.arg = 1, .op = ARG_EQUAL, .mask = 0xf, .value = 2}}
#define SOCKET_OPTION(option)                                                            \
    .test_count = 2, .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 1 /* SOL_SOCKET */}, \
                               {.arg = 2, .op = ARG_EQUAL, .value = (option)}}

static const struct wall_row rows[] = {
    /* Answers. */
    {"ioctl", S, EQUALS(1, SECCOMP_IOCTL_NOTIF_RECV)},
    {"ioctl", S, EQUALS(1, NOTIF_SET_FLAGS)},
    {"ioctl", S | W, EQUALS(1, SECCOMP_IOCTL_NOTIF_SEND)},
    {"ioctl", S | W, EQUALS(1, SECCOMP_IOCTL_NOTIF_ID_VALID)},
    {"ioctl", S | W, EQUALS(1, SECCOMP_IOCTL_NOTIF_ADDFD)},

    /* Terminals: looking is harmless, stdio does it too. */
    {"ioctl", S, EQUALS(1, FIONREAD)},
    {"ioctl", S, EQUALS(1, TCGETS)},
    {"ioctl", S, EQUALS(1, TIOCGWINSZ)},
    {"ioctl", S, EQUALS(1, TIOCGPGRP)},
    {"ioctl", S, INTERACTIVE, EQUALS(1, TIOCSPGRP)},
    {"ioctl", S, INTERACTIVE, EQUALS(1, TCSETS)},
    {"ioctl", S, INTERACTIVE, EQUALS(1, TCSETSW)},
    {"ioctl", S, INTERACTIVE, EQUALS(1, TCSETSF)},

    /* Waiting. */
    {"ppoll", S | W | G},
    {"poll", S | W | G},
    {"epoll_wait", S},
    {"epoll_pwait", S},
    {"epoll_ctl", S},
    {"futex", S | W | G},
    {"nanosleep", S | W | G},
    {"clock_nanosleep", S | W},
    {"clock_gettime", S | W},
    {"gettimeofday", S | W},
    {"restart_syscall", S | W | G},
    {"sched_yield", S | W},

    /* Reading and writing what is open, or what the domain lets be opened. */
    {"read", S | W | G},
    {"write", S | W | G},
    {"readv", S | W},
    {"writev", S | W},
    {"pread64", S | W},
    {"pwrite64", S | W},
    {"lseek", S | W},
    {"close", S | W | G},
    {"open", S | W},
    {"openat", S | W | G},
    {"openat2", S | W},
    {"stat", S | W},
    {"lstat", S | W},
    {"fstat", S | W},
    {"newfstatat", S | W},
    {"statx", S | W | G},
    {"readlink", S | W},
    {"readlinkat", S | W},
    {"getdents64", S | W | G},
    {"dup", S | W},
    {"dup3", S | W},
    {"fcntl", S | W, EQUALS(1, F_DUPFD_CLOEXEC)},
    {"fcntl", S | W, EQUALS(1, F_GETFD)},
    {"fcntl", S | W, EQUALS(1, F_SETFD)},
    {"fcntl", S | W, EQUALS(1, F_GETFL)},
    {"fcntl", S | W, EQUALS(1, F_SETFL)},
    /* The run's own files. */
    {"ftruncate", S}, /* a posture of an earlier run */
    {"unlink", S},
    {"unlinkat", S | G},
    {"rmdir", S},

    /* Members. */
    {"pidfd_open", S | W},
    {"pidfd_send_signal", S, EQUALS(1, SIGUSR1)}, /* a command to the guardian */
    {"pidfd_send_signal", S, EQUALS(1, SIGKILL)}, /* members, when the guardian is dead */
    {"process_vm_readv", S | W},
    {"process_vm_writev", S | W},
    {"wait4", S | G},
    {"waitid", S | G},
    {"tgkill", S | W, EQUALS(2, 0)},   /* does this thread belong to that process? */
    {"tgkill", S | W, OWN_PROCESS(0)}, /* abort() */
    {"tkill", S, OWN_PROCESS(0)},
    {"kill", S, OWN_PROCESS(0)},
    /* The same two signals by number, where a filter of the caller's refuses the other call: to one process. */
    {"kill", S, IN_OWN_PROCESS, TO_ONE_PROCESS(SIGUSR1)},
    {"kill", S, IN_OWN_PROCESS, TO_ONE_PROCESS(SIGKILL)},
    {"kill", S, INTERACTIVE, EQUALS(0, 0)}, /* stop with the job: our own process group */
    {"kill", S, INTERACTIVE, EQUALS(1, 0)}, /* is anybody left in the group in front? */

    /* Memory, never executable. */
    {"mmap", S | W, LACKS_BIT(2, PROT_EXEC)},
    {"mprotect", S | W, LACKS_BIT(2, PROT_EXEC)},
    {"munmap", S | W},
    {"mremap", S | W},
    {"madvise", S | W},
    {"brk", S | W},
    {"getrandom", S | W},
    {"sysinfo", S | W},
    {"prctl", S | W, EQUALS(0, PR_SET_VMA)}, /* newer libcs name their mappings */

    /* Threads: S makes them, W is one. */
    {"clone", S, HAS_BIT(0, CLONE_THREAD)},
    {"set_robust_list", S | W},
    {"rseq", S | W},
    {"set_tid_address", S | W},
    {"sigaltstack", S | W},
    {"sched_getaffinity", S | W}, /* glibc sizes its arenas by it */
    {"prctl", S | W, EQUALS(0, PR_SET_NAME)},
    {"seccomp", S, EQUALS(0, SECCOMP_OPERATION_FILTER)}, /* a worker's own, narrower wall */
    {"exit", S | W | G},
    {"exit_group", S | W | G},

    /* Signals. */
    {"rt_sigprocmask", S | W | G},
    {"rt_sigtimedwait", S | G},
    {"rt_sigaction", S},
    {"rt_sigreturn", S | W},

    /* Who am I. */
    {"getpid", S | W | G},
    {"gettid", S | W | G},
    {"getppid", S | W | G},
    {"getpgid", S},
    {"getpgrp", S},
    {"getsid", S},
    {"getuid", S | W},
    {"geteuid", S | W},
    {"getgid", S | W},
    {"getegid", S | W},
    {"getrusage", S},
    {"uname", S}, /* the posture names the kernel */
    {"prlimit64", S | W, IS_NULL(2)},

    /* One thread that refuses these makes glibc abort the host. */
    {"setuid", S | W, IN_LIBRARY},
    {"setgid", S | W, IN_LIBRARY},
    {"setreuid", S | W, IN_LIBRARY},
    {"setregid", S | W, IN_LIBRARY},
    {"setresuid", S | W, IN_LIBRARY},
    {"setresgid", S | W, IN_LIBRARY},
    {"setfsuid", S | W, IN_LIBRARY},
    {"setfsgid", S | W, IN_LIBRARY},
    {"setgroups", S | W, IN_LIBRARY},

    /* Wider calls that a feature may name; only this form of them is then allowed. */
    {"socketpair", S | W, NEEDED, EQUALS(0, 1 /* AF_UNIX */)},
    /* The descriptor does not tell the family, but no IP address is as short. */
    {"bind", S, NEEDED, EQUALS(2, 12), .need = "bind:unix"},
    {"bind", S | W, NEEDED, EQUALS(2, 28 /* struct sockaddr_in6 */), .need = "bind:ip6"},
    {"sendto", S, NEEDED, IS_NULL(4), .need = "sendto:connected"},
    {"recvfrom", S, NEEDED, IS_NULL(4), .need = "recvfrom:connected"},
    /* Inert UDP sockets, and a filter in front of a listener. */
    {"socket", S, NEEDED, DATAGRAMS_OF(2 /* AF_INET */), .need = "socket:datagram"},
    {"socket", S, NEEDED, DATAGRAMS_OF(10 /* AF_INET6 */), .need = "socket:datagram"},
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(26 /* SO_ATTACH_FILTER */),
     .need = "setsockopt:filter"},
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(27 /* SO_DETACH_FILTER */),
     .need = "setsockopt:filter"},
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(44 /* SO_LOCK_FILTER */),
     .need = "setsockopt:filter"},
    /* Without the power to attach any: a mark on a member's socket. */
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(44 /* SO_LOCK_FILTER */),
     .need = "setsockopt:lock"},
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(62 /* SO_BINDTOIFINDEX */),
     .need = "setsockopt:here"},
    /* A member's blocking connect, so that it does not block us. */
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(SO_SNDTIMEO), .need = "setsockopt:send-timeout"},
    /* Members' sockets are closed in the background. */
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(SO_LINGER), .need = "setsockopt:linger"},
    /* Messages of members: never waiting, and never connecting, which no domain would see. A broken
     * stream's signal goes with the answer. */
    {"sendmsg", S | W, NEEDED, .test_count = 2,
     .tests = {{.arg = 2, .op = ARG_ANY_BIT, .mask = MSG_DONTWAIT},
               {.arg = 2, .op = ARG_NO_BIT, .mask = 0x20000000 /* MSG_FASTOPEN */}},
     .need = "sendmsg:no-wait"},
    /* A command to the guardian, when the supervisor's thread is stuck. */
    {"pidfd_send_signal", W, NEEDED, EQUALS(1, SIGUSR1), .need = "pidfd_send_signal:guardian"},
    {"kill", W, NEEDED, TO_ONE_PROCESS(SIGUSR1), .need = "pidfd_send_signal:guardian"},
    {"pidfd_send_signal", S | W, NEEDED, EQUALS(1, SIGPIPE), .need = "pidfd_send_signal:pipe"},
    /* The mark of processes that have confined themselves: RLIMIT_LOCKS, which limits nothing. */
    {"prlimit64", S, NEEDED, EQUALS(1, 10), .need = "prlimit64:mark"},
    /* Virtual ports are not shared with other sandboxes. */
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(2 /* SO_REUSEADDR */), .need = "setsockopt:reuse"},
    {"setsockopt", S | W, NEEDED, SOCKET_OPTION(15 /* SO_REUSEPORT */), .need = "setsockopt:reuse"},
    /* A member's datagram socket gets its port from a bind. */
    {"setsockopt", S | W, NEEDED, .test_count = 2,
     .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 0 /* IPPROTO_IP */},
               {.arg = 2, .op = ARG_EQUAL, .value = 24 /* IP_BIND_ADDRESS_NO_PORT */}},
     .need = "setsockopt:port"},
    /* The kernel chooses no denied port for a member's socket. */
    {"setsockopt", S | W, NEEDED, .test_count = 2,
     .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 0 /* IPPROTO_IP */},
               {.arg = 2, .op = ARG_EQUAL, .value = 51 /* IP_LOCAL_PORT_RANGE */}},
     .need = "setsockopt:range"},
    /* What a member has begun to send is sent. */
    {"setsockopt", S | W, NEEDED, .test_count = 2,
     .tests = {{.arg = 1, .op = ARG_EQUAL, .value = 17 /* IPPROTO_UDP */},
               {.arg = 2, .op = ARG_EQUAL, .value = 1 /* UDP_CORK */}},
     .need = "setsockopt:cork"},
    /* Questions to the sock_diag socket: no other address is as long. */
    {"sendto", S | W, NEEDED, EQUALS(5, 12 /* sockaddr_nl */), .need = "sendto:netlink"},
    /* Files of a view, in sealed memory. */
    {"fcntl", S | W, NEEDED, EQUALS(1, 1033 /* F_ADD_SEALS */), .need = "fcntl:seal"},
    /* Inode flags and versions on behalf; the requests of gates/metadata_call.c. */
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40046602)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40046604)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40047211)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40047602)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40086602)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40086604)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40087602)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x401C5820)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x40806685)},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x800C6613)},
    /* Terminals of members, changed on behalf, and which they are: the requests of gates/terminal_change.c
     * that are for every kind. Who would be stopped by the kernel is stopped by us. */
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x80045432 /* TIOCGDEV */), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, BETWEEN(1, 0x5402, 0x5404), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, BETWEEN(1, 0x5406, 0x540B), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x540D), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x5414), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x541A), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, EQUALS(1, 0x5425), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, BETWEEN(1, 0x5427, 0x5428), .need = "ioctl:terminal"},
    {"ioctl", S | W, NEEDED, BETWEEN(1, 0x402C542B, 0x402C542D), .need = "ioctl:terminal"},
    {"kill", S | W, NEEDED, EQUALS(1, SIGTTOU), .need = "kill:job"},

    /* A thread that acts for a member takes its ids, groups and capabilities meanwhile. */
    {"capset", S | W, NEEDED_PRIVILEGED, .need = "identity"},
    {"setfsuid", S | W, NEEDED_PRIVILEGED, .need = "identity"},
    {"setfsgid", S | W, NEEDED_PRIVILEGED, .need = "identity"},
    {"getgroups", S | W, NEEDED_PRIVILEGED, .need = "identity"},
    {"setgroups", S | W, NEEDED_PRIVILEGED, .need = "identity"},

    /* The guardian: parent, reaper and killer of the members. No libc, one thread. */
    {"kill", G},
    {"tgkill", G, EQUALS(2, SIGSTOP)},
    {"setpgid", G, EQUALS(0, 0)},
    {"setsid", G},
    {"prctl", G, EQUALS(0, PR_SET_PDEATHSIG)},
    {"prctl", G, EQUALS(0, PR_SET_NAME)},
    {"ptrace", G, EQUALS(0, 17 /* PTRACE_DETACH */)}, /* who made it its tracer */

    /* Fetching by tracing. Whom ptrace reaches the domain decides: members. */
    {"socketpair", S, TRACED, EQUALS(0, 1 /* AF_UNIX */)},
    {"recvmsg", S, TRACED, EQUALS(2, MSG_DONTWAIT | 0x40000000 /* MSG_CMSG_CLOEXEC */)},
    {"ptrace", G, TRACED, BETWEEN(0, 0x4204 /* PTRACE_GETREGSET */, 0x4207 /* PTRACE_INTERRUPT */)},
    {"ptrace", G, TRACED, BETWEEN(0, 0x420a /* PTRACE_GETSIGMASK */, 0x420b /* SETSIGMASK */)},
    {"ptrace", G, TRACED, EQUALS(0, 2 /* PTRACE_PEEKDATA */)},
    {"ptrace", G, TRACED, EQUALS(0, 5 /* PTRACE_POKEDATA */)},
    {"ptrace", G, TRACED, EQUALS(0, 24 /* PTRACE_SYSCALL */)},
    {"clock_gettime", G, TRACED},
    {"rt_sigaction", G, TRACED, EQUALS(0, SIGALRM)},
    {"rt_sigreturn", G, TRACED},
    {"setitimer", G, TRACED, EQUALS(0, 0 /* ITIMER_REAL */)},
};

#undef S
#undef W
#undef G

const char *wall_role_name(enum wall_role role)
{
    static const char *const names[] = {
        [ROLE_SUPERVISOR] = "supervisor", [ROLE_WORKER] = "worker", [ROLE_GUARDIAN] = "guardian"};

    return names[role];
}

static uint32_t violation_action(const struct wall_options *options)
{
    if (options->role == ROLE_GUARDIAN)
        return SECCOMP_RET_KILL_PROCESS;
    return options->violation == VIOLATION_TRAP ? SECCOMP_RET_TRAP : FILTER_ERRNO(ENOTRECOVERABLE);
}

static bool is_needed(const struct wall_options *options, const char *call)
{
    if (options->role == ROLE_GUARDIAN || options->features == NULL)
        return false;
    for (const struct feature *const *feature = options->features; *feature != NULL; feature++) {
        const char *const *name = (*feature)->needs.calls;
        for (; name != NULL && *name != NULL; name++)
            if (strcmp(*name, call) == 0)
                return true;
    }
    return false;
}

static bool row_applies(const struct wall_row *row, const struct wall_options *options)
{
    if ((row->roles & (1U << options->role)) == 0)
        return false;
    switch (row->condition) {
    case ALWAYS:
        return true;
    case IN_LIBRARY:
        return options->violation == VIOLATION_ERRNO;
    case IN_OWN_PROCESS:
        return options->violation == VIOLATION_TRAP;
    case INTERACTIVE:
        return options->interactive;
    case TRACED:
        return options->traced;
    case NEEDED:
        return is_needed(options, row->need[0] != '\0' ? row->need : row->call);
    case NEEDED_PRIVILEGED:
        return (options->privileged || options->violation == VIOLATION_ERRNO) &&
               is_needed(options, row->need);
    }
    return false;
}

static bool apply_row(struct filter_plan *plan, const struct wall_row *row)
{
    int number = arch_syscall_number(plan->arch, row->call);

    if (number < 0)
        return true; /* another architecture's spelling */
    if (row->test_count == 0) {
        filter_plan_set(plan, number, FILTER_ALLOW);
        return true;
    }
    struct filter_rule rule = {.test_count = row->test_count, .action = FILTER_ALLOW};
    memcpy(rule.tests, row->tests, sizeof(row->tests));
    if (row->own_process)
        rule.tests[0].value = (uint32_t)getpid();
    return filter_plan_add_rule(plan, number, &rule);
}

static bool has_narrow_form(const char *call)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].condition == NEEDED && rows[i].need[0] == '\0' &&
            strcmp(rows[i].call, call) == 0)
            return true;
    return false;
}

static void allow_needed(struct filter_plan *plan, const struct wall_options *options)
{
    if (options->role == ROLE_GUARDIAN || options->features == NULL)
        return;
    for (const struct feature *const *feature = options->features; *feature != NULL; feature++) {
        const char *const *name = (*feature)->needs.calls;
        for (; name != NULL && *name != NULL; name++) {
            int number = arch_syscall_number(plan->arch, *name);
            if (number >= 0 && !has_narrow_form(*name))
                filter_plan_set(plan, number, FILTER_ALLOW);
        }
    }
}

struct filter_plan *wall_plan(const struct arch *arch, const struct wall_options *options)
{
    struct filter_plan *plan = filter_plan_new(arch, violation_action(options));

    if (plan == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (row_applies(&rows[i], options) && !apply_row(plan, &rows[i])) {
            filter_plan_free(plan);
            return NULL;
        }
    }
    allow_needed(plan, options);
    /* Its flags lie in memory, where no filter sees them. libc falls back to clone. */
    if (options->role != ROLE_GUARDIAN)
        filter_plan_set(plan, arch_syscall_number(arch, "clone3"), FILTER_ERRNO(ENOSYS));
    return plan;
}

bool wall_program(const struct wall_options *options, struct bpf_program *program,
                  struct error *err)
{
    struct filter_plan *plan = wall_plan(arch_native, options);

    if (plan == NULL)
        return error_runtime(err, ENOMEM, "build the %s's filter", wall_role_name(options->role));
    bool compiled = filter_compile(plan, program, err);
    filter_plan_free(plan);
    return compiled;
}

int wall_install(const struct bpf_program *program)
{
    struct sock_fprog fprog = {.len = (unsigned short)program->length,
                               .filter = program->instructions};

    return (int)sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&fprog);
}

/* ---- SIGSYS ------------------------------------------------------------------------------------ */

static size_t append(char *line, size_t used, size_t size, const char *text)
{
    while (*text != '\0' && used < size)
        line[used++] = *text++;
    return used;
}

static size_t append_number(char *line, size_t used, size_t size, int number)
{
    char digits[12];
    size_t first = sizeof(digits) - 1;
    unsigned rest = number < 0 ? 0U - (unsigned)number : (unsigned)number;

    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        used = append(line, used, size, "-");
    return append(line, used, size, digits + first);
}

/* Only calls that every role may make, nothing that locks or allocates. */
static void on_sigsys(int signal_number, siginfo_t *info, void *context)
{
    char line[160];
    size_t used = 0;
    const char *name = arch_syscall_name(arch_native, info->si_syscall);

    (void)context;
    /* Somebody has sent it (sigaction(2), SI_USER and below), and means what it does by default. */
    if (info->si_code <= 0) {
        signal(signal_number, SIG_DFL);
        raise(signal_number); /* when this returns */
        return;
    }
    /* The supervisor of the command line is its main thread, all others are workers. */
    enum wall_role role =
        sys_call0(SYS_getpid) == sys_call0(SYS_gettid) ? ROLE_SUPERVISOR : ROLE_WORKER;
    used = append(line, used, sizeof(line), "sandlock: internal error: ");
    used = append(line, used, sizeof(line), wall_role_name(role));
    used = append(line, used, sizeof(line), " called ");
    used = append(line, used, sizeof(line), name == NULL ? "system call" : name);
    used = append(line, used, sizeof(line), " (");
    used = append_number(line, used, sizeof(line), info->si_syscall);
    used = append(line, used, sizeof(line), ") outside its list\n");
    sys_call3(SYS_write, STDERR_FILENO, (long)line, (long)used);
    _exit(125);
}

int wall_install_sigsys_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

    sigfillset(&action.sa_mask);
    return sigaction(SIGSYS, &action, NULL) == 0 ? 0 : -errno;
}
