/*
 * Making the caller send its descriptor: see tracing.h and kernel/fetch.h. Its registers, its signal mask and
 * the memory below its stack are used and put back; what it sees is that its call took a little longer.
 */
#include "bare/tracing.h"

#if defined(__x86_64__)

#define INJECTED_STOPS_MAX 32

#define RED_ZONE 128
#define SYSCALL_BYTES 0x050f /* "syscall", as a little-endian word */
#define USER_CS 0x33         /* 64-bit code */

/* One message with one descriptor and one byte, as the kernel reads it: struct msghdr, struct iovec,
 * control data, the byte. */
struct message {
    uint64_t name, name_length, vector, vector_count, control, control_length, flags;
    uint64_t base, length;
    uint64_t control_size;
    uint32_t level, type;
    int32_t descriptor, padding;
    uint64_t byte;
};

#define MESSAGE_WORDS (sizeof(struct message) / sizeof(uint64_t))

static long peek(long tid, uint64_t address, uint64_t *words, size_t count)
{
    long result = 0;

    for (size_t i = 0; i < count && result >= 0; i++)
        result = tracee_request(PTRACE_PEEKDATA, tid, (long)(address + 8 * i), (long)&words[i]);
    return result;
}

static long poke(long tid, uint64_t address, const uint64_t *words, size_t count)
{
    long result = 0;

    for (size_t i = 0; i < count && result >= 0; i++)
        result = tracee_request(PTRACE_POKEDATA, tid, (long)(address + 8 * i), (long)words[i]);
    return result;
}

/* Waits for the caller's next stop, not long. */
static long await_stop(struct tracer *tracer, struct tracee *caller, uint32_t *event)
{
    int64_t deadline = tracer_now() + TRACER_PATIENCE;
    bool waited = false;

    for (;;) {
        enum look look = tracee_look(tracer, caller->tid, event);
        if (look == LOOK_STOPPED) {
            caller->stopped = true;
            return 0;
        }
        /* A dead leader is not reported before its threads are buried, which comes later. */
        if (look == LOOK_GONE || (waited && tracee_is_dead(caller->tid)))
            return -ESRCH;
        if (tracer_is_killed(tracer) || tracer_now() > deadline)
            return -ETIMEDOUT;
        tracer_await_report();
        waited = true;
    }
}

/* On the way to its system call the caller can get elsewhere: by a restartable sequence whose abort it has
 * arranged (rseq(2)), or because a process that shares its memory rewrites the instruction. What it
 * runs there is its own code, but a call of its own, made while others stand still, is not to be. */
static bool is_entering(long tid, const struct registers *wanted)
{
    struct registers now;

    return tracee_get_registers(tid, &now) >= 0 && now.cs == USER_CS &&
           now.orig_rax == wanted->rax && now.rip == wanted->rip + 2 && now.rdi == wanted->rdi &&
           now.rsi == wanted->rsi && now.rdx == wanted->rdx;
}

/* In the middle of an injection there is no way back. The number is the process's own: it is traced. */
static long end_process(const struct tracer *tracer)
{
    sys_call2(SYS_kill, tracer->box->tgid, SIGKILL);
    return -ESRCH;
}

/* Runs one system call of the caller's to its end. Signals are blocked, but SIGSTOP cannot be: it is kept
 * for the detach. */
static long run_call(struct tracer *tracer, struct tracee *caller, struct registers *registers,
                     long *value)
{
    long result = tracee_set_registers(caller->tid, registers);
    int syscall_stops = 0;

    for (int i = 0; result >= 0 && i < INJECTED_STOPS_MAX; i++) {
        uint32_t event;
        result = tracee_request(PTRACE_SYSCALL, caller->tid, 0, 0);
        if (result < 0)
            return result;
        caller->stopped = false;
        result = await_stop(tracer, caller, &event);
        if (result < 0)
            return result == -ETIMEDOUT ? end_process(tracer) : result;
        if (event == SYSCALL_STOP && syscall_stops == 0 && !is_entering(caller->tid, registers))
            return end_process(tracer);
        if (event == SYSCALL_STOP && ++syscall_stops == 2) {
            struct registers after;
            result = tracee_get_registers(caller->tid, &after);
            *value = (long)after.rax;
            return result;
        }
        if (event >> 8 == 0 && event != SYSCALL_STOP)
            caller->deliver = (uint8_t)(event & 0x7f);
    }
    return result < 0 ? result : end_process(tracer);
}

/* The kernel's private results: the call was interrupted before it did anything. */
static bool is_interrupted(long value)
{
    return value == -EINTR || (value <= -512 && value >= -516);
}

/* Everything about the caller that the injection changes. */
struct injection {
    struct registers registers;
    uint64_t mask;
    uint64_t address;
    uint64_t words[MESSAGE_WORDS];
    bool words_saved, mask_saved;
};

/* The caller must stand where the answer brought it: behind its system call, which is to be restarted. */
static bool is_restarting(const struct fetch_mailbox *box, const struct registers *registers)
{
    return registers->cs == USER_CS && registers->rax == (uint64_t)-FETCH_RESTART &&
           registers->orig_rax == (uint64_t)box->number;
}

static bool is_behind_syscall(long tid, const struct registers *registers)
{
    uint64_t bytes = 0;

    return peek(tid, registers->rip - 2, &bytes, 1) >= 0 && (bytes & 0xffff) == SYSCALL_BYTES;
}

static long prepare(const struct fetch_mailbox *box, struct injection *injection)
{
    const uint64_t all = UINT64_MAX;
    uint64_t address =
        (injection->registers.rsp - RED_ZONE - sizeof(struct message)) & ~(uint64_t)15;
    struct message message = {
        .vector = address + offsetof(struct message, base),
        .vector_count = 1,
        .control = address + offsetof(struct message, control_size),
        .control_length = 24, /* CMSG_SPACE(sizeof(int)) */
        .base = address + offsetof(struct message, byte),
        .length = 1,
        .control_size = 20, /* CMSG_LEN(sizeof(int)) */
        .level = 1,         /* SOL_SOCKET */
        .type = 1,          /* SCM_RIGHTS */
        .descriptor = box->wanted,
    };
    uint64_t words[MESSAGE_WORDS];

    injection->address = address;
    long result =
        tracee_request(PTRACE_GETSIGMASK, box->tid, KERNEL_SIGSET_SIZE, (long)&injection->mask);
    if (result >= 0)
        result = tracee_request(PTRACE_SETSIGMASK, box->tid, KERNEL_SIGSET_SIZE, (long)&all);
    injection->mask_saved = result >= 0;
    if (result >= 0)
        result = peek(box->tid, address, injection->words, MESSAGE_WORDS);
    if (result < 0)
        return result;
    injection->words_saved = true;
    __builtin_memcpy(words, &message, sizeof(message));
    return poke(box->tid, address, words, MESSAGE_WORDS);
}

static long send(struct tracer *tracer, struct tracee *caller, const struct injection *injection)
{
    const struct fetch_mailbox *box = tracer->box;
    struct registers registers = injection->registers;
    long value = 0;

    registers.rip -= 2;
    registers.orig_rax = UINT64_MAX; /* not in a system call: nothing is restarted here */
    registers.rax = SYS_sendmsg;
    registers.rdi = (uint64_t)box->channel;
    registers.rsi = injection->address;
    registers.rdx = FETCH_SEND_FLAGS;
    atomic_store(&tracer->box->message, injection->address);
    if (!tracer_advance(tracer, FETCH_GO, FETCH_SENDING))
        return -EPERM;
    long result = run_call(tracer, caller, &registers, &value);
    return result < 0 ? result : value;
}

static long close_channel(struct tracer *tracer, struct tracee *caller,
                          const struct injection *injection)
{
    struct registers registers = injection->registers;
    long value = 0;

    registers.rip -= 2;
    registers.orig_rax = UINT64_MAX;
    registers.rax = SYS_close;
    registers.rdi = (uint64_t)tracer->box->channel;
    return run_call(tracer, caller, &registers, &value);
}

/* Back to where the caller was: in front of its call, or behind it with an error. */
static void restore(struct tracee *caller, struct injection *injection, long sent)
{
    struct registers *registers = &injection->registers;

    if (injection->words_saved)
        poke(caller->tid, injection->address, injection->words, MESSAGE_WORDS);
    if (sent >= 0 || is_interrupted(sent)) {
        registers->rip -= 2;
        registers->rax = registers->orig_rax;
    } else {
        registers->rax = (uint64_t)(sent == -EBADF ? -EBADF : -EPERM);
    }
    registers->orig_rax = UINT64_MAX;
    tracee_set_registers(caller->tid, registers);
    if (injection->mask_saved)
        tracee_request(PTRACE_SETSIGMASK, caller->tid, KERNEL_SIGSET_SIZE, (long)&injection->mask);
}

uint32_t tracer_inject(struct tracer *tracer, struct tracee *caller)
{
    struct injection injection = {0};
    uint32_t event;

    long result = await_stop(tracer, caller, &event);
    if (result < 0)
        return FETCH_FAILED;
    tracee_note_stop(caller, event);
    result = tracee_get_registers(caller->tid, &injection.registers);
    if (result < 0 || !is_restarting(tracer->box, &injection.registers))
        return FETCH_FAILED;
    if (!is_behind_syscall(caller->tid, &injection.registers)) {
        restore(caller, &injection, -EPERM);
        return FETCH_FAILED;
    }
    long sent = prepare(tracer->box, &injection);
    if (sent >= 0)
        sent = send(tracer, caller, &injection);
    if (sent == -ESRCH || sent == -ETIMEDOUT)
        return FETCH_FAILED;
    tracer_advance(tracer, FETCH_SENDING, FETCH_SENT); /* nothing passes any more */
    if (close_channel(tracer, caller, &injection) < 0)
        return FETCH_FAILED;
    restore(caller, &injection, sent);
    return sent >= 0 ? FETCH_DONE : is_interrupted(sent) ? FETCH_AGAIN : FETCH_FAILED;
}

#endif
