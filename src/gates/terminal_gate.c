/*
 * The terminal of the caller belongs to the job that is in front. The kernel asks a job in the background
 * by a signal, which can be ignored, and a process of another session not at all: so a member could get in
 * front by itself, and change settings, size and queues under the program that the user works with, or read
 * what is typed to it.
 *
 * Where the sandbox is in front its changes continue. In the background a change is made on behalf, on a
 * duplicate of the caller's descriptor, if that is another terminal; nothing a member does to the number
 * meanwhile can put the caller's in its place. If it is the caller's, whom the kernel would stop is stopped,
 * and the call comes again when the job goes on; all others are refused. On a terminal of another session that is
 * a stream of the sandbox it is never in front.
 *
 * In the session of the terminal the kernel keeps members in the background from reading. So nobody leaves it there,
 * in a run that began in the background and could read; one that began in front is not looked at.
 */
#include "gates/gates.h"
#include "gates/member_group.h"
#include "gates/terminal_change.h"
#include "kernel/procfs.h"
#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "member/socket.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define LAYER "process-gate"

#define SET_FOREGROUND 0x5410U  /* TIOCSPGRP */
#define LEAVE_TERMINAL 0x5422U  /* TIOCNOTTY */
#define GET_DEVICE 0x80045432UL /* TIOCGDEV: also by the other end of a pseudo terminal */

/* Restart of a system call as after a stop, or as a handler of the signal has it (ERESTARTSYS, signal(7)). */
#define RESTART 512

/* Whoever may read the terminal; see the head. */
#define LEAVES_IN_FRONT                                                                         \
    "in the background nobody leaves the session of a terminal that can be read: give the "     \
    "command another standard input (</dev/null) and no grant of the terminal, or bring it to " \
    "the front"

/* Parents asked on the way out of a process group. */
#define ANCESTORS_MAX 64

#define STATUS_SIZE 4096

/* The last groups that members put in front of the terminal; more than one because calls that were let
 * through are made in any order. */
#define FRONTS 8

struct gate {
    pid_t fronts[FRONTS];
    unsigned next;
};

static bool gate_wanted(const struct policy *policy, const struct network *network)
{
    (void)network;
    return (policy->without & FEATURE_PROCESS_GATE) == 0;
}

static uint32_t request_arg(const struct request *request)
{
    return (uint32_t)request->notification.data.args[1];
}

static void record(const struct request *request, pid_t foreground)
{
    request_record_numbered_denial(request, "terminal of process group", foreground, "control",
                                   EPERM, LAYER, "only while it is in front");
}

static void record_foreign(const struct request *request)
{
    request_record_denial(request, "terminal of another session", "control", EPERM, LAYER,
                          "a stream that is a terminal of another session is not changed", NULL);
}

/* ---- Who is in front ------------------------------------------------------------------------------ */

/* A shell's job may have died in front, which leaves no process to ask. */
static bool was_put_in_front(const struct gate *gate, pid_t group)
{
    for (unsigned i = 0; i < FRONTS; i++) {
        if (gate->fronts[i] == group)
            return getpgid(group) < 0 && errno == ESRCH;
    }
    return false;
}

/* 0: a group that is not visible here. */
static bool is_in_front(const struct request *request, pid_t foreground)
{
    return foreground > 0 && (member_group_exists(request, foreground) ||
                              was_put_in_front(request->state, foreground));
}

/* By us, on our own descriptor of the terminal, and to a group that was read once and is of members: the keys would
 * interrupt an outsider's, and nobody would take the terminal back from it. */
static struct verdict put_in_front(const struct request *request, struct gate *gate)
{
    int terminal = supervisor_terminal_fd(request->supervisor);
    sigset_t stop, before;
    pid_t group;
    int result = task_memory_read_all((pid_t)request->notification.pid,
                                      request->notification.data.args[2], &group, sizeof(group));

    if (result < 0)
        return verdict_errno(-result);
    if (!request_is_valid(request) || terminal < 0)
        return verdict_errno(EPERM);
    if (group <= 0 || !member_group_exists(request, group) || !request_is_valid(request)) {
        request_record_numbered_denial(request, "process group", group, "control", EPERM, LAYER,
                                       "only groups of members are put in front");
        return verdict_errno(EPERM);
    }
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU); /* we are in the background ourselves */
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    long done = sys_call3(SYS_ioctl, terminal, SET_FOREGROUND, (long)&group);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (done < 0)
        return verdict_errno((int)-done);
    gate->fronts[gate->next++ % FRONTS] = group;
    return verdict_value(0);
}

/* TIOCSPGRP works on no other terminal than the one that controls the caller's session. */
static struct verdict on_foreground(struct request *request, const struct procfs_stat *host)
{
    struct procfs_stat caller;

    int result = procfs_stat(supervisor_proc_fd(request->supervisor), request->tgid, &caller);
    if (result < 0 || !request_is_valid(request))
        return verdict_errno(EPERM);
    if (caller.foreground < 0 || caller.session != host->session)
        return verdict_next(); /* no terminal, or one that members made */
    if (!is_in_front(request, caller.foreground)) {
        record(request, caller.foreground);
        return verdict_errno(EPERM);
    }
    return put_in_front(request, request->state);
}

/* ---- A change from the background, on a worker ---------------------------------------------------- */

struct job {
    const struct terminal_change *change;
    int64_t
        terminal; /* device number of the caller's, 0: there is none, or the sandbox is in front */
    pid_t foreground; /* the group there */
};

/* True if the kernel would not send SIGTTOU to this thread, and if it cannot be told. */
static bool disregards_signal(const struct request *request)
{
    char status[STATUS_SIZE];
    uint64_t ignored, blocked;
    const uint64_t bit = 1ULL << (SIGTTOU - 1);

    if (procfs_read(supervisor_proc_fd(request->supervisor), (pid_t)request->notification.pid,
                    "status", status, sizeof(status)) < 0 ||
        !procfs_status_number(status, "SigIgn", 16, &ignored) ||
        !procfs_status_number(status, "SigBlk", 16, &blocked))
        return true;
    return ((ignored | blocked) & bit) != 0;
}

/* A group from which no parent leads into another one of its session has nobody who would let it go on. */
static bool is_orphaned(const struct request *request, const struct procfs_stat *caller)
{
    struct procfs_stat one = *caller;

    for (int i = 0; i < ANCESTORS_MAX && one.parent > 0; i++) {
        if (procfs_stat(supervisor_proc_fd(request->supervisor), one.parent, &one) != 0 ||
            one.session != caller->session)
            return true;
        if (one.group != caller->group)
            return false;
    }
    return true;
}

/* What the kernel does to a job in the background that changes its own terminal. 0: nothing; else the
 * errno to answer. */
static int ask_by_signal(const struct request *request, const struct job *job,
                         const struct procfs_stat *caller, int64_t terminal)
{
    if (!job->change->asks || caller->terminal != terminal || caller->foreground <= 0 ||
        caller->group == caller->foreground || disregards_signal(request))
        return 0;
    if (is_orphaned(request, caller))
        return EIO;
    if (!request_is_valid(request))
        return EPERM;
    /* Who ignores it since then comes here again and is refused. */
    long result = sys_call2(SYS_kill, -caller->group, SIGTTOU);
    supervisor_check_violation(request->supervisor, result, "kill");
    return result < 0 ? EPERM : RESTART;
}

static void perform(const struct request *request, const struct job *job, int fd)
{
    uint64_t argument = request->notification.data.args[2];
    char data[TERMINAL_CHANGE_SIZE_MAX];

    if (job->change->size > 0) {
        int result = task_memory_read_all((pid_t)request->notification.pid, argument, data,
                                          job->change->size);
        if (result == 0 && !request_is_valid(request))
            result = -EPERM;
        if (result < 0) {
            request_answer_errno(request, -result);
            return;
        }
        argument = (uintptr_t)data;
    }
    long result = sys_call3(SYS_ioctl, fd, (long)request_arg(request), (long)argument);
    if (result < 0)
        request_answer_errno(request, (int)-result);
    else
        request_answer_value(request, result);
}

static void work(const struct request *request, void *data)
{
    const struct job *job = data;
    struct procfs_stat caller;
    unsigned device = 0;

    CLEANUP_FD int fd = member_get_fd(request, (int)(uint32_t)request->notification.data.args[0]);
    if (fd < 0) {
        request_answer_errno(request, -fd);
        return;
    }
    long result = sys_call3(SYS_ioctl, fd, (long)GET_DEVICE, (long)&device);
    if (result < 0) {
        request_answer_errno(request, (int)-result); /* not a terminal: what the call would say */
        return;
    }
    result = procfs_stat(supervisor_proc_fd(request->supervisor), request->tgid, &caller);
    if (result < 0 || !request_is_valid(request)) {
        request_answer_errno(request, EPERM);
        return;
    }
    int error = ask_by_signal(request, job, &caller, device);
    if (error == 0 && device == job->terminal) {
        record(request, job->foreground);
        error = EPERM;
    } else if (error == 0 && supervisor_is_foreign_terminal(request->supervisor, device)) {
        record_foreign(request);
        error = EPERM;
    }
    if (error != 0)
        request_answer_errno(request, error);
    else
        perform(request, job, fd);
}

/* ---- Changes -------------------------------------------------------------------------------------- */

/* The major numbers of the other ends of /dev/ptmx (<linux/major.h>); see new_decode_dev(). */
static bool is_pseudo_terminal(int64_t device)
{
    int64_t major = device >> 8 & 0xfff;

    return major >= 136 && major <= 143;
}

/* True if one of the caller's terminals that the sandbox is not in front of is a serial line or a console. */
static bool may_be_line(const struct request *request, int64_t terminal)
{
    for (size_t i = 0; terminal == 0 || is_pseudo_terminal(terminal); i++) {
        terminal = supervisor_foreign_terminal(request->supervisor, i);
        if (terminal < 0)
            return false;
    }
    return true;
}

static struct verdict on_change(struct request *request, const struct procfs_stat *host,
                                const struct terminal_change *change)
{
    bool in_front = host->terminal != 0 && is_in_front(request, host->foreground);
    int64_t terminal = in_front ? 0 : host->terminal;

    if (terminal == 0 && supervisor_foreign_terminal(request->supervisor, 0) < 0)
        return request_is_valid(request) ? verdict_next() : verdict_errno(EPERM);
    if (change->of_line) {
        if (!may_be_line(request, terminal))
            return verdict_next(); /* the caller's terminals do not know it */
        record(request, host->foreground);
        return verdict_errno(EPERM);
    }
    struct job *job = malloc(sizeof(*job));
    if (job == NULL)
        return verdict_errno(ENOMEM);
    *job = (struct job){change, terminal, host->foreground};
    if (request_submit(request, work, job, free))
        return verdict_taken();
    free(job);
    return verdict_errno(EAGAIN);
}

/* The guardian shares the session of the caller, wherever the library's caller has gone. It may have had to leave it
 * (COMMAND_ORPHAN): then only the caller can be asked, who without a terminal may have gone too. A dead one has no
 * terminal any more. */
static bool look_at_host(const struct request *request, struct procfs_stat *host)
{
    pid_t guardian = supervisor_guardian(request->supervisor);
    int proc_fd = supervisor_proc_fd(request->supervisor);
    int result = procfs_stat(proc_fd, guardian, host);
    bool has_left = result == 0 && host->session == guardian;

    if (has_left)
        result = procfs_stat(proc_fd, getpid(), host);
    return result == 0 &&
           !(has_left && host->terminal == 0 && supervisor_has_terminal(request->supervisor)) &&
           host->state != 'Z' && host->state != 'X';
}

static struct verdict on_ioctl(struct request *request)
{
    const struct terminal_change *change = terminal_change_find(request_arg(request));
    struct procfs_stat host;

    if (change == NULL && request_arg(request) != SET_FOREGROUND)
        return verdict_next();
    if (!look_at_host(request, &host))
        return verdict_errno(EPERM);
    if (change != NULL)
        return on_change(request, &host, change);
    /* If the caller's was hung up, nobody's descriptor leads there. */
    return host.terminal == 0 ? verdict_next() : on_foreground(request, &host);
}

/* setsid(2), and TIOCNOTTY by whom it concerns alone, whatever the descriptor. */
static struct verdict on_leave(struct request *request)
{
    struct procfs_stat host, caller;

    if (!look_at_host(request, &host) ||
        procfs_stat(supervisor_proc_fd(request->supervisor), request->tgid, &caller) < 0 ||
        !request_is_valid(request))
        return verdict_errno(EPERM);
    if (host.terminal == 0 || caller.session != host.session ||
        (is_in_front(request, host.foreground) && request_is_valid(request)))
        return verdict_next();
    request_record_numbered_denial(request, "session of process group", host.foreground, "control",
                                   EPERM, LAYER, LEAVES_IN_FRONT);
    return verdict_errno(EPERM);
}

/* ---- Traps ---------------------------------------------------------------------------------------- */

#define GAP(first, last)                                                           \
    {                                                                              \
        .test_count = 1, .tests = {                                                \
            {.arg = 1, .op = ARG_IN_RANGE, .value = (first), .value_high = (last)} \
        }                                                                          \
    }

/* Between TIOCSPGRP and the rows of terminal_change.c. As ranges, like the other traps of ioctl: their
 * intersection stays short. Some questions that nobody asks lie within. */
static const struct filter_rule other_requests[] = {
    GAP(0, 0x4B2E),           GAP(0x4B80, 0x5401),          GAP(0x540C, 0x540C),
    GAP(0x540E, 0x540F),      GAP(0x5411, 0x5413),          GAP(0x5415, 0x5415),
    GAP(0x541B, 0x541E),      GAP(0x5420, 0x5424),          GAP(0x5429, 0x55FF),
    GAP(0x5610, 0x402C542AU), GAP(0x402C542EU, UINT32_MAX),
};

static const struct trap traps[] = {
    {.syscall = "ioctl",
     .passes = other_requests,
     .pass_count = sizeof(other_requests) / sizeof(other_requests[0]),
     .handle = on_ioctl},
};

static const struct filter_rule all_but_leaving[] = {
    GAP(0, LEAVE_TERMINAL - 1),
    GAP(LEAVE_TERMINAL + 1, UINT32_MAX),
};

static const struct trap leaving_traps[] = {
    {.syscall = "setsid", .handle = on_leave},
    {.syscall = "ioctl",
     .passes = all_but_leaving,
     .pass_count = sizeof(all_but_leaving) / sizeof(all_but_leaving[0]),
     .handle = on_leave},
};

static bool gate_start(struct supervisor *supervisor, void **state, struct error *err)
{
    (void)supervisor;
    *state = calloc(1, sizeof(struct gate));
    return *state != NULL || error_runtime(err, ENOMEM, LAYER);
}

static void gate_stop(void *state)
{
    free(state);
}

static const char *const needs[] = {"pidfd_getfd", "ioctl:terminal", "kill:job", NULL};

const struct feature feature_terminal_gate = {
    .name = LAYER,
    .wanted = gate_wanted,
    .on_terminal = true,
    .traps = traps,
    .trap_count = sizeof(traps) / sizeof(traps[0]),
    .needs = {.calls = needs},
    .makes_do = true,
    .start = gate_start,
    .stop = gate_stop,
};

const struct feature feature_session_gate = {
    .name = LAYER,
    .wanted = gate_wanted,
    .on_terminal = true,
    .keeps_session = true,
    .traps = leaving_traps,
    .trap_count = sizeof(leaving_traps) / sizeof(leaving_traps[0]),
    .start = gate_start,
    .stop = gate_stop,
};
