/*
 * Runs a command as an unmodified container would: under a filter that refuses what the default
 * profiles of container runtimes refuse, without capabilities and with no_new_privs.
 *
 *     container_filter [ptrace] [process-vm] [landlock] [pidfd-signal] [CALL...] [--] COMMAND [ARGUMENT...]
 *
 * Refused: pidfd_getfd, kcmp, process_madvise, unshare, setns, the mount family, clone with namespace
 * flags (EPERM), clone3 (ENOSYS), personality but 0, 8 and 0xffffffff, keyctl, bpf, userfaultfd,
 * io_uring and other privileged calls. The words in front refuse ptrace, process_vm_readv and
 * process_vm_writev, the Landlock calls (ENOSYS) or pidfd_send_signal as well, and so do the names of the
 * single calls below. The probe word "check" instead of a
 * command prints what a member of the container sees.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_RISCV64
#endif

#define NAMESPACES 0x7E020000u
#define RULES_MAX 128

static struct sock_filter program[RULES_MAX * 4];
static unsigned short length;

static void emit(struct sock_filter instruction)
{
    if (length == sizeof(program) / sizeof(program[0])) {
        fprintf(stderr, "container_filter: too many rules\n");
        exit(2);
    }
    program[length++] = instruction;
}

static void load(size_t offset)
{
    emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void answer(unsigned action)
{
    emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void refuse(long number, int error)
{
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1));
    answer(SECCOMP_RET_ERRNO | (unsigned)error);
}

static const long refused[] = {
    438 /* pidfd_getfd */,
    SYS_kcmp,
    440 /* process_madvise */,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    428 /* open_tree */,
    429 /* move_mount */,
    430 /* fsopen */,
    431 /* fsconfig */,
    432 /* fsmount */,
    433 /* fspick */,
    442 /* mount_setattr */,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_perf_event_open,
    425 /* io_uring_setup */,
    426,
    427,
    SYS_open_by_handle_at,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_lookup_dcookie,
    SYS_nfsservctl,
};

/* Refused where their names are among the words in front (EPERM). */
static struct {
    const char *name;
    long number;
    int wanted;
} single[] = {
    {"openat2", 437, 0},     {"faccessat2", 439, 0},  {"kill", SYS_kill, 0},
    {"statx", SYS_statx, 0}, {"close_range", 436, 0}, {"memfd_create", SYS_memfd_create, 0},
    {"pidfd_open", 434, 0},
};

static int want_single(const char *name)
{
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (strcmp(single[i].name, name) == 0)
            return single[i].wanted = 1;
    }
    return 0;
}

static void emit_clone(void)
{
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4));
    load(offsetof(struct seccomp_data, args[0]));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1));
    answer(SECCOMP_RET_ERRNO | EPERM);
    answer(SECCOMP_RET_ALLOW);
}

static void emit_personality(void)
{
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 6));
    load(offsetof(struct seccomp_data, args[0]));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 2, 0));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffffu, 1, 0));
    answer(SECCOMP_RET_ERRNO | EPERM);
    answer(SECCOMP_RET_ALLOW);
}

static void install(int no_ptrace, int no_process_vm, int no_landlock, int no_pidfd_signal)
{
    load(offsetof(struct seccomp_data, arch));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        refuse(refused[i], EPERM);
    refuse(435 /* clone3 */, ENOSYS);
    if (no_ptrace)
        refuse(SYS_ptrace, EPERM);
    if (no_process_vm) {
        refuse(SYS_process_vm_readv, EPERM);
        refuse(SYS_process_vm_writev, EPERM);
    }
    if (no_pidfd_signal)
        refuse(424 /* pidfd_send_signal */, EPERM);
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (single[i].wanted)
            refuse(single[i].number, EPERM);
    }
    for (long number = 444; no_landlock && number <= 446; number++)
        refuse(number, ENOSYS);
    emit_clone();
    emit_personality();
    answer(SECCOMP_RET_ALLOW);

    struct sock_fprog filter = {length, program};
    for (int capability = 0; capability < 64; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
        fprintf(stderr, "container_filter: seccomp: %s\n", strerror(errno));
        exit(2);
    }
}

static int check(void)
{
    unsigned long long clone3_arguments[8] = {0, 0, 0, 0, SIGCHLD};

    probe_report("pidfd_getfd", syscall(438, -1, 0, 0));
    probe_report("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    probe_report("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
    probe_report("mount", syscall(SYS_mount, "", "", "", 0, NULL));
    probe_report("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    probe_report("clone3", syscall(435, clone3_arguments, sizeof(clone3_arguments)));
    probe_report("personality", syscall(SYS_personality, 0x40000));
    probe_report("personality_query", syscall(SYS_personality, 0xffffffffu));
    probe_report("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
    probe_report("landlock", syscall(444, NULL, 0, 1));
    probe_report("pidfd_send_signal", syscall(424, -1, 0, NULL, 0));
    return 0;
}

int main(int argc, char **argv)
{
    int next = 1, no_ptrace = 0, no_process_vm = 0, no_landlock = 0, no_pidfd_signal = 0;

    for (; next < argc; next++) {
        if (strcmp(argv[next], "ptrace") == 0)
            no_ptrace = 1;
        else if (strcmp(argv[next], "process-vm") == 0)
            no_process_vm = 1;
        else if (strcmp(argv[next], "landlock") == 0)
            no_landlock = 1;
        else if (strcmp(argv[next], "pidfd-signal") == 0)
            no_pidfd_signal = 1;
        else if (!want_single(argv[next]))
            break;
    }
    if (next < argc && strcmp(argv[next], "--") == 0)
        next++;
    if (next >= argc) {
        fprintf(stderr,
                "usage: container_filter [ptrace] [process-vm] [landlock] [pidfd-signal] [CALL...] "
                "[--] COMMAND...\n");
        return 2;
    }
    install(no_ptrace, no_process_vm, no_landlock, no_pidfd_signal);
    if (strcmp(argv[next], "check") == 0 && next + 1 == argc)
        return check();
    execvp(argv[next], argv + next);
    fprintf(stderr, "container_filter: %s: %s\n", argv[next], strerror(errno));
    return 127;
}
