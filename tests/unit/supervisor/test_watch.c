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

    return watch_time_spent(&now, before, 100, LOOK_INTERVAL_MS);
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

static unsigned spent_at_a_close_look(char state, uint64_t before, uint64_t after)
{
    struct procfs_stat now = {.state = state, .user_ticks = after};

    return watch_time_spent(&now, before, 100, CLOSE_LOOK_INTERVAL_MS);
}

static void a_single_tick_does_not_tell_that_a_thread_has_a_processor(void **state)
{
    (void)state;
    assert_int_equal(spent_at_a_close_look('R', 7, 7), 0);
    assert_int_equal(spent_at_a_close_look('R', 7, 8), 10);
    assert_int_equal(spent_at_a_close_look('R', 7, 9), CLOSE_LOOK_INTERVAL_MS);
    assert_int_equal(spent_at_a_close_look('R', 7, 12), CLOSE_LOOK_INTERVAL_MS);
    assert_int_equal(spent_at_a_close_look('D', 7, 7), CLOSE_LOOK_INTERVAL_MS);
}

/* Looks at a thread that waits in calls of `wait_ms` each with `pause_ms` in between, for which others wait:
 * what they owe at the end. */
static unsigned owed_after(unsigned seconds, unsigned wait_ms, unsigned pause_ms)
{
    unsigned owed = 0;

    for (unsigned passed = 0; passed < seconds * 1000; passed += wait_ms + pause_ms) {
        owed = watch_owed(owed, wait_ms, true, wait_ms);
        owed = watch_owed(owed, 0, false, pause_ms);
    }
    return owed;
}

static void calls_that_wait_owe_in_all_what_the_rest_of_the_time_does_not_pay(void **state)
{
    (void)state;
    assert_int_equal(owed_after(2, 250, 0), 2000);
    assert_true(owed_after(3, 500, 100) >= 2000);
    assert_true(owed_after(4, 100, 20) >= 2000);
    assert_true(owed_after(600, 500, 2000) < 500); /* now and then */
    assert_true(owed_after(600, 1500, 6000) < 1500);
    assert_int_equal(watch_owed(1900, 0, false, 3600000),
                     0); /* nobody looked while nobody called */
    assert_int_equal(watch_owed(100, 250, true, 249), 350);
    assert_int_equal(watch_owed(0, 0, false, 0), 0);
}

static void who_keeps_only_itself_waiting_owes_nothing(void **state)
{
    unsigned owed = 0;

    (void)state;
    for (unsigned looks = 0; looks < 1000; looks++)
        owed = watch_owed(owed, CLOSE_LOOK_INTERVAL_MS, false, CLOSE_LOOK_INTERVAL_MS);
    assert_int_equal(owed, 0);
    for (unsigned looks = 0; looks < 40; looks++)
        owed = watch_owed(owed, CLOSE_LOOK_INTERVAL_MS, true, CLOSE_LOOK_INTERVAL_MS);
    assert_int_equal(owed, 2000);
    assert_int_equal(watch_owed(1000, 400, false, 400), 900); /* and pays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_sleeps_is_waiting),
        cmocka_unit_test(a_thread_that_runs_is_in_the_call_all_the_time),
        cmocka_unit_test(a_thread_that_waits_for_a_processor_spends_next_to_nothing),
        cmocka_unit_test(a_single_tick_does_not_tell_that_a_thread_has_a_processor),
        cmocka_unit_test(calls_that_wait_owe_in_all_what_the_rest_of_the_time_does_not_pay),
        cmocka_unit_test(who_keeps_only_itself_waiting_owes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
