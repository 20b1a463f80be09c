/* Completions for bash, zsh and fish. */
#include "cli/docgen.h"

#include "cli/help.h"

#include <string.h>

enum value_completion { COMPLETE_NOTHING, COMPLETE_PATH, COMPLETE_PROFILE, COMPLETE_WORDS };

/* Each with a blank in front. */
static const char feature_words[] =
#define FEATURE(id, name) " " name
#include "policy/features.def"
#undef FEATURE
    ;

static const struct {
    enum option_id id;
    const char *words;
} value_words[] = {
    {OPTION_EXTRA_DENY, "sysv_ipc"},
    {OPTION_EXTRA_ALLOW, "sysv_ipc"},
    {OPTION_ALLOW_DEGRADED, "fs-refer fs-truncate net-tcp fs-ioctl-dev signal-scope "
                            "abstract-unix-socket-scope"},
    {OPTION_DISABLE, "fs-truncate net-tcp fs-ioctl-dev signal-scope abstract-unix-socket-scope"},
    {OPTION_WITHOUT, feature_words + 1},
    {OPTION_WITH, feature_words + 1},
    {OPTION_GPU, "all"},
};

static const char *words_of(const struct option_spec *spec)
{
    for (size_t i = 0; i < sizeof(value_words) / sizeof(value_words[0]); i++) {
        if (value_words[i].id == spec->id)
            return value_words[i].words;
    }
    return NULL;
}

static enum value_completion completion_of(const struct option_spec *spec)
{
    if (words_of(spec) != NULL)
        return COMPLETE_WORDS;
    if (spec->id == OPTION_PROFILE)
        return COMPLETE_PROFILE;
    if (spec->kind == VALUE_PATH || spec->kind == VALUE_PATH_LIST ||
        spec->id == OPTION_PROFILE_FILE || spec->id == OPTION_POSTURE ||
        spec->id == OPTION_LOG_DENIALS)
        return COMPLETE_PATH;
    return COMPLETE_NOTHING;
}

static void append_commands(struct buffer *out)
{
    for (const struct help_command *command = help_commands; command->name != NULL; command++)
        buffer_printf(out, "%s%s", command == help_commands ? "" : " ", command->name);
}

/* ---- bash -------------------------------------------------------------------------------------- */

static void bash_pattern(struct buffer *out, const struct option_spec *spec)
{
    if (spec->short_name != 0)
        buffer_printf(out, "-%c|", spec->short_name);
    buffer_printf(out, "--%s", spec->name);
}

/* A pattern of every option that takes a value. */
static void bash_value_options(struct buffer *out)
{
    const char *between = "";

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!help_shows(&option_specs[i]) || !option_takes_value(&option_specs[i]))
            continue;
        buffer_append_text(out, between);
        bash_pattern(out, &option_specs[i]);
        between = "|";
    }
}

static void bash_value_case(struct buffer *out, const struct option_spec *spec)
{
    buffer_append_text(out, "        ");
    bash_pattern(out, spec);
    buffer_append_text(out, ")\n            ");
    switch (completion_of(spec)) {
    case COMPLETE_PATH:
        buffer_append_text(out, "_sandlock_files");
        break;
    case COMPLETE_PROFILE:
        buffer_append_text(out, "_sandlock_files; _sandlock_profiles");
        break;
    case COMPLETE_WORDS:
        buffer_printf(out, "COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))", words_of(spec));
        break;
    case COMPLETE_NOTHING:
        buffer_append_text(out, "COMPREPLY=()");
        break;
    }
    buffer_append_text(out, "\n            return;;\n");
}

void docgen_bash(struct buffer *out)
{
    buffer_append_text(
        out, "# bash completion for sandlock; generated from the option table\n"
             "\n"
             "# Names are data: whoever may create a file chooses them. None of them goes "
             "through compgen -W,\n"
             "# which expands its words as the shell does, or is split at blanks.\n"
             "_sandlock_profiles() {\n"
             "    local name typed=${cur#[\\\"\\']}\n"
             "    typed=${typed//\\\\/}\n"
             "    while IFS= read -r name; do\n"
             "        [[ $name == '  '* ]] && name=${name#'  '} || continue\n"
             "        [[ $name == \"$typed\"* ]] && COMPREPLY+=(\"$name\")\n"
             "    done < <(sandlock profile list 2>/dev/null)\n"
             "    compopt -o filenames\n"
             "}\n\n"
             "_sandlock_files() {\n"
             "    local name\n"
             "    while IFS= read -r name; do\n"
             "        COMPREPLY+=(\"$name\")\n"
             "    done < <(compgen -f -- \"$cur\")\n"
             "    compopt -o filenames\n"
             "}\n\n"
             "_sandlock_programs() {\n"
             "    local name\n"
             "    while IFS= read -r name; do\n"
             "        COMPREPLY+=(\"$name\")\n"
             "    done < <(compgen -c -- \"$cur\")\n"
             "}\n\n");
    buffer_append_text(out, "_sandlock_run() {\n"
                            "    local i start=0\n"
                            "    # Where the command begins, whose words are its own affair.\n"
                            "    for ((i = 2; i < COMP_CWORD && start == 0; i++)); do\n"
                            "        case \"${COMP_WORDS[i]}\" in\n"
                            "            --) start=$((i + 1));;\n"
                            "            ");
    bash_value_options(out);
    buffer_append_text(
        out, ")\n"
             "                [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))\n"
             "                ((i++))\n"
             "                # A value with = or : in it is several words, too.\n"
             "                while [[ ${COMP_WORDS[i+1]} == [=:]* ]]; do ((i += 2)); done;;\n"
             "            -*) ;;\n"
             "            *) start=$i;;\n"
             "        esac\n"
             "    done\n"
             "    if ((start > 0)); then\n"
             "        ((start == COMP_CWORD)) && _sandlock_programs || compopt -o default\n"
             "        return\n"
             "    fi\n"
             "    case \"$prev\" in\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (help_shows(&option_specs[i]) && option_takes_value(&option_specs[i]))
            bash_value_case(out, &option_specs[i]);
    }
    buffer_append_text(out, "    esac\n"
                            "    if [[ $cur == -* ]]; then\n"
                            "        COMPREPLY=($(compgen -W \"--help");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (help_shows(&option_specs[i]))
            buffer_printf(out, " --%s", option_specs[i].name);
    }
    buffer_append_text(out, "\" -- \"$cur\"))\n"
                            "    else\n"
                            "        _sandlock_programs\n"
                            "    fi\n"
                            "}\n\n"
                            "_sandlock() {\n"
                            "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" "
                            "prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                            "    COMPREPLY=()\n"
                            "    # --option=VALUE is three words: = breaks them.\n"
                            "    if [[ $cur == = && $prev == -* ]]; then\n"
                            "        cur=\n"
                            "    elif [[ $prev == = ]] && ((COMP_CWORD > 2)); then\n"
                            "        prev=\"${COMP_WORDS[COMP_CWORD-2]}\"\n"
                            "    fi\n"
                            "    if ((COMP_CWORD == 1)); then\n"
                            "        COMPREPLY=($(compgen -W \"");
    append_commands(out);
    buffer_append_text(
        out,
        " --help --version\" -- \"$cur\"))\n"
        "        return\n"
        "    fi\n"
        "    case \"${COMP_WORDS[1]}\" in\n"
        "        run) _sandlock_run;;\n"
        "        check)\n"
        "            case \"$prev\" in\n"
        "                -p|--profile) _sandlock_files; _sandlock_profiles;;\n"
        "                *) COMPREPLY=($(compgen -W \"--json --profile --help\" -- \"$cur\"));;\n"
        "            esac;;\n"
        "        help) COMPREPLY=($(compgen -W \"");
    append_commands(out);
    buffer_append_text(
        out, "\" -- \"$cur\"));;\n"
             "        profile)\n"
             "            if ((COMP_CWORD == 2)); then\n"
             "                COMPREPLY=($(compgen -W \"list show delete\" -- \"$cur\"))\n"
             "            elif ((COMP_CWORD == 3)); then\n"
             "                _sandlock_profiles\n"
             "            fi;;\n"
             "    esac\n"
             "}\n"
             "complete -F _sandlock sandlock\n");
}

/* ---- zsh --------------------------------------------------------------------------------------- */

/* Text inside '...[...]' of an _arguments specification. */
static void zsh_text(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            buffer_append_text(out, "'\\''");
        else if (strchr("[]:\\", *text) != NULL)
            buffer_printf(out, "\\%c", *text);
        else
            buffer_append_char(out, *text);
    }
}

static void zsh_action(struct buffer *out, const struct option_spec *spec)
{
    if (!option_takes_value(spec))
        return;
    buffer_append_char(out, ':');
    zsh_text(out, spec->metavar);
    switch (completion_of(spec)) {
    case COMPLETE_PATH:
        buffer_append_text(out, ":_files");
        break;
    case COMPLETE_PROFILE:
        buffer_append_text(out, ":_sandlock_profiles");
        break;
    case COMPLETE_WORDS:
        buffer_printf(out, ":(%s)", words_of(spec));
        break;
    case COMPLETE_NOTHING:
        buffer_append_text(out, ": ");
        break;
    }
}

static bool repeats(const struct option_spec *spec)
{
    return spec->merge == MERGE_ADD || spec->kind == VALUE_ENV;
}

static void zsh_option(struct buffer *out, const struct option_spec *spec)
{
    const char *mark = repeats(spec) ? "*" : "";

    if (spec->short_name != 0) {
        buffer_printf(out, "        '%s-%c[", mark, spec->short_name);
        zsh_text(out, spec->help);
        buffer_append_char(out, ']');
        zsh_action(out, spec);
        buffer_append_text(out, "' \\\n");
    }
    buffer_printf(out, "        '%s--%s%s[", mark, spec->name, option_takes_value(spec) ? "=" : "");
    zsh_text(out, spec->help);
    buffer_append_char(out, ']');
    zsh_action(out, spec);
    buffer_append_text(out, "' \\\n");
}

void docgen_zsh(struct buffer *out)
{
    buffer_append_text(out, "#compdef sandlock\n"
                            "# zsh completion for sandlock; generated from the option table\n"
                            "_sandlock_profiles() {\n"
                            "    local -a names\n"
                            "    names=(${(f)\"$(sandlock profile list 2>/dev/null | sed -n "
                            "'s/^  //p')\"})\n"
                            "    compadd -a names\n"
                            "}\n\n"
                            "_sandlock_run() {\n"
                            "    _arguments -s -S \\\n"
                            "        '(- *)'{-h,--help}'[show help]' \\\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (help_shows(&option_specs[i]))
            zsh_option(out, &option_specs[i]);
    }
    buffer_append_text(out, "        '(-)1:command:_command_names -e' \\\n"
                            "        '*::arguments:_normal'\n"
                            "}\n\n"
                            "_sandlock() {\n"
                            "    local -a commands\n"
                            "    commands=(");
    for (const struct help_command *command = help_commands; command->name != NULL; command++)
        buffer_printf(out, "'%s:%s' ", command->name, command->summary);
    buffer_append_text(out, ")\n"
                            "    if ((CURRENT == 2)); then\n"
                            "        _describe command commands\n"
                            "        return\n"
                            "    fi\n"
                            "    shift words; ((CURRENT--))\n"
                            "    case $words[1] in\n"
                            "        run) _sandlock_run;;\n"
                            "        check) _arguments '--json[write JSON]' "
                            "'(-p --profile)'{-p,--profile}'[posture under a profile]:profile:"
                            "_sandlock_profiles';;\n"
                            "        profile) if ((CURRENT == 2)); then compadd list show delete; "
                            "else _sandlock_profiles; fi;;\n"
                            "        help) _describe command commands;;\n"
                            "    esac\n"
                            "}\n"
                            "_sandlock \"$@\"\n");
}

/* ---- fish -------------------------------------------------------------------------------------- */

static void fish_text(struct buffer *out, const char *text)
{
    buffer_append_char(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *text);
    }
    buffer_append_char(out, '\'');
}

static void fish_option(struct buffer *out, const struct option_spec *spec)
{
    buffer_append_text(out, "complete -c sandlock -n '__fish_seen_subcommand_from run'");
    if (spec->short_name != 0)
        buffer_printf(out, " -s %c", spec->short_name);
    buffer_printf(out, " -l %s", spec->name);
    if (option_takes_value(spec)) {
        switch (completion_of(spec)) {
        case COMPLETE_PATH:
            buffer_append_text(out, " -r -F");
            break;
        case COMPLETE_PROFILE:
            buffer_append_text(out, " -x -a '(__sandlock_profiles)'");
            break;
        case COMPLETE_WORDS:
            buffer_printf(out, " -x -a '%s'", words_of(spec));
            break;
        case COMPLETE_NOTHING:
            buffer_append_text(out, " -x");
            break;
        }
    }
    buffer_append_text(out, " -d ");
    fish_text(out, spec->help);
    buffer_append_char(out, '\n');
}

void docgen_fish(struct buffer *out)
{
    buffer_append_text(out, "# fish completion for sandlock; generated from the option table\n"
                            "function __sandlock_profiles\n"
                            "    sandlock profile list 2>/dev/null | string replace -rf '^  ' ''\n"
                            "end\n");
    for (const struct help_command *command = help_commands; command->name != NULL; command++) {
        buffer_printf(out, "complete -c sandlock -f -n __fish_use_subcommand -a %s -d ",
                      command->name);
        fish_text(out, command->summary);
        buffer_append_char(out, '\n');
    }
    buffer_append_text(
        out,
        "complete -c sandlock -n __fish_use_subcommand -s V -l version -d 'the version'\n"
        "complete -c sandlock -s h -l help -d 'show help'\n"
        "complete -c sandlock -f -n '__fish_seen_subcommand_from profile' -a 'list show delete'\n"
        "complete -c sandlock -f -n '__fish_seen_subcommand_from profile; and "
        "__fish_seen_subcommand_from show delete' -a '(__sandlock_profiles)'\n"
        "complete -c sandlock -f -n '__fish_seen_subcommand_from check' -l json -d 'write JSON'\n"
        "complete -c sandlock -n '__fish_seen_subcommand_from check' -s p -l profile -x -a "
        "'(__sandlock_profiles)'\n");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (help_shows(&option_specs[i]))
            fish_option(out, &option_specs[i]);
    }
}
