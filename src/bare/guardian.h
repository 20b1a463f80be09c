/*
 * The guardian: one small process per sandbox that is parent, subreaper, killer and death watch of
 * all members. It runs without libc, in the library inside the host's memory, so it uses raw system
 * calls and its own stack only. Its Landlock domain handles nothing but scopes: kill(-1) from there
 * reaches every member and nothing else of the user, and no member can signal it.
 */
#ifndef SANDLOCK_BARE_GUARDIAN_H
#define SANDLOCK_BARE_GUARDIAN_H

#include "bare/child.h"
#include "bare/record.h"
#include "bare/tracer.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sent to the guardian after `commands`, `group_signals` or the state of `fetch` changed. A byte in the
 * lifeline says the same. */
#define GUARDIAN_COMMAND_SIGNAL 10 /* SIGUSR1 */

struct guardian_plan {
    struct launch_record *record;
    struct child_plan *child;

    int host;            /* process id of the host */
    bool watch_thread;   /* end when the creating thread ends, not only when the process does */
    int ruleset;         /* scopes only; -1: no scope is active */
    bool signal_scope;   /* the domain scopes signals: kill(-1) is safe */
    bool share_memory;   /* the child may be cloned with CLONE_VM */
    bool own_table;      /* no descriptor table is shared, not with the child either */
    bool end_with_child; /* one-shot run: no command is needed to finish */
    bool keeps_stopped;  /* members who are paused are looked at again (pause.h) */
    int lifeline;  /* read end of a pipe whose write end only the host has; -1: it never execs, nor
                      changes its user */
    int report_fd; /* eventfd for stop reports; -1: not interactive */
    struct tracer *tracer; /* zeroed but for the plan's part; NULL: this guardian does not trace */

    /* What to close on leaving the shared table, as in struct child_plan. */
    const struct bare_range *close_ranges;
    size_t close_range_count;

    /* The sandbox's runtime directory, which goes with the last member; directory -1: none. */
    int runtime_root;
    int runtime_directory;
    int pid_file; /* locked here too, at this byte */
    int64_t pid_file_byte;
    uint64_t pid_file_inode; /* ours; who takes a dead host's name has another one */
    const char *name;

    struct sock_fprog program; /* own filter; len 0: none */
    void *child_stack_top;
};

/* The argument is a struct guardian_plan. The return value is the exit status. */
int guardian_main(void *plan);

#endif
