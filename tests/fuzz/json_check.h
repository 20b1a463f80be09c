/*
 * An independent reader of JSON for the fuzz targets: accepts exactly one value of RFC 8259 in valid
 * UTF-8, and decodes one string. Written from the RFC, with nothing of the writer in it.
 */
#ifndef SANDLOCK_TESTS_FUZZ_JSON_CHECK_H
#define SANDLOCK_TESTS_FUZZ_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct json_cursor {
    const char *at, *end;
};

static inline void json_skip_blanks(struct json_cursor *json)
{
    while (json->at < json->end && strchr(" \t\n\r", *json->at) != NULL && *json->at != '\0')
        json->at++;
}

static inline bool json_take(struct json_cursor *json, char c)
{
    json_skip_blanks(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

static inline int json_hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c);

    return found == NULL ? -1 : (int)(found - digits);
}

/* One byte inside a string, or the number of an escape. -1: not allowed. */
static inline int json_take_char(struct json_cursor *json)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

    if (json->at == json->end || (unsigned char)*json->at < 0x20)
        return -1;
    if (*json->at != '\\')
        return (unsigned char)*json->at++;
    if (json->end - json->at < 2)
        return -1;
    char kind = json->at[1];
    json->at += 2;
    if (kind != 'u') {
        const char *found = kind == '\0' ? NULL : strchr(names, kind);
        return found == NULL ? -1 : (unsigned char)values[found - names];
    }
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = json->at == json->end ? -1 : json_hex_digit(*json->at);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
        json->at++;
    }
    return value;
}

/* A string; its bytes go to `out` (NULL: nowhere), which has room for all of them. */
static inline bool json_take_string(struct json_cursor *json, char *out, size_t *length)
{
    size_t count = 0;

    if (!json_take(json, '"'))
        return false;
    while (json->at < json->end && *json->at != '"') {
        int c = json_take_char(json);
        if (c < 0)
            return false;
        /* Up to 0xff a byte, escaped or not; above that a character, which takes three. */
        char bytes[3] = {(char)c};
        size_t taken = 1;
        if (c > 0xff) {
            bytes[0] = (char)(0xe0 | (c >> 12));
            bytes[1] = (char)(0x80 | ((c >> 6) & 0x3f));
            bytes[2] = (char)(0x80 | (c & 0x3f));
            taken = 3;
        }
        if (out != NULL)
            memcpy(out + count, bytes, taken);
        count += taken;
    }
    if (length != NULL)
        *length = count;
    return json_take(json, '"');
}

static inline bool json_take_value(struct json_cursor *json, unsigned depth);

static inline bool json_take_items(struct json_cursor *json, unsigned depth, bool with_keys,
                                   char close)
{
    if (json_take(json, close))
        return true;
    do {
        if (with_keys && (!json_take_string(json, NULL, NULL) || !json_take(json, ':')))
            return false;
        if (!json_take_value(json, depth + 1))
            return false;
    } while (json_take(json, ','));
    return json_take(json, close);
}

static inline bool json_take_word(struct json_cursor *json, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0)
        return false;
    json->at += length;
    return true;
}

static inline size_t json_take_digits(struct json_cursor *json)
{
    const char *start = json->at;

    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    return (size_t)(json->at - start);
}

static inline bool json_take_number(struct json_cursor *json)
{
    if (json->at < json->end && *json->at == '-')
        json->at++;
    bool zero = json->at < json->end && *json->at == '0';
    size_t digits = json_take_digits(json);
    if (digits == 0 || (zero && digits > 1))
        return false;
    if (json->at == json->end || *json->at != '.')
        return true;
    json->at++;
    return json_take_digits(json) > 0;
}

static inline bool json_take_value(struct json_cursor *json, unsigned depth)
{
    json_skip_blanks(json);
    if (depth > 32 || json->at == json->end)
        return false;
    switch (*json->at) {
    case '{':
        json->at++;
        return json_take_items(json, depth, true, '}');
    case '[':
        json->at++;
        return json_take_items(json, depth, false, ']');
    case '"':
        return json_take_string(json, NULL, NULL);
    default:
        return json_take_word(json, "true") || json_take_word(json, "false") ||
               json_take_word(json, "null") || json_take_number(json);
    }
}

/* True if the text is one JSON value and nothing else. */
static inline bool json_is_valid(const char *text, size_t length)
{
    struct json_cursor json = {text, text + length};

    if (!json_take_value(&json, 0))
        return false;
    json_skip_blanks(&json);
    return json.at == json.end;
}

#endif
