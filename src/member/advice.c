/* What to grant so that the next run may do what this one was refused: see advice.h. */
#include "member/advice.h"

#include "kernel/probe.h"
#include "kernel/procfs.h"
#include "member/kernel_place.h"
#include "member/path_verdict.h"
#include "supervisor/supervisor.h"
#include "util/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TERMINALS "/dev/pts"

/* Major number of the first 256 pseudo terminals; devices(7) of the kernel: 136 to 143. */
#define PTS_MAJOR 136

static const char *below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/' ? path + length + 1 : NULL;
}

/* As TIOCGDEV and /proc/PID/stat number them: major number from bit 8, the low byte of the minor. */
static int64_t device_of_terminal(uint64_t number)
{
    return (int64_t)((PTS_MAJOR + (number >> 8)) << 8 | (number & 0xff));
}

/* The terminal of the run is /dev/tty in every run, and a grant on that covers it by its own name (the
 * launch sees to it). Others are made and numbered as they come. */
static const char *terminal_to_grant(const struct request *request, const char *number)
{
    struct procfs_stat own;
    uint64_t value;

    if (!text_parse_uint(number, strlen(number), 2047, &value))
        return NULL;
    int proc_fd = supervisor_proc_fd(request->supervisor);
    bool of_run =
        procfs_stat(proc_fd, getpid(), &own) == 0 && own.terminal == device_of_terminal(value);
    return of_run ? "/dev/tty" : TERMINALS;
}

/* The proc view judges each entry by whose it is. "self" may have been walked by the supervisor. */
static bool process_to_grant(const struct request *request, const struct proc_place *place,
                             bool write, char out[PATH_MAX])
{
    pid_t pid = place->pid;
    bool own =
        pid == request->tgid || pid == getpid() || (uint32_t)pid == request->notification.pid;

    if (!own && !proc_is_member(request, pid))
        return false;
    if (!proc_place_is_net(place) && proc_place_is_sensitive(place, own, write))
        return false;
    if (write && proc_place_reaches_out(request, place))
        return false;
    if (own)
        snprintf(out, PATH_MAX, "/proc/self%s%.*s", place->rest[0] == '\0' ? "" : "/",
                 PATH_MAX - 16, place->rest);
    else
        snprintf(out, PATH_MAX, "/proc");
    return true;
}

/* False: no grant would help. */
static bool place_to_grant(const struct request *request, bool write, const char *path,
                           char out[PATH_MAX])
{
    const struct policy *policy = supervisor_policy(request->supervisor);
    bool view = (policy->without & FEATURE_PROC_VIEW) == 0;
    const char *terminal = below(path, TERMINALS);
    struct proc_place place;

    if (terminal != NULL)
        terminal = terminal_to_grant(request, terminal);
    bool of_process = proc_place_parse(path, &place);
    if (of_process && view)
        return process_to_grant(request, &place, write, out);
    if (view && (proc_hides(path) != NULL || sys_hides(path) != NULL))
        return false;
    if (of_process) /* for the kernel "self" in a grant is who grants */
        path = "/proc";
    snprintf(out, PATH_MAX, "%s", terminal != NULL ? terminal : path);
    return true;
}

/* By its name it is granted; the grant is of the file that had the name when the run began. */
static bool was_replaced(const struct request *request, const char *path, bool write)
{
    const struct grants *grants = supervisor_grants(request->supervisor);
    const struct grant *grant = grants == NULL ? NULL : grants_find(grants, path, write);

    return grant != NULL && !grant->directory;
}

bool advice_grant(struct buffer *out, const struct request *request, bool write, const char *path,
                  bool itself, const char **rule)
{
    char place[PATH_MAX];

    /* Without that call a grant that is there already is not seen to cover the path. */
    if (path[0] == '\0' || !probe_has_call(PROBE_OPENAT2) ||
        !place_to_grant(request, write, path, place))
        return false;
    if (itself && was_replaced(request, path, write)) {
        *rule = "no rule: the granted file was replaced since the run began: grant its directory, "
                "or start again";
        return false;
    }
    const char *caution =
        path_advice(out, write, place, itself, supervisor_home(request->supervisor));
    if (caution != NULL)
        *rule = caution;
    return caution == NULL && !buffer_failed(out);
}
