/* Which requests the terminal gate sees, where it is there at all, and what the supervisor may do for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gates/gates.h"
#include "gates/terminal_change.h"
#include "net/net.h"
#include "supervisor/supervisor.h"
#include "supervisor/wall.h"

#include <errno.h>
#include <signal.h>

#define SET_FOREGROUND 0x5410
#define GARBAGE 0x7700000000ULL

/* Questions between the changes, seen because a range is shorter than two. */
static bool is_seen_besides(uint32_t request)
{
    return request == 0x5405 || request == 0x5419 || request == 0x5426;
}

static bool is_expected(uint32_t request)
{
    return request == SET_FOREGROUND || is_seen_besides(request) ||
           terminal_change_find(request) != NULL;
}

static uint32_t answer(const struct filter_plan *plan, const char *call, uint64_t first,
                       uint64_t second, uint64_t third)
{
    const struct seccomp_data data = {
        .nr = arch_syscall_number(arch_native, call),
        .arch = arch_native->audit_arch,
        .args = {first, second, third},
    };

    return filter_plan_evaluate(plan, &data);
}

/* Of consoles, and of root, some changes are refused at once (filter/argument_rules.c). */
static void is_seen_as_expected(const struct filter_plan *plan, uint32_t request)
{
    uint32_t seen = answer(plan, "ioctl", 0, request | GARBAGE, 1);

    if ((seen == FILTER_NOTIFY) != is_expected(request) && seen != FILTER_ERRNO(EPERM))
        fail_msg("request %#x: answer %#x", request, seen);
    const struct terminal_change *change = terminal_change_find(request);
    bool refused = seen == FILTER_ERRNO(EPERM);
    if (change != NULL && seen != FILTER_NOTIFY && !(change->of_line && refused))
        fail_msg("request %#x changes a terminal and is not seen", request);
}

/* With the other features that look at ioctl: none of them makes the filter ask about more. */
static void changes_are_seen_and_nothing_else(void **state)
{
    const struct feature *const features[] = {&feature_terminal_gate, &feature_metadata_gate,
                                              &feature_interface_view, NULL};
    static const uint32_t others[] = {0x802C542A, 0x402C542A, 0x402C542E, 0x80045432,
                                      0x40045431, 0x5401,     0x40046601, UINT32_MAX};
    struct policy policy = {0};
    struct error err = {0};
    const struct supervisor_config config = {
        .policy = &policy, .registry = features, .terminal = true};
    struct supervisor *supervisor = supervisor_new(&config, &err);
    struct member_filter_options options = supervisor_filter_options(supervisor);

    (void)state;
    for (int privileged = 0; privileged < 2; privileged++) {
        options.privileged = privileged == 1;
        struct filter_plan *plan = member_filter_plan(arch_native, &policy, &options, &err);
        assert_non_null(plan);
        for (uint32_t request = 0; request < 0x8900; request++)
            is_seen_as_expected(plan, request);
        for (uint32_t request = 0x402C542B; request <= 0x402C542D; request++)
            is_seen_as_expected(plan, request);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
            is_seen_as_expected(plan, others[i]);
        filter_plan_free(plan);
    }
    supervisor_free(supervisor);
}

/* A run that began in front, or cannot read the terminal, is not asked. */
static void leaving_a_session_is_seen_only_where_it_is_kept(void **state)
{
    const struct feature *const features[] = {&feature_terminal_gate, &feature_session_gate,
                                              &feature_metadata_gate, NULL};
    struct policy policy = {0};
    struct error err = {0};

    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        const struct supervisor_config config = {
            .policy = &policy, .registry = features, .terminal = true, .keeps_session = kept == 1};
        struct supervisor *supervisor = supervisor_new(&config, &err);
        struct member_filter_options options = supervisor_filter_options(supervisor);
        struct filter_plan *plan = member_filter_plan(arch_native, &policy, &options, &err);
        assert_non_null(plan);
        uint32_t expected = kept == 1 ? FILTER_NOTIFY : FILTER_ALLOW;
        assert_int_equal(answer(plan, "setsid", 0, 0, 0), expected);
        for (uint32_t request = 0; request < 0x8900; request++) {
            if (request == 0x5422)
                assert_int_equal(answer(plan, "ioctl", 0, request | GARBAGE, 0), expected);
            else
                is_seen_as_expected(plan, request);
        }
        filter_plan_free(plan);
        supervisor_free(supervisor);
    }
}

/* One that controls the session, or another one, and is a stream. */
static void without_a_terminal_there_is_no_trap(void **state)
{
    const struct feature *const features[] = {&feature_terminal_gate, NULL};
    const int64_t foreign[] = {0x8805};
    struct policy policy = {0};
    struct error err = {0};

    (void)state;
    for (int terminal = 0; terminal < 3; terminal++) {
        const struct supervisor_config config = {.policy = &policy,
                                                 .registry = features,
                                                 .terminal = terminal == 1,
                                                 .foreign_terminals = foreign,
                                                 .foreign_terminal_count = terminal == 2};
        struct supervisor *supervisor = supervisor_new(&config, &err);
        size_t count = 99;
        supervisor_traps(supervisor, &count);
        assert_int_equal(count, terminal > 0);
        supervisor_free(supervisor);
    }
}

static void what_is_done_on_behalf_may_be_done_and_nothing_else(void **state)
{
    const struct feature *const features[] = {&feature_terminal_gate, NULL};
    static const enum wall_role roles[] = {ROLE_SUPERVISOR, ROLE_WORKER};

    (void)state;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        struct wall_options options = {
            .role = roles[i], .violation = VIOLATION_ERRNO, .features = features};
        struct filter_plan *with = wall_plan(arch_native, &options);
        options.features = NULL;
        struct filter_plan *without = wall_plan(arch_native, &options);
        for (uint64_t request = 0; request <= UINT32_MAX; request++) {
            if (request == 0x10000)
                request = 0x402C5400;
            if (request == 0x402C5500)
                break;
            const struct terminal_change *change = terminal_change_find((uint32_t)request);
            uint32_t allowed = answer(with, "ioctl", 3, request, 0);
            if (change != NULL && !change->of_line)
                assert_int_equal(allowed, FILTER_ALLOW);
            else
                assert_int_equal(allowed, answer(without, "ioctl", 3, request, 0));
        }
        assert_int_equal(answer(with, "ioctl", 3, 0x80045432 /* TIOCGDEV */, 0), FILTER_ALLOW);
        assert_int_equal(answer(with, "kill", (uint64_t)-77, SIGTTOU, 0), FILTER_ALLOW);
        assert_int_not_equal(answer(with, "kill", (uint64_t)-77, SIGKILL, 0), FILTER_ALLOW);
        assert_int_not_equal(answer(without, "kill", (uint64_t)-77, SIGTTOU, 0), FILTER_ALLOW);
        filter_plan_free(with);
        filter_plan_free(without);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_seen_and_nothing_else),
        cmocka_unit_test(leaving_a_session_is_seen_only_where_it_is_kept),
        cmocka_unit_test(without_a_terminal_there_is_no_trap),
        cmocka_unit_test(what_is_done_on_behalf_may_be_done_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
