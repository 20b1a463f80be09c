/*
 * `sandlock check`: what this system supports, or with a profile what a run under it would have here.
 */
#include "cli/check.h"

#include "cli/cli.h"
#include "cli/time_limit.h"

#include "kernel/arch.h"
#include "launch/launch.h"
#include "policy/policy.h"
#include "policy/profile.h"
#include "policy/quote.h"
#include "util/fd.h"

#include <stdlib.h>
#include <string.h>

static bool preview(const char *profile, struct posture *posture, struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    struct record record;
    struct policy *policy = NULL;
    uint64_t timeout_ms, kill_after_ms;

    record_init(&record);
    bool good = profile_load(profile, &record, &path, err) && policy_build(&record, &policy, err) &&
                time_limit_take(&record, &timeout_ms, &kill_after_ms, err) &&
                launch_posture_preview(policy, posture, err);
    policy_unref(policy);
    record_free(&record);
    return good;
}

static int check_profile(const char *profile, bool json)
{
    struct posture posture = POSTURE_INIT;
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct error err = {0};
    int status;

    if (!preview(profile, &posture, &err)) {
        status = cli_fail(&err);
    } else {
        if (json) {
            posture_to_json(&posture, NULL, "preview", &text);
            buffer_append_char(&text, '\n');
        } else {
            check_posture_text(&posture, profile, &text);
        }
        status = cli_print(&text);
    }
    posture_free(&posture);
    return status;
}

/* ---- Entry ------------------------------------------------------------------------------------- */

struct check_options {
    bool json;
    const char *profile;
    bool short_help, long_help;
};

/* The value of -p or --profile in `word` or behind it, as `run` takes it: -pNAME, -p=NAME, -p NAME,
 * --profile=NAME, --profile NAME. False: it has none. */
static bool profile_value(int argc, const char *const *argv, int *at, const char **value)
{
    const char *rest = argv[*at] + (argv[*at][1] == '-' ? strlen("--profile") : strlen("-p"));

    if (rest[0] != '\0') {
        *value = rest[0] == '=' ? rest + 1 : rest;
        return true;
    }
    if (*at + 1 >= argc || (argv[*at + 1][0] == '-' && argv[*at + 1][1] != '\0'))
        return false;
    *value = argv[++*at];
    return true;
}

static bool is_profile_option(const char *word)
{
    return strncmp(word, "-p", 2) == 0 || strcmp(word, "--profile") == 0 ||
           strncmp(word, "--profile=", 10) == 0;
}

/* CLI_OK, or the status of the usage error that was reported. */
static int parse(int argc, const char *const *argv, struct check_options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "-h") == 0) {
            options->short_help = true;
        } else if (strcmp(word, "--help") == 0) {
            options->long_help = true;
        } else if (strcmp(word, "--json") == 0) {
            if (options->json)
                return cli_usage_error("check", "--json is given twice");
            options->json = true;
        } else if (is_profile_option(word)) {
            if (options->profile != NULL)
                return cli_usage_error("check", "--profile is given twice");
            if (!profile_value(argc, argv, &i, &options->profile))
                return cli_usage_error("check", "option %s needs a value: %s NAME", word, word);
        } else if (strncmp(word, "--json=", 7) == 0 || strncmp(word, "--help=", 7) == 0) {
            return cli_usage_error("check", "option %.6s takes no value", word);
        } else if (word[0] == '-' && word[1] != '\0' && strcmp(word, "--") != 0) {
            return cli_usage_error("check", "unknown option %s", quote(word).text);
        } else {
            return cli_usage_error("check", "unexpected argument %s", quote(word).text);
        }
    }
    return CLI_OK;
}

int cli_check_main(int argc, const char *const *argv)
{
    struct check_options options = {0};
    int status = parse(argc, argv, &options);

    if (status != CLI_OK)
        return status;
    if (options.short_help || options.long_help)
        return cli_help(cli_command_find("check"), options.long_help);
    if (options.profile != NULL)
        return check_profile(options.profile, options.json);

    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct probe_result host;
    probe_host(&host);
    if (options.json)
        check_json(&host, arch_native->name, &text);
    else
        check_text(&host, arch_native->name, &text);
    return cli_print(&text);
}
