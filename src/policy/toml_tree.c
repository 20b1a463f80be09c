/*
 * The tree of values and the index that finds keys in it. Depth is bounded by the parser, so freeing
 * may recurse.
 */
#include "policy/toml_parts.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* Tables up to this size are searched one by one. */
#define INDEX_THRESHOLD 16

struct index_entry {
    const struct toml_value *table;
    const char *key; /* borrowed from the member */
    size_t length;
    size_t position; /* in table.members */
};

/* ---- Values ------------------------------------------------------------------------------------ */

struct toml_value *toml_value_new(enum toml_type type, unsigned flags, struct toml_place place)
{
    struct toml_value *value = calloc(1, sizeof(*value));

    if (value == NULL)
        return NULL;
    value->type = type;
    value->flags = flags;
    value->line = place.line;
    value->column = place.column;
    return value;
}

void toml_free(struct toml_value *value)
{
    if (value == NULL)
        return;
    switch (value->type) {
    case TOML_STRING:
        free(value->string.data);
        break;
    case TOML_ARRAY:
        for (size_t i = 0; i < value->array.count; i++)
            toml_free(value->array.items[i]);
        free(value->array.items);
        break;
    case TOML_TABLE:
        for (size_t i = 0; i < value->table.count; i++) {
            free(value->table.members[i].key);
            toml_free(value->table.members[i].value);
        }
        free(value->table.members);
        break;
    default:
        break;
    }
    free(value);
}

/* Room for one more element. Starts at one, because most tables of a hostile file hold one member. */
static bool grow(void **elements, size_t size, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity == 0 ? 1 : *capacity * 2;
    void *moved = reallocarray(*elements, larger, size);
    if (moved == NULL)
        return false;
    *elements = moved;
    *capacity = larger;
    return true;
}

bool toml_array_add(struct toml_value *array, struct toml_value *item)
{
    void *items = array->array.items;

    if (!grow(&items, sizeof(*array->array.items), array->array.count, &array->array.capacity)) {
        toml_free(item);
        return false;
    }
    array->array.items = items;
    array->array.items[array->array.count++] = item;
    return true;
}

/* ---- The index --------------------------------------------------------------------------------- */

/* The order is arbitrary but total. Comparing the length first keeps the sum of all comparisons
 * proportional to the text of the keys. */
static int compare_entries(const void *left, const void *right)
{
    const struct index_entry *a = left;
    const struct index_entry *b = right;

    if (a->table != b->table)
        return (uintptr_t)a->table < (uintptr_t)b->table ? -1 : 1;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(a->key, b->key, a->length);
}

void toml_index_free(struct toml_index *index)
{
    tdestroy(index->root, free);
    index->root = NULL;
}

static bool add_entry(struct toml_index *index, const struct toml_value *table, size_t position)
{
    const struct toml_member *member = &table->table.members[position];
    struct index_entry *entry = malloc(sizeof(*entry));

    if (entry == NULL)
        return false;
    *entry = (struct index_entry){table, member->key, member->key_length, position};
    if (tsearch(entry, &index->root, compare_entries) != NULL)
        return true;
    free(entry);
    return false;
}

/* ---- Tables ------------------------------------------------------------------------------------ */

struct toml_member *toml_table_find(const struct toml_index *index, const struct toml_value *table,
                                    const char *key, size_t length)
{
    if (table->table.count > INDEX_THRESHOLD) {
        struct index_entry wanted = {table, key, length, 0};
        void *node = tfind(&wanted, &index->root, compare_entries);
        if (node == NULL)
            return NULL;
        /* A node of tsearch(3) begins with the pointer to its element. */
        const struct index_entry *entry = *(struct index_entry *const *)node;
        return &table->table.members[entry->position];
    }
    for (size_t i = 0; i < table->table.count; i++) {
        struct toml_member *member = &table->table.members[i];
        if (member->key_length == length && memcmp(member->key, key, length) == 0)
            return member;
    }
    return NULL;
}

bool toml_table_add(struct toml_index *index, struct toml_value *table, char *key, size_t length,
                    struct toml_place place, struct toml_value *value)
{
    void *members = table->table.members;

    if (!grow(&members, sizeof(*table->table.members), table->table.count,
              &table->table.capacity)) {
        free(key);
        toml_free(value);
        return false;
    }
    table->table.members = members;
    table->table.members[table->table.count++] = (struct toml_member){
        .key = key,
        .key_length = length,
        .line = place.line,
        .column = place.column,
        .value = value,
    };
    if (table->table.count <= INDEX_THRESHOLD)
        return true;
    /* The first member above the threshold brings all earlier ones with it. */
    size_t position = table->table.count == INDEX_THRESHOLD + 1 ? 0 : table->table.count - 1;
    for (; position < table->table.count; position++) {
        if (!add_entry(index, table, position))
            return false;
    }
    return true;
}

/* ---- Public ------------------------------------------------------------------------------------ */

const struct toml_value *toml_get(const struct toml_value *table, const char *key)
{
    size_t length = strlen(key);

    for (size_t i = 0; i < table->table.count; i++) {
        const struct toml_member *member = &table->table.members[i];
        if (member->key_length == length && memcmp(member->key, key, length) == 0)
            return member->value;
    }
    return NULL;
}

const char *toml_type_name(enum toml_type type)
{
    switch (type) {
    case TOML_STRING:
        return "string";
    case TOML_INTEGER:
        return "integer";
    case TOML_FLOAT:
        return "float";
    case TOML_BOOLEAN:
        return "boolean";
    case TOML_OFFSET_DATETIME:
        return "offset date-time";
    case TOML_LOCAL_DATETIME:
        return "local date-time";
    case TOML_LOCAL_DATE:
        return "local date";
    case TOML_LOCAL_TIME:
        return "local time";
    case TOML_ARRAY:
        return "array";
    case TOML_TABLE:
        return "table";
    }
    return "unknown";
}
