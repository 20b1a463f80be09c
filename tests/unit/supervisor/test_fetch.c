/* What a fetch leaves behind and who waits for one: supervisor/fetch_store.h, supervisor/fetch_queue.h. */
#include "supervisor/fetch_queue.h"
#include "supervisor/fetch_store.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000000LL

static struct fetch_key key_of(pid_t tid, pid_t tgid, int number)
{
    struct fetch_key key = {.tid = tid, .tgid = tgid, .number = number};

    key.data.nr = 42;
    key.data.args[0] = (uint64_t)number;
    return key;
}

static int find(struct fetch_store *store, struct fetch_key key)
{
    int fd = -1;
    int result = fetch_store_find(store, &key, &fd);

    fd_close(fd);
    return result;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void put(struct fetch_store *store, struct fetch_key key, int fd, int64_t expires)
{
    fetch_store_put(store, &key, fd, expires);
}

/* ---- The store ----------------------------------------------------------------------------------- */

static void a_descriptor_serves_the_call_it_was_fetched_for(void **state)
{
    struct fetch_store store;
    struct fetch_key key = key_of(7, 7, 3), other = key;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), copy = -1;
    struct stat first, second;

    fetch_store_init(&store);
    fetch_store_put(&store, &key, fd, SECOND);
    assert_int_equal(fetch_store_find(&store, &key, &copy), 0);
    assert_int_equal(fstat(fd, &first), 0);
    assert_int_equal(fstat(copy, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    close(copy);
    assert_int_equal(find(&store, key), 0); /* a call that is decided in two steps */

    other.data.args[1] = 1;
    assert_int_equal(find(&store, other), 1);
    assert_int_equal(find(&store, key_of(8, 7, 3)), 1);
    assert_int_equal(find(&store, key_of(7, 9, 3)), 1); /* the number of a thread that is gone */
    fetch_store_free(&store);
    assert_false(is_open(fd));
}

static void what_could_not_be_had_is_refused(void **state)
{
    struct fetch_store store;

    fetch_store_init(&store);
    put(&store, key_of(7, 7, 3), -1, SECOND);
    assert_int_equal(find(&store, key_of(7, 7, 3)), -EPERM);
    fetch_store_free(&store);
}

static void it_is_dropped_with_its_thread_or_process_or_in_time(void **state)
{
    struct fetch_store store;
    int fds[3];

    fetch_store_init(&store);
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        put(&store, key_of(10 + i, 20 + i, 3), fds[i], SECOND * (i + 1));
    }
    assert_false(fetch_store_drop(&store, 99, 99, 0));
    assert_true(is_open(fds[0]) && is_open(fds[1]) && is_open(fds[2]));
    fetch_store_drop(&store, 11, 0, 0);
    assert_false(is_open(fds[1]));
    fetch_store_drop(&store, 0, 22, 0);
    assert_false(is_open(fds[2]));
    fetch_store_drop(&store, 0, 0, SECOND);
    assert_true(is_open(fds[0]));
    assert_false(fetch_store_is_empty(&store));
    fetch_store_drop(&store, 0, 0, SECOND + 1);
    assert_false(is_open(fds[0]));
    assert_true(fetch_store_is_empty(&store));
    fetch_store_free(&store);
}

static void files_are_left_to_somebody_who_may_wait(void **state)
{
    struct fetch_store store;
    int files[FETCH_STORE_MAX];
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    fetch_store_init(&store);
    put(&store, key_of(7, 7, 3), fd, SECOND);
    assert_true(fetch_store_drop(&store, 7, 0, 0));
    assert_true(is_open(fd));
    assert_int_equal(fetch_store_take_files(&store, files), 1);
    assert_int_equal(files[0], fd);
    assert_int_equal(fetch_store_take_files(&store, files), 0);
    close(fd);
    fetch_store_free(&store);
}

static void a_full_store_and_an_endless_call_are_bounded(void **state)
{
    struct fetch_store store;

    fetch_store_init(&store);
    for (int i = 0; i < FETCH_STORE_MAX; i++)
        put(&store, key_of(100 + i, 7, 3), -1, SECOND);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    put(&store, key_of(7, 7, 3), fd, SECOND);
    assert_false(is_open(fd));
    assert_int_equal(find(&store, key_of(7, 7, 3)), 1);
    fetch_store_drop(&store, 0, 7, 0);

    struct fetch_key key = key_of(7, 7, 0);
    for (int i = 0; i < 16; i++) {
        key.number = 3 + i;
        fetch_store_put(&store, &key, -1, SECOND);
    }
    key.number = 100;
    assert_int_equal(find(&store, key), -EPERM);
    fetch_store_free(&store);
}

/* ---- The line ------------------------------------------------------------------------------------ */

static bool add(struct fetch_queue *queue, pid_t tgid, int number, int64_t now)
{
    struct fetch_job *job = calloc(1, sizeof(*job));

    assert_non_null(job);
    job->tgid = tgid;
    job->number = number;
    bool added = fetch_queue_add(queue, job, now);
    if (!added)
        free(job);
    return added;
}

static int take(struct fetch_queue *queue)
{
    struct fetch_job *job = fetch_queue_take(queue);
    int number = job == NULL ? -1 : job->number;

    free(job);
    return number;
}

static void calls_are_served_in_their_order(void **state)
{
    struct fetch_queue queue;

    fetch_queue_init(&queue);
    assert_int_equal(take(&queue), -1);
    for (int i = 0; i < 3; i++)
        assert_true(add(&queue, 7, i, 0));
    assert_int_equal(take(&queue), 0);
    assert_true(add(&queue, 8, 3, 0));
    for (int i = 1; i < 4; i++)
        assert_int_equal(take(&queue), i);
    assert_int_equal(take(&queue), -1);
    assert_true(add(&queue, 7, 5, 0));
    fetch_queue_free(&queue); /* with what is left */
}

static void who_cannot_be_stopped_waits_longer_each_time(void **state)
{
    struct fetch_queue queue;

    fetch_queue_init(&queue);
    add(&queue, 7, 1, 0);
    add(&queue, 8, 2, 0);
    add(&queue, 7, 3, 0);
    struct fetch_job *jobs = fetch_queue_shun(&queue, 7, 10 * SECOND);
    int count = 0;
    while (jobs != NULL) {
        struct fetch_job *next = jobs->next;
        assert_int_equal(jobs->tgid, 7);
        free(jobs);
        jobs = next;
        count++;
    }
    assert_int_equal(count, 2);
    assert_true(add(&queue, 8, 4, 10 * SECOND));
    assert_false(add(&queue, 7, 5, 12 * SECOND - 1));
    assert_true(add(&queue, 7, 6, 12 * SECOND));
    assert_int_equal(take(&queue), 2);
    assert_int_equal(take(&queue), 4);
    assert_int_equal(take(&queue), 6);

    assert_null(fetch_queue_shun(&queue, 7, 20 * SECOND));
    assert_false(add(&queue, 7, 7, 24 * SECOND - 1));
    fetch_queue_forgive(&queue, 7);
    assert_true(add(&queue, 7, 8, 24 * SECOND - 1));
    fetch_queue_free(&queue);
}

static void patience_ends_with_those_who_need_it(void **state)
{
    struct fetch_queue queue;

    fetch_queue_init(&queue);
    assert_int_equal(fetch_queue_patience(&queue, 100 * SECOND), SECOND);
    fetch_queue_shun(&queue, 7, 100 * SECOND);
    assert_int_equal(fetch_queue_patience(&queue, 101 * SECOND), SECOND / 2);
    for (int i = 0; i < 20; i++)
        fetch_queue_shun(&queue, 8 + i, 101 * SECOND);
    assert_in_range(fetch_queue_patience(&queue, 111 * SECOND), SECOND / 20, SECOND / 10);
    assert_int_equal(fetch_queue_patience(&queue, 111 * SECOND + 1), SECOND);
    fetch_queue_free(&queue);
}

static void the_line_is_bounded(void **state)
{
    struct fetch_queue queue;
    int added = 0;

    fetch_queue_init(&queue);
    while (added <= 5000 && add(&queue, 7, added, 0))
        added++;
    assert_int_equal(added, 4096);
    assert_int_equal(take(&queue), 0);
    assert_true(add(&queue, 7, 1, 0));
    fetch_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_serves_the_call_it_was_fetched_for),
        cmocka_unit_test(what_could_not_be_had_is_refused),
        cmocka_unit_test(it_is_dropped_with_its_thread_or_process_or_in_time),
        cmocka_unit_test(files_are_left_to_somebody_who_may_wait),
        cmocka_unit_test(a_full_store_and_an_endless_call_are_bounded),
        cmocka_unit_test(calls_are_served_in_their_order),
        cmocka_unit_test(who_cannot_be_stopped_waits_longer_each_time),
        cmocka_unit_test(patience_ends_with_those_who_need_it),
        cmocka_unit_test(the_line_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
