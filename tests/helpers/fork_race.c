/*
 * Forks while the processes are counted: somebody forks many and ends at once, so that they change their parent
 * while the tree is walked. The last argument tells who: "process" or "thread". Prints the largest number of
 * processes that were alive at once and how often the limit was reached.
 * Usage: fork_race IDLE MANY ROUNDS process|thread, under a limit of IDLE + MANY + 3.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 512
#define THREADS 150

static struct shared {
    atomic_bool start, forked;
    atomic_int count;
    pid_t pids[PROCESSES_MAX];
} * shared;

static struct {
    int many;
    unsigned seed;
} settings;

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static pid_t fork_sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void *be_idle(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* Who forks and ends. */
static void fork_many(void)
{
    while (!shared->start)
        sched_yield();
    for (int i = 0; i <= settings.many; i++) {
        pid_t pid = fork_sleeper();
        if (pid > 0)
            shared->pids[shared->count++] = pid;
    }
    shared->forked = true;
    int64_t end = now() + rand_r(&settings.seed) % 9000 * 1000;
    while (now() < end) {
    }
}

static void *thread_of_many(void *unused)
{
    fork_many();
    return unused;
}

static pid_t begin(bool thread)
{
    pthread_t handle;
    pid_t pid;

    if (thread) {
        if (pthread_create(&handle, NULL, thread_of_many, NULL) != 0)
            exit(3);
        pthread_detach(handle);
        return 0;
    }
    while ((pid = fork()) < 0)
        usleep(1000);
    if (pid == 0) {
        fork_many();
        _exit(0);
    }
    return pid;
}

static bool is_alive(pid_t pid)
{
    return pid > 0 && kill(pid, 0) == 0;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    while (is_alive(pid))
        usleep(100);
}

/* Until it is refused, so that the next fork must be counted. True: it was refused. */
static bool fill_and_empty(void)
{
    pid_t pids[PROCESSES_MAX];
    int count = 0;
    pid_t pid = 0;

    while (count < PROCESSES_MAX && (pid = fork_sleeper()) > 0)
        pids[count++] = pid;
    for (int i = 0; i < count; i++)
        end(pids[i]);
    return pid < 0;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int idle = atoi(argv[1]);
    int rounds = atoi(argv[3]);
    bool thread = strcmp(argv[4], "thread") == 0;
    int most = 0;
    int reached = 0;

    settings.many = atoi(argv[2]);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || idle + settings.many > PROCESSES_MAX / 2)
        return 3;
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < idle; i++)
        fork_sleeper();
    for (int i = 0; thread && i < THREADS; i++) {
        pthread_t handle;
        if (pthread_create(&handle, NULL, be_idle, NULL) != 0)
            return 3;
    }
    for (int round = 0; round < rounds; round++) {
        pid_t pids[PROCESSES_MAX];
        int count = 0;

        shared->start = shared->forked = false;
        shared->count = 0;
        settings.seed = (unsigned)round * 7919;
        pid_t parent = begin(thread);
        reached += fill_and_empty();
        shared->start = true;
        while (!shared->forked)
            sched_yield();
        int64_t end_time = now() + 12000000;
        while (now() < end_time && count < PROCESSES_MAX) {
            pid_t pid = fork_sleeper();
            if (pid > 0)
                pids[count++] = pid;
        }
        usleep(2000);
        int alive = 1 + idle + is_alive(parent);
        for (int i = 0; i < count; i++)
            alive += is_alive(pids[i]);
        for (int i = 0; i < shared->count; i++)
            alive += is_alive(shared->pids[i]);
        if (alive > most)
            most = alive;
        for (int i = 0; i < count; i++)
            end(pids[i]);
        for (int i = 0; i < shared->count; i++)
            end(shared->pids[i]);
    }
    printf("%d %d\n", most, reached);
    return 0;
}
