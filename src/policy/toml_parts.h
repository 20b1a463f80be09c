/*
 * Shared by the files of the TOML reader and by nothing else. toml_lex.c knows characters, lines and
 * strings, toml_scalar.c numbers and times, toml_tree.c the tree and who may add to it, toml.c the
 * grammar of a document.
 */
#ifndef SANDLOCK_POLICY_TOML_PARTS_H
#define SANDLOCK_POLICY_TOML_PARTS_H

#include "policy/toml.h"

/* ---- Characters: toml_lex.c -------------------------------------------------------------------- */

struct toml_place {
    unsigned line, column; /* 1-based; columns count characters, not bytes */
};

/* The text still to be read. It was found to be UTF-8 before the first token. */
struct toml_cursor {
    const char *at, *end;
    const char *marked;      /* somewhere at or before `at` */
    struct toml_place place; /* of `marked` */
    struct error *err;
};

/* The place of `at`. The work of counting is remembered, so all calls together are linear. */
struct toml_place toml_here(struct toml_cursor *cursor);

/* Fill the error with "LINE:COLUMN: reason" and return false. toml_unexpected() tells what stands at
 * the cursor in the place of `expected`. */
bool toml_fail(const struct toml_cursor *cursor, struct toml_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool toml_unexpected(struct toml_cursor *cursor, const char *expected);
bool toml_out_of_memory(const struct toml_cursor *cursor);

/* The next byte, or -1 at the end of the text. */
static inline int toml_peek(const struct toml_cursor *cursor)
{
    return cursor->at < cursor->end ? (unsigned char)*cursor->at : -1;
}

/* Steps over `byte` if it is next. */
static inline bool toml_accept(struct toml_cursor *cursor, char byte)
{
    if (cursor->at >= cursor->end || *cursor->at != byte)
        return false;
    cursor->at++;
    return true;
}

/* Sets the cursor to the start of the text, behind a byte order mark. False: not UTF-8. */
bool toml_cursor_init(struct toml_cursor *cursor, const char *text, size_t length,
                      struct error *err);

void toml_skip_blanks(struct toml_cursor *cursor);

/* Blanks, comments and line ends, in any number. */
bool toml_skip_lines(struct toml_cursor *cursor);

/* Blanks and a comment up to the end of the line, which must come. */
bool toml_end_line(struct toml_cursor *cursor);

bool toml_is_bare(int byte); /* may stand in a key without quotes */

/* The string that begins at the cursor, with either quote; `allow_multi_line` is false for keys. */
bool toml_read_string(struct toml_cursor *cursor, bool allow_multi_line, struct buffer *out);

/* ---- Numbers, booleans and times: toml_scalar.c ------------------------------------------------ */

/* Reads the word at the cursor into `value`: its type and its part of the union. */
bool toml_read_scalar(struct toml_cursor *cursor, struct toml_value *value);

/* ---- The tree: toml_tree.c --------------------------------------------------------------------- */

/* How a table or array came to be, which decides what may still add to it (toml_value.flags). */
enum toml_origin {
    TOML_IMPLIED = 1 << 0,    /* named on the way in a header: may still be defined, once */
    TOML_BY_HEADER = 1 << 1,  /* [table] or an element of [[table]] */
    TOML_BY_DOTS = 1 << 2,    /* on the way in a dotted key: further dotted keys may add */
    TOML_CLOSED = 1 << 3,     /* inline table: complete where it ends */
    TOML_APPENDABLE = 1 << 4, /* array made by [[table]] */
};

/*
 * Finds members of large tables in logarithmic time, whatever the keys are: a balanced tree and no
 * hash, because the one who writes the file would choose keys that collide. Small tables are searched
 * directly and cost no memory here.
 */
struct toml_index {
    void *root; /* of tsearch(3) */
};

void toml_index_free(struct toml_index *index);

/* NULL when out of memory. */
struct toml_value *toml_value_new(enum toml_type type, unsigned flags, struct toml_place place);

struct toml_member *toml_table_find(const struct toml_index *index, const struct toml_value *table,
                                    const char *key, size_t length);

/* Adds a member and takes over `key` and `value`, also on failure. The key must not be there yet.
 * False when out of memory. */
bool toml_table_add(struct toml_index *index, struct toml_value *table, char *key, size_t length,
                    struct toml_place place, struct toml_value *value);

/* Appends and takes over `item`, also on failure. False when out of memory. */
bool toml_array_add(struct toml_value *array, struct toml_value *item);

#endif
