/*
 * A supervisor that misbehaves, for tests of the walls around it: it tries what nothing in it is meant
 * to do and says on standard error what the kernel answered. Only in builds with fault injection.
 */
#ifndef SANDLOCK_SUPERVISOR_FAULT_PROBE_H
#define SANDLOCK_SUPERVISOR_FAULT_PROBE_H

#include "supervisor/supervisor.h"
#include "supervisor/wall.h"

#if defined(SANDLOCK_FAULT_INJECTION)

/* With a notification in hand, in the thread of that role. Faults:
 *   probe           attempts on objects that the environment names (SANDLOCK_PROBE_*), of calls that the
 *                   role's filter allows
 *   probe-all       the same, and those that it does not
 *   violate-CALL    one call outside the supervisor's list
 *   worker-violate  one call outside the worker's list that the supervisor's has
 *   crash-serving   the end of the process; "by-segv": by SIGSEGV, else by SIGKILL */
void fault_misbehave(struct supervisor *supervisor, enum wall_role role);

#else
#define fault_misbehave(supervisor, role) ((void)0)
#endif

#endif
