/* The caller's limit of CPU time: see cpu_time.h. */
#include "run/cpu_time.h"

#include "bare/cpu_reserve.h"
#include "util/fd.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>

static bool is_limited(const struct cpu_time *cpu_time)
{
    return timerisset(&cpu_time->timer.it_value);
}

bool cpu_time_watch(struct cpu_time *cpu_time, struct loop *loop, loop_callback spent, void *data)
{
    struct rlimit limit;
    sigset_t set;

    if (getrlimit(RLIMIT_CPU, &limit) != 0)
        return true;
    cpu_time->timer = cpu_reserve_timer(limit.rlim_max);
    if (!is_limited(cpu_time))
        return true;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    cpu_time->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (cpu_time->signal_fd < 0 || !loop_add_quiet(loop, cpu_time->signal_fd, POLLIN, spent, data))
        return false;
    cpu_time->loop = loop;
    return true;
}

void cpu_time_count(const struct cpu_time *cpu_time)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CPU, &limit);
    }
    if (is_limited(cpu_time)) /* where it is refused the kernel's end remains */
        setitimer(ITIMER_PROF, &cpu_time->timer, NULL);
}

void cpu_time_finish(struct cpu_time *cpu_time)
{
    if (is_limited(cpu_time))
        signal(SIGPROF, SIG_IGN); /* the wall lets nobody stop the timer */
    if (cpu_time->loop != NULL)
        loop_remove(cpu_time->loop, cpu_time->signal_fd);
    fd_close(cpu_time->signal_fd);
    *cpu_time = CPU_TIME_INIT;
}
