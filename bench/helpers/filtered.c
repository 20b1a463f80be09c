/*
 * The least that any filter costs: one instruction, which allows everything, then the command. What the
 * kernel adds for it is the floor below every sandbox that has a filter. With --rule the filter refuses one
 * ioctl by its request, with which the kernel has to run it for every other one: the floor of a call for which
 * there is a rule about an argument.
 * Usage: bench-helper-filtered [--rule] COMMAND [ARGUMENT...]
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#endif

static struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

/* As in any honest filter of this kind, calls of another architecture are not judged by this one's numbers. */
static struct sock_filter rule[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 0, 6),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

int main(int argc, char **argv)
{
    int word = argc > 1 && strcmp(argv[1], "--rule") == 0 ? 2 : 1;
    struct sock_fprog program = {.len = 1, .filter = allow};

    if (word == 2)
        program = (struct sock_fprog){.len = sizeof(rule) / sizeof(rule[0]), .filter = rule};
    if (argc <= word)
        return 2;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        perror("bench-helper-filtered: seccomp");
        return 125;
    }
    execvp(argv[word], argv + word);
    perror(argv[word]);
    return 127;
}
