/* Error objects: see error.h. */
#include "util/error.h"

#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than any text: what is cut here is cut visibly there. */
#define RAW_TEXT_MAX (ERROR_TEXT_MAX + 8)

/* The formatted text, in `room` if it fits there, else allocated: a path of any length must not cost the
 * reason that stands behind it. */
__attribute__((format(printf, 3, 0))) static char *format_raw(char room[RAW_TEXT_MAX],
                                                              char **allocated, const char *format,
                                                              va_list args)
{
    va_list again;

    va_copy(again, args);
    int length = vsnprintf(room, RAW_TEXT_MAX, format, args);
    *allocated = NULL;
    if (length < 0)
        room[0] = '\0';
    if (length >= RAW_TEXT_MAX && vasprintf(allocated, format, again) < 0)
        *allocated = NULL;
    va_end(again);
    return *allocated != NULL ? *allocated : room;
}

/* "TEXT: REASON"; without a reason the text alone. What is cut is the text, unless the reason alone would
 * fill the line. The reason may be `text` itself. */
static void join(char text[ERROR_TEXT_MAX], const char *raw, const char *reason)
{
    char both[2 * ERROR_TEXT_MAX];
    char line[ERROR_TEXT_MAX];

    if (reason == NULL) {
        text_to_line(text, ERROR_TEXT_MAX, raw);
        return;
    }
    size_t behind = strlen(reason) + 2;
    text_to_line(line, behind < sizeof(line) / 2 ? sizeof(line) - behind : sizeof(line), raw);
    snprintf(both, sizeof(both), "%s: %s", line, reason);
    text_to_line(text, ERROR_TEXT_MAX, both);
}

__attribute__((format(printf, 4, 0))) static void fill(struct error *err, enum error_kind kind,
                                                       int sys_errno, const char *format,
                                                       va_list args)
{
    char room[RAW_TEXT_MAX];
    char *allocated;

    if (err == NULL)
        return;
    err->kind = kind;
    err->sys_errno = sys_errno;
    const char *raw = format_raw(room, &allocated, format, args);
    join(err->text, raw, sys_errno != 0 ? strerror(sys_errno) : NULL);
    free(allocated);
}

bool error_config(struct error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, ERROR_CONFIG, 0, format, args);
    va_end(args);
    return false;
}

bool error_runtime(struct error *err, int sys_errno, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, ERROR_RUNTIME, sys_errno, format, args);
    va_end(args);
    return false;
}

bool error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return false;

    char room[RAW_TEXT_MAX];
    char *allocated;
    va_list args;
    va_start(args, format);
    const char *raw = format_raw(room, &allocated, format, args);
    va_end(args);
    join(err->text, raw, err->text);
    free(allocated);
    return false;
}

void error_clear(struct error *err)
{
    if (err == NULL)
        return;
    err->kind = ERROR_NONE;
    err->sys_errno = 0;
    err->text[0] = '\0';
}
