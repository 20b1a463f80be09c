/*
 * The value grammars. Each function cuts its text at separators, trims the parts where blanks are
 * tolerated and hands the numbers to one strict reader, so that "not a number" and "too large" are
 * told apart everywhere in the same words.
 */
#include "policy/grammar.h"

#include "policy/quote.h"
#include "util/fd.h"
#include "util/text.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_LENGTH_MAX 64

/* 292 years: every duration also fits signed 64 bits when it is counted in nanoseconds. What is longer is as
 * good as this. */
#define DURATION_MS_MAX ((uint64_t)INT64_MAX / 1000000)

/* A part of a text; not terminated. */
struct part {
    const char *text;
    size_t length;
};

/* ---- Parts and numbers ------------------------------------------------------------------------- */

static size_t count_digits(struct part part)
{
    size_t count = 0;

    while (count < part.length && part.text[count] >= '0' && part.text[count] <= '9')
        count++;
    return count;
}

static struct part trimmed(struct part part)
{
    text_trim(&part.text, &part.length);
    return part;
}

static struct part whole(const char *text)
{
    return (struct part){text, strlen(text)};
}

/* Cuts off what stands before the next comma, trimmed. False when nothing is left; a text without a
 * comma has one part, also if it is empty. */
static bool next_part(const char **rest, struct part *part)
{
    if (*rest == NULL)
        return false;
    size_t length = strcspn(*rest, ",");
    *part = trimmed((struct part){*rest, length});
    *rest = (*rest)[length] == ',' ? *rest + length + 1 : NULL;
    return true;
}

static size_t count_parts(const char *const *texts, size_t count)
{
    size_t parts = count;

    for (size_t i = 0; i < count; i++) {
        for (const char *at = texts[i]; *at != '\0'; at++)
            parts += *at == ',';
    }
    return parts;
}

static struct quoted quoted_part(struct part part)
{
    return quote_bytes(part.text, part.length);
}

static bool read_number(struct part part, uint64_t minimum, uint64_t maximum, const char *noun,
                        uint64_t *number, struct error *err)
{
    if (part.length == 0 || count_digits(part) != part.length)
        return error_config(err, "%s is not a %s", quoted_part(part).text, noun);
    if (!text_parse_uint(part.text, part.length, maximum, number) || *number < minimum)
        return error_config(err, "%s %s is out of range: it is %" PRIu64 " to %" PRIu64, noun,
                            quoted_part(part).text, minimum, maximum);
    return true;
}

static bool out_of_memory(struct error *err)
{
    return error_runtime(err, ENOMEM, "reading a list");
}

/* "REASON: TEXT" with the text as given, but harmless. */
static bool refuse_text(struct error *err, const char *reason, const char *text)
{
    CLEANUP_BUFFER struct buffer escaped = BUFFER_INIT;

    text_escape_cut(&escaped, text, strlen(text), QUOTE_TEXT_MAX);
    return error_config(err, "%s: %s", reason, buffer_text(&escaped));
}

bool grammar_uint32(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *value,
                    struct error *err)
{
    uint64_t number = 0;

    if (!read_number(whole(text), minimum, maximum, "number", &number, err))
        return false;
    *value = (uint32_t)number;
    return true;
}

/* ---- Sizes and durations ----------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The power of two behind a suffix, -1 if there is no such suffix. */
static int size_shift(struct part suffix)
{
    static const char letters[] = "KMGT";

    if (suffix.length == 0)
        return 0;
    char letter = (char)(suffix.text[0] & ~0x20); /* upper case, if it is a letter */
    const char *found = is_letter(suffix.text[0]) ? strchr(letters, letter) : NULL;
    bool known = found != NULL && (suffix.length == 1 ||
                                   (suffix.length == 3 && memcmp(suffix.text + 1, "iB", 2) == 0));
    return known ? 10 * (int)(found - letters + 1) : -1;
}

bool grammar_size(const char *text, uint64_t *bytes, struct error *err)
{
    struct part part = trimmed(whole(text));
    size_t digits = count_digits(part);
    struct part suffix = trimmed((struct part){part.text + digits, part.length - digits});
    int shift = size_shift(suffix);
    uint64_t number = 0;

    if (part.length == 0)
        return error_config(err, "empty byte size string");
    if (digits == 0 || (shift < 0 && !is_letter(suffix.text[0])))
        return refuse_text(err, "invalid byte size", text);
    if (shift < 0)
        return refuse_text(err, "unknown byte size suffix", text);
    /* A product that wraps would be a small limit, or none. */
    if (!text_parse_uint(part.text, digits, UINT64_MAX >> shift, &number))
        return refuse_text(err, "byte size out of range", text);
    *bytes = number << shift;
    return true;
}

bool grammar_duration(const char *text, bool may_be_zero, uint64_t *milliseconds, struct error *err)
{
    static const struct {
        const char *name;
        uint64_t milliseconds;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    size_t digits = count_digits(whole(text));
    uint64_t unit = 0;
    uint64_t number = 0;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) == 0)
            unit = units[i].milliseconds;
    }
    if (digits == 0 || unit == 0)
        return error_config(err,
                            "invalid duration: %s (expected a whole number and ms, s, m or h; "
                            "without a unit it is seconds)",
                            quote(text).text);
    if (!text_parse_uint(text, digits, UINT64_MAX, &number))
        return error_config(err, "duration out of range: %s (the number is at most %" PRIu64 ")",
                            quote(text).text, UINT64_MAX);
    if (number == 0 && !may_be_zero)
        return error_config(err,
                            "%s: a duration of zero is not accepted; omit the option for no limit",
                            quote(text).text);
    *milliseconds = number > DURATION_MS_MAX / unit ? DURATION_MS_MAX : number * unit;
    return true;
}

/* ---- Ports ------------------------------------------------------------------------------------- */

static bool read_port_range(struct part part, struct port_range *range, struct error *err)
{
    const char *dash = memchr(part.text, '-', part.length);
    struct part low = part;
    struct part high = part;
    uint64_t low_number = 0, high_number = 0;

    if (part.length == 0)
        return error_config(err, "empty item in the port list");
    if (dash != NULL) {
        low = trimmed((struct part){part.text, (size_t)(dash - part.text)});
        high = trimmed((struct part){dash + 1, (size_t)(part.text + part.length - dash - 1)});
    }
    if (low.length == 0 || high.length == 0)
        return error_config(err, "%s is neither a port nor a range of ports",
                            quoted_part(part).text);
    if (!read_number(low, 0, UINT16_MAX, "port", &low_number, err) ||
        !read_number(high, 0, UINT16_MAX, "port", &high_number, err))
        return false;
    if (low_number > high_number)
        return error_config(err, "reversed port range %s", quoted_part(part).text);
    *range = (struct port_range){(uint16_t)low_number, (uint16_t)high_number};
    return true;
}

bool grammar_ports(const char *const *texts, size_t count, bool allow_any, bool *any,
                   struct port_range **ranges, size_t *range_count, struct error *err)
{
    CLEANUP_FREE struct port_range *found = calloc(count_parts(texts, count) + 1, sizeof(*found));
    size_t found_count = 0;
    bool found_any = false;

    if (found == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const char *rest = texts[i];
        struct part part;
        while (next_part(&rest, &part)) {
            bool is_any = part.length == 1 && part.text[0] == '*';
            if (is_any && !allow_any)
                return error_config(err, "the wildcard `*` is only supported for --net-allow-bind");
            if (!is_any && !read_port_range(part, &found[found_count], err))
                return false;
            found_any = found_any || is_any;
            found_count += is_any ? 0 : 1;
        }
    }
    if (found_any && found_count > 0)
        return error_config(err, "wildcard `*` cannot be combined with port lists");
    *any = found_any;
    *range_count = port_ranges_merge(found, found_count);
    *ranges = NULL;
    if (found_count > 0) {
        *ranges = found;
        found = NULL;
    }
    return true;
}

/* ---- Lists of numbers -------------------------------------------------------------------------- */

static int compare_numbers(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;

    return (*a > *b) - (*a < *b);
}

static void keep_number(void *number)
{
    (void)number; /* it belongs to the list, not to the tree */
}

/* Keeps the first of equal numbers, and the order. False when out of memory. */
static bool drop_repeats(uint32_t *numbers, size_t *count)
{
    void *seen = NULL;
    size_t kept = 0;
    bool good = true;

    for (size_t i = 0; i < *count && good; i++) {
        numbers[kept] = numbers[i];
        void *node = tsearch(&numbers[kept], &seen, compare_numbers);
        good = node != NULL;
        /* A node begins with the pointer to its element: an older one if the number was known. */
        if (good && *(uint32_t **)node == &numbers[kept])
            kept++;
    }
    tdestroy(seen, keep_number);
    *count = kept;
    return good;
}

bool grammar_uint_list(const char *const *texts, size_t count, uint32_t **values,
                       size_t *value_count, struct error *err)
{
    CLEANUP_FREE uint32_t *found = calloc(count_parts(texts, count) + 1, sizeof(*found));
    size_t found_count = 0;

    if (found == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const char *rest = texts[i];
        struct part part;
        while (next_part(&rest, &part)) {
            uint64_t number = 0;
            if (part.length == 0)
                return error_config(err, "empty item in %s", quote(texts[i]).text);
            if (!read_number(part, 0, UINT32_MAX, "number", &number, err))
                return false;
            found[found_count++] = (uint32_t)number;
        }
    }
    if (!drop_repeats(found, &found_count))
        return out_of_memory(err);
    *value_count = found_count;
    *values = NULL;
    if (found_count > 0) {
        *values = found;
        found = NULL;
    }
    return true;
}

bool grammar_gpu(const char *text, enum gpu_mode *mode, uint32_t **devices, size_t *count,
                 struct error *err)
{
    struct part part = trimmed(whole(text));

    if (part.length == 3 && strncasecmp(part.text, "all", 3) == 0) {
        *mode = GPU_ALL;
        *devices = NULL;
        *count = 0;
        return true;
    }
    if (!grammar_uint_list(&text, 1, devices, count, err))
        return error_wrap(err, "expected \"all\" or a comma list of device numbers");
    *mode = GPU_LIST;
    return true;
}

/* ---- User, environment, name ------------------------------------------------------------------- */

bool grammar_user(const char *text, uint32_t *uid, uint32_t *gid, struct error *err)
{
    const char *colon = strchr(text, ':');
    uint64_t user = 0, group = 0;

    if (colon == NULL)
        return error_config(err, "expected UID:GID, found %s", quote(text).text);
    if (!read_number(trimmed((struct part){text, (size_t)(colon - text)}), 0, UINT32_MAX,
                     "user number", &user, err) ||
        !read_number(trimmed(whole(colon + 1)), 0, UINT32_MAX, "group number", &group, err))
        return error_wrap(err, "expected UID:GID, found %s", quote(text).text);
    *uid = (uint32_t)user;
    *gid = (uint32_t)group;
    return true;
}

bool grammar_env(const char *text, size_t *key_length, struct error *err)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL)
        return error_config(err, "expected KEY=VALUE, found %s", quote(text).text);
    if (equals == text)
        return error_config(err, "expected KEY=VALUE, found %s: the name of the variable is empty",
                            quote(text).text);
    *key_length = (size_t)(equals - text);
    return true;
}

bool grammar_name(const char *text, struct error *err)
{
    size_t length = strlen(text);

    if (length == 0)
        return error_config(err, "the sandbox name must not be empty");
    if (length > NAME_LENGTH_MAX)
        return error_config(err, "the sandbox name %s must be at most %d bytes long",
                            quote(text).text, NAME_LENGTH_MAX);
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return error_config(err, "the sandbox name must not be '.' or '..'");
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '/')
            return error_config(err, "the sandbox name %s must not contain '/'", quote(text).text);
        if (byte <= 0x20 || byte == 0x7f)
            return error_config(err,
                                "the sandbox name %s must not contain whitespace or control "
                                "characters",
                                quote(text).text);
    }
    if (!text_is_utf8(text, length))
        return error_config(err, "the sandbox name %s must not contain bytes that are not UTF-8",
                            quote(text).text);
    if (!text_is_printable(text, length))
        return error_config(err,
                            "the sandbox name %s must not contain control characters or "
                            "characters that hide or reorder text",
                            quote(text).text);
    return true;
}
