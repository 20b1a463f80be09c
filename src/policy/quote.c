/* Quoted text for messages: see quote.h. */
#include "policy/quote.h"

#include "util/buffer.h"
#include "util/text.h"

#include <stdio.h>
#include <string.h>

struct quoted quote_bytes(const char *text, size_t length)
{
    struct quoted quoted;
    CLEANUP_BUFFER struct buffer escaped = BUFFER_INIT;

    text_escape_cut(&escaped, text, length, QUOTE_TEXT_MAX);
    snprintf(quoted.text, sizeof(quoted.text), "'%.*s'", QUOTE_TEXT_MAX, buffer_text(&escaped));
    return quoted;
}

struct quoted quote(const char *text)
{
    return quote_bytes(text, strlen(text));
}
