/* A growable vector of owned strings, NULL-terminated so that it can be passed as argv or envp. */
#ifndef SANDLOCK_UTIL_STRV_H
#define SANDLOCK_UTIL_STRV_H

#include <stdbool.h>
#include <stddef.h>

struct strv {
    char **items; /* NULL while empty; items[count] is NULL otherwise */
    size_t count;
    size_t capacity;
};

#define STRV_INIT ((struct strv){0})
#define CLEANUP_STRV __attribute__((cleanup(strv_free)))

void strv_free(struct strv *strv);

/* Append a copy / a string that the vector takes over (freed on failure). False: out of memory. */
bool strv_add(struct strv *strv, const char *text);
bool strv_take(struct strv *strv, char *text);
bool strv_copy(struct strv *to, const struct strv *from);
bool strv_contains(const struct strv *strv, const char *text);
void strv_sort(struct strv *strv); /* bytewise */

/* The position of the item that begins with "KEY=", or -1. */
ptrdiff_t strv_find_key(const struct strv *strv, const char *key, size_t key_length);

/* Replaces item `index` by a string that the vector takes over. */
void strv_replace(struct strv *strv, size_t index, char *text);

/* Takes item `index` out; those behind it move up. */
void strv_remove(struct strv *strv, size_t index);

/* The items joined by `separator`; owned, NULL when out of memory. */
char *strv_join(const struct strv *strv, const char *separator);

#endif
