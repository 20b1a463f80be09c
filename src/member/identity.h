/*
 * Whose rights an operation on behalf may use. As an ordinary user the supervisor and its members are
 * the same user without capabilities, and nothing is to be done. As root the supervisor has
 * capabilities that a member may have dropped, or lost to a user mapping, or left with another user
 * id: it must not lend them.
 */
#ifndef SANDLOCK_MEMBER_IDENTITY_H
#define SANDLOCK_MEMBER_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct member_identity {
    bool differs_in_ids;         /* another user or group than the supervisor's thread */
    uint32_t uid, gid;           /* what file access is judged by (fsuid, fsgid) */
    uint32_t real_uid, real_gid; /* what a process is to the peer of a unix message */
    uint64_t effective;          /* capabilities */
};

/* True if the calling thread has any effective capability, and if that cannot be told. */
bool identity_is_privileged(void);

/* Of the thread that waits for an answer. `mapped`: its capabilities count in its own user namespace
 * only. 0 or -errno. */
int identity_read(int proc_fd, pid_t tid, bool mapped, struct member_identity *identity);

/* Pure: from the text of /proc/<tid>/status. -EINVAL if a line is missing. */
int identity_parse(const char *status, struct member_identity *identity);

/* The calling thread's capabilities while they are lowered. */
struct lowered_rights {
    bool active;
    uint32_t permitted[2], effective[2], inheritable[2];
};

/* Takes away the effective capabilities that the member lacks. 0 or -errno, and then nothing may be
 * performed. */
int identity_lower(const struct member_identity *identity, struct lowered_rights *lowered);

/* Gives them back. A failure leaves them lowered, which costs later operations, not safety. */
void identity_restore(const struct lowered_rights *lowered);

#endif
