/* Writes JSON into a buffer: see json.h. */
#include "util/json.h"

#include "util/text.h"

#include <math.h>
#include <string.h>

void json_init(struct json *json, struct buffer *out, unsigned indent)
{
    *json = (struct json){.out = out, .indent = indent};
}

static void new_line(struct json *json)
{
    if (json->indent == 0)
        return;
    buffer_append_char(json->out, '\n');
    for (size_t i = 0; i < (size_t)json->indent * json->depth; i++)
        buffer_append_char(json->out, ' ');
}

/* What stands in front of every value or key: nothing behind a key, else a comma and a new line. */
static void before_item(struct json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->depth == 0)
        return;
    if (json->has_items[json->depth - 1])
        buffer_append_char(json->out, ',');
    json->has_items[json->depth - 1] = true;
    new_line(json);
}

/* Nesting is the program's, never the input's: too much of it is a mistake that must show. */
static void begin(struct json *json, char bracket)
{
    before_item(json);
    if (json->depth >= JSON_DEPTH_MAX) {
        json->out->failed = true;
        return;
    }
    buffer_append_char(json->out, bracket);
    json->has_items[json->depth++] = false;
}

static void end(struct json *json, char bracket)
{
    if (json->depth == 0) {
        json->out->failed = true;
        return;
    }
    json->depth--;
    if (json->has_items[json->depth])
        new_line(json);
    buffer_append_char(json->out, bracket);
}

void json_object_begin(struct json *json)
{
    begin(json, '{');
}

void json_object_end(struct json *json)
{
    end(json, '}');
}

void json_array_begin(struct json *json)
{
    begin(json, '[');
}

void json_array_end(struct json *json)
{
    end(json, ']');
}

/* The code point of a two or three byte sequence that drives a terminal or turns the direction of
 * text: C1 controls and the controls of bidirectional text; 0 for every other. */
static unsigned unsafe_code_point(const unsigned char *text, size_t sequence)
{
    unsigned point = 0;

    if (sequence == 2)
        point = (text[0] & 0x1fu) << 6 | (text[1] & 0x3fu);
    else if (sequence == 3)
        point = (text[0] & 0x0fu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    bool unsafe = (point >= 0x80 && point <= 0x9f) || point == 0x200e || point == 0x200f ||
                  (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    return unsafe ? point : 0;
}

static void write_quoted(struct json *json, const char *text, size_t length)
{
    buffer_append_char(json->out, '"');
    for (size_t at = 0; at < length;) {
        size_t sequence = text_utf8_sequence(text + at, length - at);
        unsigned char byte = (unsigned char)text[at];
        unsigned unsafe = unsafe_code_point((const unsigned char *)text + at, sequence);
        if (byte == '"' || byte == '\\')
            buffer_printf(json->out, "\\%c", byte);
        else if (byte == '\n')
            buffer_append_text(json->out, "\\n");
        else if (byte == '\t')
            buffer_append_text(json->out, "\\t");
        else if (byte == '\r')
            buffer_append_text(json->out, "\\r");
        else if (sequence == 0 || byte < 0x20 || byte == 0x7f)
            buffer_printf(json->out, "\\u%04x", byte);
        else if (unsafe != 0)
            buffer_printf(json->out, "\\u%04x", unsafe);
        else
            buffer_append(json->out, text + at, sequence);
        at += sequence == 0 ? 1 : sequence;
    }
    buffer_append_char(json->out, '"');
}

void json_key(struct json *json, const char *key)
{
    before_item(json);
    write_quoted(json, key, strlen(key));
    buffer_append_text(json->out, json->indent == 0 ? ":" : ": ");
    json->after_key = true;
}

void json_bytes(struct json *json, const void *data, size_t size)
{
    before_item(json);
    write_quoted(json, data, size);
}

void json_string(struct json *json, const char *text)
{
    if (text == NULL)
        json_null(json);
    else
        json_bytes(json, text, strlen(text));
}

void json_int(struct json *json, int64_t value)
{
    before_item(json);
    buffer_printf(json->out, "%lld", (long long)value);
}

void json_uint(struct json *json, uint64_t value)
{
    before_item(json);
    buffer_printf(json->out, "%llu", (unsigned long long)value);
}

void json_double(struct json *json, double value, int decimals)
{
    before_item(json);
    if (!isfinite(value)) { /* JSON has no word for them */
        buffer_append_text(json->out, "null");
        return;
    }
    /* The decimal point follows the host program's locale; JSON's does not. */
    size_t start = json->out->length;
    buffer_printf(json->out, "%.*f", decimals, value);
    if (buffer_failed(json->out))
        return;
    for (size_t i = start; i < json->out->length; i++) {
        if (json->out->data[i] == ',')
            json->out->data[i] = '.';
    }
}

void json_bool(struct json *json, bool value)
{
    before_item(json);
    buffer_append_text(json->out, value ? "true" : "false");
}

void json_null(struct json *json)
{
    before_item(json);
    buffer_append_text(json->out, "null");
}

static void json_base64(struct json *json, const char *text, size_t length)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    before_item(json);
    buffer_append_char(json->out, '"');
    for (size_t at = 0; at < length; at += 3) {
        size_t have = length - at < 3 ? length - at : 3;
        uint32_t group = 0;
        for (size_t i = 0; i < 3; i++)
            group = group << 8 | (i < have ? (unsigned char)text[at + i] : 0u);
        for (size_t i = 0; i < 4; i++)
            buffer_append_char(json->out, i <= have ? alphabet[group >> (18 - 6 * i) & 63] : '=');
    }
    buffer_append_char(json->out, '"');
}

void json_string_member(struct json *json, const char *key, const char *text)
{
    json_key(json, key);
    json_string(json, text);
    if (text == NULL || text_is_utf8(text, strlen(text)))
        return;

    CLEANUP_BUFFER struct buffer name = BUFFER_INIT;
    buffer_printf(&name, "%s_b64", key);
    json_key(json, buffer_text(&name));
    json_base64(json, text, strlen(text));
}

void json_int_member(struct json *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_int(json, value);
}

void json_bool_member(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}
