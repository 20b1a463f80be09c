/* The man pages sandlock(1) and sandlock-profile(5), in man(7) macros. */
#include "cli/docgen.h"

#include "cli/help.h"

#include <stdio.h>
#include <string.h>

/* Text of a paragraph: dashes that can be copied, no line that looks like a request. */
static void roff(struct buffer *out, const char *text)
{
    bool line_start = true;

    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            buffer_append_text(out, "\\&");
        line_start = *text == '\n';
        if (*text == '-')
            buffer_append_text(out, "\\-");
        else if (*text == '\\')
            buffer_append_text(out, "\\e");
        else if (*text == '\'')
            buffer_append_text(out, "\\(aq");
        else if (*text == '"')
            buffer_append_text(out, "\\(dq");
        else
            buffer_append_char(out, *text);
    }
}

static void roff_line(struct buffer *out, const char *text)
{
    roff(out, text);
    buffer_append_char(out, '\n');
}

static void section(struct buffer *out, const char *title)
{
    buffer_printf(out, ".SH %s\n", title);
}

static void write_option(struct buffer *out, const struct option_spec *spec)
{
    buffer_append_text(out, ".TP\n");
    if (spec->short_name != 0)
        buffer_printf(out, "\\fB\\-%c\\fR, ", spec->short_name);
    buffer_append_text(out, "\\fB\\-\\-");
    roff(out, spec->name);
    buffer_append_text(out, "\\fR");
    if (spec->metavar != NULL) {
        buffer_append_text(out, " \\fI");
        roff(out, spec->metavar);
        buffer_append_text(out, "\\fR");
    }
    buffer_append_char(out, '\n');
    roff_line(out, spec->help);
    if (spec->details != NULL) {
        buffer_append_text(out, ".br\n");
        roff_line(out, spec->details);
    }
    if (!spec->unsupervised)
        buffer_append_text(out, ".br\nNot available with \\fB\\-\\-no\\-supervisor\\fR.\n");
    if (spec->section != NULL)
        buffer_printf(out, ".br\nProfile key: \\fB[%s].%s\\fR\n", spec->section, spec->key);
}

static void write_pairs(struct buffer *out, const struct help_pair *pairs)
{
    for (; pairs->name != NULL; pairs++) {
        buffer_append_text(out, ".TP\n\\fB");
        roff(out, pairs->name);
        buffer_append_text(out, "\\fR\n");
        roff_line(out, pairs->text);
    }
}

static void write_values(struct buffer *out)
{
    for (const struct help_pair *value = help_values; value->name != NULL; value++) {
        if (!help_uses_value(value->name))
            continue;
        buffer_append_text(out, ".TP\n\\fI");
        roff(out, value->name);
        buffer_append_text(out, "\\fR\n");
        roff_line(out, value->text);
    }
}

static void write_commands(struct buffer *out)
{
    for (const struct help_command *command = help_commands; command->name != NULL; command++) {
        buffer_printf(out, ".TP\n\\fBsandlock %s\\fR ", command->name);
        roff_line(out, command->arguments);
        buffer_printf(out, "%s\n", command->summary);
    }
}

static void write_options(struct buffer *out)
{
    const char *group;

    for (size_t index = 0; (group = help_group(index)) != NULL; index++) {
        buffer_printf(out, ".SS %s\n", group);
        for (size_t i = 0; i < OPTION_COUNT; i++) {
            const struct option_spec *spec = &option_specs[i];
            if (help_shows(spec) && spec->group != NULL && strcmp(spec->group, group) == 0)
                write_option(out, spec);
        }
    }
}

/* One line of JSON and what its members mean. */
static void write_format(struct buffer *out, const char *option, const char *text,
                         const char *example)
{
    buffer_append_text(out, ".TP\n\\fB\\-\\-");
    roff(out, option);
    buffer_append_text(out, "\\fR\n");
    roff_line(out, text);
    buffer_append_text(out, ".IP\n.nf\n");
    roff_line(out, example);
    buffer_append_text(out, ".fi\n");
}

static void write_reports(struct buffer *out)
{
    section(out, "REPORTS");
    buffer_append_text(out, "Each is JSON on one line; members may be added, \\fBv\\fR then stays. "
                            "Text that is not UTF\\-8 has a member of the same name with "
                            "\\fB_b64\\fR, the exact bytes in base64.\n");
    write_format(
        out, "status-fd",
        "The outcome. exit_code: of the command, -1 after a signal; signal, if one ended it; "
        "reason: "
        "exited, signaled, timeout, killed or error; status: what sandlock exits with; limit: "
        "timeout, if it fired; error, or step and errno, after a failed start; name and pid of the "
        "sandbox; wall_ms, cpu_ms, max_memory_bytes and denials.",
        "{\"exit_code\":1,\"v\":1,\"reason\":\"exited\",\"status\":1,\"name\":\"sandbox-4711-1\",\n"
        " \"pid\":4713,\"wall_ms\":22,\"cpu_ms\":2,\"max_memory_bytes\":1572864,\"denials\":1}");
    write_format(
        out, "log-denials",
        "One line for each denial, appended to DEST. seq counts from 1; ts: seconds since 1970; "
        "pid "
        "and comm of the process; call; object: what it was about; want: what was asked for; "
        "errno; "
        "layer: what refused it; rule: why; suggest: the option that would allow it, or null; "
        "count: "
        "how many repetitions the line stands for.",
        "{\"seq\":1,\"ts\":1795646746.951332,\"pid\":4713,\"comm\":\"cat\",\"call\":\"openat\",\n"
        " \"object\":\"/etc/"
        "passwd\",\"want\":\"read\",\"errno\":\"EACCES\",\"layer\":\"landlock\",\n"
        " \"rule\":\"no rule\",\"suggest\":\"--fs-read /etc/passwd\",\"count\":1}");
    write_format(
        out, "posture",
        "Written before the command starts. sandbox: its name; kernel; landlock: abi and errata; "
        "mode: supervised, kernel-only or no-supervisor; entries: each with name (for --require), "
        "state (active, degraded, disabled, off, absent), by (what enforces it) and why; methods: "
        "how a need was met; exceptions: sentences on what this run leaves open.",
        "{\"v\":1,\"sandbox\":\"sandbox-4711-1\",\"kernel\":\"6.12.0\",\n"
        " \"landlock\":{\"abi\":6,\"errata\":0},\"mode\":\"supervised\",\"entries\":[\n"
        " {\"name\":\"net-tcp\",\"state\":\"active\",\"by\":\"landlock\",\"why\":null}],\n"
        " \"methods\":{\"listener\":\"shared-table\"},\"exceptions\":[]}");
}

void docgen_man(struct buffer *out)
{
    buffer_printf(out, ".TH SANDLOCK 1 \"\" \"sandlock %s\" \"User Commands\"\n", SANDLOCK_VERSION);
    section(out, "NAME");
    buffer_append_text(out, "sandlock \\- run a command under kernel confinement\n");
    section(out, "SYNOPSIS");
    for (const struct help_command *command = help_commands; command->name != NULL; command++) {
        buffer_printf(out, ".B sandlock %s\n", command->name);
        roff_line(out, command->arguments);
        buffer_append_text(out, ".br\n");
    }
    section(out, "DESCRIPTION");
    buffer_append_text(out,
                       "Runs a command confined by Landlock and seccomp before its first "
                       "instruction, as an ordinary user, without namespaces and containers. "
                       "Without grants nothing is accessible. What the kernel cannot decide alone "
                       "is answered by a supervisor that ends with the command. When the command "
                       "ends, every process it left behind is killed.\n");
    section(out, "COMMANDS");
    write_commands(out);
    section(out, "OPTIONS OF RUN");
    buffer_append_text(out,
                       "Options end at \\fB\\-\\-\\fR or at the first word that is none. "
                       "A value that begins with a dash needs the form with \\fB=\\fR. Options "
                       "that are not marked repeatable may be given once.\n");
    write_options(out);
    section(out, "VALUES");
    write_values(out);
    section(out, "EXIT STATUS");
    buffer_append_text(out, "Of \\fBrun\\fR; the other commands exit with 0, 1 after a failure and "
                            "2 after a usage error.\n");
    write_pairs(out, help_statuses);
    write_reports(out);
    section(out, "EXAMPLES");
    for (const struct help_pair *example = help_examples; example->name != NULL; example++) {
        buffer_append_text(out, ".PP\n");
        roff_line(out, example->text);
        buffer_append_text(out, ".PP\n.RS\n.nf\n");
        roff_line(out, example->name);
        buffer_append_text(out, ".fi\n.RE\n");
    }
    section(out, "FILES");
    buffer_append_text(out, ".TP\n\\fI$HOME/.config/sandlock/profiles/NAME.toml\\fR\n"
                            "Profiles of the user. \\fI$XDG_CONFIG_HOME/sandlock/profiles\\fR is "
                            "searched second, if nobody else can write there.\n"
                            ".TP\n\\fI/etc/sandlock/profiles\\fR, "
                            "\\fIPREFIX/share/sandlock/profiles\\fR\n"
                            "Profiles of the machine and those that come with sandlock.\n"
                            ".TP\n\\fI/dev/shm/sandlock\\-UID/NAME/\\fR\nA running sandbox.\n");
    section(out, "SEE ALSO");
    buffer_append_text(out,
                       "\\fBsandlock\\-profile\\fR(5), \\fBlandlock\\fR(7), \\fBseccomp\\fR(2)\n");
}

/* ---- sandlock-profile(5) ----------------------------------------------------------------------- */

static const char *toml_type(const struct option_spec *spec)
{
    switch (spec->kind) {
    case VALUE_FLAG:
        return "boolean";
    case VALUE_TEXT:
    case VALUE_PATH:
        return "string";
    case VALUE_UINT:
        return "integer";
    case VALUE_SIZE:
        return "string or integer";
    case VALUE_DURATION:
        return "string, or integer of seconds";
    case VALUE_TEXT_LIST:
    case VALUE_PATH_LIST:
        return "array of strings";
    case VALUE_PORT_LIST:
        return "array of integers and strings";
    case VALUE_UINT_LIST:
        return "array of integers";
    case VALUE_ENV:
        break;
    }
    return "table of strings";
}

static bool is_first_of_section(size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (option_specs[i].section != NULL &&
            strcmp(option_specs[i].section, option_specs[index].section) == 0)
            return false;
    }
    return true;
}

static void write_keys(struct buffer *out, const char *name)
{
    buffer_printf(out, ".SS [%s]\n", name);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];
        if (spec->section == NULL || strcmp(spec->section, name) != 0)
            continue;
        buffer_printf(out, ".TP\n\\fB%s\\fR (%s)\n", spec->key, toml_type(spec));
        roff_line(out, spec->help);
        if (spec->details != NULL) {
            buffer_append_text(out, ".br\n");
            roff_line(out, spec->details);
        }
        if (help_shows(spec)) {
            buffer_append_text(out, ".br\nOption: \\fB\\-\\-");
            roff(out, spec->name);
            buffer_append_text(out, "\\fR\n");
        }
    }
}

void docgen_man_profile(struct buffer *out)
{
    buffer_printf(out, ".TH SANDLOCK-PROFILE 5 \"\" \"sandlock %s\" \"File Formats\"\n",
                  SANDLOCK_VERSION);
    section(out, "NAME");
    buffer_append_text(out, "sandlock\\-profile \\- policy and command of a sandbox\n");
    section(out, "DESCRIPTION");
    buffer_append_text(
        out,
        "A profile is a TOML 1.0 file, used by \\fBsandlock run \\-\\-profile\\fR. Every "
        "section and key may be left out; an unknown one is an error. Options on the command "
        "line are added to lists, replace single values and switch flags on.\n"
        ".PP\nIn paths \\fB${HOME}\\fR is the home directory of the user and \\fB$$\\fR a "
        "dollar sign; a leading tilde and other variables are errors. Nothing is replaced in the "
        "values of \\fBenv\\fR and \\fBargs\\fR. Relative paths are taken from "
        "\\fB[program].cwd\\fR if it is given, else from the directory sandlock is started in.\n"
        ".PP\n\\fBuid\\fR and \\fBgid\\fR are given together or not at all.\n");
    section(out, "KEYS");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (option_specs[i].section != NULL && is_first_of_section(i))
            write_keys(out, option_specs[i].section);
    }
    section(out, "NETWORK");
    buffer_append_text(
        out, "\\fBallow\\fR and \\fBdeny\\fR hold destinations in the form of "
             "\\fB\\-\\-net\\-allow\\fR, "
             "one in each string; \\fBdeny\\fR takes no host names. \\fBallow_bind\\fR and "
             "\\fBdeny_bind\\fR hold ports: integers, or strings as for "
             "\\fB\\-\\-net\\-allow\\-bind\\fR.\n"
             ".PP\n.nf\n[network]\n"
             "allow = [\n"
             "    \"api.example.com:443\",        # a host: TCP and UDP to port 443\n"
             "    \"tcp://10.0.0.0/8:80,8000\\-8010\",\n"
             "    \"tcp://[2001:db8::1]:443\",    # IPv6 with ports in brackets\n"
             "    \"udp://192.0.2.53:53\",        # a DNS server\n"
             "    \"*:443\",                      # any address\n"
             "    \"icmp://*\",                   # ping\n"
             "]\n"
             "deny = [\"10.0.0.1\", \"169.254.0.0/16\"]\n"
             "allow_bind = [8080, \"9000\\-9010\", 0]  # 0: a port that the kernel chooses\n"
             "deny_bind = [9005]\n"
             "port_remap = true\n.fi\n");
    section(out, "EXAMPLE");
    buffer_append_text(
        out, ".nf\n[filesystem]\nread = [\"/usr\", \"/lib\", \"/lib64\", \"/etc\"]\n"
             "write = [\"${HOME}/project\", \"/dev/null\"]\n\n[program]\nexec = \"make\"\n"
             "args = [\"\\-j2\"]\ncwd = \"${HOME}/project\"\n"
             "env = { TMPDIR = \".\" }  # there is no grant of /tmp\n"
             "clean_env = true\n\n[limits]\nprocesses = 64\n"
             "timeout = \"10m\"\n.fi\n");
    section(out, "SEE ALSO");
    buffer_append_text(out, "\\fBsandlock\\fR(1)\n");
}
