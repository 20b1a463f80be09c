/* Report destinations: what may be written to, and what is refused by name before a run. */
#include "../policy/policy_test.h"

#include "cli/destination.h"
#include "util/fd.h"

#include <fcntl.h>
#include <sys/stat.h>

static char directory[] = "/tmp/sandlock-test-destination-XXXXXX";

static int set_up(void **state)
{
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"new", "old", "link", "fifo"};
    char path[sizeof(directory) + 16];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static const char *path_of(const char *name)
{
    static char path[sizeof(directory) + 16];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static struct destination open_good(const char *text, enum destination_mode mode)
{
    struct destination destination;
    struct error err = {0};

    if (!destination_open(text, "--posture", mode, NULL, &destination, &err))
        fail_msg("refused: %s", err.text);
    return destination;
}

static void assert_refused(const char *text, const char *const *texts)
{
    struct destination destination;
    struct error err = {0};

    assert_false(
        destination_open(text, "--posture", DESTINATION_REPLACE, NULL, &destination, &err));
    assert_int_equal(destination.fd, -1);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_has_texts(err.text, TEXTS("--posture"));
    assert_has_texts(err.text, texts);
}

static void test_a_file_is_created_private_and_close_on_exec(void **state)
{
    struct destination destination = open_good(path_of("new"), DESTINATION_REPLACE);
    struct stat status;

    assert_int_equal(fstat(destination.fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fcntl(destination.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    int fd = destination.fd;
    destination_close(&destination);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static off_t size_of(const char *name)
{
    struct stat status;

    return stat(path_of(name), &status) == 0 ? status.st_size : -1;
}

static void make_old(void)
{
    int fd = open(path_of("old"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, "before", 6), 6);
    close(fd);
}

static void test_a_document_replaces_and_a_log_appends(void **state)
{
    struct error err = {0};

    make_old();
    struct destination destination = open_good(path_of("old"), DESTINATION_REPLACE);
    assert_int_equal(size_of("old"), 6); /* not before it is certain that there will be another */
    assert_true(destination_empty(&destination, "--posture", &err));
    assert_int_equal(write(destination.fd, "x", 1), 1);
    destination_close(&destination);
    assert_int_equal(size_of("old"), 1);

    make_old();
    destination = open_good(path_of("old"), DESTINATION_APPEND);
    assert_int_equal(write(destination.fd, "x", 1), 1);
    destination_close(&destination);
    assert_int_equal(size_of("old"), 7);
}

static void test_what_is_withdrawn_leaves_no_new_file_and_no_change(void **state)
{
    make_old();
    unlink(path_of("new"));
    for (int mode = DESTINATION_REPLACE; mode <= DESTINATION_APPEND; mode++) {
        struct destination old = open_good(path_of("old"), (enum destination_mode)mode);
        destination_withdraw(&old, path_of("old"));
        assert_int_equal(old.fd, -1);
        assert_int_equal(size_of("old"), 6);

        struct destination new = open_good(path_of("new"), (enum destination_mode)mode);
        assert_int_equal(size_of("new"), 0);
        destination_withdraw(&new, path_of("new"));
        assert_int_equal(size_of("new"), -1);
    }
    /* Another file took its place meanwhile. */
    struct destination moved = open_good(path_of("new"), DESTINATION_APPEND);
    unlink(path_of("new"));
    assert_int_equal(symlink("old", path_of("new")), 0);
    destination_withdraw(&moved, path_of("new"));
    assert_int_equal(unlink(path_of("new")), 0);

    struct destination none = DESTINATION_NONE;
    destination_withdraw(&none, NULL);
}

static void test_only_regular_files_are_emptied(void **state)
{
    struct error err = {0};
    struct destination device = open_good("/dev/null", DESTINATION_REPLACE);

    assert_true(destination_empty(&device, "--posture", &err));
    destination_close(&device);
    assert_true(destination_empty(&DESTINATION_NONE, "--posture", &err));
}

static void test_symbolic_links_and_readerless_fifos_are_refused(void **state)
{
    assert_int_equal(symlink("/dev/null", path_of("link")), 0);
    assert_refused(path_of("link"), TEXTS("symbolic link"));
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_refused(path_of("fifo"), TEXTS("FIFO"));
}

static void test_unusable_texts_are_refused(void **state)
{
    assert_refused("", TEXTS("empty"));
    assert_refused("/nonexistent/directory/file", TEXTS("/nonexistent/directory/file"));
    assert_refused(directory, TEXTS("directory"));
    assert_refused("fd:", TEXTS("descriptor number"));
    assert_refused("fd:x", TEXTS("'x'"));
    assert_refused("fd:-1", TEXTS("'-1'"));
    assert_refused("fd:0", TEXTS("standard input"));
    assert_refused("fd:999999", TEXTS("not open"));
    assert_refused("fd:99999999999", TEXTS("descriptor number"));
}

static void test_a_dash_is_standard_error(void **state)
{
    struct destination destination = open_good("-", DESTINATION_REPLACE);

    assert_int_equal(destination.fd, STDERR_FILENO);
    destination_close(&destination);
    assert_true(fcntl(STDERR_FILENO, F_GETFD) >= 0);
}

static bool accepts_inherited(int fd)
{
    char number[16];
    int found = -1;
    struct error err = {0};

    snprintf(number, sizeof(number), "%d", fd);
    bool good = destination_inherited(number, "--status-fd", &found, &err);
    if (good)
        assert_int_equal(found, fd);
    else
        assert_has_texts(err.text, TEXTS("--status-fd", number));
    return good;
}

static void test_inherited_descriptors_must_be_open_for_writing(void **state)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0); /* without CLOEXEC, as inherited ones are */
    assert_true(accepts_inherited(ends[1]));
    assert_false(accepts_inherited(ends[0]));
    /* One of our own is not what the caller meant. */
    assert_int_equal(fcntl(ends[1], F_SETFD, FD_CLOEXEC), 0);
    assert_false(accepts_inherited(ends[1]));
    close(ends[0]);
    close(ends[1]);
    assert_false(accepts_inherited(ends[1]));

    int path_only = open("/", O_PATH);
    assert_false(accepts_inherited(path_only));
    close(path_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_created_private_and_close_on_exec),
        cmocka_unit_test(test_a_document_replaces_and_a_log_appends),
        cmocka_unit_test(test_what_is_withdrawn_leaves_no_new_file_and_no_change),
        cmocka_unit_test(test_only_regular_files_are_emptied),
        cmocka_unit_test(test_symbolic_links_and_readerless_fifos_are_refused),
        cmocka_unit_test(test_unusable_texts_are_refused),
        cmocka_unit_test(test_a_dash_is_standard_error),
        cmocka_unit_test(test_inherited_descriptors_must_be_open_for_writing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
