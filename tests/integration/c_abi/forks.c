/*
 * A host that forks while sandboxes live: its copies hold copies of the handles, as after os.fork() or
 * multiprocessing in a host of python. A copy's handle is nobody's sandbox: whatever is done with it, neither
 * the sandbox nor any other process notices. It runs in a pid namespace of its own (see test_c_abi.py), so
 * that nothing else of the user is at stake.
 */
#include "check.h"

static sandlock_sandbox_t *policy;

typedef void (*copy_function)(sandlock_handle_t *handle);

static void in_copy(copy_function function, sandlock_handle_t *handle)
{
    int status = 0;
    pid_t copy = fork();

    CHECK(copy >= 0);
    if (copy == 0) {
        alarm(60);
        function(handle);
        _exit(0);
    }
    CHECK(waitpid(copy, &status, 0) == copy);
    if (status != 0)
        fprintf(stderr, "the copy ended with status %#x\n", status);
    CHECK(status == 0);
}

static pid_t bystander(void)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void free_it(sandlock_handle_t *handle)
{
    sandlock_handle_free(handle);
}

static void try_everything(sandlock_handle_t *handle)
{
    const char *const reason = "belongs to the process that made it";

    CHECK(sandlock_handle_kill(handle) == -1);
    CHECK_CONTAINS(sandlock_last_error(), reason);
    CHECK(sandlock_handle_pause(handle) == -1);
    CHECK_CONTAINS(sandlock_last_error(), reason);
    CHECK(sandlock_start(handle) == -1);
    CHECK(sandlock_handle_poll_fd(handle) == -1);
    CHECK(sandlock_handle_wait(handle) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), reason);
    CHECK(sandlock_handle_wait_timeout(handle, 1) == NULL);
    CHECK(sandlock_handle_denials(handle) == NULL);
    CHECK(sandlock_handle_denials_dropped(handle) == 0);
    CHECK(sandlock_handle_posture(handle) == NULL);
    CHECK(sandlock_handle_port_mappings(handle) == NULL);
    CHECK(sandlock_handle_pid(handle) == 0);
    sandlock_handle_free(handle);
}

static void run_another(sandlock_handle_t *handle)
{
    check_exit(sandlock_run(policy, NULL, SHELL("exit 6")), 6);
    sandlock_handle_free(handle);
    check_exit(sandlock_run(policy, NULL, SHELL("exit 7")), 7);
}

/* The name is still taken, and the command ends as it would have. */
static void use_in_copies(copy_function function, bool started)
{
    pid_t witness = bystander();
    sandlock_handle_t *handle = sandlock_create(policy, "forked", SHELL("sleep 0.3; exit 3"));

    CHECK(handle != NULL);
    if (started)
        CHECK(sandlock_start(handle) == 0);
    in_copy(function, handle);
    in_copy(function, handle);
    CHECK(sandlock_run(policy, "forked", SHELL("exit 0")) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "already running");
    if (!started)
        CHECK(sandlock_start(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 3);
    in_copy(function, handle); /* of one that has ended, too */
    sandlock_handle_free(handle);
    CHECK(waitpid(witness, NULL, WNOHANG) == 0 && process_state(witness) != 'Z');
    kill(witness, SIGKILL);
    waitpid(witness, NULL, 0);
    check_exit(sandlock_run(policy, "forked", SHELL("exit 4")), 4);
}

/* Copies made while the supervising thread is in the middle of a change of the sandbox: its buffers move. */
static void use_in_copies_while_output_flows(void)
{
    const char *const script =
        "i=0; while [ $((i += 1)) -le 200 ]; do head -c 200000 /dev/zero; done; exit 3";
    const uintptr_t expected = 200 * 200000;
    sandlock_handle_t *handle = sandlock_create(policy, NULL, SHELL(script));
    uintptr_t length = 0;

    CHECK(handle != NULL && sandlock_start(handle) == 0);
    struct pollfd ended = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};
    for (int i = 0; i < 200 && poll(&ended, 1, 0) == 0; i++)
        in_copy(try_everything, handle);
    close(ended.fd);
    sandlock_result_t *result = sandlock_handle_wait(handle);
    const uint8_t *bytes = sandlock_result_stdout_bytes(result, &length);
    CHECK(bytes != NULL && length == expected);
    check_exit(result, 3);
    sandlock_handle_free(handle);
}

int main(void)
{
    policy = base_policy();
    CHECK(getpid() < 10); /* the namespace is a new one */
    for (int started = 0; started <= 1; started++) {
        use_in_copies(free_it, started);
        use_in_copies(try_everything, started);
        use_in_copies(run_another, started);
    }
    use_in_copies_while_output_flows();
    sandlock_sandbox_free(policy);
    return 0;
}
