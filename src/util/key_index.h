/*
 * Finds "KEY=VALUE" items of a vector by their keys, also in environments of many thousands of variables: a table
 * of positions, open addressing. The vector is the caller's, and may grow behind what was added.
 */
#ifndef SANDLOCK_UTIL_KEY_INDEX_H
#define SANDLOCK_UTIL_KEY_INDEX_H

#include "util/strv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_index {
    uint32_t *slots; /* position + 1; 0: free */
    size_t mask;
};

#define KEY_INDEX_INIT ((struct key_index){0})
#define CLEANUP_KEY_INDEX __attribute__((cleanup(key_index_free)))

/* Room for `count` items. False: out of memory. */
bool key_index_reserve(struct key_index *index, size_t count);
void key_index_free(struct key_index *index);

/* The position of the item with the key of `assignment`, or -1; also if that has no '='. */
ptrdiff_t key_index_find(const struct key_index *index, const struct strv *items,
                         const char *assignment);

/* Remembers item `position`, which has a '=', instead of an earlier one with its key. As many as there is room
 * for. */
void key_index_add(struct key_index *index, const struct strv *items, size_t position);

#endif
