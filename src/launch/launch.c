/*
 * The launch: prepares everything, clones guardian and child, and follows them to the point where
 * the child is confined. See launch.h for the order and why it is split.
 */
#include "launch/launch.h"

#include "bare/clone.h"
#include "bare/guardian.h"
#include "filter/filter.h"
#include "kernel/probe.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "launch/claim.h"
#include "launch/command.h"
#include "launch/domains.h"
#include "launch/internal.h"
#include "launch/precompiled.h"
#include "launch/registry.h"
#include "launch/streams.h"
#include "net/network.h"
#include "net/net.h"
#include "policy/grammar.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

/* How often a wait for the child looks whether guardian and child are still there. */
#define ALIVE_CHECK_NS 20000000L

/* Looks at a child that is about to park; each is 50 us apart. */
#define PARK_CHECKS_MAX 200

/* ---- Faults ------------------------------------------------------------------------------------ */

#if defined(SANDLOCK_FAULT_INJECTION)
/* "step:NAME" for the steps of guardian and child, and their other faults. */
static uint32_t chosen_fault(void)
{
    static const struct {
        const char *name;
        uint32_t fault;
    } others[] = {
        {"slow-exec", FAULT_SLOW_EXEC},
        {"guardian-violation", FAULT_GUARDIAN_VIOLATION},
        {"guardian-crash", FAULT_GUARDIAN_CRASH},
        {"guardian-crash-early", FAULT_GUARDIAN_CRASH_EARLY},
    };
    char name[96];

    for (uint32_t step = STEP_NONE + 1; step < STEP_COUNT; step++) {
        snprintf(name, sizeof(name), "step:%s", launch_step_name(step));
        if (fault_is(name))
            return step;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (fault_is(others[i].name))
            return others[i].fault;
    }
    return 0;
}

/* The supervisor's own end at this point. */
static void crash_if(const char *at)
{
    if (fault_is(at))
        raise(fault_is("by-segv") ? SIGSEGV : SIGKILL);
}
#else
#define crash_if(at) ((void)0)
#endif

/* ---- Preparation ------------------------------------------------------------------------------- */

/* Flags of the address space, and a user namespace, must not be the guardian's or the host's. */
static bool guardian_can_share(const struct launch *launch, const struct launch_spec *spec)
{
    const struct policy *policy = launch->policy;

    return !launch->map_user && !policy->no_coredump && !policy->no_huge_pages &&
           spec->entry == NULL;
}

static bool prepare_memory(struct launch *launch, const struct launch_spec *spec, struct error *err)
{
    bool same_space = !launch->own_process && guardian_can_share(launch, spec);

    if (!launch_memory_prepare(launch, same_space, err))
        return false;
#if defined(SANDLOCK_FAULT_INJECTION)
    launch->record->fault = chosen_fault();
#endif
    return true;
}

/* Soft = hard = min(asked, inherited soft, inherited hard): a cap, never a grant. Before the
 * supervisor, whose window of descriptors lies below this limit. */
static void prepare_open_files(struct launch *launch, const struct launch_spec *spec)
{
    struct child_plan *child = &launch->child_plan;
    struct rlimit inherited;

    if (spec->inherited_nofile != NULL)
        inherited = *spec->inherited_nofile;
    else if (getrlimit(RLIMIT_NOFILE, &inherited) != 0)
        return;
    launch->window = netlink_window(inherited.rlim_cur);
    if (launch->policy->max_open_files > 0) {
        rlim_t limit = launch->policy->max_open_files;
        if (limit > inherited.rlim_cur)
            limit = inherited.rlim_cur;
        if (limit > inherited.rlim_max)
            limit = inherited.rlim_max;
        child->open_files = (struct bare_rlimit){limit, limit};
        child->limit_open_files = true;
        launch->window = netlink_window(limit);
    } else if (spec->inherited_nofile != NULL) {
        child->open_files = (struct bare_rlimit){inherited.rlim_cur, inherited.rlim_max};
        child->limit_open_files = true;
    }
}

static bool prepare_supervisor(struct launch *launch, const struct launch_spec *spec,
                               struct error *err)
{
    const struct policy *policy = launch->policy;
    struct supervisor_config config = {
        .policy = policy,
        .registry = feature_registry,
        .grants = &launch->domains.grants,
        .denials = NULL,
        .violation = launch->own_process ? VIOLATION_TRAP : VIOLATION_ERRNO,
        .confined = launch->confine,
        .interactive = launch->terminal >= 0,
        .traced = launch->traced,
        .window = launch->window,
    };
    size_t traps;

    if (policy->no_supervisor)
        return true;
    /* Asks resolvers, on this thread and before anything is confined. */
    launch->network = FAULT_OR(
        "network", NULL,
        network_new(policy, launch->granted.items, launch->granted.count, spec->resolve_ms, err));
    if (launch->network == NULL)
        return fault_is("network") ? error_runtime(err, ENOMEM, "network of the sandbox") : false;
    config.network = launch->network;
    launch->denials = FAULT_OR("denials", NULL, denial_log_new());
    if (launch->denials == NULL)
        return error_runtime(err, ENOMEM, "denial records");
    config.denials = launch->denials;
    launch->supervisor = supervisor_new(&config, err);
    if (launch->supervisor == NULL)
        return false;
    supervisor_traps(launch->supervisor, &traps);
    launch->supervised = traps > 0;
    launch->traced = launch->traced && launch->supervised;
    launch->tracer = launch->traced ? calloc(1, sizeof(*launch->tracer)) : NULL;
    if (launch->traced && launch->tracer == NULL)
        return error_runtime(err, ENOMEM, "fetching descriptors");
    return true;
}

static bool prepare_filter(struct launch *launch, struct error *err)
{
    struct member_filter_options options = {.supervised = !launch->policy->no_supervisor};

    if (fault_is("filter"))
        return error_runtime(err, EIO, "filter of the members");
    if (launch->supervised)
        options = supervisor_filter_options(launch->supervisor);
    launch->filter = precompiled_members_filter(member_filter_key(launch->policy, &options));
    if (launch->filter != NULL)
        return true;
    struct filter_plan *plan = member_filter_plan(arch_native, launch->policy, &options, err);
    if (plan == NULL)
        return false;
    bool ok = filter_compile(plan, &launch->program, err);
#if defined(SANDLOCK_VERIFY_FILTERS)
    ok = ok && filter_verify(plan, &launch->program, err);
#endif
    filter_plan_free(plan);
    launch->filter = &launch->program;
    return ok;
}

static bool prepare_affinity(struct launch *launch, struct error *err)
{
    const struct policy *policy = launch->policy;
    uint32_t highest = 0;

    if (policy->cpu_core_count == 0)
        return true;
    for (size_t i = 0; i < policy->cpu_core_count; i++) {
        if (policy->cpu_cores[i] > highest)
            highest = policy->cpu_cores[i];
    }
    size_t words = highest / (8 * sizeof(unsigned long)) + 1;
    launch->affinity = calloc(words, sizeof(unsigned long));
    if (launch->affinity == NULL)
        return error_runtime(err, ENOMEM, "cpu mask");
    for (size_t i = 0; i < policy->cpu_core_count; i++) {
        uint32_t core = policy->cpu_cores[i];
        launch->affinity[core / (8 * sizeof(unsigned long))] |=
            1UL << (core % (8 * sizeof(unsigned long)));
    }
    launch->affinity_size = words * sizeof(unsigned long);
    return true;
}

/* A user mapping is needed only where it changes something. */
static void prepare_user(struct launch *launch)
{
    const struct policy *policy = launch->policy;

    launch->map_user = policy->has_user && (policy->uid != getuid() || policy->gid != getgid());
    if (!launch->map_user)
        return;
    snprintf(launch->uid_map, sizeof(launch->uid_map), "%u %u 1", policy->uid, (unsigned)getuid());
    snprintf(launch->gid_map, sizeof(launch->gid_map), "%u %u 1", policy->gid, (unsigned)getgid());
}

static void fill_child_plan(struct launch *launch, const struct launch_spec *spec)
{
    const struct policy *policy = launch->policy;
    struct child_plan *child = &launch->child_plan;

    child->record = launch->record;
    child->terminal_fd = launch->take_foreground ? launch->terminal : -1;
    child->no_randomize_memory = policy->no_randomize_memory;
    child->affinity = launch->affinity;
    child->affinity_size = launch->affinity_size;
    child->no_huge_pages = policy->no_huge_pages;
    child->no_coredump = policy->no_coredump;
    child->map_user = launch->map_user;
    child->uid_map = launch->uid_map;
    child->gid_map = launch->gid_map;
    child->cwd = policy->cwd;
    child->ruleset = launch->domains.members;
    child->program.len = (unsigned short)launch->filter->length;
    child->program.filter = launch->filter->instructions;
    child->listener = launch->supervised;
    child->close_ranges = launch->streams.ranges;
    child->close_range_count = launch->streams.range_count;
    if (launch->supervised && launch->window.first <= launch->window.last)
        child->table_top = (int)launch->window.last;
    child->maps = launch->streams.maps;
    child->map_count = launch->streams.map_count;
    child->error_fd = launch->streams.error_fd;
    child->exec_fd = launch->streams.exec_fd;
    child->entry = spec->entry;
    child->entry_data = spec->entry_data;
    child->argv = launch->command.argv.items;
    child->envp = launch->command.envp.items;
    child->candidates = (const char *const *)launch->command.candidates.items;
    child->shell_argv = launch->command.shell_argv;

    sigset_t mask = {0};
    if (spec->signal_mask != NULL)
        mask = *spec->signal_mask;
    else
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
    memcpy(&child->signal_mask, &mask, sizeof(child->signal_mask));
}

static void fill_guardian_plan(struct launch *launch, const struct launch_spec *spec)
{
    const struct policy *policy = launch->policy;
    struct guardian_plan *guardian = &launch->guardian_plan;

    guardian->record = launch->record;
    guardian->child = &launch->child_plan;
    guardian->host = getpid();
    guardian->ruleset = launch->domains.guardian;
    guardian->signal_scope = (launch->domains.masks.scoped & LL_SCOPE_SIGNAL) != 0;
    guardian->share_memory = guardian_can_share(launch, spec);
    guardian->end_with_child = spec->end_with_child;
    guardian->lifeline = launch->lifeline[0];
    guardian->report_fd = launch->report_fd;
    guardian->name = launch->claim.name;
    guardian->runtime_root = launch->claim.root_fd;
    guardian->runtime_directory = launch->claim.active ? launch->claim.directory_fd : -1;
    guardian->pid_file_inode = launch->claim.pid_file_inode;
    const int kept[] = {launch->lifeline[0], launch->report_fd, launch->claim.root_fd,
                        guardian->runtime_directory, supervisor_fetch_fd(launch->supervisor)};
    size_t kept_count = 0;
    int numbers[GUARDIAN_KEEPS];
    for (size_t i = 0; i < GUARDIAN_KEEPS; i++) {
        if (kept[i] >= 0)
            numbers[kept_count++] = kept[i];
    }
    guardian->close_range_count = descriptor_ranges(numbers, kept_count, launch->guardian_ranges);
    guardian->close_ranges = launch->guardian_ranges;
    if ((policy->without & FEATURE_SUPERVISOR_CONFINEMENT) == 0) {
        const struct bpf_program *program =
            launch->traced ? &precompiled_tracing_guardian_filter : &precompiled_guardian_filter;
        guardian->program.len = (unsigned short)program->length;
        guardian->program.filter = program->instructions;
    }
    if (launch->traced) {
        launch->tracer->box = &launch->record->fetch;
        launch->tracer->commands = &launch->record->commands;
        launch->tracer->kill = COMMAND_KILL;
        launch->tracer->report_fd = supervisor_fetch_fd(launch->supervisor);
        guardian->tracer = launch->tracer;
    }
    guardian->child_stack_top = launch->child_stack_top;
}

bool launch_writes_proc(const struct launch *launch)
{
    /* Results for members' memory go through /proc/TID/mem where a container refuses the call. */
    bool memory = launch->supervised && task_memory_write_method() == TASK_MEMORY_FILE;

    return launch->map_user || launch->policy->no_coredump || memory;
}

static bool prepare_all(struct launch *launch, const struct launch_spec *spec, struct error *err)
{
    const struct policy *policy = launch->policy;

    if (spec->argc > LAUNCH_ARGV_MAX)
        return error_config(err, "command has more than %d arguments", LAUNCH_ARGV_MAX);
    if (spec->name != NULL && !grammar_name(spec->name, err))
        return error_wrap(err, "sandbox name");
    if (!command_prepare(&launch->command, policy, spec->argv, spec->argc, environ, err))
        return false;
    launch_terminal_prepare(launch, spec); /* before the supervisor, whose filter depends on it */
    prepare_open_files(launch, spec);
    /* A function of the host's keeps the record, which an exec takes away. */
    launch->traced =
        !policy->no_supervisor && spec->entry == NULL && probe_fetch_method() == PROBE_FETCH_TRACER;
    /* Without a supervisor only the rulesets need them. */
    if ((!policy->no_supervisor && !granted_open(&launch->granted, policy, err)) ||
        !prepare_supervisor(launch, spec, err))
        return false;

    claim_resolve_name(spec->name, launch->name);
    prepare_user(launch);
    struct domains_options options = {
        .policy = policy,
        .granted = policy->no_supervisor ? NULL : &launch->granted,
        .claim = &launch->claim,
        /* Without a supervisor nobody would open what is hidden. */
        .shadow = launch->supervised ? &launch->network->shadow : NULL,
        .proc_fd = launch->supervised ? supervisor_proc_fd(launch->supervisor) : -1,
        .confined = launch->supervised && launch->confine,
        .verdicts = launch->supervised,
        .proc_writes = launch_writes_proc(launch),
    };
    /* The name before the domains: S needs rights on the directory. A wrong grant gives it up again. */
    if (!claim_take(&launch->claim, launch->name, spec->name != NULL, launch->warning,
                    sizeof(launch->warning), err) ||
        !domains_build(&launch->domains, &options, &launch->posture, err) ||
        !prepare_filter(launch, err) || !prepare_affinity(launch, err) ||
        !streams_prepare(&launch->streams, spec, err) || !prepare_memory(launch, spec, err))
        return false;
    /* A process of ours never execs, and its end the guardian sees by the pidfd. */
    if (!launch->own_process && FAULT_OR("lifeline", -1, pipe2(launch->lifeline, O_CLOEXEC)) != 0)
        return error_runtime(err, errno, "lifeline pipe");
    fill_child_plan(launch, spec);
    fill_guardian_plan(launch, spec);
    if (fault_is("posture"))
        return error_runtime(err, ENOMEM, "posture");
    if (policy->required.count > 0 &&
        !posture_check_required(launch_posture(launch), &policy->required, err))
        return false;
    return !launch->supervised || supervisor_start_features(launch->supervisor, err);
}

struct launch *launch_prepare(const struct launch_spec *spec, struct error *err)
{
    if (spec->policy == NULL) {
        error_config(err, "no policy");
        return NULL;
    }
    struct launch *launch = calloc(1, sizeof(*launch));
    if (launch == NULL) {
        error_runtime(err, ENOMEM, "launch");
        return NULL;
    }
    launch->policy = policy_ref(spec->policy);
    pthread_mutex_init(&launch->posture_lock, NULL);
    launch->own_process = spec->own_process;
    launch->park = spec->park;
    launch->confine =
        spec->confine && (launch->policy->without & FEATURE_SUPERVISOR_CONFINEMENT) == 0;
    launch->window = DESCRIPTOR_WINDOW_NONE;
    launch->claim = CLAIM_INIT;
    launch->granted = GRANTED_INIT;
    launch->domains = DOMAINS_INIT;
    launch->streams = STREAMS_INIT;
    launch->lifeline[0] = launch->lifeline[1] = -1;
    launch->terminal = launch->report_fd = launch->guardian_pidfd = -1;
    if (!prepare_all(launch, spec, err)) {
        launch_free(launch);
        return NULL;
    }
    return launch;
}

/* ---- Start -------------------------------------------------------------------------------------- */

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
    return true;
}

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
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return error_runtime(err, (int)-pid, "clone of the guardian");
    launch->guardian = (pid_t)pid;
    launch->guardian_pidfd = pidfd;
    return true;
}

static bool guardian_is_gone(const struct launch *launch)
{
    struct pollfd polled = {.fd = launch->guardian_pidfd, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
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
        bool ended = atomic_load_explicit(&record->child_exited, memory_order_acquire) != 0 ||
                     guardian_is_gone(launch);
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
                             guardian_is_gone(launch) ? "guardian process" : "child");
    if (step == STEP_SECCOMP && error == EBUSY)
        hint = "; an outer sandbox supervises this process already: use --no-supervisor (builder "
               "field no_supervisor) on one of the two levels";
    else if ((step == STEP_LANDLOCK || step == STEP_GUARDIAN_DOMAIN) && error == E2BIG)
        hint = "; too many nested sandboxes";
    else if (step == STEP_USER_NAMESPACE || step == STEP_UID_MAP || step == STEP_GID_MAP)
        hint = "; unprivileged user namespaces may be restricted (sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=1 or user.max_user_namespaces=0, or a "
               "container's seccomp profile)";
    error_runtime(err, error, "%s%s%s", launch_step_name(step), step == STEP_CWD ? " " : "",
                  step == STEP_CWD ? launch->policy->cwd : "");
    size_t length = strlen(err != NULL ? err->text : "");
    if (err != NULL)
        snprintf(err->text + length, sizeof(err->text) - length, "%s", hint);
    return false;
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

/* While the guardian reaps the members and ends, which takes longer than this. The name is not given up
 * yet: members that run no more may still hold memory, sockets and locks. */
static void on_idle_end(void *data)
{
    struct launch *launch = data;

    grants_free(&launch->domains.grants);
}

bool launch_begin(struct launch *launch, struct loop *loop, struct error *err)
{
    if (!enter_supervisor_domain(launch, err))
        return false;
    launch->guardian_plan.watch_thread = launch->confined || launch->own_process;
    /* Orphans of a guardian that was killed come to us (sweep.c). */
    if (launch->own_process)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    crash_if("crash-before-clone");
    if (!clone_guardian(launch, err))
        return false;
    crash_if("crash-after-clone");

    /* While the child confines itself. What can fail comes before the release: a command whose start
     * failed must not have run. */
    int result = 0;
    if (launch->domains.grants.count > GRANTS_PINNED_MAX)
        result = grants_resolve(&launch->domains.grants);
    if (result == 0 && !launch->park)
        launch_release(launch);

    uint32_t state = await_state(launch, LAUNCH_READY);
    if (!was_ready(launch, state)) {
        report_failed_step(launch, err);
        launch_finish(launch);
        return false;
    }
    if (result != 0) {
        /* Only now: killed while it installs its filter it would leave us a listener. */
        launch_finish(launch);
        return error_runtime(err, -result, "names of the grants");
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
    result = claim_publish(&launch->claim, launch->record->child, getpid());
    if (result != 0)
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

static int notify_guardian(struct launch *launch)
{
    if (launch->guardian_pidfd < 0)
        return -ESRCH;
    return sys_pidfd_send_signal(launch->guardian_pidfd, GUARDIAN_COMMAND_SIGNAL, 0);
}

int launch_command(struct launch *launch, enum guardian_command command)
{
    atomic_fetch_or_explicit(&launch->record->commands, (uint32_t)command, memory_order_acq_rel);
    return notify_guardian(launch);
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
        int status;
        /* Not to one that ended in order: nobody is left to be told. */
        if (atomic_load_explicit(&launch->record->finished, memory_order_acquire) == 0) {
            launch_command(launch, COMMAND_KILL);
            launch_command(launch, COMMAND_FINISH);
        }
        RETRY_ON_EINTR(waitpid(launch->guardian, &status, __WALL));
        if (atomic_load_explicit(&launch->record->finished, memory_order_acquire) == 0)
            launch_sweep_members(launch);
        launch_foreground_take_back(launch);
        launch_terminal_restore(launch);
        launch->guardian = 0;
        fd_close(launch->guardian_pidfd);
        launch->guardian_pidfd = -1;
        /* A child that got as far as its filter has put the listener into our table. */
        fd_close(launch->record->listener);
        launch->record->listener = -1;
    }
    claim_release(&launch->claim);
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
    struct denial_log *denials = launch->denials;
    struct supervisor *supervisor = launch->supervisor;
    streams_free(&launch->streams);
    granted_free(&launch->granted);
    command_free(&launch->command);
    posture_free(&launch->posture);
    pthread_mutex_destroy(&launch->posture_lock);
    bpf_program_free(&launch->program);
    free(launch->affinity);
    free(launch->tracer);
    fd_close(launch->lifeline[0]);
    fd_close(launch->lifeline[1]);
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
