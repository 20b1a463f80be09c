/* Help texts: see help.h. */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

/* Where the explanation of an option begins, and where lines are broken. */
#define HELP_COLUMN 30
#define HELP_WIDTH 80
#define DETAILS_COLUMN 8

const struct help_command help_commands[] = {
#define COMMAND(name, arguments, summary) {#name, arguments, summary},
    CLI_COMMANDS(COMMAND)
#undef COMMAND
        {0},
};

const struct help_pair help_values[] = {
    {"PATH", "a file, directory or device; a relative one is taken from the start directory"},
    {"SPEC", "[tcp://|udp://|icmp://][TARGET][:PORTS]; TARGET is a host, an address, a CIDR or *; "
             "[ADDRESS]:PORTS for IPv6; PORTS is a comma list of N and LO-HI (1 to 65535), or *"},
    {"PORTS", "a comma list of N and LO-HI (0 to 65535), or * alone for every port"},
    {"TIME",
     "N, Nms, Ns, Nm or Nh; a bare number is seconds; a limit of 0 is refused: omit the option"},
    {"N", "a decimal number"},
    {"LIST", "a comma list of decimal numbers"},
    {"UID:GID", "two decimal numbers; both are required"},
    {"KEY=VALUE", "split at the first =; the name must not be empty"},
    {"NAME", "of a sandbox: 1 to 64 bytes without blanks, control characters and /; of a profile: "
             "blanks are allowed, it must not begin with a dot; of a system call: as the kernel "
             "spells it"},
    {"GROUP", "sysv_ipc"},
    {"PROTECTION", "fs-refer, fs-truncate, net-tcp, fs-ioctl-dev, signal-scope or "
                   "abstract-unix-socket-scope, in any case"},
    {"FEATURE", "metadata-gate, process-gate, unix-gate, listen-gate, netlink-view, hosts-view, "
                "proc-view or supervisor-confinement"},
    {"DEST", "a path (created with mode 0600, symbolic links are not followed), fd:N for an open "
             "descriptor, or - for standard error"},
    {"FD", "the number of a descriptor that is open for writing"},
    {"CMD", "a shell command line"},
    {0},
};

const struct help_pair help_statuses[] = {
    {"N", "the command exited with N"},
    {"128+S", "the command was killed by signal S"},
    {"124", "the time limit of --timeout fired"},
    {"125", "sandlock itself or a step of the launch failed"},
    {"126", "the command could not be executed"},
    {"127", "the command was not found"},
    {"2", "an option, a profile or a value is wrong; nothing was started"},
    {0},
};

const struct help_pair help_examples[] = {
    {"sandlock run -r /usr -r /lib -r /lib64 -r /etc -- ls -l /etc", "Look, but touch nothing."},
    {"sandlock run -r /usr -r /lib -r /lib64 -r /etc -w /dev/null -w . --env TMPDIR=$PWD -t 5m -- "
     "make",
     "Build in the current directory, for five minutes at most."},
    {"sandlock run -r /usr -r /lib -r /lib64 --explain -- python3 -c 'open(\"/etc/passwd\")'",
     "Find out what was refused and which option would allow it."},
    {"sandlock run -r /usr -r /lib -r /lib64 -r /etc --net-allow localhost:8080 -- getent ahosts "
     "localhost",
     "Connect to one port of one host, and look up no other name."},
    {0},
};

bool help_shows(const struct option_spec *spec)
{
    return spec->name != NULL && spec->group != NULL;
}

bool help_uses_value(const char *metavar)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (help_shows(spec) && spec->metavar != NULL && strcmp(spec->metavar, metavar) == 0)
            return true;
    }
    return false;
}

/* True if an earlier row already opened the group of row `index`. */
static bool is_repeated_group(size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (help_shows(&option_specs[i]) && option_specs[i].group != NULL &&
            strcmp(option_specs[i].group, option_specs[index].group) == 0)
            return true;
    }
    return false;
}

const char *help_group(size_t index)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (!help_shows(spec) || spec->group == NULL || is_repeated_group(i))
            continue;
        if (index-- == 0)
            return spec->group;
    }
    return NULL;
}

/* ---- Layout ------------------------------------------------------------------------------------ */

static void pad(struct buffer *out, size_t from, size_t to)
{
    for (; from < to; from++)
        buffer_append_char(out, ' ');
}

/* Appends words, breaking lines; the first line is at `column` already, further ones are indented to
 * `indent`. */
static void wrap(struct buffer *out, const char *text, size_t column, size_t indent)
{
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column > indent && column + 1 + length > HELP_WIDTH) {
            buffer_append_char(out, '\n');
            pad(out, 0, indent);
            column = indent;
        } else if (column > indent) {
            buffer_append_char(out, ' ');
            column++;
        }
        buffer_append(out, text, length);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    buffer_append_char(out, '\n');
}

static void write_row(struct buffer *out, const char *left, const char *text, size_t text_column)
{
    size_t column = strlen(left);

    buffer_append_text(out, left);
    if (column + 2 > text_column) {
        buffer_append_char(out, '\n');
        column = 0;
    }
    pad(out, column, text_column);
    wrap(out, text, text_column, text_column);
}

static void write_option(struct buffer *out, const struct option_spec *spec, bool long_form)
{
    char left[96];
    char short_name[8] = "    ";

    if (spec->short_name != 0)
        snprintf(short_name, sizeof(short_name), "-%c, ", spec->short_name);
    snprintf(left, sizeof(left), "  %s--%s%s%s", short_name, spec->name,
             spec->metavar != NULL ? " " : "", spec->metavar != NULL ? spec->metavar : "");
    if (!long_form) {
        write_row(out, left, spec->help, HELP_COLUMN);
        return;
    }
    buffer_printf(out, "%s\n", left);
    pad(out, 0, DETAILS_COLUMN);
    wrap(out, spec->help, DETAILS_COLUMN, DETAILS_COLUMN);
    if (spec->details != NULL) {
        pad(out, 0, DETAILS_COLUMN);
        wrap(out, spec->details, DETAILS_COLUMN, DETAILS_COLUMN);
    }
    if (!spec->unsupervised) {
        pad(out, 0, DETAILS_COLUMN);
        buffer_append_text(out, "Not available with --no-supervisor.\n");
    }
    if (spec->section != NULL) {
        pad(out, 0, DETAILS_COLUMN);
        buffer_printf(out, "Profile key: [%s].%s\n", spec->section, spec->key);
    }
}

static void write_pairs(struct buffer *out, const struct help_pair *pairs, size_t column)
{
    for (; pairs->name != NULL; pairs++) {
        char left[64];
        snprintf(left, sizeof(left), "  %s", pairs->name);
        write_row(out, left, pairs->text, column);
    }
}

static void write_values(struct buffer *out)
{
    for (const struct help_pair *value = help_values; value->name != NULL; value++) {
        char left[64];
        if (!help_uses_value(value->name))
            continue;
        snprintf(left, sizeof(left), "  %s", value->name);
        write_row(out, left, value->text, 16);
    }
}

static void write_usage(struct buffer *out, const char *name)
{
    for (const struct help_command *command = help_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) != 0)
            continue;
        buffer_printf(out, "Usage: sandlock %s %s\n\n", name, command->arguments);
        return;
    }
}

static void write_help_row(struct buffer *out)
{
    write_row(out, "  -h, --help", "this help; -h is the short form, --help the long one",
              HELP_COLUMN);
}

/* ---- Commands ---------------------------------------------------------------------------------- */

void help_top(struct buffer *out)
{
    buffer_append_text(out, "sandlock: run a command under kernel confinement, without root and "
                            "without containers\n\n"
                            "Usage: sandlock COMMAND [OPTION...]\n\nCommands:\n");
    for (const struct help_command *command = help_commands; command->name != NULL; command++)
        buffer_printf(out, "  %-10s%s\n", command->name, command->summary);
    buffer_append_text(out, "\nOptions:\n"
                            "  -h, --help     this help; after a command: the help of the command\n"
                            "  -V, --version  the version\n\n"
                            "Example:\n  ");
    buffer_printf(out, "%s\n", help_examples[0].name);
}

void help_run(struct buffer *out, bool long_form)
{
    const char *group;

    write_usage(out, "run");
    wrap(
        out,
        "Runs COMMAND with access to the given files and ports only. Without -r and -w nothing is "
        "accessible, not even COMMAND itself. Options end at -- or at the first word that is none.",
        0, 0);
    for (size_t index = 0; (group = help_group(index)) != NULL; index++) {
        buffer_printf(out, "\n%s:\n", group);
        for (size_t i = 0; i < OPTION_COUNT; i++) {
            const struct option_spec *spec = &option_specs[i];
            if (help_shows(spec) && spec->group != NULL && strcmp(spec->group, group) == 0)
                write_option(out, spec, long_form);
        }
    }
    buffer_append_char(out, '\n');
    write_help_row(out);
    if (!long_form)
        return;
    buffer_append_text(out, "\nValues:\n");
    write_values(out);
    buffer_append_text(out, "\nExit status:\n");
    write_pairs(out, help_statuses, 16);
    buffer_append_text(out, "\nExamples:\n");
    for (const struct help_pair *example = help_examples; example->name != NULL; example++)
        buffer_printf(out, "  %s\n      %s\n", example->text, example->name);
}

void help_check(struct buffer *out, bool long_form)
{
    write_usage(out, "check");
    wrap(out,
         "Finds out by trying what this system offers: Landlock, system call supervision, the ways "
         "to reach another process, and whether this process is confined already.",
         0, 0);
    buffer_append_char(out, '\n');
    write_row(out, "      --json", "write JSON instead of text", HELP_COLUMN);
    write_row(out, "  -p, --profile NAME", "show what a run under this profile would have here",
              HELP_COLUMN);
    write_help_row(out);
    if (long_form)
        buffer_append_text(out, "\nThe exit status is 0 also where something is missing.\n");
}

void help_profile(struct buffer *out, bool long_form)
{
    write_usage(out, "profile");
    write_row(out, "  list", "names of all profiles", 16);
    write_row(out, "  show NAME", "the text of a profile", 16);
    write_row(out, "  delete NAME", "remove a profile", 16);
    buffer_append_char(out, '\n');
    write_help_row(out);
    if (!long_form)
        return;
    buffer_append_char(out, '\n');
    wrap(out,
         "Profiles are files NAME.toml in $HOME/.config/sandlock/profiles, then in "
         "$XDG_CONFIG_HOME/sandlock/profiles if nobody else can write there, then in "
         "/etc/sandlock/profiles and in share/sandlock/profiles of the installation. "
         "sandlock-profile(5) describes their contents.",
         0, 0);
}

void help_help(struct buffer *out, bool long_form)
{
    (void)long_form;
    write_usage(out, "help");
    buffer_append_text(out, "The same as sandlock COMMAND --help.\n");
}
