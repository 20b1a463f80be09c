/*
 * Tries to outlive its sandbox. The last argument is a mark that the test finds in command lines; it
 * has no other meaning.
 *
 *     survivor daemon MARK        a grandchild in a session of its own, every signal ignored
 *     survivor groups COUNT MARK  COUNT processes, each the leader of a group or session of its own
 *     survivor threads MARK       a process whose first thread has ended
 *     survivor stopped MARK       a process that has stopped itself
 *     survivor holder MARK        a process that keeps the standard output open
 *     survivor storm MARK         processes that fork without end, in new sessions; at the most there may
 *                                 be at once they wait for a place, so that they leave processors alone
 *     survivor litters COUNT MARK COUNT processes that leave behind children by the dozen, which end at once
 *     survivor asking COUNT MARK  COUNT processes that make calls for the supervisor, over and over
 *     survivor traced COUNT MARK  COUNT orphans that ask to be traced, and stop, over and over
 *     survivor user MARK          a process that has become another user, or says why it could not
 *     survivor chain MARK         a process that forks and exits, over and over; it keeps the standard
 *                                 output open, whose end is the proof that it is over: no list of
 *                                 processes shows one that moves on faster than it is read
 *
 * When everything runs it prints "up". "exit" as a further argument then ends it with code 7; otherwise
 * it stays.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>

/* More than any launch has, few enough to be over within the patience of a busy machine's tests. */
#define STORM_MAX 200
#define STORM_PAUSE_NS 5000000
#define LITTER 39
#define LITTERS_MAX 1000 /* the machine's numbers are for all */

static int ready[2]; /* a byte per process that is in place */

static void ignore_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

/* Whoever waits for the end of the standard output must not wait for a survivor. */
static void close_output(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++) {
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    }
}

static void stay(void)
{
    if (write(ready[1], "x", 1) < 0)
        _exit(1);
    for (;;)
        pause();
}

static void wait_until_ready(int count)
{
    char byte;

    for (int i = 0; i < count; i++) {
        if (read(ready[0], &byte, 1) != 1)
            exit(3);
    }
}

static void start_daemon(void)
{
    pid_t child = fork();

    if (child == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        setsid();
        ignore_signals();
        close_output();
        stay();
    }
    waitpid(child, NULL, 0);
}

static void start_groups(int count)
{
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) {
            fprintf(stderr, "survivor: fork: %s\n", strerror(errno));
            exit(3);
        }
        if (child == 0) {
            if (i % 2 == 0)
                setsid();
            else
                setpgid(0, 0);
            ignore_signals();
            close_output();
            stay();
        }
    }
}

static void *leave_first_thread(void *unused)
{
    stay();
    return unused;
}

static void start_threads(void)
{
    pid_t child = fork();

    if (child == 0) {
        pthread_t thread;
        setsid();
        ignore_signals();
        close_output();
        pthread_create(&thread, NULL, leave_first_thread, NULL);
        pthread_exit(NULL);
    }
}

static void start_stopped(void)
{
    pid_t child = fork();

    if (child == 0) {
        setsid();
        close_output();
        if (write(ready[1], "x", 1) < 0)
            _exit(1);
        for (;;)
            raise(SIGSTOP);
    }
}

static void start_holder(void)
{
    if (fork() == 0) {
        setsid();
        ignore_signals();
        stay();
    }
}

static void start_storm(void)
{
    const struct timespec pause = {0, STORM_PAUSE_NS};
    atomic_int *alive =
        mmap(NULL, sizeof(*alive), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    atomic_store(alive, 1);
    if (fork() != 0)
        return;
    ignore_signals(); /* children are reaped by themselves */
    close_output();
    if (write(ready[1], "x", 1) < 0)
        _exit(1);
    for (;;) {
        if (atomic_load(alive) >= STORM_MAX) {
            nanosleep(&pause, NULL);
            continue;
        }
        atomic_fetch_add(alive, 1);
        pid_t child = fork();
        if (child < 0)
            atomic_fetch_sub(alive, 1);
        if (child == 0)
            setsid();
        if (child > 0 && getpid() % 3 == 0) { /* some end, so that numbers move on */
            atomic_fetch_sub(alive, 1);
            _exit(0);
        }
    }
}

/* Also where the sandbox fails to end them. */
static bool is_time(time_t end)
{
    return time(NULL) < end;
}

static int end_at_once(void *unused)
{
    (void)unused;
    _exit(0);
}

/* All in one memory and in a row, so that a child costs its maker less than whoever must reap it. */
static char litter_stacks[LITTER + 1][4096] __attribute__((aligned(16)));

static int leave_litter(void *unused)
{
    (void)unused;
    for (int i = 1; i <= LITTER; i++)
        clone(end_at_once, litter_stacks[i] + sizeof(litter_stacks[i]), CLONE_VM | SIGCHLD, NULL);
    _exit(0);
}

/* With the dead that nobody has reaped yet, whom no limit of a user's counts. */
static int tasks_of_the_machine(void)
{
    struct sysinfo info = {0};

    sysinfo(&info);
    return info.procs;
}

/* COUNT processes in sessions of their own that do this until it is time. */
static void start_busy(int count, void (*act)(void))
{
    const time_t end = time(NULL) + 100;

    for (int i = 0; i < count; i++) {
        if (fork() != 0)
            continue;
        setsid();
        close_output();
        if (write(ready[1], "x", 1) < 0)
            _exit(1);
        while (is_time(end))
            act();
        _exit(0);
    }
}

static int litter_limit;

static void litter(void)
{
    const struct timespec pause = {0, 1000000};

    if (tasks_of_the_machine() > litter_limit) {
        nanosleep(&pause, NULL);
        return;
    }
    pid_t mother = clone(leave_litter, litter_stacks[0] + sizeof(litter_stacks[0]),
                         CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    if (mother > 0)
        waitpid(mother, NULL, 0);
}

static void ask(void)
{
    (void)!chmod("/nonexistent", 0);
}

static void start_traced(int count)
{
    const time_t end = time(NULL) + 100;

    for (int i = 0; i < count; i++) {
        pid_t parent = fork();
        if (parent != 0) {
            waitpid(parent, NULL, 0);
            continue;
        }
        if (fork() != 0)
            _exit(0);
        setsid();
        close_output();
        if (write(ready[1], "x", 1) < 0)
            _exit(1);
        while (is_time(end)) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGWINCH);
        }
        _exit(0);
    }
}

static void start_user(void)
{
    if (fork() == 0) {
        setsid();
        ignore_signals();
        probe_report("user", syscall(SYS_setresuid, 54321, 54321, 54321));
        close_output();
        stay();
    }
}

static void start_chain(void)
{
    if (fork() != 0)
        return;
    ignore_signals();
    if (write(ready[1], "x", 1) < 0)
        _exit(1);
    const time_t end = time(NULL) + 60;
    while (is_time(end)) {
        if (fork() > 0)
            _exit(0);
        setsid();
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    int count = 1;

    if (pipe2(ready, O_CLOEXEC) != 0)
        return 3;
    litter_limit = tasks_of_the_machine() + LITTERS_MAX;
    if (strcmp(what, "daemon") == 0)
        start_daemon();
    else if (strcmp(what, "groups") == 0)
        start_groups(count = atoi(argv[2]));
    else if (strcmp(what, "threads") == 0)
        start_threads();
    else if (strcmp(what, "stopped") == 0)
        start_stopped();
    else if (strcmp(what, "holder") == 0)
        start_holder();
    else if (strcmp(what, "storm") == 0)
        start_storm();
    else if (strcmp(what, "litters") == 0)
        start_busy(count = atoi(argv[2]), litter);
    else if (strcmp(what, "asking") == 0)
        start_busy(count = atoi(argv[2]), ask);
    else if (strcmp(what, "traced") == 0)
        start_traced(count = atoi(argv[2]));
    else if (strcmp(what, "user") == 0)
        start_user();
    else if (strcmp(what, "chain") == 0)
        start_chain();
    else
        return 2;
    wait_until_ready(count);
    puts("up");
    fflush(stdout);
    if (strcmp(argv[argc - 1], "exit") == 0)
        return 7;
    for (;;)
        pause();
}
