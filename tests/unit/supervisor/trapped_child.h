/*
 * A child process that traps some system calls to this process, for tests of the supervisor: cloned
 * with a shared descriptor table, so that its listener appears here, as in a real launch.
 */
#ifndef TESTS_TRAPPED_CHILD_H
#define TESTS_TRAPPED_CHILD_H

#include "kernel/arch.h"
#include "kernel/sys.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRAPPED_MAX 16

struct trapped_child {
    pid_t pid;
    int pidfd;
    int listener;
};

/* Every listed number notifies, whatever its arguments; all others are allowed. */
static inline int trapped_install(const int *numbers, size_t count)
{
    struct sock_filter code[TRAPPED_MAX + 3];
    size_t length = 0;

    code[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++)
        code[length++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], (unsigned char)(count - i), 0);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {.len = (unsigned short)length, .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          (long)&program);
}

/* Runs `body` in the child with these calls trapped; its result is the exit status. A child that is
 * never answered dies by SIGALRM. Without numbers there is no listener (-1). */
static inline struct trapped_child trapped_spawn(const int *numbers, size_t count,
                                                 int (*body)(void *data), void *data)
{
    struct trapped_child child = {.pid = -1, .pidfd = -1, .listener = -1};
    atomic_int *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    atomic_store(shared, -2);
    child.pid = (pid_t)sys_call5(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (child.pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        int listener = count == 0 ? -1 : trapped_install(numbers, count);
        atomic_store(shared, listener);
        sys_close_range(3, ~0U, CLOSE_RANGE_UNSHARE); /* a table of its own, without the listener */
        _exit(body(data));
    }
    while (atomic_load(shared) == -2)
        usleep(100);
    child.listener = atomic_load(shared);
    child.pidfd = sys_pidfd_open(child.pid, 0);
    munmap(shared, sizeof(*shared));
    return child;
}

/* The exit status, 128 + signal if it was killed. */
static inline int trapped_wait(struct trapped_child *child)
{
    int status = 0;

    while (waitpid(child->pid, &status, 0) < 0)
        ;
    close(child->pidfd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
