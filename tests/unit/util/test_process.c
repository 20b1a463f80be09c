/* Which process this is (util/process.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/process.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *ask(void *answer)
{
    *(uint64_t *)answer = process_generation();
    return NULL;
}

static void threads_are_one_process(void **state)
{
    uint64_t here = process_generation();
    uint64_t there = 0;
    pthread_t thread;

    (void)state;
    assert_true(here != 0);
    assert_int_equal(pthread_create(&thread, NULL, ask, &there), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(there == here && process_generation() == here);
}

/* Whatever their numbers are: those of the copies are not looked at. */
static void a_copy_is_none_of_those_before_it(void **state)
{
    uint64_t first = process_generation();
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        uint64_t second = process_generation();
        pid_t grandchild = second != first ? fork() : -1;
        if (grandchild == 0) {
            uint64_t third = process_generation();
            _exit(third != first && third != second ? 0 : 1);
        }
        _exit(grandchild > 0 && waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0
                                                                                             : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(process_generation() == first);
}

/* Who was told that there is none is told so later, when there is memory. */
static void without_a_page_it_stays_so(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        struct rlimit none = {.rlim_cur = 0}, before;
        getrlimit(RLIMIT_AS, &before);
        none.rlim_max = before.rlim_max;
        setrlimit(RLIMIT_AS, &none);
        uint64_t first = process_generation();
        setrlimit(RLIMIT_AS, &before);
        _exit(first == 0 && process_generation() == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_page_it_stays_so), /* the first: nobody has asked yet */
        cmocka_unit_test(threads_are_one_process),
        cmocka_unit_test(a_copy_is_none_of_those_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
