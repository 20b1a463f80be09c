/* popen: the three modes per stream, who owns which end, and endings. */
#include "check.h"

static sandlock_sandbox_t *policy;

static void a_conversation_over_pipes(void)
{
    int in = -7;
    int out = -7;
    int err = -7;
    char data[256];
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, SHELL("read line; echo got $line; echo bad >&2; cat; exit 3"),
        SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_PIPED, &in, &out, &err);

    CHECK(handle != NULL && in >= 0 && out >= 0 && err >= 0);
    for (int i = 0; i < 3; i++) {
        int fd = (const int[]){in, out, err}[i];
        CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    }
    CHECK(sandlock_start(handle) == -1);
    CHECK(write(in, "one\n", 4) == 4);
    CHECK(read(out, data, sizeof(data)) == 8 && memcmp(data, "got one\n", 8) == 0);
    CHECK(write(in, "rest", 4) == 4);
    close(in);
    CHECK(read_all(out, data, sizeof(data)) == 4 && memcmp(data, "rest", 4) == 0);
    CHECK(read_all(err, data, sizeof(data)) == 4);
    close(out);
    close(err);

    sandlock_result_t *result = sandlock_handle_wait(handle);
    uintptr_t length = 5;
    CHECK(sandlock_result_stdout_bytes(result, &length) == NULL && length == 0);
    CHECK(sandlock_result_stderr(result) == NULL);
    check_exit(result, 3);
    sandlock_handle_free(handle);
}

static void null_streams_are_the_null_device(void)
{
    int out = -7;
    int in = -7;
    char data[16] = "";
    sandlock_handle_t *handle =
        sandlock_popen(policy, NULL, SHELL("echo lost >&2; cat; echo end"), SANDLOCK_STDIO_NULL,
                       SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_NULL, &in, &out, NULL);

    CHECK(handle != NULL && in == -1);
    CHECK(read_all(out, data, sizeof(data)) == 4 && memcmp(data, "end\n", 4) == 0);
    close(out);
    check_exit(sandlock_handle_wait(handle), 0);
    sandlock_handle_free(handle);
}

static void null_streams_are_the_character_device(void)
{
    const char *line = "character special file 1:3\n";
    int out = -1;
    char data[256];
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, SHELL("stat -c '%F %t:%T' -; stat -c '%F %t:%T' - <&2"), SANDLOCK_STDIO_NULL,
        SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_NULL, NULL, &out, NULL);

    CHECK(handle != NULL);
    size_t length = read_all(out, data, sizeof(data) - 1);
    data[length] = '\0';
    close(out);
    CHECK(length == 2 * strlen(line));
    CHECK(strncmp(data, line, strlen(line)) == 0 && strcmp(data + strlen(line), line) == 0);
    check_exit(sandlock_handle_wait(handle), 0);
    sandlock_handle_free(handle);
}

/* Our end of a piped stream nobody wants is closed: input ends at once, output breaks. */
static void an_unwanted_end_is_closed(void)
{
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, SHELL("cat; exec head -c 1000000 /dev/zero"), SANDLOCK_STDIO_PIPED,
        SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_NULL, NULL, NULL, NULL);

    CHECK(handle != NULL);
    check_end(sandlock_handle_wait_timeout(handle, 20000), SANDLOCK_EXIT_REASON_SIGNALED, -1,
              SIGPIPE);
    sandlock_handle_free(handle);
}

static void inherited_streams_are_the_hosts(void)
{
    int pipe_fds[2];
    int saved = dup(STDOUT_FILENO);
    char data[16];

    CHECK(pipe(pipe_fds) == 0 && dup2(pipe_fds[1], STDOUT_FILENO) == STDOUT_FILENO);
    close(pipe_fds[1]);
    sandlock_handle_t *handle =
        sandlock_popen(policy, NULL, SHELL("echo mine"), 0, 0, 0, NULL, NULL, NULL);
    CHECK(handle != NULL);
    check_exit(sandlock_handle_wait(handle), 0);
    sandlock_handle_free(handle);
    CHECK(dup2(saved, STDOUT_FILENO) == STDOUT_FILENO);
    close(saved);
    CHECK(read_all(pipe_fds[0], data, sizeof(data)) == 5 && memcmp(data, "mine\n", 5) == 0);
    close(pipe_fds[0]);
}

static void unknown_modes_are_refused(void)
{
    int fds[3] = {1, 2, 3};

    CHECK(sandlock_popen(policy, NULL, SHELL(":"), 1, 1, 99, &fds[0], &fds[1], &fds[2]) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "99");
    CHECK_CONTAINS(sandlock_last_error(), "stderr");
    CHECK(fds[0] == -1 && fds[1] == -1 && fds[2] == -1);
}

static void a_missing_command_is_a_result(void)
{
    int err = -1;
    char data[512];
    sandlock_handle_t *handle =
        sandlock_popen(policy, NULL, ARGV("/no/such/command"), SANDLOCK_STDIO_NULL,
                       SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_PIPED, NULL, NULL, &err);

    CHECK(handle != NULL);
    size_t length = read_all(err, data, sizeof(data) - 1);
    data[length] = '\0';
    CHECK_CONTAINS(data, "sandlock child: ");
    close(err);
    check_exit(sandlock_handle_wait(handle), 127);
    sandlock_handle_free(handle);
}

/* The caller's ends of one sandbox are not in another one: else its end of file would never come. */
static void pipes_do_not_leak_into_other_sandboxes(void)
{
    int in = -1;
    sandlock_handle_t *reader =
        sandlock_popen(policy, NULL, SHELL("cat > /dev/null"), SANDLOCK_STDIO_PIPED,
                       SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_NULL, &in, NULL, NULL);
    sandlock_handle_t *other =
        sandlock_popen(policy, NULL, SHELL("sleep 1000"), SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_NULL,
                       SANDLOCK_STDIO_NULL, NULL, NULL, NULL);

    CHECK(reader != NULL && other != NULL);
    close(in);
    check_exit(sandlock_handle_wait_timeout(reader, 20000), 0);
    sandlock_handle_free(reader);
    sandlock_handle_free(other);
}

static void *wait_for_handle(void *handle)
{
    return sandlock_handle_wait(handle);
}

static void several_threads_may_wait(void)
{
    sandlock_handle_t *handle =
        sandlock_popen(policy, NULL, SHELL("sleep 0.2; exit 4"), 2, 2, 2, NULL, NULL, NULL);
    pthread_t waiters[3];
    void *result = NULL;

    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&waiters[i], NULL, wait_for_handle, handle) == 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i], &result);
        check_exit(result, 4);
    }
    sandlock_handle_free(handle);
}

static void *open_and_end(void *unused)
{
    (void)unused;
    return sandlock_popen(policy, NULL, SHELL("sleep 0.3; exit 2"), 2, 2, 2, NULL, NULL, NULL);
}

static void the_creating_thread_may_end(void)
{
    pthread_t thread;
    void *handle = NULL;

    CHECK(pthread_create(&thread, NULL, open_and_end, NULL) == 0);
    pthread_join(thread, &handle);
    check_exit(sandlock_handle_wait(handle), 2);
    sandlock_handle_free(handle);
}

static void all(void)
{
    a_conversation_over_pipes();
    null_streams_are_the_null_device();
    null_streams_are_the_character_device();
    an_unwanted_end_is_closed();
    inherited_streams_are_the_hosts();
    unknown_modes_are_refused();
    a_missing_command_is_a_result();
    pipes_do_not_leak_into_other_sandboxes();
    several_threads_may_wait();
    the_creating_thread_may_end();
}

int main(void)
{
    policy = base_policy();
    all();
    sandlock_sandbox_free(policy);
    /* The same where nothing is supervised, which is driven without a thread of the library. */
    policy = build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));
    all();
    sandlock_sandbox_free(policy);
    return 0;
}
