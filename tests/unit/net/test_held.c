/* Which pending signals end the wait of a held call, and how many calls may be under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/held.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#define ALARM 0x2000ULL /* SIGALRM, number 14 */

struct thread {
    int tgid, tid, threads;
    unsigned long long own, shared, blocked;
};

static bool waits(struct thread thread)
{
    char status[512];

    snprintf(status, sizeof(status),
             "Name:\tx\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nThreads:\t%d\nSigQ:\t0/1\nSigPnd:\t%016llx\n"
             "ShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t0\n",
             thread.tgid, thread.tid, thread.threads, thread.own, thread.shared, thread.blocked);
    return held_signal_waits(status, thread.tid);
}

static void test_a_signal_for_the_thread_ends_its_wait(void **state)
{
    (void)state;
    assert_true(waits((struct thread){.tgid = 7, .tid = 8, .threads = 3, .own = ALARM}));
    assert_false(waits((struct thread){.tgid = 7, .tid = 8, .threads = 3}));
}

static void test_a_blocked_signal_ends_nothing(void **state)
{
    (void)state;
    assert_false(waits((struct thread){
        .tgid = 7, .tid = 7, .threads = 1, .own = ALARM, .shared = ALARM, .blocked = ALARM}));
    assert_true(waits(
        (struct thread){.tgid = 7, .tid = 7, .threads = 1, .shared = ALARM | 1, .blocked = ALARM}));
}

static void test_a_signal_for_the_process_counts_for_who_takes_it(void **state)
{
    (void)state;
    /* Its first thread, or its only one. */
    assert_true(waits((struct thread){.tgid = 7, .tid = 7, .threads = 3, .shared = ALARM}));
    assert_true(waits((struct thread){.tgid = 7, .tid = 8, .threads = 1, .shared = ALARM}));
    /* Another one would see the kernel's internal number. */
    assert_false(waits((struct thread){.tgid = 7, .tid = 8, .threads = 3, .shared = ALARM}));
}

static void test_a_text_without_the_lines_says_nothing(void **state)
{
    (void)state;
    assert_false(held_signal_waits("", 7));
    assert_false(held_signal_waits("Name:\tx\nTgid:\t7\nThreads:\t1\nSigPnd:\t", 7));
    assert_false(held_signal_waits(
        "Name:\tx\nTgid:\t7\nThreads:\t1\nSigPnd:\tff\nShdPnd:\tff\nSigBlk:\tzz\n", 7));
}

static void test_calls_under_way_take_a_share_of_the_open_files(void **state)
{
    struct rlimit before, few;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 80, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct holder *holder = holder_new();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_non_null(holder);
    assert_int_equal(holder_limit(holder), 20);
    for (int i = 0; i < 20; i++)
        assert_true(holder_admit(holder));
    assert_false(holder_admit(holder));
    assert_false(holder_admit(holder));
    holder_leave(holder);
    assert_true(holder_admit(holder));
    assert_false(holder_admit(holder));
    holder_free(holder);
}

static void test_a_missing_descriptor_is_told_from_missing_memory(void **state)
{
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 0;
    struct holder *holder = holder_new();
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(holder);
    assert_int_equal(error, EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_for_the_thread_ends_its_wait),
        cmocka_unit_test(test_a_blocked_signal_ends_nothing),
        cmocka_unit_test(test_a_signal_for_the_process_counts_for_who_takes_it),
        cmocka_unit_test(test_a_text_without_the_lines_says_nothing),
        cmocka_unit_test(test_calls_under_way_take_a_share_of_the_open_files),
        cmocka_unit_test(test_a_missing_descriptor_is_told_from_missing_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
