/*
 * What the host offers, found out by trying. Whatever could leave a mark (a filter, a namespace, a
 * tracer) is tried in a short-lived child process that no SIGCHLD handler and no wait() of the host
 * sees; the caller is not confined and keeps no descriptor, process or file.
 *
 * Presentation is not here: the fields are facts, the reasons are single lines without a full stop.
 */
#ifndef SANDLOCK_KERNEL_PROBE_H
#define SANDLOCK_KERNEL_PROBE_H

#include "kernel/landlock.h"
#include "kernel/task_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROBE_REASON_MAX 160

struct probe_item {
    bool available;
    int sys_errno;                 /* why not, 0 if no errno says it */
    char reason[PROBE_REASON_MAX]; /* why not; or, when available, a remark; may be empty */
};

/* How the supervisor duplicates a descriptor of a member. */
enum probe_fetch {
    PROBE_FETCH_NONE = 0,
    PROBE_FETCH_TRACER, /* ptrace makes the task send it */
    PROBE_FETCH_PIDFD,  /* pidfd_getfd */
};

/* Calls that the supervisor makes and that a filter around this process may refuse, also one that is older
 * than the call. */
enum probe_call {
    PROBE_OPENAT2,
    PROBE_FACCESSAT2,
    PROBE_STATX,
    PROBE_CLOSE_RANGE,
    PROBE_PIDFD_SEND_SIGNAL,
    PROBE_MEMFD_CREATE,
    PROBE_SIGNALFD,
    PROBE_KILL,
    PROBE_CALLS,
};

struct probe_result {
    char kernel_release[65]; /* uname -r */
    char machine[65];        /* uname -m */
    int kernel_major, kernel_minor;

    struct landlock_support landlock;
    struct probe_item landlock_restrict; /* landlock_restrict_self() is not refused */

    struct probe_item user_notification; /* SECCOMP_RET_USER_NOTIF is known */
    struct probe_item listener;          /* a filter with a listener could really be installed */
    struct probe_item wait_killable;     /* SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 5.19 */
    struct probe_item addfd_send;        /* SECCOMP_ADDFD_FLAG_SEND, 5.14 */
    struct probe_item sync_wake_up;      /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, 6.6 */

    struct probe_item pidfd_open;
    struct probe_item pidfd_getfd;      /* from a child process */
    struct probe_item process_vm_readv; /* from a child process */
    struct probe_item process_vm_writev;
    struct probe_item proc_mem; /* /proc/<pid>/mem of a child process */
    struct probe_item ptrace;   /* PTRACE_SEIZE of a child process */
    struct probe_item kcmp;
    struct probe_item calls[PROBE_CALLS];

    struct probe_item proc; /* /proc is the procfs of our pid namespace */

    struct probe_item user_namespaces; /* unshare and a written uid_map */
    struct probe_item dev_shm;         /* a file could be made and written in /dev/shm */
    uint64_t dev_shm_free;             /* bytes, 0 if unknown */

    int yama_ptrace_scope; /* 0..3, -1: no Yama */

    /* This process is confined already. */
    bool under_filter;   /* a seccomp filter is installed */
    int filter_count;    /* how many, -1 if the kernel does not tell (before 5.9) */
    bool under_listener; /* one of them has a listener: no second one is possible (EBUSY) */
    bool no_new_privileges;

    /* The methods that follow from the above (container ladder). */
    enum probe_fetch fetch_method;
    enum task_memory_method read_method;
    enum task_memory_method write_method;
};

/* The method alone, found out once per process by calls that no filter can tell from the real ones: a
 * few microseconds. What depends on the member (dumpable, traced already) shows when it is used. */
enum probe_fetch probe_fetch_method(void);

/* True unless the call is refused here; found out with the fetch method. */
bool probe_has_call(enum probe_call call);

/* Probes everything. Takes a few milliseconds; never fails as a whole: what could not be found out
 * is not available, with the reason. */
void probe_host(struct probe_result *result);

/* The kernel's name of the call. */
const char *probe_call_name(enum probe_call call);

/* For people: "pidfd_getfd", "tracer", "none"; "process_vm", "/proc/PID/mem", "none". */
const char *probe_fetch_name(enum probe_fetch method);
const char *probe_memory_name(enum task_memory_method method);

/* Pure: "6.18.44-rc1" → 6, 18. Returns false if the text does not begin with two numbers. */
bool probe_parse_release(const char *release, int *major, int *minor);

#endif
