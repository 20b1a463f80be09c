/*
 * Text of strangers inside messages: a quoted, escaped and bounded copy by value, so that a message
 * can hold several of them without ownership and no option value or profile byte can forge a line.
 * The copy lives until the end of the full expression: error_config(err, "%s", quote(text).text).
 */
#ifndef SANDLOCK_POLICY_QUOTE_H
#define SANDLOCK_POLICY_QUOTE_H

#include <stddef.h>

#define QUOTE_TEXT_MAX 200

struct quoted {
    char text[QUOTE_TEXT_MAX + 16];
};

/* 'TEXT' with single quotes around it; long text is cut in the middle. */
struct quoted quote(const char *text);
struct quoted quote_bytes(const char *text, size_t length);

#endif
