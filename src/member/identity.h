/*
 * Whose rights an operation on behalf may use. As an ordinary user the supervisor and its members are
 * the same user without capabilities, and nothing is to be done. As root the supervisor has
 * capabilities that a member may have dropped, or lost to a user mapping, or left with another user
 * id: it must not lend them.
 *
 * The kernel is to judge, while it holds the object: so the calling thread alone takes the member's
 * file system ids, groups and capabilities around the kernel's call and goes back afterwards.
 */
#ifndef SANDLOCK_MEMBER_IDENTITY_H
#define SANDLOCK_MEMBER_IDENTITY_H

#include "member/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct member_identity {
    bool differs_in_ids;         /* another user or group than the supervisor's thread */
    uint32_t uid, gid;           /* what file access is judged by (fsuid, fsgid) */
    uint32_t real_uid, real_gid; /* what a process is to the peer of a unix message */
    uint64_t effective;          /* capabilities */
    bool any_group;   /* it may join every group (CAP_SETGID): which it is in does not matter */
    uint32_t *groups; /* owned, sorted as the kernel shows them; NULL: none, or any_group */
    size_t group_count;
};

/* True if the calling thread has any effective capability, and if that cannot be told. */
bool identity_is_privileged(void);

/* Of the thread that waits for an answer. `mapped`: its capabilities count in its own user namespace
 * only. 0 or -errno, and then nothing is held. */
int identity_read(int proc_fd, pid_t tid, bool mapped, struct member_identity *identity);

/* Pure: from the text of /proc/<tid>/status. -EINVAL if a line is missing. */
int identity_parse(const char *status, bool mapped, struct member_identity *identity);

void identity_release(struct member_identity *identity);

#define CLEANUP_IDENTITY __attribute__((cleanup(identity_release)))

/* What the calling thread has laid down. */
struct lowered_rights {
    bool active;
    bool ids, grouped; /* it has other file system ids now, other groups */
    uint64_t signals;  /* its mask of before */
    uint32_t permitted[2], effective[2], inheritable[2];
    uint32_t uid, gid;
    uint32_t *groups; /* owned */
    size_t group_count;
};

/* True if the calling thread may what the member may not, or the other way round: identity_lower() would change
 * something; and if that cannot be told. */
bool identity_differs(const struct member_identity *identity);

/* Takes the member's file system ids and groups, and away the effective capabilities that it lacks. What
 * is performed next is judged by the kernel as the member's own; nothing that is the supervisor's own is done
 * meanwhile, and no signal is handled. 0 or -errno: then nothing has changed, and nothing may be performed. */
int identity_lower(const struct member_identity *identity, struct lowered_rights *lowered);

/* Gives them back, on the same thread. A thread that cannot get its ids back ends the process (125): it would
 * act for others with them. Capabilities alone may stay lowered, which costs later operations, not safety. */
void identity_restore(struct lowered_rights *lowered);

/* object_pin() as the member, whose rights decide which directories it may pass. `identity` NULL: as the
 * supervisor. */
int identity_pin(const struct member_identity *identity, const struct object *object,
                 bool cached_only);

#endif
