/*
 * cpu-affinity: with cpu_cores the processors chosen at launch stay the most a member can have.
 * sched_setaffinity is performed on behalf with what was asked for and is allowed; the mask is in
 * memory, so the call never continues.
 */
#include "gates/affinity.h"

#include "gates/gates.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <stdlib.h>

void affinity_mask_set(struct affinity_mask *mask, uint32_t cpu)
{
    if (cpu < AFFINITY_CPUS_MAX)
        mask->words[cpu / 64] |= 1ULL << (cpu % 64);
}

bool affinity_mask_intersect(struct affinity_mask *mask, const struct affinity_mask *allowed)
{
    uint64_t any = 0;

    for (size_t i = 0; i < sizeof(mask->words) / sizeof(mask->words[0]); i++) {
        mask->words[i] &= allowed->words[i];
        any |= mask->words[i];
    }
    return any != 0;
}

static bool affinity_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return policy->cpu_core_count > 0;
}

static bool affinity_start(struct supervisor *supervisor, void **state, struct error *err)
{
    const struct policy *policy = supervisor_policy(supervisor);
    struct affinity_mask *allowed = calloc(1, sizeof(*allowed));

    if (allowed == NULL)
        return error_runtime(err, ENOMEM, "processor mask");
    for (size_t i = 0; i < policy->cpu_core_count; i++)
        affinity_mask_set(allowed, policy->cpu_cores[i]);
    *state = allowed;
    return true;
}

/* The calling thread for 0, else a thread of the caller's process; 0 for everybody else. */
static pid_t target_of(const struct request *request)
{
    pid_t id = (pid_t)(uint32_t)request->notification.data.args[0];

    if (id == 0 || (uint32_t)id == request->notification.pid)
        return (pid_t)request->notification.pid;
    if (id < 0)
        return 0;
    if (id == request->tgid ||
        procfs_tgid(supervisor_proc_fd(request->supervisor), id) == request->tgid)
        return id;
    return 0;
}

static struct verdict on_sched_setaffinity(struct request *request)
{
    const struct affinity_mask *allowed = request->state;
    struct affinity_mask mask = {{0}};
    uint32_t size = (uint32_t)request->notification.data.args[1];
    pid_t target = target_of(request);

    if (target == 0) {
        request_record_numbered_denial(request, "process",
                                       (int)(uint32_t)request->notification.data.args[0], "control",
                                       EPERM, "cpu-affinity", "only the caller's own process");
        return verdict_errno(EPERM);
    }
    if (size > sizeof(mask))
        size = sizeof(mask); /* as the kernel does with more than it has */
    /* The kernel reads no more than it has processors, so a buffer may end there. */
    ssize_t got = size == 0 ? 0
                            : task_memory_read((pid_t)request->notification.pid,
                                               request->notification.data.args[2], &mask, size);
    if (got < 0)
        return verdict_errno((int)-got);
    if (!affinity_mask_intersect(&mask, allowed))
        return verdict_errno(EINVAL);
    if (!request_is_valid(request))
        return verdict_errno(EPERM);
    long result = sys_call3(SYS_sched_setaffinity, target, sizeof(mask), (long)&mask);
    return result < 0 ? verdict_errno((int)-result) : verdict_value(0);
}

static const struct trap traps[] = {
    {.syscall = "sched_setaffinity", .handle = on_sched_setaffinity},
};

static const char *const needs[] = {"sched_setaffinity", NULL};

const struct feature feature_cpu_affinity = {
    .name = "cpu-affinity",
    .wanted = affinity_wanted,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .start = affinity_start,
    .stop = free,
};
