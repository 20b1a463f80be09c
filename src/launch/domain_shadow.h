/*
 * Rules of a grant that reaches something hidden (net/shadow.h): Landlock rules cover everything below
 * a directory, so the directory itself gets none for content; its entries get one each, except what is
 * hidden and symbolic links, whose targets are judged where they are.
 */
#ifndef SANDLOCK_LAUNCH_DOMAIN_SHADOW_H
#define SANDLOCK_LAUNCH_DOMAIN_SHADOW_H

#include "net/shadow.h"

#include <stdbool.h>
#include <stdint.h>

/* `kind` is the granted object's, not SHADOW_NONE. `handled` are the rights of the members' ruleset.
 * An entry that cannot be opened costs only itself. 0 or -errno. */
int domain_shadow_add(const struct shadow *shadow, int ruleset, uint64_t handled,
                      const struct granted *granted, enum shadow_kind kind);

#endif
