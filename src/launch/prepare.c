/*
 * What a launch needs before the guardian is cloned: see launch.h. Nothing here starts a process or
 * confines the caller, so that everything asked for wrongly is found while there is nothing to undo.
 */
#include "launch/internal.h"

#include "kernel/probe.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "launch/home.h"
#include "launch/precompiled.h"
#include "launch/lifelines.h"
#include "launch/registry.h"
#include "member/object.h"
#include "net/net.h"
#include "net/network.h"
#include "policy/grammar.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

extern char **environ;

/* Automatic names that are tried. */
#define NAME_TRIES 4096

#if defined(SANDLOCK_FAULT_INJECTION)
/* "step:NAME" for the steps of guardian and child, and their other faults. */
static uint32_t chosen_fault(void)
{
    static const struct {
        const char *name;
        uint32_t fault;
    } others[] = {
        {"slow-exec", FAULT_SLOW_EXEC},
        {"slow-child", FAULT_SLOW_CHILD},
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
#endif

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

/* The command line keeps signals back for the command. Until there is one, and while nothing of the run exists, they do
 * what they do to any program; not those that would be news to the command alone. */
static void let_signals_end_us(const struct launch_spec *spec, sigset_t *before)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (spec->own_process && spec->signal_mask != NULL &&
            !sigismember(spec->signal_mask, numbers[i]))
            sigaddset(&set, numbers[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, before);
}

static bool path_truncates_early(const char *path)
{
    struct statfs status;

    return statfs(path, &status) != 0 || object_type_truncates_early((uint32_t)status.f_type);
}

/* What an automount would bring up there is not waited for. */
static bool start_truncates_early(const char *path)
{
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);

    return object_truncates_early(fd);
}

/* A container's root is an overlay: every file of its image can be named, granted or not. What lies on other mounts
 * is looked at where the command starts and where a grant names it, so that opens cost nothing elsewhere. */
static void find_early_truncation(struct launch *launch)
{
    const char *start = launch->policy->cwd;

    launch->truncates_early = path_truncates_early("/") || path_truncates_early(".") ||
                              (start != NULL && start_truncates_early(start));
    for (size_t i = 0; i < launch->granted.count; i++)
        launch->truncates_early |= launch->granted.items[i].truncates_early;
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
        .terminal = launch->has_terminal,
        .terminal_fd = launch->terminal,
        .foreign_terminals = launch->streams_on_terminals.foreign,
        .foreign_terminal_count = launch->streams_on_terminals.foreign_count,
        .keeps_session = launch->keeps_session,
        .early_truncation = launch->truncates_early,
        .window = launch->window,
    };
    size_t traps;

    if (policy->no_supervisor)
        return true;
    /* Asks resolvers, on this thread and before anything is confined. */
    sigset_t before;
    let_signals_end_us(spec, &before);
    launch->network = FAULT_OR(
        "network", NULL,
        network_new(policy, launch->granted.items, launch->granted.count, spec->resolve_ms, err));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (launch->network == NULL)
        return fault_is("network") ? error_runtime(err, ENOMEM, "network of the sandbox") : false;
    config.network = launch->network;
    launch->denials = FAULT_OR("denials", NULL, denial_log_new());
    if (launch->denials == NULL)
        return error_runtime(err, ENOMEM, "denial records");
    config.denials = launch->denials;
    char home[PATH_MAX];
    config.home = home_directory(home);
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
    struct member_filter_options options = {0};

    if (fault_is("filter"))
        return error_runtime(err, EIO, "filter of the members");
    if (launch->supervised) {
        options = supervisor_filter_options(launch->supervisor);
    } else {
        options.privileged = sys_may_be_privileged();
        options.early_truncation = launch->truncates_early || launch->domains.truncates_early;
    }
    options.keeps_session = launch->keeps_session && !launch->supervised &&
                            (launch->policy->without & FEATURE_PROCESS_GATE) == 0;
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

static bool prepare_streams(struct launch *launch, const struct launch_spec *spec,
                            struct error *err)
{
    struct launch_spec planned = *spec;

    memcpy(planned.streams, launch->streams_on_terminals.streams, sizeof(planned.streams));
    bool ok = streams_prepare(&launch->streams, &planned, err);
    stream_terminals_close(&launch->streams_on_terminals);
    return ok;
}

/* A user mapping is needed only where it changes something. The child writes it itself, and the kernel lets
 * only root do so in a process that is not dumpable: whoever inspects one like that could read what its memory
 * holds, which is a copy of the host's, so the child is not made dumpable for the moment. */
static bool prepare_user(struct launch *launch, struct error *err)
{
    const struct policy *policy = launch->policy;

    launch->map_user = policy_maps_user(policy);
    if (!launch->map_user)
        return true;
    if (geteuid() != 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        return error_runtime(
            err, EACCES,
            "user mapping: this process is not dumpable (PR_SET_DUMPABLE, or it has "
            "changed its user without an exec)");
    snprintf(launch->uid_map, sizeof(launch->uid_map), "%u %u 1", policy->uid, (unsigned)getuid());
    snprintf(launch->gid_map, sizeof(launch->gid_map), "%u %u 1", policy->gid, (unsigned)getgid());
    return true;
}

/*
 * A member that changes to another user can be ended only with CAP_KILL (kill(2)): not by the guardian of
 * a root whose container has taken that. So no member may: CAP_SETUID is what it takes, also for an
 * ordinary user who has it, and where it is only permitted it can be put in force. In the namespace of a
 * user mapping no other user exists. What cannot be told must be given up.
 */
static bool must_keep_user(const struct launch *launch)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (launch->map_user)
        return false;
    if (sys_call2(SYS_capget, (long)&header, (long)sets) != 0)
        return true;
    bool may_change = (sets[0].permitted & CAP_TO_MASK(CAP_SETUID)) != 0;
    bool may_signal = (sets[0].effective & CAP_TO_MASK(CAP_KILL)) != 0;
    return may_change && !may_signal;
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
    child->keep_user = must_keep_user(launch);
    child->ruleset = launch->domains.members;
    child->own_rules = launch->domains.own_rules;
    child->own_rule_count = launch->domains.own_rule_count;
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
    child->shown_cwd = launch->command.shown_cwd;
    child->shown_program = launch->command.shown_program;
    child->argv = launch->command.argv.items;
    child->envp = launch->command.envp.items;
    child->candidates = (const char *const *)launch->command.candidates.items;
    child->shell_argv = launch->command.shell_argv;

    child->own_ignored = spec->own_ignored;
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
    guardian->keeps_stopped = launch->own_process && launch->uses_terminal;
    guardian->name = launch->claim.name;
    guardian->runtime_root = launch->claim.root_fd;
    guardian->runtime_directory = launch->claim.active ? launch->claim.directory_fd : -1;
    guardian->pid_file = launch->claim.pid_fd;
    guardian->pid_file_byte = CLAIM_GUARDIAN_BYTE;
    guardian->pid_file_inode = launch->claim.pid_file_inode;
    const int kept[] = {launch->lifeline[0],         launch->report_fd,
                        launch->claim.root_fd,       launch->claim.pid_fd,
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

/* True if the child's own steps, or the supervisor, write below /proc. */
static bool writes_proc(const struct launch *launch)
{
    /* Results for members' memory go through /proc/TID/mem where a container refuses the call. */
    bool memory = launch->supervised && task_memory_write_method() == TASK_MEMORY_FILE;

    return launch->map_user || launch->policy->no_coredump || memory;
}

/* An automatic name is made of a process number, which another pid namespace may have, too. */
static bool take_name(struct launch *launch, const char *chosen, struct error *err)
{
    for (int tries = 1;; tries++) {
        struct error failure = {0};
        claim_resolve_name(chosen, launch->name);
        if (claim_take(&launch->claim, launch->name, chosen != NULL, launch->warning,
                       sizeof(launch->warning), &failure))
            return true;
        if (chosen != NULL || tries == NAME_TRIES) {
            if (err != NULL)
                *err = failure;
            return false;
        }
    }
}

/* Without the signal scope the guardian finds the members by descent: in another namespace's procfs it would
 * kill the wrong processes, and without any none. */
static bool check_descent(const struct launch *launch, struct error *err)
{
    const char *reason;

    if ((launch->domains.masks.scoped & LL_SCOPE_SIGNAL) != 0)
        return true;
    CLEANUP_FD int proc_fd = procfs_open();
    if (proc_fd < 0)
        error_runtime(err, -proc_fd, "open /proc");
    else if (procfs_check_own(proc_fd, &reason) != 0)
        error_runtime(err, 0, "/proc: %s", reason);
    else
        return true;
    return error_wrap(err, "without the signal scope processes can be ended by descent only");
}

/* What no run can do without and old container filters refuse; later only some grant or step would fail. */
static bool check_calls(struct error *err)
{
    static const enum probe_call needed[] = {PROBE_STATX, PROBE_CLOSE_RANGE};

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!probe_has_call(needed[i]))
            return error_runtime(
                err, 0,
                "the system call %s is refused here (by a container's filter?), and "
                "every run needs it",
                probe_call_name(needed[i]));
    return true;
}

static bool prepare_all(struct launch *launch, const struct launch_spec *spec, struct error *err)
{
    const struct policy *policy = launch->policy;

    if (spec->argc > LAUNCH_ARGV_MAX)
        return error_config(err, "command has more than %d arguments", LAUNCH_ARGV_MAX);
    if (spec->name != NULL && !grammar_name(spec->name, err))
        return false;
    if (!check_calls(err) ||
        !command_prepare(&launch->command, policy, spec->argv, spec->argc, environ, err))
        return false;
    launch_terminal_prepare(launch, spec); /* before the supervisor, whose filter depends on it */
    prepare_open_files(launch, spec);
    /* A function of the host's keeps the record, which an exec takes away. */
    launch->traced =
        !policy->no_supervisor && probe_fetch_method() == PROBE_FETCH_TRACER && spec->entry == NULL;
    /* Without a supervisor only the rulesets need them. */
    if (!policy->no_supervisor && !granted_open(&launch->granted, policy, err))
        return false;
    find_early_truncation(launch);
    if (!prepare_supervisor(launch, spec, err))
        return false;

    if (!prepare_user(launch, err))
        return false;
    struct domains_options options = {
        .policy = policy,
        .granted = policy->no_supervisor ? NULL : &launch->granted,
        .claim = &launch->claim,
        /* Without a supervisor nobody would open what is hidden. */
        .shadow = launch->supervised ? &launch->network->shadow : NULL,
        .proc_fd = launch->supervised ? supervisor_proc_fd(launch->supervisor) : -1,
        .confined = launch->supervised && launch->confine,
        .verdicts = launch->supervised,
        .proc_writes = writes_proc(launch),
        .job_control = launch->own_process,
    };
    /* The name before the domains: S needs rights on the directory. A wrong grant gives it up again. */
    if (!take_name(launch, spec->name, err) ||
        !domains_build(&launch->domains, &options, &launch->posture, err) ||
        !check_descent(launch, err) || !prepare_filter(launch, err) ||
        !prepare_affinity(launch, err) || !prepare_streams(launch, spec, err) ||
        !prepare_memory(launch, spec, err))
        return false;
    /* A process of ours never execs, and its end the guardian sees by the pidfd. */
    if (!launch->own_process &&
        FAULT_OR("lifeline", -1, pipe2(launch->lifeline, O_CLOEXEC | O_NONBLOCK)) != 0)
        return error_runtime(err, errno, "lifeline pipe");
    struct stat lifeline;
    if (launch->lifeline[0] >= 0 && fstat(launch->lifeline[0], &lifeline) == 0) {
        launch->lifeline_device = lifeline.st_dev;
        launch->lifeline_inode = lifeline.st_ino;
        lifelines_add(launch->lifeline[1], lifeline.st_dev, lifeline.st_ino);
    }
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
    launch->no_threads = spec->no_threads;
    launch->confine =
        spec->confine && (launch->policy->without & FEATURE_SUPERVISOR_CONFINEMENT) == 0;
    launch->window = DESCRIPTOR_WINDOW_NONE;
    launch->claim = CLAIM_INIT;
    launch->granted = GRANTED_INIT;
    launch->domains = DOMAINS_INIT;
    launch->streams = STREAMS_INIT;
    launch->streams_on_terminals = STREAM_TERMINALS_INIT;
    launch->lifeline[0] = launch->lifeline[1] = -1;
    launch->terminal = launch->report_fd = launch->guardian_pidfd = -1;
    if (!prepare_all(launch, spec, err)) {
        launch_free(launch);
        return NULL;
    }
    return launch;
}
