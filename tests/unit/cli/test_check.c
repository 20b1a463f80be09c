/* What `check` prints, for every Landlock ABI and for hosts that lack things. */
#include "../policy/policy_test.h"

#include "cli/check.h"

#include <errno.h>

static struct probe_result host_with_abi(int abi)
{
    struct probe_result host = {.kernel_release = "6.1.0-test", .yama_ptrace_scope = 1};

    if (abi > 0)
        landlock_support_for_abi(abi, &host.landlock);
    else
        host.landlock.unavailable_errno = EOPNOTSUPP;
    return host;
}

static char *text_of(const struct probe_result *host)
{
    struct buffer text = BUFFER_INIT;

    check_text(host, "x86_64", &text);
    return buffer_take(&text);
}

static void assert_text(const struct probe_result *host, const char *const *texts)
{
    char *text = text_of(host);

    assert_has_texts(text, texts);
    free(text);
}

static void test_the_layout_on_a_host_that_has_everything(void **state)
{
    struct probe_result host = host_with_abi(6);
    char *text = text_of(&host);
    static const char expected[] = "Kernel feature support:\n"
                                   "  Landlock:       ABI v6\n"
                                   "  Minimum required: ABI v6\n"
                                   "  Status:         OK\n"
                                   "  Filesystem:     supported (ABI v1+)\n"
                                   "  File truncate:  supported (ABI v3+)\n"
                                   "  TCP ports:      supported (ABI v4+)\n"
                                   "  Device ioctl:   supported (ABI v5+)\n"
                                   "  IPC scoping:    supported (ABI v6+)\n"
                                   "  Signal scoping: supported (ABI v6+)\n"
                                   "\n"
                                   "Per-protection availability (host Landlock ABI v6):\n"
                                   "  FsRefer                requires v2 \xE2\x80\x94 available\n"
                                   "  FsTruncate             requires v3 \xE2\x80\x94 available\n"
                                   "  NetTcp                 requires v4 \xE2\x80\x94 available\n"
                                   "  FsIoctlDev             requires v5 \xE2\x80\x94 available\n"
                                   "  SignalScope            requires v6 \xE2\x80\x94 available\n"
                                   "  AbstractUnixSocketScope requires v6 \xE2\x80\x94 available\n"
                                   "  Platform: x86_64\n";

    assert_true(strncmp(text, expected, sizeof(expected) - 1) == 0);
    free(text);
}

static void test_each_feature_appears_with_its_abi(void **state)
{
    static const struct {
        int abi;
        const char *present, *missing;
    } cases[] = {
        {2, "FsRefer                requires v2 \xE2\x80\x94 available",
         "File truncate:  not supported"},
        {3, "File truncate:  supported", "TCP ports:      not supported"},
        {4, "TCP ports:      supported", "Device ioctl:   not supported"},
        {5, "Device ioctl:   supported", "Signal scoping: not supported"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probe_result host = host_with_abi(cases[i].abi);
        assert_text(&host, TEXTS(cases[i].present, cases[i].missing,
                                 "Status:         UNSUPPORTED (upgrade kernel)"));
    }
}

static void test_bits_count_and_not_the_reported_number(void **state)
{
    struct probe_result host = host_with_abi(6);

    /* Some kernels report 6 and refuse the bits of 5. */
    host.landlock.fs &= ~LL_FS_IOCTL_DEV;
    assert_text(&host, TEXTS("ABI v6", "Device ioctl:   not supported", "UNSUPPORTED",
                             "FsIoctlDev             requires v5 \xE2\x80\x94 unavailable"));
}

static void test_a_host_without_landlock(void **state)
{
    struct probe_result host = host_with_abi(0);

    assert_text(&host, TEXTS("  Landlock: unavailable (", "lsm=", "  Status:   UNSUPPORTED\n",
                             "  Platform: x86_64\n"));
    host.landlock.unavailable_errno = ENOSYS;
    assert_text(&host, TEXTS("this kernel is built without it"));
}

static void test_json_carries_the_same_facts(void **state)
{
    struct probe_result host = host_with_abi(4);
    struct buffer text = BUFFER_INIT;

    host.pidfd_getfd = (struct probe_item){.available = false, .sys_errno = EPERM};
    snprintf(host.pidfd_getfd.reason, sizeof(host.pidfd_getfd.reason), "refused \"here\"");
    check_json(&host, "aarch64", &text);
    assert_has_texts(buffer_text(&text),
                     TEXTS("\"v\": 1", "\"platform\": \"aarch64\"", "\"abi\": 4",
                           "\"supported\": false", "\"tcp_ports\": true", "\"device_ioctl\": false",
                           "\"name\": \"signal-scope\"", "refused \\\"here\\\"", "\"errno\": 1",
                           "\"yama_ptrace_scope\": 1"));
    buffer_free(&text);
}

static void test_a_posture_lists_entries_and_what_is_open(void **state)
{
    struct posture posture = POSTURE_INIT;
    struct buffer text = BUFFER_INIT;

    posture_set(&posture, "net-tcp", POSTURE_ACTIVE, "landlock", NULL);
    posture_set(&posture, "process-gate", POSTURE_DISABLED, NULL, "--without process-gate");
    posture_exception(&posture, "UDP bind is open");
    check_posture_text(&posture, "web\n", &text);
    assert_has_texts(buffer_text(&text),
                     TEXTS("'web\\n'", "net-tcp                      active    by landlock\n",
                           "process-gate                 disabled  (--without process-gate)\n",
                           "Left open:\n  UDP bind is open\n"));
    buffer_free(&text);
    posture_free(&posture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_layout_on_a_host_that_has_everything),
        cmocka_unit_test(test_each_feature_appears_with_its_abi),
        cmocka_unit_test(test_bits_count_and_not_the_reported_number),
        cmocka_unit_test(test_a_host_without_landlock),
        cmocka_unit_test(test_json_carries_the_same_facts),
        cmocka_unit_test(test_a_posture_lists_entries_and_what_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
