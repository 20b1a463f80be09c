/*
 * The content of a stat file. First any bytes; then a well-formed line around a name that a process
 * chose, which must never move a field.
 */
#include "kernel/procfs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void parse_anything(const char *text)
{
    struct procfs_stat stat;
    int result = procfs_parse_stat(text, &stat);

    check(result == 0 || result == -EINVAL);
    check(memchr(stat.comm, '\0', sizeof(stat.comm)) != NULL);
    if (result != 0)
        return;
    check(stat.pid >= 0 && stat.state != '\0');
    check(strchr(text, '(') != NULL &&
          strncmp(strchr(text, '(') + 1, stat.comm, strlen(stat.comm)) == 0);
}

static void parse_named(const char *name)
{
    char line[512];
    struct procfs_stat stat;

    snprintf(line, sizeof(line),
             "71 (%.64s) S 5 6 7 0 -1 4194304 1 2 3 4 10 11 0 0 20 0 12 0 13 14 15 "
             "18446744073709551615 1 2 3 0\n",
             name);
    check(procfs_parse_stat(line, &stat) == 0);
    check(stat.pid == 71 && stat.state == 'S' && stat.parent == 5 && stat.group == 6 &&
          stat.session == 7);
    check(stat.user_ticks == 10 && stat.system_ticks == 11 && stat.threads == 12);
    check(stat.start_time == 13 && stat.virtual_bytes == 14 && stat.resident_pages == 15);
    check(strncmp(stat.comm, name, 64) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    check(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    parse_anything(text);
    parse_named(text);
    free(text);
    return 0;
}
