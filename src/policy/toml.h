/*
 * A complete TOML 1.0 reader: text to a tree of values with positions. Input is untrusted bytes; the
 * parser is bounded in depth and allocates in proportion to the input. Errors name line and column
 * and say what was expected.
 */
#ifndef SANDLOCK_POLICY_TOML_H
#define SANDLOCK_POLICY_TOML_H

#include "util/buffer.h"
#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nesting of arrays, inline tables and dotted keys; deeper documents are refused. */
#define TOML_DEPTH_MAX 64

enum toml_type {
    TOML_STRING,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOLEAN,
    TOML_OFFSET_DATETIME,
    TOML_LOCAL_DATETIME,
    TOML_LOCAL_DATE,
    TOML_LOCAL_TIME,
    TOML_ARRAY,
    TOML_TABLE,
};

struct toml_datetime {
    int year, month, day;
    int hour, minute, second;
    uint32_t nanosecond;
    int offset_minutes; /* offset date-times only */
};

struct toml_value {
    enum toml_type type;
    unsigned line, column; /* 1-based, of the value (of the header for tables) */
    union {
        struct {
            char *data; /* NUL-terminated; may hold further NULs, see length */
            size_t length;
        } string;
        int64_t integer;
        double number;
        bool boolean;
        struct toml_datetime datetime;
        struct {
            struct toml_value **items;
            size_t count, capacity;
        } array;
        struct {
            struct toml_member *members; /* in file order */
            size_t count, capacity;
        } table;
    };
    unsigned flags; /* private to the parser: defined explicitly, by dots, inline, static */
};

struct toml_member {
    char *key; /* NUL-terminated; may hold NULs, see key_length */
    size_t key_length;
    unsigned line, column; /* of the key */
    struct toml_value *value;
};

/* Parses `length` bytes. NULL and a filled error ("LINE:COLUMN: reason") if they are not TOML 1.0. */
struct toml_value *toml_parse(const char *text, size_t length, struct error *err);
void toml_free(struct toml_value *value);

/* Member lookup, NULL if missing. */
const struct toml_value *toml_get(const struct toml_value *table, const char *key);

const char *toml_type_name(enum toml_type type); /* "string", "integer", … for messages */

/* Appends a basic string with the escapes TOML requires. Bytes must be valid UTF-8. */
void toml_write_string(struct buffer *out, const char *text, size_t length);

#endif
