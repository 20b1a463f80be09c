/*
 * Features that guard what Landlock does not see: metadata of ungranted files, other processes of
 * the user, the processors a member may use; and the one that explains what Landlock refuses.
 */
#ifndef SANDLOCK_GATES_GATES_H
#define SANDLOCK_GATES_GATES_H

#include "supervisor/feature.h"

/* chmod, chown, utime, xattr and inode flags only below a write grant. */
extern const struct feature feature_metadata_gate;

/* Limits, priorities, scheduling and process groups of members only. */
extern const struct feature feature_process_gate;

/* The same gate on the caller's terminal: nothing gets in front of it, or changes it, from the background. */
extern const struct feature feature_terminal_gate;

/* And nobody leaves the terminal's session there, to read it. */
extern const struct feature feature_session_gate;

/* sched_setaffinity cannot leave the processors of cpu_cores. */
extern const struct feature feature_cpu_affinity;

/* Records what Landlock will refuse; changes no outcome. */
extern const struct feature feature_explain;

#endif
