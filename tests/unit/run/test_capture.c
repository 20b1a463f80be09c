/* Capture of one stream: drained while the loop runs, complete and never waiting at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/capture.h"
#include "util/fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Somebody else who writes whenever something has been read, and never lets the pipe run empty. */
static int refilled = -1;
static int refills;
static int written_late = -1; /* before the read */

ssize_t read(int fd, void *data, size_t size)
{
    static const char text[512] = "more";

    if (written_late >= 0)
        assert_int_equal(write(written_late, text, sizeof(text)), sizeof(text));
    ssize_t got = syscall(SYS_read, fd, data, size);

    if (got > 0 && refilled >= 0 && refills++ < 10000)
        assert_int_equal(write(refilled, text, sizeof(text)), sizeof(text));
    return got;
}

/* ---- Helpers --------------------------------------------------------------------------------- */

struct fixture {
    struct loop *loop;
    struct capture capture;
    int write_end; /* blocking, as the command's is */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int ends[2];

    if (fixture == NULL || pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    fixture->loop = loop_new();
    fixture->capture = CAPTURE_INIT;
    fixture->write_end = ends[1];
    *state = fixture;
    return fixture->loop != NULL && capture_start(&fixture->capture, fixture->loop, ends[0]) ? 0
                                                                                             : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    capture_free(&fixture->capture);
    loop_free(fixture->loop);
    fd_close(fixture->write_end);
    free(fixture);
    return 0;
}

static void stop_loop(void *loop)
{
    loop_stop(loop);
}

static void run_loop_for(struct fixture *fixture, int milliseconds)
{
    assert_true(loop_timer_add(fixture->loop, loop_now() + milliseconds * INT64_C(1000000),
                               stop_loop, fixture->loop) > 0);
    assert_int_equal(loop_run(fixture->loop), 0);
}

static void say(struct fixture *fixture, const char *text)
{
    assert_int_equal(write(fixture->write_end, text, strlen(text)), strlen(text));
}

#define PIECE 4096
#define PIECES 1024 /* 4 MiB, many times what a pipe holds */

static void *write_pieces(void *data)
{
    struct fixture *fixture = data;
    char piece[PIECE];

    for (int i = 0; i < PIECES; i++) {
        memset(piece, 'a' + i % 26, sizeof(piece));
        for (size_t done = 0; done < sizeof(piece);) {
            ssize_t put = write(fixture->write_end, piece + done, sizeof(piece) - done);
            if (put <= 0)
                return data;
            done += (size_t)put;
        }
    }
    close(fixture->write_end);
    fixture->write_end = -1;
    return NULL;
}

/* ---- Statements ------------------------------------------------------------------------------ */

static void a_full_pipe_never_blocks_the_writer(void **state)
{
    struct fixture *fixture = *state;
    pthread_t writer;
    void *failed = NULL;

    assert_int_equal(pthread_create(&writer, NULL, write_pieces, fixture), 0);
    for (int i = 0; i < 200 && fixture->capture.fd >= 0; i++)
        run_loop_for(fixture, 50);
    pthread_join(writer, &failed);
    assert_null(failed);
    assert_int_equal(fixture->capture.fd, -1); /* at the end of file it lets go by itself */
    assert_int_equal(fixture->capture.bytes.length, (size_t)PIECE * PIECES);
    for (size_t i = 0; i < PIECES; i++) {
        assert_int_equal(fixture->capture.bytes.data[i * PIECE], 'a' + (int)(i % 26));
        assert_int_equal(fixture->capture.bytes.data[i * PIECE + PIECE - 1], 'a' + (int)(i % 26));
    }
}

static void the_end_waits_for_no_writer_who_goes_on(void **state)
{
    struct fixture *fixture = *state;

    say(fixture, "late");
    refilled = fixture->write_end;
    capture_finish(&fixture->capture);
    refilled = -1;
    assert_int_equal(fixture->capture.fd, -1);
    assert_int_equal(refills, 1);
    assert_int_equal(fixture->capture.bytes.length, 4);
    assert_memory_equal(fixture->capture.bytes.data, "late", 4);
}

/* A read that finds what was written after the end gets none of it. */
static void what_is_written_after_the_end_is_not_taken(void **state)
{
    struct fixture *fixture = *state;

    say(fixture, "early");
    written_late = fixture->write_end;
    capture_finish(&fixture->capture);
    written_late = -1;
    assert_int_equal(fixture->capture.bytes.length, 5);
    assert_memory_equal(fixture->capture.bytes.data, "early", 5);
}

static void the_end_takes_what_is_still_in_the_pipe(void **state)
{
    struct fixture *fixture = *state;

    say(fixture, "early ");
    run_loop_for(fixture, 20);
    assert_int_equal(fixture->capture.bytes.length, 6);
    say(fixture, "late");
    fd_close(fixture->write_end);
    fixture->write_end = -1;
    capture_finish(&fixture->capture);
    assert_int_equal(fixture->capture.bytes.length, 10);
    assert_memory_equal(fixture->capture.bytes.data, "early late", 10);
    assert_int_equal(fixture->capture.fd, -1);
    assert_true(fixture->capture.captured);
}

static void a_write_end_elsewhere_does_not_hold_up_the_end(void **state)
{
    struct fixture *fixture = *state;
    int64_t begin = loop_now();

    say(fixture, "all of it");
    capture_finish(&fixture->capture); /* our write end is that of a process which left */
    assert_true(loop_now() - begin < INT64_C(1000000000));
    assert_int_equal(fixture->capture.bytes.length, 9);
    assert_int_equal(fixture->capture.fd, -1);
    assert_int_equal(fcntl(fixture->write_end, F_GETFD), FD_CLOEXEC);
    capture_finish(&fixture->capture); /* once is enough */
    assert_int_equal(fixture->capture.bytes.length, 9);
}

static void bytes_are_kept_as_they_are(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(write(fixture->write_end, "a\0\xff\n", 4), 4);
    capture_finish(&fixture->capture);
    assert_int_equal(fixture->capture.bytes.length, 4);
    assert_memory_equal(fixture->capture.bytes.data, "a\0\xff\n", 4);
}

static void what_was_never_started_can_be_finished_and_freed(void **state)
{
    struct capture capture = CAPTURE_INIT;

    (void)state;
    capture_finish(&capture);
    assert_false(capture.captured);
    assert_int_equal(capture.bytes.length, 0);
    capture_free(&capture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_pipe_never_blocks_the_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_takes_what_is_still_in_the_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_end_elsewhere_does_not_hold_up_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_end_waits_for_no_writer_who_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_after_the_end_is_not_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_are_kept_as_they_are, setup, teardown),
        cmocka_unit_test(what_was_never_started_can_be_finished_and_freed),
    };

    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
