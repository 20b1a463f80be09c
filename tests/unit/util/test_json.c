/* The JSON writer (util/json.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/json.h"

#include <math.h>
#include <string.h>

static void an_object_on_one_line(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_object_begin(&json);
    json_int_member(&json, "low", INT64_MIN);
    json_key(&json, "high");
    json_uint(&json, UINT64_MAX);
    json_bool_member(&json, "yes", true);
    json_key(&json, "list");
    json_array_begin(&json);
    json_int(&json, 1);
    json_null(&json);
    json_string(&json, NULL);
    json_double(&json, 1.5, 2);
    json_array_end(&json);
    json_key(&json, "empty");
    json_object_begin(&json);
    json_object_end(&json);
    json_object_end(&json);
    assert_false(buffer_failed(&out));
    assert_string_equal(buffer_text(&out),
                        "{\"low\":-9223372036854775808,\"high\":18446744073709551615,\"yes\":true,"
                        "\"list\":[1,null,null,1.50],\"empty\":{}}");
}

static void an_indented_object(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 2);
    json_object_begin(&json);
    json_key(&json, "a");
    json_array_begin(&json);
    json_int(&json, 1);
    json_int(&json, 2);
    json_array_end(&json);
    json_key(&json, "b");
    json_array_begin(&json);
    json_array_end(&json);
    json_object_end(&json);
    assert_string_equal(buffer_text(&out), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
}

static void assert_string(const char *bytes, size_t size, const char *expected)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    json_init(&json, &out, 0);
    json_bytes(&json, bytes, size);
    assert_string_equal(buffer_text(&out), expected);
}

static void any_bytes_leave_as_a_valid_string(void **state)
{
    (void)state;
    assert_string("q\"b\\s/", 6, "\"q\\\"b\\\\s/\"");
    assert_string("\n\t\r\x01\x7f", 5, "\"\\n\\t\\r\\u0001\\u007f\"");
    assert_string("a\0b", 3, "\"a\\u0000b\"");
    assert_string("\xe2\x82\xac", 3, "\"\xe2\x82\xac\"");
    assert_string("\xe2\x82", 2, "\"\\u00e2\\u0082\"");
    assert_string("\xff", 1, "\"\\u00ff\"");
}

static void bytes_that_are_not_utf8_keep_an_exact_copy(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_object_begin(&json);
    json_string_member(&json, "good", "caf\xc3\xa9");
    json_string_member(&json, "none", NULL);
    json_string_member(&json, "one", "\xff");
    json_string_member(&json, "two", "\xff\xfe");
    json_string_member(&json, "three", "\xff\xfe\xfd");
    json_object_end(&json);
    assert_string_equal(buffer_text(&out),
                        "{\"good\":\"caf\xc3\xa9\",\"none\":null,"
                        "\"one\":\"\\u00ff\",\"one_b64\":\"/w==\","
                        "\"two\":\"\\u00ff\\u00fe\",\"two_b64\":\"//4=\","
                        "\"three\":\"\\u00ff\\u00fe\\u00fd\",\"three_b64\":\"//79\"}");
}

static void what_drives_a_terminal_or_turns_text_is_escaped(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_string(&json, "\xc2\x80\xc2\x9b\xc2\x9f|\xe2\x80\x8e\xe2\x80\x8f|"
                       "\xe2\x80\xaa\xe2\x80\xae|\xe2\x81\xa6\xe2\x81\xa9");
    assert_string_equal(buffer_text(&out),
                        "\"\\u0080\\u009b\\u009f|\\u200e\\u200f|\\u202a\\u202e|\\u2066\\u2069\"");
}

static void their_neighbours_stay_as_they_are(void **state)
{
    /* U+00A0, U+200D, U+2010, U+2029, U+202F, U+2065, U+206A */
    static const char text[] = "\xc2\xa0\xe2\x80\x8d\xe2\x80\x90\xe2\x80\xa9\xe2\x80\xaf"
                               "\xe2\x81\xa5\xe2\x81\xaa";
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_bytes(&json, text, sizeof(text) - 1);
    assert_int_equal(out.length, sizeof(text) - 1 + 2);
    assert_memory_equal(out.data + 1, text, sizeof(text) - 1);
}

static void a_number_that_json_lacks_is_null(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_array_begin(&json);
    json_double(&json, (double)INFINITY, 1);
    json_double(&json, (double)NAN, 1);
    json_double(&json, -0.25, 3);
    json_array_end(&json);
    assert_string_equal(buffer_text(&out), "[null,null,-0.250]");
}

static void nesting_beyond_the_limit_fails_the_buffer(void **state)
{
    CLEANUP_BUFFER struct buffer fits = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &fits, 0);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_begin(&json);
    assert_false(buffer_failed(&fits));

    json_init(&json, &out, 0);
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        json_array_begin(&json);
    assert_true(buffer_failed(&out));
}

static void closing_more_than_was_opened_fails_the_buffer(void **state)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    (void)state;
    json_init(&json, &out, 0);
    json_array_end(&json);
    assert_true(buffer_failed(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_on_one_line),
        cmocka_unit_test(an_indented_object),
        cmocka_unit_test(any_bytes_leave_as_a_valid_string),
        cmocka_unit_test(bytes_that_are_not_utf8_keep_an_exact_copy),
        cmocka_unit_test(what_drives_a_terminal_or_turns_text_is_escaped),
        cmocka_unit_test(their_neighbours_stay_as_they_are),
        cmocka_unit_test(a_number_that_json_lacks_is_null),
        cmocka_unit_test(nesting_beyond_the_limit_fails_the_buffer),
        cmocka_unit_test(closing_more_than_was_opened_fails_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
