/* Loading the library, by name at run time, has no side effect. The argument is its path. */
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int count_entries(const char *directory)
{
    DIR *entries = opendir(directory);
    int count = 0;

    while (entries != NULL && readdir(entries) != NULL)
        count++;
    if (entries != NULL)
        closedir(entries);
    return count;
}

static void note(char *text, size_t size)
{
    size_t length =
        (size_t)snprintf(text, size, "fds %d threads %d", count_entries("/proc/self/fd"),
                         count_entries("/proc/self/task"));

    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            length += (size_t)snprintf(text + length, size - length, " signal %d", i);
    }
}

int main(int argc, char **argv)
{
    char before[512];
    char after[512];

    note(before, sizeof(before));
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "dlopen: %s\n", dlerror());
        return 1;
    }
    note(after, sizeof(after));
    if (strcmp(before, after) != 0) {
        fprintf(stderr, "before: %s\nafter: %s\n", before, after);
        return 1;
    }
    const char *(*version)(void);
    *(void **)&version = dlsym(library, "sandlock_version");
    puts(version());
    return 0;
}
