/*
 * The grammar of a TOML document: headers, keys, arrays and inline tables, and the rules that keep a
 * table from being defined twice. Keys are followed into the tree part by part while they are read,
 * so that no list of parts is needed and recursion is only as deep as brackets are.
 */
#include "policy/toml.h"

#include "policy/quote.h"
#include "policy/toml_parts.h"
#include "util/fd.h"

#include <stdlib.h>

struct parser {
    struct toml_cursor cursor;
    struct toml_index index;
};

/* A table and the number of tables and arrays around it. */
struct scope {
    struct toml_value *table;
    unsigned depth;
};

struct key {
    char *text; /* owned */
    size_t length;
    struct toml_place place;
};

static void free_key(struct key *key)
{
    free(key->text);
}

#define CLEANUP_KEY __attribute__((cleanup(free_key)))

static void free_value(struct toml_value **value)
{
    toml_free(*value);
}

#define CLEANUP_VALUE __attribute__((cleanup(free_value)))

static bool read_value(struct parser *parser, unsigned depth, struct toml_value **value);

/* ---- Adding to the tree ------------------------------------------------------------------------ */

static bool refuse_key(struct parser *parser, const struct key *key, const struct toml_member *old,
                       const char *reason)
{
    return toml_fail(&parser->cursor, key->place, "%s %s (line %u)",
                     quote_bytes(key->text, key->length).text, reason, old->line);
}

static bool check_depth(struct parser *parser, unsigned depth, struct toml_place place)
{
    if (depth <= TOML_DEPTH_MAX)
        return true;
    return toml_fail(&parser->cursor, place, "nested more than %d deep", TOML_DEPTH_MAX);
}

/* Moves the value, and the text of the key, into the table. */
static bool add_member(struct parser *parser, struct toml_value *table, struct key *key,
                       struct toml_value *value)
{
    char *text = key->text;

    key->text = NULL;
    return toml_table_add(&parser->index, table, text, key->length, key->place, value) ||
           toml_out_of_memory(&parser->cursor);
}

static struct toml_value *new_value(struct parser *parser, enum toml_type type, unsigned flags,
                                    struct toml_place place)
{
    struct toml_value *value = toml_value_new(type, flags, place);

    if (value == NULL)
        toml_out_of_memory(&parser->cursor);
    return value;
}

static bool add_new_table(struct parser *parser, struct scope *scope, struct key *key,
                          unsigned flags, struct toml_place place)
{
    struct toml_value *table = NULL;

    scope->depth++;
    if (!check_depth(parser, scope->depth, key->place))
        return false;
    table = new_value(parser, TOML_TABLE, flags, place);
    if (table == NULL || !add_member(parser, scope->table, key, table))
        return false;
    scope->table = table;
    return true;
}

/* Enters the table `key` on the way of a header or of a dotted key (`flags` tell which) and creates it
 * if it is missing. */
static bool descend(struct parser *parser, struct scope *scope, struct key *key, unsigned flags)
{
    struct toml_member *member =
        toml_table_find(&parser->index, scope->table, key->text, key->length);

    if (member == NULL)
        return add_new_table(parser, scope, key, flags, key->place);

    struct toml_value *value = member->value;
    scope->depth++;
    if (value->type == TOML_ARRAY && (value->flags & TOML_APPENDABLE) != 0) {
        if (flags == TOML_BY_DOTS)
            return refuse_key(parser, key, member, "is an array of tables already");
        value = value->array.items[value->array.count - 1];
        scope->depth++;
    }
    if (value->type != TOML_TABLE)
        return refuse_key(parser, key, member, "is a value already, not a table");
    if ((value->flags & TOML_CLOSED) != 0)
        return refuse_key(parser, key, member,
                          "is an inline table, which is complete where it ends");
    if (flags == TOML_BY_DOTS) {
        if ((value->flags & TOML_BY_HEADER) != 0)
            return refuse_key(parser, key, member, "has a header of its own already");
        value->flags = TOML_BY_DOTS;
    }
    scope->table = value;
    return true;
}

/* ---- Keys -------------------------------------------------------------------------------------- */

static bool read_key_part(struct parser *parser, struct key *key)
{
    struct toml_cursor *cursor = &parser->cursor;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    key->place = toml_here(cursor);
    if (toml_peek(cursor) == '"' || toml_peek(cursor) == '\'') {
        if (!toml_read_string(cursor, false, &text))
            return false;
    } else {
        const char *start = cursor->at;
        while (toml_is_bare(toml_peek(cursor)))
            cursor->at++;
        if (cursor->at == start)
            return toml_unexpected(cursor, "a key");
        buffer_append(&text, start, (size_t)(cursor->at - start));
    }
    key->length = text.length;
    key->text = buffer_take(&text);
    return key->text != NULL || toml_out_of_memory(cursor);
}

/* Reads a key and enters the table of its last part, which is left in *last. */
static bool read_key(struct parser *parser, struct scope *scope, unsigned flags, struct key *last)
{
    for (;;) {
        CLEANUP_KEY struct key part = {0};
        if (!read_key_part(parser, &part))
            return false;
        toml_skip_blanks(&parser->cursor);
        if (!toml_accept(&parser->cursor, '.')) {
            *last = part;
            part.text = NULL;
            return true;
        }
        if (!descend(parser, scope, &part, flags))
            return false;
        toml_skip_blanks(&parser->cursor);
    }
}

static bool read_pair(struct parser *parser, struct scope scope)
{
    CLEANUP_KEY struct key key = {0};
    struct toml_value *value = NULL;

    if (!read_key(parser, &scope, TOML_BY_DOTS, &key))
        return false;
    if (!toml_accept(&parser->cursor, '='))
        return toml_unexpected(&parser->cursor, "'=' after the key");
    const struct toml_member *old =
        toml_table_find(&parser->index, scope.table, key.text, key.length);
    if (old != NULL)
        return refuse_key(parser, &key, old, "is defined already");
    toml_skip_blanks(&parser->cursor);
    return read_value(parser, scope.depth + 1, &value) &&
           add_member(parser, scope.table, &key, value);
}

/* ---- Values ------------------------------------------------------------------------------------ */

static bool read_array(struct parser *parser, unsigned depth, struct toml_value *array)
{
    struct toml_cursor *cursor = &parser->cursor;

    cursor->at++;
    for (;;) {
        struct toml_value *item = NULL;
        if (!toml_skip_lines(cursor))
            return false;
        if (toml_accept(cursor, ']'))
            return true;
        if (cursor->at == cursor->end)
            return toml_unexpected(cursor, "a value or ']'");
        if (!read_value(parser, depth + 1, &item))
            return false;
        if (!toml_array_add(array, item))
            return toml_out_of_memory(cursor);
        if (!toml_skip_lines(cursor))
            return false;
        if (toml_accept(cursor, ']'))
            return true;
        if (!toml_accept(cursor, ','))
            return toml_unexpected(cursor, "',' or ']' in the array");
    }
}

static bool read_inline_table(struct parser *parser, unsigned depth, struct toml_value *table)
{
    struct toml_cursor *cursor = &parser->cursor;

    cursor->at++;
    toml_skip_blanks(cursor);
    if (!toml_accept(cursor, '}')) {
        do {
            toml_skip_blanks(cursor);
            if (!read_pair(parser, (struct scope){table, depth}))
                return false;
            toml_skip_blanks(cursor);
        } while (toml_accept(cursor, ','));
        if (!toml_accept(cursor, '}'))
            return toml_unexpected(cursor,
                                   "',' or '}' in the inline table, which stays on one line");
    }
    table->flags = TOML_CLOSED;
    return true;
}

static bool read_string(struct parser *parser, struct toml_value *value)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    if (!toml_read_string(&parser->cursor, true, &text))
        return false;
    value->string.length = text.length;
    value->string.data = buffer_take(&text);
    return value->string.data != NULL || toml_out_of_memory(&parser->cursor);
}

/* `depth` is the number of tables and arrays around the value. */
static bool read_value(struct parser *parser, unsigned depth, struct toml_value **result)
{
    struct toml_place place = toml_here(&parser->cursor);
    int first = toml_peek(&parser->cursor);
    enum toml_type type = first == '[' ? TOML_ARRAY : first == '{' ? TOML_TABLE : TOML_STRING;
    CLEANUP_VALUE struct toml_value *value = NULL;
    bool good;

    if (type != TOML_STRING && !check_depth(parser, depth, place))
        return false;
    value = new_value(parser, type, 0, place);
    if (value == NULL)
        return false;
    if (first == '[')
        good = read_array(parser, depth, value);
    else if (first == '{')
        good = read_inline_table(parser, depth, value);
    else if (first == '"' || first == '\'')
        good = read_string(parser, value);
    else
        good = toml_read_scalar(&parser->cursor, value);
    if (!good)
        return false;
    *result = value;
    value = NULL;
    return true;
}

/* ---- Headers ----------------------------------------------------------------------------------- */

static bool define_table(struct parser *parser, struct scope *scope, struct key *key,
                         struct toml_place place)
{
    struct toml_member *member =
        toml_table_find(&parser->index, scope->table, key->text, key->length);

    if (member == NULL)
        return add_new_table(parser, scope, key, TOML_BY_HEADER, place);
    if (member->value->type != TOML_TABLE || (member->value->flags & TOML_IMPLIED) == 0)
        return refuse_key(parser, key, member, "is defined already");
    scope->depth++;
    scope->table = member->value;
    scope->table->flags = TOML_BY_HEADER;
    scope->table->line = place.line;
    scope->table->column = place.column;
    return true;
}

/* Finds or makes the array that [[key]] adds to; NULL and an error if it cannot be. */
static struct toml_value *find_table_array(struct parser *parser, struct scope *scope,
                                           struct key *key, struct toml_place place)
{
    struct toml_member *member =
        toml_table_find(&parser->index, scope->table, key->text, key->length);

    if (member == NULL) {
        struct toml_value *array = new_value(parser, TOML_ARRAY, TOML_APPENDABLE, place);
        return array != NULL && add_member(parser, scope->table, key, array) ? array : NULL;
    }
    if (member->value->type == TOML_ARRAY && (member->value->flags & TOML_APPENDABLE) != 0)
        return member->value;
    refuse_key(parser, key, member, "is defined already, and not as an array of tables");
    return NULL;
}

static bool append_table(struct parser *parser, struct scope *scope, struct key *key,
                         struct toml_place place)
{
    if (!check_depth(parser, scope->depth + 2, place))
        return false;
    struct toml_value *array = find_table_array(parser, scope, key, place);
    if (array == NULL)
        return false;
    struct toml_value *table = new_value(parser, TOML_TABLE, TOML_BY_HEADER, place);
    if (table == NULL)
        return false;
    if (!toml_array_add(array, table))
        return toml_out_of_memory(&parser->cursor);
    scope->table = table;
    scope->depth += 2;
    return true;
}

/* [table] or [[table]]; *scope becomes that table. */
static bool read_header(struct parser *parser, struct toml_value *root, struct scope *scope)
{
    struct toml_cursor *cursor = &parser->cursor;
    struct toml_place place = toml_here(cursor);
    CLEANUP_KEY struct key key = {0};

    cursor->at++;
    bool is_array = toml_accept(cursor, '[');
    *scope = (struct scope){root, 0};
    toml_skip_blanks(cursor);
    if (!read_key(parser, scope, TOML_IMPLIED, &key))
        return false;
    if (!toml_accept(cursor, ']') || (is_array && !toml_accept(cursor, ']')))
        return toml_unexpected(cursor, is_array ? "']]' after the name of the array of tables"
                                                : "']' after the name of the table");
    return is_array ? append_table(parser, scope, &key, place)
                    : define_table(parser, scope, &key, place);
}

static bool read_document(struct parser *parser, struct toml_value *root)
{
    struct toml_cursor *cursor = &parser->cursor;
    struct scope scope = {root, 0};

    for (;;) {
        if (!toml_skip_lines(cursor))
            return false;
        if (cursor->at == cursor->end)
            return true;
        if (!(toml_peek(cursor) == '[' ? read_header(parser, root, &scope)
                                       : read_pair(parser, scope)))
            return false;
        if (!toml_end_line(cursor))
            return false;
    }
}

/* ---- Public ------------------------------------------------------------------------------------ */

struct toml_value *toml_parse(const char *text, size_t length, struct error *err)
{
    struct parser parser = {0};

    if (!toml_cursor_init(&parser.cursor, text, length, err))
        return NULL;
    struct toml_value *root =
        new_value(&parser, TOML_TABLE, TOML_BY_HEADER, (struct toml_place){1, 1});
    if (root == NULL)
        return NULL;
    bool good = read_document(&parser, root);
    toml_index_free(&parser.index);
    if (good)
        return root;
    toml_free(root);
    return NULL;
}

void toml_write_string(struct buffer *out, const char *text, size_t length)
{
    static const char names[] = "btn.fr"; /* 0x08 to 0x0d; vertical tab has no short form */

    buffer_append_char(out, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            buffer_printf(out, "\\%c", byte);
        else if (byte >= '\b' && byte <= '\r' && byte != '\v')
            buffer_printf(out, "\\%c", names[byte - '\b']);
        else if (byte < 0x20 || byte == 0x7f)
            buffer_printf(out, "\\u%04X", byte);
        else
            buffer_append_char(out, (char)byte);
    }
    buffer_append_char(out, '"');
}
