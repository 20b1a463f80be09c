/* Landlock: the arithmetic for every ABI and request, the messages, and the real calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "kernel/landlock.h"
#include "kernel/sys.h"
#include "util/fd.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* What each protection adds, written down a second time: the kernel's numbers, not our macros. */
static const struct {
    const char *name, *display;
    int abi;
    uint64_t fs, net, scoped;
} expected[PROTECTION_COUNT] = {
    {"fs-refer", "FsRefer", 2, 0x2000, 0, 0},
    {"fs-truncate", "FsTruncate", 3, 0x4000, 0, 0},
    {"net-tcp", "NetTcp", 4, 0, 0x3, 0},
    {"fs-ioctl-dev", "FsIoctlDev", 5, 0x8000, 0, 0},
    {"signal-scope", "SignalScope", 6, 0, 0, 0x2},
    {"abstract-unix-socket-scope", "AbstractUnixSocketScope", 6, 0, 0, 0x1},
};

#define BASE 0x1fffULL

static void set_all(enum protection_request requests[PROTECTION_COUNT],
                    enum protection_request request)
{
    for (int i = 0; i < PROTECTION_COUNT; i++)
        requests[i] = request;
}

static void protections_have_their_names_and_floors(void **state)
{
    (void)state;
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        enum protection parsed = PROTECTION_COUNT;
        assert_string_equal(protection_name((enum protection)i), expected[i].name);
        assert_string_equal(protection_display((enum protection)i), expected[i].display);
        assert_int_equal(protection_min_abi((uint32_t)i), expected[i].abi);
        assert_true(protection_parse(expected[i].name, &parsed));
        assert_int_equal(parsed, i);
    }
    assert_int_equal(protection_min_abi(PROTECTION_COUNT), 0);
    assert_int_equal(protection_min_abi(UINT32_MAX), 0);
    assert_null(protection_name(PROTECTION_COUNT));
}

static void names_ignore_case_and_nothing_else(void **state)
{
    enum protection parsed = PROTECTION_COUNT;

    (void)state;
    assert_true(protection_parse("Net-TCP", &parsed));
    assert_int_equal(parsed, PROTECTION_NET_TCP);
    assert_false(protection_parse("net", &parsed));
    assert_false(protection_parse("net-tcp ", &parsed));
    assert_false(protection_parse("", &parsed));
}

static void each_abi_offers_what_it_introduced(void **state)
{
    static const struct {
        int abi;
        uint64_t fs, net, scoped;
    } rows[] = {
        {1, 0x1fff, 0, 0},    {2, 0x3fff, 0, 0},     {3, 0x7fff, 0, 0},   {4, 0x7fff, 3, 0},
        {5, 0xffff, 3, 0},    {6, 0xffff, 3, 0x3},   {7, 0xffff, 3, 0x3}, {8, 0xffff, 3, 0x3},
        {9, 0x1ffff, 3, 0x3}, {99, 0x1ffff, 3, 0x3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct landlock_support support;
        landlock_support_for_abi(rows[i].abi, &support);
        assert_int_equal(support.abi, rows[i].abi);
        assert_int_equal(support.fs, rows[i].fs);
        assert_int_equal(support.net, rows[i].net);
        assert_int_equal(support.scoped, rows[i].scoped);
    }
}

static void assert_resolved(int abi, int protection, enum protection_request request)
{
    static const enum protection_status when_present[] = {
        [PROTECTION_STRICT] = STATUS_ACTIVE,
        [PROTECTION_DEGRADABLE] = STATUS_ACTIVE,
        [PROTECTION_DISABLED] = STATUS_DISABLED,
    };
    static const enum protection_status when_absent[] = {
        [PROTECTION_STRICT] = STATUS_UNAVAILABLE,
        [PROTECTION_DEGRADABLE] = STATUS_DEGRADED,
        [PROTECTION_DISABLED] = STATUS_DISABLED,
    };
    enum protection_request requests[PROTECTION_COUNT];
    struct landlock_support support;
    struct landlock_masks masks;
    uint64_t fs = BASE, net = 0, scoped = 0;

    landlock_support_for_abi(abi, &support);
    set_all(requests, PROTECTION_DISABLED);
    requests[protection] = request;
    landlock_resolve(&support, requests, &masks);

    bool present = abi >= expected[protection].abi;
    enum protection_status status = (present ? when_present : when_absent)[request];
    if (status == STATUS_ACTIVE) {
        fs |= expected[protection].fs;
        net |= expected[protection].net;
        scoped |= expected[protection].scoped;
    }
    assert_int_equal(masks.status[protection], status);
    assert_int_equal(masks.fs, fs);
    assert_int_equal(masks.net, net);
    assert_int_equal(masks.scoped, scoped);
}

static void a_protection_is_resolved_for_every_abi_and_request(void **state)
{
    (void)state;
    for (int abi = 1; abi <= 7; abi++) {
        for (int protection = 0; protection < PROTECTION_COUNT; protection++) {
            assert_resolved(abi, protection, PROTECTION_STRICT);
            assert_resolved(abi, protection, PROTECTION_DEGRADABLE);
            assert_resolved(abi, protection, PROTECTION_DISABLED);
        }
    }
}

static void a_bit_the_kernel_rejects_counts_as_lacking(void **state)
{
    enum protection_request requests[PROTECTION_COUNT];
    struct landlock_support support;
    struct landlock_masks masks;
    struct error err = {0};

    (void)state;
    landlock_support_for_abi(6, &support);
    support.scoped = 0; /* an enterprise kernel that reports 6 */
    set_all(requests, PROTECTION_STRICT);
    landlock_resolve(&support, requests, &masks);
    assert_int_equal(masks.status[PROTECTION_SIGNAL_SCOPE], STATUS_UNAVAILABLE);
    assert_int_equal(masks.status[PROTECTION_FS_IOCTL_DEV], STATUS_ACTIVE);
    assert_int_equal(masks.scoped, 0);
    assert_false(landlock_check_strict(&support, &masks, &err));
    assert_non_null(strstr(err.text, "reports but rejects"));

    support.net = LL_NET_BIND_TCP; /* half a protection is none */
    landlock_resolve(&support, requests, &masks);
    assert_int_equal(masks.status[PROTECTION_NET_TCP], STATUS_UNAVAILABLE);
    assert_int_equal(masks.net, 0);
}

static void a_refusal_names_protection_host_and_floor(void **state)
{
    enum protection_request requests[PROTECTION_COUNT];
    struct landlock_support support;
    struct landlock_masks masks;
    struct error err = {0};

    (void)state;
    landlock_support_for_abi(4, &support);
    set_all(requests, PROTECTION_DEGRADABLE);
    landlock_resolve(&support, requests, &masks);
    assert_true(landlock_check_strict(&support, &masks, &err));

    requests[PROTECTION_FS_IOCTL_DEV] = PROTECTION_STRICT;
    landlock_resolve(&support, requests, &masks);
    assert_false(landlock_check_strict(&support, &masks, &err));
    assert_int_equal(err.kind, ERROR_RUNTIME);
    assert_non_null(strstr(err.text, "fs-ioctl-dev"));
    assert_non_null(strstr(err.text, "FsIoctlDev"));
    assert_non_null(strstr(err.text, "needs Landlock ABI 5"));
    assert_non_null(strstr(err.text, "this host has ABI 4"));
    assert_null(strstr(err.text, "signal-scope")); /* degradable: not the reason */
}

static void without_landlock_nothing_can_be_degraded(void **state)
{
    enum protection_request requests[PROTECTION_COUNT];
    struct landlock_support support;
    struct landlock_masks masks;
    struct error err = {0};

    (void)state;
    landlock_support_for_abi(0, &support);
    support.unavailable_errno = EOPNOTSUPP;
    set_all(requests, PROTECTION_DEGRADABLE);
    landlock_resolve(&support, requests, &masks);
    assert_int_equal(masks.fs, 0);
    assert_false(landlock_check_strict(&support, &masks, &err));
    assert_non_null(strstr(err.text, "Landlock is unavailable"));
    assert_int_equal(err.sys_errno, EOPNOTSUPP);
}

static void grants_ask_only_for_handled_rights_that_fit_the_object(void **state)
{
    (void)state;
    assert_int_equal(landlock_read_rights(0xffff, true), 0x000d);
    assert_int_equal(landlock_read_rights(0xffff, false), 0x0005);
    assert_int_equal(landlock_write_rights(0xffff, true), 0xffff);
    assert_int_equal(landlock_write_rights(0xffff, false), 0xc007);
    assert_int_equal(landlock_write_rights(BASE, true), 0x1fff);
    assert_int_equal(landlock_write_rights(BASE, false), 0x0007);
    assert_int_equal(landlock_write_rights(0x7fff, false), 0x4007);
    assert_int_equal(landlock_read_rights(0, true), 0);
}

/* ---- the real kernel ---- */

static void need_landlock(void)
{
    if (landlock_support_get()->abi == 0)
        skip_because("no Landlock here");
}

static void the_probe_agrees_with_the_kernel(void **state)
{
    const struct landlock_support *support = landlock_support_get();
    long abi = sys_call3(SYS_landlock_create_ruleset, 0, 0, 1);

    (void)state;
    assert_ptr_equal(landlock_support_get(), support);
    assert_int_equal(support->abi, abi < 0 ? 0 : abi);
    if (support->abi == 0) {
        assert_int_not_equal(support->unavailable_errno, 0);
        return;
    }
    struct landlock_masks masks = {
        .fs = support->fs, .net = support->net, .scoped = support->scoped};
    CLEANUP_FD int ruleset = landlock_create(&masks);
    assert_true(ruleset >= 0);
    masks.fs |= 1ULL << 63; /* control: the kernel does refuse what it does not know */
    assert_int_equal(landlock_create(&masks), -EINVAL);
}

/* In a child: enters a domain that handles reading directories and grants "/" or nothing, and opens
 * "/". Returns the errno of the open, 0 for success; 255 when the set-up failed. */
static int open_root_in_domain(bool granted)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct landlock_masks masks = {.fs = LL_FS_BASE};
        int ruleset = landlock_create(&masks);
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        uint64_t rights = granted ? landlock_read_rights(masks.fs, true) : 0;
        if (ruleset < 0 || root < 0 || landlock_add_path(ruleset, root, rights) != 0 ||
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || landlock_enter(ruleset, 0) != 0)
            _exit(255);
        _exit(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 0 : errno);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_domain_denies_what_no_rule_grants(void **state)
{
    (void)state;
    need_landlock();
    assert_int_equal(open_root_in_domain(true), 0);
    assert_int_equal(open_root_in_domain(false), EACCES);
}

static void a_port_rule_needs_the_handled_right(void **state)
{
    struct landlock_masks masks = {.net = LL_NET_CONNECT_TCP};

    (void)state;
    need_landlock();
    if ((landlock_support_get()->net & LL_NET_CONNECT_TCP) == 0)
        skip_because("Landlock does not judge TCP here");
    CLEANUP_FD int ruleset = landlock_create(&masks);
    assert_true(ruleset >= 0);
    assert_int_equal(landlock_add_port(ruleset, 443, LL_NET_CONNECT_TCP), 0);
    assert_int_equal(landlock_add_port(ruleset, 443, LL_NET_BIND_TCP), -EINVAL);
    assert_int_equal(landlock_add_port(ruleset, 443, 0), 0);
    assert_int_equal(landlock_add_port(-1, 443, LL_NET_CONNECT_TCP), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protections_have_their_names_and_floors),
        cmocka_unit_test(names_ignore_case_and_nothing_else),
        cmocka_unit_test(each_abi_offers_what_it_introduced),
        cmocka_unit_test(a_protection_is_resolved_for_every_abi_and_request),
        cmocka_unit_test(a_bit_the_kernel_rejects_counts_as_lacking),
        cmocka_unit_test(a_refusal_names_protection_host_and_floor),
        cmocka_unit_test(without_landlock_nothing_can_be_degraded),
        cmocka_unit_test(grants_ask_only_for_handled_rights_that_fit_the_object),
        cmocka_unit_test(the_probe_agrees_with_the_kernel),
        cmocka_unit_test(a_domain_denies_what_no_rule_grants),
        cmocka_unit_test(a_port_rule_needs_the_handled_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
