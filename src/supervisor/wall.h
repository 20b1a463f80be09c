/*
 * The walls around the supervisor itself: domain S, which is what the policy grants plus what
 * the run needs, and an allow-list filter per role. A wrong verdict or a memory error in the
 * supervisor then still meets the kernel.
 */
#ifndef SANDLOCK_SUPERVISOR_WALL_H
#define SANDLOCK_SUPERVISOR_WALL_H

#include "filter/filter.h"
#include "kernel/bpf.h"
#include "supervisor/feature.h"
#include "supervisor/supervisor.h"
#include "util/error.h"

enum wall_role {
    ROLE_SUPERVISOR, /* union of what it and the threads it may create need */
    ROLE_WORKER,     /* blocking operations on behalf */
    ROLE_GUARDIAN,   /* parent, reaper and killer of the members; no libc */
};

struct wall_options {
    enum wall_role role;
    enum violation_policy violation;
    const struct feature *const *features; /* wanted ones, NULL-terminated; may be NULL */
    bool interactive;                      /* terminal hand-over and job control are possible */
    bool privileged; /* acting for a member may take giving up rights that the supervisor has */
    bool traced;     /* the guardian fetches descriptors as a tracer (kernel/fetch.h) */
};

/* The allow list of a role as a plan (testable without a kernel) and as a program. */
struct filter_plan *wall_plan(const struct arch *arch, const struct wall_options *options);
bool wall_program(const struct wall_options *options, struct bpf_program *program,
                  struct error *err);

/* Installs a program on the calling thread (NO_NEW_PRIVS must be set). 0 or -errno. */
int wall_install(const struct bpf_program *program);

/* For VIOLATION_TRAP: a handler of SIGSYS that names the call on stderr and ends the process with
 * 125. 0 or -errno. */
int wall_install_sigsys_handler(void);

const char *wall_role_name(enum wall_role role); /* "supervisor", "worker", "guardian" */

#endif
