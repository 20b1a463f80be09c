/* The posture of the protections: every outcome on every host, beside what is then left open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "launch/internal.h"

#include <string.h>

/* What members can do without it. Without fs-refer the kernel refuses more, not less. */
static const char *const left_open[PROTECTION_COUNT] = {
    [PROTECTION_FS_TRUNCATE] = "truncate()",
    [PROTECTION_NET_TCP] = "TCP connect and bind are not restricted",
    [PROTECTION_FS_IOCTL_DEV] = "requests to devices (ioctl) are not restricted",
    [PROTECTION_SIGNAL_SCOPE] = "members can signal other processes",
    [PROTECTION_ABSTRACT_UNIX_SCOPE] = "abstract unix sockets outside the sandbox",
};

static const enum posture_state expected[] = {
    [STATUS_ACTIVE] = POSTURE_ACTIVE,
    [STATUS_DEGRADED] = POSTURE_DEGRADED,
    [STATUS_DISABLED] = POSTURE_DISABLED,
    [STATUS_UNAVAILABLE] = POSTURE_OFF,
};

static bool says(const struct posture *posture, const char *words)
{
    for (size_t i = 0; i < posture->exceptions.count; i++)
        if (strstr(posture->exceptions.items[i], words) != NULL)
            return true;
    return false;
}

static void check_one(int which, enum protection_status status)
{
    struct policy policy = {.no_supervisor = true};
    struct launch launch = {.policy = &policy};

    for (int i = 0; i < PROTECTION_COUNT; i++)
        launch.domains.masks.status[i] = i == which ? status : STATUS_ACTIVE;
    posture_describe_launch(&launch);
    for (int i = 0; i < PROTECTION_COUNT; i++) {
        bool active = i != which || status == STATUS_ACTIVE;
        const struct posture_entry *entry =
            posture_find(&launch.posture, protection_name((enum protection)i));
        assert_non_null(entry);
        assert_int_equal(entry->state, active ? POSTURE_ACTIVE : expected[status]);
        assert_int_equal(entry->by != NULL, active);
        assert_int_equal(entry->why != NULL, !active);
        if (left_open[i] != NULL)
            assert_int_equal(says(&launch.posture, left_open[i]), !active);
    }
    assert_false(launch.posture.failed);
    posture_free(&launch.posture);
}

static void each_outcome_of_a_protection_has_its_entry_and_its_exception(void **state)
{
    (void)state;
    for (int which = 0; which < PROTECTION_COUNT; which++)
        for (size_t status = 0; status < sizeof(expected) / sizeof(expected[0]); status++)
            check_one(which, (enum protection_status)status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_outcome_of_a_protection_has_its_entry_and_its_exception),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
