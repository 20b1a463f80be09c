/* `sandlock profile list | show NAME | delete NAME`: the files of the user's profile directories. */
#include "cli/cli.h"

#include "policy/profile.h"
#include "policy/quote.h"
#include "util/fd.h"
#include "util/strv.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void append_line(struct buffer *out, const char *before, const char *text, const char *after)
{
    buffer_append_text(out, before);
    text_escape_controls(out, text, strlen(text));
    buffer_printf(out, "%s\n", after);
}

static int list_profiles(const char *unused)
{
    CLEANUP_STRV struct strv names = STRV_INIT;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct error err = {0};

    (void)unused;
    if (!profile_list(&names, &err))
        return cli_fail_plain(&err);
    for (size_t i = 0; i < names.count; i++)
        append_line(&text, "  ", names.items[i], "");
    if (names.count == 0) {
        CLEANUP_FREE char *directory = profile_directory(&err);
        if (directory == NULL)
            return cli_fail_plain(&err);
        append_line(&text, "No profiles found in ", directory, "");
    }
    return cli_print(&text);
}

static bool read_profile(const char *path, struct buffer *out, struct error *err)
{
    CLEANUP_FREE char *data = NULL;
    size_t length = 0;
    struct stat status;
    /* NONBLOCK: a FIFO of that name must not hang us. */
    CLEANUP_FD int fd = RETRY_ON_EINTR(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));

    if (fd < 0)
        return error_runtime(err, errno, "open profile %s", path);
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
        return error_runtime(err, 0, "profile %s is not a regular file", path);
    int result = fd_read_file(fd, PROFILE_SIZE_MAX, &data, &length);
    if (result != 0)
        return error_runtime(err, -result, "read profile %s", path);
    buffer_append(out, data, length);
    buffer_append_char(out, '\n');
    return true;
}

/* The name was wrong, or there is no such profile. */
static int fail_with_list(const struct error *err)
{
    cli_say("%s (sandlock profile list shows all names)", err->text);
    return CLI_FAILURE;
}

static int show_profile(const char *name)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct error err = {0};
    CLEANUP_FREE char *path = profile_find(name, &err);

    if (path == NULL)
        return fail_with_list(&err);
    if (!read_profile(path, &text, &err))
        return cli_fail_plain(&err);
    return cli_print(&text);
}

static int delete_profile(const char *name)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct error err = {0};

    if (!profile_delete(name, &err))
        return cli_fail_plain(&err);
    append_line(&text, "Deleted profile '", name, "'");
    return cli_print(&text);
}

static const struct {
    const char *name;
    bool takes_name;
    int (*perform)(const char *name);
} actions[] = {
    {"list", false, list_profiles},
    {"show", true, show_profile},
    {"delete", true, delete_profile},
};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

static int help_on_stderr(void)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;

    cli_command_find("profile")->help(&text, false);
    fd_write_all(STDERR_FILENO, buffer_text(&text), text.length);
    return CLI_USAGE;
}

static bool asks_for_help(int argc, const char *const *argv, bool *long_form)
{
    for (int i = 1; i < argc; i++) {
        *long_form = strcmp(argv[i], "--help") == 0;
        if (*long_form || strcmp(argv[i], "-h") == 0)
            return true;
        if (strcmp(argv[i], "--") == 0)
            break;
    }
    return false;
}

int cli_profile_main(int argc, const char *const *argv)
{
    bool long_form = false;

    if (argc < 2)
        return help_on_stderr();
    if (asks_for_help(argc, argv, &long_form))
        return cli_help(cli_command_find("profile"), long_form);
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (strcmp(argv[1], actions[i].name) != 0)
            continue;
        /* "--" lets a name begin with a dash. */
        int first = argc > 2 && strcmp(argv[2], "--") == 0 ? 3 : 2;
        int given = argc - first;
        if (first == 2 && given > 0 && argv[2][0] == '-')
            return cli_usage_error("profile", "unknown option %s", quote(argv[2]).text);
        if (given < (actions[i].takes_name ? 1 : 0))
            return cli_usage_error("profile", "%s needs the name of a profile", argv[1]);
        if (given > (actions[i].takes_name ? 1 : 0))
            return cli_usage_error("profile", "unexpected argument %s", quote(argv[argc - 1]).text);
        return actions[i].perform(actions[i].takes_name ? argv[first] : NULL);
    }
    return cli_usage_error("profile", "unknown action %s; known: list, show, delete",
                           quote(argv[1]).text);
}
