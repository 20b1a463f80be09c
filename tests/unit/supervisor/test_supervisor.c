/* The supervisor core against real notifications: verdicts, chains, workers, failure, explain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "supervisor/internal.h"
#include "supervisor/supervisor.h"
#include "supervisor/task.h"
#include "trapped_child.h"
#include "util/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- Features made for the tests --------------------------------------------------------------- */

struct counters {
    int first, second, tasks_gone, started, stopped;
};

static struct counters counters; /* one test at a time, reset by setup() */

static struct verdict say_next(struct request *request)
{
    counters.first++;
    assert_non_null(request->task);
    assert_int_equal(request->tgid, request->task->tgid);
    assert_ptr_equal(request->state, &counters);
    return verdict_next();
}

static struct verdict say_continue(struct request *request)
{
    (void)request;
    counters.second++;
    return verdict_continue();
}

static struct verdict say_detail_as_errno(struct request *request)
{
    counters.second++;
    return verdict_errno(request->trap->detail);
}

static struct verdict say_value(struct request *request)
{
    return verdict_value((int64_t)request->notification.data.args[0] * 2);
}

static struct verdict take_and_forget(struct request *request)
{
    (void)request;
    return verdict_taken();
}

static struct verdict answer_twice(struct request *request)
{
    request_answer_value(request, 1);
    request_answer_value(request, 2);
    return verdict_errno(EPERM);
}

static bool start(struct supervisor *supervisor, void **state, struct error *err)
{
    (void)err;
    assert_non_null(supervisor_policy(supervisor));
    counters.started++;
    *state = &counters;
    return true;
}

static void stop(void *state)
{
    assert_ptr_equal(state, &counters);
    counters.stopped++;
}

static void task_gone(void *state, struct task *task)
{
    (void)task;
    assert_ptr_equal(state, &counters);
    counters.tasks_gone++;
}

static const struct filter_rule argument_is_7 = {
    .test_count = 1, .tests = {{.arg = 0, .op = ARG_EQUAL, .value = 7}}};

static const struct trap opinionless_traps[] = {
    {.syscall = "getpgid", .handle = say_next},
    {.syscall = "sched_get_priority_max", .handle = say_next},
    {.syscall = "no_such_call_anywhere", .handle = say_next},
};

static const struct feature opinionless = {
    .name = "opinionless",
    .traps = opinionless_traps,
    .trap_count = 3,
    .start = start,
    .stop = stop,
    .task_gone = task_gone,
};

static const struct trap decisive_traps[] = {
    {.syscall = "getsid", .handle = say_continue},
    {.syscall = "getpgid",
     .handle = say_detail_as_errno,
     .detail = EXDEV,
     .passes = &argument_is_7,
     .pass_count = 1},
    {.syscall = "getpriority", .handle = say_value},
    {.syscall = "sched_get_priority_min", .handle = take_and_forget},
    {.syscall = "setpriority", .handle = answer_twice},
};

static const struct feature decisive = {
    .name = "decisive", .traps = decisive_traps, .trap_count = 5, .start = start, .stop = stop};

static bool never(const struct policy *policy, const struct network *network)
{
    (void)network;
    (void)policy;
    return false;
}

static const struct feature unwanted = {
    .name = "metadata-gate", .wanted = never, .traps = decisive_traps, .trap_count = 5};

/* ---- Scene ------------------------------------------------------------------------------------- */

struct scene {
    struct policy policy;
    struct denial_log *denials;
    struct supervisor *supervisor;
    struct loop *loop;
    struct trapped_child child;
    int failures;
    int exit_status;
};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    counters = (struct counters){0};
    atomic_init(&scene->policy.references, 1);
    scene->denials = denial_log_new();
    scene->loop = loop_new();
    *state = scene;
    return scene->denials == NULL || scene->loop == NULL;
}

static int teardown(void **state)
{
    struct scene *scene = *state;

    supervisor_free(scene->supervisor);
    loop_free(scene->loop);
    denial_log_free(scene->denials);
    free(scene);
    return 0;
}

/* Calls that were given to a worker or detached, and those that a worker has begun with: in memory that the child
 * sees, which waits for its other threads' calls to get so far. */
static atomic_int *taken;
#define begun (taken + 1)

static void note_taken(void)
{
    atomic_fetch_add(taken, 1);
}

static void await(const atomic_int *counter, int count)
{
    while (atomic_load(counter) < count)
        usleep(100);
}

static void await_taken(int count)
{
    await(taken, count);
}

static void build(struct scene *scene, const struct feature *const *registry)
{
    struct supervisor_config config = {
        .policy = &scene->policy, .registry = registry, .denials = scene->denials};
    struct error err = {0};

    if (taken == NULL)
        taken = mmap(NULL, 2 * sizeof(*taken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0);
    assert_ptr_not_equal(taken, MAP_FAILED);
    atomic_store(taken, 0);
    atomic_store(begun, 0);
    scene->supervisor = supervisor_new(&config, &err);
    assert_non_null(scene->supervisor);
    assert_true(supervisor_start_features(scene->supervisor, &err));
}

static void on_child_exit(void *data, short revents)
{
    struct scene *scene = data;

    (void)revents;
    loop_remove(scene->loop, scene->child.pidfd);
    loop_stop(scene->loop);
}

static void kill_child(void *data)
{
    struct scene *scene = data;

    scene->failures++;
    kill(scene->child.pid, SIGKILL);
}

/* Runs `body` under the supervisor until it ends. */
static int run_numbers(struct scene *scene, const int *numbers, size_t count,
                       int (*body)(void *data), void *data)
{
    struct error err = {0};

    scene->child = trapped_spawn(numbers, count, body, data);
    assert_true(scene->child.listener >= 0);
    supervisor_on_failure(scene->supervisor, kill_child, scene);
    assert_true(supervisor_attach(scene->supervisor, scene->loop, scene->child.listener, getpid(),
                                  scene->child.pid, -1, &err));
    assert_true(loop_add(scene->loop, scene->child.pidfd, POLLIN, on_child_exit, scene));
    assert_int_equal(loop_run(scene->loop), 0);
    return trapped_wait(&scene->child);
}

static int run(struct scene *scene, int (*body)(void *data), void *data)
{
    size_t count;
    int numbers[TRAPPED_MAX];
    const struct filter_trap *traps = supervisor_traps(scene->supervisor, &count);

    assert_true(count > 0 && count <= TRAPPED_MAX);
    for (size_t i = 0; i < count; i++)
        numbers[i] = traps[i].number;
    return run_numbers(scene, numbers, count, body, data);
}

/* In the child: the line of the first statement that does not hold is its exit status. */
#define REQUIRE(condition)                                  \
    do {                                                    \
        if (!(condition))                                   \
            return __LINE__ & 0xFF ? __LINE__ & 0xFF : 255; \
    } while (0)

static const struct feature *const both[] = {&opinionless, &unwanted, &decisive, NULL};

/* ---- Tables ------------------------------------------------------------------------------------ */

static void the_traps_of_wanted_features_are_listed_by_number(void **state)
{
    struct scene *scene = *state;
    size_t count;

    build(scene, both);
    const struct filter_trap *traps = supervisor_traps(scene->supervisor, &count);
    assert_int_equal(count, 7); /* the unknown call is left out, the unwanted feature too */
    for (size_t i = 1; i < count; i++)
        assert_true(traps[i - 1].number <= traps[i].number);
    size_t getpgid_traps = 0;
    for (size_t i = 0; i < count; i++) {
        if (traps[i].number != SYS_getpgid)
            continue;
        /* Registry order within one number: the feature without conditions comes first. */
        assert_int_equal(traps[i].pass_count, getpgid_traps);
        getpgid_traps++;
    }
    assert_int_equal(getpgid_traps, 2);
    assert_int_equal(counters.started, 2);
}

static void nothing_wanted_means_no_traps(void **state)
{
    static const struct feature *const none[] = {&unwanted, NULL};
    struct scene *scene = *state;
    size_t count = 99;

    build(scene, none);
    supervisor_traps(scene->supervisor, &count);
    assert_int_equal(count, 0);
    supervisor_free(scene->supervisor);

    scene->policy.no_supervisor = true;
    build(scene, both);
    supervisor_traps(scene->supervisor, &count);
    assert_int_equal(count, 0);
    assert_int_equal(counters.started, 0);
}

static void features_appear_in_the_posture(void **state)
{
    struct scene *scene = *state;
    struct posture posture = POSTURE_INIT;

    build(scene, both);
    supervisor_describe(scene->supervisor, &posture);
    assert_int_equal(posture_find(&posture, "opinionless")->state, POSTURE_ACTIVE);
    assert_string_equal(posture_find(&posture, "opinionless")->by, "supervisor");
    assert_int_equal(posture_find(&posture, "metadata-gate")->state, POSTURE_OFF);
    scene->policy.without = FEATURE_METADATA_GATE;
    supervisor_describe(scene->supervisor, &posture);
    assert_int_equal(posture_find(&posture, "metadata-gate")->state, POSTURE_DISABLED);
    posture_free(&posture);
}

static bool refuse_to_start(struct supervisor *supervisor, void **state, struct error *err)
{
    (void)supervisor;
    (void)state;
    return error_runtime(err, ENOENT, "open something");
}

static void a_feature_that_cannot_start_stops_the_launch(void **state)
{
    static const struct feature broken = {.name = "broken", .start = refuse_to_start, .stop = stop};
    static const struct feature *const registry[] = {&opinionless, &broken, NULL};
    struct scene *scene = *state;
    struct supervisor_config config = {.policy = &scene->policy, .registry = registry};
    struct error err = {0};

    scene->supervisor = supervisor_new(&config, &err);
    assert_non_null(scene->supervisor);
    assert_false(supervisor_start_features(scene->supervisor, &err));
    assert_string_equal(err.text, "start broken: open something: No such file or directory");
    supervisor_free(scene->supervisor);
    scene->supervisor = NULL;
    assert_int_equal(counters.stopped, 1); /* only the one that had started */
}

/* ---- Verdicts ---------------------------------------------------------------------------------- */

static int body_verdicts(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_getsid, 0) == getsid(0)); /* continue: the kernel's answer */
    REQUIRE(syscall(SYS_sched_get_priority_max, SCHED_FIFO) == 99); /* no opinion: continue */
    REQUIRE(syscall(SYS_getpriority, 21, 0) == 42);                 /* a value */
    REQUIRE(syscall(SYS_getpgid, 0) == -1 && errno == EXDEV);       /* an errno, from the second */
    REQUIRE(syscall(SYS_sched_get_priority_min, 0) == -1 && errno == EIO); /* forgotten */
    REQUIRE(syscall(SYS_setpriority, 0, 0, 0) == 1); /* the first answer counts */
    return 7;
}

static void every_verdict_becomes_its_answer(void **state)
{
    struct scene *scene = *state;

    build(scene, both);
    assert_int_equal(run(scene, body_verdicts, NULL), 7);
    assert_null(supervisor_failure(scene->supervisor));
    assert_int_equal(counters.first, 2);
    const struct stats *stats = supervisor_stats(scene->supervisor);
    assert_int_equal(stats_total(stats), 7); /* getsid twice */
    assert_int_equal(stats->notifications[SYS_getsid], 2);
    assert_int_equal(stats->refused, 2);
    supervisor_free(scene->supervisor);
    scene->supervisor = NULL;
    assert_int_equal(counters.stopped, 2);
}

static int body_passes(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_getpgid, 1) == -1 && errno == EXDEV);
    /* decisive lets 7 pass; opinionless asks for it and has no opinion. */
    REQUIRE(syscall(SYS_getpgid, 7) != -1 || errno == ESRCH);
    return 7;
}

static void a_feature_is_not_asked_about_what_it_lets_pass(void **state)
{
    struct scene *scene = *state;

    build(scene, both);
    assert_int_equal(run(scene, body_passes, NULL), 7);
    assert_int_equal(counters.first, 2);
    assert_int_equal(counters.second, 1);
}

static int body_unasked(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_getppid) == -1 && errno == EIO);    /* no feature traps it */
    REQUIRE(syscall(SYS_getpgid, 7) == -1 && errno == EIO); /* its only feature lets it pass */
    return 7;
}

static void a_notification_that_nobody_asked_for_is_refused(void **state)
{
    static const struct feature *const registry[] = {&decisive, NULL};
    static const int numbers[] = {SYS_getppid, SYS_getpgid};
    struct scene *scene = *state;

    build(scene, registry);
    assert_int_equal(run_numbers(scene, numbers, 2, body_unasked, NULL), 7);
}

static void exits_are_told_to_the_features(void **state)
{
    struct scene *scene = *state;

    build(scene, both);
    assert_int_equal(run(scene, body_verdicts, NULL), 7);
    /* The loop ended with the child; its exit may still wait to be drained. */
    loop_timer_add(scene->loop, loop_now() + 20000000, (loop_timer_callback)loop_stop, scene->loop);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(counters.tasks_gone, 1);
}

/* ---- Many at once ------------------------------------------------------------------------------ */

static void *hammer(void *data)
{
    (void)data;
    for (int i = 0; i < 200; i++)
        if (syscall(SYS_getpriority, i, 0) != 2 * i || syscall(SYS_getsid, 0) < 0)
            return (void *)1;
    return NULL;
}

static int body_many(void *data)
{
    pid_t children[4];
    pthread_t threads[3];

    (void)data;
    for (int c = 0; c < 4; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            void *result = NULL;
            for (int t = 0; t < 3; t++)
                REQUIRE(pthread_create(&threads[t], NULL, hammer, NULL) == 0);
            for (int t = 0; t < 3; t++)
                if (pthread_join(threads[t], &result) != 0 || result != NULL)
                    _exit(1);
            _exit(0);
        }
    }
    for (int c = 0; c < 4; c++) {
        int status = -1;
        REQUIRE(waitpid(children[c], &status, 0) == children[c] && status == 0);
    }
    return 7;
}

static void many_threads_and_processes_all_get_their_own_answers(void **state)
{
    struct scene *scene = *state;

    build(scene, both);
    assert_int_equal(run(scene, body_many, NULL), 7);
    assert_int_equal(stats_total(supervisor_stats(scene->supervisor)), 4 * 3 * 400);
    assert_int_equal(counters.tasks_gone, 4);
}

static int slow_calls, slow_calls_before, turns_of_several;

/* As long as a member can make a look at its memory take. */
static struct verdict say_slowly(struct request *request)
{
    (void)request;
    slow_calls++;
    usleep(110000);
    return verdict_value(1);
}

static void note_turn(void *data)
{
    struct scene *scene = data;

    turns_of_several += slow_calls - slow_calls_before > 1;
    slow_calls_before = slow_calls;
    loop_timer_add(scene->loop, loop_now() + 1000000, note_turn, scene);
}

/* Some call slowly, and the others so fast that more than one call is received after theirs. */
static int body_slow(void *data)
{
    pid_t children[7];

    (void)data;
    for (int c = 0; c < 7; c++) {
        children[c] = fork();
        for (int i = 0; children[c] == 0 && c < 4 && i < 3; i++)
            REQUIRE(syscall(SYS_getsid, 0) == 1);
        for (int i = 0; children[c] == 0 && c >= 4 && i < 3000; i++)
            REQUIRE(syscall(SYS_getpriority, i, 0) == 2 * i && usleep(200) == 0);
        if (children[c] == 0)
            _exit(0);
    }
    for (int c = 0; c < 7; c++) {
        int status = -1;
        REQUIRE(waitpid(children[c], &status, 0) == children[c] && status == 0);
    }
    return 7;
}

static void slow_calls_are_received_one_at_a_time(void **state)
{
    static const struct trap traps[] = {{.syscall = "getsid", .handle = say_slowly},
                                        {.syscall = "getpriority", .handle = say_value}};
    static const struct feature slow = {
        .name = "slow", .traps = traps, .trap_count = 2, .start = start, .stop = stop};
    static const struct feature *const registry[] = {&slow, NULL};
    struct scene *scene = *state;

    build(scene, registry);
    loop_timer_add(scene->loop, loop_now() + 1000000, note_turn, scene);
    assert_int_equal(run(scene, body_slow, NULL), 7);
    assert_int_equal(slow_calls, 12);
    assert_true(turns_of_several <= 1); /* the one that told of it */
}

/* ---- Workers ----------------------------------------------------------------------------------- */

static int gate[2]; /* a pipe: workers wait until it can be read */
static atomic_int released;
static pthread_t receiver; /* set before there are workers */

static void wait_and_answer(const struct request *request, void *data)
{
    struct pollfd ready = {.fd = gate[0], .events = POLLIN};

    assert_ptr_equal(data, &released);
    assert_null(request->task);
    assert_false(pthread_equal(pthread_self(), receiver));
    atomic_fetch_add(begun, 1);
    poll(&ready, 1, 10000);
    request_answer_value(request, 77);
}

static void work_without_answer(const struct request *request, void *data)
{
    (void)request;
    (void)data;
}

static void count_release(void *data)
{
    atomic_fetch_add((atomic_int *)data, 1);
}

static struct verdict submit_waiting(struct request *request)
{
    if (!request_submit(request, wait_and_answer, &released, count_release))
        return verdict_errno(EAGAIN);
    note_taken();
    return verdict_taken();
}

static struct verdict submit_forgetful(struct request *request)
{
    if (!request_submit(request, work_without_answer, &released, count_release))
        return verdict_errno(EAGAIN);
    return verdict_taken();
}

static struct verdict open_gate(struct request *request)
{
    (void)request;
    assert_int_equal(write(gate[1], "x", 1), 1);
    return verdict_value(5);
}

static const struct trap worker_traps[] = {
    {.syscall = "getpriority", .handle = submit_waiting},
    {.syscall = "getpgid", .handle = submit_forgetful},
    {.syscall = "getsid", .handle = open_gate},
};

static const struct feature worker_feature = {
    .name = "workers", .traps = worker_traps, .trap_count = 3};

static const struct feature *const worker_registry[] = {&worker_feature, NULL};

static void *call_getpriority(void *data)
{
    (void)data;
    return (void *)syscall(SYS_getpriority, 0, 0);
}

static int body_blocking(void *data)
{
    enum { THREADS = 20 };
    pthread_t threads[THREADS];

    (void)data;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, call_getpriority, NULL) == 0);
    await_taken(THREADS);
    /* All twenty wait in workers; the loop still answers this, which lets them go. */
    REQUIRE(syscall(SYS_getsid, 0) == 5);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        REQUIRE(pthread_join(threads[i], &result) == 0 && result == (void *)77);
    }
    REQUIRE(syscall(SYS_getpgid, 0) == -1 && errno == EIO); /* a worker that forgot */
    return 7;
}

static void open_pipe(void)
{
    receiver = pthread_self();
    atomic_store(&released, 0);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
}

static void close_pipe(void)
{
    close(gate[0]);
    close(gate[1]);
}

static size_t count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

/* A joined thread stays in the list for a moment. */
static void assert_threads_end(size_t expected)
{
    for (int i = 0; i < 3000 && count_threads() > expected; i++)
        usleep(10000);
    assert_int_equal(count_threads(), expected);
}

static void blocking_work_does_not_block_the_others(void **state)
{
    struct scene *scene = *state;
    size_t threads = count_threads();

    open_pipe();
    build(scene, worker_registry);
    assert_int_equal(run(scene, body_blocking, NULL), 7);
    assert_int_equal(supervisor_stats(scene->supervisor)->worker_jobs, 21);
    supervisor_free(scene->supervisor);
    scene->supervisor = NULL;
    assert_int_equal(atomic_load(&released), 21);
    assert_threads_end(threads);
    close_pipe();
}

static atomic_int observed;

static void pass_on(const struct request *request, void *data)
{
    (void)data;
    request_pass_on(request);
}

static struct verdict submit_passing(struct request *request)
{
    return request_submit(request, pass_on, NULL, NULL) ? verdict_taken() : verdict_errno(EAGAIN);
}

/* The request is the observer's own: its trap, and its state. */
static void observe(const struct request *request)
{
    assert_int_equal(request->trap->detail, EXDEV);
    assert_ptr_equal(request->state, &counters);
    atomic_fetch_add(&observed, 1);
}

static int body_passed_on(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_getpgid, 0) == getpgrp());                  /* observed, never refused */
    REQUIRE(syscall(SYS_getpgid, 7) != -1 || errno == ESRCH);       /* not asked for */
    REQUIRE(syscall(SYS_sched_get_priority_max, SCHED_FIFO) == 99); /* nobody is behind */
    return 7;
}

static void what_a_worker_lets_pass_is_observed_and_continues(void **state)
{
    static const struct trap passing_traps[] = {
        {.syscall = "getpgid", .handle = submit_passing},
        {.syscall = "sched_get_priority_max", .handle = submit_passing},
    };
    static const struct feature passing = {
        .name = "passing", .traps = passing_traps, .trap_count = 2};
    struct feature observer = decisive;
    const struct feature *const registry[] = {&opinionless, &passing, &observer, NULL};
    struct scene *scene = *state;

    observer.observe = observe;
    atomic_store(&observed, 0);
    build(scene, registry);
    assert_int_equal(run(scene, body_passed_on, NULL), 7);
    supervisor_free(scene->supervisor);
    scene->supervisor = NULL;
    assert_int_equal(atomic_load(&observed), 1);
    assert_int_equal(counters.second, 0);
}

static int body_killed_while_waiting(void *data)
{
    pthread_t thread;

    (void)data;
    REQUIRE(pthread_create(&thread, NULL, call_getpriority, NULL) == 0);
    await(begun, 1);
    return 7; /* the other thread's call is still in a worker */
}

static void a_stuck_worker_does_not_hold_up_the_end(void **state)
{
    struct scene *scene = *state;
    size_t threads = count_threads();

    open_pipe();
    build(scene, worker_registry);
    assert_int_equal(run(scene, body_killed_while_waiting, NULL), 7);
    int64_t before = loop_now();
    supervisor_free(scene->supervisor);
    scene->supervisor = NULL;
    int64_t waited = loop_now() - before;
    assert_in_range(waited, 1500000000, 8000000000); /* the worker itself waits longer */
    assert_int_equal(atomic_load(&released), 0);     /* left behind, its memory still there */
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_threads_end(threads);
    assert_int_equal(atomic_load(&released), 1);
    close_pipe();
}

static int gone;

static void note_gone(void *data)
{
    (void)data;
    gone++;
}

static void a_stuck_worker_leaves_what_its_caller_still_uses(void **state)
{
    struct scene *scene = *state;
    size_t threads = count_threads();

    gone = 0;
    open_pipe();
    build(scene, worker_registry);
    supervisor_on_gone(scene->supervisor, note_gone, NULL);
    assert_int_equal(run(scene, body_killed_while_waiting, NULL), 7);
    supervisor_leave(scene->supervisor);
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_threads_end(threads);
    assert_int_equal(gone, 0);
    supervisor_leave(scene->supervisor); /* as often as one likes */
    supervisor_destroy(scene->supervisor);
    scene->supervisor = NULL;
    assert_int_equal(gone, 1);
    close_pipe();
}

/* ---- Requests answered later ------------------------------------------------------------------- */

static struct request *detached;

static struct verdict detach(struct request *request)
{
    request_drop(detached);
    detached = request_detach(request);
    note_taken();
    return detached == NULL ? verdict_errno(ENOMEM) : verdict_taken();
}

static struct verdict answer_detached(struct request *request)
{
    (void)request;
    if (detached != NULL && request_is_valid(detached))
        request_answer_value(detached, 33);
    request_drop(detached);
    detached = NULL;
    return verdict_value(0);
}

static struct verdict drop_detached(struct request *request)
{
    (void)request;
    request_drop(detached);
    detached = NULL;
    return verdict_value(0);
}

static const struct trap detach_traps[] = {
    {.syscall = "getpriority", .handle = detach},
    {.syscall = "getsid", .handle = answer_detached},
    {.syscall = "getpgid", .handle = drop_detached},
};

static const struct feature detach_feature = {
    .name = "detach", .traps = detach_traps, .trap_count = 3};

static void *call_and_keep_errno(void *data)
{
    (void)data;
    long result = syscall(SYS_getpriority, 0, 0);
    return (void *)(result < 0 ? -(long)errno : result);
}

static int body_detached(void *data)
{
    static const int calls[] = {SYS_getsid, SYS_getpgid};
    static const long expected[] = {33, -EIO};

    (void)data;
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *result = NULL;
        REQUIRE(pthread_create(&thread, NULL, call_and_keep_errno, NULL) == 0);
        await_taken(i + 1);
        REQUIRE(syscall(calls[i], 0) == 0);
        REQUIRE(pthread_join(thread, &result) == 0 && (long)result == expected[i]);
    }
    return 7;
}

static void a_detached_request_is_answered_later_or_when_it_is_dropped(void **state)
{
    static const struct feature *const registry[] = {&detach_feature, NULL};
    struct scene *scene = *state;

    build(scene, registry);
    assert_int_equal(run(scene, body_detached, NULL), 7);
}

/* ---- Failure ----------------------------------------------------------------------------------- */

static struct verdict violate(struct request *request)
{
    (void)request;
    return verdict_errno(ENOTRECOVERABLE); /* what a refused call of the supervisor's own yields */
}

static void violate_in_worker(const struct request *request, void *data)
{
    (void)data;
    supervisor_check_violation(request->supervisor, -ENOTRECOVERABLE, "socket");
}

static struct verdict submit_violation(struct request *request)
{
    return request_submit(request, violate_in_worker, NULL, NULL) ? verdict_taken()
                                                                  : verdict_errno(EAGAIN);
}

static const struct trap violation_traps[] = {
    {.syscall = "getsid", .handle = violate},
    {.syscall = "getpgid", .handle = submit_violation},
};

static const struct feature violation_feature = {
    .name = "violation", .traps = violation_traps, .trap_count = 2};

static const struct feature *const violation_registry[] = {&violation_feature, NULL};

static int body_violation(void *data)
{
    syscall(*(int *)data, 0);
    pause();
    return 7;
}

static void a_violated_filter_ends_the_run(void **state)
{
    struct scene *scene = *state;
    int number = SYS_getsid;
    char expected[128];

    build(scene, violation_registry);
    assert_int_equal(run(scene, body_violation, &number), 128 + SIGKILL);
    assert_int_equal(scene->failures, 1);
    snprintf(expected, sizeof(expected),
             "the supervisor made a system call outside its list while it handled getsid (%d)",
             number);
    assert_string_equal(supervisor_failure(scene->supervisor), expected);
}

static void a_violation_in_a_worker_ends_the_run_on_the_loops_thread(void **state)
{
    struct scene *scene = *state;
    int number = SYS_getpgid;
    char expected[80];

    build(scene, violation_registry);
    assert_int_equal(run(scene, body_violation, &number), 128 + SIGKILL);
    assert_int_equal(scene->failures, 1);
    snprintf(expected, sizeof(expected), "the worker called socket (%ld) outside its list",
             (long)SYS_socket);
    assert_string_equal(supervisor_failure(scene->supervisor), expected);
}

/* ---- Denials ----------------------------------------------------------------------------------- */

static struct verdict deny_and_record(struct request *request)
{
    request_record_denial(request, "/etc/x", "write", EACCES, "test-gate", "no write grant",
                          "--fs-write /etc");
    return verdict_errno(EACCES);
}

static const struct trap denying_traps[] = {{.syscall = "getsid", .handle = deny_and_record}};

static const struct feature denying = {.name = "denying", .traps = denying_traps, .trap_count = 1};

static const struct feature *const denying_registry[] = {&denying, NULL};

static int body_denied(void *data)
{
    (void)data;
    prctl(PR_SET_NAME, "a\nb");
    for (int i = 0; i < 3; i++)
        REQUIRE(syscall(SYS_getsid, 0) == -1 && errno == EACCES);
    return 7;
}

static void a_recorded_denial_names_caller_call_and_rule(void **state)
{
    struct scene *scene = *state;
    struct buffer json = BUFFER_INIT;
    char expected[256];

    build(scene, denying_registry);
    assert_int_equal(run(scene, body_denied, NULL), 7);
    assert_int_equal(denial_log_total(scene->denials), 3);
    denial_log_json(scene->denials, &json);
    snprintf(expected, sizeof(expected),
             "\"pid\":%d,\"comm\":\"a\\nb\",\"call\":\"getsid\",\"object\":\"/etc/x\",\"want\":"
             "\"write\",\"errno\":\"EACCES\",\"layer\":\"test-gate\",\"rule\":\"no write grant\","
             "\"suggest\":\"--fs-write /etc\",\"count\":3}]",
             (int)scene->child.pid);
    assert_non_null(strstr(buffer_text(&json), expected));
    buffer_free(&json);
}

static int body_explained(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_shmget, 1, 1, 0) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_mount, 0, 0, 0, 0, 0) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_getppid) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_clone3, 0, 0) == -1 && errno == ENOSYS);
    REQUIRE(syscall(SYS_getsid, 0) == -1 && errno == EACCES); /* features are asked as before */
    return 7;
}

static void explained_calls_get_the_filters_answer_and_a_record(void **state)
{
    static const int numbers[] = {SYS_shmget, SYS_mount, SYS_getppid, SYS_clone3, SYS_getsid};
    int denied[] = {SYS_getppid};
    struct scene *scene = *state;
    struct buffer summary = BUFFER_INIT;

    scene->policy.explain = true;
    scene->policy.denied_numbers = denied;
    scene->policy.denied_count = 1;
    assert_true(strv_add(&scene->policy.extra_deny, "getppid"));
    build(scene, denying_registry);
    assert_int_equal(run_numbers(scene, numbers, 5, body_explained, NULL), 7);
    assert_int_equal(denial_log_total(scene->denials), 4);
    denial_log_summary(scene->denials, &summary);
    const char *text = buffer_text(&summary);
    assert_non_null(strstr(text,
                           "  1x shmget: EPERM (filter: sysv_ipc is not allowed); allow with: "
                           "--extra-allow-syscall sysv_ipc\n"));
    assert_non_null(strstr(text, "  1x mount: EPERM (filter: built-in deny list)\n"));
    assert_non_null(strstr(text, "  1x getppid: EPERM (filter: extra-deny-syscall); allow with: "
                                 "leaving out --extra-deny-syscall getppid\n"));
    assert_null(strstr(text, "clone3"));
    buffer_free(&summary);
    strv_free(&scene->policy.extra_deny);
}

static int body_explained_sockets(void *data)
{
    int pair[2];

    (void)data;
    REQUIRE(syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_socket, AF_INET, SOCK_STREAM, 262) == -1 && errno == EPROTONOSUPPORT);
    REQUIRE(syscall(SYS_socketpair, 44, 77, 0, pair) == -1 && errno == EAFNOSUPPORT);
    return 7;
}

static void explained_sockets_get_the_filters_answer_and_a_record(void **state)
{
    static const int numbers[] = {SYS_socket, SYS_socketpair};
    struct scene *scene = *state;
    struct buffer summary = BUFFER_INIT;

    scene->policy.explain = true;
    build(scene, denying_registry);
    assert_int_equal(run_numbers(scene, numbers, 2, body_explained_sockets, NULL), 7);
    assert_int_equal(denial_log_total(scene->denials), 3);
    denial_log_summary(scene->denials, &summary);
    const char *text = buffer_text(&summary);
    assert_non_null(strstr(text, "AF_INET SOCK_DGRAM"));
    assert_non_null(strstr(text, "AF_INET SOCK_STREAM"));
    assert_non_null(strstr(text, "family 44 type 13")); /* 77 less the flag bits */
    assert_non_null(strstr(text, "EPROTONOSUPPORT (filter: only TCP, UDP, ping and unix sockets)"));
    assert_non_null(strstr(text, "(filter: no rule for UDP); allow with: --net-allow HOST:PORT"));
    buffer_free(&summary);
}

static int body_explained_arguments(void *data)
{
    (void)data;
    REQUIRE(syscall(SYS_setsockopt, 0, IPPROTO_IP, 35, 0, 0) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_setsockopt, 0, 77, 5, 0, 0) == -1 && errno == EIO); /* allowed: nobody's */
    REQUIRE(syscall(SYS_ioctl, 0, 0x8946, 0) == -1 && errno == EPERM);
    REQUIRE(syscall(SYS_personality, 0x40000) == -1 && errno == EPERM);
    return 7;
}

static void explained_arguments_get_the_filters_answer_and_a_record(void **state)
{
    static const int numbers[] = {SYS_setsockopt, SYS_ioctl, SYS_personality};
    struct scene *scene = *state;
    CLEANUP_BUFFER struct buffer summary = BUFFER_INIT;

    scene->policy.explain = true;
    build(scene, denying_registry);
    assert_int_equal(run_numbers(scene, numbers, 3, body_explained_arguments, NULL), 7);
    assert_int_equal(denial_log_total(scene->denials), 3);
    denial_log_summary(scene->denials, &summary);
    const char *text = buffer_text(&summary);
    assert_non_null(strstr(text, "1x setsockopt IPPROTO_IP option 35: EPERM (filter: "));
    assert_non_null(strstr(text, "1x ioctl request 0x8946: EPERM (filter: "));
    assert_non_null(strstr(text, "1x personality persona 0x40000: EPERM (filter: "));
}

#define SUPERVISOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUPERVISOR_TEST(the_traps_of_wanted_features_are_listed_by_number),
        SUPERVISOR_TEST(nothing_wanted_means_no_traps),
        SUPERVISOR_TEST(features_appear_in_the_posture),
        SUPERVISOR_TEST(a_feature_that_cannot_start_stops_the_launch),
        SUPERVISOR_TEST(every_verdict_becomes_its_answer),
        SUPERVISOR_TEST(a_feature_is_not_asked_about_what_it_lets_pass),
        SUPERVISOR_TEST(a_notification_that_nobody_asked_for_is_refused),
        SUPERVISOR_TEST(exits_are_told_to_the_features),
        SUPERVISOR_TEST(many_threads_and_processes_all_get_their_own_answers),
        SUPERVISOR_TEST(slow_calls_are_received_one_at_a_time),
        SUPERVISOR_TEST(blocking_work_does_not_block_the_others),
        SUPERVISOR_TEST(what_a_worker_lets_pass_is_observed_and_continues),
        SUPERVISOR_TEST(a_stuck_worker_does_not_hold_up_the_end),
        SUPERVISOR_TEST(a_stuck_worker_leaves_what_its_caller_still_uses),
        SUPERVISOR_TEST(a_detached_request_is_answered_later_or_when_it_is_dropped),
        SUPERVISOR_TEST(a_violated_filter_ends_the_run),
        SUPERVISOR_TEST(a_violation_in_a_worker_ends_the_run_on_the_loops_thread),
        SUPERVISOR_TEST(a_recorded_denial_names_caller_call_and_rule),
        SUPERVISOR_TEST(explained_calls_get_the_filters_answer_and_a_record),
        SUPERVISOR_TEST(explained_sockets_get_the_filters_answer_and_a_record),
        SUPERVISOR_TEST(explained_arguments_get_the_filters_answer_and_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
