/*
 * Makes processes and touches processes, for tests of the process limit and the process gate:
 *
 *   process_probe storm THREADS SECONDS [CLONE]  threads fork short-lived children as fast as they can;
 *                                      prints "storm: forked F refused R most M" where M is the
 *                                      most processes alive at once by their own count, this included
 *   process_probe sequential KIND COUNT   one child after the other; KIND: wait, ignore (SIGCHLD
 *                                      ignored), nohang, kill (at once), double (fork), vfork,
 *                                      clone (raw), signals (under an interval timer);
 *                                      prints "sequential KIND: ok N refused M"
 *   process_probe fill [leader]        children that stay until fork fails; prints "fill: N" without
 *                                      this process; with "leader" their first thread has ended
 *   process_probe zombies COUNT        children that ended and are not waited for; "zombies: N"
 *   process_probe threads COUNT        "threads: N"
 *   process_probe setpgid PID GROUP    and so on: one call, "setpgid: OK" or the errno
 *   process_probe prlimit PID          sets RLIMIT_CORE of PID to what it is here
 *   process_probe setpriority WHICH WHO | ioprio WHICH WHO | scheduler PID | param PID | attr PID
 *   process_probe affinity PID CPU...  sets the mask of PID to these processors
 *   process_probe own                  all of them on itself by number, from a second thread on
 *                                      process, thread and the other thread; all must be OK
 *   process_probe jobs                 what a shell with job control does to its groups; all must be OK
 */
#define _GNU_SOURCE
#include "patience.h"
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

struct counters {
    atomic_long alive, most, forked, refused;
};

static struct counters *counters; /* shared with the children */

static void note_alive(void)
{
    long now = atomic_fetch_add(&counters->alive, 1) + 1;
    long most = atomic_load(&counters->most);

    while (now > most && !atomic_compare_exchange_weak(&counters->most, &most, now))
        ;
}

static void pause_for(long microseconds)
{
    struct timespec span = {microseconds / 1000000, microseconds % 1000000 * 1000};

    nanosleep(&span, NULL);
}

static long raw_clone(unsigned long flags)
{
    return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

/* ---- storm ---------------------------------------------------------------------------------------- */

static atomic_int storm_over;
static int storm_by_clone;

static void *storm(void *data)
{
    unsigned seed = (unsigned)(uintptr_t)data;

    while (!atomic_load(&storm_over)) {
        long stay = rand_r(&seed) % 4000;
        pid_t pid = storm_by_clone ? (pid_t)raw_clone(0) : fork();
        if (pid == 0) {
            note_alive();
            if (stay > 500)
                pause_for(stay);
            atomic_fetch_sub(&counters->alive, 1);
            _exit(0);
        }
        if (pid < 0) {
            atomic_fetch_add(&counters->refused, 1);
            if (errno != EAGAIN)
                printf("storm: %s\n", probe_errno_name(errno));
        } else {
            atomic_fetch_add(&counters->forked, 1);
            waitpid(pid, NULL, 0);
        }
    }
    return NULL;
}

#define ENOUGH 60

static int run_storm(int threads, int seconds)
{
    pthread_t ids[256];

    note_alive();
    for (int i = 0; i < threads && i < 256; i++)
        pthread_create(&ids[i], NULL, storm, (void *)(uintptr_t)(i + 1));
    for (double end = now_ms() + seconds * 1e3;
         goes_on(end, atomic_load(&counters->forked), ENOUGH);)
        pause_for(10000);
    atomic_store(&storm_over, 1);
    for (int i = 0; i < threads && i < 256; i++)
        pthread_join(ids[i], NULL);
    printf("storm: forked %ld refused %ld most %ld\n", atomic_load(&counters->forked),
           atomic_load(&counters->refused), atomic_load(&counters->most));
    return 0;
}

/* ---- sequential ----------------------------------------------------------------------------------- */

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

static void start_signals(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 500}, {0, 500}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static pid_t start_child(const char *kind)
{
    if (strcmp(kind, "vfork") == 0) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(0);
        return pid;
    }
    pid_t pid = strcmp(kind, "clone") == 0 ? (pid_t)raw_clone(0) : fork();
    if (pid != 0)
        return pid;
    if (strcmp(kind, "kill") == 0)
        pause();
    if (strcmp(kind, "double") == 0) {
        pid_t inner = fork();
        _exit(inner < 0 ? 1 : 0);
    }
    _exit(0);
}

static int wait_for_child(const char *kind, pid_t pid)
{
    int status = 0;

    if (strcmp(kind, "kill") == 0)
        kill(pid, SIGKILL);
    if (strcmp(kind, "ignore") == 0) {
        while (waitpid(-1, NULL, 0) >= 0 || errno == EINTR)
            ;
        return 0;
    }
    if (strcmp(kind, "nohang") == 0) {
        while (waitpid(pid, &status, WNOHANG) == 0)
            sched_yield();
        return 0;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static int sequential(const char *kind, int count)
{
    long ok = 0, refused = 0;

    if (strcmp(kind, "ignore") == 0)
        signal(SIGCHLD, SIG_IGN);
    if (strcmp(kind, "signals") == 0)
        start_signals();
    for (int i = 0; i < count; i++) {
        pid_t pid = start_child(kind);
        if (pid < 0 || wait_for_child(kind, pid) != 0)
            refused++;
        else
            ok++;
    }
    printf("sequential %s: ok %ld refused %ld\n", kind, ok, refused);
    return refused != 0;
}

/* ---- fill, zombies, threads ----------------------------------------------------------------------- */

static void *stay(void *data)
{
    for (;;)
        pause();
    return data;
}

static void stay_without_leader(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, stay, NULL) != 0)
        _exit(1);
    syscall(SYS_exit, 0); /* this thread alone */
}

static int fill(int without_leader)
{
    pid_t pids[4096];
    int count = 0;

    while (count < 4096) {
        pid_t pid = fork();
        if (pid == 0) {
            if (without_leader)
                stay_without_leader();
            stay(NULL);
        }
        if (pid < 0)
            break;
        pids[count++] = pid;
        if (without_leader)
            pause_for(20000);
    }
    int error = errno;
    printf("fill: %d %s\n", count, probe_errno_name(error));
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

static int zombies(int count)
{
    int made = 0;

    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid < 0)
            break;
        siginfo_t info;
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
        made++;
    }
    printf("zombies: %d\n", made);
    return made != count;
}

static int threads(int count)
{
    int made = 0;

    for (int i = 0; i < count; i++) {
        pthread_t thread;
        made += pthread_create(&thread, NULL, stay, NULL) == 0;
    }
    printf("threads: %d\n", made);
    return made != count;
}

/* ---- Other processes ------------------------------------------------------------------------------ */

static int touch_prlimit(pid_t pid)
{
    struct rlimit64 {
        uint64_t soft, hard;
    } limit;

    syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &limit);
    return probe_report("prlimit", syscall(SYS_prlimit64, pid, RLIMIT_CORE, &limit, NULL));
}

static int touch_priority(int which, int who)
{
    return probe_report("setpriority", syscall(SYS_setpriority, which, who, 5));
}

static int touch_ioprio(int which, int who)
{
    return probe_report("ioprio", syscall(SYS_ioprio_set, which, who, 2 << 13 | 4));
}

static int touch_scheduler(pid_t pid)
{
    struct sched_param param = {0};

    return probe_report("scheduler", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &param));
}

static int touch_param(pid_t pid)
{
    struct sched_param param = {0};

    return probe_report("param", syscall(SYS_sched_setparam, pid, &param));
}

static int touch_attr(pid_t pid)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = 48, .nice = 5};

    return probe_report("attr", syscall(SYS_sched_setattr, pid, &attr, 0));
}

static int touch_affinity(pid_t pid, const unsigned long mask[16])
{
    return probe_report("affinity", syscall(SYS_sched_setaffinity, pid, 128, mask));
}

static int touch_all(pid_t pid)
{
    unsigned long mask[16] = {0};
    int good = 1;

    syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
    good &= touch_prlimit(pid);
    good &= touch_priority(PRIO_PROCESS, pid);
    good &= touch_ioprio(1, pid);
    good &= touch_scheduler(pid);
    good &= touch_param(pid);
    good &= touch_attr(pid);
    good &= touch_affinity(pid, mask);
    return good;
}

static atomic_int other_tid;

static void *own_from_thread(void *data)
{
    int *good = data;

    *good &= touch_all(getpid());
    *good &= touch_all((pid_t)syscall(SYS_gettid));
    *good &= touch_all(atomic_load(&other_tid));
    return NULL;
}

static void *show_tid(void *data)
{
    atomic_store(&other_tid, (int)syscall(SYS_gettid));
    return stay(data);
}

static int own(void)
{
    pthread_t other, thread;
    int good = 1;

    pthread_create(&other, NULL, show_tid, NULL);
    while (atomic_load(&other_tid) == 0)
        pause_for(1000);
    pthread_create(&thread, NULL, own_from_thread, &good);
    pthread_join(thread, NULL);
    return !good;
}

/* Two pipelines of three; the first process of each ends before the others join its group. */
static int jobs(void)
{
    int good = 1;

    for (int job = 0; job < 2; job++) {
        pid_t group = 0, pids[3];
        for (int i = 0; i < 3; i++) {
            pid_t pid = fork();
            if (pid == 0) {
                if (syscall(SYS_setpgid, 0, group) != 0)
                    _exit(1);
                if (i > 0)
                    pause_for(20000);
                _exit(0);
            }
            if (i == 0) {
                siginfo_t info;
                group = pid;
                waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* a zombie keeps the group */
            } else if (syscall(SYS_setpgid, pid, group) != 0 && errno != EACCES) {
                printf("jobs: setpgid %s\n", probe_errno_name(errno));
                good = 0;
            }
            pids[i] = pid;
        }
        for (int i = 0; i < 3; i++) {
            int status;
            waitpid(pids[i], &status, 0);
            good &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
        }
    }
    printf("jobs: %s\n", good ? "OK" : "failed");
    return !good;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int first = argc > 2 ? atoi(argv[2]) : 0, second = argc > 3 ? atoi(argv[3]) : 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    counters =
        mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counters == MAP_FAILED)
        return 2;
    if (strcmp(what, "storm") == 0 && argc >= 4) {
        storm_by_clone = argc > 4;
        return run_storm(first, second);
    }
    if (strcmp(what, "sequential") == 0 && argc == 4)
        return sequential(argv[2], second);
    if (strcmp(what, "fill") == 0)
        return fill(argc > 2);
    if (strcmp(what, "zombies") == 0 && argc == 3)
        return zombies(first);
    if (strcmp(what, "threads") == 0 && argc == 3)
        return threads(first);
    if (strcmp(what, "setpgid") == 0 && argc == 4)
        return !probe_report("setpgid", syscall(SYS_setpgid, first, second));
    if (strcmp(what, "prlimit") == 0 && argc == 3)
        return !touch_prlimit(first);
    if (strcmp(what, "setpriority") == 0 && argc == 4)
        return !touch_priority(first, second);
    if (strcmp(what, "ioprio") == 0 && argc == 4)
        return !touch_ioprio(first, second);
    if (strcmp(what, "scheduler") == 0 && argc == 3)
        return !touch_scheduler(first);
    if (strcmp(what, "param") == 0 && argc == 3)
        return !touch_param(first);
    if (strcmp(what, "attr") == 0 && argc == 3)
        return !touch_attr(first);
    if (strcmp(what, "affinity") == 0 && argc >= 3) {
        unsigned long mask[16] = {0};
        for (int i = 3; i < argc; i++)
            mask[atoi(argv[i]) / 64 % 16] |= 1UL << (atoi(argv[i]) % 64);
        return !touch_affinity(first, mask);
    }
    if (strcmp(what, "own") == 0)
        return own();
    if (strcmp(what, "jobs") == 0)
        return jobs();
    fprintf(stderr, "usage: see the head of process_probe.c\n");
    return 2;
}
