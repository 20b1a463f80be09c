/* Number parsing, escaping, UTF-8, suggestions, quoting (util/text.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/text.h"

#include <string.h>

static void assert_number(const char *text, uint64_t max, uint64_t expected)
{
    uint64_t value = 0;

    assert_true(text_parse_uint(text, strlen(text), max, &value));
    assert_int_equal(value, expected);
}

static void refute_number(const char *text, uint64_t max)
{
    uint64_t value = 42;

    assert_false(text_parse_uint(text, strlen(text), max, &value));
    assert_int_equal(value, 42); /* untouched */
}

static void digits_are_a_number_up_to_the_maximum(void **state)
{
    (void)state;
    assert_number("0", 0, 0);
    assert_number("007", 10, 7);
    assert_number("65535", 65535, 65535);
    assert_number("18446744073709551615", UINT64_MAX, UINT64_MAX);
    refute_number("65536", 65535);
    refute_number("18446744073709551616", UINT64_MAX);
    refute_number("99999999999999999999999", UINT64_MAX);
}

static void anything_but_digits_is_no_number(void **state)
{
    static const char *const wrong[] = {"", " 1", "1 ", "+1", "-1", "0x10", "1e3", "1.0", "1\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        refute_number(wrong[i], UINT64_MAX);
}

static void utf8_is_exactly_what_unicode_says(void **state)
{
    static const char *const valid[] = {"",
                                        "abc",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xf0\x9f\x98\x80",
                                        "\xf4\x8f\xbf\xbf"};
    static const char *const invalid[] = {
        "\x80",             /* continuation alone */
        "\xc3",             /* cut */
        "\xc0\xaf",         /* overlong slash */
        "\xe0\x80\xaf",     /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf8\x88\x80\x80", /* five-byte form */
        "\xc3(",            /* no continuation */
        "\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(valid) / sizeof(*valid); i++)
        assert_true(text_is_utf8(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof(invalid) / sizeof(*invalid); i++)
        assert_false(text_is_utf8(invalid[i], strlen(invalid[i])));
    assert_int_equal(text_utf8_sequence("\xe2\x82\xac", 2), 0); /* must not look behind the end */
    assert_int_equal(text_utf8_sequence("\xe2\x82\xac", 3), 3);
    assert_int_equal(text_utf8_sequence("", 0), 0);
}

static void assert_escaped(const char *text, size_t length, const char *expected)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    text_escape(&out, text, length);
    assert_string_equal(buffer_text(&out), expected);
}

static void escaped_text_cannot_forge_a_line_or_drive_a_terminal(void **state)
{
    (void)state;
    assert_escaped("plain/caf\xc3\xa9", 11, "plain/caf\xc3\xa9");
    assert_escaped("a\nb\tc\rd\\e", 9, "a\\nb\\tc\\rd\\\\e");
    assert_escaped("\x1b[31m", 5, "\\x1b[31m");
    assert_escaped("\x7f", 1, "\\x7f");
    assert_escaped("a\0b", 3, "a\\x00b");
    assert_escaped("\xff\xfe", 2, "\\xff\\xfe");
    assert_escaped("\xc2\x9b"
                   "31m",
                   5, "\\xc2\\x9b31m"); /* CSI as a C1 control */
    assert_escaped("\xe2\x80\xae"
                   "gpj",
                   6, "\\xe2\\x80\\xaegpj"); /* right-to-left override */
    assert_escaped("", 0, "");
}

/* One of each range, and what lies beside some of them. */
static void what_nobody_sees_is_escaped(void **state)
{
    static const char *const hidden[] = {
        "\xc2\x85",         /* U+0085 */
        "\xc2\xad",         /* soft hyphen */
        "\xcd\x8f",         /* combining grapheme joiner */
        "\xd8\x9c",         /* Arabic letter mark */
        "\xe1\xa0\x8e",     /* Mongolian vowel separator */
        "\xe1\x85\x9f",     /* Hangul filler */
        "\xe2\x80\x8b",     /* zero width space */
        "\xe2\x80\xa8",     /* line separator */
        "\xe2\x81\xa6",     /* left-to-right isolate */
        "\xe3\x85\xa4",     /* Hangul filler */
        "\xef\xb8\x8f",     /* variation selector */
        "\xef\xbb\xbf",     /* byte order mark */
        "\xef\xbf\xb9",     /* interlinear annotation */
        "\xf0\x9d\x85\xb3", /* musical symbol begin beam */
        "\xf3\xa0\x81\x81", /* tag */
        "\xf3\xa0\x87\xaf", /* variation selector 256 */
    };
    static const char *const seen[] = {
        "\xc2\xa1",         /* inverted exclamation mark */
        "\xe2\x80\x93",     /* en dash */
        "\xef\xbf\xbc",     /* object replacement */
        "\xf0\x9d\x84\x9e", /* G clef */
        "\xf0\x9f\x98\x80", /* face */
        "\xf3\xa1\x80\x80", /* behind the tags */
    };
    (void)state;

    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++) {
        CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
        text_escape(&out, hidden[i], strlen(hidden[i]));
        assert_int_equal(out.length, 4 * strlen(hidden[i]));
        assert_false(text_is_printable(hidden[i], strlen(hidden[i])));
    }
    for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
        assert_escaped(seen[i], strlen(seen[i]), seen[i]);
        assert_true(text_is_printable(seen[i], strlen(seen[i])));
    }
}

static void assert_line(const char *text, size_t size, const char *expected)
{
    CLEANUP_BUFFER struct buffer whole = BUFFER_INIT;
    char line[128];
    char again[128];

    memset(line, '#', sizeof(line));
    text_to_line(line, size, text);
    assert_string_equal(line, expected);
    assert_int_equal(line[size], '#');
    text_to_line(again, size, line); /* the parts of a message are escaped by themselves, too */
    assert_string_equal(again, expected);
    if (strlen(text) < size && strstr(expected, "...") == NULL) {
        text_escape_controls(&whole, text, strlen(text));
        assert_string_equal(buffer_text(&whole), expected);
    }
}

static void a_message_is_one_line_and_keeps_what_is_escaped_already(void **state)
{
    (void)state;
    assert_line("plain/caf\xc3\xa9", 100, "plain/caf\xc3\xa9");
    assert_line("'\\x1b' a\\b", 100, "'\\x1b' a\\b");
    assert_line("a\x1b[31m\nsandlock: forged\r\t\x7f", 100,
                "a\\x1b[31m\\nsandlock: forged\\r\\t\\x7f");
    assert_line("\xff \xc2\x9b \xe2\x80\xae", 100, "\\xff \\xc2\\x9b \\xe2\\x80\\xae");
    assert_line("", 100, "");
    assert_line("abcdefg", 8, "abcdefg");
    assert_line("abcdefgh", 8, "ab...gh");
    assert_line("abc\x1b", 8, "abc\\x1b");
    assert_line("abcd\x1b", 8, "ab...");
    assert_line("\x1b"
                "abcdefgh",
                12, "\\x1b...efgh");
    assert_line("ab\xe2\x82\xac\xe2\x82\xac", 8, "ab...");
    assert_line("abcdefgh", 4, "...");
}

static void assert_cut(const char *text, size_t max, const char *expected)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    text_escape_cut(&out, text, strlen(text), max);
    assert_string_equal(buffer_text(&out), expected);
    assert_true(out.length <= max);
}

static void long_text_is_cut_in_the_middle(void **state)
{
    (void)state;
    assert_cut("abcdef", 6, "abcdef");
    assert_cut("abcdefghij", 9, "abc...hij");
    assert_cut("abcdefghij", 8, "abc...ij");
    assert_cut("abcdefghij", 3, "...");
    assert_cut("abcdefghij", 1, ".");
    assert_cut("abcdefghij", 0, "");
}

static void a_cut_never_splits_a_character_or_an_escape(void **state)
{
    (void)state;
    assert_cut("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 8, "\xe2\x82\xac...");
    assert_cut("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 9,
               "\xe2\x82\xac...\xe2\x82\xac");
    assert_cut("\n\n\n\n\n", 8, "\\n...\\n");
    assert_cut("\x01\x01\x01\x01", 12, "\\x01...\\x01");
    assert_cut("a\\\\\\\\\\b", 9, "a\\\\...\\\\b");
}

static void a_typing_error_finds_its_word(void **state)
{
    static const char *const words[] = {"fs-read",    "fs-write", "net-allow",
                                        "max-memory", "cpu",      NULL};
    static const char *const nothing[] = {NULL};

    (void)state;
    assert_string_equal(text_closest("fs-raed", words), "fs-read");
    assert_string_equal(text_closest("fsread", words), "fs-read");
    assert_string_equal(text_closest("NET-ALOW", words), "net-allow");
    assert_string_equal(text_closest("max-mem", words), "max-memory");
    assert_string_equal(text_closest("cpus", words), "cpu");
    assert_null(text_closest("zzz", words));
    assert_null(text_closest("upc", words));
    assert_string_equal(text_closest("cup", words), "cpu");
    assert_null(text_closest("nope", (const char *const[]){"open", NULL}));
    assert_null(text_closest("x", words));
    assert_null(text_closest("", words));
    assert_null(text_closest("fs-read", nothing));
}

static void a_very_long_word_is_nobodys_typing_error(void **state)
{
    static const char *const words[] = {"fs-read", NULL};
    char text[5000];

    (void)state;
    memset(text, 'f', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_null(text_closest(text, words));
}

static void assert_quoted(const char *text, const char *expected)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    text_shell_quote(&out, text);
    assert_string_equal(buffer_text(&out), expected);
}

static void a_shell_reads_the_same_word_back(void **state)
{
    (void)state;
    assert_quoted("/usr/bin/true", "/usr/bin/true");
    assert_quoted("--net-allow=tcp://a.b:443", "--net-allow=tcp://a.b:443");
    assert_quoted("PATH=/x", "'PATH=/x'"); /* in front of a command it would be an assignment */
    assert_quoted("", "''");
    assert_quoted("a b", "'a b'");
    assert_quoted("it's", "'it'\\''s'");
    assert_quoted("$(rm)*?~;", "'$(rm)*?~;'");
    assert_quoted("a\\b", "'a\\b'");
    assert_quoted("\xc3\xbc b", "'\xc3\xbc b'");
    assert_quoted("~", "'~'");
}

static void assert_quoted_for_a_screen(const char *text, const char *expected)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer shown = BUFFER_INIT;

    assert_quoted(text, expected);
    text_shell_quote(&out, text);
    text_escape_controls(&shown, buffer_text(&out), out.length);
    assert_string_equal(buffer_text(&shown), expected);
}

static void what_must_not_reach_a_screen_is_quoted_with_escapes(void **state)
{
    (void)state;
    assert_quoted_for_a_screen("a\nb\tc\r", "$'a\\nb\\tc\\r'");
    assert_quoted_for_a_screen("\xff\x1b[2J", "$'\\377\\033[2J'");
    assert_quoted_for_a_screen("\xe2\x80\xae"
                               "1",
                               "$'\\342\\200\\2561'");       /* U+202E */
    assert_quoted_for_a_screen("\xd8\x9c", "$'\\330\\234'"); /* U+061C */
    /* An apostrophe would end '...' in a shell that does not know $'...'. */
    assert_quoted_for_a_screen("it's\x01"
                               "1\\",
                               "$'it\\047s\\0011\\\\'");
    assert_quoted_for_a_screen("it's\\", "'it'\\''s\\'");
}

static void trimming_takes_blanks_and_tabs_only(void **state)
{
    const char *text = " \t a b\n\t ";
    size_t length = strlen(text);

    (void)state;
    text_trim(&text, &length);
    assert_int_equal(length, 4);
    assert_memory_equal(text, "a b\n", 4);

    text = "  ";
    length = 2;
    text_trim(&text, &length);
    assert_int_equal(length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_a_number_up_to_the_maximum),
        cmocka_unit_test(anything_but_digits_is_no_number),
        cmocka_unit_test(utf8_is_exactly_what_unicode_says),
        cmocka_unit_test(escaped_text_cannot_forge_a_line_or_drive_a_terminal),
        cmocka_unit_test(what_nobody_sees_is_escaped),
        cmocka_unit_test(a_message_is_one_line_and_keeps_what_is_escaped_already),
        cmocka_unit_test(long_text_is_cut_in_the_middle),
        cmocka_unit_test(a_cut_never_splits_a_character_or_an_escape),
        cmocka_unit_test(a_typing_error_finds_its_word),
        cmocka_unit_test(a_very_long_word_is_nobodys_typing_error),
        cmocka_unit_test(a_shell_reads_the_same_word_back),
        cmocka_unit_test(what_must_not_reach_a_screen_is_quoted_with_escapes),
        cmocka_unit_test(trimming_takes_blanks_and_tabs_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
