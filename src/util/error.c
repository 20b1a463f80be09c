/* Error objects: see error.h. */
#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_cut(char *text, size_t size)
{
    static const char ellipsis[] = "...";

    memcpy(text + size - sizeof(ellipsis), ellipsis, sizeof(ellipsis));
}

__attribute__((format(printf, 4, 0))) static void fill(struct error *err, enum error_kind kind,
                                                       int sys_errno, const char *format,
                                                       va_list args)
{
    if (err == NULL)
        return;
    err->kind = kind;
    err->sys_errno = sys_errno;
    int length = vsnprintf(err->text, sizeof(err->text), format, args);
    if (length < 0)
        length = 0;
    if ((size_t)length >= sizeof(err->text)) {
        mark_cut(err->text, sizeof(err->text));
        return;
    }
    if (sys_errno == 0)
        return;
    size_t room = sizeof(err->text) - (size_t)length;
    int more = snprintf(err->text + length, room, ": %s", strerror(sys_errno));
    if (more < 0 || (size_t)more >= room)
        mark_cut(err->text, sizeof(err->text));
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

    char inner[ERROR_TEXT_MAX];
    memcpy(inner, err->text, sizeof(inner));

    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (length < 0)
        length = 0;
    if ((size_t)length >= sizeof(err->text)) {
        mark_cut(err->text, sizeof(err->text));
        return false;
    }
    size_t room = sizeof(err->text) - (size_t)length;
    int more = snprintf(err->text + length, room, ": %s", inner);
    if (more < 0 || (size_t)more >= room)
        mark_cut(err->text, sizeof(err->text));
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
