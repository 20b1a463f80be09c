/*
 * Any text for any value grammar; the first byte selects which. What is accepted keeps the promises
 * of the header: bounds, order, no overlap.
 */
#include "policy/grammar.h"
#include "util/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* Cuts the text into lines, in place. */
static size_t split(char *text, const char *lines[TEXTS_MAX])
{
    size_t count = 0;

    while (text != NULL && count < TEXTS_MAX) {
        lines[count++] = text;
        text = strchr(text, '\n');
        if (text != NULL)
            *text++ = '\0';
    }
    return count;
}

static bool try_ports(char *text, bool allow_any, struct error *err)
{
    const char *lines[TEXTS_MAX];
    size_t line_count = split(text, lines);
    struct port_range *ranges = NULL;
    size_t count = 0;
    bool any = false;

    if (!grammar_ports(lines, line_count, allow_any, &any, &ranges, &count, err))
        return false;
    check(any == (count == 0) && (allow_any || !any));
    for (size_t i = 0; i < count; i++) {
        check(ranges[i].low <= ranges[i].high);
        check(i == 0 || ranges[i].low > ranges[i - 1].high + 1);
    }
    free(ranges);
    return true;
}

static bool try_list(char *text, struct error *err)
{
    const char *lines[TEXTS_MAX];
    size_t line_count = split(text, lines);
    uint32_t *values = NULL;
    size_t count = 0;

    if (!grammar_uint_list(lines, line_count, &values, &count, err))
        return false;
    check(count > 0 && values != NULL);
    free(values);
    return true;
}

static bool try_gpu(const char *text, struct error *err)
{
    enum gpu_mode mode = GPU_NONE;
    uint32_t *devices = NULL;
    size_t count = 0;

    if (!grammar_gpu(text, &mode, &devices, &count, err))
        return false;
    check(mode == (count == 0 ? GPU_ALL : GPU_LIST));
    free(devices);
    return true;
}

static bool try_duration(const char *text, struct error *err)
{
    uint64_t milliseconds = 0;

    if (!grammar_duration(text, false, &milliseconds, err))
        return false;
    check(milliseconds > 0 && milliseconds <= INT64_MAX / 1000000);
    return true;
}

static bool try_env(const char *text, struct error *err)
{
    size_t key_length = 0;

    if (!grammar_env(text, &key_length, err))
        return false;
    check(key_length > 0 && strchr(text, '=') == text + key_length);
    return true;
}

static bool try_name(const char *text, struct error *err)
{
    if (!grammar_name(text, err))
        return false;
    check(strlen(text) <= 64 && strchr(text, '/') == NULL && text_is_utf8(text, strlen(text)));
    return true;
}

static bool try_uint32(const char *text, struct error *err)
{
    uint32_t value = 0;

    if (!grammar_uint32(text, 5, 5000, &value, err))
        return false;
    check(value >= 5 && value <= 5000);
    return true;
}

static bool try_grammar(unsigned which, char *text, struct error *err)
{
    uint64_t bytes;
    uint32_t uid, gid;

    switch (which % 10) {
    case 0:
        return grammar_size(text, &bytes, err);
    case 1:
        return try_duration(text, err);
    case 2:
        return try_ports(text, true, err);
    case 3:
        return try_ports(text, false, err);
    case 4:
        return grammar_user(text, &uid, &gid, err);
    case 5:
        return try_gpu(text, err);
    case 6:
        return try_list(text, err);
    case 7:
        return try_env(text, err);
    case 8:
        return try_name(text, err);
    default:
        return try_uint32(text, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};

    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    bool good = try_grammar(data[0], text, &err);
    check(good == (err.kind == ERROR_NONE));
    /* No text of a stranger reaches a message as it is. */
    for (const char *at = err.text; *at != '\0'; at++)
        check((unsigned char)*at >= 0x20 && *at != 0x7f);
    free(text);
    return 0;
}
