/*
 * The supervisor's life: from the registry to the tables that filter and dispatch share, the start
 * of the features, the listener, failure, and the end. See supervisor.h.
 */
#include "supervisor/internal.h"

#include "kernel/notify.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "supervisor/wall.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What a worker that is stuck in a blocking call may cost the end of a run. */
#define WORKER_PATIENCE 2000000000LL

/* The shortest that the scheduler accepts: members wait for this thread, and until it has received a
 * call, a signal can make that call fail with EINTR. */
#define TIME_SLICE 100000

/* Processes that are known at the same time, of which each costs a descriptor: no more than a part of the limit, by
 * one sandbox and by all of the host. */
#define TASKS_MAX 256
#define TASKS_MIN 16
#define TASKS_SHARE 16
#define ALL_TASKS_SHARE 4

/* ---- Building ---------------------------------------------------------------------------------- */

bool supervisor_wants(const struct supervisor *supervisor, const struct feature *feature)
{
    const struct supervisor_config *config = &supervisor->config;

    bool on_terminal = config->terminal || config->foreign_terminal_count > 0;

    return !config->policy->no_supervisor && (on_terminal || !feature->on_terminal) &&
           (config->keeps_session || !feature->keeps_session) &&
           (feature->wanted == NULL || feature->wanted(config->policy, config->network));
}

static bool choose_features(struct supervisor *supervisor)
{
    const struct feature *const *registry = supervisor->config.registry;
    size_t all = 0;

    while (registry != NULL && registry[all] != NULL)
        all++;
    supervisor->features = calloc(all + 1, sizeof(*supervisor->features));
    supervisor->wanted = calloc(all + 1, sizeof(*supervisor->wanted));
    if (supervisor->features == NULL || supervisor->wanted == NULL)
        return false;
    supervisor->feature_count = 0;
    for (size_t i = 0; i < all; i++) {
        if (!supervisor_wants(supervisor, registry[i]))
            continue;
        supervisor->features[supervisor->feature_count].feature = registry[i];
        supervisor->features_keep_tasks |= registry[i]->task_gone != NULL;
        supervisor->wanted[supervisor->feature_count++] = registry[i];
    }
    return true;
}

/* A call on a descriptor below or above the window is not trapped for it. */
static void describe_window(struct supervisor *supervisor)
{
    struct descriptor_window window = supervisor->config.window;

    if (window.first > window.last || window.first == 0)
        return;
    supervisor->outside_window[0] = (struct filter_rule){
        .test_count = 1, .tests = {{.arg = 0, .op = ARG_IN_RANGE, .value_high = window.first - 1}}};
    supervisor->outside_window[1] = (struct filter_rule){
        .test_count = 1,
        .tests = {
            {.arg = 0, .op = ARG_IN_RANGE, .value = window.last + 1, .value_high = UINT32_MAX}}};
    supervisor->outside_window_count = 2;
}

/* The traps in registry order; those whose call the architecture lacks are left out. */
static size_t gather_traps(const struct supervisor *supervisor, struct chain_link *links)
{
    size_t count = 0;

    for (size_t f = 0; f < supervisor->feature_count; f++) {
        struct active_feature *owner = &supervisor->features[f];
        for (size_t t = 0; t < owner->feature->trap_count; t++) {
            const struct trap *trap = &owner->feature->traps[t];
            int number = arch_syscall_number(arch_native, trap->syscall);
            if (number < 0 || (trap->in_window && supervisor->outside_window_count == 0))
                continue;
            struct chain_link link = {number, trap, owner, trap->passes, trap->pass_count};
            if (trap->in_window) {
                link.passes = supervisor->outside_window;
                link.pass_count = supervisor->outside_window_count;
            }
            links[count++] = link;
        }
    }
    return count;
}

/* A counting sort: stable, so links of one number stay in registry order. first_link[n] is first where
 * the next link of n goes; afterwards it is where those of n + 1 begin. */
static void sort_traps(struct supervisor *supervisor, const struct chain_link *links)
{
    size_t numbers = (size_t)arch_native->newest + 1;
    uint16_t *first = supervisor->first_link;

    for (size_t i = 0; i < supervisor->trap_count; i++)
        first[links[i].number + 1]++;
    for (size_t n = 0; n < numbers; n++)
        first[n + 1] = (uint16_t)(first[n + 1] + first[n]);
    for (size_t i = 0; i < supervisor->trap_count; i++) {
        const struct chain_link *link = &links[i];
        size_t place = first[link->number]++;
        supervisor->links[place] = *link;
        supervisor->traps[place] = (struct filter_trap){
            .number = link->number, .passes = link->passes, .pass_count = link->pass_count};
    }
    memmove(first + 1, first, numbers * sizeof(*first));
    first[0] = 0;
}

static bool build_tables(struct supervisor *supervisor)
{
    size_t numbers = (size_t)arch_native->newest + 1;
    size_t all = 0;

    describe_window(supervisor);
    for (size_t i = 0; i < supervisor->feature_count; i++)
        all += supervisor->features[i].feature->trap_count;
    CLEANUP_FREE struct chain_link *gathered = calloc(all + 1, sizeof(*gathered));
    supervisor->first_link = calloc(numbers + 1, sizeof(*supervisor->first_link));
    supervisor->links = calloc(all + 1, sizeof(*supervisor->links));
    supervisor->traps = calloc(all + 1, sizeof(*supervisor->traps));
    if (gathered == NULL || supervisor->first_link == NULL || supervisor->links == NULL ||
        supervisor->traps == NULL || all > UINT16_MAX)
        return false;
    supervisor->trap_count = gather_traps(supervisor, gathered);
    sort_traps(supervisor, gathered);
    return true;
}

struct member_filter_options supervisor_filter_options(const struct supervisor *supervisor)
{
    struct member_filter_options options = {
        .supervised = !supervisor->config.policy->no_supervisor,
        .privileged = supervisor->members_privileged,
        .traced = supervisor->config.traced,
        .early_truncation = supervisor->config.early_truncation,
        .traps = supervisor->traps,
        .trap_count = supervisor->trap_count,
    };

    for (size_t i = 0; i < supervisor->feature_count; i++) {
        options.netlink_view |= supervisor->wanted[i]->netlink_view;
        options.interface_view |= supervisor->wanted[i]->interface_view;
    }
    return options;
}

/* The filter as it would be without explain: it knows which errno each refused call gets. */
static bool build_explained(struct supervisor *supervisor, struct error *err)
{
    const struct policy *policy = supervisor->config.policy;
    struct member_filter_options options = supervisor_filter_options(supervisor);

    if (!policy->explain || policy->no_supervisor)
        return true;
    options.unexplained = true;
    supervisor->explained = member_filter_plan(arch_native, policy, &options, err);
    return supervisor->explained != NULL;
}

/* "unix-gate, proc-view": every name once. */
static void list_features(const struct supervisor *supervisor, char *text, size_t size)
{
    size_t length = 0;

    for (size_t i = 0; i < supervisor->feature_count; i++) {
        const char *name = supervisor->wanted[i]->name;
        bool listed = false;
        for (size_t k = 0; k < i; k++)
            listed |= strcmp(supervisor->wanted[k]->name, name) == 0;
        if (listed || length >= size)
            continue;
        length +=
            (size_t)snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", name);
    }
    if (length == 0)
        snprintf(text, size, "explain");
}

static bool proc_failed(const struct supervisor *supervisor, struct error *err)
{
    char features[512];

    list_features(supervisor, features, sizeof(features));
    return error_wrap(err, "processes cannot be looked at, which the supervisor (%s) needs",
                      features);
}

/* Whoever makes a call is known by a number of our pid namespace, and looked up by it. In a procfs that
 * numbers otherwise that would be another process, also one outside. */
bool supervisor_check_proc(const struct supervisor *supervisor, struct error *err)
{
    const char *reason;

    if (supervisor->proc_fd < 0)
        return true;
    int result = procfs_check_own(supervisor->proc_fd, &reason);
    if (result == 0)
        return true;
    if (result == -ENODEV || result == -EXDEV)
        error_runtime(err, 0, "/proc: %s; mount one for this namespace: mount -t proc proc /proc",
                      reason);
    else
        error_runtime(err, -result, "/proc: %s", reason);
    return proc_failed(supervisor, err);
}

static struct task_index *new_task_index(const struct supervisor *supervisor)
{
    struct rlimit limit;
    size_t most = TASKS_MAX, most_of_all = SIZE_MAX;

    /* Of a feature that keeps something for each process the records stay. */
    if (supervisor->features_keep_tasks)
        return task_index_new(supervisor->proc_fd, SIZE_MAX, SIZE_MAX);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        most = (size_t)limit.rlim_cur / TASKS_SHARE < most ? (size_t)limit.rlim_cur / TASKS_SHARE
                                                           : most;
        most_of_all = (size_t)limit.rlim_cur / ALL_TASKS_SHARE;
    }
    return task_index_new(supervisor->proc_fd, most > TASKS_MIN ? most : TASKS_MIN,
                          most_of_all > TASKS_MIN ? most_of_all : TASKS_MIN);
}

static bool open_tasks(struct supervisor *supervisor, struct error *err)
{
    supervisor->proc_fd = FAULT_OR("proc", -EIO, procfs_open());
    if (supervisor->proc_fd < 0) {
        error_runtime(err, -supervisor->proc_fd, "open /proc");
        return proc_failed(supervisor, err);
    }
    if (supervisor->config.grants != NULL)
        supervisor->config.grants->proc_fd = &supervisor->proc_fd;
    supervisor->tasks = new_task_index(supervisor);
    if (supervisor->tasks == NULL)
        return error_runtime(err, errno, "create the process index");
    supervisor->wake_fd = FAULT_OR("wake", -1, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (supervisor->wake_fd < 0)
        return error_runtime(err, errno, "create the supervisor's event descriptor");
    if (supervisor->config.traced)
        supervisor->fetcher = fetcher_new(supervisor);
    if (supervisor->config.traced && supervisor->fetcher == NULL)
        return error_runtime(err, errno, "prepare fetching descriptors");
    return true;
}

struct supervisor *supervisor_new(const struct supervisor_config *config, struct error *err)
{
    struct supervisor *supervisor = calloc(1, sizeof(*supervisor));

    if (supervisor == NULL) {
        error_runtime(err, ENOMEM, "create the supervisor");
        return NULL;
    }
    supervisor->config = *config;
    supervisor->privileged = sys_is_privileged();
    supervisor->members_privileged = sys_may_be_privileged();
    supervisor->proc_fd = supervisor->listener = supervisor->wake_fd = -1;
    pthread_mutex_init(&supervisor->failure_lock, NULL);
    pthread_mutex_init(&supervisor->borrowed_lock, NULL);
    watch_init(&supervisor->watch);

    supervisor->home = config->home != NULL ? strdup(config->home) : NULL;
    supervisor->config.home = supervisor->home; /* the caller's does not last */
    bool built = (supervisor->home == NULL) == (config->home == NULL) &&
                 choose_features(supervisor) && build_tables(supervisor);
    if (!built)
        error_runtime(err, ENOMEM, "create the supervisor");
    if (built)
        built = build_explained(supervisor, err);
    /* Without a listener there is nothing to look up. */
    if (built && (supervisor->feature_count > 0 || supervisor->explained != NULL))
        built = open_tasks(supervisor, err);
    if (!built) {
        supervisor_free(supervisor);
        return NULL;
    }
    return supervisor;
}

const struct filter_trap *supervisor_traps(const struct supervisor *supervisor, size_t *count)
{
    *count = supervisor->trap_count;
    return supervisor->traps;
}

bool supervisor_start_features(struct supervisor *supervisor, struct error *err)
{
    for (size_t i = 0; i < supervisor->feature_count; i++) {
        struct active_feature *active = &supervisor->features[i];
        if (fault_is("feature"))
            return error_runtime(err, EIO, "start %s", active->feature->name);
        if (active->feature->start != NULL &&
            !active->feature->start(supervisor, &active->state, err))
            return error_wrap(err, "start %s", active->feature->name);
        active->started = true;
    }
    return true;
}

/* ---- Failure ----------------------------------------------------------------------------------- */

void supervisor_report_failure(struct supervisor *supervisor)
{
    if (supervisor->failure_reported)
        return;
    supervisor->failure_reported = true;
    if (supervisor->on_failure != NULL)
        supervisor->on_failure(supervisor->on_failure_data);
    else if (supervisor->loop != NULL)
        loop_stop(supervisor->loop);
}

void supervisor_fail(struct supervisor *supervisor, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&supervisor->failure_lock);
    if (!atomic_load(&supervisor->failed)) {
        va_start(args, format);
        vsnprintf(supervisor->failure_text, sizeof(supervisor->failure_text), format, args);
        va_end(args);
        atomic_store(&supervisor->failed, true);
    }
    pthread_mutex_unlock(&supervisor->failure_lock);

    if (supervisor->loop == NULL || pthread_equal(pthread_self(), supervisor->loop_thread)) {
        supervisor_report_failure(supervisor);
        return;
    }
    uint64_t one = 1;
    if (!fd_are_ours())
        return; /* the loop finds out by itself */
    if (write(supervisor->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter cannot be full, and there is no other way to tell. The members of a run whose
         * supervisor failed get no more answers. */
    }
}

void supervisor_watch_root(struct supervisor *supervisor)
{
    struct stat root = {0};

    supervisor->root_watched = true;
    if (stat("/", &root) == 0) { /* else no root directory is the right one */
        supervisor->root_device = root.st_dev;
        supervisor->root_inode = root.st_ino;
    }
}

bool supervisor_keeps_root(struct supervisor *supervisor)
{
    struct stat root;

    if (!supervisor->root_watched)
        return true;
    if (stat("/", &root) == 0 && root.st_dev == supervisor->root_device &&
        root.st_ino == supervisor->root_inode)
        return true;
    supervisor_fail(supervisor, "the process has changed its root directory, "
                                "and the supervisor may not have one of its own (unshare)");
    return false;
}

void supervisor_on_wake(void *data, short revents)
{
    struct supervisor *supervisor = data;
    uint64_t count;

    if (read(supervisor->wake_fd, &count, sizeof(count)) == sizeof(count))
        supervisor_report_failure(supervisor);
}

const char *supervisor_role_here(const struct supervisor *supervisor)
{
    bool is_loop =
        supervisor->loop != NULL && pthread_equal(pthread_self(), supervisor->loop_thread);

    return wall_role_name(is_loop ? ROLE_SUPERVISOR : ROLE_WORKER);
}

bool supervisor_check_violation(struct supervisor *supervisor, long result, const char *call)
{
    if (result != -ENOTRECOVERABLE)
        return false;
    supervisor_fail(supervisor, "the %s called %s (%d) outside its list",
                    supervisor_role_here(supervisor), call, arch_syscall_number(arch_native, call));
    return true;
}

const char *supervisor_failure(const struct supervisor *supervisor)
{
    return atomic_load(&supervisor->failed) ? supervisor->failure_text : NULL;
}

void supervisor_on_stuck(struct supervisor *supervisor, void (*kill)(void *data),
                         void (*lost)(void *data), void *data)
{
    supervisor->on_stuck = kill;
    supervisor->on_lost = lost;
    supervisor->on_stuck_data = data;
}

void supervisor_on_idle_end(struct supervisor *supervisor, void (*callback)(void *data), void *data)
{
    supervisor->on_idle_end = callback;
    supervisor->on_idle_end_data = data;
}

void supervisor_on_failure(struct supervisor *supervisor, void (*callback)(void *data), void *data)
{
    supervisor->on_failure = callback;
    supervisor->on_failure_data = data;
}

/* ---- The listener ------------------------------------------------------------------------------ */

static int enter_filter(struct supervisor *supervisor, struct error *err)
{
    struct wall_options options = {
        .role = ROLE_SUPERVISOR,
        .violation = supervisor->config.violation,
        .features = supervisor->wanted,
        .interactive = supervisor->config.interactive,
        .privileged = supervisor->privileged,
        .traced = supervisor->config.traced,
    };
    struct bpf_program program = {0};

    if (fault_is("no-supervisor-filter"))
        return 0;
    if (!wall_program(&options, &program, err))
        return err->sys_errno > 0 ? -err->sys_errno : -ENOMEM;
    int result = FAULT_OR("supervisor-filter", -EIO, wall_install(&program));
    if (result < 0)
        error_runtime(err, -result, "install the supervisor's filter");
    bpf_program_free(&program);
    return result;
}

int supervisor_enter_filter(struct supervisor *supervisor)
{
    struct error err = {0};

    if (supervisor->filter_entered)
        return 0;
    sys_shorten_slice(TIME_SLICE); /* a refusal costs time only */
    if (supervisor->loop != NULL)
        loop_hurry(supervisor->loop);
    int result = supervisor->config.confined ? enter_filter(supervisor, &err) : 0;
    if (result < 0)
        supervisor_fail(supervisor, "%s", err.text);
    else
        supervisor->filter_entered = true;
    return result;
}

int supervisor_fetch_fd(const struct supervisor *supervisor)
{
    return supervisor == NULL ? -1 : fetcher_report_fd(supervisor->fetcher);
}

void supervisor_share_mailbox(struct supervisor *supervisor, struct fetch_mailbox *mailbox)
{
    supervisor->mailbox = mailbox;
}

bool supervisor_attach(struct supervisor *supervisor, struct loop *loop, int listener,
                       pid_t guardian, pid_t child, int guardian_pidfd, struct error *err)
{
    supervisor->listener = listener;
    supervisor->loop = loop;
    supervisor->loop_thread = pthread_self();
    supervisor->guard = loop_guard(loop);
    supervisor->guardian = guardian;
    supervisor->child = child;
    stats_start(&supervisor->stats);
    notify_set_sync_wake_up(listener); /* a refusal costs speed only */

    if (supervisor->tasks == NULL)
        return error_runtime(err, 0, "internal error: a listener without a feature");
    if (!loop_add_hot(loop, listener, POLLIN, dispatch_on_listener, supervisor) ||
        !loop_add_quiet(loop, task_index_fd(supervisor->tasks), POLLIN, dispatch_on_exits,
                        supervisor) ||
        !fetcher_attach(supervisor->fetcher, supervisor->mailbox, guardian_pidfd))
        return error_runtime(err, ENOMEM, "watch the listener");
    supervisor->listener_watched = true;
    return true;
}

/* ---- The end ----------------------------------------------------------------------------------- */

void supervisor_on_gone(struct supervisor *supervisor, void (*gone)(void *data), void *data)
{
    supervisor->gone = gone;
    supervisor->gone_data = data;
}

void supervisor_destroy(struct supervisor *supervisor)
{
    void (*gone)(void *data) = supervisor->gone;
    void *gone_data = supervisor->gone_data;

    workers_free(supervisor->workers);
    fetcher_free(supervisor->fetcher);
    for (size_t i = supervisor->feature_count; i > 0; i--) {
        struct active_feature *active = &supervisor->features[i - 1];
        if (active->started && active->feature->stop != NULL)
            active->feature->stop(active->state);
    }
    task_index_free(supervisor->tasks);
    filter_plan_free(supervisor->explained);
    fd_close(supervisor->listener);
    fd_close(supervisor->wake_fd);
    fd_close(supervisor->proc_fd);
    free(supervisor->home);
    free(supervisor->features);
    free(supervisor->wanted);
    free(supervisor->traps);
    free(supervisor->links);
    free(supervisor->first_link);
    pthread_mutex_destroy(&supervisor->failure_lock);
    pthread_mutex_destroy(&supervisor->borrowed_lock);
    watch_destroy(&supervisor->watch);
    free(supervisor);
    if (gone != NULL)
        gone(gone_data);
}

/* A worker that stays behind must not touch what belongs to the caller. Whoever is inside the log
 * holds the lock, so the caller may free the log afterwards. */
void supervisor_give_back_borrowed(struct supervisor *supervisor)
{
    pthread_mutex_lock(&supervisor->borrowed_lock);
    supervisor->config.denials = NULL;
    pthread_mutex_unlock(&supervisor->borrowed_lock);
}

static void leave_loop(struct supervisor *supervisor)
{
    if (supervisor->loop == NULL)
        return;
    loop_remove(supervisor->loop, supervisor->listener);
    loop_remove(supervisor->loop, supervisor->wake_fd);
    fetcher_leave_loop(supervisor->fetcher);
    if (supervisor->tasks != NULL)
        loop_remove(supervisor->loop, task_index_fd(supervisor->tasks));
    for (size_t i = 0; i < supervisor->feature_count; i++) {
        struct active_feature *active = &supervisor->features[i];
        if (active->started && active->feature->leave_loop != NULL)
            active->feature->leave_loop(active->state);
    }
}

void supervisor_free(struct supervisor *supervisor)
{
    if (supervisor == NULL)
        return;
    watch_stop(&supervisor->watch);
    denial_log_close(supervisor->config.denials);
    leave_loop(supervisor);

    if (supervisor->workers == NULL || workers_shutdown(supervisor->workers, WORKER_PATIENCE))
        supervisor_destroy(supervisor);
}

void supervisor_leave(struct supervisor *supervisor)
{
    if (supervisor->left)
        return;
    supervisor->left = true;
    watch_stop(&supervisor->watch);
    leave_loop(supervisor);
    if (supervisor->workers != NULL)
        workers_shutdown(supervisor->workers, WORKER_PATIENCE);
    task_index_leave(supervisor->tasks);
}

/* ---- For features ------------------------------------------------------------------------------ */

struct stats *supervisor_stats(struct supervisor *supervisor)
{
    return &supervisor->stats;
}

const struct policy *supervisor_policy(const struct supervisor *supervisor)
{
    return supervisor->config.policy;
}

const struct grants *supervisor_grants(const struct supervisor *supervisor)
{
    return supervisor->config.grants;
}

struct denial_log *supervisor_denials(const struct supervisor *supervisor)
{
    return supervisor->config.denials;
}

const char *supervisor_home(const struct supervisor *supervisor)
{
    return supervisor->home;
}

int supervisor_proc_fd(const struct supervisor *supervisor)
{
    return supervisor->proc_fd;
}

int supervisor_listener(const struct supervisor *supervisor)
{
    return supervisor->listener;
}

pid_t supervisor_guardian(const struct supervisor *supervisor)
{
    return supervisor->guardian;
}

pid_t supervisor_child(const struct supervisor *supervisor)
{
    return supervisor->child;
}

bool supervisor_is_confined(const struct supervisor *supervisor)
{
    return supervisor->config.confined;
}

struct network *supervisor_network(const struct supervisor *supervisor)
{
    return supervisor->config.network;
}

bool supervisor_has_terminal(const struct supervisor *supervisor)
{
    return supervisor->config.terminal;
}

int supervisor_terminal_fd(const struct supervisor *supervisor)
{
    return supervisor->config.terminal ? supervisor->config.terminal_fd : -1;
}

int64_t supervisor_foreign_terminal(const struct supervisor *supervisor, size_t index)
{
    const struct supervisor_config *config = &supervisor->config;

    return index < config->foreign_terminal_count ? config->foreign_terminals[index] : -1;
}

bool supervisor_is_foreign_terminal(const struct supervisor *supervisor, int64_t device)
{
    for (size_t i = 0; i < supervisor->config.foreign_terminal_count; i++) {
        if (supervisor->config.foreign_terminals[i] == device)
            return true;
    }
    return false;
}

struct descriptor_window supervisor_window(const struct supervisor *supervisor)
{
    return supervisor->config.window;
}

bool supervisor_has(const struct supervisor *supervisor, const struct feature *feature)
{
    for (size_t i = 0; i < supervisor->feature_count; i++) {
        if (supervisor->wanted[i] == feature)
            return true;
    }
    return false;
}

bool supervisor_descriptors_are_ours(const struct supervisor *supervisor)
{
    return supervisor->guard.are_ours == NULL || supervisor->guard.are_ours(supervisor->guard.data);
}

struct loop *supervisor_loop(const struct supervisor *supervisor)
{
    return supervisor->loop;
}
