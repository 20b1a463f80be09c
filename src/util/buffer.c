/* Growable byte buffers: see buffer.h. */
#include "util/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = BUFFER_INIT;
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size >= SIZE_MAX / 2 - buffer->length) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->length + size + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity == 0 ? 64 : buffer->capacity;
        while (capacity < needed)
            capacity *= 2;
        char *larger = realloc(buffer->data, capacity);
        if (larger == NULL) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = larger;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_commit(struct buffer *buffer, size_t size)
{
    buffer->length += size;
    buffer->data[buffer->length] = '\0';
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    char *room = buffer_reserve(buffer, size);

    if (room == NULL)
        return;
    if (size > 0)
        memcpy(room, data, size);
    buffer_commit(buffer, size);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_char(struct buffer *buffer, char c)
{
    buffer_append(buffer, &c, 1);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        buffer->failed = true;
    } else {
        char *room = buffer_reserve(buffer, (size_t)length);
        if (room != NULL) {
            vsnprintf(room, (size_t)length + 1, format, again);
            buffer_commit(buffer, (size_t)length);
        }
    }
    va_end(again);
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->data == NULL ? "" : buffer->data;
}

char *buffer_take(struct buffer *buffer)
{
    if (buffer->data == NULL)
        buffer_append(buffer, "", 0);
    if (buffer->failed) {
        buffer_free(buffer);
        return NULL;
    }
    char *taken = buffer->data;
    *buffer = BUFFER_INIT;
    return taken;
}
