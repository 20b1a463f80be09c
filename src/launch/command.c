/* Command, environment and PATH candidates: see command.h. */
#include "launch/command.h"

#include "util/fd.h"
#include "util/key_index.h"
#include "util/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What clean_env keeps, if set. */
static const char *const clean_names[] = {"PATH", "HOME", "USER", "TERM", "LANG"};

/* execvp's search path when PATH is unset, and what clean_env gives a command without one. */
#define PATH_UNSET "/bin:/usr/bin"
#define PATH_CLEAN "/usr/local/bin:/usr/bin:/bin"

/* The variables of the policy on their way into the environment. */
struct given {
    const struct strv *env;
    struct key_index index;
    bool *placed; /* by position in `env` */
};

/* Puts the policy's value for a variable at the end, unless it is there already. */
static bool place(struct strv *envp, const struct given *given, size_t position)
{
    if (given->placed[position])
        return true;
    given->placed[position] = true;
    return strv_add(envp, given->env->items[position]);
}

static bool is_clean(const char *variable)
{
    for (size_t i = 0; i < sizeof(clean_names) / sizeof(clean_names[0]); i++) {
        size_t length = strlen(clean_names[i]);
        if (strncmp(variable, clean_names[i], length) == 0 && variable[length] == '=')
            return true;
    }
    return false;
}

/* A given variable takes the place of an inherited one, and of a key that the caller has twice no other value is
 * left: some programs take the first, shells the last. */
static bool environment_inherit(struct strv *envp, const struct given *given,
                                char *const *environment, bool clean)
{
    bool has_path = false;

    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        ptrdiff_t position = -1;
        if (clean && !is_clean(environment[i]))
            continue;
        if (given->env->count > 0)
            position = key_index_find(&given->index, given->env, environment[i]);
        has_path = has_path || strncmp(environment[i], "PATH=", 5) == 0;
        if (position >= 0 ? !place(envp, given, (size_t)position) : !strv_add(envp, environment[i]))
            return false;
    }
    return has_path || !clean || strv_find_key(given->env, "PATH", 4) >= 0 ||
           strv_add(envp, "PATH=" PATH_CLEAN);
}

static bool environment_merge(struct strv *envp, const struct policy *policy,
                              char *const *environment)
{
    const struct strv *env = &policy->env;
    CLEANUP_KEY_INDEX struct key_index index = KEY_INDEX_INIT;
    CLEANUP_FREE bool *placed = calloc(env->count + 1, sizeof(*placed));

    if (placed == NULL || (env->count > 0 && !key_index_reserve(&index, env->count)))
        return false;
    for (size_t i = 0; i < env->count; i++)
        key_index_add(&index, env, i); /* the last value wins */
    const struct given given = {env, index, placed};
    if (!environment_inherit(envp, &given, environment, policy->clean_env))
        return false;
    for (size_t i = 0; i < env->count; i++) {
        if (!place(envp, &given, (size_t)key_index_find(&index, env, env->items[i])))
            return false;
    }
    return true;
}

/* Sets KEY=VALUE in place, or appends it, and leaves no other value of the key. */
static bool environment_set(struct strv *envp, const char *assignment)
{
    size_t key_length = (size_t)(strchr(assignment, '=') - assignment);
    ptrdiff_t index = strv_find_key(envp, assignment, key_length);

    if (index < 0)
        return strv_add(envp, assignment);
    char *copy = strdup(assignment);
    if (copy == NULL)
        return false;
    strv_replace(envp, (size_t)index, copy);
    for (size_t i = envp->count - 1; i > (size_t)index; i--) {
        if (strncmp(envp->items[i], assignment, key_length + 1) == 0)
            strv_remove(envp, i);
    }
    return true;
}

/* Libraries of both vendors number devices by their own order unless told to follow the bus, and
 * then an index would name another device than the node that was granted. */
static bool environment_gpu(struct strv *envp, const struct policy *policy)
{
    if (policy->gpu != GPU_LIST)
        return true;

    struct buffer list = BUFFER_INIT;
    for (size_t i = 0; i < policy->gpu_device_count; i++)
        buffer_printf(&list, "%s%u", i > 0 ? "," : "", policy->gpu_devices[i]);

    struct buffer text = BUFFER_INIT;
    buffer_printf(&text, "CUDA_VISIBLE_DEVICES=%s", buffer_text(&list));
    bool ok =
        !buffer_failed(&list) && !buffer_failed(&text) && environment_set(envp, buffer_text(&text));
    buffer_free(&text);
    buffer_printf(&text, "ROCR_VISIBLE_DEVICES=%s", buffer_text(&list));
    ok = ok && !buffer_failed(&text) && environment_set(envp, buffer_text(&text)) &&
         environment_set(envp, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
    buffer_free(&text);
    buffer_free(&list);
    return ok;
}

static bool environment_build(struct strv *envp, const struct policy *policy,
                              char *const *environment)
{
    if (!environment_merge(envp, policy, environment) || !environment_gpu(envp, policy))
        return false;
    if (envp->items == NULL) { /* execve needs an array also when nothing is in it */
        if (!strv_add(envp, ""))
            return false;
        free(envp->items[0]);
        envp->items[0] = NULL;
        envp->count = 0;
    }
    return true;
}

static bool candidates_build(struct command *command)
{
    const char *file = command->argv.items[0];

    if (file[0] == '\0' || strchr(file, '/') != NULL)
        return strv_add(&command->candidates, file);

    ptrdiff_t index = strv_find_key(&command->envp, "PATH", 4);
    const char *path = index >= 0 ? command->envp.items[index] + 5 : PATH_UNSET;
    for (;;) {
        const char *end = strchr(path, ':');
        size_t length = end != NULL ? (size_t)(end - path) : strlen(path);
        struct buffer candidate = BUFFER_INIT;

        buffer_append(&candidate, path, length); /* an empty entry is the current directory */
        if (length > 0)
            buffer_append_char(&candidate, '/');
        buffer_append_text(&candidate, file);
        if (candidate.length >= PATH_MAX) { /* execve would refuse it; try the others */
            buffer_free(&candidate);
        } else if (!strv_take(&command->candidates, buffer_take(&candidate))) {
            return false;
        }
        if (end == NULL)
            break;
        path = end + 1;
    }
    return command->candidates.count > 0 || strv_add(&command->candidates, file);
}

/* For messages of the child, which can escape nothing itself. */
static bool show(const char *text, char **shown)
{
    CLEANUP_BUFFER struct buffer escaped = BUFFER_INIT;

    if (text == NULL)
        return true;
    text_escape_controls(&escaped, text, strlen(text));
    *shown = buffer_take(&escaped);
    return *shown != NULL;
}

bool command_prepare(struct command *command, const struct policy *policy, const char *const *argv,
                     size_t argc, char *const *environment, struct error *err)
{
    *command = (struct command){0};
    if (argv == NULL || argc == 0)
        return error_config(err, "empty command");
    for (size_t i = 0; i < argc; i++) {
        if (argv[i] == NULL) {
            command_free(command);
            return error_config(err, "command argument %zu is NULL", i);
        }
        if (!strv_add(&command->argv, argv[i]))
            goto no_memory;
    }
    if (command->argv.items[0][0] == '\0') {
        command_free(command);
        return error_config(err, "empty command");
    }
    if (!environment_build(&command->envp, policy, environment) || !candidates_build(command) ||
        !show(command->argv.items[0], &command->shown_program) ||
        !show(policy->cwd, &command->shown_cwd))
        goto no_memory;

    command->shell_argv = calloc(argc + 2, sizeof(*command->shell_argv));
    if (command->shell_argv == NULL)
        goto no_memory;
    command->shell_argv[0] = "/bin/sh";
    for (size_t i = 1; i < argc; i++)
        command->shell_argv[i + 1] = command->argv.items[i];
    return true;

no_memory:
    command_free(command);
    return error_runtime(err, ENOMEM, "command");
}

void command_free(struct command *command)
{
    strv_free(&command->argv);
    strv_free(&command->envp);
    strv_free(&command->candidates);
    free(command->shell_argv);
    free(command->shown_program);
    free(command->shown_cwd);
    *command = (struct command){0};
}
