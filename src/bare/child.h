/*
 * The child between clone and exec: a straight list of system calls on memory that was prepared
 * before the clone. It allocates nothing, takes no lock and uses no libc, since the host may have
 * had any number of threads in any state, and in the library the memory is shared with the host.
 */
#ifndef SANDLOCK_BARE_CHILD_H
#define SANDLOCK_BARE_CHILD_H

#include "bare/record.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kernel layouts; libc's structs differ. */
struct bare_rlimit {
    uint64_t soft, hard;
};

struct bare_sigaction {
    uintptr_t handler;
    unsigned long flags;
#if defined(__x86_64__)
    uintptr_t restorer;
#endif
    uint64_t mask;
};

struct bare_range {
    unsigned first, last; /* inclusive descriptor numbers */
};

struct bare_map {
    int source; /* above every target and close-on-exec; -1: leave the target as it is (inherit) */
    int target;
};

/* A Landlock rule for something in the child's own entry of procfs: there is none before there is a child. */
struct bare_own_rule {
    const char *path; /* "/proc/self/comm", NUL-terminated */
    uint64_t rights;  /* never 0 */
    bool optional;    /* it may be missing */
};

struct child_plan {
    struct launch_record *record;

    /* What is the guardian's and the host's of the shared memory: above our stack, with the record. */
    void *guardian_memory;
    size_t guardian_memory_size;

    int terminal_fd; /* take this terminal's foreground; -1: do not */

    bool no_randomize_memory;
    const unsigned long *affinity; /* NULL: inherit */
    size_t affinity_size;
    bool no_huge_pages;
    bool no_coredump;

    bool map_user;
    const char *uid_map; /* "T R 1" */
    const char *gid_map;

    const char *cwd; /* NULL: stay */

    bool keep_user; /* give up CAP_SETUID: the guardian cannot signal other users */

    int ruleset; /* -1: no Landlock domain (never for a sandbox; tests only) */
    const struct bare_own_rule *own_rules; /* to be added to the ruleset */
    size_t own_rule_count;
    struct sock_fprog program;
    bool listener;

    /* What to close, in order; the first call also makes the table private. */
    const struct bare_range *close_ranges;
    size_t close_range_count;
    const struct bare_map *maps;
    size_t map_count;
    int table_top; /* the table gets room for this number; 0: as it is */
    int error_fd;  /* where messages go before stdio is wired; -1: nowhere */

    bool limit_open_files;
    struct bare_rlimit open_files;

    uint64_t signal_mask; /* the caller's */
    uint64_t own_ignored; /* bit N - 1: the host ignores signal N for itself alone */
    bool has_handlers;    /* those of the host: there is no clone3 */

    char *const *argv;
    char *const *envp;
    const char *const *candidates; /* paths to try, NULL-terminated */
    /* Instead of the candidates: an open image, executed without any path. -1: none. */
    int exec_fd;

    /* Instead of an exec: a function of this program, in a process that does not share the host's
     * memory. Nothing is executed, so nothing that is close-on-exec closes by itself. */
    void (*entry)(void *data);
    void *entry_data;

    /* For messages: cwd and argv[0], in which nothing drives a terminal. */
    const char *shown_cwd;
    const char *shown_program;
    const char **shell_argv; /* "/bin/sh", slot for the path, argv[1..], NULL */
};

/* Runs all steps and execs; returns only the exit status of a failed launch (127). The argument is a
 * struct child_plan. */
int child_main(void *plan);

#endif
