/*
 * Bytes of strangers on their way out: escaping for people, quoting for shells, JSON strings. What
 * comes out can neither drive a terminal nor end a string early, and reading it back, with readers
 * written for this purpose, gives the same bytes.
 */
#include "json_check.h"
#include "policy/quote.h"
#include "util/json.h"
#include "util/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* One line of valid UTF-8 without control characters, C1 ones included. */
static void check_shown(const char *text, size_t length)
{
    check(text_is_utf8(text, length));
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        check(byte >= 0x20 && byte != 0x7f);
        check(byte != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
    }
}

static char unescape_unit(const char *escaped, size_t *taken)
{
    static const char names[] = "ntr\\", values[] = "\n\t\r\\";

    *taken = 1;
    if (escaped[0] != '\\')
        return escaped[0];
    *taken = 2;
    if (escaped[1] != 'x') {
        const char *found = strchr(names, escaped[1]);
        check(escaped[1] != '\0' && found != NULL);
        return values[found - names];
    }
    *taken = 4;
    int high = json_hex_digit(escaped[2]);
    int low = high < 0 ? -1 : json_hex_digit(escaped[3]);
    check(low >= 0);
    return (char)(high * 16 + low);
}

static void check_escape(const char *text, size_t length)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    const char *escaped;
    size_t count = 0, taken;

    text_escape(&out, text, length);
    check(!buffer_failed(&out));
    escaped = buffer_text(&out);
    check_shown(escaped, out.length);
    for (size_t at = 0; at < out.length; at += taken) {
        char c = unescape_unit(escaped + at, &taken);
        check(count < length && text[count] == c);
        count++;
    }
    check(count == length);
}

static void check_cut(const char *text, size_t length, size_t max)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;

    text_escape_cut(&out, text, length, max);
    check(!buffer_failed(&out) && out.length <= max);
    check_shown(buffer_text(&out), out.length);
}

/* Reads what is behind $' as bash does: to a shell that does not know it, its end must be the same. */
static void check_escaped_word(const char *word, const char *text)
{
    static const char names[] = "ntr\\", values[] = "\n\t\r\\";

    for (; *word != '\''; text++) {
        check(*word != '\0' && *text != '\0');
        if (*word != '\\') {
            check(*word++ == *text);
            continue;
        }
        const char *found = word[1] == '\0' ? NULL : strchr(names, word[1]);
        if (found != NULL) {
            check(values[found - names] == *text);
            word += 2;
            continue;
        }
        int byte = 0;
        for (int i = 1; i <= 3; i++) {
            check(word[i] >= '0' && word[i] <= '7');
            byte = 8 * byte + (word[i] - '0');
        }
        check(byte == (unsigned char)*text);
        word += 4;
    }
    check(word[1] == '\0' && *text == '\0');
}

/* Reads a word as POSIX sh does, for the two ways of quoting there are in it, or with escapes. */
static void check_shell_word(const char *text)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    bool quoted = false;

    text_shell_quote(&out, text);
    check(!buffer_failed(&out) && out.length > 0);
    const char *word = buffer_text(&out);
    check_shown(word, out.length);
    if (word[0] == '$') {
        check(word[1] == '\'');
        check_escaped_word(word + 2, text);
        return;
    }
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && *word == '\\')
            word++;
        else if (!quoted)
            check(strchr(" \t\n|&;<>()$`\"*?[#~!{}^", *word) == NULL &&
                  (unsigned char)*word < 0x7f);
        check(*word != '\0' && *word == *text);
        text++;
    }
    check(!quoted && *text == '\0');
}

/* The C1 controls share their escapes with the stray bytes of the same number. */
static size_t fold_controls(const char *text, size_t length, char *folded)
{
    size_t count = 0;

    for (size_t at = 0; at < length;) {
        size_t sequence = text_utf8_sequence(text + at, length - at);
        bool control =
            sequence == 2 && (unsigned char)text[at] == 0xc2 && (unsigned char)text[at + 1] < 0xa0;
        if (sequence == 0)
            sequence = 1;
        if (control)
            folded[count++] = text[at + 1];
        else
            for (size_t i = 0; i < sequence; i++)
                folded[count++] = text[at + i];
        at += sequence;
    }
    return count;
}

static void check_json(const char *text, size_t length)
{
    CLEANUP_BUFFER struct buffer out = BUFFER_INIT;
    struct json json;

    json_init(&json, &out, length % 3);
    json_object_begin(&json);
    json_key(&json, text);
    json_bytes(&json, text, length);
    json_string_member(&json, "member", text);
    json_object_end(&json);
    check(!buffer_failed(&out));
    check(json_is_valid(out.data, out.length) && text_is_utf8(out.data, out.length));

    struct json_cursor cursor = {out.data, out.data + out.length};
    char *key = malloc(out.length), *value = malloc(out.length);
    size_t key_length = 0, value_length = 0;
    check(key != NULL && value != NULL);
    check(json_take(&cursor, '{') && json_take_string(&cursor, key, &key_length));
    char *folded = malloc(length + 1);
    check(folded != NULL);
    size_t expected = fold_controls(text, strlen(text), folded);
    check(key_length == expected && memcmp(key, folded, expected) == 0);
    check(json_take(&cursor, ':') && json_take_string(&cursor, value, &value_length));
    expected = fold_controls(text, length, folded);
    check(value_length == expected && memcmp(value, folded, expected) == 0);
    free(folded);
    free(key);
    free(value);
}

static void check_closest(const char *text)
{
    static const char *const candidates[] = {"fs-read", "fs-write", "max-processes", "x", NULL};
    const char *closest = text_closest(text, candidates);

    check(closest == NULL || strlen(text) <= 64);
    for (size_t i = 0; candidates[i] != NULL; i++)
        check(strcmp(text, candidates[i]) != 0 || closest == candidates[i] || strlen(text) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    check(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';

    check_escape(text, size);
    for (size_t max = 0; max < 12; max++)
        check_cut(text, size, max);
    check_cut(text, size, size / 2);
    struct quoted quoted = quote_bytes(text, size);
    check_shown(quoted.text, strlen(quoted.text));
    check_shell_word(text);
    check_json(text, size);
    check_closest(text);
    free(text);
    return 0;
}
