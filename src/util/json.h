/*
 * Writes JSON into a buffer. Only output: the writer keeps track of commas and nesting, strings are
 * bytes from anywhere and leave as valid UTF-8 (a byte that is not part of valid UTF-8 becomes
 * \u00XX; with json_string_member() a sibling "NAME_b64" then carries the exact bytes).
 */
#ifndef SANDLOCK_UTIL_JSON_H
#define SANDLOCK_UTIL_JSON_H

#include "util/buffer.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

struct json {
    struct buffer *out; /* borrowed */
    unsigned indent;    /* 0 = one line, else blanks per level */
    unsigned depth;
    bool has_items[JSON_DEPTH_MAX];
    bool after_key;
};

void json_init(struct json *json, struct buffer *out, unsigned indent);
void json_object_begin(struct json *json);
void json_object_end(struct json *json);
void json_array_begin(struct json *json);
void json_array_end(struct json *json);
void json_key(struct json *json, const char *key);
void json_string(struct json *json, const char *text); /* NULL writes null */
void json_bytes(struct json *json, const void *data, size_t size);
void json_int(struct json *json, int64_t value);
void json_uint(struct json *json, uint64_t value);
void json_double(struct json *json, double value, int decimals);
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

/* "KEY": "TEXT", plus "KEY_b64" when TEXT is not valid UTF-8. */
void json_string_member(struct json *json, const char *key, const char *text);
void json_int_member(struct json *json, const char *key, int64_t value);
void json_bool_member(struct json *json, const char *key, bool value);

#endif
