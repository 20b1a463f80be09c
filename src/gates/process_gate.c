/*
 * process-gate: Landlock does not keep a member from changing limits, priority, scheduling or the
 * processors of any process of the same user, the supervisor included, and the session it shares with
 * the host lets it join the host's process groups. Calls on the caller itself pass in the filter; the
 * rest is decided here by register values alone, so what is allowed may continue.
 *
 * A number looked up here could in theory be used again before the kernel looks it up: a thread of the
 * caller would have to end and all numbers be passed through in that moment.
 */
#include "gates/gates.h"
#include "gates/member_group.h"
#include "kernel/procfs.h"
#include "supervisor/supervisor.h"

#include <errno.h>

#define LAYER "process-gate"
#define OWN_ONLY "only the caller's own process"

static bool gate_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_PROCESS_GATE) == 0;
}

static int id_arg(const struct request *request, int number)
{
    return (int)(uint32_t)request->notification.data.args[number];
}

static struct verdict refuse(const struct request *request, const char *kind, int id,
                             const char *rule)
{
    request_record_numbered_denial(request, kind, id, "control", EPERM, LAYER, rule);
    return verdict_errno(EPERM);
}

/* True if `id` is the caller's process or one of its threads. */
static bool is_own(const struct request *request, int id)
{
    if (id <= 0)
        return false;
    if (id == request->tgid || (uint32_t)id == request->notification.pid)
        return true;
    return procfs_tgid(supervisor_proc_fd(request->supervisor), id) == request->tgid &&
           request_is_valid(request);
}

/* `detail`: the register that holds the id. */
static struct verdict on_id(struct request *request)
{
    int id = id_arg(request, request->trap->detail);

    if (id == 0 || is_own(request, id))
        return verdict_next();
    return refuse(request, "process", id, OWN_ONLY);
}

/* setpriority, ioprio_set: (which, who, …); `detail` is the "which" of single processes. */
static struct verdict on_which_who(struct request *request)
{
    int which = id_arg(request, 0), who = id_arg(request, 1);

    if (which != request->trap->detail)
        return refuse(request, "all processes of group or user", who, OWN_ONLY);
    if (who == 0 || is_own(request, who))
        return verdict_next();
    return refuse(request, "process", who, OWN_ONLY);
}

/* ---- Process groups ------------------------------------------------------------------------------- */

static struct verdict on_setpgid(struct request *request)
{
    int pid = id_arg(request, 0), group = id_arg(request, 1);
    pid_t target = pid == 0 ? request->tgid : pid;

    if (group <= 0 || group == target) /* below 0: the kernel refuses it */
        return verdict_next();
    if (member_group_exists(request, group) && request_is_valid(request))
        return verdict_next();
    return refuse(request, "process group", group, "only groups of members");
}

/* ---- Traps ---------------------------------------------------------------------------------------- */

#define TEST(number, operation, ...)                    \
    {                                                   \
        .arg = (number), .op = (operation), __VA_ARGS__ \
    }
#define PASSES(list) .passes = (list), .pass_count = sizeof(list) / sizeof((list)[0])

enum { WHICH_PRIORITY_PROCESS = 0, WHICH_IO_PROCESS = 1 };

static const struct filter_rule on_self[] = {
    {.test_count = 1, .tests = {TEST(0, ARG_EQUAL, .value = 0)}},
};

/* Asking changes nothing; the kernel tells the limits of processes of the same user. */
static const struct filter_rule on_self_or_asking[] = {
    {.test_count = 1, .tests = {TEST(0, ARG_EQUAL, .value = 0)}},
    {.test_count = 1, .tests = {TEST(2, ARG_IS_NULL, .value = 0)}},
};

static const struct filter_rule own_priority[] = {
    {.test_count = 2,
     .tests = {TEST(0, ARG_EQUAL, .value = WHICH_PRIORITY_PROCESS),
               TEST(1, ARG_EQUAL, .value = 0)}},
};

static const struct filter_rule own_io_priority[] = {
    {.test_count = 2,
     .tests = {TEST(0, ARG_EQUAL, .value = WHICH_IO_PROCESS), TEST(1, ARG_EQUAL, .value = 0)}},
};

static const struct filter_rule group_of_its_own[] = {
    {.test_count = 1, .tests = {TEST(1, ARG_EQUAL, .value = 0)}},
    {.test_count = 1, .tests = {TEST(1, ARG_SAME_AS, .value = 0)}},
};

static const struct trap traps[] = {
    {.syscall = "prlimit64", PASSES(on_self_or_asking), .handle = on_id, .detail = 0},
    {.syscall = "sched_setaffinity", PASSES(on_self), .handle = on_id, .detail = 0},
    {.syscall = "sched_setscheduler", PASSES(on_self), .handle = on_id, .detail = 0},
    {.syscall = "sched_setparam", PASSES(on_self), .handle = on_id, .detail = 0},
    {.syscall = "sched_setattr", PASSES(on_self), .handle = on_id, .detail = 0},
    {.syscall = "setpriority",
     PASSES(own_priority),
     .handle = on_which_who,
     .detail = WHICH_PRIORITY_PROCESS},
    {.syscall = "ioprio_set",
     PASSES(own_io_priority),
     .handle = on_which_who,
     .detail = WHICH_IO_PROCESS},
    {.syscall = "setpgid", PASSES(group_of_its_own), .handle = on_setpgid},
};

const struct feature feature_process_gate = {
    .name = LAYER,
    .wanted = gate_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
};
