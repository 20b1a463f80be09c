/*
 * Runs a command in a sandbox and shows what it wrote: the shortest complete use of the library.
 *
 *     cc hello.c $(pkg-config --cflags --libs sandlock) -o hello
 *     ./hello /bin/echo hello           what the sandboxed command says
 *     ./hello /bin/cat /etc/shadow      refused: /etc is not granted
 *     ./hello /bin/ls /usr              works: /usr is granted
 *
 * With the static library instead of the shared one:
 *
 *     cc hello.c -I/usr/local/include /usr/local/lib/libsandlock_ffi.a -lpthread -o hello
 */
#include <sandlock.h>

#include <stdio.h>

/* A policy that lets ordinary dynamically linked programs start, and nothing more. */
static sandlock_sandbox_t *make_policy(void)
{
    /* A setter takes the builder over and gives back the one to go on with. */
    sandlock_builder_t *b = sandlock_sandbox_builder_new();
    b = sandlock_sandbox_builder_fs_read(b, "/usr");
    /* On many systems these are links into /usr, on others directories, on some they do not exist. */
    b = sandlock_sandbox_builder_fs_read_if_exists(b, "/bin");
    b = sandlock_sandbox_builder_fs_read_if_exists(b, "/lib");
    b = sandlock_sandbox_builder_fs_read_if_exists(b, "/lib64");
    b = sandlock_sandbox_builder_fs_read_if_exists(b, "/etc/ld.so.cache");
    /* Nothing of our own environment but PATH, HOME, USER, TERM and LANG. */
    b = sandlock_sandbox_builder_clean_env(b, true);

    /* Here, and only here, everything that was set is judged. */
    char *reason = NULL;
    sandlock_sandbox_t *policy = sandlock_sandbox_build(b, NULL, &reason);
    if (policy == NULL) {
        fprintf(stderr, "hello: the policy is wrong: %s\n", reason != NULL ? reason : "?");
        sandlock_string_free(reason);
    }
    return policy;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: hello COMMAND [ARGUMENT...]\n");
        return 2;
    }

    sandlock_sandbox_t *policy = make_policy();
    if (policy == NULL)
        return 2;

    /* NULL: the sandbox gets a name of its own. */
    sandlock_result_t *result =
        sandlock_run(policy, NULL, (const char *const *)argv + 1, (unsigned int)argc - 1);
    sandlock_sandbox_free(policy);
    if (result == NULL) {
        fprintf(stderr, "hello: not started: %s\n", sandlock_last_error());
        return 125;
    }

    uintptr_t length = 0;
    const uint8_t *bytes = sandlock_result_stdout_bytes(result, &length);
    fwrite(bytes, 1, length, stdout);
    bytes = sandlock_result_stderr_bytes(result, &length);
    fwrite(bytes, 1, length, stderr);

    int status = sandlock_result_exit_code(result);
    if (sandlock_result_reason(result) == SANDLOCK_EXIT_REASON_SIGNALED) {
        fprintf(stderr, "hello: ended by signal %d\n", sandlock_result_signal(result));
        status = 128 + sandlock_result_signal(result);
    } else if (sandlock_result_reason(result) == SANDLOCK_EXIT_REASON_KILLED) {
        fprintf(stderr, "hello: killed\n");
        status = 128 + 9;
    }
    sandlock_result_free(result);
    return status;
}
