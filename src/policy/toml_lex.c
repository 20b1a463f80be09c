/*
 * Characters, lines and strings of TOML. Everything is decided by the next one to three bytes, and
 * every byte is looked at a bounded number of times.
 */
#include "policy/quote.h"
#include "policy/toml_parts.h"
#include "util/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

/* ---- Places and errors ------------------------------------------------------------------------- */

struct toml_place toml_here(struct toml_cursor *cursor)
{
    for (; cursor->marked < cursor->at; cursor->marked++) {
        unsigned char byte = (unsigned char)*cursor->marked;
        if (byte == '\n') {
            cursor->place.line++;
            cursor->place.column = 1;
        } else if ((byte & 0xc0) != 0x80) {
            cursor->place.column++;
        }
    }
    return cursor->place;
}

bool toml_fail(const struct toml_cursor *cursor, struct toml_place place, const char *format, ...)
{
    char reason[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    return error_config(cursor->err, "%u:%u: %s", place.line, place.column, reason);
}

bool toml_out_of_memory(const struct toml_cursor *cursor)
{
    return error_runtime(cursor->err, ENOMEM, "reading TOML");
}

static bool at_newline(const struct toml_cursor *cursor)
{
    return toml_peek(cursor) == '\n' ||
           (toml_peek(cursor) == '\r' && cursor->end - cursor->at > 1 && cursor->at[1] == '\n');
}

bool toml_unexpected(struct toml_cursor *cursor, const char *expected)
{
    struct toml_place here = toml_here(cursor);

    if (cursor->at == cursor->end)
        return toml_fail(cursor, here, "expected %s, found the end of the file", expected);
    if (at_newline(cursor))
        return toml_fail(cursor, here, "expected %s, found the end of the line", expected);
    size_t sequence = text_utf8_sequence(cursor->at, (size_t)(cursor->end - cursor->at));
    return toml_fail(cursor, here, "expected %s, found %s", expected,
                     quote_bytes(cursor->at, sequence).text);
}

/* ---- Blanks, comments, lines ------------------------------------------------------------------- */

/* TOML forbids the control characters except tab, everywhere. */
static bool is_control(int byte)
{
    return byte >= 0 && (byte < 0x20 || byte == 0x7f) && byte != '\t';
}

static bool refuse_control(struct toml_cursor *cursor, const char *where)
{
    int byte = toml_peek(cursor);

    if (byte == '\r')
        return toml_fail(cursor, toml_here(cursor),
                         "a carriage return in %s is not part of a line end", where);
    return toml_fail(cursor, toml_here(cursor), "control character 0x%02x in %s", byte, where);
}

bool toml_cursor_init(struct toml_cursor *cursor, const char *text, size_t length,
                      struct error *err)
{
    const size_t mark = sizeof(byte_order_mark) - 1;

    if (length >= mark && memcmp(text, byte_order_mark, mark) == 0) {
        text += mark;
        length -= mark;
    }
    *cursor = (struct toml_cursor){
        .at = text, .end = text + length, .marked = text, .place = {1, 1}, .err = err};
    while (cursor->at < cursor->end) {
        size_t sequence = text_utf8_sequence(cursor->at, (size_t)(cursor->end - cursor->at));
        if (sequence == 0)
            return toml_fail(cursor, toml_here(cursor), "byte 0x%02x is not UTF-8 text",
                             (unsigned char)*cursor->at);
        cursor->at += sequence;
    }
    cursor->at = text;
    return true;
}

void toml_skip_blanks(struct toml_cursor *cursor)
{
    while (toml_peek(cursor) == ' ' || toml_peek(cursor) == '\t')
        cursor->at++;
}

static bool skip_newline(struct toml_cursor *cursor)
{
    if (!at_newline(cursor))
        return false;
    cursor->at += *cursor->at == '\r' ? 2 : 1;
    return true;
}

static bool skip_comment(struct toml_cursor *cursor)
{
    if (toml_peek(cursor) != '#')
        return true;
    while (cursor->at < cursor->end && !at_newline(cursor)) {
        if (is_control(toml_peek(cursor)))
            return refuse_control(cursor, "a comment");
        cursor->at++;
    }
    return true;
}

bool toml_skip_lines(struct toml_cursor *cursor)
{
    do {
        toml_skip_blanks(cursor);
        if (!skip_comment(cursor))
            return false;
    } while (skip_newline(cursor));
    return true;
}

bool toml_end_line(struct toml_cursor *cursor)
{
    toml_skip_blanks(cursor);
    if (!skip_comment(cursor))
        return false;
    return cursor->at == cursor->end || skip_newline(cursor) ||
           toml_unexpected(cursor, "the end of the line");
}

bool toml_is_bare(int byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

/* ---- Strings ----------------------------------------------------------------------------------- */

struct string_form {
    char quote; /* '"' has escapes, '\'' has none */
    bool multi_line;
    struct toml_place opened;
};

static bool is_plain(const struct string_form *form, int byte)
{
    return byte >= 0 && byte != form->quote && !is_control(byte) &&
           (byte != '\\' || form->quote == '\'');
}

static void append_character(struct buffer *out, uint32_t code)
{
    char bytes[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0x00, 0xc0, 0xe0, 0xf0};

    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(first[length] | code);
    buffer_append(out, bytes, length);
}

static int hex_digit(int byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* The digits of \uXXXX or \UXXXXXXXX. */
static bool read_code(struct toml_cursor *cursor, int digits, struct toml_place place,
                      struct buffer *out)
{
    uint32_t code = 0;

    for (int i = 0; i < digits; i++) {
        int digit = hex_digit(toml_peek(cursor));
        if (digit < 0)
            return toml_fail(cursor, place, "\\%c needs %d hexadecimal digits",
                             digits == 4 ? 'u' : 'U', digits);
        code = code << 4 | (uint32_t)digit;
        cursor->at++;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return toml_fail(cursor, place, "U+%04X is not a Unicode character", code);
    append_character(out, code);
    return true;
}

/* A backslash at the end of a line takes away all blanks and line ends that follow. */
static bool skip_joined_lines(struct toml_cursor *cursor, struct toml_place place)
{
    toml_skip_blanks(cursor);
    if (!at_newline(cursor))
        return toml_fail(cursor, place,
                         "only blanks may follow a backslash that joins lines; a backslash itself "
                         "is written \\\\");
    while (skip_newline(cursor))
        toml_skip_blanks(cursor);
    return true;
}

static bool read_escape(struct toml_cursor *cursor, const struct string_form *form,
                        struct buffer *out)
{
    static const char names[] = "btnfr\"\\";
    static const char meanings[] = "\b\t\n\f\r\"\\";
    struct toml_place place = toml_here(cursor);

    cursor->at++;
    int name = toml_peek(cursor);
    if (form->multi_line && (name == ' ' || name == '\t' || at_newline(cursor)))
        return skip_joined_lines(cursor, place);
    if (name < 0 || at_newline(cursor))
        return true; /* read_content() tells that the string has no end */
    if (name == 'u' || name == 'U') {
        cursor->at++;
        return read_code(cursor, name == 'u' ? 4 : 8, place, out);
    }
    const char *found = name > 0 ? strchr(names, name) : NULL;
    if (found == NULL) {
        size_t sequence = text_utf8_sequence(cursor->at, (size_t)(cursor->end - cursor->at));
        return toml_fail(cursor, place,
                         "unknown escape: %s after a backslash (known: \\b \\t \\n \\f \\r \\\" "
                         "\\\\ \\uXXXX \\UXXXXXXXX; text in single quotes has no escapes)",
                         quote_bytes(cursor->at, sequence).text);
    }
    buffer_append_char(out, meanings[found - names]);
    cursor->at++;
    return true;
}

/* At a quote: true if it ends the string. Up to two quotes may stand right before the three that end
 * a multi-line string. */
static bool read_quotes(struct toml_cursor *cursor, const struct string_form *form,
                        struct buffer *out)
{
    size_t count = 0;

    if (!form->multi_line) {
        cursor->at++;
        return true;
    }
    while (count < 5 && toml_accept(cursor, form->quote))
        count++;
    bool closed = count >= 3;
    for (size_t i = closed ? 3 : 0; i < count; i++)
        buffer_append_char(out, form->quote);
    return closed;
}

static bool read_content(struct toml_cursor *cursor, const struct string_form *form,
                         struct buffer *out)
{
    for (;;) {
        const char *run = cursor->at;
        while (is_plain(form, toml_peek(cursor)))
            cursor->at++;
        buffer_append(out, run, (size_t)(cursor->at - run));
        if (cursor->at == cursor->end)
            return toml_fail(cursor, form->opened, "string without an end");
        if (*cursor->at == form->quote) {
            if (read_quotes(cursor, form, out))
                return true;
        } else if (*cursor->at == '\\') {
            if (!read_escape(cursor, form, out))
                return false;
        } else if (!at_newline(cursor)) {
            return refuse_control(cursor, "a string");
        } else if (!form->multi_line) {
            return toml_fail(cursor, form->opened, "string without an end on its line");
        } else {
            /* A file means the same with either kind of line end. */
            skip_newline(cursor);
            buffer_append_char(out, '\n');
        }
    }
}

bool toml_read_string(struct toml_cursor *cursor, bool allow_multi_line, struct buffer *out)
{
    struct string_form form = {.quote = *cursor->at, .opened = toml_here(cursor)};
    const char three[3] = {form.quote, form.quote, form.quote};

    form.multi_line = cursor->end - cursor->at >= 3 && memcmp(cursor->at, three, 3) == 0;
    if (form.multi_line && !allow_multi_line)
        return toml_fail(cursor, form.opened, "a key cannot be a multi-line string");
    cursor->at += form.multi_line ? 3 : 1;
    if (form.multi_line)
        skip_newline(cursor);
    if (!read_content(cursor, &form, out))
        return false;
    return !buffer_failed(out) || toml_out_of_memory(cursor);
}
