/* Positions by key: see key_index.h. */
#include "util/key_index.h"

#include <stdlib.h>
#include <string.h>

static size_t key_length(const char *assignment)
{
    return strcspn(assignment, "=");
}

/* FNV-1a. */
static size_t hash_key(const char *key, size_t length)
{
    uint64_t hash = 14695981039346656037ULL;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)key[i]) * 1099511628211ULL;
    return (size_t)(hash ^ hash >> 32);
}

bool key_index_reserve(struct key_index *index, size_t count)
{
    size_t size = 8;

    while (size < 2 * count) /* at most half of it is used */
        size *= 2;
    *index = (struct key_index){.slots = calloc(size, sizeof(*index->slots)), .mask = size - 1};
    return index->slots != NULL;
}

void key_index_free(struct key_index *index)
{
    free(index->slots);
    *index = KEY_INDEX_INIT;
}

/* The slot that has the key, or the free one where it belongs. */
static size_t find_slot(const struct key_index *index, const struct strv *items,
                        const char *assignment)
{
    size_t length = key_length(assignment);
    size_t slot = hash_key(assignment, length) & index->mask;

    for (; index->slots[slot] != 0; slot = (slot + 1) & index->mask) {
        const char *item = items->items[index->slots[slot] - 1];
        if (strncmp(item, assignment, length) == 0 && item[length] == '=')
            break;
    }
    return slot;
}

ptrdiff_t key_index_find(const struct key_index *index, const struct strv *items,
                         const char *assignment)
{
    return strchr(assignment, '=') == NULL
               ? -1
               : (ptrdiff_t)index->slots[find_slot(index, items, assignment)] - 1;
}

void key_index_add(struct key_index *index, const struct strv *items, size_t position)
{
    index->slots[find_slot(index, items, items->items[position])] = (uint32_t)position + 1;
}
