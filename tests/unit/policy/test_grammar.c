/* The value grammars: which texts are accepted as what, and what the refusals say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/grammar.h"
#include "util/buffer.h"
#include "util/fd.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})
#define TEXT_COUNT(texts) (sizeof(texts) / sizeof(*(texts)))

static void assert_says(const struct error *err, const char *reason)
{
    assert_int_equal(err->kind, ERROR_CONFIG);
    if (strstr(err->text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err->text, reason);
}

/* ---- Sizes ------------------------------------------------------------------------------------- */

static void assert_size(const char *text, uint64_t expected)
{
    struct error err = {0};
    uint64_t bytes = 77;

    if (!grammar_size(text, &bytes, &err))
        fail_msg("%s: %s", text, err.text);
    if (bytes != expected)
        fail_msg("%s is %" PRIu64, text, bytes);
}

static void assert_size_refused(const char *text, const char *message)
{
    struct error err = {0};
    uint64_t bytes = 77;

    if (grammar_size(text, &bytes, &err))
        fail_msg("accepted: %s", text);
    assert_string_equal(err.text, message);
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_int_equal(bytes, 77);
}

static void test_sizes(void **state)
{
    assert_size("0", 0);
    assert_size("1", 1);
    assert_size("007", 7);
    assert_size("512M", 512ULL << 20);
    assert_size("1k", 1024);
    assert_size("1K", 1024);
    assert_size("2m", 2ULL << 20);
    assert_size("3G", 3ULL << 30);
    assert_size("3g", 3ULL << 30);
    assert_size("1T", 1ULL << 40);
    assert_size("1t", 1ULL << 40);
    assert_size("1KiB", 1024);
    assert_size("1MiB", 1ULL << 20);
    assert_size("1GiB", 1ULL << 30);
    assert_size("1TiB", 1ULL << 40);
    assert_size(" \t64 K\t", 65536);
    assert_size("18446744073709551615", UINT64_MAX);
    assert_size("18014398509481983K", 18014398509481983ULL << 10);
    assert_size("16777215T", 16777215ULL << 40);
}

static void test_bad_sizes(void **state)
{
    assert_size_refused("", "empty byte size string");
    assert_size_refused(" \t", "empty byte size string");
    assert_size_refused("M", "invalid byte size: M");
    assert_size_refused("-1", "invalid byte size: -1");
    assert_size_refused("+1", "invalid byte size: +1");
    assert_size_refused("1.5G", "invalid byte size: 1.5G");
    assert_size_refused("1 2", "invalid byte size: 1 2");
    assert_size_refused("0x10", "unknown byte size suffix: 0x10");
    assert_size_refused("1KB", "unknown byte size suffix: 1KB");
    assert_size_refused("1Ki", "unknown byte size suffix: 1Ki");
    assert_size_refused("1Kib", "unknown byte size suffix: 1Kib");
    assert_size_refused("1P", "unknown byte size suffix: 1P");
    assert_size_refused("1B", "unknown byte size suffix: 1B");
    assert_size_refused("1\x0b", "invalid byte size: 1\\x0b");
    assert_size_refused("1+", "invalid byte size: 1+");
}

static void test_sizes_never_wrap(void **state)
{
    assert_size_refused("18446744073709551616", "byte size out of range: 18446744073709551616");
    assert_size_refused("18014398509481984K", "byte size out of range: 18014398509481984K");
    assert_size_refused("17179869184G", "byte size out of range: 17179869184G");
    assert_size_refused("16777216 TiB", "byte size out of range: 16777216 TiB");
    assert_size_refused("99999999999999999999999",
                        "byte size out of range: 99999999999999999999999");
}

/* ---- Durations --------------------------------------------------------------------------------- */

static void assert_duration(const char *text, uint64_t expected)
{
    struct error err = {0};
    uint64_t milliseconds = 0;

    if (!grammar_duration(text, false, &milliseconds, &err))
        fail_msg("%s: %s", text, err.text);
    if (milliseconds != expected)
        fail_msg("%s is %" PRIu64, text, milliseconds);
}

static void assert_duration_refused(const char *text, const char *reason)
{
    struct error err = {0};
    uint64_t milliseconds = 77;

    if (grammar_duration(text, false, &milliseconds, &err))
        fail_msg("accepted: %s", text);
    assert_says(&err, reason);
    assert_says(&err, text);
    assert_int_equal(milliseconds, 77);
}

static void test_durations(void **state)
{
    assert_duration("5", 5000);
    assert_duration("5s", 5000);
    assert_duration("250ms", 250);
    assert_duration("2m", 120000);
    assert_duration("1h", 3600000);
    assert_duration("9223372036854ms", 9223372036854);
    assert_duration("9223372036", 9223372036000);
    assert_duration("9223372036855ms", 9223372036854); /* the longest */
    assert_duration("99999999999", 9223372036854);
    assert_duration("5124095576030431h",
                    9223372036854); /* as a product it would wrap to a little */
    assert_duration("18446744073709551615", 9223372036854);
}

static void test_zero_where_it_has_a_meaning(void **state)
{
    static const char *const zeros[] = {"0", "0ms", "00h"};
    struct error err = {0};

    for (size_t i = 0; i < TEXT_COUNT(zeros); i++) {
        uint64_t milliseconds = 77;
        assert_true(grammar_duration(zeros[i], true, &milliseconds, &err));
        assert_int_equal(milliseconds, 0);
    }
    assert_false(grammar_duration("", true, &(uint64_t){0}, &err));
}

static void test_bad_durations(void **state)
{
    static const char *const bad[] = {"",   "s",  "-1",   "+1",  "1.5s", "1 s",   " 1",  "1 ",
                                      "1S", "1d", "1sec", "1mm", "0x1",  "1m30s", "soon"};

    for (size_t i = 0; i < TEXT_COUNT(bad); i++)
        assert_duration_refused(bad[i], "invalid duration");
    assert_duration_refused("0", "omit the option for no limit");
    assert_duration_refused("0ms", "omit the option for no limit");
    assert_duration_refused("00h", "omit the option for no limit");
    assert_duration_refused("18446744073709551616", "out of range");
}

/* ---- Ports ------------------------------------------------------------------------------------- */

static void assert_port_texts(const char *const *texts, size_t count, const char *expected)
{
    struct error err = {0};
    CLEANUP_FREE struct port_range *ranges = NULL;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    size_t range_count = 77;
    bool any = true;

    if (!grammar_ports(texts, count, true, &any, &ranges, &range_count, &err))
        fail_msg("%s: %s", texts[0], err.text);
    if (any)
        buffer_append_text(&out, "* ");
    for (size_t i = 0; i < range_count; i++)
        buffer_printf(&out, "%u-%u ", ranges[i].low, ranges[i].high);
    assert_string_equal(buffer_text(&out), expected);
}

static void assert_ports(const char *text, const char *expected)
{
    assert_port_texts(&text, 1, expected);
}

static void assert_ports_refused(const char *const *texts, size_t count, bool allow_any,
                                 const char *reason)
{
    struct error err = {0};
    struct port_range *ranges = NULL;
    size_t range_count = 77;
    bool any = false;

    if (grammar_ports(texts, count, allow_any, &any, &ranges, &range_count, &err))
        fail_msg("accepted: %s", texts[0]);
    assert_says(&err, reason);
    assert_null(ranges);
}

static void assert_port_refused(const char *text, const char *reason)
{
    assert_ports_refused(&text, 1, true, reason);
}

static void test_ports(void **state)
{
    assert_ports("80", "80-80 ");
    assert_ports("0", "0-0 ");
    assert_ports("65535", "65535-65535 ");
    assert_ports("0-65535", "0-65535 ");
    assert_ports("443,80", "80-80 443-443 ");
    assert_ports(" 80 ,\t90 - 92 ", "80-80 90-92 ");
    assert_ports("80,80,80-80", "80-80 ");
    assert_ports("10-20,15-30,5,31,33", "5-5 10-31 33-33 ");
    assert_ports("1-100,5,50-60,101", "1-101 ");
    assert_ports("65535,65534,0,1", "0-1 65534-65535 ");
    assert_port_texts(TEXTS("80,1", "2,79"), 2, "1-2 79-80 ");
    assert_port_texts(NULL, 0, "");
}

static void test_any_port(void **state)
{
    assert_ports("*", "* ");
    assert_ports(" * , *", "* ");
    assert_port_texts(TEXTS("*", "*"), 2, "* ");
    assert_port_refused("*,80", "wildcard `*` cannot be combined with port lists");
    assert_port_refused("80,*", "wildcard `*` cannot be combined with port lists");
    assert_ports_refused(TEXTS("80", "*"), 2, true, "wildcard `*` cannot be combined");
    assert_ports_refused(TEXTS("*"), 1, false, "only supported for --net-allow-bind");
    assert_port_refused("**", "'**' is not a port");
    assert_port_refused("*-80", "'*' is not a port");
}

static void test_bad_ports(void **state)
{
    assert_port_refused("", "empty item");
    assert_port_refused(" ", "empty item");
    assert_port_refused("80,", "empty item");
    assert_port_refused(",80", "empty item");
    assert_port_refused("80,,81", "empty item");
    assert_ports_refused(TEXTS("80", ""), 2, true, "empty item");
    assert_port_refused("http", "'http' is not a port");
    assert_port_refused("+80", "'+80' is not a port");
    assert_port_refused("8 0", "'8 0' is not a port");
    assert_port_refused("-80", "'-80' is neither a port nor a range");
    assert_port_refused("80-", "'80-' is neither a port nor a range");
    assert_port_refused("1-2-3", "'2-3' is not a port");
    assert_port_refused("65536", "port '65536' is out of range: it is 0 to 65535");
    assert_port_refused("1-65536", "'65536' is out of range");
    assert_port_refused("99999999999999999999", "out of range");
    assert_port_refused("9-1", "reversed port range '9-1'");
    assert_port_refused("1,9 - 1,5", "reversed port range '9 - 1'");
    assert_port_refused("80\n", "'80\\n' is not a port");
    assert_ports_refused(TEXTS("80-x"), 1, false, "'x' is not a port");
}

static void test_long_port_lists_are_read(void **state)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    for (int port = 65535; port >= 0; port--)
        buffer_printf(&text, port > 0 ? "%d," : "%d", port);
    assert_ports(buffer_text(&text), "0-65535 ");
}

/* ---- Numbers, users, devices ------------------------------------------------------------------- */

static void assert_user_refused(const char *text, const char *reason)
{
    struct error err = {0};
    uint32_t uid = 7, gid = 7;

    if (grammar_user(text, &uid, &gid, &err))
        fail_msg("accepted: %s", text);
    assert_says(&err, reason);
    assert_says(&err, "UID:GID");
    assert_int_equal(uid, 7);
    assert_int_equal(gid, 7);
}

static void test_users(void **state)
{
    uint32_t uid = 7, gid = 7;

    assert_true(grammar_user("1000:100", &uid, &gid, NULL));
    assert_int_equal(uid, 1000);
    assert_int_equal(gid, 100);
    assert_true(grammar_user(" 0 :\t4294967295 ", &uid, &gid, NULL));
    assert_int_equal(uid, 0);
    assert_true(gid == UINT32_MAX);
}

static void test_bad_users(void **state)
{
    assert_user_refused("", "''");
    assert_user_refused("1000", "'1000'");
    assert_user_refused(":", "'' is not a user number");
    assert_user_refused("1:", "'' is not a group number");
    assert_user_refused(":1", "'' is not a user number");
    assert_user_refused("root:root", "'root' is not a user number");
    assert_user_refused("1:2:3", "'2:3' is not a group number");
    assert_user_refused("-1:0", "'-1' is not a user number");
    assert_user_refused("4294967296:0", "user number '4294967296' is out of range");
    assert_user_refused("0:4294967296", "group number '4294967296' is out of range");
}

static void test_lists_of_numbers(void **state)
{
    struct error err = {0};
    uint32_t *values = NULL;
    size_t count = 77;

    assert_true(grammar_uint_list(TEXTS("3, 1", "4294967295"), 2, &values, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(values[0], 3);
    assert_int_equal(values[1], 1);
    assert_true(values[2] == UINT32_MAX);
    free(values);
    assert_true(grammar_uint_list(TEXTS("3,1,3", "0,1,2"), 2, &values, &count, &err));
    assert_int_equal(count, 4);
    assert_memory_equal(values, ((const uint32_t[]){3, 1, 0, 2}), 4 * sizeof(*values));
    free(values);
    assert_true(grammar_uint_list(NULL, 0, &values, &count, &err));
    assert_null(values);
    assert_int_equal(count, 0);
    assert_false(grammar_uint_list(TEXTS("1,"), 1, &values, &count, &err));
    assert_says(&err, "empty item in '1,'");
    assert_false(grammar_uint_list(TEXTS("1", "a"), 2, &values, &count, &err));
    assert_says(&err, "'a' is not a number");
    assert_false(grammar_uint_list(TEXTS("0-3"), 1, &values, &count, &err));
    assert_says(&err, "'0-3' is not a number");
    assert_false(grammar_uint_list(TEXTS("4294967296"), 1, &values, &count, &err));
    assert_says(&err, "out of range");
    assert_null(values);
}

static void test_devices(void **state)
{
    struct error err = {0};
    enum gpu_mode mode = GPU_NONE;
    uint32_t *devices = NULL;
    size_t count = 77;

    assert_true(grammar_gpu(" All ", &mode, &devices, &count, &err));
    assert_int_equal(mode, GPU_ALL);
    assert_int_equal(count, 0);
    assert_true(grammar_gpu("2, 0", &mode, &devices, &count, &err));
    assert_int_equal(mode, GPU_LIST);
    assert_int_equal(count, 2);
    assert_int_equal(devices[0], 2);
    assert_int_equal(devices[1], 0);
    free(devices);

    static const char *const bad[] = {"", "none", "all,0", "0,all", "-1", "0,", "al"};
    for (size_t i = 0; i < TEXT_COUNT(bad); i++) {
        mode = GPU_NONE;
        assert_false(grammar_gpu(bad[i], &mode, &devices, &count, &err));
        assert_says(&err, "\"all\" or a comma list");
        assert_int_equal(mode, GPU_NONE);
    }
}

static void assert_number_refused(const char *text, uint32_t minimum, uint32_t maximum,
                                  const char *reason)
{
    struct error err = {0};
    uint32_t value = 77;

    if (grammar_uint32(text, minimum, maximum, &value, &err))
        fail_msg("accepted: %s", text);
    assert_says(&err, reason);
    assert_int_equal(value, 77);
}

static void test_numbers_within_bounds(void **state)
{
    uint32_t value = 77;

    assert_true(grammar_uint32("1", 1, 100, &value, NULL));
    assert_int_equal(value, 1);
    assert_true(grammar_uint32("100", 1, 100, &value, NULL));
    assert_int_equal(value, 100);
    assert_true(grammar_uint32("4294967295", 0, UINT32_MAX, &value, NULL));
    assert_true(value == UINT32_MAX);
    assert_number_refused("0", 1, 100, "number '0' is out of range: it is 1 to 100");
    assert_number_refused("101", 1, 100, "out of range: it is 1 to 100");
    assert_number_refused("4294967296", 0, UINT32_MAX, "'4294967296'");
    assert_number_refused("", 0, 9, "'' is not a number");
    assert_number_refused(" 1", 0, 9, "' 1' is not a number");
    assert_number_refused("1 ", 0, 9, "not a number");
    assert_number_refused("-1", 0, 9, "'-1' is not a number");
    assert_number_refused("0x1", 0, 9, "not a number");
}

/* ---- Environment and names --------------------------------------------------------------------- */

static void test_variables(void **state)
{
    struct error err = {0};
    size_t length = 77;

    assert_true(grammar_env("PATH=/bin=x", &length, &err));
    assert_int_equal(length, 4);
    assert_true(grammar_env("A=", &length, &err));
    assert_int_equal(length, 1);
    assert_true(grammar_env(" B =\n", &length, &err));
    assert_int_equal(length, 3);
    assert_false(grammar_env("NOTHING", &length, &err));
    assert_says(&err, "KEY=VALUE");
    assert_says(&err, "'NOTHING'");
    assert_false(grammar_env("=x", &length, &err));
    assert_says(&err, "KEY=VALUE, found '=x'");
    assert_says(&err, "empty");
    assert_false(grammar_env("", &length, &err));
    assert_says(&err, "KEY=VALUE");
}

static void assert_name_refused(const char *text, const char *reason)
{
    struct error err = {0};

    if (grammar_name(text, &err))
        fail_msg("accepted: %s", text);
    assert_says(&err, reason);
}

static void test_names(void **state)
{
    static const char *const good[] = {"a",        "web-1",      "...", ".hidden",
                                       "\xc3\xa4", "a:b*?'\"\\", "-x"};
    char longest[66];

    for (size_t i = 0; i < TEXT_COUNT(good); i++)
        assert_true(grammar_name(good[i], NULL));
    memset(longest, 'n', sizeof(longest));
    longest[64] = '\0';
    assert_true(grammar_name(longest, NULL));
    longest[64] = 'n';
    longest[65] = '\0';
    assert_name_refused(longest, "at most 64 bytes");
    assert_name_refused("", "must not be empty");
    assert_name_refused(".", "must not be '.' or '..'");
    assert_name_refused("..", "must not be '.' or '..'");
    assert_name_refused("a/b", "'a/b' must not contain '/'");
    assert_name_refused("a b", "must not contain whitespace or control characters");
    assert_name_refused("a\n", "'a\\n' must not contain whitespace or control characters");
    assert_name_refused("\x7f", "must not contain whitespace or control characters");
    assert_name_refused("\x01", "must not contain whitespace or control characters");
    assert_name_refused("a\xff", "not UTF-8");
    /* U+0085, U+202E, U+200B: what a terminal obeys, and what another name could look like. */
    assert_name_refused("a\xc2\x85z", "'a\\xc2\\x85z' must not contain control characters");
    assert_name_refused("a\xe2\x80\xaez", "hide or reorder text");
    assert_name_refused("a\xe2\x80\x8bz", "hide or reorder text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_sizes),
        cmocka_unit_test(test_sizes_never_wrap),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_zero_where_it_has_a_meaning),
        cmocka_unit_test(test_bad_durations),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_any_port),
        cmocka_unit_test(test_bad_ports),
        cmocka_unit_test(test_long_port_lists_are_read),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_bad_users),
        cmocka_unit_test(test_lists_of_numbers),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_numbers_within_bounds),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
