/*
 * Asking for the supervisor's own rights: see own_rights.h. Capabilities come and go with the effective user
 * in a thread that does not change them by itself, so the ids tell.
 */
#include "member/own_rights.h"

#include <errno.h>
#include <unistd.h>

struct own_rights own_rights_now(void)
{
    return (struct own_rights){
        .privileged = identity_is_privileged(), .uid = geteuid(), .gid = getegid()};
}

int own_rights_look(const struct own_rights *start, const struct request *request, bool mapped,
                    bool *known, struct member_identity *identity)
{
    bool changed = geteuid() != start->uid || getegid() != start->gid;

    if (!changed && (*known || !start->privileged))
        return 0;
    if (*known)
        identity_release(identity);
    *known = false;
    int result = identity_read(supervisor_proc_fd(request->supervisor),
                               (pid_t)request->notification.pid, mapped, identity);
    if (result < 0)
        return result;
    if (!request_is_valid(request)) {
        identity_release(identity);
        return -ESRCH;
    }
    *known = true;
    return 0;
}
