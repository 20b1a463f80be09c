/*
 * Makes calls that a supervisor has to answer, in ways that are meant to upset it:
 *
 *     trap_probe malformed PATH             every trapped call with pointers, lengths and numbers that are
 *                                           wrong in all ways; prints "calls: N" and then "good: RESULT"
 *                                           of a proper chmod of PATH
 *     trap_probe flood THREADS SECONDS PATH threads make proper calls as fast as they can; prints
 *                                           "good: N" and "bad: N". SECONDS 0: until the input ends, and
 *                                           "flooding" once many calls have been answered
 *     trap_probe vanish ROUNDS PATH         processes are killed while their threads wait for answers; then
 *                                           "good: RESULT" of a proper chmod
 *     trap_probe interrupt SECONDS PATH     calls under a 1 kHz timer signal; "good: N" "bad: N" "signals: N"
 *     trap_probe repeat COUNT PATH          COUNT calls under a signal that restarts none of them: a call that
 *                                           fails with EINTR must have done nothing; "good: N",
 *                                           "interrupted: N", "done: N" of the interrupted ones all the same
 *     trap_probe many COUNT PATH            COUNT processes at once, each making calls; "good: N" "bad: N"
 */
#define _GNU_SOURCE
#include "patience.h"
#include "probe.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define FLOOD 1000 /* calls */
#define ENOUGH 250 /* calls and signals */

static const char *good_path;
static atomic_long good, bad;
static atomic_int over;
static volatile sig_atomic_t signals;

static long proper_call(unsigned turn)
{
    struct rlimit limit = {1024, 1024};

    switch (turn % 4) {
    case 0:
        return syscall(SYS_fchmodat, AT_FDCWD, good_path, 0600);
    case 1: { /* a question about itself by number, which passes by the filter only for 0 */
        getrlimit(RLIMIT_STACK, &limit);
        limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
        return syscall(SYS_prlimit64, getpid(), RLIMIT_STACK, &limit, NULL);
    }
    case 2:
        return syscall(SYS_utimensat, AT_FDCWD, good_path, NULL, 0);
    default:
        return syscall(SYS_setpriority, PRIO_PROCESS, getpid(), getpriority(PRIO_PROCESS, 0));
    }
}

static void *call_until_over(void *unused)
{
    for (unsigned turn = 0; !atomic_load(&over); turn++) {
        if (proper_call(turn) >= 0)
            atomic_fetch_add(&good, 1);
        else
            atomic_fetch_add(&bad, 1);
    }
    return unused;
}

static void pause_for(long microseconds)
{
    struct timespec span = {microseconds / 1000000, microseconds % 1000000 * 1000};

    while (nanosleep(&span, &span) != 0 && errno == EINTR)
        ;
}

static int print_counts(void)
{
    printf("good: %ld\nbad: %ld\n", atomic_load(&good), atomic_load(&bad));
    fflush(stdout);
    return 0;
}

static int flood(int threads, int seconds)
{
    pthread_t ids[64];

    threads = threads < 64 ? threads : 64;
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, call_until_over, NULL);
    if (seconds == 0) {
        while (atomic_load(&good) <= FLOOD)
            pause_for(1000);
        puts("flooding");
        fflush(stdout);
        (void)getchar();
    }
    pause_for(seconds * 1000000L);
    atomic_store(&over, 1);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return print_counts();
}

/* ---- Wrong arguments ------------------------------------------------------------------------------ */

static int malformed(void)
{
    static const int numbers[] = {
#ifdef SYS_chmod
        SYS_chmod,
        SYS_chown,
        SYS_lchown,
        SYS_utime,
        SYS_utimes,
        SYS_futimesat,
#endif
        SYS_fchmod,
        SYS_fchmodat,
        452 /* fchmodat2 */,
        SYS_fchown,
        SYS_fchownat,
        SYS_utimensat,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_fsetxattr,
        SYS_removexattr,
        SYS_lremovexattr,
        SYS_fremovexattr,
        463 /* setxattrat */,
        466 /* removexattrat */,
        469 /* file_setattr */,
        SYS_setpgid,
        SYS_setpriority,
        SYS_sched_setaffinity,
        SYS_sched_setscheduler,
        SYS_sched_setparam,
        SYS_sched_setattr,
        SYS_ioprio_set,
    };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long calls = 0;

    if (pages == MAP_FAILED)
        return 2;
    memset(pages, 'a', 4 * page);
    strcpy(pages + page, good_path);
    mprotect(pages + 2 * page, page, PROT_NONE);
    munmap(pages + 3 * page, page);
    const uint64_t values[] = {
        0,
        1,
        (uint64_t)-1,
        (uint64_t)-100 /* AT_FDCWD */,
        0x7fffffffffffffffULL,
        0xffff888000000000ULL /* the kernel's */,
        0x100000000ULL,
        (uint64_t)(uintptr_t)pages /* no end for a page */,
        (uint64_t)(uintptr_t)(pages + page) /* a path */,
        (uint64_t)(uintptr_t)(pages + 2 * page - 3) /* ends in what cannot be read */,
        (uint64_t)(uintptr_t)(pages + 2 * page),
        (uint64_t)(uintptr_t)(pages + 3 * page),
    };
    enum { VALUES = sizeof(values) / sizeof(values[0]) };

    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
        for (unsigned i = 0; i < VALUES * VALUES; i++) {
            uint64_t first = values[i % VALUES], second = values[i / VALUES];
            uint64_t third = values[(i * 7 + 3) % VALUES], fourth = values[(i * 5 + 1) % VALUES];
            uint64_t fifth = values[(i * 11 + 2) % VALUES];
            syscall(numbers[n], first, second, third, fourth, fifth, values[i % 5]);
            calls++;
        }
    }
    printf("calls: %ld\n", calls);
    return !probe_report("good", syscall(SYS_fchmodat, AT_FDCWD, good_path, 0640));
}

/* ---- Deaths in the middle ------------------------------------------------------------------------- */

static int vanish(int rounds)
{
    unsigned seed = (unsigned)getpid();

    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int i = 0; i < 3; i++)
                pthread_create(&thread, NULL, call_until_over, NULL);
            call_until_over(NULL);
        }
        pause_for(500 + rand_r(&seed) % 3000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return !probe_report("good", syscall(SYS_fchmodat, AT_FDCWD, good_path, 0640));
}

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static int interrupt(int seconds)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    double end = now_ms() + seconds * 1e3;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (unsigned turn = 0; goes_on(end, signals < good ? signals : good, ENOUGH); turn++) {
        if (proper_call(turn) >= 0)
            atomic_fetch_add(&good, 1);
        else
            atomic_fetch_add(&bad, 1);
    }
    printf("signals: %ld\n", (long)signals);
    return print_counts();
}

/* The path is led in circles, so that most signals come while the call is being performed. */
static int repeat(int count)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval timer = {{0, 150}, {0, 150}};
    long interrupted = 0, done = 0;
    char path[PATH_MAX];
    struct stat status;

    const char *slash = strrchr(good_path, '/');
    int length = snprintf(path, sizeof(path), "%.*s", (int)(slash - good_path), good_path);
    while (length < PATH_MAX - 512)
        length += snprintf(path + length, sizeof(path) - (size_t)length, "/.");
    snprintf(path + length, sizeof(path) - (size_t)length, "%s", slash);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < count; i++) {
        if (stat(good_path, &status) != 0)
            return 1;
        mode_t other = (status.st_mode & 07777) == 0600 ? 0640 : 0600;
        if (syscall(SYS_fchmodat, AT_FDCWD, path, other) == 0) {
            atomic_fetch_add(&good, 1);
        } else if (errno == EINTR) {
            interrupted++;
            if (stat(good_path, &status) == 0 && (status.st_mode & 07777) == other)
                done++;
        } else {
            atomic_fetch_add(&bad, 1);
        }
    }
    printf("interrupted: %ld\ndone: %ld\n", interrupted, done);
    return print_counts();
}

static int many(int count)
{
    atomic_long *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (unsigned turn = 0; turn < 40; turn++)
                atomic_fetch_add(&shared[proper_call(turn) >= 0 ? 0 : 1], 1);
            pause_for(300000);
            _exit(0);
        }
        if (child < 0)
            atomic_fetch_add(&shared[1], 1);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    atomic_store(&good, atomic_load(&shared[0]));
    atomic_store(&bad, atomic_load(&shared[1]));
    return print_counts();
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    good_path = argv[argc - 1];
    if (strcmp(what, "malformed") == 0 && argc == 3)
        return malformed();
    if (strcmp(what, "flood") == 0 && argc == 5)
        return flood(atoi(argv[2]), atoi(argv[3]));
    if (strcmp(what, "vanish") == 0 && argc == 4)
        return vanish(atoi(argv[2]));
    if (strcmp(what, "interrupt") == 0 && argc == 4)
        return interrupt(atoi(argv[2]));
    if (strcmp(what, "repeat") == 0 && argc == 4)
        return repeat(atoi(argv[2]));
    if (strcmp(what, "many") == 0 && argc == 4)
        return many(atoi(argv[2]));
    fprintf(stderr, "usage: see the head of trap_probe.c\n");
    return 2;
}
