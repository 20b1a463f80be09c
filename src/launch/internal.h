/* The launch object, shared by the files of this room only. */
#ifndef SANDLOCK_LAUNCH_INTERNAL_H
#define SANDLOCK_LAUNCH_INTERNAL_H

#include "bare/guardian.h"
#include "kernel/bpf.h"
#include "launch/claim.h"
#include "launch/command.h"
#include "launch/domains.h"
#include "launch/launch.h"
#include "launch/stream_terminals.h"
#include "launch/streams.h"
#include "supervisor/feature.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

/* Descriptors of the host that the guardian may keep. */
#define GUARDIAN_KEEPS 6

/* Looks at members that do not end (ending.c), on the loop's thread. */
struct ending {
    int64_t next_look; /* CLOCK_MONOTONIC; 0: there was none */
    uint32_t ended;    /* so many had ended by then */
    int looks;         /* in vain, one after the other */
    char left[512];    /* who has not ended, after the last of them */
};

struct launch {
    struct policy *policy; /* a reference */
    char name[65];
    bool own_process;
    bool confine;  /* walls around the supervisor are wanted and possible */
    bool confined; /* domain S is in force on the supervising thread ... */
    pid_t confined_process, confined_thread; /* ... which is this one */
    bool scoped;                             /* its signals reach members alone */
    bool supervised;
    bool park;         /* the caller releases the child */
    bool no_threads;   /* see struct launch_spec */
    char warning[256]; /* "" or why the run goes on without introspection */

    struct command command;
    struct claim claim;
    struct granted_list granted;
    struct domains domains;
    struct streams streams;
    const struct bpf_program *filter; /* of the members: precompiled, or `program` */
    struct bpf_program program;       /* compiled for this policy; empty if precompiled */
    struct network *network;          /* NULL without supervisor */
    struct supervisor *supervisor;
    struct denial_log *denials;
    struct posture posture; /* of launch_posture(); before that only what the grants left to say */
    bool posture_described;
    pthread_mutex_t posture_lock;

    unsigned long *affinity;
    size_t affinity_size;
    bool map_user;
    char uid_map[48];
    char gid_map[48];

    int terminal;
    struct termios terminal_before; /* valid if terminal_saved */
    bool terminal_saved;
    bool take_foreground;    /* the command's group was put in front, and has not been taken back */
    bool foreground_at_once; /* that was so from the start */
    bool foreground_wanted;  /* at the latest it is to be when the command uses the terminal */
    bool
        foreground_is_due; /* our group was in front at the start: the command gets there by reading */
    bool ended_in_front; /* the command's group was there when the terminal was taken back */
    bool uses_terminal;  /* of the command line: it has the terminal, or may open it */
    bool has_terminal;   /* the session has a controlling terminal */
    bool keeps_session;  /* members in the background could read it from another session */
    struct stream_terminals streams_on_terminals;
    pid_t job_keeper; /* of the command line: who could let our job go on, 0: nobody */
    int report_fd;
    int lifeline[2];
    dev_t lifeline_device; /* of the pipe, which tells this descriptor table from others */
    ino_t lifeline_inode;
    _Atomic bool
        descriptors_lost; /* the host has closed some of them, and perhaps uses the numbers */

    void *memory; /* stacks and record (memory.c) */
    bool memory_is_private;
    struct launch_record *record;
    void *guardian_stack_top;
    void *child_stack_top;
    struct child_plan child_plan;
    struct descriptor_window window; /* of the members' virtual routing sockets */
    struct guardian_plan guardian_plan;
    bool truncates_early;  /* a file system that members see does (member/object.h) */
    bool traced;           /* descriptors are fetched by the guardian (kernel/fetch.h) ... */
    struct tracer *tracer; /* ... whose memory for it this is */

    struct bare_range guardian_ranges[GUARDIAN_KEEPS + 1];

    /* Of the command line, from before it was executed: a shell's background jobs. */
    pid_t *own_children;
    size_t own_child_count;
    uint64_t own_filters; /* seccomp filters then, of which every member has one more */
    struct loop *loop;    /* of launch_begin() */
    _Atomic bool kill_ordered;
    struct ending ending;
    pid_t guardian; /* 0 before the clone and after the reap */
    int guardian_pidfd;
};

/* Stacks and record, zeroed (memory.c). `same_space`: guardian and child share the host's memory until
 * the exec. Freed after the guardian is reaped; a launch without memory is accepted. */
bool launch_memory_prepare(struct launch *launch, bool same_space, struct error *err);
void launch_memory_free(struct launch *launch);

/* Finds out about the terminal before the start, and undoes what a killed command did to it
 * (foreground.c). */
void launch_terminal_prepare(struct launch *launch, const struct launch_spec *spec);
void launch_terminal_restore(struct launch *launch);

/* Fills the posture of a prepared launch (posture_launch.c). */
void posture_describe_launch(struct launch *launch);

/* The part about the network, after the features (posture_network.c). */
void posture_describe_network(struct launch *launch);

/* Before the guardian is made: children that are no members. What cannot be noted is taken for one (sweep.c). */
void launch_note_children(struct launch *launch);

/* The sweep leaves it to the kernel whom its signals reach: whether they reach others is seen here (launch.c). */
bool launch_reaches_outsiders(void);

/* Reaps the guardian. False: it lives on, as launch_ends_in_vain() says (ending.c). */
bool launch_await_guardian(struct launch *launch);

/* The guardian died out of turn: ends the members that PDEATHSIG did not reach (sweep.c). */
void launch_sweep_members(struct launch *launch);

#endif
