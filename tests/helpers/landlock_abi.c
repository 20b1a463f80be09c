/*
 * Runs a command as on a kernel with an older Landlock: the question for its version gets another answer. Who
 * goes by that asks for nothing that the older one does not know.
 *
 *     landlock_abi VERSION COMMAND [ARGUMENT...]
 *
 * The answer comes from a seccomp listener, of which there is one above a process: no supervised sandbox
 * starts below.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CREATE_RULESET 444
#define CREATE_RULESET_VERSION 1
#define PIDFD_OPEN 434

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)

static int listen_for_the_question(void)
{
    struct sock_filter instructions[] = {
        LOAD(nr),
        UNLESS(CREATE_RULESET, 3),
        LOAD(args[2]),
        UNLESS(CREATE_RULESET_VERSION, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(instructions) / sizeof(instructions[0]), instructions};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

static void answer(int listener, int version)
{
    struct seccomp_notif question = {0};
    struct seccomp_notif_resp response = {.val = version};

    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) == 0) {
        response.id = question.id;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: landlock_abi VERSION COMMAND...\n");
        return 2;
    }
    int listener = listen_for_the_question();
    if (listener < 0) {
        fprintf(stderr, "landlock_abi: seccomp: %s\n", strerror(errno));
        return 2;
    }
    pid_t command = fork();
    if (command == 0) {
        close(listener);
        execvp(argv[2], argv + 2);
        fprintf(stderr, "landlock_abi: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    struct pollfd polled[] = {
        {.fd = (int)syscall(PIDFD_OPEN, command, 0), .events = POLLIN},
        {.fd = listener, .events = POLLIN},
    };
    if (command < 0 || polled[0].fd < 0) {
        fprintf(stderr, "landlock_abi: %s\n", strerror(errno));
        return 2;
    }
    while (poll(polled, 2, -1) >= 0 && polled[0].revents == 0)
        answer(listener, atoi(argv[1]));
    if (waitpid(command, &status, 0) != command)
        return 2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
