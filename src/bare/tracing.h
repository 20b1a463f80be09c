/* What the files of the tracer share (tracer.c, tracee.c, stop.c, inject.c). No other file includes this.
 * The functions are those of x86-64; elsewhere there is no tracer. */
#ifndef SANDLOCK_BARE_TRACING_H
#define SANDLOCK_BARE_TRACING_H

#include "bare/tracer.h"
#include "kernel/sys.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>

#define KERNEL_SIGSET_SIZE 8

#define TRACER_PATIENCE 1000000000L /* for what a busy machine delays */

/* A stop at the beginning or the end of a system call (PTRACE_O_TRACESYSGOOD). */
#define SYSCALL_STOP (SIGTRAP | 0x80)

/* The layout of user_regs_struct, <sys/user.h>. */
struct registers {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip,
        cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

enum look { LOOK_RUNNING, LOOK_STOPPED, LOOK_GONE };

/* ptrace(2), with the results of the kernel. */
long tracee_request(long request, long tid, long address, long data);
long tracee_get_registers(long tid, struct registers *registers);
long tracee_set_registers(long tid, struct registers *registers);

struct tracee *tracee_find(struct tracer *tracer, long tid);
void tracee_forget(struct tracer *tracer, struct tracee *tracee);

/* Whether the thread stands in a stop that was not seen yet: *event is its status, the signal and the ptrace
 * event above it. A dead one is buried. */
enum look tracee_look(const struct tracer *tracer, long tid, uint32_t *event);
void tracee_note_stop(struct tracee *tracee, uint32_t event);

/* True also for a leader that has ended while its process lives on, of which no wait tells: it cannot be
 * seized, and does nothing. */
bool tracee_is_dead(long tid);

/* Opens "/proc/TID/NAME". */
long tracer_open_proc(long tid, const char *name, long flags);

int64_t tracer_now(void);
bool tracer_is_killed(const struct tracer *tracer);
bool tracer_advance(struct tracer *tracer, uint32_t from, uint32_t to); /* the mailbox's state */

/* Until some tracee reports, but not long: reports merge. */
void tracer_await_report(void);

/* Stops all threads of the mailbox's process but the caller, which waits for the answer to its call. 0, or
 * -errno: then some may be stopped. (stop.c) */
long tracer_stop_process(struct tracer *tracer);

/* From GO on. The state that ends the fetch. (inject.c) */
uint32_t tracer_inject(struct tracer *tracer, struct tracee *caller);

#endif
