/* The plan of the child's descriptors: what is mapped, what is closed, and whose ends are whose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/streams.h"
#include "util/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Helpers --------------------------------------------------------------------------------- */

static struct launch_spec spec_of(enum stream_mode in, enum stream_mode out, enum stream_mode err)
{
    return (struct launch_spec){.streams = {{in, -1}, {out, -1}, {err, -1}}};
}

static struct streams prepared(const struct launch_spec *spec)
{
    struct streams streams;
    struct error err = {0};

    if (!streams_prepare(&streams, spec, &err))
        fail_msg("refused: %s", err.text);
    return streams;
}

static const struct bare_map *map_of(const struct streams *streams, int target)
{
    for (size_t i = 0; i < streams->map_count; i++) {
        if (streams->maps[i].target == target)
            return &streams->maps[i];
    }
    return NULL;
}

/* How many ranges close this number. */
static int closed_times(const struct streams *streams, int fd)
{
    int times = 0;

    for (size_t i = 0; i < streams->range_count; i++)
        times +=
            (unsigned)fd >= streams->ranges[i].first && (unsigned)fd <= streams->ranges[i].last;
    return times;
}

/* Whatever the modes: sources are above all targets and survive the closing, which is done once per
 * number and for everything else, the top first. */
static void assert_sound(const struct streams *streams)
{
    int top = 2;
    bool kept[1024] = {false};

    for (size_t i = 0; i < streams->map_count; i++) {
        if (streams->maps[i].target > top)
            top = streams->maps[i].target;
    }
    for (size_t i = 0; i < streams->map_count; i++) {
        int source = streams->maps[i].source;
        kept[source >= 0 ? source : streams->maps[i].target] = true;
        if (source < 0)
            continue;
        assert_true(source > top);
        assert_true((fcntl(source, F_GETFD) & FD_CLOEXEC) != 0);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(source, streams->maps[k].source);
    }
    for (int fd = 0; fd < 1024; fd++)
        assert_int_equal(closed_times(streams, fd), kept[fd] ? 0 : 1);
    assert_true(streams->range_count >= 1);
    assert_int_equal(streams->ranges[0].last, ~0U);
    for (size_t i = 0; i < streams->range_count; i++)
        assert_true(streams->ranges[i].first <= streams->ranges[i].last);
}

static int open_descriptors(void)
{
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(listing);
    while (readdir(listing) != NULL)
        count++;
    closedir(listing);
    return count;
}

static bool is_null_device(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

static bool same_file(int a, int b)
{
    struct stat first;
    struct stat second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* ---- Modes ----------------------------------------------------------------------------------- */

static void inherited_streams_stay_where_they_are(void **state)
{
    struct launch_spec spec = spec_of(STREAM_INHERIT, STREAM_INHERIT, STREAM_INHERIT);
    struct streams streams = prepared(&spec);

    (void)state;
    assert_int_equal(streams.map_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(map_of(&streams, i)->source, -1);
        assert_int_equal(streams.host_ends[i], -1);
    }
    assert_int_equal(streams.source_count, 0);
    assert_int_equal(streams.range_count, 1);
    assert_int_equal(streams.ranges[0].first, 3);
    assert_int_equal(streams.error_fd, 2);
    assert_sound(&streams);
    streams_free(&streams);
}

static void null_streams_are_the_null_device(void **state)
{
    struct launch_spec spec = spec_of(STREAM_NULL, STREAM_NULL, STREAM_NULL);
    struct streams streams = prepared(&spec);

    (void)state;
    assert_sound(&streams);
    for (int i = 0; i < 3; i++) {
        int source = map_of(&streams, i)->source;
        assert_true(is_null_device(source));
        assert_int_equal(fcntl(source, F_GETFL) & O_ACCMODE, i == 0 ? O_RDONLY : O_WRONLY);
    }
    assert_int_equal(streams.error_fd, map_of(&streams, 2)->source);
    streams_free(&streams);
}

static void piped_streams_have_an_end_on_either_side(void **state)
{
    struct launch_spec spec = spec_of(STREAM_PIPED, STREAM_PIPED, STREAM_PIPED);
    int before = open_descriptors();
    struct streams streams = prepared(&spec);
    char byte = 0;

    (void)state;
    assert_sound(&streams);
    assert_int_equal(write(streams.host_ends[0], "i", 1), 1);
    assert_int_equal(read(map_of(&streams, 0)->source, &byte, 1), 1);
    assert_int_equal(byte, 'i');
    for (int i = 1; i < 3; i++) {
        assert_int_equal(write(map_of(&streams, i)->source, "o", 1), 1);
        assert_int_equal(read(streams.host_ends[i], &byte, 1), 1);
        assert_int_equal(byte, 'o');
    }
    for (int i = 0; i < 3; i++) {
        assert_true(streams.host_ends[i] > 2);
        assert_true((fcntl(streams.host_ends[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    streams_close_sources(&streams);
    assert_int_equal(read(streams.host_ends[1], &byte, 1), 0); /* nobody else writes there */
    assert_int_equal(open_descriptors(), before + 3);
    streams_free(&streams);
    assert_int_equal(open_descriptors(), before);
}

static void a_closed_stream_is_neither_mapped_nor_kept(void **state)
{
    struct launch_spec spec = spec_of(STREAM_CLOSED, STREAM_INHERIT, STREAM_CLOSED);
    struct streams streams = prepared(&spec);

    (void)state;
    assert_int_equal(streams.map_count, 1);
    assert_null(map_of(&streams, 0));
    assert_null(map_of(&streams, 2));
    assert_int_equal(streams.error_fd, -1);
    assert_sound(&streams);
    streams_free(&streams);

    spec = spec_of(STREAM_CLOSED, STREAM_CLOSED, STREAM_CLOSED);
    streams = prepared(&spec);
    assert_int_equal(streams.map_count, 0);
    assert_int_equal(streams.ranges[0].first, 0);
    assert_sound(&streams);
    streams_free(&streams);
}

/* ---- Given descriptors ----------------------------------------------------------------------- */

static void sources_are_moved_above_every_target(void **state)
{
    CLEANUP_FD int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct fd_map fds[] = {{200, file}, {3, null}, {7, file}};
    struct launch_spec spec = spec_of(STREAM_FD, STREAM_PIPED, STREAM_NULL);
    int before = open_descriptors();

    (void)state;
    spec.streams[0].fd = file;
    spec.fds = fds;
    spec.fd_count = 3;
    struct streams streams = prepared(&spec);
    assert_int_equal(streams.map_count, 6);
    assert_sound(&streams);
    assert_true(map_of(&streams, 3)->source > 200);
    assert_true(same_file(map_of(&streams, 0)->source, file));
    assert_true(same_file(map_of(&streams, 200)->source, file));
    assert_true(same_file(map_of(&streams, 7)->source, file));
    assert_true(is_null_device(map_of(&streams, 3)->source));
    streams_free(&streams);
    assert_int_equal(open_descriptors(), before); /* the caller's own are still open */
}

static void what_cannot_be_wired_is_refused_and_leaves_nothing(void **state)
{
    const struct {
        struct fd_map map;
        int mode; /* of standard output */
        enum error_kind kind;
        const char *text;
    } cases[] = {
        {{2, 0}, STREAM_PIPED, ERROR_CONFIG, "extra descriptor target 2 is below 3"},
        {{-1, 0}, STREAM_PIPED, ERROR_CONFIG, "extra descriptor target -1 is below 3"},
        {{5, 1000000}, STREAM_PIPED, ERROR_RUNTIME, "descriptor for target 5: Bad file descriptor"},
        {{5, 2}, STREAM_FD, ERROR_RUNTIME, "standard output: Bad file descriptor"},
        {{5, 2}, 99, ERROR_CONFIG, "unknown mode 99 of standard output"},
    };
    int before = open_descriptors();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct launch_spec spec =
            spec_of(STREAM_PIPED, (enum stream_mode)cases[i].mode, STREAM_PIPED);
        struct streams streams;
        struct error err = {0};
        spec.fds = &cases[i].map;
        spec.fd_count = 1;
        assert_false(streams_prepare(&streams, &spec, &err));
        assert_int_equal(err.kind, cases[i].kind);
        if (strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("\"%s\" instead of \"%s\"", err.text, cases[i].text);
        assert_int_equal(open_descriptors(), before);
        streams_free(&streams);
    }
}

/* ---- A host without standard descriptors ----------------------------------------------------- */

/* Reports by the exit status: there is nowhere to write. */
static int without_standard_descriptors(void)
{
    struct launch_spec spec = spec_of(STREAM_PIPED, STREAM_PIPED, STREAM_NULL);
    struct streams streams;
    struct error err;

    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (!streams_prepare(&streams, &spec, &err))
        return 1;
    for (int i = 0; i < 3; i++) {
        if (map_of(&streams, i) == NULL || map_of(&streams, i)->source < 3)
            return 2;
        if (fcntl(i, F_GETFD) != -1)
            return 3; /* one of ours stayed below */
    }
    if (streams.host_ends[0] < 3 || streams.host_ends[1] < 3)
        return 4;
    streams_free(&streams);

    spec = spec_of(STREAM_INHERIT, STREAM_INHERIT, STREAM_INHERIT);
    if (!streams_prepare(&streams, &spec, &err))
        return 5;
    if (streams.error_fd != -1 || streams.source_count != 0)
        return 6;
    streams_free(&streams);

    /* What landed on 2 is ours, not a standard error of the host. */
    for (int fd = 0; fd < 3; fd++) {
        if (open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
            return 7;
    }
    if (!streams_prepare(&streams, &spec, &err))
        return 8;
    if (streams.error_fd != -1)
        return 9;
    streams_free(&streams);
    return 0;
}

static void a_host_may_have_closed_its_standard_descriptors(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(without_standard_descriptors());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inherited_streams_stay_where_they_are),
        cmocka_unit_test(null_streams_are_the_null_device),
        cmocka_unit_test(piped_streams_have_an_end_on_either_side),
        cmocka_unit_test(a_closed_stream_is_neither_mapped_nor_kept),
        cmocka_unit_test(sources_are_moved_above_every_target),
        cmocka_unit_test(what_cannot_be_wired_is_refused_and_leaves_nothing),
        cmocka_unit_test(a_host_may_have_closed_its_standard_descriptors),
    };

    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
