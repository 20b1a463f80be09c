/*
 * Whether a process group has a member of the sandbox in it.
 */
#ifndef SANDLOCK_GATES_MEMBER_GROUP_H
#define SANDLOCK_GATES_MEMBER_GROUP_H

#include "supervisor/feature.h"

#include <stdbool.h>
#include <sys/types.h>

/* Looks at processes by number: the caller of the request validates it afterwards. Members that are dead
 * but not reaped count. For the receiving thread. */
bool member_group_exists(const struct request *request, pid_t group);

#endif
