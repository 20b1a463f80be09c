/* The caller's limit of CPU time: see cpu_time.h. */
#include "run/cpu_time.h"

#include "util/fd.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>

/* What is kept for the end is the last second of the time, or half of it if that is all. */
#define RESERVE_OF_ONE_SECOND_US 500000
#define SECONDS_MAX 1000000000 /* more than any run takes */

bool cpu_time_watch(struct cpu_time *cpu_time, struct loop *loop, loop_callback spent, void *data)
{
    struct rlimit limit;
    sigset_t set;

    if (getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_max > SECONDS_MAX)
        return true;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    cpu_time->hard = limit.rlim_max > 1 ? limit.rlim_max : 1; /* 0 counts as 1 */
    cpu_time->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (cpu_time->signal_fd < 0 || !loop_add_quiet(loop, cpu_time->signal_fd, POLLIN, spent, data))
        return false;
    cpu_time->loop = loop;
    return true;
}

void cpu_time_count(const struct cpu_time *cpu_time)
{
    struct rlimit limit;
    struct itimerval timer = {.it_value.tv_sec = (time_t)cpu_time->hard - 1};

    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CPU, &limit);
    }
    if (cpu_time->hard == 0)
        return;
    if (cpu_time->hard == 1)
        timer.it_value.tv_usec = 1000000 - RESERVE_OF_ONE_SECOND_US;
    setitimer(ITIMER_PROF, &timer, NULL); /* where that is refused the kernel's end remains */
}

void cpu_time_finish(struct cpu_time *cpu_time)
{
    if (cpu_time->hard > 0)
        signal(SIGPROF, SIG_IGN); /* the wall lets nobody stop the timer */
    if (cpu_time->loop != NULL)
        loop_remove(cpu_time->loop, cpu_time->signal_fd);
    fd_close(cpu_time->signal_fd);
    *cpu_time = CPU_TIME_INIT;
}
