/*
 * What the path grants of a policy name, opened once and before anything is decided by it: what the host
 * shadows, the rulesets and the verdicts then speak of the same objects, whoever renames meanwhile.
 */
#ifndef SANDLOCK_LAUNCH_GRANTED_H
#define SANDLOCK_LAUNCH_GRANTED_H

#include "net/shadow.h"
#include "policy/policy.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

struct granted_list {
    struct granted
        *items; /* owned, with their descriptors; in the order of the policy, reading first */
    size_t count, capacity;
};

#define GRANTED_INIT ((struct granted_list){0})

/* Visits what a grant names; the descriptor is closed afterwards, unless the visitor takes it and puts -1 in
 * its place. False ends the walk: the visitor has said why. */
typedef bool (*granted_visit)(void *data, struct granted *granted);

/* Opens one grant after the other, in the order of the list below. Relative grants start from the policy's
 * directory, else the caller's. Errors: the directory or a grant cannot be opened (named with its errno,
 * ERROR_CONFIG), or lies behind a link that the command may change (launch/grant_open.h). */
bool granted_each(const struct policy *policy, granted_visit visit, void *data, struct error *err);

/* All of them, where more than one reader must see the same objects. */
bool granted_open(struct granted_list *list, const struct policy *policy, struct error *err);
void granted_free(struct granted_list *list);

#endif
