/* What counts as the time that a watched thread spends in a call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/watch.h"

static unsigned spent(char state, uint64_t before, uint64_t user, uint64_t system)
{
    struct procfs_stat now = {.state = state, .user_ticks = user, .system_ticks = system};

    return watch_time_spent(&now, before, 100);
}

static void a_thread_that_sleeps_is_waiting(void **state)
{
    (void)state;
    assert_int_equal(spent('S', 7, 3, 4), LOOK_INTERVAL_MS);
    assert_int_equal(spent('D', 7, 3, 4), LOOK_INTERVAL_MS);
    assert_int_equal(spent('D', 7, 3, 5), LOOK_INTERVAL_MS);
}

static void a_thread_that_runs_is_in_the_call_all_the_time(void **state)
{
    (void)state;
    assert_int_equal(spent('R', 7, 3, 29), LOOK_INTERVAL_MS);
    assert_int_equal(spent('R', 7, 500, 500), LOOK_INTERVAL_MS);
    assert_int_equal(spent('R', 7, 9, 3), LOOK_INTERVAL_MS); /* among others */
}

static void a_thread_that_waits_for_a_processor_spends_next_to_nothing(void **state)
{
    (void)state;
    assert_int_equal(spent('R', 7, 3, 4), 0);
    assert_int_equal(spent('R', 9, 3, 4), 0);
    assert_int_equal(spent('R', 7, 3, 5), 10); /* what it gets of it */
    assert_int_equal(spent('R', 7, 3, 6), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_sleeps_is_waiting),
        cmocka_unit_test(a_thread_that_runs_is_in_the_call_all_the_time),
        cmocka_unit_test(a_thread_that_waits_for_a_processor_spends_next_to_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
