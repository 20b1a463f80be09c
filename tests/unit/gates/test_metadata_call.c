/* The decode tables: no spelling is forgotten, and filter and table agree on ioctl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "filter/filter.h"
#include "gates/gates.h"
#include "gates/metadata_call.h"
#include "kernel/arch.h"
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct metadata_spelling *find_spelling(const char *name)
{
    for (size_t i = 0; i < metadata_spelling_count; i++) {
        if (strcmp(metadata_spellings[i].syscall, name) == 0)
            return &metadata_spellings[i];
    }
    return NULL;
}

static bool only_reads(const char *name)
{
    static const char *const readers[] = {"getxattr",  "lgetxattr",  "fgetxattr",  "getxattrat",
                                          "listxattr", "llistxattr", "flistxattr", "listxattrat"};

    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        if (strcmp(name, readers[i]) == 0)
            return true;
    }
    return false;
}

static bool changes_metadata(const char *name)
{
    static const char *const words[] = {"chmod", "chown", "utime", "xattr", "file_setattr"};

    if (only_reads(name))
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(name, words[i]) != NULL)
            return true;
    }
    return false;
}

static void test_every_spelling_of_every_architecture_has_a_row(void **state)
{
    size_t seen = 0;

    (void)state;
    for (size_t a = 0; arch_all[a] != NULL; a++) {
        for (int number = 0; number <= arch_all[a]->newest; number++) {
            const char *name = arch_syscall_name(arch_all[a], number);
            if (name == NULL || !changes_metadata(name))
                continue;
            if (find_spelling(name) == NULL)
                fail_msg("%s has no row", name);
            seen++;
        }
    }
    assert_true(seen > 40);
}

static void test_every_row_is_a_real_call_and_a_trap(void **state)
{
    (void)state;
    assert_int_equal(feature_metadata_gate.trap_count, metadata_spelling_count);
    for (size_t i = 0; i < metadata_spelling_count; i++) {
        const struct trap *trap = &feature_metadata_gate.traps[i];
        assert_true(arch_name_known_anywhere(metadata_spellings[i].syscall));
        assert_string_equal(trap->syscall, metadata_spellings[trap->detail].syscall);
        assert_non_null(trap->handle);
    }
}

static void test_only_ioctl_has_a_way_past_the_gate(void **state)
{
    (void)state;
    for (size_t i = 0; i < feature_metadata_gate.trap_count; i++) {
        const struct trap *trap = &feature_metadata_gate.traps[i];
        assert_true((trap->pass_count > 0) == (strcmp(trap->syscall, "ioctl") == 0));
    }
}

static bool ioctl_passes(uint32_t command)
{
    const struct trap *trap = NULL;
    /* Garbage in the high half must not matter: the kernel reads 32 bits. */
    uint64_t args[6] = {3, 0xABCD00000000ULL | command, 0};

    for (size_t i = 0; i < feature_metadata_gate.trap_count; i++) {
        if (strcmp(feature_metadata_gate.traps[i].syscall, "ioctl") == 0)
            trap = &feature_metadata_gate.traps[i];
    }
    assert_non_null(trap);
    for (size_t i = 0; i < trap->pass_count; i++) {
        if (filter_rule_holds(&trap->passes[i], args))
            return true;
    }
    return false;
}

static void test_ioctl_traps_exactly_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < inode_ioctl_count; i++) {
        uint32_t command = inode_ioctls[i].command;
        assert_false(ioctl_passes(command));
        if (i > 0)
            assert_true(command > inode_ioctls[i - 1].command);
        if (i == 0 || inode_ioctls[i - 1].command != command - 1)
            assert_true(ioctl_passes(command - 1));
        if (i + 1 == inode_ioctl_count || inode_ioctls[i + 1].command != command + 1)
            assert_true(ioctl_passes(command + 1));
    }
    assert_true(ioctl_passes(0));
    assert_true(ioctl_passes(0x5401)); /* TCGETS */
    assert_true(ioctl_passes(UINT32_MAX));
}

/* A call of this process with an extended attribute of this size, decoded. */
static int decode_value(struct metadata_call **call, atomic_size_t *values, size_t size)
{
    static char value[METADATA_VALUE_MAX];
    const struct member_view view = {.proc_fd = -1, .tid = sys_gettid(), .tgid = getpid()};
    const struct seccomp_data data = {
        .args = {(uintptr_t) "/", (uintptr_t) "user.x", (uintptr_t)value, size}};

    *call = metadata_call_new();
    assert_non_null(*call);
    (*call)->values = values;
    return metadata_decode(*call, find_spelling("setxattr"), &view, &data);
}

static void test_values_under_way_are_bounded_together(void **state)
{
    enum { FIT = METADATA_VALUES_MAX / METADATA_VALUE_MAX };
    struct metadata_call *calls[FIT], *more;
    atomic_size_t values = 0;

    (void)state;
    for (size_t i = 0; i < FIT; i++)
        assert_int_equal(decode_value(&calls[i], &values, METADATA_VALUE_MAX), 0);
    assert_int_equal(decode_value(&more, &values, METADATA_VALUE_MAX), -ENOMEM);
    metadata_call_free(more);
    assert_int_equal(decode_value(&more, &values, METADATA_VALUE_SMALL), 0);
    metadata_call_free(more);
    metadata_call_free(calls[0]);
    assert_int_equal(decode_value(&calls[0], &values, METADATA_VALUE_MAX), 0);
    for (size_t i = 0; i < FIT; i++)
        metadata_call_free(calls[i]);
    assert_int_equal(atomic_load(&values), 0);
}

/* As on a kernel before 5.8: no fchmodat2, and utimensat does not know AT_EMPTY_PATH. */
/* `unknown`: the answer to a call that does not exist, ENOSYS or what a container has for it. */
static bool become_an_old_kernel(int unknown)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 452 /* fchmodat2, everywhere */, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_utimensat, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x1000 /* AT_EMPTY_PATH */, 1, 2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)unknown),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Mode and times of a new file. 0, or which step failed. */
static int change_file(int path_fd)
{
    struct metadata_call *call = metadata_call_new();
    struct stat file;
    int failed = 0;

    call->spelling = find_spelling("fchmodat");
    call->mode = 0640;
    failed |= metadata_perform(call, path_fd) == 0 ? 0 : 1;
    call->spelling = find_spelling("utimensat");
    call->times[0] = call->times[2] = 1000;
    failed |= metadata_perform(call, path_fd) == 0 ? 0 : 2;
    call->times[1] = 2000000000; /* no such part of a second */
    failed |= metadata_perform(call, path_fd) == -EINVAL ? 0 : 4;
    failed |= fstat(path_fd, &file) == 0 && (file.st_mode & 0777) == 0640 ? 0 : 8;
    failed |= file.st_mtime == 1000 ? 0 : 16;
    metadata_call_free(call);
    return failed;
}

static void test_a_pinned_file_is_changed_by_new_and_old_kernels(void **state)
{
    char name[] = "/tmp/metadata.XXXXXX";

    (void)state;
    const int unknown[] = {0, ENOSYS, EPERM}; /* 0: new */

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        int status, fd = mkstemp(name);
        assert_true(fd >= 0);
        int path_fd = open(name, O_PATH | O_CLOEXEC);
        pid_t pid = fork();
        if (pid == 0)
            _exit(unknown[i] != 0 && !become_an_old_kernel(unknown[i]) ? 99 : change_file(path_fd));
        unlink(name);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(path_fd);
        close(fd);
        memcpy(name, "/tmp/metadata.XXXXXX", sizeof(name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_spelling_of_every_architecture_has_a_row),
        cmocka_unit_test(test_every_row_is_a_real_call_and_a_trap),
        cmocka_unit_test(test_only_ioctl_has_a_way_past_the_gate),
        cmocka_unit_test(test_ioctl_traps_exactly_the_table),
        cmocka_unit_test(test_values_under_way_are_bounded_together),
        cmocka_unit_test(test_a_pinned_file_is_changed_by_new_and_old_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
