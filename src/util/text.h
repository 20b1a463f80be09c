/* Small text helpers: strict number parsing, escaping for people, UTF-8, "did you mean". */
#ifndef SANDLOCK_UTIL_TEXT_H
#define SANDLOCK_UTIL_TEXT_H

#include "util/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unsigned decimal, digits only, no sign, no blanks, at most `max`. False: not such a number. */
bool text_parse_uint(const char *text, size_t length, uint64_t max, uint64_t *value);

/* Appends bytes for a terminal or a log line: control characters, backslash, what hides or reorders text or is not to be
 * seen itself, and bytes that are
 * not valid UTF-8 become \n, \t, \xNN, so that no text can forge a line or drive a terminal. */
void text_escape(struct buffer *out, const char *text, size_t length);

/* As text_escape, but a backslash stays what it is: for whole messages, parts of which are escaped
 * already. Text that went through either function is not changed. */
void text_escape_controls(struct buffer *out, const char *text, size_t length);

/* The same into an array of `size` bytes (at least 4), always terminated; a text that does not fit is
 * cut in the middle ("..."), for its end tells the reason. Allocates nothing. */
void text_to_line(char *line, size_t size, const char *text);

/* As text_escape, but at most `max` bytes of output; longer text is cut in the middle ("..."). */
void text_escape_cut(struct buffer *out, const char *text, size_t length, size_t max);

/* True if the bytes are valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool text_is_utf8(const char *text, size_t length);

/* True if every character can stand on a screen and in a line as it is: valid UTF-8 without control characters (those
 * above U+007F too) and without what hides or reorders text. */
bool text_is_printable(const char *text, size_t length);

/* Length of the valid UTF-8 sequence at `text` (1..4), 0 if there is none. */
size_t text_utf8_sequence(const char *text, size_t length);

/* The candidate closest to `text` by edit distance if it is close enough to be a typing error, else
 * NULL. Candidates end with NULL. */
const char *text_closest(const char *text, const char *const *candidates);

/* A word that a shell reads back as the same bytes, and which no escaping for a terminal changes (it may
 * go through text_escape_controls(), not text_escape()). Any POSIX shell, except where the text has
 * characters that must not reach a screen: that is written as $'...', which not every sh knows. One that
 * does not reads another word, but never more than a word. */
void text_shell_quote(struct buffer *out, const char *text);

/* A copy without leading and trailing blanks and tabs, as a range of the original. */
void text_trim(const char **text, size_t *length);

#endif
