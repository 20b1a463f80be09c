/*
 * An open of a member, decoded once: what was asked, and the object it means, pinned in the member's
 * view. The four spellings differ only here.
 */
#ifndef SANDLOCK_NET_OPEN_CALL_H
#define SANDLOCK_NET_OPEN_CALL_H

#include "member/object.h"
#include "supervisor/feature.h"

#include <stdbool.h>
#include <stdint.h>

enum open_spelling { OPEN_PLAIN, OPEN_CREAT, OPEN_AT, OPEN_AT2, OPEN_SPELLINGS };

struct open_call {
    uint64_t flags;   /* O_*, as openat2() takes them */
    uint64_t resolve; /* RESOLVE_*; 0 for the older spellings */
    char path[PATH_MAX];
    struct object object; /* where the walk starts; released by open_call_release() */
};

/* Reads the call's memory. The object is not walked to yet. 0, or -errno: then nothing is held. What was
 * read by number was the caller's only if the notification is valid afterwards. */
int open_call_decode(struct open_call *call, enum open_spelling spelling,
                     const struct member_view *view, const struct seccomp_data *data);

/* An O_PATH descriptor of the object, owned by the caller, or -errno as the walk gave it; -EAGAIN if it
 * would wait and `cached_only` is asked for. Can be repeated. */
int open_call_pin(const struct open_call *call, bool cached_only);

void open_call_release(struct open_call *call);

bool open_call_writes(const struct open_call *call); /* may change the content, now or later */
bool open_call_has(const struct open_call *call, uint64_t flag); /* all bits of `flag` */

#endif
