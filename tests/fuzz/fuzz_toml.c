/*
 * Any bytes as TOML: reading never crashes, every value of an accepted document can be reached, and
 * every string of it can be written and read back.
 */
#include "policy/toml.h"
#include "util/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* Writes "k = STRING" and reads it back. */
static void check_string(const char *text, size_t length)
{
    struct buffer out = BUFFER_INIT;

    check(text[length] == '\0');
    check(text_is_utf8(text, length));
    buffer_append_text(&out, "k = ");
    toml_write_string(&out, text, length);
    struct toml_value *again = toml_parse(out.data, out.length, NULL);
    check(again != NULL);
    const struct toml_value *value = toml_get(again, "k");
    check(value->string.length == length && memcmp(value->string.data, text, length) == 0);
    toml_free(again);
    buffer_free(&out);
}

static void walk(const struct toml_value *value, unsigned depth)
{
    check(depth <= TOML_DEPTH_MAX + 1);
    check(value->line > 0 && value->column > 0);
    check(strcmp(toml_type_name(value->type), "unknown") != 0);
    if (value->type == TOML_STRING)
        check_string(value->string.data, value->string.length);
    if (value->type == TOML_ARRAY) {
        for (size_t i = 0; i < value->array.count; i++)
            walk(value->array.items[i], depth + 1);
    }
    if (value->type == TOML_TABLE) {
        for (size_t i = 0; i < value->table.count; i++) {
            const struct toml_member *member = &value->table.members[i];
            check(member->key[member->key_length] == '\0');
            if (strlen(member->key) == member->key_length)
                check(toml_get(value, member->key) == member->value); /* no key is there twice */
            walk(member->value, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct toml_value *root = toml_parse((const char *)data, size, &err);

    if (root != NULL)
        walk(root, 0);
    else
        check(err.text[0] >= '1' && err.text[0] <= '9' && strchr(err.text, ':') != NULL);
    toml_free(root);
    return 0;
}
