/*
 * Denial records with names that members chose: the summary stays one line per record without
 * control characters, the JSON stays valid, and the counts add up.
 */
#include "json_check.h"
#include "supervisor/denial.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static size_t count_lines(const char *text, size_t length)
{
    size_t lines = 0;

    check(text_is_utf8(text, length));
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        check(byte == '\n' || (byte >= 0x20 && byte != 0x7f));
        lines += byte == '\n';
    }
    return lines;
}

static void add(struct denial_log *log, const uint8_t *seed, const char *object)
{
    static const char *const calls[] = {"openat", "chmod", "kill", "setxattr"};
    struct denial denial = {
        .pid = seed[0] * 256 + seed[1],
        .call = calls[seed[0] % 4],
        .object = seed[1] % 8 == 0 ? NULL : (char *)object,
        .want = seed[1] % 2 == 0 ? "write" : "read",
        .error = seed[2],
        .layer = "metadata-gate",
        .rule = seed[0] % 2 == 0 ? NULL : object,
        .suggest = seed[2] % 2 == 0 ? NULL : (char *)object,
    };

    strncpy(denial.comm, object, sizeof(denial.comm)); /* the log terminates it itself */
    if (seed[0] % 16 == 0 && denial_log_merge(log, &denial))
        return;
    denial_log_add(log, &denial);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct denial_log *log = denial_log_new();
    CLEANUP_BUFFER struct buffer summary = BUFFER_INIT;
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    uint64_t added = 0;

    check(log != NULL);
    /* Records are separated by NUL: three bytes of choices and a name. */
    while (size >= 4 && added < 200) {
        const uint8_t *end = memchr(data + 3, '\0', size - 3);
        size_t length = end == NULL ? size - 3 : (size_t)(end - data) - 3;
        char *object = strndup((const char *)data + 3, length);
        check(object != NULL);
        add(log, data, object);
        added++;
        free(object);
        size -= 3 + length + (end != NULL);
        data += 3 + length + (end != NULL);
    }
    check(denial_log_total(log) == added && denial_log_dropped(log) == 0);
    denial_log_summary(log, &summary);
    denial_log_json(log, &json);
    check(!buffer_failed(&summary) && !buffer_failed(&json));
    check(count_lines(buffer_text(&summary), summary.length) <= added + 1);
    check(json_is_valid(json.data, json.length) && text_is_utf8(json.data, json.length));
    denial_log_free(log);
    return 0;
}
