/*
 * The members' filter: what a policy and its traps make of every system call.
 *
 * golden/ARCH-MODE.txt pins the answer to numbers 0 to 1023 and to x32. After an intended change:
 *     SANDLOCK_UPDATE_GOLDEN=1 meson test unit:filter_test_member_filter
 * and read the difference.
 */
#include "filter/filter.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define DIRTY 0xDEADBEEF00000000ULL

/* ---- Helpers --------------------------------------------------------------------------------- */

static const struct policy default_policy;

static const struct member_filter_options supervised = {.supervised = true};
static const struct member_filter_options unsupervised = {.supervised = false};

static struct filter_plan *plan_for(const struct arch *arch, const struct policy *policy,
                                    const struct member_filter_options *options)
{
    struct error err = {0};
    struct filter_plan *plan = member_filter_plan(arch, policy, options, &err);

    if (plan == NULL)
        fail_msg("%s", err.text);
    return plan;
}

static void free_plan(struct filter_plan **plan)
{
    filter_plan_free(*plan);
}

#define CLEANUP_PLAN __attribute__((cleanup(free_plan)))

static uint32_t ask(const struct filter_plan *plan, const char *name, uint64_t a0, uint64_t a1,
                    uint64_t a2, uint64_t a3)
{
    struct seccomp_data data = {.nr = arch_syscall_number(plan->arch, name),
                                .arch = plan->arch->audit_arch,
                                .args = {a0, a1, a2, a3}};

    assert_true(data.nr >= 0);
    return filter_plan_evaluate(plan, &data);
}

static void compile_and_verify(const struct filter_plan *plan, struct bpf_program *program)
{
    struct error err = {0};

    if (!filter_compile(plan, program, &err) || !filter_verify(plan, program, &err))
        fail_msg("%s", err.text);
}

/* The same question under both modes, on every architecture, expecting the same answer. */
static void expect_everywhere(const char *name, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                              uint32_t answer)
{
    for (size_t i = 0; arch_all[i] != NULL; i++) {
        CLEANUP_PLAN struct filter_plan *with = plan_for(arch_all[i], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *without =
            plan_for(arch_all[i], &default_policy, &unsupervised);
        uint32_t got = ask(with, name, a0, a1, a2, a3);

        if (got != answer || ask(without, name, a0, a1, a2, a3) != answer)
            fail_msg("%s(%#llx, %#llx, %#llx, %#llx): %#x instead of %#x", name,
                     (unsigned long long)a0, (unsigned long long)a1, (unsigned long long)a2,
                     (unsigned long long)a3, got, answer);
    }
}

/* ---- Golden tables --------------------------------------------------------------------------- */

static void describe_action(uint32_t action, struct buffer *out)
{
    if (action == FILTER_ALLOW)
        buffer_append_text(out, "allow");
    else if (action == FILTER_NOTIFY)
        buffer_append_text(out, "notify");
    else if (action == FILTER_ERRNO(EPERM))
        buffer_append_text(out, "EPERM");
    else if (action == FILTER_ERRNO(ENOSYS))
        buffer_append_text(out, "ENOSYS");
    else
        buffer_printf(out, "errno %u", action & SECCOMP_RET_DATA);
}

static void describe_test(const struct arg_test *test, struct buffer *out)
{
    static const char *const operators[] = {
        [ARG_EQUAL] = "==",     [ARG_ANY_BIT] = "any of",      [ARG_NO_BIT] = "none of",
        [ARG_IN_RANGE] = "in",  [ARG_IS_NULL] = "is NULL",     [ARG_SAME_AS] = "== arg",
        [ARG_NOT_EQUAL] = "!=", [ARG_NOT_NULL] = "is not NULL"};

    buffer_printf(out, "arg%u", test->arg);
    if (test->mask != 0 && test->op != ARG_ANY_BIT && test->op != ARG_NO_BIT)
        buffer_printf(out, "&%#x", test->mask);
    buffer_printf(out, " %s", operators[test->op]);
    if (test->op == ARG_ANY_BIT || test->op == ARG_NO_BIT)
        buffer_printf(out, " %#x", test->mask);
    else if (test->op == ARG_IN_RANGE)
        buffer_printf(out, " %#x..%#x", test->value, test->value_high);
    else if (test->op != ARG_IS_NULL && test->op != ARG_NOT_NULL)
        buffer_printf(out, " %#x", test->value);
}

static void describe_entry(const struct filter_entry *entry, struct buffer *out)
{
    for (size_t r = 0; r < entry->rule_count; r++) {
        const struct filter_rule *rule = &entry->rules[r];
        for (size_t t = 0; t < rule->test_count; t++) {
            if (t > 0)
                buffer_append_text(out, " and ");
            describe_test(&rule->tests[t], out);
        }
        buffer_append_text(out, rule->test_count == 0 ? "always " : ": ");
        describe_action(rule->action, out);
        buffer_append_text(out, "; ");
    }
    describe_action(entry->otherwise, out);
    buffer_append_char(out, '\n');
}

/* One line per number with a name, one per run of numbers without. The answers come from running
 * the program, so that the table pins what is installed. */
static void describe_plan(const struct filter_plan *plan, const struct bpf_program *program,
                          struct buffer *out)
{
    struct seccomp_data data = {.arch = plan->arch->audit_arch};

    for (int number = 0; number <= 1023; number++) {
        const char *name = arch_syscall_name(plan->arch, number);
        int first = number;
        if (name != NULL) {
            buffer_printf(out, "%d %s ", number, name);
            describe_entry(&plan->entries[number], out);
            continue;
        }
        data.nr = number;
        uint32_t answer = bpf_run_valid(program, &data);
        for (; number < 1023 && arch_syscall_name(plan->arch, number + 1) == NULL; number++) {
            data.nr = number + 1;
            if (bpf_run_valid(program, &data) != answer)
                break;
        }
        buffer_printf(out, "%d..%d - ", first, number);
        describe_action(answer, out);
        buffer_append_char(out, '\n');
    }
    for (uint32_t number = 0; number <= 1023; number++) {
        data.nr = (int)(0x40000000U | number);
        if (bpf_run_valid(program, &data) != FILTER_ERRNO(ENOSYS))
            buffer_printf(out, "x32 %u is not hidden\n", number);
    }
    buffer_append_text(out, "x32 0..1023 ENOSYS\n");
}

static void compare_with_golden(const struct arch *arch, const char *mode,
                                const struct buffer *text)
{
    const char *root = getenv("SANDLOCK_SOURCE_ROOT");
    char path[4096];
    CLEANUP_FREE char *golden = NULL;
    size_t length = 0;

    assert_non_null(root);
    snprintf(path, sizeof(path), "%s/tests/unit/filter/golden/%s-%s.txt", root, arch->name, mode);
    if (getenv("SANDLOCK_UPDATE_GOLDEN") != NULL) {
        CLEANUP_FD int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(out >= 0);
        assert_int_equal(fd_write_all(out, text->data, text->length), 0);
        return;
    }
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fd_read_file(fd, 1 << 20, &golden, &length) != 0)
        fail_msg("cannot read %s", path);
    if (strcmp(golden, buffer_text(text)) != 0)
        fail_msg("the filter differs from %s; see the top of this test", path);
}

static void every_number_answers_as_pinned(void **state)
{
    for (size_t i = 0; arch_all[i] != NULL; i++) {
        for (int mode = 0; mode < 2; mode++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[i], &default_policy, mode == 0 ? &supervised : &unsupervised);
            CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
            CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

            compile_and_verify(plan, &program);
            describe_plan(plan, &program, &text);
            assert_false(buffer_failed(&text));
            compare_with_golden(arch_all[i], mode == 0 ? "supervised" : "no-supervisor", &text);
        }
    }
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static const char *const denied_always[] = {"process_madvise",
                                            "swapon",
                                            "swapoff",
                                            "reboot",
                                            "kexec_load",
                                            "init_module",
                                            "finit_module",
                                            "delete_module",
                                            "perf_event_open",
                                            "bpf",
                                            "io_uring_setup",
                                            "io_uring_enter",
                                            "io_uring_register",
                                            "kexec_file_load",
                                            "fsopen",
                                            "fsconfig",
                                            "fsmount",
                                            "fspick",
                                            "move_mount",
                                            "open_tree",
                                            "open_tree_attr",
                                            "mount_setattr",
                                            "fanotify_init",
                                            "quotactl_fd",
                                            "syslog",
                                            "settimeofday",
                                            "clock_settime",
                                            "adjtimex",
                                            "clock_adjtime",
                                            "vhangup",
                                            "shmget",
                                            "msgrcv",
                                            "semtimedop"};

static const char *const denied_supervised[] = {"mount",
                                                "umount2",
                                                "pivot_root",
                                                "sethostname",
                                                "setdomainname",
                                                "unshare",
                                                "setns",
                                                "userfaultfd",
                                                "keyctl",
                                                "add_key",
                                                "request_key",
                                                "ptrace",
                                                "process_vm_readv",
                                                "process_vm_writev",
                                                "open_by_handle_at",
                                                "name_to_handle_at",
                                                "quotactl",
                                                "acct",
                                                "lookup_dcookie",
                                                "nfsservctl",
                                                "chroot",
                                                "pidfd_getfd",
                                                "kcmp"};

static const char *const x86_only_denied[] = {
    "ioperm", "iopl", "uselib", "_sysctl", "create_module", "query_module", "get_kernel_syms"};

static void the_deny_list_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(denied_always); i++)
        expect_everywhere(denied_always[i], 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *with = plan_for(arch_all[a], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *without =
            plan_for(arch_all[a], &default_policy, &unsupervised);
        for (size_t i = 0; i < ARRAY_SIZE(denied_supervised); i++) {
            assert_int_equal(ask(with, denied_supervised[i], 0, 0, 0, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(without, denied_supervised[i], 0, 0, 0, 0), FILTER_ALLOW);
        }
    }
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &unsupervised);
    for (size_t i = 0; i < ARRAY_SIZE(x86_only_denied); i++)
        assert_int_equal(ask(plan, x86_only_denied[i], 0, 0, 0, 0), FILTER_ERRNO(EPERM));
}

/* By each way to set options, whatever else is among them, and with garbage above. */
static void who_is_traced_does_not_stop_at_its_end(void **state)
{
    static const uint32_t requests[] = {0x4200, 0x4206, 21};
    (void)state;

    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *plan =
            plan_for(arch_all[a], &default_policy, &unsupervised);
        for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
            assert_int_equal(ask(plan, "ptrace", requests[i], 5, 0, 0x40), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(plan, "ptrace", requests[i], 5, 0, 0x1000FF), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(plan, "ptrace", requests[i], 5, 0, 0x1000BF), FILTER_ALLOW);
        }
        assert_int_equal(ask(plan, "ptrace", 5 /* PTRACE_POKEDATA */, 5, 0, 0x40), FILTER_ALLOW);
    }
}

/* Whoever may ask nothing else may ask whether the process has other threads. */
static void unshare_may_ask_for_threads_and_nothing_else(void **state)
{
    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *with = plan_for(arch_all[a], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *without =
            plan_for(arch_all[a], &default_policy, &unsupervised);
        assert_int_equal(ask(with, "unshare", CLONE_THREAD, 0, 0, 0), FILTER_ALLOW);
        assert_int_equal(ask(without, "unshare", CLONE_NEWUSER, 0, 0, 0), FILTER_ALLOW);
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t flag = 1U << bit;
            if (flag == CLONE_THREAD)
                continue;
            assert_int_equal(ask(with, "unshare", flag, 0, 0, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(with, "unshare", flag | CLONE_THREAD, 0, 0, 0),
                             FILTER_ERRNO(EPERM));
        }
    }
}

static void hidden_calls_are_enosys(void **state)
{
    CLEANUP_PLAN struct filter_plan *with = plan_for(&arch_x86_64, &default_policy, &supervised);
    CLEANUP_PLAN struct filter_plan *without =
        plan_for(&arch_x86_64, &default_policy, &unsupervised);

    expect_everywhere("clone3", 0, 0, 0, 0, FILTER_ERRNO(ENOSYS));
    expect_everywhere("memfd_secret", 0, 0, 0, 0, FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(with, "statmount", 0, 0, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(with, "listmount", 0, 0, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(without, "statmount", 0, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(without, "listmount", 0, 0, 0, 0), FILTER_ALLOW);
}

static void ordinary_calls_and_those_of_the_launch_are_allowed(void **state)
{
    static const char *const ordinary[] = {"openat",     "mmap",
                                           "futex",      "wait4",
                                           "kill",       "getpid",
                                           "setsid",     "setpgid",
                                           "setxattrat", "file_setattr",
                                           "recvmsg",    "accept4",
                                           "seccomp",    "landlock_restrict_self"};

    for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++)
        expect_everywhere(ordinary[i], 1, 1, 1, 1, FILTER_ALLOW);
    for (size_t i = 0; policy_launch_syscalls[i] != NULL; i++)
        expect_everywhere(policy_launch_syscalls[i], 0, 1, 1, 1, FILTER_ALLOW);
    expect_everywhere("futex", 1, 1, 1, 1, FILTER_ALLOW);
}

static void sysv_ipc_is_a_group(void **state)
{
    struct policy policy = {.sysv_ipc_allowed = true};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &policy, &supervised);

    assert_int_equal(ask(plan, "shmget", 0, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "semtimedop", 0, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "mount", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
}

/* Any number of extra denied calls: every one of them refused, no other one changed. */
static void many_extra_denied_calls_are_exact(void **state)
{
    CLEANUP_PLAN struct filter_plan *base = plan_for(&arch_x86_64, &default_policy, &supervised);
    int numbers[200];
    struct policy policy = {.denied_numbers = numbers, .denied_count = ARRAY_SIZE(numbers)};
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    size_t count = 0;

    for (int number = 0; count < ARRAY_SIZE(numbers); number += number % 7 == 3 ? 2 : 1) {
        assert_true(number <= arch_x86_64.newest);
        if (arch_syscall_name(&arch_x86_64, number) != NULL &&
            base->entries[number].otherwise == FILTER_ALLOW && number % 5 != 2)
            numbers[count++] = number;
    }
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &policy, &supervised);
    compile_and_verify(plan, &program);
    for (int number = 0, next = 0; number <= arch_x86_64.newest; number++) {
        struct seccomp_data data = {.nr = number, .arch = arch_x86_64.audit_arch};
        uint32_t answer = bpf_run_valid(&program, &data);
        if (next < (int)count && numbers[next] == number) {
            assert_int_equal(answer, FILTER_ERRNO(EPERM));
            next++;
        } else {
            assert_int_equal(answer, filter_plan_evaluate(base, &data));
        }
    }
}

/* ---- Argument rules -------------------------------------------------------------------------- */

static void clone_makes_processes_and_threads_but_no_namespaces(void **state)
{
    static const uint64_t namespaces[] = {CLONE_NEWNS,   0x02000000 /* NEWCGROUP */,
                                          CLONE_NEWUTS,  CLONE_NEWIPC,
                                          CLONE_NEWUSER, CLONE_NEWPID,
                                          CLONE_NEWNET};

    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        expect_everywhere("clone", namespaces[i], 0, 0, 0, FILTER_ERRNO(EPERM));
        expect_everywhere("clone", DIRTY | 17 | namespaces[i], 0, 0, 0, FILTER_ERRNO(EPERM));
        expect_everywhere("clone", CLONE_THREAD | namespaces[i], 0, 0, 0, FILTER_ERRNO(EPERM));
    }
    expect_everywhere("clone", CLONE_PARENT | 17, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("clone", CLONE_UNTRACED | 17, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("clone", 17, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("clone", DIRTY | CLONE_VM | CLONE_VFORK | 17, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("clone", 0x3D0F00, 0, 0, 0, FILTER_ALLOW); /* pthread_create of glibc */
}

static void under_a_tracer_no_process_shares_a_descriptor_table(void **state)
{
    const struct member_filter_options traced = {.supervised = true, .traced = true};

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *plain =
            plan_for(arch_all[a], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *plan = plan_for(arch_all[a], &default_policy, &traced);
        assert_int_equal(ask(plain, "clone", CLONE_FILES | 17, 0, 0, 0), FILTER_ALLOW);
        assert_int_equal(ask(plan, "clone", CLONE_FILES | 17, 0, 0, 0), FILTER_ERRNO(EPERM));
        assert_int_equal(
            ask(plan, "clone", DIRTY | CLONE_FILES | CLONE_VM | CLONE_VFORK | 17, 0, 0, 0),
            FILTER_ERRNO(EPERM));
        assert_int_equal(ask(plan, "clone", CLONE_VM | CLONE_VFORK | 17, 0, 0, 0), FILTER_ALLOW);
        assert_int_equal(ask(plan, "clone", 0x3D0F00, 0, 0, 0), FILTER_ALLOW); /* a thread */
        struct bpf_program program = {0};
        compile_and_verify(plan, &program);
        bpf_program_free(&program);
    }
    assert_true(member_filter_key(&default_policy, &traced) !=
                member_filter_key(&default_policy, &supervised));
}

static void prctl_and_personality_keep_the_process_inspectable(void **state)
{
    expect_everywhere("prctl", 4, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("prctl", DIRTY | 4, 1, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("prctl", 28, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("prctl", 0x59616D61, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("prctl", 3, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("prctl", 1, 9, 0, 0, FILTER_ALLOW); /* PR_SET_PDEATHSIG */
    expect_everywhere("prctl", 15, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("personality", 0xFFFFFFFF, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("personality", UINT64_MAX, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("personality", 0, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("personality", 0x0040000 /* ADDR_NO_RANDOMIZE */, 0, 0, 0,
                      FILTER_ERRNO(EPERM));
    expect_everywhere("personality", 8, 0, 0, 0, FILTER_ERRNO(EPERM));
}

static void the_output_of_a_terminal_can_be_started_only(void **state)
{
    (void)state;
    expect_everywhere("ioctl", 0, 0x540A /* TCXONC */, 0 /* TCOOFF */, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("ioctl", 0, DIRTY | 0x540A, DIRTY, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("ioctl", 0, 0x540A, 1 /* TCOON */, 0, FILTER_ALLOW);
    expect_everywhere("ioctl", 0, 0x540B /* TCFLSH */, 0, 0, FILTER_ALLOW);
}

/* They are asked of files that are no devices, by whoever could open them for nothing. */
static void ioctl_keeps_off_what_files_of_the_machine_do(void **state)
{
    static const uint32_t refused[] = {0x40104D00 /* MTRRIOC_ADD_ENTRY */,
                                       0x40104D01 /* MTRRIOC_SET_ENTRY */,
                                       0x40104D02 /* MTRRIOC_DEL_ENTRY */,
                                       0x40104D04 /* MTRRIOC_KILL_ENTRY */,
                                       0x40104D05 /* MTRRIOC_ADD_PAGE_ENTRY */,
                                       0x40104D09 /* MTRRIOC_KILL_PAGE_ENTRY */,
                                       0xC0086987 /* I8K_SET_FAN */,
                                       0x305000 /* IOCTL_PRIVCMD_HYPERCALL */,
                                       0x205004 /* IOCTL_PRIVCMD_MMAPBATCH_V2 */,
                                       0xC0686611 /* PROCMAP_QUERY */,
                                       0xC0606610 /* PAGEMAP_SCAN */};
    static const uint32_t allowed[] = {0xC0184D03 /* MTRRIOC_GET_ENTRY */,
                                       0xC0184D08 /* MTRRIOC_GET_PAGE_ENTRY */,
                                       0x80204D01 /* MEMGETINFO */,
                                       0x40084D02 /* MEMERASE */,
                                       0x40104D14 /* MEMERASE64 */,
                                       0xC0086986 /* I8K_GET_FAN */,
                                       0x5000 /* SNDCTL_DSP_RESET */,
                                       0xC0045002 /* SNDCTL_DSP_SPEED */,
                                       0x40045010 /* SNDCTL_DSP_SETTRIGGER */};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        expect_everywhere("ioctl", 0, refused[i], 0, 0, FILTER_ERRNO(EPERM));
        expect_everywhere("ioctl", 0, DIRTY | refused[i], 0, 0, FILTER_ERRNO(EPERM));
    }
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        expect_everywhere("ioctl", 0, allowed[i], 0, 0, FILTER_ALLOW);
}

/* Where members may have capabilities. */
static const struct member_filter_options of_root[] = {{.supervised = true, .privileged = true},
                                                       {.privileged = true}};

static void memory_is_taken_from_the_machine_by_nobody(void **state)
{
    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (size_t i = 0; i < ARRAY_SIZE(of_root); i++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[a], &default_policy, &of_root[i]);
            CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
            assert_int_equal(ask(plan, "madvise", 0, 0, 99, 0), FILTER_ALLOW);
            assert_int_equal(ask(plan, "madvise", 0, 0, 100, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(plan, "madvise", 0, 0, DIRTY | 101, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(plan, "madvise", 0, 0, 102, 0), FILTER_ALLOW);
            compile_and_verify(plan, &program);
        }
    }
    assert_true(member_filter_key(&default_policy, &of_root[0]) !=
                member_filter_key(&default_policy, &supervised));
    /* The kernel asks an ordinary user for a capability; its allocators are to pass without a question. */
    CLEANUP_PLAN struct filter_plan *plain = plan_for(&arch_x86_64, &default_policy, &supervised);
    const struct filter_entry *entry =
        &plain->entries[arch_syscall_number(&arch_x86_64, "madvise")];
    assert_int_equal(entry->rule_count, 0);
    assert_int_equal(entry->otherwise, FILTER_ALLOW);
}

/* Whoever has a console as controlling terminal may do that, root or not. */
static void what_consoles_share_and_what_stays_on_them_is_changed_by_nobody(void **state)
{
    static const uint32_t refused[] = {
        0x4B2F /* KIOCSOUND */,      0x4B32 /* KDSETLED */,        0x4B34 /* KDADDIO */,
        0x4B37 /* KDDISABIO */,      0x4B3A /* KDSETMODE */,       0x4B41 /* PIO_SCRNMAP */,
        0x4B45 /* KDSKBMODE */,      0x4B47 /* KDSKBENT */,        0x4B49 /* KDSKBSENT */,
        0x4B4B /* KDSKBDIACR */,     0x4B4D /* KDSETKEYCODE */,    0x4B4E /* KDSIGACCEPT */,
        0x4B52 /* KDKBDREP */,       0x4B61 /* PIO_FONT */,        0x4B63 /* KDSKBMETA */,
        0x4B65 /* KDSKBLED */,       0x4B67 /* PIO_UNIMAP */,      0x4B68 /* PIO_UNIMAPCLR */,
        0x4B6A /* PIO_UNISCRNMAP */, 0x4B6C /* PIO_FONTX */,       0x4B6D /* PIO_FONTRESET */,
        0x4B71 /* PIO_CMAP */,       0x4B72 /* KDFONTOP */,        0x4BFB /* KDSKBDIACRUC */,
        0x5602 /* VT_SETMODE */,     0x5605 /* VT_RELDISP */,      0x5606 /* VT_ACTIVATE */,
        0x5608 /* VT_DISALLOCATE */, 0x5609 /* VT_RESIZE */,       0x560A /* VT_RESIZEX */,
        0x560B /* VT_LOCKSWITCH */,  0x560C /* VT_UNLOCKSWITCH */, 0x560F /* VT_SETACTIVATE */,
    };
    static const uint32_t allowed[] = {
        0x4B30 /* KDMKTONE */,         0x4B31 /* KDGETLED */,    0x4B33 /* KDGKBTYPE */,
        0x4B3B /* KDGETMODE */,        0x4B40 /* GIO_SCRNMAP */, 0x4B44 /* KDGKBMODE */,
        0x4B46 /* KDGKBENT */,         0x4B48 /* KDGKBSENT */,   0x4B4A /* KDGKBDIACR */,
        0x4B4C /* KDGETKEYCODE */,     0x4B60 /* GIO_FONT */,    0x4B62 /* KDGKBMETA */,
        0x4B64 /* KDGKBLED */,         0x4B66 /* GIO_UNIMAP */,  0x4B69 /* GIO_UNISCRNMAP */,
        0x4B6B /* GIO_FONTX */,        0x4B70 /* GIO_CMAP */,    0x4BFA /* KDGKBDIACRUC */,
        0x5600 /* VT_OPENQRY */,       0x5601 /* VT_GETMODE */,  0x5603 /* VT_GETSTATE */,
        0x560D /* VT_GETHIFONTMASK */,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        expect_everywhere("ioctl", 0, DIRTY | refused[i], 0, 0, FILTER_ERRNO(EPERM));
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        expect_everywhere("ioctl", 0, allowed[i], 0, 0, FILTER_ALLOW);
}

/* Without a supervisor, in the background of a terminal that can be read. */
static void nobody_leaves_a_session_that_is_kept(void **state)
{
    const struct member_filter_options kept = {.keeps_session = true};

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *plan = plan_for(arch_all[a], &default_policy, &kept);
        assert_int_equal(ask(plan, "setsid", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
        assert_int_equal(ask(plan, "ioctl", 0, DIRTY | 0x5422 /* TIOCNOTTY */, 0, 0),
                         FILTER_ERRNO(EPERM));
    }
    expect_everywhere("setsid", 0, 0, 0, 0, FILTER_ALLOW);
    expect_everywhere("ioctl", 0, 0x5422, 0, 0, FILTER_ALLOW);
}

/* Serial lines, automounts and mount namespaces of others. An ordinary user is not refused: the kernel does that. */
static void requests_of_root_to_what_the_machine_shares_are_refused(void **state)
{
    static const uint32_t refused[] = {0x541F /* TIOCSSERIAL */,
                                       0x9360 /* AUTOFS_IOC_READY */,
                                       0x9362 /* AUTOFS_IOC_CATATONIC */,
                                       0xC0089364 /* AUTOFS_IOC_SETTIMEOUT */,
                                       0x810C9365 /* AUTOFS_IOC_EXPIRE */,
                                       0x40049366 /* AUTOFS_IOC_EXPIRE_MULTI */,
                                       0x8010B70A /* NS_MNT_GET_INFO */,
                                       0x8010B70B /* NS_MNT_GET_NEXT */,
                                       0x8010B70C /* NS_MNT_GET_PREV */};
    static const uint32_t allowed[] = {0x541E /* TIOCGSERIAL */,
                                       0x80049363 /* AUTOFS_IOC_PROTOVER */,
                                       0x80049367 /* AUTOFS_IOC_PROTOSUBVER */,
                                       0x80049370 /* AUTOFS_IOC_ASKUMOUNT */,
                                       0xB701 /* NS_GET_USERNS */,
                                       0x8008B705 /* NS_GET_MNTNS_ID */};
    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (size_t mode = 0; mode < ARRAY_SIZE(of_root); mode++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[a], &default_policy, &of_root[mode]);
            for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                assert_int_equal(ask(plan, "ioctl", 0, DIRTY | refused[i], 0, 0),
                                 FILTER_ERRNO(EPERM));
            for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
                assert_int_equal(ask(plan, "ioctl", 0, allowed[i], 0, 0), FILTER_ALLOW);
            assert_int_equal(ask(plan, "open_by_handle_at", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        expect_everywhere("ioctl", 0, refused[i], 0, 0, FILTER_ALLOW);
}

static void opens_that_only_truncate_are_refused_where_landlock_is_asked_too_late(void **state)
{
    static const struct filter_trap traps[] = {{.number = 437 /* openat2, everywhere */}};
    static const struct member_filter_options modes[] = {
        {.supervised = true, .early_truncation = true},
        {.early_truncation = true},
        {.supervised = true, .early_truncation = true, .traps = traps, .trap_count = 1}};
    static const struct {
        uint64_t flags;
        uint32_t answer;
    } cases[] = {
        {O_RDONLY, FILTER_ALLOW},
        {3, FILTER_ALLOW},
        {O_WRONLY | O_TRUNC, FILTER_ALLOW},
        {O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, FILTER_ALLOW},
        {O_TRUNC, FILTER_ERRNO(EACCES)},
        {3 | O_TRUNC, FILTER_ERRNO(EACCES)},
        {O_CREAT | O_TRUNC | O_CLOEXEC, FILTER_ERRNO(EACCES)},
        {DIRTY | 3 | O_TRUNC | O_NONBLOCK, FILTER_ERRNO(EACCES)},
    };

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[a], &default_policy, &modes[i]);
            CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
            for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
                assert_int_equal(ask(plan, "openat", 0, 0, cases[j].flags, 0), cases[j].answer);
                if (arch_syscall_number(arch_all[a], "open") >= 0)
                    assert_int_equal(ask(plan, "open", 0, cases[j].flags, 0, 0), cases[j].answer);
            }
            assert_int_equal(ask(plan, "openat2", 0, 0, 0, 24), FILTER_ERRNO(ENOSYS));
            compile_and_verify(plan, &program);
        }
    }
    expect_everywhere("openat", 0, 0, 3 | O_TRUNC, 0, FILTER_ALLOW);
    expect_everywhere("openat2", 0, 0, 0, 24, FILTER_ALLOW);
    assert_true(member_filter_key(&default_policy, &modes[0]) !=
                member_filter_key(&default_policy, &supervised));
    /* Elsewhere every open passes in the kernel without the filter being run. */
    CLEANUP_PLAN struct filter_plan *plain = plan_for(&arch_x86_64, &default_policy, &supervised);
    const struct filter_entry *entry = &plain->entries[arch_syscall_number(&arch_x86_64, "openat")];
    assert_int_equal(entry->rule_count, 0);
    assert_int_equal(entry->otherwise, FILTER_ALLOW);
}

static void ioctl_keeps_off_terminals_and_interfaces(void **state)
{
    static const uint32_t refused[] = {0x5412,
                                       0x541C,
                                       0x541D,
                                       0x5423,
                                       0x890B,
                                       0x890F,
                                       0x8910,
                                       0x540C,
                                       0x5437,
                                       0x5457,
                                       0xC0045877 /* FIFREEZE */,
                                       0xC0185879 /* FITRIM */,
                                       0x6609 /* EXT4_IOC_MIGRATE */,
                                       0xC0506617 /* FS_IOC_ADD_ENCRYPTION_KEY */,
                                       0x40106614 /* FS_IOC_GET_ENCRYPTION_PWSALT */,
                                       0xC0189436 /* FIDEDUPERANGE */,
                                       0x5000940E /* BTRFS_IOC_SUBVOL_CREATE */,
                                       0x5000940F /* BTRFS_IOC_SNAP_DESTROY */,
                                       0x4008941A /* BTRFS_IOC_SUBVOL_SETFLAGS */,
                                       0x4004F50D /* F2FS_IOC_SET_PIN_FILE */,
                                       0x40186F04 /* OCFS2_IOC_REFLINK */,
                                       0x40289702 /* CEPH_IOC_SET_LAYOUT */,
                                       0x40289705 /* CEPH_IOC_SET_LAYOUT_POLICY */,
                                       0x40106E80 /* NILFS_IOCTL_CHANGE_CPMODE */,
                                       0x4020BC10 /* BCH_IOCTL_SUBVOLUME_CREATE */,
                                       0xC018CF07 /* CIFS_QUERY_INFO */,
                                       0x8912,
                                       0x8946,
                                       0x894A,
                                       0x894C,
                                       0x8954,
                                       0x89B1,
                                       0x89DF,
                                       0x89F0,
                                       0x8B00,
                                       0x8BFF};
    static const uint32_t allowed[] = {0x5401,
                                       0x5411,
                                       0x5413,
                                       0x541B,
                                       0x541E,
                                       0x5421,
                                       0x5422,
                                       0x5424,
                                       0x8901,
                                       0x8907,
                                       0x890A,
                                       0x894B,
                                       0x89E0,
                                       0x89EF,
                                       0x8C00,
                                       0x80086601 /* FS_IOC_GETFLAGS */,
                                       0x40049409 /* FICLONE */,
                                       0x4020940D /* FICLONERANGE */,
                                       0x801C581F /* FS_IOC_FSGETXATTR */,
                                       0x400C6F02 /* UBI_IOCRSVOL */,
                                       0x80289701 /* CEPH_IOC_GET_LAYOUT */,
                                       0x9704 /* CEPH_IOC_LAZYIO */,
                                       0x540E /* TIOCSCTTY */};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        expect_everywhere("ioctl", 0, refused[i], 0, 0, FILTER_ERRNO(EPERM));
        expect_everywhere("ioctl", 0, DIRTY | refused[i], 0, 0, FILTER_ERRNO(EPERM));
    }
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        expect_everywhere("ioctl", 0, allowed[i], 0, 0, FILTER_ALLOW);
}

static const struct {
    int family, type, protocol;
    int socket_error, socketpair_error; /* 0: allowed */
} sockets[] = {
    {AF_UNIX, SOCK_STREAM, 0, 0, 0},
    {AF_UNIX, SOCK_DGRAM, 0, 0, 0},
    {AF_UNIX, SOCK_SEQPACKET, 0, 0, 0},
    {AF_INET, SOCK_STREAM, 0, 0, 0},
    {AF_INET, SOCK_STREAM, 6, 0, 0},
    {AF_INET6, SOCK_STREAM, 0, 0, 0},
    {AF_INET6, SOCK_STREAM, 6, 0, 0},
    {AF_INET, SOCK_STREAM, 262, EPROTONOSUPPORT, EPROTONOSUPPORT},  /* MPTCP */
    {AF_INET6, SOCK_STREAM, 132, EPROTONOSUPPORT, EPROTONOSUPPORT}, /* SCTP */
    {AF_INET, SOCK_STREAM, 256, EPROTONOSUPPORT, EPROTONOSUPPORT},  /* SMC */
    {AF_INET, SOCK_STREAM, 17, EPROTONOSUPPORT, EPROTONOSUPPORT},
    {AF_INET, SOCK_DGRAM, 0, EPERM, EPERM},
    {AF_INET6, SOCK_DGRAM, 17, EPERM, EPERM},
    {AF_INET, SOCK_DGRAM, 1, EPERM, EPERM},
    {AF_INET6, SOCK_DGRAM, 58, EPERM, EPERM},
    {AF_INET, SOCK_DGRAM, 58, EPROTONOSUPPORT, EPROTONOSUPPORT},
    {AF_INET6, SOCK_DGRAM, 1, EPROTONOSUPPORT, EPROTONOSUPPORT},
    {AF_INET, SOCK_DGRAM, 136, EPROTONOSUPPORT, EPROTONOSUPPORT}, /* UDP-Lite */
    {AF_INET, SOCK_RAW, 1, EPERM, EPERM},
    {AF_INET6, SOCK_RAW, 255, EPERM, EPERM},
    {AF_INET, 10 /* SOCK_PACKET */, 0, EPERM, EPERM},
    {AF_INET, SOCK_SEQPACKET, 132, ESOCKTNOSUPPORT, ESOCKTNOSUPPORT},
    {AF_INET6, SOCK_RDM, 0, ESOCKTNOSUPPORT, ESOCKTNOSUPPORT},
    {AF_INET, 0, 0, ESOCKTNOSUPPORT, ESOCKTNOSUPPORT},
    {AF_INET, 15, 0, ESOCKTNOSUPPORT, ESOCKTNOSUPPORT},
    {AF_NETLINK, SOCK_RAW, 0, EAFNOSUPPORT, EOPNOTSUPP},
    {AF_NETLINK, SOCK_RAW, 4 /* SOCK_DIAG */, EAFNOSUPPORT, EOPNOTSUPP},
    {AF_UNSPEC, SOCK_STREAM, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {AF_PACKET, SOCK_RAW, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {AF_ALG, SOCK_SEQPACKET, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {AF_VSOCK, SOCK_STREAM, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {40, SOCK_STREAM, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {3, SOCK_STREAM, 0, EAFNOSUPPORT, EAFNOSUPPORT},
    {-1, SOCK_STREAM, 0, EAFNOSUPPORT, EAFNOSUPPORT},
};

static void sockets_are_unix_and_tcp(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
        uint32_t flags[] = {0, SOCK_CLOEXEC | SOCK_NONBLOCK};
        for (size_t f = 0; f < ARRAY_SIZE(flags); f++) {
            uint64_t family = (uint32_t)sockets[i].family;
            uint64_t type = (uint32_t)sockets[i].type | flags[f];
            uint64_t protocol = (uint32_t)sockets[i].protocol;
            int error = sockets[i].socket_error;
            uint32_t answer = error == 0 ? FILTER_ALLOW : FILTER_ERRNO(error);

            expect_everywhere("socket", family, type, protocol, 0, answer);
            expect_everywhere("socket", DIRTY | family, DIRTY | type, DIRTY | protocol, 0, answer);
            error = sockets[i].socketpair_error;
            answer = error == 0 ? FILTER_ALLOW : FILTER_ERRNO(error);
            expect_everywhere("socketpair", family, type, protocol, 0, answer);
        }
    }
}

/* Explained refusals of sockets, and those with EPERM, reach the supervisor; what is allowed, and what the
 * kernel itself would refuse, stay as they are. */
static void refused_arguments_are_notified_only_where_explained(void **state)
{
    static const struct {
        const char *call;
        uint64_t family, type, protocol;
        uint32_t plain, explained;
    } cases[] = {
        {"socket", AF_INET, SOCK_DGRAM, 0, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"socket", AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"socket", AF_INET, SOCK_STREAM, 262, FILTER_ERRNO(EPROTONOSUPPORT), FILTER_NOTIFY},
        {"socket", AF_NETLINK, SOCK_RAW, 0, FILTER_ERRNO(EAFNOSUPPORT), FILTER_NOTIFY},
        {"socketpair", AF_VSOCK, SOCK_STREAM, 0, FILTER_ERRNO(EAFNOSUPPORT), FILTER_NOTIFY},
        {"socket", AF_INET, 9, 0, FILTER_ERRNO(ESOCKTNOSUPPORT), FILTER_ERRNO(ESOCKTNOSUPPORT)},
        {"socket", AF_INET, SOCK_STREAM, 0, FILTER_ALLOW, FILTER_ALLOW},
        {"socketpair", AF_UNIX, SOCK_DGRAM, 0, FILTER_ALLOW, FILTER_ALLOW},
        {"setsockopt", 3, 6, 31, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"setsockopt", 3, 0, 35, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"setsockopt", 3, 6, 1, FILTER_ALLOW, FILTER_ALLOW},
        {"ioctl", 3, 0x8946, 0, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"ioctl", 3, 0x5401, 0, FILTER_ALLOW, FILTER_ALLOW},
        {"prctl", 4, 0, 0, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"fcntl", 3, 1024, 0, FILTER_ERRNO(EPERM), FILTER_NOTIFY},
        {"sendmsg", 3, 0, 0x20000000, FILTER_ERRNO(EOPNOTSUPP), FILTER_ERRNO(EOPNOTSUPP)},
    };
    struct policy explaining = {.explain = true};

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *plain =
            plan_for(arch_all[a], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *explained =
            plan_for(arch_all[a], &explaining, &supervised);
        CLEANUP_PLAN struct filter_plan *alone = plan_for(arch_all[a], &explaining, &unsupervised);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            uint64_t family = cases[i].family, type = cases[i].type;
            uint64_t protocol = cases[i].protocol;
            assert_int_equal(ask(plain, cases[i].call, family, type, protocol, 0), cases[i].plain);
            assert_int_equal(ask(alone, cases[i].call, family, type, protocol, 0), cases[i].plain);
            assert_int_equal(ask(explained, cases[i].call, family, type, protocol, 0),
                             cases[i].explained);
        }
        struct bpf_program program = {0};
        compile_and_verify(explained, &program);
        bpf_program_free(&program);
    }
}

static void routing_options_are_refused(void **state)
{
    static const uint32_t ipv6[] = {5, 6, 32, 54, 55, 57, 59};

    expect_everywhere("setsockopt", 3, 0, 4, 0, FILTER_ERRNO(EPERM));
    for (size_t i = 0; i < ARRAY_SIZE(ipv6); i++) {
        expect_everywhere("setsockopt", 3, 41, ipv6[i], 0, FILTER_ERRNO(EPERM));
        expect_everywhere("setsockopt", 3, DIRTY | 41, DIRTY | ipv6[i], 0, FILTER_ERRNO(EPERM));
        expect_everywhere("setsockopt", 3, 6, ipv6[i], 0, FILTER_ALLOW);
    }
    expect_everywhere("setsockopt", 3, 41, 26 /* IPV6_V6ONLY */, 0, FILTER_ALLOW);
    expect_everywhere("setsockopt", 3, 41, 4, 0, FILTER_ALLOW);
    expect_everywhere("setsockopt", 3, 1, 2 /* SO_REUSEADDR */, 0, FILTER_ALLOW);
}

static void groups_packet_filters_and_repair_are_refused(void **state)
{
    static const struct {
        uint32_t level, option;
    } refused[] = {
        {0, 15 /* IP_FREEBIND */},
        {0, 16 /* IP_IPSEC_POLICY */},
        {0, 17 /* IP_XFRM_POLICY */},
        {0, 19 /* IP_TRANSPARENT */},
        {41, 34 /* IPV6_IPSEC_POLICY */},
        {41, 35 /* IPV6_XFRM_POLICY */},
        {41, 75 /* IPV6_TRANSPARENT */},
        {41, 78 /* IPV6_FREEBIND */},
        {0, 35 /* IP_ADD_MEMBERSHIP */},
        {0, 36 /* IP_DROP_MEMBERSHIP */},
        {0, 37 /* IP_UNBLOCK_SOURCE */},
        {0, 41 /* IP_MSFILTER */},
        {0, 39 /* IP_ADD_SOURCE_MEMBERSHIP */},
        {0, 42 /* MCAST_JOIN_GROUP */},
        {0, 46 /* MCAST_JOIN_SOURCE_GROUP */},
        {0, 48 /* MCAST_MSFILTER */},
        {0, 50 /* IP_UNICAST_IF */},
        {0, 51 /* IP_LOCAL_PORT_RANGE */},
        {0, 52},
        {0, 64 /* IPT_SO_SET_REPLACE */},
        {1, 25 /* SO_BINDTODEVICE */},
        {1, 36 /* SO_MARK */},
        {1, 62 /* SO_BINDTOIFINDEX */},
        {6, 19 /* TCP_REPAIR */},
        {6, 31 /* TCP_ULP */},
        {41, 20 /* IPV6_JOIN_GROUP */},
        {41, 27 /* IPV6_JOIN_ANYCAST */},
        {41, 42 /* MCAST_JOIN_GROUP */},
        {41, 46 /* MCAST_JOIN_SOURCE_GROUP */},
        {41, 48 /* MCAST_MSFILTER */},
        {41, 21 /* IPV6_LEAVE_GROUP */},
        {41, 28 /* IPV6_LEAVE_ANYCAST */},
        {41, 22 /* IPV6_ROUTER_ALERT */},
        {41, 9 /* IPV6_NEXTHOP */},
        {41, 50 /* IPV6_PKTINFO */},
        {41, 64},
        {41, 76 /* IPV6_UNICAST_IF */},
        {41, 200},
    };
    static const struct {
        uint32_t level, option;
    } allowed[] = {
        {0, 1 /* IP_TOS */},
        {0, 2 /* IP_TTL */},
        {0, 18 /* IP_PASSSEC */},
        {0, 20 /* IP_ORIGDSTADDR */},
        {0, 33 /* IP_MULTICAST_TTL */},
        {0, 34 /* IP_MULTICAST_LOOP */},
        {0, 49 /* IP_MULTICAST_ALL */},
        {6, 1 /* TCP_NODELAY */},
        {6, 18 /* TCP_USER_TIMEOUT */},
        {1, 12 /* SO_PRIORITY */},
        {41, 8 /* IPV6_2292HOPLIMIT */},
        {41, 67 /* IPV6_TCLASS */},
        {41, 33 /* IPV6_FLOWINFO_SEND */},
        {41, 36 /* IPV6_HDRINCL */},
        {41, 74 /* IPV6_ORIGDSTADDR */},
        {41, 77 /* IPV6_RECVFRAGSIZE */},
        {41, 49 /* IPV6_RECVPKTINFO */},
        {41, 18 /* IPV6_MULTICAST_HOPS */},
        {41, 19 /* IPV6_MULTICAST_LOOP */},
        {41, 29 /* IPV6_MULTICAST_ALL */},
        {41, 56 /* IPV6_RECVRTHDR */},
        {41, 58 /* IPV6_RECVDSTOPTS */},
    };

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        expect_everywhere("setsockopt", 3, refused[i].level, refused[i].option, 0,
                          FILTER_ERRNO(EPERM));
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        expect_everywhere("setsockopt", 3, allowed[i].level, allowed[i].option, 0, FILTER_ALLOW);
}

/* The addresses of names, which the filter does not know, may leave no UDP destination. */
static void what_a_udp_socket_dropped_is_told_where_it_is_sure_to_receive(void **state)
{
    char host[] = "h";
    struct net_rule named = {.protocol = NET_UDP, .target = NET_TARGET_HOST, .host = host};
    struct policy open = {.reaches = {[NET_UDP] = true}, .net_deny.count = 1};
    struct policy inert = {.reaches = {[NET_TCP] = true}, .net_deny.count = 1};
    struct policy unsure = {.reaches = {[NET_UDP] = true},
                            .net_allow = {.items = &named, .count = 1}};
    const struct {
        const struct policy *policy;
        uint32_t result;
    } cases[] = {{&open, FILTER_ALLOW},
                 {&inert, FILTER_ERRNO(EPERM)},
                 {&unsure, FILTER_ERRNO(EPERM)},
                 {&default_policy, FILTER_ERRNO(EPERM)}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_PLAN struct filter_plan *plan =
            plan_for(&arch_x86_64, cases[i].policy, &supervised);
        assert_int_equal(ask(plan, "getsockopt", 3, 1, 55 /* SO_MEMINFO */, 0), cases[i].result);
    }
    assert_true(member_filter_key(&open, &supervised) != member_filter_key(&unsure, &supervised));
}

/* It tells which numbers are an interface's. */
static void the_interface_of_multicast_is_chosen_where_datagrams_are_sent(void **state)
{
    static const uint32_t options[][2] = {{0, 32 /* IP_MULTICAST_IF */},
                                          {41, 17 /* IPV6_MULTICAST_IF */}};
    struct policy open = {.reaches = {[NET_UDP] = true}, .net_deny.count = 1};
    struct policy inert = {.reaches = {[NET_TCP] = true}, .net_deny.count = 1};

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *none = plan_for(arch_all[a], &default_policy, &supervised);
        CLEANUP_PLAN struct filter_plan *tcp = plan_for(arch_all[a], &inert, &supervised);
        CLEANUP_PLAN struct filter_plan *udp = plan_for(arch_all[a], &open, &supervised);
        for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
            uint32_t level = options[i][0], option = options[i][1];
            assert_int_equal(ask(none, "setsockopt", 3, level, option, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(tcp, "setsockopt", 3, level, option, 0), FILTER_ERRNO(EPERM));
            assert_int_equal(ask(tcp, "setsockopt", 3, 6, option, 0), FILTER_ALLOW);
            assert_int_equal(ask(udp, "setsockopt", 3, level, option, 0), FILTER_ALLOW);
        }
    }
}

static void nodes_of_devices_are_not_made(void **state)
{
    static const struct {
        uint64_t mode, device;
        uint32_t result;
    } cases[] = {
        {0020600, 0x103, FILTER_ERRNO(EPERM)},
        {0060600, 0x700, FILTER_ERRNO(EPERM)},
        {0060600, 0, FILTER_ERRNO(EPERM)},
        {DIRTY | 0x10000 | 0060600, 0x700, FILTER_ERRNO(EPERM)},
        {0020600, DIRTY | 0x103, FILTER_ERRNO(EPERM)},
        {0020000, 0, FILTER_ALLOW}, /* a whiteout */
        {0010600, 0, FILTER_ALLOW},
        {0100600, 0x700, FILTER_ALLOW},
        {0140600, 0, FILTER_ALLOW},
        {0600, 0x700, FILTER_ALLOW},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t a = 0; arch_all[a] != NULL; a++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[a], &default_policy, &unsupervised);
            assert_int_equal(ask(plan, "mknodat", 3, 7, cases[i].mode, cases[i].device),
                             cases[i].result);
            if (arch_syscall_number(arch_all[a], "mknod") >= 0)
                assert_int_equal(ask(plan, "mknod", 7, cases[i].mode, cases[i].device, 0),
                                 cases[i].result);
        }
    }
}

/* With a supervisor a mask is cut to the chosen processors (gates/affinity.c). */
static void what_the_policy_sets_is_not_undone(void **state)
{
    struct policy policy = default_policy;
    uint32_t cores[] = {0};

    (void)state;
    CLEANUP_PLAN struct filter_plan *before = plan_for(&arch_x86_64, &policy, &unsupervised);
    assert_int_equal(ask(before, "prctl", 41, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(before, "sched_setaffinity", 0, 8, 1, 0), FILTER_ALLOW);
    uint64_t key = member_filter_key(&policy, &unsupervised);
    policy.no_huge_pages = true;
    assert_true(member_filter_key(&policy, &unsupervised) != key);
    policy.cpu_cores = cores;
    policy.cpu_core_count = 1;
    CLEANUP_PLAN struct filter_plan *after = plan_for(&arch_x86_64, &policy, &unsupervised);
    assert_int_equal(ask(after, "prctl", 41, 0, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(after, "prctl", 42 /* PR_GET_THP_DISABLE */, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(after, "sched_setaffinity", 0, 8, 1, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(after, "sched_setaffinity", 9, 8, 1, 0), FILTER_ERRNO(EPERM));
}

static void packet_filters_and_what_they_drop_are_not_shown(void **state)
{
    static const struct {
        uint32_t level, option, result;
    } cases[] = {
        {0, 63, FILTER_ALLOW},
        {0, 64 /* IPT_SO_GET_INFO */, FILTER_ERRNO(EPERM)},
        {0, 67, FILTER_ERRNO(EPERM)},
        {0, 80 /* SO_ORIGINAL_DST */, FILTER_ALLOW},
        {0, 96 /* ARPT_SO_GET_INFO */, FILTER_ERRNO(EPERM)},
        {0, 128 /* EBT_SO_GET_INFO */, FILTER_ERRNO(EPERM)},
        {0, 1216 /* IP_VS_SO_GET_VERSION */, FILTER_ERRNO(EPERM)},
        {41, 64 /* IP6T_SO_GET_INFO */, FILTER_ERRNO(EPERM)},
        {41, 66 /* IPV6_RECVTCLASS */, FILTER_ALLOW},
        {41, 67 /* IPV6_TCLASS */, FILTER_ALLOW},
        {0, 41 /* IP_MSFILTER */, FILTER_ERRNO(EPERM)},
        {0, 48 /* MCAST_MSFILTER */, FILTER_ERRNO(EPERM)},
        {41, 48 /* MCAST_MSFILTER */, FILTER_ERRNO(EPERM)},
        {41, 69 /* IP6T_SO_GET_REVISION_TARGET */, FILTER_ERRNO(EPERM)},
        {41, 80 /* IP6T_SO_ORIGINAL_DST */, FILTER_ALLOW},
        {1, 3 /* SO_TYPE */, FILTER_ALLOW},
        {1, 55 /* SO_MEMINFO */, FILTER_ERRNO(EPERM)},
        {6, 64, FILTER_ALLOW},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_everywhere("getsockopt", 3, cases[i].level, cases[i].option, 0, cases[i].result);
}

static void leases_and_queues_are_refused(void **state)
{
    expect_everywhere("fcntl", 3, 1024 /* F_SETLEASE */, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("fcntl", 3, 1026 /* F_NOTIFY */, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("fcntl", 3, 1025 /* F_GETLEASE */, 0, 0, FILTER_ALLOW);
    expect_everywhere("fcntl", 3, 1030 /* F_DUPFD_CLOEXEC */, 0, 0, FILTER_ALLOW);
    expect_everywhere("mq_open", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("mq_unlink", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("mq_timedsend", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("mq_timedreceive", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("mq_notify", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
    expect_everywhere("mq_getsetattr", 0, 0, 0, 0, FILTER_ERRNO(EPERM));
}

static void zero_copy_is_refused_only_where_sends_are_made_on_behalf(void **state)
{
    struct filter_trap trap = {.number = arch_syscall_number(&arch_x86_64, "sendmsg")};
    struct member_filter_options trapped = {.supervised = true, .traps = &trap, .trap_count = 1};
    CLEANUP_PLAN struct filter_plan *without = plan_for(&arch_x86_64, &default_policy, &supervised);
    CLEANUP_PLAN struct filter_plan *with = plan_for(&arch_x86_64, &default_policy, &trapped);

    assert_int_equal(ask(without, "setsockopt", 3, 1, 60, 0), FILTER_ALLOW);
    assert_int_equal(ask(with, "setsockopt", 3, 1, 60, 0), FILTER_ERRNO(EOPNOTSUPP));
    assert_int_equal(ask(with, "setsockopt", 3, 6, 60, 0), FILTER_ALLOW);
}

static void fast_open_is_refused(void **state)
{
    uint64_t fast = 0x20000000;

    expect_everywhere("sendto", 3, 0, 0, fast, FILTER_ERRNO(EOPNOTSUPP));
    expect_everywhere("sendto", 3, 0, 0, DIRTY | fast | 0x4000, FILTER_ERRNO(EOPNOTSUPP));
    expect_everywhere("sendmmsg", 3, 0, 0, fast, FILTER_ERRNO(EOPNOTSUPP));
    expect_everywhere("sendmsg", 3, 0, fast, 0, FILTER_ERRNO(EOPNOTSUPP));
    expect_everywhere("sendto", 3, fast, fast, 0x4000, FILTER_ALLOW);
    expect_everywhere("sendmsg", 3, fast, 0x4000, fast, FILTER_ALLOW);
    expect_everywhere("sendmmsg", 3, fast, fast, 0, FILTER_ALLOW);
}

/* ---- Other processes ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t own[4], other[4];
} cross_process[] = {
    {"prlimit64", {0, 7, 1, 0}, {1, 7, 1, 0}},
    {"prlimit64", {1234, 7, 0, 1}, {1234, 7, 1ULL << 32, 1}},
    {"prlimit64", {DIRTY, 7, 1, 1}, {DIRTY | 99, 7, 1, 1}},
    {"setpriority", {0, 0, 5, 0}, {0, 99, 5, 0}},
    {"setpriority", {DIRTY, DIRTY, 5, 0}, {1, 0, 5, 0}},
    {"setpriority", {0, 0, 0, 0}, {2, 0, 0, 0}},
    {"ioprio_set", {1, 0, 1, 0}, {1, 99, 1, 0}},
    {"ioprio_set", {DIRTY | 1, DIRTY, 1, 0}, {2, 0, 1, 0}},
    {"ioprio_set", {1, 0, 0, 0}, {0, 0, 0, 0}},
    {"sched_setaffinity", {0, 8, 1, 0}, {99, 8, 1, 0}},
    {"sched_setscheduler", {0, 0, 1, 0}, {99, 0, 1, 0}},
    {"sched_setparam", {0, 1, 0, 0}, {99, 1, 0, 0}},
    {"sched_setattr", {DIRTY, 1, 0, 0}, {UINT32_MAX, 1, 0, 0}},
};

static uint32_t ask_array(const struct filter_plan *plan, const char *name, const uint64_t args[4])
{
    return ask(plan, name, args[0], args[1], args[2], args[3]);
}

static void without_a_gate_only_the_caller_itself_can_be_changed(void **state)
{
    struct policy no_gate = {.without = FEATURE_PROCESS_GATE};

    for (size_t a = 0; arch_all[a] != NULL; a++) {
        CLEANUP_PLAN struct filter_plan *alone =
            plan_for(arch_all[a], &default_policy, &unsupervised);
        CLEANUP_PLAN struct filter_plan *off = plan_for(arch_all[a], &no_gate, &supervised);
        /* The gate is wanted, but nobody traps: refused, not open. */
        CLEANUP_PLAN struct filter_plan *missing =
            plan_for(arch_all[a], &default_policy, &supervised);
        const struct filter_plan *plans[] = {alone, off, missing};

        for (size_t p = 0; p < ARRAY_SIZE(plans); p++) {
            for (size_t i = 0; i < ARRAY_SIZE(cross_process); i++) {
                assert_int_equal(ask_array(plans[p], cross_process[i].name, cross_process[i].own),
                                 FILTER_ALLOW);
                assert_int_equal(ask_array(plans[p], cross_process[i].name, cross_process[i].other),
                                 FILTER_ERRNO(EPERM));
            }
        }
    }
}

static void the_gate_decides_about_others_where_it_traps(void **state)
{
    static const struct filter_rule own_pid = {.test_count = 1, .tests = {{.op = ARG_EQUAL}}};
    struct filter_trap trap = {arch_syscall_number(&arch_x86_64, "sched_setaffinity"), &own_pid, 1};
    struct member_filter_options options = {.supervised = true, .traps = &trap, .trap_count = 1};
    struct policy no_gate = {.without = FEATURE_PROCESS_GATE};
    CLEANUP_PLAN struct filter_plan *gated = plan_for(&arch_x86_64, &default_policy, &options);
    CLEANUP_PLAN struct filter_plan *off = plan_for(&arch_x86_64, &no_gate, &options);

    assert_int_equal(ask(gated, "sched_setaffinity", 0, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(gated, "sched_setaffinity", 9, 0, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(gated, "sched_setparam", 9, 0, 0, 0), FILTER_ERRNO(EPERM));
    /* Switched off, a trap of another feature does not open it. */
    assert_int_equal(ask(off, "sched_setaffinity", 9, 0, 0, 0), FILTER_ERRNO(EPERM));
}

/* ---- Traps ----------------------------------------------------------------------------------- */

#define TRAP(name) arch_syscall_number(&arch_x86_64, name)

static void deny_beats_argument_rules_beat_traps(void **state)
{
    int denied[] = {TRAP("connect")};
    struct policy policy = {.denied_numbers = denied, .denied_count = 1};
    struct filter_trap traps[] = {
        {.number = TRAP("connect")}, {.number = TRAP("mount")},  {.number = TRAP("shmget")},
        {.number = TRAP("clone3")},  {.number = TRAP("ioctl")},  {.number = TRAP("clone")},
        {.number = TRAP("openat")},  {.number = TRAP("socket")}, {.number = -1}};
    struct member_filter_options options = {true, traps, ARRAY_SIZE(traps)};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &policy, &options);
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;

    assert_int_equal(ask(plan, "connect", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "mount", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "shmget", 0, 0, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "clone3", 0, 0, 0, 0), FILTER_ERRNO(ENOSYS));
    assert_int_equal(ask(plan, "openat", 0, 0, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "ioctl", 0, 0x5412, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "ioctl", 0, 0x5401, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "ioctl", 0, 0x894B, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "clone", CLONE_NEWUSER, 0, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "clone", CLONE_THREAD, 0, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "clone", 17, 0, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_UNIX, SOCK_STREAM, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_STREAM, 6, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_RAW, 6, 0), FILTER_ERRNO(EPERM));
    compile_and_verify(plan, &program);
}

/* Pass rules of a trap hold behind an argument rule that lets the call pass, too. */
static void pass_rules_hold_behind_argument_rules(void **state)
{
    static const struct filter_rule passes[] = {
        {.test_count = 1, .tests = {{.arg = 0, .op = ARG_EQUAL, .value = AF_UNIX}}},
        {.test_count = 2,
         .tests = {{.arg = 1, .op = ARG_EQUAL, .mask = 0xF, .value = SOCK_STREAM},
                   {.arg = 2, .op = ARG_EQUAL, .value = 6}}},
    };
    struct filter_trap trap = {TRAP("socket"), passes, ARRAY_SIZE(passes)};
    struct member_filter_options options = {true, &trap, 1};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;

    assert_int_equal(ask(plan, "socket", AF_UNIX, SOCK_STREAM, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_STREAM, 6, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_STREAM, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_STREAM, 262, 0),
                     FILTER_ERRNO(EPROTONOSUPPORT));
    compile_and_verify(plan, &program);
}

static const struct filter_rule null_address = {.test_count = 1,
                                                .tests = {{.arg = 4, .op = ARG_IS_NULL}}};
static const struct filter_rule write_only = {
    .test_count = 1, .tests = {{.arg = 1, .op = ARG_EQUAL, .mask = 3, .value = 1}}};
static const struct filter_rule no_create = {.test_count = 1,
                                             .tests = {{.arg = 1, .op = ARG_NO_BIT, .mask = 0x40}}};

static uint32_t ask_traps(const struct filter_trap *traps, size_t count, uint64_t arg1,
                          uint64_t arg4)
{
    struct member_filter_options options = {true, traps, count};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    struct seccomp_data data = {.nr = traps[0].number, .arch = arch_x86_64.audit_arch};

    compile_and_verify(plan, &program);
    data.args[1] = arg1;
    data.args[4] = arg4;
    return bpf_run_valid(&program, &data);
}

static void a_call_is_trapped_when_any_trap_wants_it(void **state)
{
    const struct filter_rule either[] = {write_only, null_address};
    struct filter_trap same[] = {{TRAP("openat"), &null_address, 1},
                                 {TRAP("openat"), &null_address, 1}};
    struct filter_trap differ[] = {{TRAP("openat"), &null_address, 1},
                                   {TRAP("openat"), &no_create, 1}};
    struct filter_trap one_always[] = {{TRAP("openat"), &null_address, 1},
                                       {TRAP("openat"), NULL, 0}};
    struct filter_trap wider[] = {{TRAP("openat"), either, 2}, {TRAP("openat"), &no_create, 1}};

    assert_int_equal(ask_traps(same, 2, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask_traps(same, 2, 0, 1), FILTER_NOTIFY);

    assert_int_equal(ask_traps(differ, 2, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask_traps(differ, 2, 0x40, 0), FILTER_NOTIFY);
    assert_int_equal(ask_traps(differ, 2, 0, 1), FILTER_NOTIFY);

    assert_int_equal(ask_traps(one_always, 2, 0, 0), FILTER_NOTIFY);

    assert_int_equal(ask_traps(wider, 2, 1, 1), FILTER_ALLOW);
    assert_int_equal(ask_traps(wider, 2, 0x41, 1), FILTER_NOTIFY);
    assert_int_equal(ask_traps(wider, 2, 2, 0), FILTER_ALLOW);
    assert_int_equal(ask_traps(wider, 2, 2, 1), FILTER_NOTIFY);
}

/* An intersection that does not fit is dropped: the call is trapped although it could pass. */
static void what_does_not_fit_is_trapped(void **state)
{
    const struct filter_rule left = {.test_count = 3,
                                     .tests = {{.arg = 0, .op = ARG_EQUAL, .value = 1},
                                               {.arg = 1, .op = ARG_EQUAL, .value = 1},
                                               {.arg = 2, .op = ARG_EQUAL, .value = 1}}};
    const struct filter_rule right = {.test_count = 2,
                                      .tests = {{.arg = 3, .op = ARG_EQUAL, .value = 1},
                                                {.arg = 5, .op = ARG_EQUAL, .value = 1}}};
    struct filter_trap traps[] = {{TRAP("openat"), &left, 1}, {TRAP("openat"), &right, 1}};
    struct member_filter_options options = {true, traps, 2};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
    struct seccomp_data data = {
        .nr = TRAP("openat"), .arch = arch_x86_64.audit_arch, .args = {1, 1, 1, 1, 1, 1}};

    assert_int_equal(filter_plan_evaluate(plan, &data), FILTER_NOTIFY);
}

static void traps_without_a_supervisor_are_an_error(void **state)
{
    struct filter_trap trap = {.number = TRAP("openat")};
    struct member_filter_options options = {false, &trap, 1};
    struct error err = {0};

    assert_null(member_filter_plan(&arch_x86_64, &default_policy, &options, &err));
    assert_int_equal(err.kind, ERROR_RUNTIME);
}

/* Random traps: under every combination of registers the call is trapped exactly when some trap's
 * passes all fail, unless deny list or argument rules say otherwise first. */
static uint64_t random_state = 20;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static struct filter_rule random_pass(void)
{
    struct filter_rule rule = {.test_count = (uint8_t)(next_random() % 3)};

    for (size_t t = 0; t < rule.test_count; t++)
        rule.tests[t] = (struct arg_test){.arg = (uint8_t)(next_random() % 3),
                                          .op = next_random() % (ARG_NOT_NULL + 1),
                                          .value = next_random() % 3,
                                          .value_high = next_random() % 4,
                                          .mask = next_random() % 2 == 0 ? 0 : 3};
    return rule;
}

static bool some_trap_wants(const struct filter_trap *traps, size_t count, int number,
                            const uint64_t args[6])
{
    for (size_t i = 0; i < count; i++) {
        bool passes = false;
        for (size_t p = 0; p < traps[i].pass_count; p++)
            passes = passes || filter_rule_holds(&traps[i].passes[p], args);
        if (traps[i].number == number && !passes)
            return true;
    }
    return false;
}

static void random_traps_are_never_missed(void **state)
{
    static const char *const names[] = {"openat", "ioctl", "clone", "prctl"};

    for (unsigned round = 0; round < 100; round++) {
        struct filter_rule rules[8];
        struct filter_trap traps[5];
        struct member_filter_options options = {true, traps, ARRAY_SIZE(traps)};
        CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
            rules[i] = random_pass();
        for (size_t i = 0; i < ARRAY_SIZE(traps); i++)
            traps[i] = (struct filter_trap){TRAP(names[next_random() % ARRAY_SIZE(names)]),
                                            &rules[next_random() % 5], next_random() % 4};
        CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
        struct error err = {0};
        if (round % 10 == 0)
            compile_and_verify(plan, &program);
        else
            assert_true(filter_compile(plan, &program, &err));
        for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
            for (unsigned values = 0; values < 64; values++) {
                struct seccomp_data data = {.nr = TRAP(names[n]), .arch = arch_x86_64.audit_arch};
                uint64_t args[6] = {values % 4, values / 4 % 4, values / 16};
                memcpy(data.args, args, sizeof(args));
                uint32_t answer = bpf_run_valid(&program, &data);
                bool wanted = some_trap_wants(traps, ARRAY_SIZE(traps), data.nr, args);
                if (wanted && (answer & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO)
                    assert_int_equal(answer, FILTER_NOTIFY);
                /* With at most two traps of two tests nothing has to be left out. */
                if (n == 0 && !wanted && answer == FILTER_NOTIFY) {
                    size_t meeting = 0;
                    for (size_t i = 0; i < ARRAY_SIZE(traps); i++)
                        meeting += traps[i].number == data.nr;
                    assert_true(meeting > 2);
                }
            }
        }
    }
}

/* ---- Views: argument rules that make way for a trap ------------------------------------------- */

static void routing_sockets_go_to_the_trap_that_answers_them(void **state)
{
    static const struct filter_rule others[] = {
        {.test_count = 1, .tests = {{.arg = 0, .op = ARG_NOT_EQUAL, .value = AF_NETLINK}}}};
    struct filter_trap trap = {TRAP("socket"), others, ARRAY_SIZE(others)};
    struct member_filter_options options = {true, &trap, 1, .netlink_view = true};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;

    assert_int_equal(ask(plan, "socket", AF_NETLINK, SOCK_RAW, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_NETLINK, SOCK_STREAM, 0, 0), FILTER_NOTIFY);
    assert_int_equal(ask(plan, "socket", AF_NETLINK, SOCK_RAW, 4, 0), FILTER_ERRNO(EAFNOSUPPORT));
    assert_int_equal(ask(plan, "socketpair", AF_NETLINK, SOCK_RAW, 0, 0), FILTER_ERRNO(EOPNOTSUPP));
    assert_int_equal(ask(plan, "socket", AF_UNIX, SOCK_STREAM, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_STREAM, 0, 0), FILTER_ALLOW);
    assert_int_equal(ask(plan, "socket", AF_INET, SOCK_DGRAM, 0, 0), FILTER_ERRNO(EPERM));
    assert_int_equal(ask(plan, "socket", 38 /* AF_ALG */, 5, 0, 0), FILTER_ERRNO(EAFNOSUPPORT));
    compile_and_verify(plan, &program);
}

static void interface_questions_go_to_the_trap_that_answers_them(void **state)
{
    static const struct filter_rule others[] = {
        {.test_count = 1, .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value_high = 0x890f}}},
        {.test_count = 1,
         .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 0x894b, .value_high = UINT32_MAX}}}};
    struct filter_trap trap = {TRAP("ioctl"), others, ARRAY_SIZE(others)};
    struct member_filter_options options = {true, &trap, 1, .interface_view = true};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);
    CLEANUP_BPF_PROGRAM struct bpf_program program = BPF_PROGRAM_INIT;
    static const uint32_t answered[] = {0x8910, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b,
                                        0x891d, 0x8921, 0x8927, 0x8933, 0x8942};
    static const uint32_t refused[] = {0x890b, 0x8912, 0x8914, 0x8916, 0x8920,
                                       0x8922, 0x8929, 0x8938, 0x8946, 0x894a,
                                       0x894c, 0x8954, 0x8970, 0x89f0, 0x8b00};
    static const uint32_t others_of_kind[] = {0, 0x5401, 0x8905, 0x894b, 0x89e0, 0x8c00};

    for (size_t i = 0; i < ARRAY_SIZE(answered); i++)
        assert_int_equal(ask(plan, "ioctl", 0, answered[i], 0, 0), FILTER_NOTIFY);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(ask(plan, "ioctl", 0, refused[i], 0, 0), FILTER_ERRNO(EPERM));
    for (size_t i = 0; i < ARRAY_SIZE(others_of_kind); i++)
        assert_int_equal(ask(plan, "ioctl", 0, others_of_kind[i], 0, 0), FILTER_ALLOW);
    compile_and_verify(plan, &program);
}

/* Conditions on one argument are joined, so that a window and the gaps of another trap stay short. */
static void conditions_that_meet_are_asked_once(void **state)
{
    static const struct filter_rule gaps[] = {
        {.test_count = 1, .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 0, .value_high = 99}}},
        {.test_count = 1,
         .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 101, .value_high = UINT32_MAX}}}};
    static const struct filter_rule window[] = {
        {.test_count = 1, .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 0, .value_high = 49}}},
        {.test_count = 1,
         .tests = {{.arg = 1, .op = ARG_IN_RANGE, .value = 61, .value_high = UINT32_MAX}}}};
    struct filter_trap traps[] = {{TRAP("openat"), gaps, 2}, {TRAP("openat"), window, 2}};
    struct member_filter_options options = {true, traps, 2};
    CLEANUP_PLAN struct filter_plan *plan = plan_for(&arch_x86_64, &default_policy, &options);

    assert_int_equal(plan->entries[TRAP("openat")].rule_count, 3);
    for (uint32_t value = 0; value < 200; value++)
        assert_int_equal(ask(plan, "openat", 0, value, 0, 0),
                         value == 100 || (value >= 50 && value <= 60) ? FILTER_NOTIFY
                                                                      : FILTER_ALLOW);
}

/* ---- Reasons --------------------------------------------------------------------------------- */

static const char *reason(bool with_supervisor, const struct policy *policy, const char *name)
{
    return member_filter_denial_reason(&arch_x86_64, policy, with_supervisor,
                                       arch_syscall_number(&arch_x86_64, name));
}

static void refusals_have_reasons(void **state)
{
    int denied[] = {TRAP("connect")};
    struct policy policy = {.denied_numbers = denied, .denied_count = 1};

    assert_string_equal(reason(true, &policy, "mount"), "built-in deny list");
    assert_null(reason(false, &policy, "mount"));
    assert_string_equal(reason(false, &policy, "bpf"), "built-in deny list");
    assert_string_equal(reason(true, &policy, "connect"), "extra-deny-syscall");
    assert_string_equal(reason(true, &policy, "clone3"), "hidden system call");
    assert_string_equal(reason(true, &policy, "shmget"), "sysv_ipc is not allowed");
    policy.sysv_ipc_allowed = true;
    assert_null(reason(true, &policy, "shmget"));
    assert_null(reason(true, &policy, "read"));
    assert_null(reason(true, &policy, "ioctl"));
    assert_string_equal(member_filter_denial_reason(&arch_x86_64, &policy, true, 400),
                        "unknown system call");
    assert_string_equal(member_filter_denial_reason(&arch_x86_64, &policy, true, 470),
                        "unknown system call");
}

/* Reason and plan agree on every number. */
static void a_reason_is_given_exactly_for_what_is_always_refused(void **state)
{
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (int mode = 0; mode < 2; mode++) {
            CLEANUP_PLAN struct filter_plan *plan =
                plan_for(arch_all[a], &default_policy, mode == 0 ? &unsupervised : &supervised);
            for (int number = 0; number <= arch_all[a]->newest; number++) {
                const struct filter_entry *entry = &plan->entries[number];
                bool refused = entry->rule_count == 0 && entry->otherwise != FILTER_ALLOW;
                assert_int_equal(member_filter_denial_reason(arch_all[a], &default_policy,
                                                             mode == 1, number) != NULL,
                                 refused);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_answers_as_pinned),
        cmocka_unit_test(the_deny_list_is_refused),
        cmocka_unit_test(who_is_traced_does_not_stop_at_its_end),
        cmocka_unit_test(unshare_may_ask_for_threads_and_nothing_else),
        cmocka_unit_test(hidden_calls_are_enosys),
        cmocka_unit_test(ordinary_calls_and_those_of_the_launch_are_allowed),
        cmocka_unit_test(sysv_ipc_is_a_group),
        cmocka_unit_test(many_extra_denied_calls_are_exact),
        cmocka_unit_test(clone_makes_processes_and_threads_but_no_namespaces),
        cmocka_unit_test(under_a_tracer_no_process_shares_a_descriptor_table),
        cmocka_unit_test(prctl_and_personality_keep_the_process_inspectable),
        cmocka_unit_test(the_output_of_a_terminal_can_be_started_only),
        cmocka_unit_test(ioctl_keeps_off_what_files_of_the_machine_do),
        cmocka_unit_test(memory_is_taken_from_the_machine_by_nobody),
        cmocka_unit_test(what_consoles_share_and_what_stays_on_them_is_changed_by_nobody),
        cmocka_unit_test(nobody_leaves_a_session_that_is_kept),
        cmocka_unit_test(requests_of_root_to_what_the_machine_shares_are_refused),
        cmocka_unit_test(opens_that_only_truncate_are_refused_where_landlock_is_asked_too_late),
        cmocka_unit_test(ioctl_keeps_off_terminals_and_interfaces),
        cmocka_unit_test(sockets_are_unix_and_tcp),
        cmocka_unit_test(refused_arguments_are_notified_only_where_explained),
        cmocka_unit_test(routing_options_are_refused),
        cmocka_unit_test(groups_packet_filters_and_repair_are_refused),
        cmocka_unit_test(what_a_udp_socket_dropped_is_told_where_it_is_sure_to_receive),
        cmocka_unit_test(the_interface_of_multicast_is_chosen_where_datagrams_are_sent),
        cmocka_unit_test(nodes_of_devices_are_not_made),
        cmocka_unit_test(what_the_policy_sets_is_not_undone),
        cmocka_unit_test(packet_filters_and_what_they_drop_are_not_shown),
        cmocka_unit_test(leases_and_queues_are_refused),
        cmocka_unit_test(zero_copy_is_refused_only_where_sends_are_made_on_behalf),
        cmocka_unit_test(fast_open_is_refused),
        cmocka_unit_test(without_a_gate_only_the_caller_itself_can_be_changed),
        cmocka_unit_test(the_gate_decides_about_others_where_it_traps),
        cmocka_unit_test(deny_beats_argument_rules_beat_traps),
        cmocka_unit_test(pass_rules_hold_behind_argument_rules),
        cmocka_unit_test(a_call_is_trapped_when_any_trap_wants_it),
        cmocka_unit_test(what_does_not_fit_is_trapped),
        cmocka_unit_test(traps_without_a_supervisor_are_an_error),
        cmocka_unit_test(random_traps_are_never_missed),
        cmocka_unit_test(routing_sockets_go_to_the_trap_that_answers_them),
        cmocka_unit_test(interface_questions_go_to_the_trap_that_answers_them),
        cmocka_unit_test(conditions_that_meet_are_asked_once),
        cmocka_unit_test(refusals_have_reasons),
        cmocka_unit_test(a_reason_is_given_exactly_for_what_is_always_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
