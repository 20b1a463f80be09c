/* Byte buffers, string vectors, error objects and descriptor helpers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/buffer.h"
#include "util/key_index.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/strv.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ---- buffer ---- */

static void an_empty_buffer_is_an_empty_text(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    assert_string_equal(buffer_text(&buffer), "");
    char *taken = buffer_take(&buffer);
    assert_string_equal(taken, "");
    free(taken);
}

static void a_buffer_grows_and_stays_terminated(void **state)
{
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        buffer_printf(&buffer, "%03d,", i);
        assert_int_equal(strlen(buffer_text(&buffer)), buffer.length);
    }
    assert_int_equal(buffer.length, 4000);
    assert_string_equal(buffer_text(&buffer) + 3996, "999,");
}

static void a_buffer_carries_zero_bytes(void **state)
{
    CLEANUP_BUFFER struct buffer buffer = BUFFER_INIT;

    (void)state;
    buffer_append(&buffer, "a\0b", 3);
    buffer_append_char(&buffer, 'c');
    assert_int_equal(buffer.length, 4);
    assert_memory_equal(buffer.data, "a\0bc", 5);
}

static void a_failed_append_is_remembered(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    buffer_append_text(&buffer, "before");
    assert_null(buffer_reserve(&buffer, SIZE_MAX - 2));
    buffer_append_text(&buffer, "after");
    assert_true(buffer_failed(&buffer));
    assert_string_equal(buffer_text(&buffer), "before");
    assert_null(buffer_take(&buffer));
    assert_false(buffer_failed(&buffer)); /* empty and usable again */
    buffer_append_text(&buffer, "again");
    assert_string_equal(buffer_text(&buffer), "again");
    buffer_free(&buffer);
}

/* ---- strv ---- */

static void a_vector_is_a_terminated_argv(void **state)
{
    CLEANUP_STRV struct strv strv = STRV_INIT;

    (void)state;
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_true(strv_add(&strv, text));
        assert_null(strv.items[strv.count]);
    }
    assert_int_equal(strv.count, 100);
    assert_string_equal(strv.items[42], "42");
    assert_true(strv_contains(&strv, "99"));
    assert_false(strv_contains(&strv, "100"));
    assert_false(strv_take(&strv, NULL));
    assert_int_equal(strv.count, 100);
}

static void a_key_is_found_by_its_whole_name(void **state)
{
    CLEANUP_STRV struct strv strv = STRV_INIT;

    (void)state;
    strv_add(&strv, "PATHS=1");
    strv_add(&strv, "PATH");
    strv_add(&strv, "PATH=/bin");
    assert_int_equal(strv_find_key(&strv, "PATH", 4), 2);
    assert_int_equal(strv_find_key(&strv, "HOME", 4), -1);
    strv_replace(&strv, 2, strdup("PATH=/usr/bin"));
    assert_string_equal(strv.items[2], "PATH=/usr/bin");
}

static void an_index_finds_what_has_the_key_last(void **state)
{
    CLEANUP_STRV struct strv strv = STRV_INIT;
    CLEANUP_KEY_INDEX struct key_index index = KEY_INDEX_INIT;
    char text[32];

    (void)state;
    assert_true(key_index_reserve(&index, 1000));
    assert_int_equal(key_index_find(&index, &strv, "K=1"), -1);
    for (size_t i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "K%zu=%zu", i % 900, i);
        assert_true(strv_add(&strv, text));
        key_index_add(&index, &strv, i);
    }
    for (size_t i = 0; i < 900; i++) {
        snprintf(text, sizeof(text), "K%zu=other", i);
        assert_int_equal(key_index_find(&index, &strv, text), i < 100 ? i + 900 : i);
        snprintf(text, sizeof(text), "K%zu", i);
        assert_int_equal(key_index_find(&index, &strv, text), -1);
    }
    assert_int_equal(key_index_find(&index, &strv, "K=1"), -1);
    assert_int_equal(key_index_find(&index, &strv, "K900=1"), -1);
    assert_int_equal(key_index_find(&index, &strv, "=1"), -1);
}

static void vectors_are_sorted_copied_and_joined(void **state)
{
    CLEANUP_STRV struct strv strv = STRV_INIT;
    CLEANUP_STRV struct strv copy = STRV_INIT;

    (void)state;
    CLEANUP_FREE char *nothing = strv_join(&strv, ",");
    assert_string_equal(nothing, "");
    strv_add(&strv, "b");
    strv_add(&strv, "\xc3\xa9"); /* sorts by bytes, whatever the locale */
    strv_add(&strv, "B");
    strv_sort(&strv);
    assert_true(strv_copy(&copy, &strv));
    assert_ptr_not_equal(copy.items[0], strv.items[0]);
    CLEANUP_FREE char *joined = strv_join(&copy, ", ");
    assert_string_equal(joined, "B, b, \xc3\xa9");
}

/* ---- error ---- */

static void an_error_tells_object_and_reason(void **state)
{
    struct error err = {0};

    (void)state;
    assert_false(error_runtime(&err, ENOENT, "open grant %s", "/srv/x"));
    assert_int_equal(err.kind, ERROR_RUNTIME);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_string_equal(err.text, "open grant /srv/x: No such file or directory");
    assert_false(error_wrap(&err, "start of %s", "job"));
    assert_string_equal(err.text, "start of job: open grant /srv/x: No such file or directory");
    assert_int_equal(err.sys_errno, ENOENT);
    error_clear(&err);
    assert_int_equal(err.kind, ERROR_NONE);
    assert_string_equal(err.text, "");
}

static void a_configuration_error_has_no_errno(void **state)
{
    struct error err = {0};

    (void)state;
    assert_false(error_config(&err, "bad size \"%s\"", "12Q"));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, "bad size \"12Q\"");
}

static void a_message_quotes_names_without_obeying_them(void **state)
{
    static const char name[] = "\x1b[31m\nsandlock: forged";
    static const char shown[] = "\\x1b[31m\\nsandlock: forged";
    struct error err = {0};
    char expected[128];

    (void)state;
    error_config(&err, "no %s", name);
    snprintf(expected, sizeof(expected), "no %s", shown);
    assert_string_equal(err.text, expected);
    error_runtime(&err, ENOENT, "open %s", name);
    snprintf(expected, sizeof(expected), "open %s: No such file or directory", shown);
    assert_string_equal(err.text, expected);
    error_config(&err, "inner");
    error_wrap(&err, "%s", name);
    snprintf(expected, sizeof(expected), "%s: inner", shown);
    assert_string_equal(err.text, expected);
}

static void a_long_message_is_cut_visibly_and_keeps_its_reason(void **state)
{
    static const size_t lengths[] = {ERROR_TEXT_MAX - 6, ERROR_TEXT_MAX, ERROR_TEXT_MAX + 9,
                                     4 * ERROR_TEXT_MAX, 100000};
    static char longer[100001];
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(longer, 'x', lengths[i]);
        longer[lengths[i]] = '\0';
        error_runtime(&err, EIO, "open %s", longer);
        assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
        assert_memory_equal(err.text, "open xxx", 8);
        assert_non_null(strstr(err.text, "x...x"));
        assert_non_null(strstr(err.text, "xxx: Input/output error"));
        error_config(&err, "open %s: the reason", longer);
        assert_non_null(strstr(err.text, "xxx: the reason"));
        error_config(&err, "inner");
        error_wrap(&err, "%s", longer);
        assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
        assert_non_null(strstr(err.text, "x...x"));
        assert_non_null(strstr(err.text, "xxx: inner"));
    }
}

static void nobody_needs_to_want_the_error(void **state)
{
    (void)state;
    assert_false(error_config(NULL, "x"));
    assert_false(error_runtime(NULL, EIO, "x"));
    assert_false(error_wrap(NULL, "x"));
    error_clear(NULL);
}

/* ---- fd ---- */

static int file_of(const char *content, size_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, content, size), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void a_file_is_read_whole_or_refused(void **state)
{
    char content[10000];
    CLEANUP_FREE char *data = NULL;
    size_t length = 0;

    (void)state;
    memset(content, 'y', sizeof(content));
    CLEANUP_FD int fd = file_of(content, sizeof(content));
    assert_int_equal(fd_read_file(fd, sizeof(content), &data, &length), 0);
    assert_int_equal(length, sizeof(content));
    assert_memory_equal(data, content, length);
    assert_int_equal(data[length], '\0');

    char *unused = NULL;
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(fd_read_file(fd, sizeof(content) - 1, &unused, &length), -EFBIG);
    assert_null(unused);
    assert_int_equal(fd_read_file(-1, 10, &unused, &length), -EBADF);
}

static void a_full_read_waits_for_the_rest(void **state)
{
    int ends[2];
    char data[8];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fd_write_all(ends[1], "abc", 3), 0);
    fd_close(ends[1]);
    assert_int_equal(fd_read_full(ends[0], data, sizeof(data)), 3);
    assert_memory_equal(data, "abc", 3);
    fd_close(ends[0]);
}

static void a_duplicate_is_high_and_closes_on_exec(void **state)
{
    CLEANUP_FD int fd = file_of("", 0);
    CLEANUP_FD int high = fd_duplicate_above(fd, 100);

    (void)state;
    assert_true(high >= 100);
    assert_true((fcntl(high, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(fd_duplicate_above(-1, 0), -EBADF);
}

static void closing_keeps_errno(void **state)
{
    (void)state;
    errno = EXDEV;
    fd_close(-1);
    fd_close(1000000); /* EBADF inside */
    assert_int_equal(errno, EXDEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_text),
        cmocka_unit_test(a_buffer_grows_and_stays_terminated),
        cmocka_unit_test(a_buffer_carries_zero_bytes),
        cmocka_unit_test(a_failed_append_is_remembered),
        cmocka_unit_test(a_vector_is_a_terminated_argv),
        cmocka_unit_test(a_key_is_found_by_its_whole_name),
        cmocka_unit_test(an_index_finds_what_has_the_key_last),
        cmocka_unit_test(vectors_are_sorted_copied_and_joined),
        cmocka_unit_test(an_error_tells_object_and_reason),
        cmocka_unit_test(a_configuration_error_has_no_errno),
        cmocka_unit_test(a_message_quotes_names_without_obeying_them),
        cmocka_unit_test(a_long_message_is_cut_visibly_and_keeps_its_reason),
        cmocka_unit_test(nobody_needs_to_want_the_error),
        cmocka_unit_test(a_file_is_read_whole_or_refused),
        cmocka_unit_test(a_full_read_waits_for_the_rest),
        cmocka_unit_test(a_duplicate_is_high_and_closes_on_exec),
        cmocka_unit_test(closing_keeps_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
