/* The event loop: delivery, changes from within callbacks, timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MILLISECOND 1000000LL

struct scene {
    struct loop *loop;
    int pipes[4][2];
    int calls[4];
    int order[16];
    int order_count;
    int timer;
};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    scene->loop = loop_new();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pipe2(scene->pipes[i], O_CLOEXEC), 0);
    *state = scene;
    return scene->loop == NULL;
}

static int teardown(void **state)
{
    struct scene *scene = *state;

    for (int i = 0; i < 4; i++) {
        close(scene->pipes[i][0]);
        close(scene->pipes[i][1]);
    }
    loop_free(scene->loop);
    free(scene);
    return 0;
}

static void make_readable(struct scene *scene, int i)
{
    assert_int_equal(write(scene->pipes[i][1], "x", 1), 1);
}

static void count_and_stop(void *data, short revents)
{
    struct scene *scene = data;

    scene->calls[0]++;
    assert_true(revents & POLLIN);
    loop_stop(scene->loop);
}

static void a_readable_descriptor_calls_back(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, count_and_stop, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
    /* Level-triggered: what was not read is reported again in the next run. */
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 2);
}

static void note_hangup(void *data, short revents)
{
    struct scene *scene = data;

    scene->calls[0] = revents;
    loop_stop(scene->loop);
}

static void a_hang_up_is_reported_without_being_asked_for(void **state)
{
    struct scene *scene = *state;

    close(scene->pipes[0][1]);
    scene->pipes[0][1] = -1;
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, note_hangup, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], POLLHUP);
}

static void read_one(void *data, short revents)
{
    struct scene *scene = data;
    char byte;

    (void)revents;
    scene->calls[2]++;
    assert_int_equal(read(scene->pipes[2][0], &byte, 1), 1);
    loop_stop(scene->loop);
}

/* Removes its neighbour, which is ready too, and puts another watcher on the same number. */
static void replace_neighbour(void *data, short revents)
{
    struct scene *scene = data;
    char byte;

    (void)revents;
    scene->calls[0]++;
    assert_int_equal(read(scene->pipes[0][0], &byte, 1), 1);
    loop_remove(scene->loop, scene->pipes[1][0]);
    assert_int_equal(dup2(scene->pipes[2][0], scene->pipes[1][0]), scene->pipes[1][0]);
    assert_true(loop_add(scene->loop, scene->pipes[1][0], POLLIN, read_one, scene));
}

static bool seen_to_be_ours;

static bool ask_scene(const void *data)
{
    struct scene *scene = (struct scene *)data;

    scene->calls[3]++;
    return seen_to_be_ours;
}

static void guard_loop(struct scene *scene, bool ours)
{
    seen_to_be_ours = ours;
    loop_set_guard(scene->loop, (struct fd_guard){ask_scene, scene});
}

static void must_not_be_called(void *data, short revents)
{
    (void)data;
    (void)revents;
    fail_msg("an event of a removed descriptor was delivered");
}

/* Nobody else can have closed anything there. */
static void without_a_guard_nothing_is_lost(void **state)
{
    struct scene *scene = *state;

    loop_lose(scene->loop);
    assert_true(loop_holds(scene->loop));
    loop_stop(scene->loop);
    assert_int_equal(loop_run(scene->loop), 0);
    guard_loop(scene, true);
    loop_lose(scene->loop);
    assert_false(loop_holds(scene->loop));
}

static void what_is_ready_is_not_touched_when_the_guard_says_no(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, must_not_be_called, scene));
    guard_loop(scene, false);
    assert_int_equal(loop_run(scene->loop), -EBADF);
    seen_to_be_ours = true; /* too late */
    assert_int_equal(loop_run(scene->loop), -EBADF);
    assert_int_equal(scene->calls[3], 1);
}

static void a_hot_descriptor_is_delivered_without_a_question(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_add_hot(scene->loop, scene->pipes[0][0], POLLIN, count_and_stop, scene));
    guard_loop(scene, true);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[3], 0);
    /* Anything but what it is watched for is a reason to ask. */
    loop_remove(scene->loop, scene->pipes[0][0]);
    assert_true(loop_add_hot(scene->loop, scene->pipes[1][0], POLLIN, must_not_be_called, scene));
    close(scene->pipes[1][1]);
    scene->pipes[1][1] = -1;
    seen_to_be_ours = false;
    assert_int_equal(loop_run(scene->loop), -EBADF);
}

static void a_closed_number_needs_no_question(void **state)
{
    struct scene *scene = *state;

    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, must_not_be_called, scene));
    close(scene->pipes[0][0]);
    guard_loop(scene, true);
    assert_int_equal(loop_run(scene->loop), -EBADF);
}

/* The numbers are in use again, and nothing is ready there. */
static void the_guard_is_asked_where_nothing_happens(void **state)
{
    struct scene *scene = *state;

    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, must_not_be_called, scene));
    guard_loop(scene, false);
    assert_int_equal(loop_run(scene->loop), -EBADF);
}

static void nothing_is_done_to_an_epoll_number_that_is_somebody_elses(void **state)
{
    struct scene *scene = *state;

    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, must_not_be_called, scene));
    guard_loop(scene, true);
    int next = dup(0); /* the number that the epoll instance gets */
    close(next);
    loop_hurry(scene->loop);
    make_readable(scene, 1);
    assert_int_equal(dup2(scene->pipes[1][0], next), next);
    assert_int_equal(loop_run(scene->loop), -EBADF);
    loop_remove(scene->loop, scene->pipes[0][0]);
    char byte;
    assert_int_equal(read(next, &byte, 1), 1);
}

static void stop_loop(void *data)
{
    struct scene *scene = data;

    scene->calls[3]++;
    loop_stop(scene->loop);
}

static void an_event_of_a_removed_descriptor_never_reaches_its_successor(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    make_readable(scene, 1);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, replace_neighbour, scene));
    assert_true(loop_add(scene->loop, scene->pipes[1][0], POLLIN, must_not_be_called, scene));
    assert_true(loop_timer_add(scene->loop, loop_now() + 20 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
    assert_int_equal(scene->calls[2], 0); /* the successor's pipe is empty */

    make_readable(scene, 2); /* control: the successor does get its own events */
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[2], 1);
}

static void remove_itself(void *data, short revents)
{
    struct scene *scene = data;

    (void)revents;
    scene->calls[0]++;
    loop_remove(scene->loop, scene->pipes[0][0]);
}

static void a_callback_can_remove_its_own_descriptor(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, remove_itself, scene));
    assert_true(loop_timer_add(scene->loop, loop_now() + 10 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
}

static void add_many(void *data, short revents)
{
    struct scene *scene = data;

    (void)revents;
    loop_remove(scene->loop, scene->pipes[0][0]);
    for (int i = 0; i < 100; i++)
        assert_true(loop_add(scene->loop, scene->pipes[1][0], POLLIN, must_not_be_called, scene));
    assert_true(loop_add(scene->loop, scene->pipes[2][0], POLLIN, read_one, scene));
}

static void a_callback_can_add_more_than_there_was_room_for(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    make_readable(scene, 2);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, add_many, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[2], 1);
}

/* ---- Quiet descriptors ---- */

static void note_first(void *data, short revents)
{
    struct scene *scene = data;
    char byte;

    (void)revents;
    scene->order[scene->order_count++] = 0;
    assert_int_equal(read(scene->pipes[0][0], &byte, 1), 1);
}

static void note_second(void *data, short revents)
{
    struct scene *scene = data;
    char byte;

    (void)revents;
    scene->order[scene->order_count++] = 1;
    assert_int_equal(read(scene->pipes[1][0], &byte, 1), 1);
}

static void quiet_descriptors_are_delivered_with_the_others_in_the_order_of_their_addition(
    void **state)
{
    struct scene *scene = *state;

    loop_hurry(scene->loop);
    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, note_first, scene));
    assert_true(loop_add(scene->loop, scene->pipes[1][0], POLLIN, note_second, scene));
    assert_true(loop_add_quiet(scene->loop, scene->pipes[2][0], POLLIN, read_one, scene));
    for (int i = 2; i >= 0; i--)
        make_readable(scene, i);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->order_count, 2);
    assert_int_equal(scene->order[0], 0);
    assert_int_equal(scene->order[1], 1);
    assert_int_equal(scene->calls[2], 1);
}

static void a_hang_up_of_a_quiet_descriptor_is_reported(void **state)
{
    struct scene *scene = *state;

    close(scene->pipes[0][1]);
    scene->pipes[0][1] = -1;
    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, note_hangup, scene));
    loop_hurry(scene->loop);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], POLLHUP);
}

static void an_event_of_a_removed_quiet_descriptor_never_reaches_its_successor(void **state)
{
    struct scene *scene = *state;

    loop_hurry(scene->loop);
    make_readable(scene, 0);
    make_readable(scene, 1);
    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, replace_neighbour, scene));
    assert_true(loop_add_quiet(scene->loop, scene->pipes[1][0], POLLIN, must_not_be_called, scene));
    assert_true(loop_timer_add(scene->loop, loop_now() + 20 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
    assert_int_equal(scene->calls[2], 0);

    make_readable(scene, 2);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[2], 1);
}

static void remove_after_close(void *data)
{
    struct scene *scene = data;
    int number = scene->pipes[1][0];

    assert_int_equal(close(number), 0);
    loop_remove(scene->loop, number);
    scene->pipes[1][0] = -1;
    make_readable(scene, 1);
}

/* As when the host forked, and the other process still has what was closed here. */
static void an_event_that_belongs_to_nobody_does_not_silence_the_others(void **state)
{
    struct scene *scene = *state;
    int copy = dup(scene->pipes[1][0]);

    assert_true(copy >= 0);
    loop_hurry(scene->loop);
    assert_true(loop_add_quiet(scene->loop, scene->pipes[1][0], POLLIN, must_not_be_called, scene));
    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, note_first, scene));
    assert_true(loop_timer_add(scene->loop, loop_now(), remove_after_close, scene) > 0);
    assert_true(loop_timer_add(scene->loop, loop_now() + 20 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    make_readable(scene, 0);
    assert_true(loop_timer_add(scene->loop, loop_now() + 20 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->order_count, 1);
    close(copy);
}

static void refuse(int number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(2);
}

/* A host's filter may be a list of what another libc calls. Not for ever is a matter of the alarm. */
static void expect_delivery_without(struct scene *scene, const int *refused, size_t count)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        for (size_t i = 0; i < count; i++)
            refuse(refused[i]);
        _exit(loop_run(scene->loop) == 0 && scene->calls[0] == 1 ? 0 : 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void events_come_where_a_filter_refuses_to_tell_them(void **state)
{
#if defined(SYS_epoll_wait)
    static const int refused[] = {SYS_epoll_wait, SYS_epoll_pwait};
#else
    static const int refused[] = {SYS_epoll_pwait};
#endif
    struct scene *scene = *state;

    loop_hurry(scene->loop);
    make_readable(scene, 0);
    assert_true(loop_add_quiet(scene->loop, scene->pipes[0][0], POLLIN, count_and_stop, scene));
    expect_delivery_without(scene, refused, 1);
    expect_delivery_without(scene, refused, sizeof(refused) / sizeof(refused[0]));
}

static void what_epoll_does_not_take_is_polled(void **state)
{
    struct scene *scene = *state;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(file >= 0);
    loop_hurry(scene->loop);
    assert_true(loop_add_quiet(scene->loop, file, POLLIN, count_and_stop, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
    close(file);
}

static void hurry_and_stop(void *data, short revents)
{
    struct scene *scene = data;

    (void)revents;
    loop_hurry(scene->loop);
    loop_hurry(scene->loop);
    loop_stop(scene->loop);
}

static void a_loop_that_gets_busy_loses_no_event(void **state)
{
    struct scene *scene = *state;

    assert_true(loop_add_quiet(scene->loop, scene->pipes[2][0], POLLIN, read_one, scene));
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, hurry_and_stop, scene));
    make_readable(scene, 0);
    assert_int_equal(loop_run(scene->loop), 0);
    loop_remove(scene->loop, scene->pipes[0][0]);
    assert_int_equal(scene->calls[2], 0);
    make_readable(scene, 2);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[2], 1);
}

/* ---- Timers ---- */

struct tick {
    struct scene *scene;
    int number;
};

static void note_order(void *data)
{
    struct tick *tick = data;

    tick->scene->order[tick->scene->order_count++] = tick->number;
}

static void timers_fire_once_in_the_order_of_their_deadlines(void **state)
{
    struct scene *scene = *state;
    struct tick ticks[4] = {{scene, 0}, {scene, 1}, {scene, 2}, {scene, 3}};
    int64_t now = loop_now();

    assert_true(loop_timer_add(scene->loop, now + 3 * MILLISECOND, note_order, &ticks[3]) > 0);
    assert_true(loop_timer_add(scene->loop, now + MILLISECOND, note_order, &ticks[1]) > 0);
    assert_true(loop_timer_add(scene->loop, now - MILLISECOND, note_order, &ticks[0]) > 0);
    assert_true(loop_timer_add(scene->loop, now + MILLISECOND, note_order, &ticks[2]) > 0);
    assert_true(loop_timer_add(scene->loop, now + 10 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_true(loop_now() >= now + 10 * MILLISECOND);
    assert_int_equal(scene->order_count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(scene->order[i], i);
}

static void cancel_other(void *data)
{
    struct scene *scene = data;

    loop_timer_cancel(scene->loop, scene->timer);
}

static void timer_must_not_fire(void *data)
{
    (void)data;
    fail_msg("a cancelled timer fired");
}

static void a_timer_can_be_cancelled_even_when_it_is_due(void **state)
{
    struct scene *scene = *state;
    int64_t past = loop_now() - MILLISECOND;

    assert_true(loop_timer_add(scene->loop, past, cancel_other, scene) > 0);
    scene->timer = loop_timer_add(scene->loop, past, timer_must_not_fire, scene);
    int waiting = loop_timer_add(scene->loop, past + 5 * MILLISECOND, timer_must_not_fire, scene);
    loop_timer_cancel(scene->loop, waiting);
    loop_timer_cancel(scene->loop, 12345); /* unknown: ignored */
    assert_true(loop_timer_add(scene->loop, loop_now() + 10 * MILLISECOND, stop_loop, scene) > 0);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[3], 1);
}

static void rearm_for_now(void *data)
{
    struct scene *scene = data;

    scene->calls[1]++;
    assert_true(loop_timer_add(scene->loop, loop_now(), rearm_for_now, scene) > 0);
}

static void a_timer_that_rearms_itself_does_not_starve_descriptors(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_timer_add(scene->loop, loop_now(), rearm_for_now, scene) > 0);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, count_and_stop, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->calls[0], 1);
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
    struct scene *scene = *state;

    make_readable(scene, 0);
    assert_true(loop_add(scene->loop, scene->pipes[0][0], POLLIN, must_not_be_called, scene));
    loop_stop(scene->loop);
    assert_int_equal(loop_run(scene->loop), 0);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_readable_descriptor_calls_back),
        LOOP_TEST(a_hang_up_is_reported_without_being_asked_for),
        LOOP_TEST(an_event_of_a_removed_descriptor_never_reaches_its_successor),
        LOOP_TEST(a_callback_can_remove_its_own_descriptor),
        LOOP_TEST(a_callback_can_add_more_than_there_was_room_for),
        LOOP_TEST(quiet_descriptors_are_delivered_with_the_others_in_the_order_of_their_addition),
        LOOP_TEST(a_hang_up_of_a_quiet_descriptor_is_reported),
        LOOP_TEST(an_event_of_a_removed_quiet_descriptor_never_reaches_its_successor),
        LOOP_TEST(an_event_that_belongs_to_nobody_does_not_silence_the_others),
        LOOP_TEST(events_come_where_a_filter_refuses_to_tell_them),
        LOOP_TEST(what_epoll_does_not_take_is_polled),
        LOOP_TEST(a_loop_that_gets_busy_loses_no_event),
        LOOP_TEST(what_is_ready_is_not_touched_when_the_guard_says_no),
        LOOP_TEST(a_hot_descriptor_is_delivered_without_a_question),
        LOOP_TEST(a_closed_number_needs_no_question),
        LOOP_TEST(the_guard_is_asked_where_nothing_happens),
        LOOP_TEST(without_a_guard_nothing_is_lost),
        LOOP_TEST(nothing_is_done_to_an_epoll_number_that_is_somebody_elses),
        LOOP_TEST(timers_fire_once_in_the_order_of_their_deadlines),
        LOOP_TEST(a_timer_can_be_cancelled_even_when_it_is_due),
        LOOP_TEST(a_timer_that_rearms_itself_does_not_starve_descriptors),
        LOOP_TEST(a_stop_before_the_run_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
