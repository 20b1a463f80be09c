/* Small text helpers: see text.h. */
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

/* Words longer than this are never suggested: nobody mistypes them by one letter. */
#define CLOSEST_LENGTH_MAX 64

bool text_parse_uint(const char *text, size_t length, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;

    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (number > max)
        return false;
    *value = number;
    return true;
}

/* ---- UTF-8 ---- */

/* The length a first byte announces and the range of the second byte, which is what excludes
 * overlong forms, surrogates and values above U+10FFFF (Unicode, table 3-7). */
struct utf8_row {
    unsigned char first_low, first_high;
    unsigned char length;
    unsigned char second_low, second_high;
};

static const struct utf8_row utf8_rows[] = {
    {0x00, 0x7f, 1, 0x00, 0x00}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t text_utf8_sequence(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (length == 0)
        return 0;
    for (size_t i = 0; i < sizeof(utf8_rows) / sizeof(*utf8_rows); i++) {
        const struct utf8_row *row = &utf8_rows[i];
        if (bytes[0] < row->first_low || bytes[0] > row->first_high)
            continue;
        if (row->length == 1)
            return 1;
        if (row->length > length || bytes[1] < row->second_low || bytes[1] > row->second_high)
            return 0;
        for (size_t at = 2; at < row->length; at++) {
            if (bytes[at] < 0x80 || bytes[at] > 0xbf)
                return 0;
        }
        return row->length;
    }
    return 0;
}

bool text_is_utf8(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t sequence = text_utf8_sequence(text + at, length - at);
        if (sequence == 0)
            return false;
        at += sequence;
    }
    return true;
}

/* ---- escaping ---- */

/* The longest escaped character: four bytes as \xNN. */
#define ESCAPED_UNIT_MAX 16

/*
 * What nobody sees, or what moves or hides other text on a screen: a name must look like what it is. Of Unicode 16 the
 * control and format characters (Cc, Cf), the separators of lines and paragraphs (Zl, Zp), and all that is ignored where
 * it is not known (Default_Ignorable_Code_Point: variation selectors, tags, fillers, what is reserved among them).
 * Terminals obey U+0080 to U+009F, too ("\xc2\x9b" is CSI). Sorted.
 */
static const struct {
    uint32_t first, last;
} invisible[] = {
    {0x00000, 0x0001f}, {0x0007f, 0x0009f}, {0x000ad, 0x000ad}, {0x0034f, 0x0034f},
    {0x00600, 0x00605}, {0x0061c, 0x0061c}, {0x006dd, 0x006dd}, {0x0070f, 0x0070f},
    {0x00890, 0x00891}, {0x008e2, 0x008e2}, {0x0115f, 0x01160}, {0x017b4, 0x017b5},
    {0x0180b, 0x0180f}, {0x0200b, 0x0200f}, {0x02028, 0x0202e}, {0x02060, 0x0206f},
    {0x03164, 0x03164}, {0x0fe00, 0x0fe0f}, {0x0feff, 0x0feff}, {0x0ffa0, 0x0ffa0},
    {0x0fff0, 0x0fffb}, {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

/* The character of a valid sequence of UTF-8. */
static uint32_t code_point(const unsigned char *bytes, size_t sequence)
{
    uint32_t code = sequence == 1 ? bytes[0] : bytes[0] & (0x7fU >> sequence);

    for (size_t i = 1; i < sequence; i++)
        code = code << 6 | (bytes[i] & 0x3f);
    return code;
}

static bool is_invisible(uint32_t code)
{
    for (size_t i = 0; i < sizeof(invisible) / sizeof(invisible[0]); i++) {
        if (code <= invisible[i].last)
            return code >= invisible[i].first;
    }
    return false;
}

/* Writes the escaped form of the first character and returns how many bytes of input it took. */
static size_t escape_unit(const char *text, size_t length, char unit[ESCAPED_UNIT_MAX],
                          size_t *unit_length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = (const unsigned char *)text;
    size_t sequence = text_utf8_sequence(text, length);

    *unit_length = 2;
    unit[0] = '\\';
    switch (bytes[0]) {
    case '\n':
        unit[1] = 'n';
        return 1;
    case '\t':
        unit[1] = 't';
        return 1;
    case '\r':
        unit[1] = 'r';
        return 1;
    case '\\':
        unit[1] = '\\';
        return 1;
    default:
        break;
    }
    bool plain = sequence > 0 && !is_invisible(code_point(bytes, sequence));
    size_t taken = sequence == 0 ? 1 : sequence;
    if (plain) {
        memcpy(unit, text, taken);
        *unit_length = taken;
        return taken;
    }
    for (size_t i = 0; i < taken; i++) {
        unit[4 * i] = '\\';
        unit[4 * i + 1] = 'x';
        unit[4 * i + 2] = digits[bytes[i] >> 4];
        unit[4 * i + 3] = digits[bytes[i] & 0xf];
    }
    *unit_length = 4 * taken;
    return taken;
}

void text_escape(struct buffer *out, const char *text, size_t length)
{
    char unit[ESCAPED_UNIT_MAX];
    size_t unit_length;

    for (size_t at = 0; at < length;) {
        at += escape_unit(text + at, length - at, unit, &unit_length);
        buffer_append(out, unit, unit_length);
    }
}

/* One character of a message in which backslashes may be those of escapes. */
static size_t escape_control(const char *text, size_t length, char unit[ESCAPED_UNIT_MAX],
                             size_t *unit_length)
{
    if (text[0] != '\\')
        return escape_unit(text, length, unit, unit_length);
    unit[0] = '\\';
    *unit_length = 1;
    return 1;
}

void text_escape_controls(struct buffer *out, const char *text, size_t length)
{
    char unit[ESCAPED_UNIT_MAX];
    size_t unit_length;

    for (size_t at = 0; at < length;) {
        at += escape_control(text + at, length - at, unit, &unit_length);
        buffer_append(out, unit, unit_length);
    }
}

void text_to_line(char *line, size_t size, const char *text)
{
    static const char ellipsis[] = "...";
    size_t length = strlen(text);
    size_t total = 0;
    char unit[ESCAPED_UNIT_MAX];
    size_t unit_length;

    for (size_t at = 0; at < length; total += unit_length)
        at += escape_control(text + at, length - at, unit, &unit_length);
    bool whole = total < size;
    size_t room = size - sizeof(ellipsis);
    size_t head_room = whole ? total : (room + 1) / 2;
    size_t tail_room = whole ? 0 : room - head_room;
    size_t used = 0;
    bool in_head = true;
    for (size_t at = 0, done = 0; at < length; done += unit_length) {
        at += escape_control(text + at, length - at, unit, &unit_length);
        if (in_head && done + unit_length > head_room) {
            memcpy(line + used, ellipsis, sizeof(ellipsis) - 1);
            used += sizeof(ellipsis) - 1;
            in_head = false;
        }
        if (!in_head && total - done > tail_room)
            continue;
        memcpy(line + used, unit, unit_length);
        used += unit_length;
    }
    line[used] = '\0';
}

/* Where the escaped character that begins at `at` ends. The text came from text_escape(), so a walk
 * from its start meets whole characters only. */
static size_t unit_end(const char *escaped, size_t length, size_t at)
{
    if (escaped[at] == '\\')
        return at + 1 < length && escaped[at + 1] == 'x' ? at + 4 : at + 2;
    return at + text_utf8_sequence(escaped + at, length - at);
}

void text_escape_cut(struct buffer *out, const char *text, size_t length, size_t max)
{
    static const char ellipsis[] = "...";
    const size_t dots = sizeof(ellipsis) - 1;
    CLEANUP_BUFFER struct buffer whole = BUFFER_INIT;

    text_escape(&whole, text, length);
    if (buffer_failed(&whole)) {
        out->failed = true;
        return;
    }
    if (whole.length <= max) {
        buffer_append(out, buffer_text(&whole), whole.length);
        return;
    }
    if (max <= dots) {
        buffer_append(out, ellipsis, max);
        return;
    }
    size_t head_room = (max - dots + 1) / 2;
    size_t tail_room = max - dots - head_room;
    size_t head = 0;
    size_t tail = 0;
    for (size_t at = 0; at < whole.length;) {
        size_t next = unit_end(whole.data, whole.length, at);
        if (next <= head_room)
            head = next;
        if (whole.length - at > tail_room)
            tail = next; /* the last border from which the rest fits */
        at = next;
    }
    buffer_append(out, whole.data, head);
    buffer_append(out, ellipsis, dots);
    buffer_append(out, whole.data + tail, whole.length - tail);
}

/* ---- "did you mean" ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), without
 * regard to case. Both texts are at most CLOSEST_LENGTH_MAX long. */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][CLOSEST_LENGTH_MAX + 1];
    size_t *before = rows[0], *previous = rows[1], *current = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        previous[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        current[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            size_t best =
                smaller(previous[j - 1] + (same ? 0 : 1), smaller(previous[j], current[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                best = smaller(best, before[j - 2] + 1);
            current[j] = best;
        }
        size_t *oldest = before;
        before = previous;
        previous = current;
        current = oldest;
    }
    return previous[b_length];
}

const char *text_closest(const char *text, const char *const *candidates)
{
    size_t length = strlen(text);
    const char *closest = NULL;
    size_t closest_distance = 0;

    if (length == 0 || length > CLOSEST_LENGTH_MAX)
        return NULL;
    for (size_t i = 0; candidates[i] != NULL; i++) {
        size_t candidate_length = strlen(candidates[i]);
        if (candidate_length > CLOSEST_LENGTH_MAX)
            continue;
        size_t distance = edit_distance(text, length, candidates[i], candidate_length);
        if (closest == NULL || distance < closest_distance) {
            closest = candidates[i];
            closest_distance = distance;
        }
    }
    /* A third of the word may be wrong, of a short one a letter: half of it would be another word. */
    size_t allowed = length < 5 ? 1 : (length + 2) / 3;
    return closest != NULL && closest_distance <= allowed && closest_distance < length ? closest
                                                                                       : NULL;
}

/* ---- the rest ---- */

bool text_is_printable(const char *text, size_t length)
{
    char unit[ESCAPED_UNIT_MAX];
    size_t unit_length;

    for (size_t at = 0; at < length;) {
        size_t taken = escape_control(text + at, length - at, unit, &unit_length);
        if (taken != unit_length || memcmp(unit, text + at, taken) != 0)
            return false;
        at += taken;
    }
    return true;
}

static void quote_literally(struct buffer *out, const char *text, size_t length)
{
    buffer_append_char(out, '\'');
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\'')
            buffer_append_text(out, "'\\''");
        else
            buffer_append_char(out, text[i]);
    }
    buffer_append_char(out, '\'');
}

/* Octal numbers, because the digits of a \xNN may go on with those behind it. An apostrophe is one of
 * them: a shell that does not know this form reads a dollar sign and '...', which must end where it ends
 * here, or the name would go on outside the quotes. */
static void quote_with_escapes(struct buffer *out, const char *text, size_t length)
{
    char unit[ESCAPED_UNIT_MAX];
    size_t unit_length;

    buffer_append_text(out, "$'");
    for (size_t at = 0; at < length;) {
        size_t taken = escape_unit(text + at, length - at, unit, &unit_length);
        if (text[at] != '\'' && (unit_length == 2 || unit[0] != '\\')) {
            buffer_append(out, unit, unit_length);
        } else {
            for (size_t i = 0; i < taken; i++)
                buffer_printf(out, "\\%03o", (unsigned)(unsigned char)text[at + i]);
        }
        at += taken;
    }
    buffer_append_char(out, '\'');
}

void text_shell_quote(struct buffer *out, const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "_@%+=:,./-";
    size_t length = strlen(text);

    /* "A=b" in front of a command would be read as an assignment; "--option=b" is a word anywhere.
     */
    if (length > 0 && strspn(text, safe) == length && (text[0] == '-' || strchr(text, '=') == NULL))
        buffer_append_text(out, text);
    else if (text_is_printable(text, length))
        quote_literally(out, text, length);
    else
        quote_with_escapes(out, text, length);
}

void text_trim(const char **text, size_t *length)
{
    while (*length > 0 && (**text == ' ' || **text == '\t')) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && ((*text)[*length - 1] == ' ' || (*text)[*length - 1] == '\t'))
        (*length)--;
}
