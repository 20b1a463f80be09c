/*
 * Numbers, booleans, dates and times of TOML. The word at the cursor is cut out first; what it is
 * follows from its first characters, and it must then be that as a whole.
 */
#include "policy/quote.h"
#include "policy/toml_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Exponents beyond this are all the same: infinity or zero. */
#define EXPONENT_MAX 1000000000000000

/* The word being read; `at` moves from its first byte to `end`. */
struct word {
    struct toml_cursor *cursor;
    struct toml_place place;
    const char *text, *at, *end;
};

static bool refuse(const struct word *word, const char *reason)
{
    return toml_fail(word->cursor, word->place, "%s: %s",
                     quote_bytes(word->text, (size_t)(word->end - word->text)).text, reason);
}

static bool equals(const char *text, const char *end, const char *expected)
{
    size_t length = strlen(expected);

    return (size_t)(end - text) == length && memcmp(text, expected, length) == 0;
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static int peek(const struct word *word)
{
    return word->at < word->end ? (unsigned char)*word->at : -1;
}

static bool accept(struct word *word, char byte)
{
    if (peek(word) != byte)
        return false;
    word->at++;
    return true;
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

static int digit_value(int byte, unsigned base)
{
    int value = 99;

    if (is_digit(byte))
        value = byte - '0';
    else if (byte >= 'a' && byte <= 'f')
        value = byte - 'a' + 10;
    else if (byte >= 'A' && byte <= 'F')
        value = byte - 'A' + 10;
    return value < (int)base ? value : -1;
}

/* Digits, with single underscores between two of them. False if there is none, or an underscore in
 * another place. */
static bool take_digits(struct word *word, unsigned base, struct buffer *digits)
{
    do {
        if (digit_value(peek(word), base) < 0)
            return false;
        while (digit_value(peek(word), base) >= 0)
            buffer_append_char(digits, *word->at++);
    } while (accept(word, '_'));
    return true;
}

static bool store_integer(const struct word *word, const struct buffer *digits, unsigned base,
                          bool negative, struct toml_value *value)
{
    const uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t magnitude = 0;

    for (size_t i = 0; i < digits->length; i++) {
        unsigned digit = (unsigned)digit_value(digits->data[i], base);
        if (magnitude > (limit - digit) / base)
            return refuse(word, "integer out of range (64 bits with sign)");
        magnitude = magnitude * base + digit;
    }
    value->type = TOML_INTEGER;
    value->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool read_based_integer(struct word *word, unsigned base, struct toml_value *value)
{
    CLEANUP_BUFFER struct buffer digits = BUFFER_INIT;

    word->at += 2;
    if (!take_digits(word, base, &digits) || word->at != word->end)
        return refuse(word, base == 16  ? "not a hexadecimal number"
                            : base == 8 ? "not an octal number"
                                        : "not a binary number");
    if (buffer_failed(&digits))
        return toml_out_of_memory(word->cursor);
    return store_integer(word, &digits, base, false, value);
}

/* A lack of memory is left in `number`, which is checked before it is used. */
static bool take_exponent(struct word *word, struct buffer *number, int64_t *exponent)
{
    CLEANUP_BUFFER struct buffer digits = BUFFER_INIT;
    bool negative = peek(word) == '-';

    if (peek(word) == '-' || peek(word) == '+')
        word->at++;
    if (!take_digits(word, 10, &digits))
        return false;
    number->failed = number->failed || buffer_failed(&digits);
    for (size_t i = 0; i < digits.length && *exponent < EXPONENT_MAX; i++)
        *exponent = *exponent * 10 + (digits.data[i] - '0');
    if (negative)
        *exponent = -*exponent;
    return true;
}

/* "3.14" goes to strtod(3) as "314e-2": without a decimal point the locale has no say. */
static bool store_float(const struct word *word, struct buffer *digits, int64_t exponent,
                        bool negative, struct toml_value *value)
{
    buffer_printf(digits, "e%" PRId64, exponent);
    if (buffer_failed(digits))
        return toml_out_of_memory(word->cursor);
    value->type = TOML_FLOAT;
    value->number = strtod(digits->data, NULL);
    if (negative)
        value->number = -value->number;
    return true;
}

static bool read_number(struct word *word, struct toml_value *value)
{
    CLEANUP_BUFFER struct buffer digits = BUFFER_INIT;
    bool negative = peek(word) == '-';
    int64_t exponent = 0;

    if (peek(word) == '-' || peek(word) == '+')
        word->at++;
    if (!take_digits(word, 10, &digits))
        return refuse(word, "not a number");
    if (buffer_failed(&digits))
        return toml_out_of_memory(word->cursor);
    if (digits.length > 1 && digits.data[0] == '0')
        return refuse(word, "a number cannot begin with 0");
    if (word->at == word->end)
        return store_integer(word, &digits, 10, negative, value);

    size_t whole = digits.length;
    if (accept(word, '.') && !take_digits(word, 10, &digits))
        return refuse(word, "not a number");
    size_t fraction = digits.length - whole;
    if ((accept(word, 'e') || accept(word, 'E')) && !take_exponent(word, &digits, &exponent))
        return refuse(word, "not a number");
    if (word->at != word->end)
        return refuse(word, "not a number");
    return store_float(word, &digits, exponent - (int64_t)fraction, negative, value);
}

/* inf and nan, with or without sign. False without an error if the word is neither. */
static bool read_special(const struct word *word, struct toml_value *value)
{
    bool has_sign = peek(word) == '-' || peek(word) == '+';
    const char *name = word->text + (has_sign ? 1 : 0);
    bool is_nan = equals(name, word->end, "nan");

    if (!is_nan && !equals(name, word->end, "inf"))
        return false;
    value->type = TOML_FLOAT;
    value->number = is_nan ? (double)NAN : (double)INFINITY;
    if (peek(word) == '-')
        value->number = -value->number;
    return true;
}

/* ---- Dates and times --------------------------------------------------------------------------- */

static bool take_field(struct word *word, int width, int *field)
{
    *field = 0;
    for (int i = 0; i < width; i++) {
        if (!is_digit(peek(word)))
            return false;
        *field = *field * 10 + (*word->at++ - '0');
    }
    return true;
}

static bool take_date(struct word *word, struct toml_datetime *time)
{
    return take_field(word, 4, &time->year) && accept(word, '-') &&
           take_field(word, 2, &time->month) && accept(word, '-') &&
           take_field(word, 2, &time->day);
}

/* Digits beyond nanoseconds are cut off, as TOML demands. */
static bool take_fraction(struct word *word, uint32_t *nanosecond)
{
    uint32_t weight = 100000000;

    if (!is_digit(peek(word)))
        return false;
    for (; is_digit(peek(word)); word->at++, weight /= 10)
        *nanosecond += weight * (uint32_t)(*word->at - '0');
    return true;
}

static bool take_time(struct word *word, struct toml_datetime *time)
{
    if (!take_field(word, 2, &time->hour) || !accept(word, ':') ||
        !take_field(word, 2, &time->minute) || !accept(word, ':') ||
        !take_field(word, 2, &time->second))
        return false;
    return !accept(word, '.') || take_fraction(word, &time->nanosecond);
}

static bool take_offset(struct word *word, struct toml_datetime *time, bool *in_range)
{
    int hours, minutes;
    bool negative = peek(word) == '-';

    if (accept(word, 'Z') || accept(word, 'z'))
        return true;
    if ((!accept(word, '+') && !accept(word, '-')) || !take_field(word, 2, &hours) ||
        !accept(word, ':') || !take_field(word, 2, &minutes))
        return false;
    *in_range = hours < 24 && minutes < 60;
    time->offset_minutes = (hours * 60 + minutes) * (negative ? -1 : 1);
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap_year = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap_year ? 1 : 0);
}

static bool check_date(const struct word *word, const struct toml_datetime *time)
{
    if (time->month < 1 || time->month > 12)
        return refuse(word, "month out of range");
    if (time->day < 1 || time->day > days_of_month(time->year, time->month))
        return refuse(word, "no such day in that month");
    return true;
}

/* Second 60 exists: it is a leap second. */
static bool check_time(const struct word *word, const struct toml_datetime *time)
{
    if (time->hour > 23)
        return refuse(word, "hour out of range");
    if (time->minute > 59)
        return refuse(word, "minute out of range");
    if (time->second > 60)
        return refuse(word, "second out of range");
    return true;
}

static bool read_time(struct word *word, struct toml_value *value)
{
    value->type = TOML_LOCAL_TIME;
    if (!take_time(word, &value->datetime) || word->at != word->end)
        return refuse(word, "not a time (HH:MM:SS)");
    return check_time(word, &value->datetime);
}

static bool read_date(struct word *word, struct toml_value *value)
{
    struct toml_datetime *time = &value->datetime;
    bool offset_in_range = true;

    value->type = TOML_LOCAL_DATE;
    if (!take_date(word, time))
        return refuse(word, "not a date (YYYY-MM-DD)");
    if (word->at != word->end) {
        value->type = TOML_LOCAL_DATETIME;
        if ((!accept(word, 'T') && !accept(word, 't') && !accept(word, ' ')) ||
            !take_time(word, time))
            return refuse(word, "not a date and time (YYYY-MM-DDTHH:MM:SS)");
    }
    if (word->at != word->end) {
        value->type = TOML_OFFSET_DATETIME;
        if (!take_offset(word, time, &offset_in_range) || word->at != word->end)
            return refuse(word, "not a date and time with offset (Z or +HH:MM)");
    }
    if (!offset_in_range)
        return refuse(word, "offset out of range");
    return check_date(word, time) && check_time(word, time);
}

/* ---- Words ------------------------------------------------------------------------------------- */

static bool is_word_byte(int byte)
{
    return toml_is_bare(byte) || byte == '+' || byte == '.' || byte == ':';
}

static void skip_word(struct toml_cursor *cursor)
{
    while (is_word_byte(toml_peek(cursor)))
        cursor->at++;
}

/* True if `count` digits and then `separator` stand at the beginning. */
static bool begins_with_field(const struct word *word, int count, char separator)
{
    if (word->end - word->text <= count || word->text[count] != separator)
        return false;
    for (int i = 0; i < count; i++) {
        if (!is_digit((unsigned char)word->text[i]))
            return false;
    }
    return true;
}

static unsigned base_of_prefix(const struct word *word)
{
    if (word->end - word->text < 2 || word->text[0] != '0')
        return 0;
    switch (word->text[1]) {
    case 'x':
        return 16;
    case 'o':
        return 8;
    case 'b':
        return 2;
    default:
        return 0;
    }
}

static struct word cut_word(struct toml_cursor *cursor)
{
    struct word word = {cursor, toml_here(cursor), cursor->at, cursor->at, NULL};

    skip_word(cursor);
    word.end = cursor->at;
    /* One blank may stand between a date and a time. */
    if (word.end - word.text == 10 && begins_with_field(&word, 4, '-') &&
        toml_peek(cursor) == ' ' && cursor->end - cursor->at > 1 &&
        is_digit((unsigned char)cursor->at[1])) {
        cursor->at++;
        skip_word(cursor);
        word.end = cursor->at;
    }
    return word;
}

bool toml_read_scalar(struct toml_cursor *cursor, struct toml_value *value)
{
    struct word word = cut_word(cursor);
    unsigned base = base_of_prefix(&word);

    if (word.text == word.end)
        return toml_unexpected(cursor, "a value");
    if (equals(word.text, word.end, "true") || equals(word.text, word.end, "false")) {
        value->type = TOML_BOOLEAN;
        value->boolean = *word.text == 't';
        return true;
    }
    if (read_special(&word, value))
        return true;
    if (begins_with_field(&word, 4, '-'))
        return read_date(&word, value);
    if (begins_with_field(&word, 2, ':'))
        return read_time(&word, value);
    if (base != 0)
        return read_based_integer(&word, base, value);
    if (is_digit((unsigned char)*word.text) || *word.text == '+' || *word.text == '-')
        return read_number(&word, value);
    return refuse(&word, "not a value; text needs quotes");
}
