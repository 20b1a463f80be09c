/*
 * The guardian's life: confine itself, clone the child, leave the shared descriptor table, watch the
 * host, reap, and at the end make sure that no member is left. See guardian.h for the idea.
 */
#include "bare/guardian.h"

#include "bare/children.h"
#include "bare/clone.h"
#include "bare/cpu_reserve.h"
#include "bare/pause.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#define KERNEL_SIGSET_SIZE 8
#define SIGNAL_BIT(number) (1ULL << ((number)-1))

#define STATX_INODE 0x100 /* STATX_INO */

/* Members that end, or stop for us, as fast as we can see to them must not keep us from all else. */
#define REAPED_AT_ONCE 64
#define REAPED_AT_ONCE_NS 50000L /* no more than they take */

/* At the end, when all of them are killed again in between: each time twice as many, or the time that many
 * members take would grow with the square of their number. */
#define REAPED_AT_ONCE_MAX 4096

/* Rounds of killing in which nothing can be learned of the members. */
#define REFUSALS_MAX 100

/* Between two rounds of the end, where no member ends meanwhile: at first, and at most. */
#define REST_NS 1000000L
#define REST_MAX_NS 64000000L
#define REST_STALLED_NS 8000000L /* nobody has ended for some rounds */

/* Rounds of one kill without a signal scope, a millisecond each: a member that sleeps in the kernel may not die. */
#define GENERATIONS_MAX 500

/* A stopped job is looked at again so often, and when nothing has happened for so many looks. */
#define LOOK_NS 100000000L
#define LATER_LOOK_NS 500000000L
#define LOOKS_SOON 100

/* Ordinary signals merge: no more of them than kinds can wait. */
#define SIGNALS_WATCHED 4

struct guardian {
    struct guardian_plan *plan;
    struct launch_record *record;
    long child;
    bool child_done;    /* its status is in the record; its zombie is kept */
    bool finish;        /* end as soon as the child is done */
    bool killed;        /* a kill was ordered */
    bool walled;        /* its own filter is installed */
    int signal_fd;      /* -1: not yet */
    long rest;          /* how long the next one may be, in nanoseconds */
    bool keeps_stopped; /* the pause: not any more once the host continues somebody */
    long until_look;    /* nanoseconds, while a pause is watched */
    struct pause pause;
    struct tracer *tracer; /* NULL: does not trace */
};

static void wake(_Atomic uint32_t *word)
{
    sys_call3(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX);
}

static int fail(struct launch_record *record, uint32_t step, long error)
{
    record->failed_errno = (int)-error;
    atomic_store_explicit(&record->failed_step, step, memory_order_release);
    atomic_store_explicit(&record->state, LAUNCH_FAILED, memory_order_release);
    wake(&record->state);
    return 1;
}

/* ---- Killing ---------------------------------------------------------------------------------- */

/* Without a signal scope kill(-1) would reach every process of the user, so members are found by
 * descent. Each round kills the guardian's children; their children become ours and die in the next. */
static void kill_children_by_descent(struct guardian *guardian, int signal)
{
    struct children children;
    long process;

    (void)guardian;
    if (children_open(&children) < 0)
        return;
    while ((process = children_next(&children)) > 0)
        sys_call2(SYS_kill, process, signal);
    children_close(&children);
}

/* The host is told that all has been done that it had ordered when that number was read. */
static void acknowledge(struct launch_record *record, uint32_t ordered)
{
    if (atomic_load_explicit(&record->acknowledged, memory_order_relaxed) == ordered)
        return;
    atomic_store_explicit(&record->acknowledged, ordered, memory_order_release);
    wake(&record->acknowledged);
}

static void signal_members(struct guardian *guardian, int signal)
{
    if (guardian->plan->signal_scope)
        sys_call2(SYS_kill, -1, signal);
    else
        kill_children_by_descent(guardian, signal);
}

/* Ordered or not. Without the scope it has not reached all. */
static void kill_at_the_end(struct guardian *guardian)
{
    uint32_t ordered = atomic_load_explicit(&guardian->record->ordered, memory_order_acquire);

    signal_members(guardian, SIGKILL);
    /* One that was killed and does not end keeps its children, which run on. */
    if (!guardian->plan->signal_scope && guardian->rest > REST_STALLED_NS)
        members_kill();
    if (guardian->plan->signal_scope)
        acknowledge(guardian->record, ordered);
}

/* The host sees by this that members still end. */
static void count_ended(struct guardian *guardian)
{
    atomic_fetch_add_explicit(&guardian->record->ended, 1, memory_order_release);
    guardian->rest = REST_NS;
}

/* Until a child ends, but never for long: of one that is traced the kernel tells us only when its tracer lets it go,
 * and the tracer may be a member that has become our child since the last round, and must be killed first. */
static void rest(struct guardian *guardian)
{
    struct signalfd_siginfo infos[SIGNALS_WATCHED];
    struct pollfd polled = {.fd = guardian->signal_fd, .events = POLLIN};
    const struct timespec longest = {0, guardian->rest};

    if (sys_call5(SYS_ppoll, (long)&polled, guardian->signal_fd >= 0, (long)&longest, 0, 0) > 0)
        sys_call3(SYS_read, guardian->signal_fd, (long)infos, sizeof(infos));
    guardian->rest = guardian->rest < REST_MAX_NS ? 2 * guardian->rest : REST_MAX_NS;
}

/* Kills until the kernel says that no child is left. Every member is a descendant (CLONE_PARENT is
 * refused) and orphans are handed over before a zombie shows, so ECHILD is the proof. False: the kernel does not
 * say. check_calls() has seen it do so, so this is no more than a way out of the loop. */
static bool kill_everything(struct guardian *guardian)
{
    int at_once = REAPED_AT_ONCE;

    for (int refused = 0; refused < REFUSALS_MAX;) {
        long result = 1;
        for (int i = 0; i < at_once && result > 0; i++) {
            result = sys_call4(SYS_wait4, -1, 0, WNOHANG | __WALL, 0);
            if (result > 0)
                count_ended(guardian);
        }
        if (result == -ECHILD)
            return true;
        at_once = at_once < REAPED_AT_ONCE_MAX ? at_once * 2 : at_once;
        refused += result < 0 && result != -EINTR;
        kill_at_the_end(guardian);
        /* A fork storm moves while we look: do not wait for one of them, look again. */
        if (result <= 0)
            rest(guardian);
    }
    return false;
}

/* ---- Reaping ---------------------------------------------------------------------------------- */

static void note_child_exit(struct guardian *guardian, const siginfo_t *info)
{
    struct launch_record *record = guardian->record;
    int status = info->si_status;

    if (info->si_code == CLD_EXITED)
        record->wait_status = (status & 0xff) << 8;
    else if (info->si_code == CLD_DUMPED)
        record->wait_status = (status & 0x7f) | 0x80;
    else
        record->wait_status = status & 0x7f;
    guardian->child_done = true;
    count_ended(guardian);
    atomic_store_explicit(&record->child_exited, 1, memory_order_release);
}

/*
 * A child of ours that asked to be traced by its parent (PTRACE_TRACEME) stops at its next signal, and waits
 * report that also when they ask for ends only. It goes on as if nobody traced it; the signal that follows an
 * exec is for tracers alone.
 */
static void end_tracing(long process, int signal)
{
    if (signal == SIGTRAP)
        signal = 0;
    if (sys_call4(SYS_ptrace, PTRACE_DETACH, process, 0, signal) < 0)
        sys_call2(SYS_kill, process, SIGKILL);
}

/* A stop of a thread that a fetch has, or had a moment ago, or of one that made us its tracer. */
static void let_stopped_go(struct guardian *guardian, const siginfo_t *info)
{
    if (guardian->tracer != NULL)
        tracer_release_one(guardian->tracer, info->si_pid);
    else
        end_tracing(info->si_pid, info->si_status & 0x7f);
}

/* While the child's zombie is kept, a peek would name it for ever: orphans are found by number. */
static void reap_orphans(struct guardian *guardian)
{
    struct children children;
    long process;

    if (children_open(&children) < 0)
        return;
    while ((process = children_next(&children)) > 0) {
        int status = 0;
        if (process == guardian->child ||
            sys_call4(SYS_wait4, process, (long)&status, WNOHANG | __WALL, 0) <= 0)
            continue;
        if (WIFSTOPPED(status))
            end_tracing(process, WSTOPSIG(status) & 0x7f);
        else
            count_ended(guardian);
    }
    children_close(&children);
}

/* False for a stop of a thread that is, or was a moment ago, traced. */
static bool has_ended(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED || info->si_code == CLD_KILLED ||
           info->si_code == CLD_DUMPED;
}

/* Peeks, so that the child's zombie stays and pins its number and group until the end. True: there may be more
 * to reap, but something else comes first. */
static bool reap(struct guardian *guardian)
{
    for (int i = 0; !guardian->child_done; i++) {
        siginfo_t info = {0};

        if (i == REAPED_AT_ONCE)
            return true;
        long result =
            sys_call5(SYS_waitid, P_ALL, 0, (long)&info, WEXITED | WNOHANG | WNOWAIT | __WALL,
                      (long)&guardian->record->usage);
        if (result < 0 || info.si_pid == 0)
            return false;
        if (!has_ended(&info))
            let_stopped_go(guardian, &info);
        else if (info.si_pid == guardian->child)
            note_child_exit(guardian, &info);
        else if (sys_call4(SYS_wait4, info.si_pid, 0, WNOHANG | __WALL, 0) > 0)
            count_ended(guardian);
    }
    if (!guardian->finish)
        reap_orphans(guardian);
    return false;
}

/* The end has come before the status of the child: it is killed with all others, and waited for. */
static void end_child(struct guardian *guardian)
{
    for (int refused = 0; !guardian->child_done && refused < REFUSALS_MAX;) {
        siginfo_t info = {0};

        kill_at_the_end(guardian);
        if (reap(guardian))
            continue;
        /* Without a child there is nothing to wait for any more. */
        refused +=
            !guardian->child_done && sys_call5(SYS_waitid, P_PID, guardian->child, (long)&info,
                                               WEXITED | WNOHANG | WNOWAIT | __WALL, 0) < 0;
        if (!guardian->child_done)
            rest(guardian);
    }
}

/* Tells the host when the child stops or continues, for job control. */
static void report_stops(struct guardian *guardian)
{
    struct launch_record *record = guardian->record;
    siginfo_t info = {0};

    if (guardian->plan->report_fd < 0 || guardian->child_done)
        return;
    long result = sys_call5(SYS_waitid, P_PID, guardian->child, (long)&info,
                            WSTOPPED | WCONTINUED | WNOHANG, 0);
    if (result < 0 || info.si_pid == 0)
        return;
    uint32_t signal = info.si_code == CLD_STOPPED ? (uint32_t)info.si_status : 0;
    atomic_store_explicit(&record->stop_signal, signal, memory_order_release);
    uint64_t one = 1;
    sys_call3(SYS_write, guardian->plan->report_fd, (long)&one, sizeof(one));
}

/* ---- Commands --------------------------------------------------------------------------------- */

/* The guardian's own wall goes up before its first command. Until then it has heard of nothing but
 * signals; most runs end without a command, and never pay for it. False: it could not be put up. */
static bool put_up_wall(struct guardian *guardian)
{
    const struct guardian_plan *plan = guardian->plan;

    if (guardian->walled || plan->program.len == 0)
        return true;
    long result =
        LAUNCH_TRY(guardian->record, STEP_GUARDIAN_FILTER,
                   sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&plan->program));
    if (result < 0) {
        fail(guardian->record, STEP_GUARDIAN_FILTER, result);
        return false;
    }
    guardian->walled = true;
    return true;
}

/* A group is orphaned when no parent of its processes is in another group of the same session: then the kernel
 * stops it by no SIGTSTP, SIGTTIN or SIGTTOU (setpgid(2)). We are that parent, so we leave the session; which
 * who leads a group cannot do, so the group first. */
static void orphan_child(struct guardian *guardian)
{
    if (sys_call2(SYS_setpgid, 0, guardian->child) == 0 && sys_call0(SYS_setsid) < 0)
        sys_call2(SYS_setpgid, 0, 0);
}

static void pause_members(struct guardian *guardian)
{
    bool scope = guardian->plan->signal_scope;

    guardian->keeps_stopped = guardian->plan->keeps_stopped;
    if (!pause_begin(&guardian->pause, scope) && !scope)
        kill_children_by_descent(guardian, SIGSTOP);
}

static void continue_members(struct guardian *guardian)
{
    bool scope = guardian->plan->signal_scope;

    guardian->keeps_stopped = false;
    if (!pause_end(&guardian->pause, scope) && !scope)
        kill_children_by_descent(guardian, SIGCONT);
}

/* A child that may run, 0: none, -errno. Of the command's zombie, which is kept, nobody needs to be told. */
static long find_live_child(const struct guardian *guardian)
{
    struct children children;
    long process = children_open(&children);

    if (process < 0)
        return process;
    do {
        process = children_next(&children);
    } while (process > 0 && guardian->child_done && process == guardian->child);
    children_close(&children);
    return process;
}

/* With the scope one call reaches all of them. Without it a generation dies, the next one becomes ours and is killed
 * then; what does not die meanwhile is seen to when it does (look_around). */
static void kill_members(struct guardian *guardian)
{
    const struct timespec moment = {0, 1000000};

    guardian->killed = true;
    signal_members(guardian, SIGKILL);
    if (guardian->plan->signal_scope)
        return;
    for (int i = 0; i < GENERATIONS_MAX; i++) {
        reap(guardian);
        if ((guardian->child_done && guardian->finish) || find_live_child(guardian) <= 0)
            return;
        signal_members(guardian, SIGKILL);
        sys_call2(SYS_nanosleep, (long)&moment, 0);
    }
}

static void obey(struct guardian *guardian)
{
    struct launch_record *record = guardian->record;
    uint32_t ordered = atomic_load_explicit(&record->ordered, memory_order_acquire);
    uint32_t commands = atomic_exchange_explicit(&record->commands, 0, memory_order_acq_rel);
    uint64_t signals = atomic_exchange_explicit(&record->group_signals, 0, memory_order_acq_rel);

    if (commands & (COMMAND_PAUSE | COMMAND_RESUME)) { /* before a signal lets somebody end */
        reap(guardian);                                /* whose end is not known yet */
        atomic_store_explicit(&record->deserted,
                              guardian->child_done && find_live_child(guardian) == 0,
                              memory_order_relaxed);
    }
    if (commands & COMMAND_ORPHAN) /* before it goes on and stops again */
        orphan_child(guardian);
    if (commands & COMMAND_TERMINATE) {
        signal_members(guardian, SIGTERM);
        signal_members(guardian, SIGCONT); /* who is stopped takes no SIGTERM before that */
    }
    if (signals & SIGNAL_BIT(SIGCONT))
        guardian->keeps_stopped = false;
    for (int number = 1; signals != 0 && number <= 64; number++) {
        /* The child's zombie pins the group number, so this can only reach members. */
        if (signals & SIGNAL_BIT(number))
            sys_call2(SYS_kill, -guardian->child, number);
    }
    if (commands & COMMAND_PAUSE)
        pause_members(guardian);
    if (commands & COMMAND_RESUME)
        continue_members(guardian);
    if (commands & COMMAND_FINISH)
        guardian->finish = true;
    if (commands & COMMAND_KILL)
        kill_members(guardian);
    acknowledge(record, ordered);
}

/* ---- Start ------------------------------------------------------------------------------------ */

static long enter_domain(const struct guardian_plan *plan)
{
    if (plan->ruleset < 0)
        return 0;
    long result = sys_call5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (result < 0)
        return result;
    return sys_call2(SYS_landlock_restrict_self, plan->ruleset, 0);
}

/* A private table with nothing in it but what the plan keeps. */
static long leave_shared_table(const struct guardian_plan *plan)
{
    for (size_t i = 0; i < plan->close_range_count; i++) {
        const struct bare_range *range = &plan->close_ranges[i];
        long flags = i == 0 ? CLOSE_RANGE_UNSHARE : 0;
        long result = sys_call3(SYS_close_range, range->first, range->last, flags);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The start of struct statx, whose layout every architecture shares (statx(2)). */
struct bare_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid, mode;
    uint64_t inode;
    uint64_t rest[27];
};

/* The name is ours too, as long as we live and whatever the host does to its own lock. A record lock belongs to
 * a descriptor table, so this one to our private one. */
static void lock_name(const struct guardian_plan *plan)
{
    const struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = plan->pid_file_byte, .l_len = 1};

    if (plan->runtime_directory >= 0)
        sys_call3(SYS_fcntl, plan->pid_file, F_SETLK, (long)&lock);
}

/* Here, since the host may die at any moment, and its threads not all at once. Its lock dies with it, so
 * somebody else may have taken the directory since; then the file there is not ours, and keeps it. */
static void give_up_name(const struct guardian_plan *plan)
{
    static const char *const files[] = {".pid.tmp", "pid"}; /* as it is renamed */
    struct launch_record *record = plan->record;
    struct bare_statx file;

    if (plan->runtime_directory < 0 ||
        atomic_load_explicit(&record->name_is_free, memory_order_acquire) != 0)
        return;
    for (int i = 0; i < 2; i++) {
        file.inode = 0;
        long result = sys_call5(SYS_statx, plan->runtime_directory, (long)files[i],
                                AT_SYMLINK_NOFOLLOW, STATX_INODE, (long)&file);
        if (result == 0 && file.inode == plan->pid_file_inode)
            sys_call3(SYS_unlinkat, plan->runtime_directory, (long)files[i], 0);
    }
    if (sys_call3(SYS_unlinkat, plan->runtime_root, (long)plan->name, AT_REMOVEDIR) == 0)
        atomic_store_explicit(&record->name_is_free, 1, memory_order_release);
}

/* A filter of the host's is ours too, and its members'. One that refuses what ends them and what tells that they
 * have ended would leave them behind, so nothing starts there. We have no children yet. */
static long check_calls(void)
{
    siginfo_t info = {0};
    long result = sys_call2(SYS_kill, sys_call0(SYS_getpid), 0);

    if (result < 0)
        return result;
    result = sys_call4(SYS_wait4, -1, 0, WNOHANG | __WALL, 0);
    if (result == -ECHILD)
        result =
            sys_call5(SYS_waitid, P_ALL, 0, (long)&info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0);
    if (result == -ECHILD)
        return 0;
    return result < 0 ? result : -ENOSYS; /* a filter can also say that all is well */
}

static long start_child(struct guardian *guardian)
{
    struct guardian_plan *plan = guardian->plan;
    unsigned long flags = SIGCHLD;

    if (!plan->own_table)
        flags |= CLONE_FILES;
    if (plan->share_memory)
        flags |= CLONE_VM;
    return bare_clone(flags, plan->child_stack_top, NULL, NULL, child_main, plan->child);
}

/* From here on the end of the host is seen: by the pidfd also after SIGKILL or a crash, by the
 * lifeline when it execs, by the death signal when only the supervising thread ended. */
static long watch_host(const struct guardian_plan *plan, int *host_pidfd, int *signal_fd)
{
    uint64_t wanted = SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(GUARDIAN_COMMAND_SIGNAL) |
                      SIGNAL_BIT(SIGTERM) | SIGNAL_BIT(SIGPROF);

    long fd = sys_call2(SYS_pidfd_open, plan->host, 0);
    if (fd < 0)
        return fd;
    *host_pidfd = (int)fd;
    if (sys_call0(SYS_getppid) != plan->host)
        return -ESRCH;
    fd =
        sys_call4(SYS_signalfd4, -1, (long)&wanted, KERNEL_SIGSET_SIZE, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return fd;
    *signal_fd = (int)fd;
    return sys_call5(SYS_prctl, PR_SET_PDEATHSIG, plan->watch_thread ? SIGTERM : 0, 0, 0, 0);
}

/* The caller's limit of CPU time (RLIMIT_CPU) is ours too. At the hard one the kernel kills us, which members
 * can bring about by giving us much to reap; so a while before it the run ends. What the soft one sends is
 * blocked. The members were made before and have what the caller had; of it nothing changes. */
static void watch_cpu_time(void)
{
    struct bare_rlimit limit = {0, 0};

    if (sys_call4(SYS_prlimit64, 0, RLIMIT_CPU, 0, (long)&limit) < 0)
        return;
    struct itimerval timer = cpu_reserve_timer(limit.hard);
    if (timerisset(&timer.it_value))
        sys_call3(SYS_setitimer, ITIMER_PROF, (long)&timer, 0);
}

/* False: not fit to serve. */
static bool take_commands(struct guardian *guardian)
{
    if (!put_up_wall(guardian))
        return false;
    obey(guardian);
    if (!guardian->killed)
        tracer_serve(guardian->tracer);
    return true;
}

/* What follows commands, signals and ended processes, also without SIGCHLD in hand: signals of one number
 * merge. */
static void look_around(struct guardian *guardian)
{
    tracer_release(guardian->tracer);
    report_stops(guardian);
    /* Without the scope a kill walks the tree, and orphans have become our children only now. */
    if (guardian->killed && !guardian->plan->signal_scope)
        signal_members(guardian, SIGKILL);
}

/* A host that is another user by now cannot signal us: its commands come through the lifeline. True: the
 * sandbox must end at once. */
static bool read_lifeline(struct guardian *guardian)
{
    char bytes[64];

    sys_call3(SYS_read, guardian->plan->lifeline, (long)bytes, sizeof(bytes));
    bool end = !take_commands(guardian);
    look_around(guardian);
    return end;
}

/* Drains the signalfd. True: the sandbox must end at once. */
static bool read_signals(struct guardian *guardian)
{
    bool end = false;
    struct signalfd_siginfo infos[SIGNALS_WATCHED + 1];
    long got;

    do {
        for (int i = 0; i <= SIGNALS_WATCHED;
             i++) /* for analyzers: a raw system call writes them */
            infos[i].ssi_signo = 0;
        got = sys_call3(SYS_read, guardian->signal_fd, (long)infos, sizeof(infos));
        for (long i = 0; (i + 1) * (long)sizeof(infos[0]) <= got; i++) {
            const struct signalfd_siginfo *info = &infos[i];
            if (info->ssi_signo == GUARDIAN_COMMAND_SIGNAL && take_commands(guardian))
                continue;
            if (info->ssi_signo == SIGPROF && !guardian->child_done)
                atomic_store_explicit(&guardian->record->cpu_spent, 1, memory_order_release);
            /* ordered to end, or not fit to serve */
            end = end || info->ssi_signo != SIGCHLD;
        }
    } while (got == (long)sizeof(infos));
    look_around(guardian);
    return end;
}

static bool is_watched(const struct guardian *guardian)
{
    return guardian->keeps_stopped && guardian->pause.active;
}

/* False: for ever. */
static bool time_to_wait(struct guardian *guardian, bool more, struct timespec *left)
{
    bool watched = is_watched(guardian);

    if (watched && guardian->until_look <= 0)
        guardian->until_look = guardian->pause.looks < LOOKS_SOON ? LOOK_NS : LATER_LOOK_NS;
    *left = (struct timespec){0, watched && !more ? guardian->until_look : 0};
    return watched || more;
}

/* The kernel has written what is left of the time, so that members who keep us busy do not put it off. */
static bool time_to_look(struct guardian *guardian, bool more, const struct timespec *left)
{
    guardian->until_look = more ? guardian->until_look - REAPED_AT_ONCE_NS : left->tv_nsec;
    return is_watched(guardian) && guardian->until_look <= 0;
}

/* A stopped job does not read the terminal, whatever its members have arranged. */
static bool does_not_stay_stopped(struct guardian *guardian)
{
    if (!pause_look_again(&guardian->pause, guardian->plan->signal_scope))
        return false;
    atomic_store_explicit(&guardian->record->went_on, 1, memory_order_release);
    return true;
}

static void serve(struct guardian *guardian, int host_pidfd)
{
    struct pollfd polled[] = {
        {.fd = guardian->signal_fd, .events = POLLIN},
        {.fd = host_pidfd, .events = POLLIN},
        {.fd = guardian->plan->lifeline, .events = POLLIN},
    };

    for (;;) {
        bool more = reap(guardian);
        if (guardian->child_done && guardian->finish)
            return;
        struct timespec left;
        bool limited = time_to_wait(guardian, more, &left);
        long result = sys_call5(SYS_ppoll, (long)polled, 3, limited ? (long)&left : 0, 0, 0);
        if (time_to_look(guardian, more, &left) && does_not_stay_stopped(guardian))
            return;
        if (result == -EINTR)
            continue;
        if (result < 0)
            return;
        if (polled[1].revents != 0 || (polled[2].revents & ~POLLIN) != 0)
            return;
        if (polled[0].revents != 0 && read_signals(guardian))
            return;
        if (polled[2].revents != 0 && read_lifeline(guardian))
            return;
    }
}

static void tell_child(struct launch_record *record, enum launch_guarded guarded)
{
    atomic_store_explicit(&record->guarded, guarded, memory_order_release);
    wake(&record->guarded);
}

/* A step failed after the child was cloned. It is told, not killed: in the middle of installing its
 * filter it would leave the listener in the table that it shares with the host, under a number that
 * nobody knows. */
static int give_up(struct guardian *guardian, uint32_t step, long error)
{
    fail(guardian->record, step, error);
    tell_child(guardian->record, GUARDED_NEVER);
    while (sys_call4(SYS_wait4, guardian->child, 0, __WALL, 0) == -EINTR)
        continue;
    kill_everything(guardian);
    return 1;
}

#if defined(SANDLOCK_FAULT_INJECTION)
/* The end of a guardian that does what it must not, when the members have had time to spread. */
static void misbehave(struct guardian *guardian, enum launch_fault fault)
{
    if (guardian->record->fault != fault)
        return;
    put_up_wall(guardian);
    if (fault != FAULT_GUARDIAN_CRASH_EARLY)
        sys_call2(SYS_nanosleep, (long)&(struct timespec){0, 500000000}, 0);
    if (fault == FAULT_GUARDIAN_VIOLATION)
        sys_call3(SYS_socket, 1, 1, 0);
    else
        __builtin_trap();
}
#else
#define misbehave(guardian, fault) ((void)0)
#endif

int guardian_main(void *argument)
{
    struct guardian_plan *plan = argument;
    struct launch_record *record = plan->record;
    struct guardian guardian = {
        .plan = plan,
        .record = record,
        .finish = plan->end_with_child,
        .signal_fd = -1,
        .rest = REST_NS,
        .tracer = plan->tracer,
    };
    int host_pidfd = -1;

    record->guardian = (int)sys_call0(SYS_getpid);

    /* A host that ignores SIGCHLD would have our children reaped before we see them. */
    const struct bare_sigaction by_default = {0};
    sys_call4(SYS_rt_sigaction, SIGCHLD, (long)&by_default, 0, KERNEL_SIGSET_SIZE);

    /* A group of its own: a SIGKILL to the host's group must not take the guardian along. */
    long result = LAUNCH_TRY(record, STEP_GUARDIAN_GROUP, sys_call2(SYS_setpgid, 0, 0));
    if (result < 0)
        return fail(record, STEP_GUARDIAN_GROUP, result);
    /* Until the host is watched its death must be ours. */
    result = sys_call5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (result >= 0)
        result = sys_call5(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (result >= 0)
        result = LAUNCH_TRY(record, STEP_GUARDIAN_DOMAIN, enter_domain(plan));
    if (result < 0)
        return fail(record, STEP_GUARDIAN_DOMAIN, result);

    result = LAUNCH_TRY(record, STEP_GUARDIAN_CALLS, check_calls());
    if (result < 0)
        return fail(record, STEP_GUARDIAN_CALLS, result);

    misbehave(&guardian, FAULT_GUARDIAN_CRASH_EARLY);
    result = LAUNCH_TRY(record, STEP_GUARDIAN_CLONE, start_child(&guardian));
    if (result < 0)
        return fail(record, STEP_GUARDIAN_CLONE, result);
    guardian.child = result;
    record->child = (int)result;
    if (plan->tracer != NULL)
        plan->tracer->child = result;

    /* Who kills all that are named sandlock (pkill, killall) must leave somebody who sees to the members. */
    sys_call5(SYS_prctl, PR_SET_NAME, (long)"sl-guardian", 0, 0, 0);
    result = leave_shared_table(plan);
    if (result >= 0)
        result = LAUNCH_TRY(record, STEP_GUARDIAN_WATCH,
                            watch_host(plan, &host_pidfd, &guardian.signal_fd));
    if (result < 0)
        return give_up(&guardian, STEP_GUARDIAN_WATCH, result);
    const struct bare_rlimit no_core = {0, 0};
    sys_call4(SYS_prlimit64, 0, RLIMIT_CORE, (long)&no_core, 0);
    watch_cpu_time();
    lock_name(plan);
    tell_child(record, GUARDED_YES);

    misbehave(&guardian, FAULT_GUARDIAN_VIOLATION);
    misbehave(&guardian, FAULT_GUARDIAN_CRASH);
    serve(&guardian, host_pidfd);
    atomic_store_explicit(&record->ending, 1, memory_order_release);

    guardian.finish = true;
    end_child(&guardian); /* the host died, or ordered the end */
    bool all_gone = kill_everything(&guardian);
    give_up_name(plan);
    if (!all_gone)
        return 1; /* the host sees that the end was not in order, and sweeps */
    atomic_store_explicit(&record->finished, 1, memory_order_release);
    atomic_fetch_add_explicit(&record->news, 1, memory_order_release);
    wake(&record->news);
    return 0;
}
