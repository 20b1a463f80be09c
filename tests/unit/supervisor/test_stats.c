/* Counters: totals, order, numbers outside the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/stats.h"

#include <string.h>

static void a_quiet_run_says_so_in_one_line(void **state)
{
    static struct stats stats;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    (void)state;
    stats_start(&stats);
    stats_print(&stats, &arch_x86_64, &out);
    const char *text = buffer_text(&out);
    assert_int_equal(strncmp(text, "sandlock: stats: no notifications in ", 37), 0);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void the_most_frequent_call_comes_first(void **state)
{
    static struct stats stats;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    int chmod = arch_syscall_number(&arch_x86_64, "chmod");
    int prlimit = arch_syscall_number(&arch_x86_64, "prlimit64");

    (void)state;
    stats_start(&stats);
    stats_count(&stats, prlimit);
    stats_count(&stats, chmod);
    stats_count(&stats, chmod);
    assert_int_equal(stats_total(&stats), 3);
    stats_print(&stats, &arch_x86_64, &out);
    const char *text = buffer_text(&out);
    assert_int_equal(strncmp(text, "sandlock: stats: 3 notifications in ", 36), 0);
    const char *first = strstr(text, "/s  chmod\n");
    const char *second = strstr(text, "/s  prlimit64\n");
    assert_true(first != NULL && second != NULL && first < second);
}

static void numbers_outside_the_table_are_counted_together(void **state)
{
    static struct stats stats;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    (void)state;
    stats_start(&stats);
    stats_count(&stats, -1);
    stats_count(&stats, STATS_NUMBERS);
    stats_count(&stats, 1 << 30);
    assert_int_equal(stats_total(&stats), 3);
    stats_print(&stats, &arch_x86_64, &out);
    assert_non_null(strstr(buffer_text(&out), "         3 "));
    assert_non_null(strstr(buffer_text(&out), "(other numbers)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_run_says_so_in_one_line),
        cmocka_unit_test(the_most_frequent_call_comes_first),
        cmocka_unit_test(numbers_outside_the_table_are_counted_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
