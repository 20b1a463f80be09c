/*
 * Prints each TOML file named on the command line as one line: its tree in the tagged JSON of the
 * toml-test suite, or '!' and the reason why it was refused. Used by toml_corpus.py.
 */
#include "policy/toml.h"
#include "util/fd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FILE_SIZE_MAX (1 << 20)

static void print_string(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void print_time(const struct toml_value *value)
{
    const struct toml_datetime *time = &value->datetime;
    bool has_date = value->type != TOML_LOCAL_TIME;
    bool has_time = value->type != TOML_LOCAL_DATE;

    if (has_date)
        printf("%04d-%02d-%02d", time->year, time->month, time->day);
    if (has_date && has_time)
        putchar('T');
    if (has_time)
        printf("%02d:%02d:%02d.%09" PRIu32, time->hour, time->minute, time->second,
               time->nanosecond);
    if (value->type == TOML_OFFSET_DATETIME) {
        int offset = time->offset_minutes;
        int size = offset < 0 ? -offset : offset;
        printf("%c%02d:%02d", offset < 0 ? '-' : '+', size / 60, size % 60);
    }
}

static void print_float(double number)
{
    if (isnan(number))
        printf("nan");
    else if (isinf(number))
        printf(number < 0 ? "-inf" : "inf");
    else
        printf("%.17g", number);
}

static void print_scalar(const struct toml_value *value)
{
    static const char *const tags[] = {
        [TOML_STRING] = "string",
        [TOML_INTEGER] = "integer",
        [TOML_FLOAT] = "float",
        [TOML_BOOLEAN] = "bool",
        [TOML_OFFSET_DATETIME] = "datetime",
        [TOML_LOCAL_DATETIME] = "datetime-local",
        [TOML_LOCAL_DATE] = "date-local",
        [TOML_LOCAL_TIME] = "time-local",
    };

    printf("{\"type\":\"%s\",\"value\":", tags[value->type]);
    if (value->type == TOML_STRING) {
        print_string(value->string.data, value->string.length);
    } else {
        putchar('"');
        if (value->type == TOML_INTEGER)
            printf("%" PRId64, value->integer);
        else if (value->type == TOML_FLOAT)
            print_float(value->number);
        else if (value->type == TOML_BOOLEAN)
            printf(value->boolean ? "true" : "false");
        else
            print_time(value);
        putchar('"');
    }
    putchar('}');
}

static void print_value(const struct toml_value *value)
{
    if (value->type == TOML_ARRAY) {
        putchar('[');
        for (size_t i = 0; i < value->array.count; i++) {
            if (i > 0)
                putchar(',');
            print_value(value->array.items[i]);
        }
        putchar(']');
    } else if (value->type == TOML_TABLE) {
        putchar('{');
        for (size_t i = 0; i < value->table.count; i++) {
            const struct toml_member *member = &value->table.members[i];
            if (i > 0)
                putchar(',');
            print_string(member->key, member->key_length);
            putchar(':');
            print_value(member->value);
        }
        putchar('}');
    } else {
        print_scalar(value);
    }
}

static bool print_file(const char *path)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    struct error err = {0};
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fd_read_file(fd, FILE_SIZE_MAX, &text, &length) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        return false;
    }
    struct toml_value *root = toml_parse(text, length, &err);
    if (root != NULL)
        print_value(root);
    else
        printf("!%s", err.text);
    putchar('\n');
    toml_free(root);
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!print_file(argv[i]))
            return 1;
    }
    return 0;
}
