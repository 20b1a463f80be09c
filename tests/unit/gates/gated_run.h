/*
 * A small sandbox for tests of features: a child under the real members' filter of a policy, and a
 * supervisor with the given features that answers it. No Landlock, no guardian: this process is the
 * parent and subreaper, so the features take it for the guardian.
 */
#ifndef TESTS_GATED_RUN_H
#define TESTS_GATED_RUN_H

#include "filter/filter.h"
#include "kernel/sys.h"
#include "supervisor/supervisor.h"
#include "util/fd.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct gated_run {
    const struct policy *policy;
    const struct feature *const *features; /* NULL-terminated */
    struct grants *grants;
    struct denial_log *denials;
    struct network *network; /* for the network room; may be NULL */
    struct descriptor_window window;
    bool terminal; /* its own one, in front, as descriptor 0: of gated_run_apart() alone */
    bool confined; /* with the supervisor's own filter: proves what the features declare */
    int (*body)(void *data);
    void *data;
    uint64_t notifications; /* out */
};

static inline int gated_install(struct bpf_program *program)
{
    struct sock_fprog fprog = {.len = (unsigned short)program->length,
                               .filter = program->instructions};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          (long)&fprog);
}

static inline void gated_on_end(void *data, short revents)
{
    (void)revents;
    loop_stop(data);
}

struct gated_reaper {
    struct loop *loop;
    pid_t child;
};

/* What the guardian does in a real run: orphans are reaped at once. */
static inline void gated_reap(void *data)
{
    struct gated_reaper *reaper = data;

    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
            info.si_pid == reaper->child)
            break;
        waitpid(info.si_pid, NULL, WNOHANG);
    }
    loop_timer_add(reaper->loop, loop_now() + 2000000, gated_reap, reaper);
}

static inline bool gated_program(const struct gated_run *run, struct supervisor *supervisor,
                                 struct bpf_program *program, struct error *err)
{
    struct member_filter_options options = supervisor_filter_options(supervisor);
    struct filter_plan *plan = member_filter_plan(arch_native, run->policy, &options, err);
    bool compiled = plan != NULL && filter_compile(plan, program, err);
    filter_plan_free(plan);
    return compiled;
}

static inline pid_t gated_spawn(const struct gated_run *run, struct bpf_program *program,
                                int *listener)
{
    atomic_int *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    atomic_store(shared, -2);
    pid_t pid = (pid_t)sys_call5(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        atomic_store(shared, gated_install(program));
        sys_close_range(3, ~0U, CLOSE_RANGE_UNSHARE); /* a table of its own, without the listener */
        _exit(run->body(run->data));
    }
    while (atomic_load(shared) == -2)
        usleep(100);
    *listener = atomic_load(shared);
    munmap(shared, sizeof(*shared));
    return pid;
}

static inline int gated_failed(const char *step, const struct error *err)
{
    fprintf(stderr, "gated_run: %s: %s\n", step, err->text);
    return -1;
}

/* The exit status of the body (128 + signal if it was killed), -1 if the run itself failed. */
static inline int gated_run_here(struct gated_run *run)
{
    struct error err = {0};
    struct supervisor_config config = {
        .policy = run->policy,
        .registry = run->features,
        .grants = run->grants,
        .denials = run->denials,
        .violation = VIOLATION_ERRNO,
        .confined = run->confined,
        .window = run->window,
        .network = run->network,
        .terminal = run->terminal,
    };
    struct bpf_program program = {0};
    int listener, status;

    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    struct supervisor *supervisor = supervisor_new(&config, &err);
    if (supervisor == NULL || !supervisor_start_features(supervisor, &err) ||
        !gated_program(run, supervisor, &program, &err))
        return gated_failed("start", &err);
    struct loop *loop = loop_new();
    pid_t child = gated_spawn(run, &program, &listener);
    CLEANUP_FD int pidfd = sys_pidfd_open(child, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (listener < 0 ||
        !supervisor_attach(supervisor, loop, listener, getpid(), child, pidfd, &err))
        return gated_failed("attach", &err);
    loop_add(loop, pidfd, POLLIN, gated_on_end, loop);
    struct gated_reaper reaper = {loop, child};
    gated_reap(&reaper);
    loop_run(loop);

    const char *failure = supervisor_failure(supervisor);
    if (failure != NULL)
        fprintf(stderr, "gated_run: %s\n", failure);
    run->notifications = stats_total(supervisor_stats(supervisor));
    status = failure != NULL ? -2 : 0;
    if (failure != NULL)
        sys_pidfd_send_signal(pidfd, SIGKILL, 0);
    supervisor_free(supervisor);
    loop_free(loop);
    bpf_program_free(&program);

    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (status < 0)
        return -1;
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static inline bool gated_take_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (setsid() < 0 || master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        return false;
    int terminal = open(ptsname(master), O_RDWR | O_CLOEXEC); /* a session's first is its own */
    return terminal >= 0 && dup2(terminal, 0) == 0;
}

/* The same in a process of its own, whose filter ends with it. Records and counts stay there. */
static inline int gated_run_apart(struct gated_run *run)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int result = run->terminal && !gated_take_terminal() ? -1 : gated_run_here(run);
        _exit(result < 0 ? 255 : result);
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* For bodies: a statement that does not hold ends the child with its line on stderr. */
#define EXPECT(condition)                                                                \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            return 1;                                                                    \
        }                                                                                \
    } while (0)

#endif
