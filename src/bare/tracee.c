/*
 * One traced thread: requests, registers, stops. See tracing.h.
 */
#include "bare/tracing.h"

#include "kernel/put_text.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__x86_64__)

#define SLICE 1000000L /* between looks while nothing is reported */
#define NT_PRSTATUS 1

long tracee_request(long request, long tid, long address, long data)
{
    return sys_call4(SYS_ptrace, request, tid, address, data);
}

int64_t tracer_now(void)
{
    struct timespec time = {0, 0};

    sys_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&time);
    return (int64_t)time.tv_sec * 1000000000LL + time.tv_nsec;
}

long tracee_get_registers(long tid, struct registers *registers)
{
    struct iovec place = {registers, sizeof(*registers)};

    long result = tracee_request(PTRACE_GETREGSET, tid, NT_PRSTATUS, (long)&place);
    return result < 0 ? result : place.iov_len == sizeof(*registers) ? 0 : -EIO;
}

long tracee_set_registers(long tid, struct registers *registers)
{
    struct iovec place = {registers, sizeof(*registers)};

    return tracee_request(PTRACE_SETREGSET, tid, NT_PRSTATUS, (long)&place);
}

bool tracer_advance(struct tracer *tracer, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tracer->box->state, &from, to);
}

bool tracer_is_killed(const struct tracer *tracer)
{
    return (atomic_load(tracer->commands) & tracer->kill) != 0;
}

/* ---- Stops ------------------------------------------------------------------------------------- */

struct tracee *tracee_find(struct tracer *tracer, long tid)
{
    for (int i = 0; i < tracer->count; i++) {
        if (tracer->tracees[i].tid == tid)
            return &tracer->tracees[i];
    }
    return NULL;
}

void tracee_forget(struct tracer *tracer, struct tracee *tracee)
{
    *tracee = tracer->tracees[--tracer->count];
}

/* A dead thread that is traced stays a zombie until its tracer has looked, and an execve() of its
 * process waits for it. The first member's is kept for the guardian. */
static enum look bury(const struct tracer *tracer, long tid)
{
    if (tid != tracer->child)
        sys_call4(SYS_wait4, tid, 0, WNOHANG | __WALL, 0);
    return LOOK_GONE;
}

enum look tracee_look(const struct tracer *tracer, long tid, uint32_t *event)
{
    siginfo_t info = {0};

    /* ECHILD here can mean that it is dead: the dead do not stop. */
    long result = sys_call5(SYS_waitid, P_PID, tid, (long)&info, WSTOPPED | WNOHANG | __WALL, 0);
    if (result == 0 && info.si_pid != 0) {
        *event = (uint32_t)info.si_status;
        return LOOK_STOPPED;
    }
    info = (siginfo_t){0};
    result =
        sys_call5(SYS_waitid, P_PID, tid, (long)&info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0);
    if (result < 0)
        return LOOK_GONE;
    if (info.si_pid == 0 || info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED)
        return LOOK_RUNNING; /* a stop in between is found by the next look */
    return bury(tracer, tid);
}

void tracer_await_report(void)
{
    const uint64_t wanted = 1ULL << (SIGCHLD - 1);
    const struct timespec slice = {0, SLICE};

    sys_call4(SYS_rt_sigtimedwait, (long)&wanted, 0, (long)&slice, KERNEL_SIGSET_SIZE);
}

void tracee_note_stop(struct tracee *tracee, uint32_t event)
{
    tracee->stopped = true;
    /* Without an event on top the stop is for a signal, which goes on its way with the detach. */
    tracee->deliver =
        (uint8_t)(event >> 8 == 0 && (event & 0xff) != SYSCALL_STOP ? event & 0x7f : 0);
}

/* ---- /proc ------------------------------------------------------------------------------------- */

long tracer_open_proc(long tid, const char *name, long flags)
{
    char path[64];
    char *end = put_text(path, "/proc/");

    end = put_number(end, (unsigned long)tid);
    *end++ = '/';
    end = put_text(end, name);
    *end = '\0';
    return sys_call4(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0);
}

bool tracee_is_dead(long tid)
{
    char text[512];
    long fd = tracer_open_proc(tid, "stat", O_RDONLY);

    if (fd < 0)
        return fd == -ENOENT || fd == -ESRCH;
    long length = sys_call3(SYS_read, fd, (long)text, sizeof(text));
    sys_call1(SYS_close, fd);
    for (long i = length - 3; i >= 0; i--) { /* the name may contain ')' */
        if (text[i] == ')')
            return text[i + 2] == 'Z' || text[i + 2] == 'X';
    }
    return length == -ESRCH;
}

#endif
