/* Live handles: parked start, waits, kill, pause, concurrency, and that nothing is left behind. */
#include "check.h"

#include <malloc.h>

static sandlock_sandbox_t *policy;

static sandlock_handle_t *create(const char *script)
{
    sandlock_handle_t *handle = sandlock_create(policy, NULL, SHELL(script));

    CHECK(handle != NULL);
    return handle;
}

static void no_child_of_ours(void)
{
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void a_created_command_is_parked_until_start(void)
{
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    char script[128];

    CHECK(mkdtemp(path) != NULL);
    snprintf(script, sizeof(script), "echo ran > %s/file", path);
    sandlock_sandbox_t *writer = build(sandlock_sandbox_builder_fs_write(base_builder(), path));
    sandlock_handle_t *handle = sandlock_create(writer, NULL, SHELL(script));
    sandlock_sandbox_free(writer); /* the handle keeps what it needs */
    CHECK(handle != NULL);
    int pid = sandlock_handle_pid(handle);
    snprintf(script, sizeof(script), "%s/file", path); /* the caller's memory is its own again */

    CHECK(pid > 0 && getpgid(pid) == pid);
    CHECK(process_state(pid) == 'S');
    sleep_ms(50);
    CHECK(process_state(pid) == 'S');
    CHECK(access(script, F_OK) != 0);
    CHECK(sandlock_start(handle) == 0);
    CHECK(sandlock_start(handle) == -1);
    check_exit(sandlock_handle_wait(handle), 0);
    CHECK(access(script, F_OK) == 0);
    CHECK(sandlock_start(handle) == -1);
    CHECK(sandlock_handle_pid(handle) == pid);
    CHECK(process_state(pid) == 0);
    no_child_of_ours();
    sandlock_handle_free(handle);
    unlink(script);
    rmdir(path);
}

static void create_for_run_starts_and_waits_on_one_thread(void)
{
    sandlock_handle_t *handle = sandlock_create_for_run(policy, NULL, SHELL("echo hi; exit 4"));

    CHECK(handle != NULL);
    CHECK(sandlock_start(handle) == 0);
    sandlock_result_t *result = sandlock_handle_wait(handle);
    char *text = sandlock_result_stdout(result);
    CHECK_TEXT(text, "hi\n");
    sandlock_string_free(text);
    check_exit(result, 4);
    sandlock_handle_free(handle);
}

/* Until the process executes that program. */
static void await_command(int pid, const char *name)
{
    int64_t end = now_ms() + 10000;
    char path[64];
    char line[64];

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    for (;; sleep_ms(2)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t length = fd >= 0 ? read_all(fd, line, sizeof(line)) : 0;
        close(fd);
        if (length == strlen(name) + 1 && strncmp(line, name, length - 1) == 0)
            return;
        CHECK(now_ms() < end);
    }
}

static void free_without_start_or_wait_leaves_nothing(void)
{
    sandlock_handle_t *handle = create(":");
    int pid = sandlock_handle_pid(handle);

    sandlock_handle_free(handle);
    CHECK(process_state(pid) == 0);
    handle = create("sleep 1000 & exec sleep 1000");
    pid = sandlock_handle_pid(handle);
    CHECK(sandlock_start(handle) == 0);
    await_command(pid, "sleep");
    sandlock_handle_free(handle);
    CHECK(process_state(pid) == 0);
    no_child_of_ours();
}

static void a_command_that_waits_for_nobody_makes_progress(void)
{
    sandlock_handle_t *handle = create("head -c 1000000 /dev/zero; echo done >&2");
    struct pollfd poll_fd = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};

    CHECK(poll_fd.fd >= 0);
    CHECK((fcntl(poll_fd.fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(poll(&poll_fd, 1, 0) == 0);
    CHECK(sandlock_start(handle) == 0);
    /* A megabyte does not fit into the pipe, so somebody drains it while we only look. */
    CHECK(poll(&poll_fd, 1, 20000) == 1);
    close(poll_fd.fd);
    check_exit(sandlock_handle_wait(handle), 0);
    poll_fd.fd = sandlock_handle_poll_fd(handle);
    CHECK(poll_fd.fd >= 0 && poll(&poll_fd, 1, 0) == 1);
    close(poll_fd.fd);
    sandlock_handle_free(handle);
}

static void waiting_twice_gives_the_same(void)
{
    sandlock_handle_t *handle = create("echo again; exit 9");

    sandlock_start(handle);
    for (int i = 0; i < 2; i++) {
        sandlock_result_t *result = sandlock_handle_wait(handle);
        char *text = sandlock_result_stdout(result);
        CHECK_TEXT(text, "again\n");
        sandlock_string_free(text);
        check_exit(result, 9);
    }
    sandlock_handle_free(handle);
}

static void a_time_limit_kills_everything_and_keeps_the_output(void)
{
    sandlock_handle_t *handle = create("trap '' TERM; echo before; sleep 1000 & wait; sleep 1000");
    int pid = sandlock_handle_pid(handle);
    int64_t begin = now_ms();

    sandlock_start(handle);
    sandlock_result_t *result = sandlock_handle_wait_timeout(handle, 1000);
    CHECK(now_ms() - begin >= 1000 && now_ms() - begin < 20000);
    char *text = sandlock_result_stdout(result);
    CHECK_TEXT(text, "before\n");
    sandlock_string_free(text);
    check_end(result, SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    CHECK(kill(-pid, 0) == -1 && errno == ESRCH); /* the group is gone */
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    sandlock_handle_free(handle);

    handle = create("sleep 0.2; exit 5");
    sandlock_start(handle);
    check_exit(sandlock_handle_wait_timeout(handle, 0), 5); /* 0: no limit */
    sandlock_handle_free(handle);
    handle = create(":");
    check_end(sandlock_handle_wait_timeout(handle, 50), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    sandlock_handle_free(handle); /* never started */
}

/* The limit is for the command: what it left behind takes longer to end than a millisecond. */
static void a_command_that_has_ended_is_not_late(void)
{
    for (int i = 0; i < 20; i++) {
        sandlock_handle_t *handle =
            create("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & sleep 1000 & done; exit 7");
        struct pollfd ended = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};
        CHECK(sandlock_start(handle) == 0);
        CHECK(ended.fd >= 0 && poll(&ended, 1, 20000) == 1);
        close(ended.fd);
        check_exit(sandlock_handle_wait_timeout(handle, 1), 7);
        check_exit(sandlock_handle_wait(handle), 7);
        sandlock_handle_free(handle);
    }
}

static void *run_and_forget(void *unused)
{
    (void)unused;
    check_exit(sandlock_run(policy, NULL, SHELL("sleep 0.5; exit 4")), 4);
    return NULL;
}

static void *wait_and_forget(void *handle)
{
    check_exit(sandlock_handle_wait(handle), 3);
    return NULL;
}

/* A cancelled thread finishes the call that it is in, and leaves no lock and no sandbox behind. */
static void a_thread_may_be_cancelled(void)
{
    int descriptors = count_entries("/proc/self/fd");
    sandlock_handle_t *handle = create("sleep 0.5; exit 3");
    pthread_t threads[2];

    sandlock_start(handle);
    CHECK(pthread_create(&threads[0], NULL, wait_and_forget, handle) == 0);
    CHECK(pthread_create(&threads[1], NULL, run_and_forget, NULL) == 0);
    sleep_ms(100);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_cancel(threads[i]) == 0);
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    check_exit(sandlock_handle_wait(handle), 3);
    sandlock_handle_free(handle);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    CHECK(comes_to_entries("/proc/self/fd", descriptors));
    no_child_of_ours();
}

static void kill_reaches_all_and_can_be_repeated(void)
{
    sandlock_handle_t *handle = create("setsid sleep 1000 & echo $!; exec sleep 1000");

    sandlock_start(handle);
    await_command(sandlock_handle_pid(handle), "sleep");
    CHECK(sandlock_handle_kill(handle) == 0);
    sandlock_result_t *result = sandlock_handle_wait(handle);
    char *text = sandlock_result_stdout(result);
    int escaped = text != NULL ? atoi(text) : 0;
    CHECK(escaped > 0 && process_state(escaped) == 0);
    sandlock_string_free(text);
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    CHECK(sandlock_handle_kill(handle) == 0);
    sandlock_handle_free(handle);

    handle = create(":");
    CHECK(sandlock_handle_kill(handle) == 0);
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
}

static char settled_state(int pid, char wanted)
{
    for (int i = 0; i < 3000 && process_state(pid) != wanted; i++)
        sleep_ms(10);
    return process_state(pid);
}

static void pause_stops_and_resume_continues(void)
{
    sandlock_handle_t *handle = create("sleep 2; exit 6");
    int pid = sandlock_handle_pid(handle);

    sandlock_start(handle);
    sleep_ms(50);
    CHECK(sandlock_handle_pause(handle) == 0);
    CHECK(settled_state(pid, 'T') == 'T');
    sleep_ms(2200);
    CHECK(process_state(pid) == 'T');
    CHECK(sandlock_handle_resume(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 6);
    CHECK(sandlock_handle_pause(handle) == -1 && sandlock_last_errno() == ESRCH);
    CHECK(sandlock_handle_resume(handle) == -1);
    sandlock_handle_free(handle);
}

/* The command has exited, and nobody waits: what it left behind can be paused. */
static void pause_tells_when_nobody_is_left(void)
{
    static const char *const scripts[] = {"exit 6", "sleep 60 >/dev/null 2>&1 & exit 6"};

    for (size_t i = 0; i < 2; i++) {
        sandlock_handle_t *handle = sandlock_create_for_run(policy, NULL, SHELL(scripts[i]));
        CHECK(handle != NULL && sandlock_start(handle) == 0);
        struct pollfd ended = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};
        CHECK(poll(&ended, 1, 30000) == 1);
        close(ended.fd);
        int paused = sandlock_handle_pause(handle);
        CHECK(i == 1 ? paused == 0 : paused == -1 && sandlock_last_errno() == ESRCH);
        int resumed = sandlock_handle_resume(handle);
        CHECK(i == 1 ? resumed == 0 : resumed == -1 && sandlock_last_errno() == ESRCH);
        check_exit(sandlock_handle_wait(handle), 6);
        sandlock_handle_free(handle);
    }
}

static void pause_reaches_a_session_of_its_own(void)
{
    int out = -1;
    char data[32] = "";
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, SHELL("setsid sleep 2 >/dev/null & echo $!; wait $!; exit 6"),
        SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_INHERIT, NULL, &out, NULL);

    CHECK(handle != NULL && read(out, data, sizeof(data) - 1) > 1);
    int pid = atoi(data);
    for (int i = 0; i < 5000 && getsid(pid) != pid; i++)
        sleep_ms(2);
    CHECK(pid > 0 && getsid(pid) == pid);
    CHECK(sandlock_handle_pause(handle) == 0);
    CHECK(settled_state(pid, 'T') == 'T');
    sleep_ms(2200); /* its time is over, and it has not noticed */
    CHECK(process_state(pid) == 'T');
    CHECK(process_state(sandlock_handle_pid(handle)) == 'T');
    CHECK(sandlock_handle_resume(handle) == 0);
    check_exit(sandlock_handle_wait_timeout(handle, 20000), 6);
    close(out);
    sandlock_handle_free(handle);
}

/* Changing a mode is a call that the supervisor carries out, also when the command has gone. */
static void a_descendant_is_answered_while_nobody_waits(bool by_popen)
{
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    char file[64];
    char mark[64];
    char asked[64];
    char script[320];
    struct stat status;

    CHECK(mkdtemp(path) != NULL);
    snprintf(file, sizeof(file), "%s/file", path);
    snprintf(mark, sizeof(mark), "%s/mark", path);
    snprintf(asked, sizeof(asked), "%s/asked", path);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
    close(fd);
    snprintf(script, sizeof(script),
             "(until [ -e %s ]; do sleep 0.01; done; chmod 640 %s && : >%s; sleep 1000) & exit 3",
             asked, file, mark);
    sandlock_sandbox_t *writer = build(sandlock_sandbox_builder_fs_write(base_builder(), path));
    sandlock_handle_t *handle =
        by_popen ? sandlock_popen(writer, NULL, SHELL(script), SANDLOCK_STDIO_NULL,
                                  SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_NULL, NULL, NULL, NULL)
                 : sandlock_create(writer, NULL, SHELL(script));
    CHECK(handle != NULL);
    if (!by_popen)
        CHECK(sandlock_start(handle) == 0);
    struct pollfd ended = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};
    CHECK(poll(&ended, 1, 20000) == 1);
    close(ended.fd);
    /* The command has exited before its descendant's call. */
    fd = open(asked, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    for (int i = 0; i < 4000 && access(mark, F_OK) != 0; i++)
        sleep_ms(10);
    CHECK(access(mark, F_OK) == 0);
    CHECK(stat(file, &status) == 0 && (status.st_mode & 07777) == 0640);
    check_exit(sandlock_handle_wait(handle), 3);
    sandlock_handle_free(handle);
    sandlock_sandbox_free(writer);
    unlink(asked);
    unlink(mark);
    unlink(file);
    rmdir(path);
}

static void *wait_for_handle(void *handle)
{
    return sandlock_handle_wait(handle);
}

static void other_threads_may_act_while_one_waits(void)
{
    sandlock_handle_t *handle = create("exit 8");
    pthread_t waiters[3];
    void *result = NULL;

    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&waiters[i], NULL, wait_for_handle, handle) == 0);
    sleep_ms(50);
    CHECK(sandlock_handle_pid(handle) > 0);
    CHECK(sandlock_start(handle) == 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i], &result);
        check_exit(result, 8);
    }
    sandlock_handle_free(handle);

    handle = create("sleep 1000");
    sandlock_start(handle);
    CHECK(pthread_create(&waiters[0], NULL, wait_for_handle, handle) == 0);
    sleep_ms(50);
    CHECK(sandlock_handle_kill(handle) == 0);
    pthread_join(waiters[0], &result);
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
}

static void *create_and_end(void *script)
{
    sandlock_handle_t *handle = create(script);

    CHECK(sandlock_start(handle) == 0);
    return handle;
}

static void the_creating_thread_may_end(void)
{
    pthread_t thread;
    void *handle = NULL;

    CHECK(pthread_create(&thread, NULL, create_and_end, (void *)"sleep 0.3; exit 2") == 0);
    pthread_join(thread, &handle);
    check_exit(sandlock_handle_wait(handle), 2);
    sandlock_handle_free(handle);
}

static void posture_and_denials_are_json(void)
{
    sandlock_handle_t *handle = create(":");
    char *text = sandlock_handle_posture(handle);

    CHECK_CONTAINS(text, "{\"v\":1,");
    CHECK_CONTAINS(text, "\"entries\":[");
    CHECK_CONTAINS(text, "fs-refer");
    sandlock_string_free(text);
    text = sandlock_handle_denials(handle);
    CHECK_TEXT(text, "[]");
    sandlock_string_free(text);
    sandlock_handle_free(handle);

    sandlock_sandbox_t *bare = build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));
    handle = sandlock_create(bare, NULL, SHELL(":"));
    CHECK(handle != NULL);
    text = sandlock_handle_posture(handle);
    CHECK_CONTAINS(text, "\"mode\":\"no-supervisor\"");
    sandlock_string_free(text);
    CHECK(sandlock_handle_denials(handle) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "not supervised");
    CHECK(sandlock_handle_denials_dropped(handle) == 0);
    sandlock_handle_free(handle);
    sandlock_sandbox_free(bare);
}

static int count_records(const sandlock_handle_t *handle)
{
    char *text = sandlock_handle_denials(handle);
    int count = 0;

    CHECK(text != NULL);
    for (const char *at = text; (at = strstr(at, "\"seq\":")) != NULL; at++)
        count++;
    sandlock_string_free(text);
    return count;
}

static void denials_that_are_not_recorded_are_counted(void)
{
    static const char *const script =
        "import os, sys\n"
        "for i in range(4200):\n"
        "    try: os.open('%s/%d' % (sys.argv[1], i), os.O_WRONLY | os.O_CREAT)\n"
        "    except PermissionError: pass\n"
        "    if i == 1000: input()\n";
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    int in = -1;

    CHECK(mkdtemp(path) != NULL);
    sandlock_builder_t *b = sandlock_sandbox_builder_explain(base_builder(), true);
    sandlock_sandbox_t *explained = build(sandlock_sandbox_builder_fs_read(b, path));
    sandlock_handle_t *handle = sandlock_popen(
        explained, NULL, ARGV("/usr/bin/python3", "-I", "-S", "-c", script, path),
        SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_INHERIT, &in, NULL, NULL);
    CHECK(handle != NULL);
    for (int64_t end = now_ms() + 20000; count_records(handle) < 1001 && now_ms() < end;)
        sleep_ms(20);
    CHECK(count_records(handle) >= 1001);
    CHECK(sandlock_handle_denials_dropped(handle) == 0);
    CHECK(write(in, "\n", 1) == 1);
    close(in);
    check_exit(sandlock_handle_wait(handle), 0);
    CHECK(count_records(handle) == 4096);
    /* The start of the interpreter may be denied something, too. */
    CHECK(sandlock_handle_denials_dropped(handle) >= 4200 - 4096);
    CHECK(sandlock_handle_denials_dropped(handle) < 4200 - 4096 + 10);
    sandlock_handle_free(handle);
    sandlock_sandbox_free(explained);
    CHECK(rmdir(path) == 0);
}

static void cycles(int count)
{
    for (int i = 0; i < count; i++) {
        sandlock_handle_t *handle = create("exit 1");
        if (i % 3 == 0) {
            sandlock_start(handle);
            check_exit(sandlock_handle_wait(handle), 1);
        } else if (i % 3 == 1) {
            sandlock_start(handle);
        }
        sandlock_handle_free(handle);
    }
}

/* Descriptors, threads, children and allocated bytes are the same after many runs. */
static void many_cycles_leave_nothing(int count)
{
    cycles(30); /* what is made once is made now */
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    int descriptors = count_entries("/proc/self/fd");
    size_t bytes = mallinfo2().uordblks;

    cycles(count);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    CHECK(comes_to_entries("/proc/self/fd", descriptors));
    /* Less than a byte per run. Only exact with the allocator's caches off (see test_c_abi.py). */
    if (getenv("GLIBC_TUNABLES") != NULL)
        CHECK(mallinfo2().uordblks < bytes + (size_t)count);
    no_child_of_ours();
}

int main(int argc, char **argv)
{
    policy = base_policy();
    a_created_command_is_parked_until_start();
    create_for_run_starts_and_waits_on_one_thread();
    free_without_start_or_wait_leaves_nothing();
    a_command_that_waits_for_nobody_makes_progress();
    waiting_twice_gives_the_same();
    a_time_limit_kills_everything_and_keeps_the_output();
    a_command_that_has_ended_is_not_late();
    a_thread_may_be_cancelled();
    kill_reaches_all_and_can_be_repeated();
    pause_stops_and_resume_continues();
    pause_tells_when_nobody_is_left();
    pause_reaches_a_session_of_its_own();
    a_descendant_is_answered_while_nobody_waits(false);
    a_descendant_is_answered_while_nobody_waits(true);
    other_threads_may_act_while_one_waits();
    the_creating_thread_may_end();
    posture_and_denials_are_json();
    denials_that_are_not_recorded_are_counted();
    many_cycles_leave_nothing(argc > 1 ? atoi(argv[1]) : 1000);
    sandlock_sandbox_free(policy);
    return 0;
}
