/* Advice after a failed run: see advice.h. */
#include "cli/advice.h"

#include "util/text.h"

#include <errno.h>
#include <string.h>

/* Where the loader, the C library and the usual interpreters are. */
static const char *const system_directories[] = {"/usr", "/lib", "/lib64"};
#define SYSTEM_DIRECTORY_COUNT (sizeof(system_directories) / sizeof(system_directories[0]))

static bool covers(const char *grant, const char *path)
{
    size_t length = strlen(grant);

    while (length > 1 && grant[length - 1] == '/')
        length--;
    if (length == 1 && grant[0] == '/')
        return path[0] == '/';
    return strncmp(grant, path, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool any_covers(const struct strv *grants, const char *path)
{
    for (size_t i = 0; i < grants->count; i++) {
        if (covers(grants->items[i], path))
            return true;
    }
    return false;
}

bool advice_is_granted(const struct policy *policy, const char *path)
{
    return any_covers(&policy->fs_read, path) || any_covers(&policy->fs_read_try, path) ||
           any_covers(&policy->fs_write, path) || any_covers(&policy->fs_write_try, path);
}

static bool has_grants(const struct policy *policy)
{
    return policy->fs_read.count + policy->fs_read_try.count + policy->fs_write.count +
               policy->fs_write_try.count >
           0;
}

static void append_system_grants(const struct policy *policy, struct buffer *out)
{
    for (size_t i = 0; i < SYSTEM_DIRECTORY_COUNT; i++) {
        if (!advice_is_granted(policy, system_directories[i]))
            buffer_printf(out, " -r %s", system_directories[i]);
    }
}

static bool grants_whole_system(const struct policy *policy)
{
    for (size_t i = 0; i < SYSTEM_DIRECTORY_COUNT; i++) {
        if (!advice_is_granted(policy, system_directories[i]))
            return false;
    }
    return true;
}

void advice_exec(const struct policy *policy, const char *program, int failed_errno,
                 struct buffer *out)
{
    bool named_by_path = program[0] == '/';

    if (failed_errno != EACCES)
        return;
    if (!has_grants(policy)) {
        buffer_append_text(out, "nothing is accessible without -r or -w; try");
        if (named_by_path && !covers("/usr", program)) {
            buffer_append_text(out, " -r ");
            text_shell_quote(out, program);
        }
        append_system_grants(policy, out);
        return;
    }
    if (named_by_path && !advice_is_granted(policy, program)) {
        buffer_append_text(out, "no grant covers it; add -r ");
        text_shell_quote(out, program);
        return;
    }
    if (!named_by_path || !grants_whole_system(policy)) {
        buffer_append_text(out,
                           "the program, its interpreter or its loader is not readable; add -r "
                           "for their directories, usually");
        append_system_grants(policy, out);
        if (grants_whole_system(policy))
            buffer_append_text(out, " the directory of the program");
        return;
    }
    buffer_append_text(out, "it has no execute permission, or its interpreter or loader is outside "
                            "the -r grants");
}
