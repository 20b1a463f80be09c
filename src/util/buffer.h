/*
 * A growable byte buffer that is always NUL-terminated. An allocation failure is remembered and
 * makes every later append a no-op, so that text can be built without a check per line; the one
 * check is buffer_failed() or buffer_take() at the end.
 */
#ifndef SANDLOCK_UTIL_BUFFER_H
#define SANDLOCK_UTIL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* NULL while empty; owned */
    size_t length;
    size_t capacity;
    bool failed;
};

#define BUFFER_INIT ((struct buffer){0})
#define CLEANUP_BUFFER __attribute__((cleanup(buffer_free)))

void buffer_free(struct buffer *buffer);
void buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_char(struct buffer *buffer, char c);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes room for `size` more bytes and returns where they go, NULL on failure. Call buffer_commit()
 * with the number really written. */
char *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_commit(struct buffer *buffer, size_t size);

static inline bool buffer_failed(const struct buffer *buffer)
{
    return buffer->failed;
}

/* The text so far, "" while empty; borrowed. */
const char *buffer_text(const struct buffer *buffer);

/* Hands the bytes out as an owned, NUL-terminated string and empties the buffer. NULL if an append
 * failed. */
char *buffer_take(struct buffer *buffer);

#endif
