/*
 * Stopping a process, so that nothing shares the caller's descriptor table and runs: see tracing.h and
 * kernel/fetch.h.
 */
#include "bare/tracing.h"

#include "bare/child.h"

#include <fcntl.h>
#include <sys/time.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define SEIZE_PATIENCE_US 2000

/* A thread is born by clone, fork or vfork, as its parent's exit signal and flags have it. */
#define OPTIONS                                                                               \
    (PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACESYSGOOD | \
     PTRACE_O_EXITKILL)

/* ---- The alarm ----------------------------------------------------------------------------------- */

/* PTRACE_SEIZE waits for an execve() of another thread of the process, which may wait for a dead thread to
 * be buried, which is up to us; or for a slow file system. A signal interrupts that wait, but the kernel
 * then starts the call again: the handler steps over it. */
static void on_alarm(int number, siginfo_t *info, void *data)
{
    greg_t *registers = ((ucontext_t *)data)->uc_mcontext.gregs;
    const uint8_t *next = (const uint8_t *)registers[REG_RIP]; /* NOLINT: an address of ours */

    (void)number;
    (void)info;
    if (registers[REG_RAX] == SYS_ptrace && next[0] == 0x0f && next[1] == 0x05) {
        registers[REG_RAX] = -EINTR;
        registers[REG_RIP] += 2;
    }
}

void tracer_return_from_signal(void);
__asm__(".text\n"
        ".globl tracer_return_from_signal\n"
        ".hidden tracer_return_from_signal\n"
        ".type tracer_return_from_signal, @function\n"
        "    nop\n" /* unwinders look one byte ahead of it */
        "tracer_return_from_signal:\n"
        "    movl $15, %eax\n"
        "    syscall\n"
        "    hlt\n"
        ".size tracer_return_from_signal, .-tracer_return_from_signal\n");

static void set_alarm(bool on)
{
    const uint64_t alarm = 1ULL << (SIGALRM - 1);
    const struct bare_sigaction action = {
        .handler = (uintptr_t)on_alarm,
        .flags = SA_SIGINFO | 0x04000000 /* SA_RESTORER */,
        .restorer = (uintptr_t)tracer_return_from_signal,
        .mask = UINT64_MAX,
    };
    /* Again and again: the first may come when nothing waits. */
    const struct itimerval often = {{0, SEIZE_PATIENCE_US}, {0, SEIZE_PATIENCE_US}};
    const struct itimerval never = {0};

    if (on)
        sys_call4(SYS_rt_sigaction, SIGALRM, (long)&action, 0, KERNEL_SIGSET_SIZE);
    sys_call3(SYS_setitimer, ITIMER_REAL, (long)(on ? &often : &never), 0);
    sys_call4(SYS_rt_sigprocmask, on ? SIG_UNBLOCK : SIG_BLOCK, (long)&alarm, 0,
              KERNEL_SIGSET_SIZE);
}

/* ---- /proc ------------------------------------------------------------------------------------- */

static long number_at(const char *text)
{
    long number = 0;

    /* The kernel has written it. NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    while (*text >= '0' && *text <= '9' && number < INT32_MAX)
        number = number * 10 + (*text++ - '0');
    return number;
}

/* ---- Threads ----------------------------------------------------------------------------------- */

/* In these calls a thread can wait for long: they are those that ask for a descriptor themselves, and stand in line
 * for us. None of them closes or replaces one. Its next step leads to the stop that is ordered already. */
static bool is_harmless(long number, long request)
{
    static const short calls[] = {
        SYS_connect,  SYS_sendto,     SYS_sendmsg,    SYS_sendmmsg,    SYS_bind,
        SYS_listen,   SYS_setsockopt, SYS_getsockopt, SYS_getsockname, SYS_getpeername,
        SYS_recvfrom, SYS_recvmsg,    SYS_getdents,   SYS_getdents64,
    };

    if (number == SYS_ioctl) /* of terminals and interfaces: those of a device may do anything */
        return (request & 0xFF00) == 0x5400 || (request & 0xFF00) == 0x8900;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i] == number)
            return true;
    }
    return false;
}

/* The number of a call's second argument: " 0x" and digits, behind the call and the first one. */
static long second_argument(const char *text)
{
    long number = 0;

    for (int blanks = 0; blanks < 2; text++) {
        if (*text == '\0')
            return 0;
        blanks += *text == ' ';
    }
    if (text[0] != '0' || text[1] != 'x')
        return 0;
    for (text += 2; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f'); text++)
        number = (number << 4 | (*text <= '9' ? *text - '0' : *text - 'a' + 10)) & UINT32_MAX;
    return number;
}

/* True if the thread sleeps in one of these calls. "running", or numbers: the call and its arguments. */
static bool sleeps_harmlessly(long tid)
{
    char text[256];
    long fd = tracer_open_proc(tid, "syscall", O_RDONLY);

    if (fd < 0)
        return false;
    long length = sys_call3(SYS_read, fd, (long)text, sizeof(text) - 1);
    sys_call1(SYS_close, fd);
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    if (length <= 0 || text[0] < '0' || text[0] > '9')
        return false;
    text[length] = '\0';
    return is_harmless(number_at(text), second_argument(text));
}

/* 1: seized now, 0: known, or dead. Without `all` only those that are traced already. */
static long seize(struct tracer *tracer, long tid, bool all)
{
    if (tracee_find(tracer, tid) != NULL)
        return 0;
    if (tracer->count == TRACEES_MAX)
        return -EAGAIN;
    struct tracee *next = &tracer->tracees[tracer->count];
    long result = all ? tracee_request(PTRACE_SEIZE, tid, 0, OPTIONS) : -EPERM;
    /* A thread that one of ours has just made is ours from its birth. */
    if (result == 0 || result == -EPERM) {
        long interrupted = tracee_request(PTRACE_INTERRUPT, tid, 0, 0);
        if (result == 0 || interrupted == 0) { /* or it is dying, and to be buried */
            *next = (struct tracee){.tid = (int)tid, .tgid = tracer->box->tgid};
            tracer->count++;
        }
        if (interrupted == 0)
            return 1;
    }
    return result == 0 || result == -ESRCH || tracee_is_dead(tid) ? 0 : result;
}

/* struct linux_dirent64 */
struct entry {
    uint64_t inode, offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* The number of threads seized by this look, or -errno. *seen: `tid` is one of them. */
static long seize_new(struct tracer *tracer, long tgid, long tid, bool all, bool *seen)
{
    char buffer[1024] __attribute__((aligned(8)));
    long fd = tracer_open_proc(tgid, "task", O_RDONLY | O_DIRECTORY);
    long added = 0, length;

    if (fd < 0)
        return fd;
    while ((length = sys_call3(SYS_getdents64, fd, (long)buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < length && added >= 0;) {
            const struct entry *entry = (const struct entry *)(const void *)(buffer + at);
            long number = number_at(entry->name);
            at += entry->size; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
            if (number == 0)
                continue;
            *seen = *seen || number == tid;
            long result = seize(tracer, number, all);
            added = result < 0 && all ? result : added + (result > 0);
        }
        if (added < 0)
            break;
    }
    sys_call1(SYS_close, fd);
    return length < 0 ? length : added;
}

/* epoll_wait(2) ends with EINTR whenever its sleep does, not only for a signal. Without a time limit it
 * can be made to go on, unless a handler is to run (ERESTARTNOHAND). */
static void repair_wait(long tid)
{
    struct registers registers;

    if (tracee_get_registers(tid, &registers) < 0 || registers.rax != (uint64_t)-EINTR ||
        (registers.orig_rax != SYS_epoll_wait && registers.orig_rax != SYS_epoll_pwait) ||
        (int32_t)registers.r10 != -1)
        return;
    registers.rax = (uint64_t)-514;
    tracee_set_registers(tid, &registers);
}

/* Until no thread but the caller can take a step in user mode. The caller waits for its answer. */
static long settle(struct tracer *tracer, long caller, int64_t deadline)
{
    bool waited = false;

    for (;;) {
        bool all = true;
        for (int i = tracer->count - 1; i >= 0; i--) {
            struct tracee *tracee = &tracer->tracees[i];
            uint32_t event;
            if (tracee->tgid != tracer->box->tgid || (tracee->stopped && !waited))
                continue;
            enum look look = tracee_look(tracer, tracee->tid, &event);
            if (tracee->stopped && look == LOOK_RUNNING)
                continue; /* not killed meanwhile: an execve() waits until the dead are buried */
            if (tracee->tid == caller) {
                if (look == LOOK_RUNNING)
                    continue;
                if (look == LOOK_STOPPED)
                    tracee_note_stop(tracee, event);
                return -ESRCH; /* it waits no more */
            }
            if (look == LOOK_STOPPED) {
                tracee_note_stop(tracee, event);
                repair_wait(tracee->tid);
            } else if (look == LOOK_GONE) {
                tracee_forget(tracer, tracee);
            } else if (!waited ||
                       (!sleeps_harmlessly(tracee->tid) && !tracee_is_dead(tracee->tid))) {
                all = false;
            }
        }
        if (all)
            return 0;
        if (tracer_is_killed(tracer) || tracer_now() > deadline)
            return -EPERM;
        tracer_await_report();
        waited = true;
    }
}

/* The number of threads that the kernel counts, the dying included; 0: unknown. */
static long count_threads(long tgid)
{
    char text[512];
    long fd = tracer_open_proc(tgid, "stat", O_RDONLY);

    if (fd < 0)
        return 0;
    long length = sys_call3(SYS_read, fd, (long)text, sizeof(text) - 1);
    sys_call1(SYS_close, fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    long at = length;
    while (at > 0 && text[at - 1] != ')') /* the name may contain anything */
        at--;
    /* Behind the name come a blank and field 3; this is field 20, proc(5). */
    for (int blanks = 0; blanks < 18 && at < length; at++)
        blanks += text[at] == ' ';
    return number_at(text + at);
}

static long count_known(struct tracer *tracer, long tgid)
{
    long known =
        tracee_find(tracer, tgid) == NULL; /* a leader that has ended is counted until the end */

    for (int i = 0; i < tracer->count; i++)
        known += tracer->tracees[i].tgid == tgid;
    return known;
}

/* When everybody known has been stopped and there are no more threads than these, nobody is left to make
 * another one. A list alone would not prove it: it ends early when a thread ends while it is read. */
static long stop_all(struct tracer *tracer)
{
    const struct fetch_mailbox *box = tracer->box;
    int64_t deadline = tracer_now() + box->patience;

    for (;;) {
        bool seen = false;
        long result = seize_new(tracer, box->tgid, box->tid, true, &seen);
        bool whole = result >= 0;
        if (whole || result == -EINTR) /* an execve() may wait for the dead to be buried */
            result = settle(tracer, box->tid, deadline);
        if (result < 0)
            return result;
        if (whole && tracee_find(tracer, box->tid) == NULL)
            return -ESRCH;
        if (whole && count_threads(box->tgid) == count_known(tracer, box->tgid))
            return seen ? 0 : -ESRCH;
        if (tracer_is_killed(tracer) || tracer_now() > deadline)
            return -EPERM;
        tracer_await_report();
    }
}

long tracer_stop_process(struct tracer *tracer)
{
    const struct fetch_mailbox *box = tracer->box;
    bool seen = false;

    set_alarm(true);
    long result = stop_all(tracer);
    if (result < 0) /* threads that were born traced are not to be left alone */
        seize_new(tracer, box->tgid, box->tid, false, &seen);
    set_alarm(false);
    return result;
}

#endif
