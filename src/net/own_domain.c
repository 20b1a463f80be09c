/*
 * own-domain: which members have confined themselves with Landlock. The kernel does not tell a process's
 * domain, and who descends from whom cannot be told from outside either (CLONE_PARENT, subreapers,
 * orphans). So landlock_restrict_self(2) is trapped, and before it goes on its process gets a mark that
 * is inherited the same way as the domain and never comes off: a hard limit for file locks (RLIMIT_LOCKS),
 * by one lower than that of the others. The kernel has not looked at this limit since Linux 2.4
 * (getrlimit(2)); a lower one can be raised with CAP_SYS_RESOURCE only, and that is refused here.
 *
 * A fork copies credentials first and limits afterwards, so no child is in the domain without the mark. The
 * reverse happens, and is the safe side: threads beside the one that confined itself, and calls that failed
 * afterwards, count as confined.
 */
#include "net/own_domain.h"

#include "kernel/procfs.h"
#include "net/net.h"
#include "net/network.h"
#include "net/refusal.h"
#include "supervisor/supervisor.h"
#include "util/fault.h"
#include "util/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define LAYER "own-domain"

#define CONFINED_ITSELF "the process has confined itself, and the supervisor does not act for it"

/* RLIMIT_LOCKS, the same on every architecture here. */
#define MARK 10

#define LIMITS_SIZE 4096 /* of a file of sixteen lines */

static struct own_domains *domains_of(const struct request *request)
{
    return &network_of(request->supervisor)->own_domains;
}

/* ---- Questions ------------------------------------------------------------------------------------- */

/* "Max file locks   SOFT   HARD   locks". False: no such line. */
static bool parse_mark(const char *limits, uint64_t *hard)
{
    static const char name[] = "\nMax file locks ";
    char text[24];

    const char *line = strstr(limits, name);
    if (line == NULL || sscanf(line + sizeof(name) - 1, " %*23s %23s", text) != 1)
        return false;
    *hard = RLIM_INFINITY;
    return strcmp(text, "unlimited") == 0 || text_parse_uint(text, strlen(text), UINT64_MAX, hard);
}

/* The hard limit of the calling process. By its file, since prlimit(2) does not answer about other users;
 * of the thread, which is there while it waits. */
static bool read_mark(const struct request *request, uint64_t *hard)
{
    char limits[LIMITS_SIZE];
    ssize_t length =
        procfs_read(supervisor_proc_fd(request->supervisor), (pid_t)request->notification.pid,
                    "limits", limits, sizeof(limits));

    return length > 0 && parse_mark(limits, hard) && request_is_valid(request);
}

bool own_domain_restricts(const struct request *request)
{
    struct own_domains *domains = domains_of(request);
    uint64_t hard;

    if (!atomic_load(&domains->any))
        return false;
    return !FAULT_OR("own-domain-mark", false, read_mark(request, &hard)) || hard < domains->whole;
}

static int refuse(const struct request *request, const char *object, const char *want, int error)
{
    request_record_denial(request, object, want, error, LAYER, CONFINED_ITSELF, NULL);
    return -error;
}

int own_domain_judge_tcp(const struct request *request, const struct socket_address *address,
                         const char *want)
{
    char object[ENDPOINT_TEXT_MAX];

    if (!own_domain_restricts(request))
        return 0;
    name_local_address(object, NET_TCP, address);
    return refuse(request, object, want, EACCES);
}

int own_domain_judge_abstract(const struct request *request, const struct socket_address *address,
                              const char *want)
{
    if (!own_domain_restricts(request))
        return 0;
    refuse_abstract(request, address, want, EPERM, LAYER, CONFINED_ITSELF);
    return -EPERM;
}

int own_domain_judge_path(const struct request *request, const char *path, const char *want)
{
    return own_domain_restricts(request) ? refuse(request, path, want, EACCES) : 0;
}

/* ---- Marking --------------------------------------------------------------------------------------- */

static struct verdict refuse_to_mark(const struct request *request, int error)
{
    request_record_denial(request, NULL, "call", EPERM, LAYER,
                          "the process cannot be marked as one that has confined itself", NULL);
    return verdict_errno(error == ENOTRECOVERABLE ? error : EPERM);
}

/* Without the mark it must not go on. */
static struct verdict on_restrict_self(struct request *request)
{
    struct own_domains *domains = domains_of(request);
    uint64_t hard;

    if (!read_mark(request, &hard) || domains->whole == 0)
        return refuse_to_mark(request, EPERM);
    if (hard >= domains->whole) {
        struct rlimit mark = {.rlim_cur = domains->whole - 1, .rlim_max = domains->whole - 1};
        if (prlimit((pid_t)request->notification.pid, MARK, &mark, NULL) != 0)
            return refuse_to_mark(request, errno);
    }
    atomic_store(&domains->any, true);
    /* Its arguments are a descriptor of its own and flags: the kernel judges them. */
    return verdict_continue();
}

/* With CAP_SYS_RESOURCE the mark could be taken off. */
static struct verdict on_limit(struct request *request)
{
    if (!own_domain_restricts(request))
        return verdict_next();
    request_record_denial(request, "RLIMIT_LOCKS", "control", EPERM, LAYER,
                          "the limit tells that the process has confined itself", NULL);
    return verdict_errno(EPERM);
}

/* ---- The feature ----------------------------------------------------------------------------------- */

static bool domains_wanted(const struct policy *policy, const struct network *network)
{
    struct network_shape shape = network_shape_of(policy);

    return shape.connect_on_behalf || shape.bind_on_behalf || network->shadow.hosts ||
           network->shadow.kernel;
}

static bool domains_start(struct supervisor *supervisor, void **state, struct error *err)
{
    struct rlimit limit;

    *state = NULL;
    if (getrlimit(MARK, &limit) != 0)
        return error_runtime(err, errno, "limit of file locks");
    network_of(supervisor)->own_domains.whole = limit.rlim_max;
    return true;
}

#define OTHER_LIMIT(argument)                                                                   \
    {                                                                                           \
        .test_count = 1, .tests = { {.arg = (argument), .op = ARG_NOT_EQUAL, .value = (MARK)} } \
    }

static const struct filter_rule other_limit[] = {OTHER_LIMIT(0)};
static const struct filter_rule other_limit_or_asking[] = {
    OTHER_LIMIT(1),
    {.test_count = 1, .tests = {{.arg = 2, .op = ARG_IS_NULL}}},
};

static const struct trap traps[] = {
    {.syscall = "landlock_restrict_self", .handle = on_restrict_self},
    {.syscall = "setrlimit", .passes = other_limit, .pass_count = 1, .handle = on_limit},
    {.syscall = "prlimit64", .passes = other_limit_or_asking, .pass_count = 2, .handle = on_limit},
};

static const char *const needs[] = {"prlimit64:mark", NULL};

const struct feature feature_own_domain = {
    .name = LAYER,
    .wanted = domains_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = domains_start,
};
