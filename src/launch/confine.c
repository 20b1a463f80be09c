/* confine(): the calling thread under the path grants of a policy, irreversibly. */
#include "launch/internal.h"

#include "kernel/sys.h"
#include "util/fault.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* landlock_restrict_self() flag that confines all threads of the process (Linux 7.0, ABI 8). */
#define RESTRICT_SELF_TSYNC (1U << 3)
#define TSYNC_ABI 8

/* A thread that has been joined leaves its group a moment later: others are looked for so often, a millisecond apart,
 * before they count. */
#define LOOKS_MAX 50

/* Threads as far as /proc tells; 0: it does not. */
static size_t count_threads(void)
{
    DIR *tasks = FAULT_OR("threads-of-proc", NULL, opendir("/proc/self/task"));
    struct dirent *entry;
    size_t count = 0;

    if (tasks == NULL)
        return 0;
    while ((entry = readdir(tasks)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* Whether there are others that the domain would not reach. The kernel says so when asked to take this
 * thread out of its group, which for a single one is nothing to do (unshare(2)). Where it may not be
 * asked /proc is, and where that cannot be read there may be some. */
static bool may_have_other_threads(void)
{
    long result = FAULT_OR("threads-of-kernel", -EPERM, sys_call1(SYS_unshare, CLONE_THREAD));

    return result != 0 && (result == -EINVAL || count_threads() != 1);
}

static bool has_other_threads_for_long(void)
{
    const struct timespec moment = {0, 1000000};

    for (int looks = 0; may_have_other_threads(); looks++) {
        if (looks == LOOKS_MAX)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

bool launch_confine(const struct policy *policy, struct error *err)
{
    struct domains domains = DOMAINS_INIT;
    struct posture posture = POSTURE_INIT;
    struct domains_options options = {.policy = policy, .confine_only = true};
    uint32_t flags = 0;

    if (!policy_check_confine(policy, err))
        return false;
    if (may_have_other_threads() && landlock_support_get()->abi >= TSYNC_ABI)
        flags = RESTRICT_SELF_TSYNC;
    else if (has_other_threads_for_long())
        return error_config(err, "confine: the process has other threads (or that cannot be told), "
                                 "which would stay unconfined; confine before creating threads");
    bool built = domains_build(&domains, &options, &posture, err);
    posture_free(&posture);
    if (!built)
        return false;

    bool ok =
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || error_runtime(err, errno, "no_new_privs");
    if (ok) {
        int result = landlock_enter(domains.members, flags);
        if (result == -E2BIG)
            ok = error_runtime(err, E2BIG, "too many nested Landlock domains");
        else if (result != 0)
            ok = error_runtime(err, -result, "landlock domain");
    }
    domains_free(&domains);
    return ok;
}

bool launch_posture_preview(struct policy *policy, struct posture *posture, struct error *err)
{
    static const char *const argv[] = {"true"};
    struct launch_spec spec = {
        .policy = policy,
        .argv = argv,
        .argc = 1,
        .streams = {{STREAM_NULL, -1}, {STREAM_NULL, -1}, {STREAM_NULL, -1}},
        .end_with_child = true,
        .own_process = true,
        .confine = true,
    };
    struct launch *launch = launch_prepare(&spec, err);

    if (launch == NULL)
        return false;
    launch_posture(launch);
    *posture = launch->posture;
    launch->posture = POSTURE_INIT;
    launch_free(launch);
    return true;
}
