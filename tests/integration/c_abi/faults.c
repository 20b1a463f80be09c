/*
 * Hosts of runs that fail by an injected fault; for libraries built with fault injection. The faults
 * are in SANDLOCK_FAULT, the first argument names the kind:
 *   refused TEXT [OPTION]  every start fails, with TEXT in the error, and nothing is left behind
 *   fallback TEXT          a run is served by the caller, a background start fails with TEXT
 *   failed TEXT            the first run starts and fails with TEXT; the host lives on, the next one works
 *   after TEXT [kill]      so it does when its command has exited already, the guardian being killed or not
 *   stuck TEXT             the members end with TEXT though the supervising thread does not come back
 *   unsignalled            commands reach the guardian though no signal does
 *   unreachable            no command does: a kill ends the sandbox, a wait fails
 *   cut                    there is no memory for captured output
 *   setuid                 the host changes its ids while a run is served
 *   probe FILE             the supervising thread is walled in, the host is not
 */
#include "check.h"

#include <sys/prctl.h>

#define ROUNDS 50
#define FORMS 3 /* of a start */

/* Makes the supervisor work: a change of metadata inside the grants. */
static const char *const change = "cd \"$AREA\" && : >file && chmod 600 file && chmod 644 file";

static sandlock_sandbox_t *policy;

static sandlock_sandbox_t *make_policy(const char *option)
{
    sandlock_builder_t *b = base_builder();

    b = sandlock_sandbox_builder_fs_write(b, getenv("AREA"));
    b = sandlock_sandbox_builder_env_var(b, "AREA", getenv("AREA"));
    if (strcmp(option, "cwd") == 0)
        b = sandlock_sandbox_builder_cwd(b, "/usr");
    return build(b);
}

static void nothing_runs(void)
{
    char path[4096];

    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    snprintf(path, sizeof(path), "/dev/shm/sandlock-%lu/fault", (unsigned long)getuid());
    CHECK(access(path, F_OK) != 0);
    snprintf(path, sizeof(path), "%s/marker", getenv("AREA"));
    CHECK(access(path, F_OK) != 0);
}

static void check_refused(const char *text, int form)
{
    const char *const script = ": >\"$AREA/marker\"; sleep 1000";
    int out = -1;

    if (form == 0)
        CHECK(sandlock_run(policy, "fault", SHELL(script)) == NULL);
    else if (form == 1)
        CHECK(sandlock_create(policy, "fault", SHELL(script)) == NULL);
    else
        CHECK(sandlock_popen(policy, "fault", SHELL(script), SANDLOCK_STDIO_NULL,
                             SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_PIPED, NULL, &out, NULL) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), text);
    CHECK(out == -1);
    nothing_runs();
}

static void refused(const char *text)
{
    for (int form = 0; form < FORMS; form++)
        check_refused(text, form); /* what is made once per process is made now */
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    int fds = count_entries("/proc/self/fd");
    for (int i = 0; i < ROUNDS; i++)
        check_refused(text, i % FORMS);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    CHECK(comes_to_entries("/proc/self/fd", fds));
}

static void fallback(const char *text)
{
    CHECK(sandlock_create(policy, "fault", SHELL(":")) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), text);
    check_exit(sandlock_run(policy, "fault", SHELL(change)), 0);
    nothing_runs();
}

static void failed(const char *text)
{
    struct sigaction before;
    struct sigaction after;
    char script[512];

    sigaction(SIGSYS, NULL, &before);
    snprintf(script, sizeof(script), "setsid sleep %s & sleep %s & %s; sleep 1000", getenv("SLEEP"),
             getenv("SLEEP"), change);
    sandlock_result_t *result = sandlock_run(policy, "fault", SHELL(script));
    CHECK_CONTAINS(sandlock_last_error(), text);
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    nothing_runs();
    sigaction(SIGSYS, NULL, &after);
    CHECK(before.sa_handler == after.sa_handler && before.sa_flags == after.sa_flags);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    check_exit(sandlock_run(policy, "fault", SHELL(change)), 0);
    nothing_runs();
}

static sandlock_handle_t *start_with_output(const char *name, const char *script, int *out)
{
    sandlock_handle_t *handle =
        sandlock_popen(policy, name, SHELL(script), SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_PIPED,
                       SANDLOCK_STDIO_NULL, NULL, out, NULL);

    CHECK(handle != NULL);
    return handle;
}

/* Every member holds the other end. The run failed with `text`. */
static void check_all_ended(sandlock_handle_t *handle, int out, const char *text)
{
    struct pollfd ended = {.fd = out, .events = POLLIN};
    char byte;

    CHECK(poll(&ended, 1, 60000) == 1 && read(out, &byte, 1) == 0);
    close(out);
    sandlock_result_t *result = sandlock_handle_wait(handle);
    CHECK_CONTAINS(sandlock_last_error(), text);
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
}

static void make_file(const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", getenv("AREA"), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
}

static pid_t parent_of(int pid)
{
    char path[64];
    char line[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
    close(fd);
    return (pid_t)strtol(strrchr(line, ')') + 4, NULL, 10);
}

static void after_its_command(const char *text, bool kill_guardian)
{
    char script[512];
    int out = -1;

    snprintf(script, sizeof(script),
             "(until [ -e \"$AREA/go\" ]; do sleep 0.02; done; %s; sleep 1000) & "
             "until [ -e \"$AREA/end\" ]; do sleep 0.02; done",
             change);
    sandlock_handle_t *handle = start_with_output("fault", script, &out);
    int command = sandlock_handle_pid(handle);
    pid_t guardian = parent_of(command);
    make_file("end");
    for (int i = 0; i < 6000 && process_state(command) != 'Z'; i++)
        sleep_ms(5);
    CHECK(process_state(command) == 'Z'); /* its number is kept while the handle is */
    sleep_ms(50);                         /* else it might be as if the command had not exited */
    if (kill_guardian)
        CHECK(kill(guardian, SIGKILL) == 0);
    else
        make_file("go");
    check_all_ended(handle, out, text);
    nothing_runs();
}

static void stuck(const char *text)
{
    char script[512];
    int out = -1;

    snprintf(script, sizeof(script), "setsid sleep %s & %s; sleep 1000", getenv("SLEEP"), change);
    sandlock_handle_t *handle = start_with_output("fault", script, &out);
    check_all_ended(handle, out, text);
    check_exit(sandlock_run(policy, NULL, SHELL(change)), 0); /* the host lives on */
}

static sandlock_handle_t *start(const char *script)
{
    sandlock_handle_t *handle = sandlock_create(policy, NULL, SHELL(script));

    CHECK(handle != NULL && sandlock_start(handle) == 0);
    return handle;
}

static void unsignalled(void)
{
    sandlock_handle_t *handle = start("sleep 1000 & sleep 0.2; exit 3");
    check_exit(sandlock_handle_wait(handle), 3);
    sandlock_handle_free(handle);

    handle = start("sleep 1000");
    check_end(sandlock_handle_wait_timeout(handle, 100), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    sandlock_handle_free(handle);

    handle = start("exec sleep 0.3"); /* a shell that waits in vfork is not seen to stop */
    int pid = sandlock_handle_pid(handle);
    CHECK(sandlock_handle_pause(handle) == 0);
    for (int i = 0; i < 1000 && process_state(pid) != 'T'; i++)
        sleep_ms(5);
    CHECK(process_state(pid) == 'T');
    for (int i = 0; i < 300; i++)
        CHECK(sandlock_handle_pause(handle) == 0);
    CHECK(sandlock_handle_resume(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 0);
    CHECK(sandlock_handle_pause(handle) == -1 && sandlock_last_errno() == ESRCH);
    sandlock_handle_free(handle);

    handle = start("setsid sleep 1000 & sleep 1000");
    CHECK(sandlock_handle_kill(handle) == 0);
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
    sandlock_handle_free(start("setsid sleep 1000 & sleep 1000"));
    nothing_runs();
}

static void unreachable(void)
{
    sandlock_handle_t *handle = start("setsid sleep 1000 & sleep 1000");

    CHECK(sandlock_handle_wait_timeout(handle, 100) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "cannot be reached");
    CHECK(sandlock_handle_pause(handle) == -1);
    CHECK(sandlock_handle_kill(handle) == 0);
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
    sandlock_handle_free(start("setsid sleep 1000 & sleep 1000"));
    check_exit(sandlock_run(policy, NULL, SHELL("sleep 0.1; exit 3")), 3);
    nothing_runs();
}

static void *run_slowly(void *unused)
{
    (void)unused;
    check_exit(
        sandlock_run(policy, "fault",
                     SHELL("cd \"$AREA\" && : >file; i=0; while [ $i -lt 100 ]; do "
                           "chmod 600 file || exit 1; i=$((i + 1)); done; : >done; sleep 1")),
        0);
    return NULL;
}

static void ids_may_change_during_a_run(void)
{
    char path[4096];
    pthread_t thread;
    int changes = 0;

    snprintf(path, sizeof(path), "%s/done", getenv("AREA"));
    CHECK(pthread_create(&thread, NULL, run_slowly, NULL) == 0);
    /* Before, while and after the filters of supervisor and worker are installed. */
    for (; access(path, F_OK) != 0 || changes < 200; changes++) {
        CHECK(setuid(getuid()) == 0);
        CHECK(setgid(getgid()) == 0);
        CHECK(setresuid(-1, getuid(), -1) == 0);
        sleep_ms(1);
    }
    pthread_join(thread, NULL);
}

static void the_host_is_outside_the_walls(const char *file)
{
    check_exit(sandlock_run(policy, "fault", SHELL(change)), 0);
    int fd = open(file, O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static void output_that_finds_no_memory(void)
{
    uintptr_t length = 1;

    sandlock_result_t *result = sandlock_run(policy, "fault", SHELL("echo lost; exit 3"));
    CHECK(result != NULL);
    CHECK_CONTAINS(sandlock_last_error(), "captured output of the command is not complete");
    CHECK(sandlock_last_errno() == ENOMEM);
    CHECK(sandlock_result_stdout_bytes(result, &length) != NULL && length == 0);
    check_exit(result, 3);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    const char *text = argc > 2 ? argv[2] : "";

    policy = make_policy(argc > 3 ? argv[3] : "");
    if (strcmp(kind, "refused") == 0)
        refused(text);
    else if (strcmp(kind, "fallback") == 0)
        fallback(text);
    else if (strcmp(kind, "failed") == 0)
        failed(text);
    else if (strcmp(kind, "after") == 0)
        after_its_command(text, argc > 3);
    else if (strcmp(kind, "stuck") == 0)
        stuck(text);
    else if (strcmp(kind, "unsignalled") == 0)
        unsignalled();
    else if (strcmp(kind, "unreachable") == 0)
        unreachable();
    else if (strcmp(kind, "cut") == 0)
        output_that_finds_no_memory();
    else if (strcmp(kind, "setuid") == 0)
        ids_may_change_during_a_run();
    else if (strcmp(kind, "probe") == 0)
        the_host_is_outside_the_walls(text);
    else
        return 2;
    sandlock_sandbox_free(policy);
    return 0;
}
