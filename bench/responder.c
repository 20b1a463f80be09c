/*
 * The least that a program must do to answer system calls of another: one filter that traps one call,
 * the synchronous wake-up flag, poll, receive, send EPERM. What a notification costs in sandlock is
 * judged against this loop.
 *
 * Usage: bench-responder setpriority|prlimit64 COMMAND...
 * Traps the call where its first argument is not 0, and exits with the command's status.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1UL /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6 */

static int install_filter(uint32_t number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* The table of descriptors is shared until the exec, so the listener needs no hand-over. */
static pid_t start_command(uint32_t number, char **command, int *listener)
{
    int numbers[2];

    if (pipe2(numbers, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        int own = install_filter(number);
        if (write(numbers[1], &own, sizeof(own)) == (ssize_t)sizeof(own) && own >= 0)
            execv(command[0], command);
        _exit(127);
    }
    if (pid > 0 && read(numbers[0], listener, sizeof(*listener)) != (ssize_t)sizeof(*listener))
        *listener = -1;
    close(numbers[0]);
    /* numbers[1] stays open: the child may still use the shared table. */
    return pid;
}

static void answer_all(int listener)
{
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    struct seccomp_notif notification;
    struct seccomp_notif_resp response;

    for (;;) {
        if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
            return;
        if ((poll_fd.revents & POLLHUP) != 0)
            return;
        if ((poll_fd.revents & POLLIN) == 0)
            continue;
        memset(&notification, 0, sizeof(notification));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0)
            continue;
        response = (struct seccomp_notif_resp){.id = notification.id, .error = -EPERM};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

int main(int argc, char **argv)
{
    int listener = -1, status = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: bench-responder setpriority|prlimit64 COMMAND...\n");
        return 2;
    }
    uint32_t number = strcmp(argv[1], "prlimit64") == 0 ? SYS_prlimit64 : SYS_setpriority;
    pid_t pid = start_command(number, argv + 2, &listener);
    if (pid < 0 || listener < 0) {
        perror("bench-responder: start");
        return 1;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
    answer_all(listener);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
