/*
 * The posture: what is enforced in this run, by what mechanism, and what is not. Built from results
 * of the launch, not from intentions; frozen before the command runs.
 */
#ifndef SANDLOCK_SUPERVISOR_POSTURE_H
#define SANDLOCK_SUPERVISOR_POSTURE_H

#include "kernel/landlock.h"
#include "util/buffer.h"
#include "util/error.h"
#include "util/strv.h"

#include <stdbool.h>
#include <stddef.h>

enum posture_state {
    POSTURE_ACTIVE,
    POSTURE_DEGRADED, /* wanted, allowed to be missing, and missing */
    POSTURE_DISABLED, /* switched off by the policy */
    POSTURE_OFF,      /* not wanted by this policy, or impossible here; `why` tells */
    POSTURE_ABSENT,   /* not part of this build */
};

struct posture_entry {
    const char *name; /* static: "fs-refer", "metadata-gate", "supervisor-landlock", … */
    enum posture_state state;
    const char
        *by;   /* static: landlock, filter, supervisor, guardian, rlimit; NULL when not active */
    char *why; /* owned, may be NULL */
};

struct posture {
    struct posture_entry *entries;
    size_t count, capacity;
    struct strv exceptions; /* plain sentences: what the policy leaves open */
    struct strv methods;    /* "need=method" pairs, e.g. "listener=shared-table" */
    bool failed;            /* out of memory: treated as an error by the launch */
};

#define POSTURE_INIT ((struct posture){0})

void posture_free(struct posture *posture);

/* Sets (or replaces) an entry. `why` may be NULL. */
void posture_set(struct posture *posture, const char *name, enum posture_state state,
                 const char *by, const char *why);
void posture_exception(struct posture *posture, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void posture_method(struct posture *posture, const char *need, const char *method);

const struct posture_entry *posture_find(const struct posture *posture, const char *name);

/* False and an error naming the first entry of `required` that is unknown or not active. */
bool posture_check_required(const struct posture *posture, const struct strv *required,
                            struct error *err);

/* {"v":1,"sandbox":…,"kernel":…,"landlock":{…},"mode":…,"entries":[…],"methods":{…},
 * "exceptions":[…]} on one line. */
bool posture_to_json(const struct posture *posture, const char *sandbox, const char *mode,
                     struct buffer *out);

#endif
