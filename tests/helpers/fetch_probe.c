/*
 * Programs whose descriptors are fetched while they are busy with something else.
 *
 *     fetch_probe connects PORT THREADS COUNT [MICROSECONDS]
 *         each thread connects COUNT times to 127.0.0.1:PORT, with a SIGALRM that often. THREADS 0: the first
 *         thread alone. With signals it goes on until some have come. Prints "failed: N", "handled: N", the number
 *         of signals, and "connected: N".
 *     fetch_probe killed PORT COUNT THREADS
 *         COUNT times a child that connects without end in so many further threads, killed at some moment.
 *         Prints "killed: N".
 *     fetch_probe executed PORT COUNT
 *         COUNT times an execve() while other threads connect. Prints "executed: OK".
 *     fetch_probe table
 *         a process that shares the descriptor table of another one. Prints "table: RESULT".
 *     fetch_probe race send SECONDS ADDRESS
 *     fetch_probe race connect SECONDS ADDRESS PORT
 *         A thread puts datagram sockets in the place of every descriptor that comes up, and ADDRESS
 *         (inet:PORT, unix:PATH) into the memory below the other thread's stack, as the name of a message.
 *         The other thread sends such messages itself over a socket of its own, or connects to
 *         127.0.0.1:PORT. Prints "calls: N", those that succeeded.
 */
#define _GNU_SOURCE
#include "probe.h"

#include "fetch_target.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static struct sockaddr_in server = {.sin_family = AF_INET};
static int count;
static int interval; /* of the signals, 0: none */
static atomic_int failed, handled, connected;

static void on_alarm(int number)
{
    (void)number;
    handled++;
}

static bool connect_once(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&server, sizeof(server));

    close(fd);
    return result == 0;
}

#define SIGNALS_MIN 8

static void *connect_often(void *data)
{
    (void)data;
    for (int i = 0; i < count || (interval > 0 && handled <= SIGNALS_MIN); i++) {
        bool done = connect_once();
        connected += done;
        failed += !done;
    }
    return NULL;
}

static atomic_int *ever_connected; /* shared with the children, where somebody asks */

static void *connect_always(void *data)
{
    (void)data;
    for (;;) {
        if (connect_once() && ever_connected != NULL)
            *ever_connected = 1;
    }
    return NULL;
}

static int run_connects(int threads)
{
    pthread_t made[64];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, interval}, {0, interval}};

    if (interval > 0) {
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
    }
    if (threads == 0)
        connect_often(NULL);
    for (int i = 0; i < threads && i < 64; i++)
        pthread_create(&made[i], NULL, connect_often, NULL);
    for (int i = 0; i < threads && i < 64; i++)
        pthread_join(made[i], NULL);
    printf("failed: %d\nhandled: %d\nconnected: %d\n", failed, handled, connected);
    return 0;
}

static int run_killed(int threads)
{
    int killed = 0;

    ever_connected = mmap(NULL, sizeof(*ever_connected), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ever_connected == MAP_FAILED)
        return 1;
    srand(1);
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int other = 0; other < threads; other++)
                pthread_create(&thread, NULL, connect_always, NULL);
            connect_always(NULL);
        }
        int status = 0;
        usleep((useconds_t)(rand() % 6000));
        for (int waits = 0; waits < 20000 && !*ever_connected; waits++)
            usleep(1000); /* a busy machine */
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }
    printf("killed: %d\n", killed);
    return 0;
}

static int run_executed(char **argv)
{
    pthread_t thread;
    char left[16];

    if (count == 0) {
        printf("executed: OK\n");
        return 0;
    }
    for (int other = 0; other < 3; other++)
        pthread_create(&thread, NULL, connect_always, NULL);
    srand((unsigned)count);
    usleep((useconds_t)(rand() % 4000));
    snprintf(left, sizeof(left), "%d", count - 1);
    execl(argv[0], argv[0], argv[1], argv[2], left, (char *)NULL);
    printf("executed: %s\n", probe_errno_name(errno));
    return 1;
}

static int run_table(void)
{
    long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

    if (child == 0)
        _exit(0);
    probe_report("table", child);
    if (child > 0)
        waitpid((pid_t)child, NULL, 0);
    return 0;
}

#if defined(__x86_64__)
/* ---- The race -------------------------------------------------------------------------------------- */

enum { MESSAGE_SIZE = 104, RED_ZONE = 128, FIRST = 20, LAST = 60, SEND_FLAGS = 0x4040 };

static _Atomic uint64_t stack;
static atomic_bool over;

/* Where the message lies, see bare/tracer.c. */
static struct msghdr *message_place(void)
{
    return (struct msghdr *)((stack - RED_ZONE - MESSAGE_SIZE) & ~(uint64_t)15); /* NOLINT */
}

/* Only calls, no libc: the other thread's stack must not be used where we write. */
static void *race(void *data)
{
    (void)data;
    while (!over) {
        if (stack != 0) {
            struct msghdr *message = message_place();
            message->msg_name = &target;
            message->msg_namelen = target_length;
        }
        for (int fd = FIRST; fd <= LAST; fd++)
            syscall(SYS_dup2, datagrams, fd);
        for (int fd = FIRST; fd <= LAST; fd++)
            syscall(SYS_close, fd);
    }
    return NULL;
}

/* One call from a known place of the stack. */
static inline __attribute__((always_inline)) long call3(long number, long first, long second,
                                                        long third)
{
    long result;

    __asm__ volatile("movq %%rsp, %[stack]\n\tsyscall"
                     : "=a"(result), [stack] "=m"(stack)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

/* What a careless tracer would make the thread do: a message on its stack, over a descriptor that others
 * can replace. */
static long send_loop(int64_t end)
{
    long calls = 0;
    struct timespec now;
    static char byte;
    static struct iovec vector = {&byte, 1};

    do {
        int fds[2];
        if (syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
            continue;
        call3(SYS_getpid, 0, 0, 0); /* tells where the stack is */
        struct msghdr *message = message_place();
        message->msg_control = NULL;
        message->msg_controllen = 0;
        message->msg_iov = &vector;
        message->msg_iovlen = 1;
        calls += call3(SYS_sendmsg, fds[1], (long)message, SEND_FLAGS) > 0;
        syscall(SYS_close, fds[0]);
        syscall(SYS_close, fds[1]);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end);
    return calls;
}

static long connect_loop(int64_t end)
{
    long calls = 0;
    struct timespec now;

    do {
        long fd = call3(SYS_socket, AF_INET, SOCK_STREAM, 0);
        calls += call3(SYS_connect, fd, (long)&server, sizeof(server)) == 0;
        call3(SYS_close, fd, 0, 0);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end);
    return calls;
}

static int run_race(bool connects, int seconds, const char *address)
{
    pthread_t thread;
    struct timespec now;

    if (!parse_target(address)) {
        printf("target: %s\n", probe_errno_name(errno));
        return 1;
    }
    /* The numbers below FIRST are taken: what comes up lies where the race is. */
    while (dup(0) < FIRST - 1)
        continue;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_create(&thread, NULL, race, NULL);
    long calls = connects ? connect_loop(now.tv_sec + seconds) : send_loop(now.tv_sec + seconds);
    over = true;
    pthread_join(thread, NULL);
    printf("calls: %ld\n", calls);
    return 0;
}
#endif

int main(int argc, char **argv)
{
    if (argc > 2)
        server.sin_port = htons((uint16_t)atoi(argv[2]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc >= 5 && strcmp(argv[1], "connects") == 0) {
        count = atoi(argv[4]);
        interval = argc > 5 ? atoi(argv[5]) : 0;
        return run_connects(atoi(argv[3]));
    }
    if (argc == 5 && strcmp(argv[1], "killed") == 0) {
        count = atoi(argv[3]);
        return run_killed(atoi(argv[4]));
    }
    if (argc == 4 && strcmp(argv[1], "executed") == 0) {
        count = atoi(argv[3]);
        return run_executed(argv);
    }
    if (argc == 2 && strcmp(argv[1], "table") == 0)
        return run_table();
#if defined(__x86_64__)
    if (argc >= 5 && strcmp(argv[1], "race") == 0) {
        bool connects = strcmp(argv[2], "connect") == 0 && argc == 6;
        if (connects)
            server.sin_port = htons((uint16_t)atoi(argv[5]));
        return run_race(connects, atoi(argv[3]), argv[4]);
    }
#else
    if (argc >= 5 && strcmp(argv[1], "race") == 0) {
        printf("unsupported: written for x86-64\n");
        return 0;
    }
#endif
    fprintf(stderr, "usage: fetch_probe connects|killed|executed|table|race ...\n");
    return 2;
}
