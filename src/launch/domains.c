/* Rulesets from grants: see domains.h. */
#include "launch/domains.h"

#include "launch/domain_ports.h"
#include "launch/domain_shadow.h"
#include "launch/gpu.h"
#include "member/object.h"
#include "net/own_entry.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct build {
    const struct domains_options *options;
    struct domains *domains;
    struct posture *posture;
    struct error *err;
    struct domain_ports ports;
    const struct shadow
        *kernel; /* where procfs and sysfs are, if grants may show them and no view hides it */
};

static bool rule_failed(struct error *err, const char *path, int result)
{
    return error_runtime(err, -result, "landlock rule for %s", path);
}

/* One rule in the members' ruleset and, since S must cover C, the same in the supervisor's. 0 or -errno. */
static int add_object(struct build *build, int fd, uint64_t rights)
{
    int result = FAULT_OR("rule", -EIO, landlock_add_path(build->domains->members, fd, rights));

    if (result == 0 && build->domains->supervisor >= 0)
        result = landlock_add_path(build->domains->supervisor, fd, rights);
    return result;
}

static bool add_own_rule(struct domains *domains, struct bare_own_rule rule)
{
    size_t size = (domains->own_rule_count + 1) * sizeof(*domains->own_rules);
    struct bare_own_rule *rules = rule.path == NULL ? NULL : realloc(domains->own_rules, size);

    if (rules == NULL) {
        free((char *)rule.path);
        return false;
    }
    rules[domains->own_rule_count++] = rule;
    domains->own_rules = rules;
    return true;
}

/* What the grant names is the caller's own: the child makes the rule, for its own. S covers what the child's
 * entry lies in, since nothing tells it from others before there is a child. */
static int leave_to_child(struct build *build, const struct granted *granted, uint64_t rights,
                          const struct own_entry *entry)
{
    struct domains *domains = build->domains;
    struct bare_own_rule rule = {own_entry_path(entry), rights, granted->optional};

    if (!add_own_rule(domains, rule))
        return -ENOMEM;
    domains->own_entry_written = domains->own_entry_written || granted->write;
    domains->own_entry_with_net = domains->own_entry_with_net || own_entry_shows_net(entry);
    if (domains->supervisor < 0)
        return 0;
    CLEANUP_FD int proc = open(entry->proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return proc < 0 ? -errno : landlock_add_path(domains->supervisor, proc, rights);
}

/* The rules of a grant, and for the supervisor's verdicts whether it names an object of the host's. What a view
 * hides is left to the supervisor. `own`: it lies in the caller's own entry. */
static int add_rules(struct build *build, const struct granted *granted,
                     const struct own_entry *own, bool *of_host)
{
    const struct shadow *shadow = build->options->shadow;
    struct domains *domains = build->domains;
    uint64_t handled = domains->masks.fs;
    bool directory = S_ISDIR(granted->object.mode);
    uint64_t rights = granted->write ? landlock_write_rights(handled, directory)
                                     : landlock_read_rights(handled, directory);
    enum shadow_kind kind = shadow == NULL ? SHADOW_NONE : shadow_kind_of(shadow, granted);

    *of_host = kind != SHADOW_NONE || own == NULL;
    if (!*of_host)
        return leave_to_child(build, granted, rights, own);
    if (kind == SHADOW_NONE)
        return add_object(build, granted->fd, rights);
    /* The supervisor opens it for each process, where no rule can name it. */
    domains->own_entry_written = domains->own_entry_written || (own != NULL && granted->write);
    int result =
        FAULT_OR("rule", -EIO, domain_shadow_add(shadow, domains->members, handled, granted, kind));
    if (result == 0 && domains->supervisor >= 0)
        result = landlock_add_path(domains->supervisor, granted->fd, rights);
    return result;
}

/* Pipes, sockets and memory files lie in no tree of files: the kernel takes no rule for them, and asks none
 * of a process that opens one anew by a descriptor that it has. */
static bool lies_in_no_tree(const struct build *build, const struct granted *granted)
{
    const char *option = granted->write ? "--fs-write" : "--fs-read";

    if (granted->optional)
        return true;
    return error_config(
        build->err,
        "grant %s %s: it leads to a pipe, a socket or memory, which needs no grant; "
        "where it may be one use %s-try",
        option, granted->path, option);
}

/* Keeps the object for verdicts; without a supervisor nobody asks. */
static bool pin(struct build *build, const char *path, int *fd, bool write, bool directory)
{
    if (!build->options->verdicts)
        return true;
    int result = grants_pin(&build->domains->grants, *fd, write, directory);
    if (result < 0)
        return error_runtime(build->err, -result, "grant %s", path);
    *fd = -1;
    return true;
}

/* `own`: as for add_rules(). */
static bool add_grant(struct build *build, struct granted *granted, const struct own_entry *own)
{
    bool of_host;

    if (build->kernel != NULL && own == NULL && shadow_shows_kernel(build->kernel, granted))
        build->domains->shows_kernel = true;
    int result = add_rules(build, granted, own, &of_host);
    if (result == -EBADFD)
        return lies_in_no_tree(build, granted);
    if (granted->write && granted->optional && !strv_add(&build->domains->optional, granted->path))
        return error_runtime(build->err, ENOMEM, "grants");
    return (result == 0 || rule_failed(build->err, granted->path, result)) &&
           (!of_host ||
            pin(build, granted->path, &granted->fd, granted->write, S_ISDIR(granted->object.mode)));
}

/* By itself: the names that it needs room for cost every start pages of the stack. */
static __attribute__((noinline)) bool add_of_procfs(struct build *build, struct granted *granted)
{
    struct own_entry entry;
    int own = own_entry_find(granted->fd, &entry);

    if (own < 0)
        return error_runtime(build->err, -own, "grant %s: cannot tell whose entry of procfs it is",
                             granted->path);
    return add_grant(build, granted, own == 0 ? NULL : &entry);
}

static bool add_one(void *data, struct granted *granted)
{
    struct build *build = data;

    build->domains->truncates_early |= granted->truncates_early;
    /* Who confines itself means its own entry. */
    if (build->options->confine_only || object_device_is_block(granted->object.device) ||
        !object_is_in_procfs(granted->fd))
        return add_grant(build, granted, NULL);
    return add_of_procfs(build, granted);
}

static bool add_granted(struct build *build)
{
    struct granted_list *granted = build->options->granted;

    if (granted == NULL)
        return granted_each(build->options->policy, add_one, build, build->err);
    for (size_t i = 0; i < granted->count; i++) {
        if (!add_one(build, &granted->items[i]))
            return false;
    }
    return true;
}

static bool add_gpu_node(void *data, const char *path, bool write, bool requested)
{
    struct build *build = data;
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0) {
        if (requested)
            posture_exception(build->posture, "requested GPU node %s does not exist", path);
        return true;
    }
    uint64_t handled = build->domains->masks.fs;
    bool directory = S_ISDIR(status.st_mode);
    uint64_t rights = write ? landlock_write_rights(handled, directory)
                            : landlock_read_rights(handled, directory);
    int result = add_object(build, fd, rights);
    return (result == 0 || rule_failed(build->err, path, result)) &&
           pin(build, path, &fd, write, directory);
}

/* What the supervisor needs beyond the members (docs/security-model.md, "The second wall"). */
static bool add_supervisor_needs(struct build *build)
{
    struct domains *domains = build->domains;
    const struct claim *claim = build->options->claim;
    uint64_t handled = domains->masks.fs;
    uint64_t proc = LL_FS_READ_FILE | LL_FS_READ_DIR;
    int result = 0;

    if (domains->supervisor < 0)
        return true;
    domains->writes_proc = build->options->proc_writes || domains->own_entry_written;
    if (domains->writes_proc)
        proc |= LL_FS_WRITE_FILE;
    if (domains->own_entry_written)
        proc |= LL_FS_TRUNCATE;
    result =
        FAULT_OR("supervisor-rule", -EIO,
                 landlock_add_path(domains->supervisor, build->options->proc_fd, proc & handled));
    if (result == 0 && claim != NULL && claim->active) {
        uint64_t own = LL_FS_REMOVE_FILE | LL_FS_MAKE_REG | LL_FS_WRITE_FILE;
        result = landlock_add_path(domains->supervisor, claim->directory_fd, own & handled);
        if (result == 0)
            result =
                landlock_add_path(domains->supervisor, claim->root_fd, LL_FS_REMOVE_DIR & handled);
    }
    return result == 0 || rule_failed(build->err, "the supervisor's own needs", result);
}

static bool create_rulesets(struct build *build)
{
    struct domains *domains = build->domains;
    struct landlock_masks members = domains->masks;
    struct landlock_masks supervisor = domains->masks;
    /* A layer that does not handle REFER denies it: a rename between two directories of one grant
     * would fail in the members' domain below this one. */
    struct landlock_masks guardian = {.fs = domains->masks.fs & LL_FS_REFER,
                                      .scoped = domains->masks.scoped};

    members.net = build->ports.members.handled;
    supervisor.net = build->ports.supervisor.handled;
    domains->members = FAULT_OR("ruleset-members", -EIO, landlock_create(&members));
    if (domains->members < 0)
        return error_runtime(build->err, -domains->members, "landlock ruleset");
    if (build->options->confined) {
        if (build->options->job_control)
            supervisor.scoped &= ~LL_SCOPE_SIGNAL;
        domains->supervisor = FAULT_OR("ruleset-supervisor", -EIO, landlock_create(&supervisor));
        if (domains->supervisor < 0)
            return error_runtime(build->err, -domains->supervisor, "supervisor landlock ruleset");
    }
    if (guardian.scoped != 0 && !build->options->confine_only) {
        domains->guardian = FAULT_OR("ruleset-guardian", -EIO, landlock_create(&guardian));
        if (domains->guardian < 0)
            return error_runtime(build->err, -domains->guardian, "guardian landlock ruleset");
        CLEANUP_FD int root = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int result = root < 0 ? -errno : landlock_add_path(domains->guardian, root, guardian.fs);
        if (result != 0)
            return error_runtime(build->err, -result, "guardian landlock ruleset");
    }
    return true;
}

static bool add_everything(struct build *build)
{
    const struct policy *policy = build->options->policy;
    struct domains *domains = build->domains;

    return create_rulesets(build) && add_granted(build) &&
           (build->options->confine_only || gpu_each_node(policy, add_gpu_node, build)) &&
           domain_ports_add(&build->ports, policy, domains->members, domains->supervisor,
                            build->err) &&
           add_supervisor_needs(build);
}

/* By itself, as add_of_procfs(). */
static __attribute__((noinline)) bool add_with_kernel(struct build *build)
{
    struct shadow kernel;

    shadow_find_kernel(&kernel);
    build->kernel = &kernel;
    bool built = add_everything(build);
    build->kernel = NULL;
    return built;
}

bool domains_build(struct domains *domains, const struct domains_options *options,
                   struct posture *posture, struct error *err)
{
    const struct policy *policy = options->policy;
    const struct landlock_support *support = landlock_support_get();
    struct build build = {
        .options = options,
        .domains = domains,
        .posture = posture,
        .err = err,
    };

    *domains = DOMAINS_INIT;
    if (support->abi == 0)
        return error_runtime(err, support->unavailable_errno, "Landlock is unavailable");
    landlock_resolve(support, policy->protections, &domains->masks);
    if (!landlock_check_strict(support, &domains->masks, err))
        return false;
    if ((policy->without & FEATURE_UNIX_GATE) != 0)
        domains->masks.fs &= ~LL_FS_RESOLVE_UNIX;
    if (options->confine_only)
        domains->masks.net = 0;
    build.ports = domain_ports_plan(policy, domains->masks.net);
    bool looks =
        !options->confine_only &&
        (options->shadow == NULL || (options->shadow->shows_kernel && !options->shadow->kernel));

    bool built = looks ? add_with_kernel(&build) : add_everything(&build);
    if (!built)
        domains_free(domains);
    return built;
}

void domains_close_rulesets(struct domains *domains)
{
    fd_close(domains->members);
    fd_close(domains->supervisor);
    fd_close(domains->guardian);
    domains->members = domains->supervisor = domains->guardian = -1;
}

void domains_free(struct domains *domains)
{
    domains_close_rulesets(domains);
    grants_free(&domains->grants);
    for (size_t i = 0; i < domains->own_rule_count; i++)
        free((char *)domains->own_rules[i].path);
    free(domains->own_rules);
    domains->own_rules = NULL;
    domains->own_rule_count = 0;
    strv_free(&domains->optional);
}
