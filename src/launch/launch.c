/*
 * The launch from the clone on: guardian and child are followed to the point where the child is confined,
 * then to their end. What is prepared before is in prepare.c. See launch.h for the order and why it is split.
 */
#include "launch/launch.h"

#include "bare/clone.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "launch/internal.h"
#include "launch/lifelines.h"
#include "net/network.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often a wait for the child looks whether guardian and child are still there. */
#define ALIVE_CHECK_NS 20000000L

/* How often a guardian that has got the order to kill is looked at until it has obeyed. */
#define ANSWER_NS 1000000000LL

/* Looks at a child that is about to park; each is 50 us apart. */
#define PARK_CHECKS_MAX 200

#if defined(SANDLOCK_FAULT_INJECTION)
/* The supervisor's own end at this point. */
static void crash_if(const char *at)
{
    if (fault_is(at))
        raise(fault_is("by-segv") ? SIGSEGV : SIGKILL);
}
#else
#define crash_if(at) ((void)0)
#endif

/* ---- Start -------------------------------------------------------------------------------------- */

bool launch_reaches_outsiders(void)
{
    const pid_t outsiders[] = {1, getppid()};

    for (size_t i = 0; i < sizeof(outsiders) / sizeof(outsiders[0]); i++) {
        if (outsiders[i] > 0 && outsiders[i] != getpid() && kill(outsiders[i], 0) == 0)
            return true;
    }
    return false;
}

/* From here on this thread has no more rights than the policy grants and the run needs. */
static bool enter_supervisor_domain(struct launch *launch, struct error *err)
{
    if (launch->domains.supervisor < 0)
        return true;
    if (FAULT_OR("supervisor-privileges", -1, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) != 0)
        return error_runtime(err, errno, "no_new_privs for the supervisor");
    int result = FAULT_OR("supervisor-domain", -EIO, landlock_enter(launch->domains.supervisor, 0));
    if (result == -E2BIG)
        return error_runtime(err, E2BIG, "too many nested sandboxes");
    if (result != 0)
        return error_runtime(err, -result, "landlock domain of the supervisor");
    launch->confined = true;
    launch->confined_process = getpid();
    launch->confined_thread = sys_gettid();
    launch->scoped = (launch->domains.masks.scoped & LL_SCOPE_SIGNAL) != 0 &&
                     !launch->own_process && !launch_reaches_outsiders();
    return true;
}

/* What helps, behind the reason. */
static bool with_hint(struct error *err, const char *hint)
{
    size_t length = strlen(err != NULL ? err->text : "");

    if (err != NULL)
        snprintf(err->text + length, sizeof(err->text) - length, "%s", hint);
    return false;
}

static const char outer_sandbox_hint[] =
    "; an outer sandbox supervises this process already: use --no-supervisor (builder "
    "field no_supervisor) on one of the two levels";

static bool clone_guardian(struct launch *launch, struct error *err)
{
    unsigned long flags =
        CLONE_FILES | CLONE_PIDFD; /* no exit signal: never in the host's wait(-1) */
    sigset_t all;
    sigset_t before;
    int pidfd = -1;

    if (!launch->own_process)
        flags |= CLONE_VM;
    sigfillset(&all);
    /* No handler of the host may run in guardian or child, which share its memory or its copy. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    launch->child_plan.has_handlers = false;
    long pid = FAULT_OR("guardian-clone", -EIO,
                        bare_clone_without_handlers(flags, launch->guardian_stack_top, &pidfd,
                                                    guardian_main, &launch->guardian_plan));
    if (pid == -ENOSYS || pid == -EPERM || pid == -EINVAL) {
        launch->child_plan.has_handlers = true;
        pid = bare_clone(flags, launch->guardian_stack_top, &pidfd, NULL, guardian_main,
                         &launch->guardian_plan);
    }
    /* A table is shared for the listener's sake. Inside a sandbox of a container nobody may share one
     * (filter/argument_rules.c), and what starts there has no listener. */
    if (pid == -EPERM && !launch->supervised) {
        launch->guardian_plan.own_table = true;
        pid = bare_clone(flags & ~(unsigned long)CLONE_FILES, launch->guardian_stack_top, &pidfd,
                         NULL, guardian_main, &launch->guardian_plan);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        error_runtime(err, (int)-pid, "clone of the guardian");
        return with_hint(err,
                         pid == -EPERM && launch->supervised
                             ? "; perhaps an outer sandbox or a filter refuses it: --no-supervisor "
                               "(builder field no_supervisor) may help"
                             : "");
    }
    launch->guardian = (pid_t)pid;
    launch->guardian_pidfd = pidfd;
    return true;
}

/* A thread that was left behind may ask when it has been closed: then by us, and all else is in order. */
static bool lifeline_is_here(const struct launch *launch, int end)
{
    int fd = __atomic_load_n(&launch->lifeline[end], __ATOMIC_ACQUIRE);
    struct stat status;

    if (fd < 0 || (fstat(fd, &status) == 0 && status.st_dev == launch->lifeline_device &&
                   status.st_ino == launch->lifeline_inode))
        return true;
    /* Closed by us in between, and perhaps somebody else's by now. */
    return __atomic_load_n(&launch->lifeline[end], __ATOMIC_ACQUIRE) < 0;
}

bool launch_descriptors_are_here(const struct launch *launch)
{
    return launch->own_process ||
           (!atomic_load_explicit(&launch->descriptors_lost, memory_order_acquire) &&
            lifeline_is_here(launch, 0));
}

/* It is nobody else's to wait for, so until that is done its number is its own. */
static bool guardian_has_ended(const struct launch *launch)
{
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)launch->guardian, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);

    return result == 0 ? info.si_pid != 0 : errno == ECHILD;
}

bool launch_guardian_is_gone(const struct launch *launch)
{
    struct pollfd polled = {.fd = launch->guardian_pidfd, .events = POLLIN};

    if (!launch_descriptors_are_here(launch))
        return guardian_has_ended(launch);
    if (poll(&polled, 1, 0) <= 0)
        return false;
    /* Closed: see notify_guardian(). */
    return (polled.revents & POLLNVAL) == 0 || guardian_has_ended(launch);
}

static bool child_has_exited(const struct launch *launch)
{
    return atomic_load_explicit(&launch->record->child_exited, memory_order_acquire) != 0;
}

/* Waits until the child is at least in `state`, has failed, or has died. Returns the state. */
static uint32_t await_state(struct launch *launch, uint32_t wanted)
{
    struct launch_record *record = launch->record;
    const struct timespec slice = {0, ALIVE_CHECK_NS};

    for (;;) {
        uint32_t state = atomic_load_explicit(&record->state, memory_order_acquire);
        if (state >= wanted)
            return state;
        bool ended = child_has_exited(launch) || launch_guardian_is_gone(launch);
        if (ended) {
            state = atomic_load_explicit(&record->state, memory_order_acquire);
            return state >= wanted ? state : LAUNCH_FAILED;
        }
        sys_call6(SYS_futex, (long)&record->state, FUTEX_WAIT, state, (long)&slice, 0, 0);
    }
}

void launch_release(struct launch *launch)
{
    atomic_store_explicit(&launch->record->release, RELEASE_GO, memory_order_release);
    sys_call3(SYS_futex, (long)&launch->record->release, FUTEX_WAKE, INT32_MAX);
}

/* A parked child is to be seen asleep: it is between its READY and the wait for the release word. */
static void await_parked(const struct launch *launch)
{
    const struct timespec pause = {0, 50000};
    struct procfs_stat stat;

    for (int i = 0; i < PARK_CHECKS_MAX; i++) {
        if (procfs_stat(-1, launch->record->child, &stat) != 0 || stat.state != 'R')
            return;
        nanosleep(&pause, NULL);
    }
}

/* True if the child got as far as being confined; what failed later is an ordinary result. */
static bool was_ready(const struct launch *launch, uint32_t state)
{
    uint32_t step = atomic_load_explicit(&launch->record->failed_step, memory_order_acquire);

    if (state != LAUNCH_FAILED)
        return true;
    return step > STEP_DESCRIPTORS;
}

static bool report_failed_step(struct launch *launch, struct error *err)
{
    uint32_t step = atomic_load_explicit(&launch->record->failed_step, memory_order_acquire);
    int error = launch->record->failed_errno;
    const char *hint = "";

    if (step == STEP_NONE)
        return error_runtime(err, 0, "the %s died before the command was confined",
                             launch_guardian_is_gone(launch) ? "guardian process" : "child");
    if (step == STEP_SECCOMP && error == EBUSY)
        hint = outer_sandbox_hint;
    else if ((step == STEP_LANDLOCK || step == STEP_GUARDIAN_DOMAIN) && error == E2BIG)
        hint = "; too many nested sandboxes";
    else if (step == STEP_GUARDIAN_WATCH && error == ESRCH)
        /* The guardian is in the new namespace then, where the caller has no number. */
        hint = "; a caller that has unshared its pid namespace has to fork before a start "
               "(unshare --fork)";
    else if ((step == STEP_UID_MAP || step == STEP_GID_MAP) && (error == EROFS || error == ENOENT))
        hint = "; it is written in /proc, which has to be mounted, and not read-only";
    else if (step == STEP_UID_MAP && error == EPERM && getuid() == 0)
        hint = "; mapping root wants CAP_SETFCAP, which this root may lack";
    else if (step == STEP_USER_NAMESPACE || step == STEP_UID_MAP || step == STEP_GID_MAP)
        hint = "; unprivileged user namespaces may be restricted (sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=1 or user.max_user_namespaces=0, or a "
               "container's seccomp profile)";
    const char *object = NULL;
    if (step == STEP_CWD)
        object = launch->policy->cwd;
    else if (step == STEP_OWN_ENTRY)
        object = launch->domains.own_rules[launch->record->failed_own_rule].path;
    error_runtime(err, error, "%s%s%s", launch_step_name(step), object == NULL ? "" : " ",
                  object == NULL ? "" : object);
    return with_hint(err, hint);
}

/* Closes what only the launch needed. A lifeline stays as a whole: its write end is what dies with us,
 * and its read end may not be closed before the guardian has left the shared table, which can be later
 * than the child's READY. Only write ends keep a pipe from hanging up. */
static void close_launch_descriptors(struct launch *launch)
{
    streams_close_sources(&launch->streams);
    domains_close_rulesets(&launch->domains);
    granted_free(&launch->granted);
}

/* The guardian does it too, when the last member is gone; whoever comes first. */
static void release_name(struct launch *launch)
{
    struct launch_record *record = launch->record;
    bool removed =
        record != NULL && atomic_load_explicit(&record->name_is_free, memory_order_acquire) != 0;

    claim_release(&launch->claim, removed);
    if (record != NULL)
        atomic_store_explicit(&record->name_is_free, 1, memory_order_release);
}

/* While the guardian reaps the members and ends, which takes longer than this. A name that somebody chose is
 * not given up yet: members that run no more may still hold memory, sockets and locks. For another nobody
 * waits. */
static void on_idle_end(void *data)
{
    struct launch *launch = data;

    grants_free(&launch->domains.grants);
    if (!launch->claim.chosen) {
        release_name(launch);
        claim_close(&launch->claim);
    }
}

bool launch_begin(struct launch *launch, struct loop *loop, struct error *err)
{
    launch->loop = loop;
    if (!enter_supervisor_domain(launch, err))
        return false;
    launch->guardian_plan.watch_thread = launch->confined || launch->own_process;
    /* Orphans of a guardian that was killed come to us (sweep.c). */
    if (launch->own_process) {
        launch_note_children(launch);
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    }
    crash_if("crash-before-clone");
    if (!clone_guardian(launch, err))
        return false;
    crash_if("crash-after-clone");

    /* While the child confines itself. What can fail comes before the release: a command whose start
     * failed must not have run. */
    int result = 0;
    bool prepared = !launch->supervised || supervisor_check_proc(launch->supervisor, err);
    if (prepared && launch->domains.grants.count > GRANTS_PINNED_MAX &&
        (result = grants_resolve(&launch->domains.grants)) != 0)
        prepared = error_runtime(err, -result, "names of the grants");
    if (prepared && !launch->park)
        launch_release(launch);

    uint32_t state = await_state(launch, LAUNCH_READY);
    if (!was_ready(launch, state)) {
        report_failed_step(launch, err);
        launch_finish(launch);
        return false;
    }
    if (!prepared) {
        /* Only now: killed while it installs its filter it would leave us a listener. */
        launch_finish(launch);
        return false;
    }
    if (launch->supervised) {
        int listener = launch->record->listener;
        launch->record->listener = -1; /* the supervisor's from here on */
        supervisor_share_mailbox(launch->supervisor, &launch->record->fetch);
        supervisor_on_idle_end(launch->supervisor, on_idle_end, launch);
        if (!supervisor_attach(launch->supervisor, loop, listener, launch->guardian,
                               launch->record->child, launch->guardian_pidfd, err)) {
            launch_finish(launch);
            return false;
        }
    }
    crash_if("crash-after-attach");
    if (!launch_descriptors_are_here(launch))
        return true; /* the host has seen the command run, and closed them: the loop finds out */
    /* Of a command that has ended meanwhile nobody needs the number, and the file may be gone. */
    result = child_has_exited(launch)
                 ? 0
                 : claim_publish(&launch->claim, launch->record->child, getpid());
    if (result != 0 && !child_has_exited(launch))
        snprintf(launch->warning, sizeof(launch->warning), "pid file: %s", strerror(-result));
    if (launch->park) {
        /* The posture that is read before the release speaks of this wall too: so it is up by then. A
         * run installs it with its first notification, which many never have. */
        if (launch->supervised && supervisor_enter_filter(launch->supervisor) < 0) {
            error_runtime(err, 0, "%s", supervisor_failure(launch->supervisor));
            launch_finish(launch);
            return false;
        }
        await_parked(launch);
    }
    close_launch_descriptors(launch);
    return true;
}

/* ---- Commands ----------------------------------------------------------------------------------- */

/* From a thread whose descriptors are others, or where a filter refuses signals by descriptor. The number is the
 * guardian's until we reap it. */
static int notify_by_number(pid_t guardian)
{
    return kill(guardian, GUARDIAN_COMMAND_SIGNAL) == 0 ? 0 : -errno;
}

/* By signal; a host that has become another user since (a daemon that gave up root), or has a filter that refuses
 * that, may send none, but still has the lifeline. We hold its read end too, so nothing is ever raised here. */
static int notify_guardian(struct launch *launch)
{
    if (launch->guardian_pidfd < 0)
        return -ESRCH;
    pid_t guardian = launch->guardian;
    if (!launch_descriptors_are_here(launch))
        return guardian_has_ended(launch) ? -ESRCH : notify_by_number(guardian);
    int result =
        FAULT_OR("guardian-signal", -EPERM,
                 sys_pidfd_send_signal(launch->guardian_pidfd, GUARDIAN_COMMAND_SIGNAL, 0));
    /* Closed, perhaps in a table of this thread's own: whether it is lost for all the loop sees. */
    if (result == -EBADF)
        return guardian_has_ended(launch) ? -ESRCH : notify_by_number(guardian);
    /* A filter of the host's may refuse it, with any number. */
    if (result == 0 || result == -ESRCH)
        return result;
    if (launch_guardian_is_gone(launch) || guardian <= 0)
        return -ESRCH;
    if (launch
            ->own_process) /* its filter may well be the caller's: kill() the guardian has tried */
        return notify_by_number(guardian);
    if (launch->lifeline[1] < 0)
        return 0; /* cut: it ends, and everything with it */
    ssize_t written =
        FAULT_OR("guardian-byte", -1, RETRY_ON_EINTR(write(launch->lifeline[1], "", 1)));
    /* Full of bytes that it has not read yet: they will do. */
    return written == 1 || errno == EAGAIN ? 0 : -errno;
}

/* What the guardian takes for the host's end. Also where other descriptors have been lost. */
static void cut_lifeline(struct launch *launch)
{
    int end = __atomic_exchange_n(&launch->lifeline[1], -1, __ATOMIC_ACQ_REL);

    lifelines_remove(end);
    if (end >= 0)
        close(end);
}

/* The bits first, then the number: who reads this number finds these bits, or has obeyed them before. */
static void give_order(struct launch_record *record, enum guardian_command command)
{
    uint32_t withdrawn = command == COMMAND_PAUSE    ? COMMAND_RESUME
                         : command == COMMAND_RESUME ? COMMAND_PAUSE
                                                     : 0;
    uint32_t before = atomic_load_explicit(&record->commands, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&record->commands, &before,
                                                  (before & ~withdrawn) | (uint32_t)command,
                                                  memory_order_acq_rel, memory_order_relaxed))
        continue;
    atomic_fetch_add_explicit(&record->ordered, 1, memory_order_acq_rel);
}

int launch_command(struct launch *launch, enum guardian_command command)
{
    give_order(launch->record, command);
    if (command == COMMAND_KILL)
        atomic_store_explicit(&launch->kill_ordered, true, memory_order_release);
    int result = notify_guardian(launch);
    if (result < 0 && result != -ESRCH && command == COMMAND_KILL && launch->lifeline[1] >= 0 &&
        lifeline_is_here(launch, 1)) {
        cut_lifeline(launch);
        result = 0;
    }
    return result;
}

static bool guardian_obeyed(const struct launch *launch)
{
    uint32_t ordered = atomic_load_explicit(&launch->record->ordered, memory_order_acquire);
    uint32_t done = atomic_load_explicit(&launch->record->acknowledged, memory_order_acquire);

    return (int32_t)(done - ordered) >= 0;
}

/* A filter of the caller's may refuse the one; where it refuses the other nothing was started. */
static void end_guardian(const struct launch *launch)
{
    int result = FAULT_OR("guardian-signal", -EPERM,
                          sys_pidfd_send_signal(launch->guardian_pidfd, SIGKILL, 0));

    if (result < 0 && result != -ESRCH)
        kill(launch->guardian, SIGKILL);
}

/* No member can stop it. What is left of them when it has died is swept. */
static void on_no_answer(void *data)
{
    struct launch *launch = data;
    struct procfs_stat stat;

    if (launch->guardian <= 0 || guardian_obeyed(launch))
        return;
    if (procfs_stat(-1, launch->guardian, &stat) == 0 && stat.state == 'T')
        end_guardian(launch);
    loop_timer_add(launch->loop, loop_now() + ANSWER_NS, on_no_answer, launch);
}

void launch_kill(struct launch *launch)
{
    launch_command(launch, COMMAND_KILL);
    /* In a host nobody might be able to sweep; and another thread than the loop's speaks for one that is stuck. */
    if (launch->own_process && sys_gettid() == getpid())
        loop_timer_add(launch->loop, loop_now() + ANSWER_NS, on_no_answer, launch);
}

void launch_end(struct launch *launch)
{
    launch_command(launch, COMMAND_FINISH);
    launch_kill(launch);
}

void launch_lose_descriptors(struct launch *launch)
{
    atomic_store_explicit(&launch->descriptors_lost, true, memory_order_release);
    launch_end(launch);
}

int launch_signal_group(struct launch *launch, int signal)
{
    if (signal < 1 || signal > 64)
        return -EINVAL;
    atomic_fetch_or_explicit(&launch->record->group_signals, 1ULL << (signal - 1),
                             memory_order_acq_rel);
    return notify_guardian(launch);
}

/* ---- End ---------------------------------------------------------------------------------------- */

void launch_finish(struct launch *launch)
{
    if (launch->guardian > 0) {
        /* Not to one that ended in order: nobody is left to be told. */
        if (atomic_load_explicit(&launch->record->finished, memory_order_acquire) == 0) {
            launch_command(launch, COMMAND_KILL);
            launch_command(launch, COMMAND_FINISH);
        }
        if (!launch_await_guardian(launch)) {
            if (launch_descriptors_are_here(launch)) {
                launch_foreground_take_back(launch);
                launch_terminal_restore(launch);
            }
            return; /* the name goes with the guardian */
        }
        if (atomic_load_explicit(&launch->record->finished, memory_order_acquire) == 0)
            launch_sweep_members(launch);
        if (!launch_descriptors_are_here(launch)) {
            launch->guardian = 0;
            return; /* it has given up the name, too */
        }
        launch_foreground_take_back(launch);
        launch_terminal_restore(launch);
        launch->guardian = 0;
        fd_close(launch->guardian_pidfd);
        launch->guardian_pidfd = -1;
        /* A child that got as far as its filter has put the listener into our table. */
        fd_close(launch->record->listener);
        launch->record->listener = -1;
    }
    if (launch_descriptors_are_here(launch))
        release_name(launch);
}

void launch_tidy(struct launch *launch)
{
    claim_close(&launch->claim);
}

void launch_leave(struct launch *launch)
{
    if (launch->supervisor != NULL)
        supervisor_leave(launch->supervisor);
}

/* What the supervisor's threads use. Perhaps on such a thread, long after launch_free(). */
static void free_shared(void *data)
{
    struct launch *launch = data;

    network_free(launch->network);
    domains_free(&launch->domains);
    policy_unref(launch->policy);
    free(launch);
}

void launch_free(struct launch *launch)
{
    if (launch == NULL)
        return;
    launch_finish(launch);
    if (launch_left_members(launch) != NULL)
        return;
    launch_tidy(launch);
    struct denial_log *denials = launch->denials;
    struct supervisor *supervisor = launch->supervisor;
    streams_free(&launch->streams);
    stream_terminals_close(&launch->streams_on_terminals);
    granted_free(&launch->granted);
    command_free(&launch->command);
    posture_free(&launch->posture);
    pthread_mutex_destroy(&launch->posture_lock);
    bpf_program_free(&launch->program);
    free(launch->affinity);
    free(launch->own_children);
    free(launch->tracer);
    fd_close(__atomic_exchange_n(&launch->lifeline[0], -1, __ATOMIC_ACQ_REL));
    cut_lifeline(launch);
    fd_close(launch->terminal);
    fd_close(launch->report_fd);
    launch_memory_free(launch);
    if (supervisor == NULL) {
        free_shared(launch);
    } else {
        supervisor_on_gone(supervisor, free_shared, launch);
        supervisor_free(supervisor);
    }
    denial_log_free(denials);
}

/* ---- Queries ------------------------------------------------------------------------------------ */

bool launch_supervised(const struct launch *launch)
{
    return launch->supervised;
}

int launch_guardian_pidfd(const struct launch *launch)
{
    return launch->guardian_pidfd;
}

pid_t launch_child(const struct launch *launch)
{
    return launch->record->child;
}

struct launch_record *launch_record_of(const struct launch *launch)
{
    return launch->record;
}

const char *launch_name(const struct launch *launch)
{
    return launch->name;
}

const char *launch_command_name(const struct launch *launch)
{
    return launch->command.argv.items[0];
}

struct supervisor *launch_supervisor(const struct launch *launch)
{
    return launch->supervised ? launch->supervisor : NULL;
}

bool launch_ports(const struct launch *launch, struct buffer *json)
{
    return launch->network != NULL && launch->network->ports != NULL &&
           port_map_json(launch->network->ports, json);
}

struct denial_log *launch_denials(const struct launch *launch)
{
    return launch->denials;
}

/* Made when somebody asks: all it says is settled by launch_prepare() and does not change. */
const struct posture *launch_posture(struct launch *launch)
{
    pthread_mutex_lock(&launch->posture_lock);
    if (!launch->posture_described)
        posture_describe_launch(launch);
    launch->posture_described = true;
    pthread_mutex_unlock(&launch->posture_lock);
    return &launch->posture;
}

bool launch_confined(const struct launch *launch)
{
    return launch->confined;
}

int launch_take_stream(struct launch *launch, int stream)
{
    return stream < 0 || stream > 2 ? -1 : fd_steal(&launch->streams.host_ends[stream]);
}

bool launch_refuses_input(const struct launch *launch)
{
    return launch->streams_on_terminals.input_refused;
}

int launch_terminal(const struct launch *launch)
{
    return launch->terminal;
}

int launch_report_fd(const struct launch *launch)
{
    return launch->report_fd;
}

const char *launch_warning(const struct launch *launch)
{
    return launch->warning[0] != '\0' ? launch->warning : NULL;
}
