/*
 * Starting commands: checks what only a C caller can get wrong (NULL pointers, counts, modes), and
 * chooses for each call how the sandbox is driven. Everything else is decided by the launch.
 */
#include "api/api.h"

#include "util/fd.h"

#include <signal.h>
#include <stdlib.h>

_Static_assert((int)SANDLOCK_STDIO_INHERIT == (int)STREAM_INHERIT, "stdio mode");
_Static_assert((int)SANDLOCK_STDIO_PIPED == (int)STREAM_PIPED, "stdio mode");
_Static_assert((int)SANDLOCK_STDIO_NULL == (int)STREAM_NULL, "stdio mode");

static const char *const stream_names[3] = {"stdin", "stdout", "stderr"};

/* ---- What is started --------------------------------------------------------------------------- */

static bool check_command(const sandlock_sandbox_t *policy, const char *const *argv,
                          unsigned int argc, struct error *err)
{
    if (!api_is(policy, API_POLICY))
        return error_config(err, policy == NULL ? "the policy is NULL" : "not a policy");
    if (argc == 0)
        return error_config(err, "empty command");
    if (argv == NULL)
        return error_config(err, "argv is NULL");
    if (argc > LAUNCH_ARGV_MAX)
        return error_config(err, "%u arguments given (at most %d)", argc, LAUNCH_ARGV_MAX);
    for (unsigned int i = 0; i < argc; i++) {
        if (argv[i] == NULL)
            return error_config(err, "argv[%u] is NULL", i);
    }
    return true;
}

/* Standard input inherited, output captured, driven by a thread of its own. */
static struct sandbox_spec captured_spec(const sandlock_sandbox_t *policy, const char *name,
                                         const char *const *argv, unsigned int argc)
{
    return (struct sandbox_spec){
        .launch =
            {
                .policy = policy->policy,
                .name = name,
                .argv = argv,
                .argc = argc,
                .streams =
                    {
                        {.mode = STREAM_INHERIT, .fd = -1},
                        {.mode = STREAM_PIPED, .fd = -1},
                        {.mode = STREAM_PIPED, .fd = -1},
                    },
                .confine = true,
            },
        .supervision = SUPERVISE_THREAD,
        .capture = true,
        .denial_fd = -1,
    };
}

static struct sandbox *create_sandbox(const struct sandbox_spec *spec, struct error *err)
{
    struct sandbox *sandbox = sandbox_create(spec, err);

    if (sandbox != NULL)
        api_warn(sandbox_warning(sandbox));
    return sandbox;
}

static sandlock_handle_t *handle_new(const struct sandbox_spec *spec, struct error *err)
{
    sandlock_handle_t *handle = calloc(1, sizeof(*handle));

    if (handle == NULL) {
        error_runtime(err, 0, "out of memory while making a handle");
        return NULL;
    }
    handle->object.tag = API_HANDLE;
    handle->no_supervisor = spec->launch.policy->no_supervisor;
    handle->sandbox = create_sandbox(spec, err);
    if (handle->sandbox == NULL) {
        free(handle);
        return NULL;
    }
    return handle;
}

/* ---- One-shot runs ----------------------------------------------------------------------------- */

sandlock_result_t *sandlock_run(const sandlock_sandbox_t *policy, const char *name,
                                const char *const *argv, unsigned int argc)
{
    API_UNCANCELLED;
    struct error err;

    error_clear(&err);
    if (!check_command(policy, argv, argc, &err)) {
        api_report(&err);
        return NULL;
    }
    struct sandbox_spec spec = captured_spec(policy, name, argv, argc);
    spec.launch.end_with_child = true;
    spec.once = true;
    struct sandbox *sandbox = create_sandbox(&spec, &err);
    if (sandbox == NULL) {
        api_report(&err);
        return NULL;
    }
    sandlock_result_t *result = api_result_wait(sandbox, 0);
    sandbox_free(sandbox);
    return result;
}

int sandlock_run_interactive(const sandlock_sandbox_t *policy, const char *name,
                             const char *const *argv, unsigned int argc)
{
    API_UNCANCELLED;
    struct error err;

    error_clear(&err);
    if (!check_command(policy, argv, argc, &err)) {
        api_report(&err);
        return -1;
    }
    struct sandbox_spec spec = captured_spec(policy, name, argv, argc);
    spec.launch.end_with_child = true;
    for (int i = 0; i < 3; i++)
        spec.launch.streams[i].mode = STREAM_INHERIT;
    spec.capture = false;
    struct sandbox *sandbox = create_sandbox(&spec, &err);
    if (sandbox == NULL) {
        api_report(&err);
        return -1;
    }
    sandlock_result_t *result = api_result_wait(sandbox, 0);
    sandbox_free(sandbox);
    int code = sandlock_result_exit_code(result);
    if (result != NULL && result->reason != SANDLOCK_EXIT_REASON_EXITED && !result->failed)
        api_fail(0, "the command was ended by signal %d",
                 result->signal > 0 ? result->signal : SIGKILL);
    sandlock_result_free(result);
    return code;
}

/* ---- Handles ----------------------------------------------------------------------------------- */

static sandlock_handle_t *create(const sandlock_sandbox_t *policy, const char *name,
                                 const char *const *argv, unsigned int argc, bool background)
{
    API_UNCANCELLED;
    struct error err;
    sandlock_handle_t *handle = NULL;

    error_clear(&err);
    if (check_command(policy, argv, argc, &err)) {
        struct sandbox_spec spec = captured_spec(policy, name, argv, argc);
        spec.launch.park = true;
        spec.background = background;
        handle = handle_new(&spec, &err);
    }
    if (handle == NULL)
        api_report(&err);
    return handle;
}

sandlock_handle_t *sandlock_create(const sandlock_sandbox_t *policy, const char *name,
                                   const char *const *argv, unsigned int argc)
{
    return create(policy, name, argv, argc, true);
}

sandlock_handle_t *sandlock_create_for_run(const sandlock_sandbox_t *policy, const char *name,
                                           const char *const *argv, unsigned int argc)
{
    return create(policy, name, argv, argc, false);
}

static bool check_modes(const uint32_t modes[3], struct error *err)
{
    for (int i = 0; i < 3; i++) {
        if (modes[i] > SANDLOCK_STDIO_NULL)
            return error_config(err,
                                "popen: unknown mode %u for %s (0 inherit, 1 piped, 2 /dev/null)",
                                modes[i], stream_names[i]);
    }
    return true;
}

/* Every piped end leaves the sandbox, also those nobody wants: kept, a command that writes would block
 * on a full pipe, and one that reads would not see the end of its input. */
static void hand_out_streams(struct sandbox *sandbox, int *const out[3])
{
    for (int i = 0; i < 3; i++) {
        int fd = sandbox_take_stream(sandbox, i);
        if (out[i] != NULL)
            *out[i] = fd;
        else
            fd_close(fd);
    }
}

sandlock_handle_t *sandlock_popen(const sandlock_sandbox_t *policy, const char *name,
                                  const char *const *argv, unsigned int argc, uint32_t stdin_mode,
                                  uint32_t stdout_mode, uint32_t stderr_mode, int *out_stdin_fd,
                                  int *out_stdout_fd, int *out_stderr_fd)
{
    API_UNCANCELLED;
    const uint32_t modes[3] = {stdin_mode, stdout_mode, stderr_mode};
    int *const out[3] = {out_stdin_fd, out_stdout_fd, out_stderr_fd};
    struct error err;
    sandlock_handle_t *handle = NULL;

    for (int i = 0; i < 3; i++) {
        if (out[i] != NULL)
            *out[i] = -1;
    }
    error_clear(&err);
    if (check_command(policy, argv, argc, &err) && check_modes(modes, &err)) {
        struct sandbox_spec spec = captured_spec(policy, name, argv, argc);
        spec.background = true;
        spec.capture = false;
        for (int i = 0; i < 3; i++)
            spec.launch.streams[i].mode = (enum stream_mode)modes[i];
        handle = handle_new(&spec, &err);
    }
    if (handle == NULL)
        api_report(&err);
    else
        hand_out_streams(handle->sandbox, out);
    return handle;
}
