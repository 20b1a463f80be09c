/* String vectors: see strv.h. */
#include "util/strv.h"

#include "util/buffer.h"

#include <stdlib.h>
#include <string.h>

void strv_free(struct strv *strv)
{
    for (size_t i = 0; i < strv->count; i++)
        free(strv->items[i]);
    free(strv->items);
    *strv = STRV_INIT;
}

bool strv_take(struct strv *strv, char *text)
{
    if (text == NULL)
        return false;
    if (strv->count + 1 >= strv->capacity) {
        size_t capacity = strv->capacity == 0 ? 8 : strv->capacity * 2;
        char **larger = reallocarray(strv->items, capacity, sizeof(*larger));
        if (larger == NULL) {
            free(text);
            return false;
        }
        strv->items = larger;
        strv->capacity = capacity;
    }
    strv->items[strv->count++] = text;
    strv->items[strv->count] = NULL;
    return true;
}

bool strv_add(struct strv *strv, const char *text)
{
    return strv_take(strv, strdup(text));
}

bool strv_copy(struct strv *to, const struct strv *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (!strv_add(to, from->items[i]))
            return false;
    }
    return true;
}

bool strv_contains(const struct strv *strv, const char *text)
{
    for (size_t i = 0; i < strv->count; i++) {
        if (strcmp(strv->items[i], text) == 0)
            return true;
    }
    return false;
}

static int compare_items(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void strv_sort(struct strv *strv)
{
    if (strv->count > 1)
        qsort(strv->items, strv->count, sizeof(*strv->items), compare_items);
}

ptrdiff_t strv_find_key(const struct strv *strv, const char *key, size_t key_length)
{
    for (size_t i = 0; i < strv->count; i++) {
        if (strncmp(strv->items[i], key, key_length) == 0 && strv->items[i][key_length] == '=')
            return (ptrdiff_t)i;
    }
    return -1;
}

void strv_replace(struct strv *strv, size_t index, char *text)
{
    free(strv->items[index]);
    strv->items[index] = text;
}

void strv_remove(struct strv *strv, size_t index)
{
    free(strv->items[index]);
    memmove(&strv->items[index], &strv->items[index + 1],
            (strv->count - index) * sizeof(*strv->items)); /* with the NULL */
    strv->count--;
}

char *strv_join(const struct strv *strv, const char *separator)
{
    struct buffer text = BUFFER_INIT;

    for (size_t i = 0; i < strv->count; i++) {
        if (i > 0)
            buffer_append_text(&text, separator);
        buffer_append_text(&text, strv->items[i]);
    }
    return buffer_take(&text);
}
