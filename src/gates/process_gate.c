/*
 * process-gate: Landlock does not keep a member from changing limits, priority, scheduling or the
 * processors of any process of the same user, the supervisor included, and the session it shares with
 * the host lets it join the host's process groups. Calls on the caller itself pass in the filter; the
 * rest is decided here by register values alone, so what is allowed may continue. Nor does anything
 * keep a member from the front of the terminal: the kernel asks a background process by a signal, which
 * can be ignored.
 *
 * A number looked up here could in theory be used again before the kernel looks it up: a thread of the
 * caller would have to end and all numbers be passed through in that moment.
 */
#include "gates/gates.h"
#include "kernel/process_tree.h"
#include "kernel/procfs.h"
#include "kernel/task_memory.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LAYER "process-gate"

/* Parents asked on the way up to the guardian; deeper trees are walked from the top. */
#define ANCESTORS_MAX 64

/* A walk misses a process that changes its parent in that moment. */
#define GROUP_LOOKS 3

/* The last groups that members put in front of the terminal; more than one because calls that were let
 * through are made in any order. */
#define FRONTS 8

struct gate {
    pid_t fronts[FRONTS];
    unsigned next;
};

static bool gate_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_PROCESS_GATE) == 0;
}

static int id_arg(const struct request *request, int number)
{
    return (int)(uint32_t)request->notification.data.args[number];
}

static struct verdict refuse(const struct request *request, const char *kind, int id)
{
    request_record_numbered_denial(request, kind, id, "control", EPERM, LAYER,
                                   "only the caller's own process");
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
    return refuse(request, "process", id);
}

/* setpriority, ioprio_set: (which, who, …); `detail` is the "which" of single processes. */
static struct verdict on_which_who(struct request *request)
{
    int which = id_arg(request, 0), who = id_arg(request, 1);

    if (which != request->trap->detail)
        return refuse(request, "all processes of group or user", who);
    if (who == 0 || is_own(request, who))
        return verdict_next();
    return refuse(request, "process", who);
}

/* ---- Process groups ------------------------------------------------------------------------------- */

/* A group usually has its leader: then its ancestors tell, and no walk over all members is needed. 1 or 0;
 * -1: it cannot be told this way. */
static int leader_is_member(const struct request *request, pid_t group)
{
    int proc_fd = supervisor_proc_fd(request->supervisor);
    pid_t guardian = supervisor_guardian(request->supervisor);
    struct procfs_stat stat;

    if (procfs_stat(proc_fd, group, &stat) != 0 || stat.group != group)
        return -1;
    pid_t ancestor = stat.parent;
    for (int i = 0; i < ANCESTORS_MAX && ancestor > 1; i++) {
        if (ancestor == guardian)
            return 1;
        ancestor = procfs_parent(proc_fd, ancestor);
    }
    /* A way that was read to its end; one that broke off had an ancestor that died meanwhile. */
    return ancestor == 0 || ancestor == 1 ? 0 : -1;
}

static bool group_has_member(const struct request *request, pid_t group)
{
    struct supervisor *supervisor = request->supervisor;
    int proc_fd = supervisor_proc_fd(supervisor);
    struct process_tree tree = PROCESS_TREE_INIT;
    struct procfs_stat caller;
    bool found = false;

    if (procfs_stat(proc_fd, request->tgid, &caller) == 0 && caller.group == group)
        return true;
    int by_leader = leader_is_member(request, group);
    if (by_leader >= 0)
        return by_leader == 1;
    /* Zombies count: a pipeline's first process may have ended when the others join its group. */
    for (int i = 0; i < GROUP_LOOKS && !found; i++) {
        if (process_tree_refresh(&tree, proc_fd, supervisor_guardian(supervisor)) < 0)
            break;
        found = process_tree_has_group(&tree, group);
    }
    process_tree_free(&tree);
    return found;
}

static struct verdict on_setpgid(struct request *request)
{
    int pid = id_arg(request, 0), group = id_arg(request, 1);
    pid_t target = pid == 0 ? request->tgid : pid;

    if (group <= 0 || group == target) /* below 0: the kernel refuses it */
        return verdict_next();
    if (group_has_member(request, group) && request_is_valid(request))
        return verdict_next();
    return refuse(request, "process group", group);
}

/* ---- The terminal --------------------------------------------------------------------------------- */

/*
 * TIOCSPGRP works on no other terminal than the one that controls the caller's session, which a process
 * can leave and not return to: so the group in front that /proc tells for the caller is that of the
 * terminal in question, whatever the descriptor is now and will be when the call continues. The argument
 * decides nothing either: who is in front may put any group of its session there.
 */

/* A shell's job may have died in front, which leaves no process to ask. */
static bool was_put_in_front(const struct gate *gate, pid_t group)
{
    for (unsigned i = 0; i < FRONTS; i++) {
        if (gate->fronts[i] == group)
            return getpgid(group) < 0 && errno == ESRCH;
    }
    return false;
}

/* The argument may be another when the call is made: then that group, dead, is nobody's and keeps the
 * members off. Only groups of members are noted. */
static void note_front(const struct request *request, struct gate *gate)
{
    pid_t group;
    int result = task_memory_read_all((pid_t)request->notification.pid,
                                      request->notification.data.args[2], &group, sizeof(group));

    if (result == 0 && group > 0 && request_is_valid(request) && group_has_member(request, group))
        gate->fronts[gate->next++ % FRONTS] = group;
}

static struct verdict on_foreground(struct request *request)
{
    struct gate *gate = request->state;
    pid_t session = getsid(supervisor_guardian(request->supervisor));
    struct procfs_stat caller;

    int result = procfs_stat(supervisor_proc_fd(request->supervisor), request->tgid, &caller);
    if (result < 0 || session < 0 || !request_is_valid(request))
        return verdict_errno(EPERM);
    if (caller.foreground < 0 || caller.session != session)
        return verdict_next(); /* no terminal, or one that members made */
    if (caller.foreground == 0 || (!group_has_member(request, caller.foreground) &&
                                   !was_put_in_front(gate, caller.foreground))) {
        request_record_numbered_denial(request, "terminal of process group", caller.foreground,
                                       "control", EPERM, LAYER, "only while it is in front");
        return verdict_errno(EPERM);
    }
    note_front(request, gate);
    return verdict_next();
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

/* Asking is harmless: the kernel's ptrace check applies. */
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

#define SET_FOREGROUND 0x5410U /* TIOCSPGRP */

/* As ranges, like the other traps of ioctl: their intersection stays short. */
static const struct filter_rule other_requests[] = {
    {.test_count = 1, .tests = {TEST(1, ARG_IN_RANGE, .value_high = SET_FOREGROUND - 1)}},
    {.test_count = 1,
     .tests = {TEST(1, ARG_IN_RANGE, .value = SET_FOREGROUND + 1, .value_high = UINT32_MAX)}},
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
    {.syscall = "ioctl", PASSES(other_requests), .handle = on_foreground},
};

static bool gate_start(struct supervisor *supervisor, void **state, struct error *err)
{
    (void)supervisor;
    *state = calloc(1, sizeof(struct gate));
    return *state != NULL || error_runtime(err, ENOMEM, LAYER);
}

static void gate_stop(void *state)
{
    free(state);
}

const struct feature feature_process_gate = {
    .name = LAYER,
    .wanted = gate_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .start = gate_start,
    .stop = gate_stop,
};
