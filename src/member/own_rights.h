/*
 * Whether the supervisor's threads may do what the member may not, asked when it is done and not when the
 * sandbox begins: a host of the library may become another user at any time, root again for instance
 * (seteuid), and libc makes every thread of the process follow. The members stay what they are.
 */
#ifndef SANDLOCK_MEMBER_OWN_RIGHTS_H
#define SANDLOCK_MEMBER_OWN_RIGHTS_H

#include "member/identity.h"
#include "supervisor/supervisor.h"

#include <stdbool.h>
#include <sys/types.h>

/* What a thread was when the members were made. */
struct own_rights {
    bool privileged; /* it had capabilities */
    uid_t uid;
    gid_t gid;
};

struct own_rights own_rights_now(void);

/* In the acting thread, right before each operation: 0, and *known tells whether the operation has to go by
 * *identity. That is read if it is needed and not known yet, or was read by another user than the thread is now;
 * the notification is then validated. The caller releases it. -errno: nothing may be performed, and nothing is
 * held. `mapped` as for identity_read(). Costs an ordinary user who stays what he is two system calls of the
 * cheapest kind. */
int own_rights_look(const struct own_rights *start, const struct request *request, bool mapped,
                    bool *known, struct member_identity *identity);

#endif
