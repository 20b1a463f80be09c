/* The worker pool: how many jobs are under way, how many wait in line, and that each ends once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/supervisor.h"
#include "supervisor/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PATIENCE 20000000000LL

/* Jobs that last until the gate is opened. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned inside; /* guarded by lock */
    atomic_uint done, dropped;
};

static bool enter(void *data)
{
    (void)data;
    return true;
}

static void must_not_happen(void *data)
{
    (void)data;
    fail_msg("all threads can end");
}

static void stand_before(void *job, bool usable)
{
    struct gate *gate = job;

    if (!usable) {
        atomic_fetch_add(&gate->dropped, 1);
        return;
    }
    pthread_mutex_lock(&gate->lock);
    gate->inside++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    atomic_fetch_add(&gate->done, 1);
}

static void wait_until_inside(struct gate *gate, unsigned count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->inside < count)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static struct workers *make_workers(struct gate *gate)
{
    const struct workers_hooks hooks = {
        .enter = enter, .leaving_behind = must_not_happen, .last_left = must_not_happen};
    struct workers *workers = workers_new(&hooks);

    *gate = (struct gate){.open = false};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->changed, NULL);
    assert_non_null(workers);
    return workers;
}

static void test_the_line_is_bounded_and_moves_on(void **state)
{
    struct gate gate;
    struct workers *workers = make_workers(&gate);

    (void)state;
    assert_false(workers_are_busy(workers));
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        assert_true(workers_submit(workers, stand_before, &gate));
    wait_until_inside(&gate, WORKERS_MAX);
    assert_true(workers_are_busy(workers));
    for (unsigned i = 0; i < WORKERS_WAITING_MAX; i++)
        assert_true(workers_submit(workers, stand_before, &gate));
    assert_false(workers_submit(workers, stand_before, &gate));

    open_gate(&gate);
    wait_until_inside(&gate, WORKERS_MAX + WORKERS_WAITING_MAX);
    assert_true(workers_submit(workers, stand_before, &gate));
    wait_until_inside(&gate, WORKERS_MAX + WORKERS_WAITING_MAX + 1);
    assert_true(workers_shutdown(workers, PATIENCE));
    assert_int_equal(atomic_load(&gate.done), WORKERS_MAX + WORKERS_WAITING_MAX + 1);
    assert_int_equal(atomic_load(&gate.dropped), 0);
    workers_free(workers);
}

struct ending {
    struct workers *workers;
    bool all_ended;
};

static void *shut_down(void *data)
{
    struct ending *ending = data;

    ending->all_ended = workers_shutdown(ending->workers, PATIENCE);
    return NULL;
}

static void test_at_the_end_the_line_is_dropped_and_the_rest_waited_for(void **state)
{
    struct gate gate;
    struct ending ending = {.workers = make_workers(&gate)};
    pthread_t thread;

    (void)state;
    for (unsigned i = 0; i < WORKERS_MAX + 7; i++)
        assert_true(workers_submit(ending.workers, stand_before, &gate));
    wait_until_inside(&gate, WORKERS_MAX);
    assert_int_equal(pthread_create(&thread, NULL, shut_down, &ending), 0);
    while (atomic_load(&gate.dropped) < 7)
        sched_yield();
    assert_int_equal(atomic_load(&gate.done), 0);
    open_gate(&gate);
    pthread_join(thread, NULL);
    assert_true(ending.all_ended);
    assert_int_equal(atomic_load(&gate.done), WORKERS_MAX);
    assert_int_equal(atomic_load(&gate.dropped), 7);
    workers_free(ending.workers);
}

/* A job whose last part waits until the next one is there. */
struct following {
    pthread_t thread;
    atomic_bool finishing, next_is_there, ran;
};

static void note_thread(void *job, bool usable)
{
    struct following *following = job;

    assert_true(usable);
    following->thread = pthread_self();
    atomic_store(&following->ran, true);
}

static void wait_for_the_next(void *job)
{
    struct following *following = job;

    atomic_store(&following->finishing, true);
    while (!atomic_load(&following->next_is_there))
        sched_yield();
}

static void wait_for(atomic_bool *what)
{
    while (!atomic_load(what))
        sched_yield();
}

static void test_a_thread_that_finishes_takes_the_next_job(void **state)
{
    struct gate gate;
    struct workers *workers = make_workers(&gate);
    struct following first = {0}, second = {0};

    (void)state;
    assert_true(workers_submit_in_two(workers, note_thread, wait_for_the_next, &first));
    wait_for(&first.finishing);
    atomic_store(&second.next_is_there, true);
    assert_true(workers_submit_in_two(workers, note_thread, wait_for_the_next, &second));
    atomic_store(&first.next_is_there, true);
    wait_for(&second.finishing);
    assert_true(pthread_equal(first.thread, second.thread));
    assert_true(workers_shutdown(workers, PATIENCE));
    workers_free(workers);
}

static void test_a_thread_that_still_works_does_not(void **state)
{
    struct gate gate;
    struct workers *workers = make_workers(&gate);
    struct following second = {0};

    (void)state;
    assert_true(workers_submit(workers, stand_before, &gate));
    wait_until_inside(&gate, 1);
    atomic_store(&second.next_is_there, true);
    assert_true(workers_submit_in_two(workers, note_thread, wait_for_the_next, &second));
    wait_for(&second.finishing); /* while the first stands */
    open_gate(&gate);
    assert_true(workers_shutdown(workers, PATIENCE));
    workers_free(workers);
}

static void count_finish(void *job)
{
    struct gate *gate = job;

    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    pthread_mutex_unlock(&gate->lock);
}

static void test_dropped_jobs_are_finished_too(void **state)
{
    struct gate gate;
    struct ending ending = {.workers = make_workers(&gate)};
    pthread_t thread;

    (void)state;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        assert_true(workers_submit(ending.workers, stand_before, &gate));
    wait_until_inside(&gate, WORKERS_MAX);
    for (unsigned i = 0; i < 3; i++)
        assert_true(workers_submit_in_two(ending.workers, stand_before, count_finish, &gate));
    assert_int_equal(pthread_create(&thread, NULL, shut_down, &ending), 0);
    while (atomic_load(&gate.dropped) < 3)
        sched_yield();
    open_gate(&gate);
    pthread_join(thread, NULL);
    assert_true(ending.all_ended);
    assert_int_equal(gate.inside, WORKERS_MAX - 3);
    workers_free(ending.workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_line_is_bounded_and_moves_on),
        cmocka_unit_test(test_at_the_end_the_line_is_dropped_and_the_rest_waited_for),
        cmocka_unit_test(test_a_thread_that_finishes_takes_the_next_job),
        cmocka_unit_test(test_a_thread_that_still_works_does_not),
        cmocka_unit_test(test_dropped_jobs_are_finished_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
