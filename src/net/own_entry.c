/* Own entries of procfs: see own_entry.h. */
#include "net/own_entry.h"

#include "supervisor/grants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t number_length(const char *text)
{
    size_t length = strspn(text, "0123456789");

    return text[length] == '/' || text[length] == '\0' ? length : 0;
}

/* The procfs itself says who we are there: the number is not getpid() in one of an outer pid namespace. */
static bool is_self(const char *proc, const char *number, size_t length)
{
    char link[PATH_MAX], self[32];
    int size = snprintf(link, sizeof(link), "%s/self", proc);

    if (size < 0 || (size_t)size >= sizeof(link))
        return false;
    ssize_t target = readlink(link, self, sizeof(self));
    return target > 0 && (size_t)target == length && memcmp(self, number, length) == 0;
}

static void take_rest(struct own_entry *entry, const char *rest)
{
    const char *task = "/task/";

    entry->of_thread = false;
    if (strncmp(rest, task, strlen(task)) == 0) {
        const char *thread = rest + strlen(task);
        size_t length = number_length(thread);
        entry->of_thread = length > 0;
        if (entry->of_thread)
            rest = thread + length;
    }
    snprintf(entry->rest, sizeof(entry->rest), "%s", rest[0] == '/' ? rest + 1 : rest);
}

int own_entry_find(int path_fd, struct own_entry *entry)
{
    char path[PATH_MAX];
    bool unlinked;

    int result = grants_path_of(path_fd, path, sizeof(path), &unlinked);
    if (result < 0)
        return result;
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length = number_length(slash + 1);
        if (length == 0)
            continue;
        *slash = '\0';
        if (is_self(path, slash + 1, length)) {
            memcpy(entry->proc, path, strlen(path) + 1);
            take_rest(entry, slash + 1 + length);
            return 1;
        }
        *slash = '/';
    }
    return 0;
}

char *own_entry_path(const struct own_entry *entry)
{
    const char *whose = entry->of_thread ? "thread-self" : "self";
    const char *rest = entry->rest[0] == '\0' ? "." : entry->rest; /* "self" alone is a link */
    char *path = NULL;

    return asprintf(&path, "%s/%s/%s", entry->proc, whose, rest) < 0 ? NULL : path;
}

bool own_entry_shows_net(const struct own_entry *entry)
{
    const char *rest = entry->rest;

    return rest[0] == '\0' || strcmp(rest, "task") == 0 ||
           (strncmp(rest, "net", 3) == 0 && (rest[3] == '/' || rest[3] == '\0'));
}
