/*
 * The TOML reader. Each case is one line: this text gives this tree (in a compact notation of the
 * tests, see render()), or this text is refused at this place for this reason. toml_corpus.py runs the
 * public test suite in addition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/toml.h"
#include "util/fd.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Helpers ----------------------------------------------------------------------------------- */

static void render_time(struct buffer *out, const struct toml_value *value)
{
    const struct toml_datetime *time = &value->datetime;

    if (value->type != TOML_LOCAL_TIME)
        buffer_printf(out, "%04d-%02d-%02d", time->year, time->month, time->day);
    if (value->type != TOML_LOCAL_DATE)
        buffer_printf(out, "T%02d:%02d:%02d.%09" PRIu32, time->hour, time->minute, time->second,
                      time->nanosecond);
    if (value->type == TOML_OFFSET_DATETIME)
        buffer_printf(out, "%+d", time->offset_minutes);
}

/* {key=value key=value} [item item] "text" 1 1.5 true 2000-01-01T00:00:00.000000000+0 */
static void render(struct buffer *out, const struct toml_value *value)
{
    switch (value->type) {
    case TOML_STRING:
        toml_write_string(out, value->string.data, value->string.length);
        break;
    case TOML_INTEGER:
        buffer_printf(out, "%" PRId64, value->integer);
        break;
    case TOML_FLOAT:
        buffer_printf(out, "%#.16g", value->number);
        break;
    case TOML_BOOLEAN:
        buffer_append_text(out, value->boolean ? "true" : "false");
        break;
    case TOML_ARRAY:
        buffer_append_char(out, '[');
        for (size_t i = 0; i < value->array.count; i++) {
            if (i > 0)
                buffer_append_char(out, ' ');
            render(out, value->array.items[i]);
        }
        buffer_append_char(out, ']');
        break;
    case TOML_TABLE:
        buffer_append_char(out, '{');
        for (size_t i = 0; i < value->table.count; i++) {
            if (i > 0)
                buffer_append_char(out, ' ');
            buffer_append(out, value->table.members[i].key, value->table.members[i].key_length);
            buffer_append_char(out, '=');
            render(out, value->table.members[i].value);
        }
        buffer_append_char(out, '}');
        break;
    default:
        render_time(out, value);
    }
}

static struct toml_value *parse_bytes(const char *text, size_t length)
{
    struct error err = {0};
    struct toml_value *root = toml_parse(text, length, &err);

    if (root == NULL)
        fail_msg("refused: %s\n%s", err.text, text);
    return root;
}

static struct toml_value *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void assert_tree(const char *text, const char *expected)
{
    struct buffer out = BUFFER_INIT;
    struct toml_value *root = parse(text);

    render(&out, root);
    assert_string_equal(buffer_text(&out), expected);
    buffer_free(&out);
    toml_free(root);
}

/* The value alone, as in "v = VALUE". */
static void assert_value(const char *value, const char *expected)
{
    struct buffer text = BUFFER_INIT;
    struct buffer tree = BUFFER_INIT;

    buffer_printf(&text, "v = %s", value);
    buffer_printf(&tree, "{v=%s}", expected);
    assert_tree(buffer_text(&text), buffer_text(&tree));
    buffer_free(&text);
    buffer_free(&tree);
}

static double float_of(const char *value)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, "v = %s", value);
    struct toml_value *root = parse(buffer_text(&text));
    const struct toml_value *found = toml_get(root, "v");
    assert_int_equal(found->type, TOML_FLOAT);
    double number = found->number;
    toml_free(root);
    buffer_free(&text);
    return number;
}

static void assert_bytes_refused(const char *text, size_t length, const char *place,
                                 const char *reason)
{
    struct error err = {0};
    struct toml_value *root = toml_parse(text, length, &err);

    if (root != NULL)
        fail_msg("accepted: %s", text);
    assert_int_equal(err.kind, ERROR_CONFIG);
    if (strncmp(err.text, place, strlen(place)) != 0 ||
        strncmp(err.text + strlen(place), ": ", 2) != 0)
        fail_msg("\"%s\" is not at %s for: %s", err.text, place, text);
    if (strstr(err.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\" for: %s", err.text, reason, text);
}

static void assert_refused(const char *text, const char *place, const char *reason)
{
    assert_bytes_refused(text, strlen(text), place, reason);
}

static void assert_value_refused(const char *value, const char *reason)
{
    struct buffer text = BUFFER_INIT;

    buffer_printf(&text, "v = %s", value);
    assert_refused(buffer_text(&text), "1:5", reason);
    buffer_free(&text);
}

static void repeat(struct buffer *out, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_append_text(out, text);
}

/* ---- Documents, lines, comments ---------------------------------------------------------------- */

static void test_empty_documents(void **state)
{
    assert_tree("", "{}");
    assert_tree("\n \t\r\n", "{}");
    assert_tree("# nothing", "{}");
    assert_tree("\xef\xbb\xbf", "{}");
}

static void test_comments_and_line_ends(void **state)
{
    assert_tree("a = 1 # one\r\n\t# two \xc3\xa4\t\r\nb=2", "{a=1 b=2}");
    assert_tree("a = '#' # '\n[t] # x\n", "{a=\"#\" t={}}");
    assert_refused("a = 1\rb = 2", "1:6", "found '\\r'");
    assert_refused("# a\rb\n", "1:4", "carriage return");
    assert_refused("# \x7f\n", "1:3", "0x7f");
    assert_refused("#\x01\n", "1:2", "0x01");
    assert_bytes_refused("# \0\n", 4, "1:3", "0x00");
    assert_bytes_refused("a = 1\0", 6, "1:6", "'\\x00'");
    assert_refused("a = 1 b = 2", "1:7", "end of the line");
    assert_refused("[a] b = 2", "1:5", "end of the line");
    assert_refused("\fa = 1", "1:1", "'\\x0c'");
    assert_refused("a = 1\xc2\xa0", "1:6", "end of the line");
}

static void test_text_that_is_not_utf8(void **state)
{
    assert_refused("a = 1\nb = '\xff'", "2:6", "0xff is not UTF-8");
    assert_refused("# \xc3", "1:3", "UTF-8");
    assert_refused("a = '\xed\xa0\x80'", "1:6", "UTF-8"); /* a surrogate */
    assert_refused("a = '\xc0\x80'", "1:6", "UTF-8");     /* overlong */
    assert_refused("a = '\xf4\x90\x80\x80'", "1:6", "UTF-8");
    assert_bytes_refused("\xff\xfe"
                         "a\0",
                         4, "1:1", "UTF-8");
    assert_refused("\xef\xbb\xbf\xef\xbb\xbf", "1:1", "a key");
    assert_refused("a = 1\n\xef\xbb\xbf", "2:1", "a key");
    assert_tree("\xef\xbb\xbf"
                "a = 1",
                "{a=1}");
}

static void test_columns_count_characters(void **state)
{
    assert_refused("a = '\xc3\xa4\xe2\x82\xac' x", "1:10", "'x'");
    assert_refused("\n\r\na = '''\n\n''' x", "5:5", "'x'");
}

/* ---- Keys -------------------------------------------------------------------------------------- */

static void test_forms_of_keys(void **state)
{
    assert_tree("a-_Z9 = 1\n1234 = 2\n-=3", "{a-_Z9=1 1234=2 -=3}");
    assert_tree("\"a b\" = 1\n'c\\d' = 2\n\"\\u00e4\" = 3", "{a b=1 c\\d=2 \xc3\xa4=3}");
    assert_tree("\"\" = 1\n[\"x\"]\n'' = 2", "{=1 x={=2}}");
    assert_tree("a.b.c = 1\na . \"b\".'d' = 2", "{a={b={c=1 d=2}}}");
    assert_tree("3.14159 = \"pi\"", "{3={14159=\"pi\"}}");
    assert_tree("true = 1\ninf = 2", "{true=1 inf=2}");
    assert_refused("= 1", "1:1", "a key");
    assert_refused("a. = 1", "1:4", "a key");
    assert_refused(".a = 1", "1:1", "a key");
    assert_refused("a..b = 1", "1:3", "a key");
    assert_refused("a b = 1", "1:3", "'=' after the key");
    assert_refused("a\n= 1", "1:2", "the end of the line");
    assert_refused("a", "1:2", "the end of the file");
    assert_refused("a =", "1:4", "a value");
    assert_refused("a = \n1", "1:5", "a value");
    assert_refused("\xc3\xa4 = 1", "1:1", "'\xc3\xa4'");
    assert_refused("\"\"\"a\"\"\" = 1", "1:1", "multi-line");
    assert_refused("\"a\nb\" = 1", "1:1", "on its line");
}

static void test_keys_with_nul_keep_their_length(void **state)
{
    struct toml_value *root = parse("\"a\\u0000b\" = 1");

    assert_int_equal(root->table.members[0].key_length, 3);
    assert_memory_equal(root->table.members[0].key, "a\0b", 4);
    assert_null(toml_get(root, "a"));
    toml_free(root);
}

static void test_duplicate_keys(void **state)
{
    assert_refused("a = 1\nb = 2\na = 3", "3:1", "'a' is defined already (line 1)");
    assert_refused("a = 1\n\"a\" = 2", "2:1", "defined already");
    assert_refused("a = 1\n'\\u0061' = 2\n\"\\u0061\" = 3", "3:1", "'a' is defined already");
    assert_refused("a.b = 1\na.b = 2", "2:3", "'b' is defined already");
    assert_refused("a = 1\na.b = 2", "2:1", "'a' is a value already");
    assert_refused("a.b = 1\na = 2", "2:1", "'a' is defined already");
    assert_refused("[t]\na = 1\na = 2", "3:1", "defined already (line 2)");
    assert_refused("t = {a = 1, a = 2}", "1:13", "defined already");
}

/* ---- Strings ----------------------------------------------------------------------------------- */

static void test_basic_strings(void **state)
{
    assert_value("\"\"", "\"\"");
    assert_value("\"a\tb \xe2\x82\xac # ' [\"", "\"a\\tb \xe2\x82\xac # ' [\"");
    assert_value("\"\\b\\t\\n\\f\\r\\\"\\\\\"", "\"\\b\\t\\n\\f\\r\\\"\\\\\"");
    assert_value("\"\\u0041\\u00e4\\u20AC\\U0001F600\"",
                 "\"A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    assert_value("\"\\uD7FF\\uE000\\U0010FFFF\"", "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"");
    assert_value("\"\\u007F\\u0001\\u0000\"", "\"\\u007F\\u0001\\u0000\"");
    assert_value_refused("\"a", "without an end");
    assert_value_refused("\"a\nb\"", "without an end on its line");
    assert_value_refused("\"a\\", "without an end");
}

static void test_bad_escapes(void **state)
{
    assert_value_refused("\"\\", "without an end");
    assert_refused("v = \"ab\\q\"", "1:8", "unknown escape: 'q'");
    assert_refused("v = \"\\x41\"", "1:6", "unknown escape");
    assert_refused("v = \"\\e\"", "1:6", "unknown escape");
    assert_refused("v = \"\\ \"", "1:6", "unknown escape");
    assert_value_refused("\"\\\n\"", "without an end on its line");
    assert_refused("v = \"\\u12\"", "1:6", "4 hexadecimal digits");
    assert_refused("v = \"\\U1234567\"", "1:6", "8 hexadecimal digits");
    assert_refused("v = \"\\uD800\"", "1:6", "U+D800");
    assert_refused("v = \"\\uDFFF\"", "1:6", "U+DFFF");
    assert_refused("v = \"\\U00110000\"", "1:6", "U+110000");
    assert_refused("v = \"\\UFFFFFFFF\"", "1:6", "U+FFFFFFFF");
}

static void test_literal_strings(void **state)
{
    assert_value("''", "\"\"");
    assert_value("'C:\\n\\\"x\"'", "\"C:\\\\n\\\\\\\"x\\\"\"");
    assert_value_refused("'a", "without an end");
    assert_value_refused("'a\n'", "without an end on its line");
}

static void test_multi_line_strings(void **state)
{
    assert_value("\"\"\"\"\"\"", "\"\"");
    assert_value("\"\"\"\na\nb\"\"\"", "\"a\\nb\"");
    assert_value("\"\"\"\r\na\r\nb\"\"\"", "\"a\\nb\"");
    assert_value("\"\"\"\n\na\"\"\"", "\"\\na\"");
    assert_value("\"\"\"a \\\n  \n\t b \\  \r\n c\"\"\"", "\"a b c\"");
    assert_value("\"\"\"\\\n  \"\"\"", "\"\"");
    assert_value("\"\"\"a\\\\\nb\"\"\"", "\"a\\\\\\nb\"");
    assert_value("\"\"\"\"a\"\" \"\"\"\"\"", "\"\\\"a\\\"\\\" \\\"\\\"\"");
    assert_value("\"\"\"\"\"\"\"", "\"\\\"\"");
    assert_value("\"\"\"\"\"\"\"\"", "\"\\\"\\\"\"");
    assert_value("\"\"\"\\\"\"\"\\\"\"\"\"", "\"\\\"\\\"\\\"\\\"\"");
    assert_value("'''\na\\\n'b''\n'''", "\"a\\\\\\n'b''\\n\"");
    assert_value("'''''a'''''", "\"''a''\"");
    assert_value("''''''", "\"\"");
    assert_value_refused("\"\"\"a", "without an end");
    assert_value_refused("\"\"\"a\"\"", "without an end");
    assert_value_refused("'''a''", "without an end");
    assert_refused("v = \"\"\"a\"\"\"\"\"\"", "1:14", "end of the line");
    assert_refused("v = '''a''''''", "1:14", "end of the line");
    assert_refused("v = \"\"\"\na \\ b\"\"\"", "2:3", "joins lines");
    assert_refused("v = \"\"\"a\rb\"\"\"", "1:9", "carriage return");
    assert_refused("v = '''\x01'''", "1:8", "0x01");
}

static void test_control_characters_in_strings(void **state)
{
    static const char quotes[] = "\"'";

    for (int byte = 1; byte < 0x20; byte++) {
        for (size_t i = 0; i < 2; i++) {
            char text[] = {'v', '=', quotes[i], (char)byte, quotes[i], '\0'};
            if (byte == '\t')
                assert_tree(text, "{v=\"\\t\"}");
            else
                assert_refused(text, byte == '\n' ? "1:3" : "1:4", "");
        }
    }
    assert_refused("v = \"\x7f\"", "1:6", "0x7f");
    assert_bytes_refused("v = '\0'", 7, "1:6", "0x00");
}

static void test_written_strings_are_read_back(void **state)
{
    char every[2 * 127 + 4];
    size_t length = 0;
    struct buffer text = BUFFER_INIT;

    for (int byte = 0; byte < 0x80; byte++)
        every[length++] = (char)byte;
    memcpy(every + length, "\xc3\xa4", 2);
    length += 2;
    buffer_append_text(&text, "v = ");
    toml_write_string(&text, every, length);
    assert_null(memchr(text.data, 0x7f, text.length));
    assert_null(memchr(text.data, '\n', text.length));
    struct toml_value *root = parse_bytes(text.data, text.length);
    const struct toml_value *value = toml_get(root, "v");
    assert_int_equal(value->string.length, length);
    assert_memory_equal(value->string.data, every, length);
    assert_int_equal(value->string.data[length], '\0');
    toml_free(root);
    buffer_free(&text);
}

/* ---- Numbers and booleans ---------------------------------------------------------------------- */

static void test_integers(void **state)
{
    assert_value("0", "0");
    assert_value("+0", "0");
    assert_value("-0", "0");
    assert_value("+99", "99");
    assert_value("-17", "-17");
    assert_value("1_000_0", "10000");
    assert_value("9223372036854775807", "9223372036854775807");
    assert_value("-9223372036854775808", "-9223372036854775808");
    assert_value("0xDEAD_beef", "3735928559");
    assert_value("0x00ff", "255");
    assert_value("0o0755", "493");
    assert_value("0b1101", "13");
    assert_value("0x7fffffffffffffff", "9223372036854775807");
}

static void test_bad_integers(void **state)
{
    static const char *const bad[] = {
        "01", "+01", "-00", "0_1",   "1_",   "1__0", "+",    "-",    "++1",  "0x",   "0o",
        "0b", "0xg", "0o8", "0b2",   "+0x1", "-0b1", "0x_1", "0x1_", "0X1",  "0O7",  "0B1",
        "1a", "_1",  "1,0", "0x1.0", "1-1",  "1+1",  "0x-1", "0b1_", "0o7_", "1e_1",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error err = {0};
        CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
        buffer_printf(&text, "v = %s", bad[i]);
        assert_null(toml_parse(text.data, text.length, &err));
        assert_non_null(strstr(err.text, "1:"));
    }
    assert_value_refused("9223372036854775808", "out of range");
    assert_value_refused("-9223372036854775809", "out of range");
    assert_value_refused("0x8000000000000000", "out of range");
    assert_value_refused("0xffffffffffffffffff", "out of range");
    assert_value_refused("99999999999999999999999999", "'99999999999999999999999999'");
}

static void test_floats(void **state)
{
    assert_true(float_of("1.0") == 1.0);
    assert_true(float_of("+3.1415") == 3.1415);
    assert_true(float_of("-0.01") == -0.01);
    assert_true(float_of("5e+22") == 5e22);
    assert_true(float_of("1e06") == 1e6);
    assert_true(float_of("-2E-2") == -2e-2);
    assert_true(float_of("6.626e-34") == 6.626e-34);
    assert_true(float_of("224_617.445_991_228") == 224617.445991228);
    assert_true(float_of("1e1_0") == 1e10);
    assert_true(float_of("0.1") == 0.1);
    assert_true(float_of("123456789012345678901234567890.5") == 123456789012345678901234567890.5);
    assert_true(float_of("2.2250738585072014e-308") == 2.2250738585072014e-308);
    assert_true(float_of("4.9e-324") > 0);
    assert_true(float_of("1e-99999999999999999999") == 0);
    assert_true(isinf(float_of("1e99999999999999999999")));
    assert_true(signbit(float_of("-0.0")) != 0);
    assert_true(float_of("-0e0") == 0);
}

static void test_infinity_and_not_a_number(void **state)
{
    assert_true(float_of("inf") == (double)INFINITY);
    assert_true(float_of("+inf") == (double)INFINITY);
    assert_true(float_of("-inf") == (double)-INFINITY);
    assert_true(isnan(float_of("nan")));
    assert_true(isnan(float_of("+nan")));
    assert_true(isnan(float_of("-nan")));
    assert_value_refused("Inf", "needs quotes");
    assert_value_refused("NaN", "needs quotes");
    assert_value_refused("infinity", "needs quotes");
    assert_value_refused("+in", "not a number");
}

static void test_bad_floats(void **state)
{
    static const char *const bad[] = {
        "1.",   ".1",      "+.1",  "1.e1",  "1._0",  "1_.0",  "1.0_",  "1e",   "1e+",  "1e_1",
        "1e1_", "1.0e1.0", "01.0", "-01e1", "1.2.3", "1e1e1", "0x1p3", "1.0f", "1..0", "00.1",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_value_refused(bad[i], "");
}

static void test_booleans(void **state)
{
    assert_value("true", "true");
    assert_value("false", "false");
    assert_value_refused("True", "'True': not a value; text needs quotes");
    assert_value_refused("truee", "needs quotes");
    assert_value_refused("yes", "needs quotes");
    assert_value_refused("=", "a value");
}

/* ---- Dates and times --------------------------------------------------------------------------- */

static void test_dates_and_times(void **state)
{
    assert_value("1979-05-27T07:32:00Z", "1979-05-27T07:32:00.000000000+0");
    assert_value("1979-05-27t00:32:00.999999-07:30", "1979-05-27T00:32:00.999999000-450");
    assert_value("1979-05-27 07:32:00z # x", "1979-05-27T07:32:00.000000000+0");
    assert_value("1979-05-27T23:59:60+23:59", "1979-05-27T23:59:60.000000000+1439");
    assert_value("1979-05-27T07:32:00", "1979-05-27T07:32:00.000000000");
    assert_value("1979-05-27 07:32:00.5", "1979-05-27T07:32:00.500000000");
    assert_value("1979-05-27", "1979-05-27");
    assert_value("1979-05-27 ", "1979-05-27");
    assert_value("07:32:00", "T07:32:00.000000000");
    assert_value("00:32:00.123456789999", "T00:32:00.123456789");
    assert_value("[1979-05-27,07:32:00]", "[1979-05-27 T07:32:00.000000000]");
    assert_value("2000-02-29", "2000-02-29");
    assert_value("2024-02-29", "2024-02-29");
}

static void test_bad_dates_and_times(void **state)
{
    assert_value_refused("1979-13-01", "month out of range");
    assert_value_refused("1979-00-01", "month out of range");
    assert_value_refused("1979-04-31", "no such day");
    assert_value_refused("1979-04-00", "no such day");
    assert_value_refused("1979-02-29", "no such day");
    assert_value_refused("1900-02-29", "no such day");
    assert_value_refused("24:00:00", "hour out of range");
    assert_value_refused("00:60:00", "minute out of range");
    assert_value_refused("00:00:61", "second out of range");
    assert_value_refused("1979-01-01T25:00:00Z", "hour out of range");
    assert_value_refused("1979-01-01T00:00:00+24:00", "offset out of range");
    assert_value_refused("1979-01-01T00:00:00-00:60", "offset out of range");
    assert_value_refused("1979-1-01", "not a date");
    assert_value_refused("1979-01-1", "not a date");
    assert_value_refused("1979-01-01T", "not a date and time");
    assert_value_refused("1979-01-01T00:00", "not a date and time");
    assert_refused("v = 1979-01-01  00:00:00", "1:17", "end of the line");
    assert_value_refused("1979-01-01 1", "not a date and time");
    assert_value_refused("1979-01-01Z", "not a date and time");
    assert_value_refused("1979-01-01T00:00:00.Z", "not a date and time");
    assert_value_refused("1979-01-01T00:00:00+0100", "offset");
    assert_value_refused("1979-01-01T00:00:00+01", "offset");
    assert_value_refused("1979-01-01T00:00:00ZZ", "offset");
    assert_value_refused("00:00", "not a time");
    assert_value_refused("0:00:00", "");
    assert_value_refused("00:00:00Z", "not a time");
    assert_value_refused("00:00:00.", "not a time");
    assert_value_refused("10000-01-01", "");
}

/* ---- Arrays and inline tables ------------------------------------------------------------------ */

static void test_arrays(void **state)
{
    assert_value("[]", "[]");
    assert_value("[ # c\n\r\n\t]", "[]");
    assert_value("[1, 'a', 2.0e0, [true], {b = 1}]", "[1 \"a\" 2.000000000000000 [true] {b=1}]");
    assert_value("[\n1\n,\n2 # two\n,\n# end\n]", "[1 2]");
    assert_value("[1,2,]", "[1 2]");
    assert_value("[[],[[]]]", "[[] [[]]]");
    assert_refused("v = [1 2]", "1:8", "',' or ']'");
    assert_refused("v = [,]", "1:6", "a value");
    assert_refused("v = [1,,2]", "1:8", "a value");
    assert_refused("v = [1", "1:7", "the end of the file");
    assert_refused("v = [", "1:6", "the end of the file");
    assert_refused("v = [1,\n#\x01\n]", "2:2", "0x01");
    assert_refused("v = []]", "1:7", "end of the line");
}

static void test_inline_tables(void **state)
{
    assert_value("{}", "{}");
    assert_value("{ \t}", "{}");
    assert_value("{a = 1,b.c = 2 , b.d = [1,\n2]}", "{a=1 b={c=2 d=[1 2]}}");
    assert_value("{a = {b = {}}}", "{a={b={}}}");
    assert_value("{a = '''\nx\ny'''}", "{a=\"x\\ny\"}");
    assert_refused("v = {a = 1,}", "1:12", "a key");
    assert_refused("v = {a = 1\n}", "1:11", "one line");
    assert_refused("v = {\n}", "1:6", "a key");
    assert_refused("v = {a = 1 b = 2}", "1:12", "',' or '}'");
    assert_refused("v = {a}", "1:7", "'='");
    assert_refused("v = {a = 1", "1:11", "the end of the file");
    assert_refused("v = {,}", "1:6", "a key");
}

static void test_inline_tables_are_complete(void **state)
{
    assert_refused("v = {a = 1}\nv.b = 2", "2:1", "inline table");
    assert_refused("v = {a = 1}\n[v]", "2:2", "defined already");
    assert_refused("v = {a = 1}\n[v.b]", "2:2", "inline table");
    assert_refused("v = {a.b = 1}\n[v.a]", "2:2", "inline table");
    assert_refused("[v]\na = {}\n[v.a.b]", "3:4", "inline table");
    assert_refused("v = {a = {b = 1}, a.c = 2}", "1:19", "inline table");
    assert_refused("v = {a.b = 1, a = 2}", "1:15", "defined already");
    assert_refused("v = [{a = 1}]\n[[v]]", "2:3", "not as an array of tables");
    assert_refused("v = [{a = 1}]\n[v.b]", "2:2", "a value already");
    assert_refused("v = []\n[[v]]", "2:3", "not as an array of tables");
}

/* ---- Tables ------------------------------------------------------------------------------------ */

static void test_tables(void **state)
{
    assert_tree("[a]\nx = 1\n[ b . \"c d\" ]\ny = 2", "{a={x=1} b={c d={y=2}}}");
    assert_tree("[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3", "{a={b={c={x=1} z=3} y=2}}");
    assert_tree("[a]\n[a.b]\n", "{a={b={}}}");
    assert_tree("x = 1\n[a]", "{x=1 a={}}");
    assert_tree("['']\n[\"\".'']", "{={={}}}");
    assert_refused("[a]\n[a]", "2:2", "'a' is defined already (line 1)");
    assert_refused("[a.b]\n[a]\n[a.b]", "3:4", "'b' is defined already (line 1)");
    assert_refused("a = 1\n[a]", "2:2", "defined already");
    assert_refused("a = 1\n[a.b]", "2:2", "a value already");
    assert_refused("[]", "1:2", "a key");
    assert_refused("[a.]", "1:4", "a key");
    assert_refused("[.a]", "1:2", "a key");
    assert_refused("[a", "1:3", "']'");
    assert_refused("[a b]", "1:4", "']'");
    assert_refused("[a\n]", "1:3", "']'");
    assert_refused("[a]]", "1:4", "end of the line");
    assert_refused("[", "1:2", "a key");
}

static void test_arrays_of_tables(void **state)
{
    assert_tree("[[a]]\nx = 1\n[[a]]\n[[ a ]]\nx = 3", "{a=[{x=1} {} {x=3}]}");
    assert_tree("[[a]]\n[[a.b]]\nx = 1\n[[a.b]]\n[[a]]\n[a.c]\ny = 2\n[[a.b]]",
                "{a=[{b=[{x=1} {}]} {c={y=2} b=[{}]}]}");
    assert_tree("[[a.b]]\n[a]\nx = 1", "{a={b=[{}] x=1}}");
    assert_tree("[[a]]\nb.c = 1\n[[a]]\nb.c = 2", "{a=[{b={c=1}} {b={c=2}}]}");
    assert_refused("[a]\n[[a]]", "2:3", "not as an array of tables");
    assert_refused("[a.b]\n[[a]]", "2:3", "not as an array of tables");
    assert_refused("[[a]]\n[a]", "2:2", "defined already");
    assert_refused("[[a]]\n[a.b]\n[[a.b]]", "3:5", "not as an array of tables");
    assert_refused("[[a]]\n[a.b]\n[a.b]", "3:4", "defined already");
    assert_refused("[[a.b]]\n[a]\nb.y = 2", "3:1", "array of tables already");
    assert_refused("[[a]]\nx = 1\nx = 2", "3:1", "defined already");
    assert_refused("[[a]", "1:5", "']]'");
    assert_refused("[[a] ]", "1:5", "']]'");
    assert_refused("[ [a]]", "1:3", "a key");
    assert_refused("[[]]", "1:3", "a key");
}

static void test_dotted_keys_and_headers(void **state)
{
    assert_tree("[f]\na.b = 1\na.c.d = 2\n[f.a.t]\ns = 3", "{f={a={b=1 c={d=2} t={s=3}}}}");
    assert_tree("a.b.c = 1\n[a.b.d]\n[a.e]", "{a={b={c=1 d={}} e={}}}");
    assert_refused("a.b = 1\n[a]", "2:2", "'a' is defined already");
    assert_refused("[f]\na.b.c = 1\n[f.a]", "3:4", "defined already");
    assert_refused("[f]\na.b.c = 1\n[f.a.b]", "3:6", "defined already");
    assert_refused("[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "4:3", "header of its own");
    assert_refused("[a.b]\n[a]\nb.x = 1", "3:1", "header of its own");
    assert_refused("[a.b.c]\n[a]\nb.x = 1\n[a.b]", "4:4", "defined already");
    assert_refused("[a]\nb.c = 1\n[[a.b]]", "3:5", "not as an array of tables");
}

/* ---- Places, limits, size ---------------------------------------------------------------------- */

static void assert_place(const struct toml_value *value, unsigned line, unsigned column)
{
    assert_non_null(value);
    assert_int_equal(value->line, line);
    assert_int_equal(value->column, column);
}

static void test_values_and_keys_know_their_place(void **state)
{
    struct toml_value *root = parse("\xef\xbb\xbf"
                                    "a = [1,\n  'x']\n\n [t.u]\r\nk.l = true\n[[w]]\n");
    const struct toml_value *array = toml_get(root, "a");
    const struct toml_value *table = toml_get(root, "t");

    assert_place(root, 1, 1);
    assert_place(array, 1, 5);
    assert_place(array->array.items[0], 1, 6);
    assert_place(array->array.items[1], 2, 3);
    assert_place(toml_get(table, "u"), 4, 2);
    assert_place(toml_get(toml_get(table, "u"), "k"), 5, 1);
    assert_place(toml_get(toml_get(toml_get(table, "u"), "k"), "l"), 5, 7);
    assert_place(toml_get(root, "w")->array.items[0], 6, 1);
    assert_int_equal(root->table.members[1].line, 4);
    assert_int_equal(root->table.members[1].column, 3);
    assert_null(toml_get(root, "nothing"));
    toml_free(root);
}

static void test_an_error_object_is_not_needed(void **state)
{
    assert_null(toml_parse("a", 1, NULL));
    assert_null(toml_parse("\xff", 1, NULL));
    assert_string_equal(toml_type_name(TOML_OFFSET_DATETIME), "offset date-time");
}

/* `count` times `open`, then `close`, as the value of v. */
static void nest(struct buffer *text, const char *open, const char *close, size_t count)
{
    buffer_append_text(text, "v = ");
    repeat(text, open, count);
    repeat(text, close, count);
}

static void assert_depth_is_bounded(void (*build)(struct buffer *, size_t))
{
    CLEANUP_BUFFER struct buffer good = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer bad = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer huge = BUFFER_INIT;
    struct error err = {0};

    build(&good, TOML_DEPTH_MAX);
    toml_free(parse(buffer_text(&good)));
    build(&bad, TOML_DEPTH_MAX + 1);
    assert_null(toml_parse(bad.data, bad.length, &err));
    assert_non_null(strstr(err.text, "nested more than 64 deep"));
    build(&huge, 200000);
    assert_null(toml_parse(huge.data, huge.length, &err));
}

static void build_arrays(struct buffer *text, size_t depth)
{
    nest(text, "[", "]", depth);
}

static void build_inline_tables(struct buffer *text, size_t depth)
{
    buffer_append_text(text, "v = ");
    repeat(text, "{a=", depth - 1);
    buffer_append_text(text, "{}");
    repeat(text, "}", depth - 1);
}

static void build_dotted_key(struct buffer *text, size_t depth)
{
    repeat(text, "a.", depth);
    buffer_append_text(text, "a = 1");
}

static void build_header(struct buffer *text, size_t depth)
{
    buffer_append_char(text, '[');
    repeat(text, "a.", depth - 1);
    buffer_append_text(text, "a]");
}

/* Each [[…]] puts an array and a table around the next. */
static void build_table_arrays(struct buffer *text, size_t depth)
{
    for (size_t i = 0; i < depth && i <= TOML_DEPTH_MAX; i += 2) {
        buffer_append_text(text, "[[");
        repeat(text, "a.", i / 2);
        buffer_append_text(text, "a]]\n");
    }
}

static void test_depth_is_bounded(void **state)
{
    assert_depth_is_bounded(build_arrays);
    assert_depth_is_bounded(build_inline_tables);
    assert_depth_is_bounded(build_dotted_key);
    assert_depth_is_bounded(build_header);
    assert_depth_is_bounded(build_table_arrays);
}

/* A search through all earlier keys would take minutes. */
static void assert_read_quickly(const struct buffer *text, size_t count)
{
    clock_t start = clock();
    struct toml_value *root = parse_bytes(text->data, text->length);

    assert_int_equal(root->table.count, count);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
    toml_free(root);
}

static void test_large_tables_are_read_in_time(void **state)
{
    const unsigned count = 150000;
    CLEANUP_BUFFER struct buffer keys = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer headers = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer elements = BUFFER_INIT;
    struct error err = {0};

    buffer_append_text(&elements, "a = [");
    for (unsigned i = 0; i < count; i++) {
        buffer_printf(&keys, "k%u = 1\n", i);
        buffer_printf(&headers, "[k%u.x]\n", i);
        buffer_append_text(&elements, "{b=1},");
    }
    buffer_append_char(&elements, ']');
    assert_read_quickly(&keys, count);
    assert_read_quickly(&headers, count);
    assert_read_quickly(&elements, 1);

    buffer_append_text(&keys, "k77 = 2\n");
    assert_null(toml_parse(keys.data, keys.length, &err));
    assert_string_equal(err.text, "150001:1: 'k77' is defined already (line 78)");
}

static void test_long_strings(void **state)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    buffer_append_text(&text, "v = \"");
    repeat(&text, "\\n\xc3\xa4", 300000);
    buffer_append_char(&text, '"');
    struct toml_value *root = parse_bytes(text.data, text.length);
    assert_int_equal(toml_get(root, "v")->string.length, 900000);
    toml_free(root);
}

static void test_long_words_are_cut_in_messages(void **state)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct error err = {0};

    buffer_append_text(&text, "v = ");
    repeat(&text, "x", 100000);
    assert_null(toml_parse(text.data, text.length, &err));
    assert_non_null(strstr(err.text, "..."));
    assert_non_null(strstr(err.text, "needs quotes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_documents),
        cmocka_unit_test(test_comments_and_line_ends),
        cmocka_unit_test(test_text_that_is_not_utf8),
        cmocka_unit_test(test_columns_count_characters),
        cmocka_unit_test(test_forms_of_keys),
        cmocka_unit_test(test_keys_with_nul_keep_their_length),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_basic_strings),
        cmocka_unit_test(test_bad_escapes),
        cmocka_unit_test(test_literal_strings),
        cmocka_unit_test(test_multi_line_strings),
        cmocka_unit_test(test_control_characters_in_strings),
        cmocka_unit_test(test_written_strings_are_read_back),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_bad_integers),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_infinity_and_not_a_number),
        cmocka_unit_test(test_bad_floats),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_dates_and_times),
        cmocka_unit_test(test_bad_dates_and_times),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_inline_tables),
        cmocka_unit_test(test_inline_tables_are_complete),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_arrays_of_tables),
        cmocka_unit_test(test_dotted_keys_and_headers),
        cmocka_unit_test(test_values_and_keys_know_their_place),
        cmocka_unit_test(test_an_error_object_is_not_needed),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_large_tables_are_read_in_time),
        cmocka_unit_test(test_long_strings),
        cmocka_unit_test(test_long_words_are_cut_in_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
