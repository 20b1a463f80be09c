/*
 * Unusual hosts. The first argument names the kind:
 *   threads       8 threads that run sandboxes at once, 800 runs in all, and nothing is left
 *   big           1 GiB of touched memory and 8 busy threads
 *   closed-fds    descriptors 0 to 2 closed
 *   no-threads    threads cannot be created (ENOSYS for clone3, EAGAIN for thread clones)
 *   no-clone3     clone3 is refused with EPERM, as container profiles did
 *   no-commands   a filter of the host's refuses the signals that sandboxes are ordered by
 *   no-ends       one refuses what ends processes or waits for them, or gives them streams: nothing starts
 *   sigpipe       standard error is a broken pipe and SIGPIPE has its default action
 *   state         nothing of the process is changed by runs
 *   file-limit    no file may grow (RLIMIT_FSIZE) and SIGXFSZ has its default action
 *   umask         the host's umask takes away rights of its own
 *   dropped       root that becomes an ordinary user while a sandbox lives
 *   effective     root whose effective user is another one, as a set-uid program's is
 *   reads-pid     reads the pid file of its own sandbox, which keeps its name
 *   not-dumpable  cannot be inspected by processes of its user
 *   no-names      cannot write to /dev/shm: three runs
 *   tables        threads with descriptor tables of their own
 *   terminal      a captured run leaves the terminal's foreground group alone
 *   own-entry     a grant of /proc/self without a supervisor is none of the host's entry
 *   stops         nothing that uses the terminal, and no key, makes a run wait for ever
 */
#include "check.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static sandlock_sandbox_t *policy;

static int runs_per_thread = 25;

static void *run_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < runs_per_thread; i++) {
        sandlock_result_t *result = sandlock_run(policy, NULL, SHELL("echo out; exit 5"));
        char *text = sandlock_result_stdout(result);
        CHECK_TEXT(text, "out\n");
        sandlock_string_free(text);
        check_exit(result, 5);
    }
    return NULL;
}

static void run_in_threads(int count)
{
    pthread_t threads[8];

    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, run_many, NULL) == 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void run_in_threads_and_leave_nothing(void)
{
    runs_per_thread = 2; /* what is made once is made now */
    run_in_threads(8);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    int descriptors = count_entries("/proc/self/fd");
    runs_per_thread = 100;
    run_in_threads(8);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    CHECK(comes_to_entries("/proc/self/fd", descriptors));
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void *keep_busy(void *data)
{
    volatile int *stop = data;

    while (!*stop)
        sleep_ms(1);
    return NULL;
}

static void big_host(void)
{
    static volatile int stop;
    const size_t size = (size_t)1 << 30;
    pthread_t threads[8];
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    memset(memory, 1, size);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, keep_busy, (void *)&stop) == 0);
    run_many(NULL);
    stop = 1;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    munmap(memory, size);
}

/* Reports by its exit code alone: CHECK has nowhere to write. */
static int closed_descriptors(void)
{
    char data[8];
    int out = -1;
    uintptr_t length = 0;

    for (int fd = 0; fd < 3; fd++)
        close(fd);
    sandlock_result_t *result = sandlock_run(policy, NULL, SHELL("echo out; echo err >&2; exit 5"));
    if (sandlock_result_exit_code(result) != 5)
        return 10;
    const uint8_t *bytes = sandlock_result_stdout_bytes(result, &length);
    if (length != 4 || memcmp(bytes, "out\n", 4) != 0)
        return 11;
    bytes = sandlock_result_stderr_bytes(result, &length);
    if (length != 4 || memcmp(bytes, "err\n", 4) != 0)
        return 12;
    sandlock_result_free(result);

    /* Piped streams get descriptors that may be 0 to 2 in this process. */
    sandlock_handle_t *handle =
        sandlock_popen(policy, NULL, SHELL("echo hi"), SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_PIPED,
                       SANDLOCK_STDIO_NULL, NULL, &out, NULL);
    if (handle == NULL || out < 0 || read_all(out, data, sizeof(data)) != 3)
        return 13;
    close(out);
    result = sandlock_handle_wait(handle);
    if (sandlock_result_exit_code(result) != 0)
        return 14;
    sandlock_result_free(result);
    sandlock_handle_free(handle);
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) != -1)
            return 15; /* something of ours stayed there */
    }
    return 0;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define IF_NUMBER(number, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, (skip))

static void install(struct sock_filter *filter, size_t count)
{
    struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};

    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void refuse_threads(void)
{
    struct sock_filter filter[] = {
        LOAD(nr),
        IF_NUMBER(SYS_clone3, 1),
        RETURN(SECCOMP_RET_ERRNO | ENOSYS),
        IF_NUMBER(SYS_clone, 3),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EAGAIN),
        RETURN(SECCOMP_RET_ALLOW),
    };

    install(filter, sizeof(filter) / sizeof(filter[0]));
}

static void refuse(int number, int error)
{
    struct sock_filter filter[] = {
        LOAD(nr),
        IF_NUMBER(number, 1),
        RETURN(SECCOMP_RET_ERRNO | error),
        RETURN(SECCOMP_RET_ALLOW),
    };

    install(filter, sizeof(filter) / sizeof(filter[0]));
}

static sandlock_handle_t *start_script(const char *script)
{
    sandlock_handle_t *handle = sandlock_create(policy, NULL, SHELL(script));

    CHECK(handle != NULL && sandlock_start(handle) == 0);
    return handle;
}

/* In a copy of this process each, because a filter stays. */
static void in_a_copy(void (*function)(int), int argument)
{
    int status = 0;
    pid_t copy = fork();

    if (copy == 0) {
        alarm(60); /* a hang is a failure */
        function(argument);
        _exit(0);
    }
    CHECK(waitpid(copy, &status, 0) == copy && status == 0);
}

static void commands_arrive_without_signals(int error)
{
    refuse(SYS_pidfd_send_signal, error);
    check_exit(sandlock_run(policy, NULL, SHELL("exit 3")), 3);
    sandlock_handle_t *handle = start_script("sleep 1000 & sleep 0.2; exit 3");
    check_exit(sandlock_handle_wait(handle), 3);
    sandlock_handle_free(handle);
    handle = start_script("exec sleep 1000"); /* a shell that waits in vfork is not seen to stop */
    int pid = sandlock_handle_pid(handle);
    CHECK(sandlock_handle_pause(handle) == 0);
    for (int i = 0; i < 1000 && process_state(pid) != 'T'; i++)
        sleep_ms(5);
    CHECK(process_state(pid) == 'T');
    CHECK(sandlock_handle_kill(handle) == 0);
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
    sandlock_handle_free(start_script("setsid sleep 1000 & sleep 1000"));
}

/* Neither a guardian that can do nothing nor a member that nobody ends, nor a command without its streams. */
static void nothing_starts_without(int number)
{
    const char *const reason = number == SYS_dup3
                                   ? "descriptors: Operation not permitted"
                                   : "guardian kill and wait calls: Operation not permitted";
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    char command[64];

    CHECK(mkdtemp(path) != NULL);
    snprintf(command, sizeof(command), "%s/ran", path);
    const char *const words[] = {"/bin/sh", "-c", ": >\"$0\"", command};
    sandlock_sandbox_t *writer = build(sandlock_sandbox_builder_fs_write(base_builder(), path));
    check_exit(sandlock_run(writer, NULL, words, 4), 0); /* the control */
    CHECK(unlink(command) == 0);
    refuse(number, EPERM);
    CHECK(sandlock_run(writer, NULL, words, 4) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), reason);
    CHECK(sandlock_create(writer, NULL, words, 4) == NULL);
    CHECK_CONTAINS(sandlock_last_error(), reason);
    CHECK(access(command, F_OK) != 0);
    CHECK(rmdir(path) == 0);
    sandlock_sandbox_free(writer);
}

/* Calls that a worker performs where there is one. */
static void metadata_changes_without_threads(void)
{
    char path[] = "/tmp/sandlock-c-abi-XXXXXX";
    char file[64];
    struct stat status;

    CHECK(mkdtemp(path) != NULL);
    snprintf(file, sizeof(file), "%s/file", path);
    sandlock_builder_t *b = sandlock_sandbox_builder_fs_write(base_builder(), path);
    b = sandlock_sandbox_builder_fs_read(b, "/proc");
    b = sandlock_sandbox_builder_env_var(b, "F", file);
    sandlock_sandbox_t *writer = build(b);
    check_exit(sandlock_run(writer, NULL,
                            SHELL("umask 0; : >$F && chmod 640 $F && touch -d 2001-01-01 $F && "
                                  "ls /proc >/dev/null && ! chmod 600 /etc/passwd && exit 3")),
               3);
    CHECK(stat(file, &status) == 0 && (status.st_mode & 07777) == 0640);
    CHECK(status.st_mtime < 1000000000);
    sandlock_handle_t *handle = sandlock_create_for_run(writer, NULL, SHELL(":"));
    char *text = sandlock_handle_posture(handle);
    CHECK_CONTAINS(text, "no thread can be created here");
    sandlock_string_free(text);
    sandlock_handle_free(handle);
    sandlock_sandbox_free(writer);
    unlink(file);
    rmdir(path);
}

static void run_where_threads_fail(void)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, run_many, NULL) != 0); /* the filter does what it says */
    run_many(NULL);
    metadata_changes_without_threads();
    CHECK(sandlock_run_interactive(policy, NULL, SHELL("exit 3")) == 3);
    sandlock_handle_t *handle =
        sandlock_create_for_run(policy, NULL, SHELL("head -c 200000 /dev/zero; exit 2"));
    CHECK(handle != NULL);
    CHECK(sandlock_start(handle) == 0);
    sandlock_result_t *result = sandlock_handle_wait_timeout(handle, 20000);
    uintptr_t length = 0;
    sandlock_result_stdout_bytes(result, &length);
    CHECK(length == 200000);
    check_exit(result, 2);
    sandlock_handle_free(handle);
    handle = sandlock_create_for_run(policy, NULL, SHELL("sleep 1000"));
    CHECK(handle != NULL && sandlock_start(handle) == 0);
    check_end(sandlock_handle_wait_timeout(handle, 100), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    sandlock_handle_free(handle);
}

static int broken_standard_error(void)
{
    int pipe_fds[2];
    sigset_t pending;

    signal(SIGPIPE, SIG_DFL);
    if (pipe(pipe_fds) != 0 || dup2(pipe_fds[1], STDERR_FILENO) != STDERR_FILENO)
        return 10;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    if (sandlock_run(NULL, NULL, ARGV("x")) != NULL) /* writes a diagnostic */
        return 11;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) ? 12 : 0;
}

/* The host would be dead otherwise. Files in memory are files too: a run that needs one is refused. */
static void no_file_may_grow(void)
{
    const struct rlimit none = {0, 0};
    sigset_t pending;
    int file = memfd_create("standard error", MFD_CLOEXEC);
    int error = dup(STDERR_FILENO);
    sandlock_sandbox_t *bare = build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));
    sandlock_sandbox_t *rule =
        build(sandlock_sandbox_builder_net_allow(base_builder(), "tcp://127.0.0.1:9"));

    signal(SIGXFSZ, SIG_DFL);
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
    check_exit(sandlock_run(policy, NULL, SHELL("exit 3")), 3);
    check_exit(sandlock_run(bare, NULL, SHELL("exit 3")), 3);
    CHECK(file >= 0 && error >= 0);
    /* The command has the signal as it was. */
    check_end(sandlock_run(policy, NULL, SHELL("kill -XFSZ $$; exit 3")),
              SANDLOCK_EXIT_REASON_SIGNALED, -1, SIGXFSZ);
    CHECK(dup2(file, STDERR_FILENO) == STDERR_FILENO);
    sandlock_result_t *result = sandlock_run(rule, NULL, SHELL("exit 3"));
    CHECK(dup2(error, STDERR_FILENO) == STDERR_FILENO);
    CHECK(result == NULL);
    CHECK_CONTAINS(sandlock_last_error(), "File too large");
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGXFSZ));
    sigset_t mask;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && !sigismember(&mask, SIGXFSZ));
    close(file);
    close(error);
    sandlock_sandbox_free(rule);
    sandlock_sandbox_free(bare);
}

/* Whether the sandbox of that name has its directory, which has the command's number in it. */
static bool is_named(uid_t user, const char *name)
{
    char path[128];
    struct stat status;

    snprintf(path, sizeof(path), "/dev/shm/sandlock-%lu/%s/pid", (unsigned long)user, name);
    return stat(path, &status) == 0 && status.st_uid == user;
}

static bool has_directory(uid_t user, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "/dev/shm/sandlock-%lu/%s", (unsigned long)user, name);
    return access(path, F_OK) == 0;
}

static sandlock_handle_t *start_named(const char *name, const char *script)
{
    sandlock_handle_t *handle = sandlock_create(policy, name, SHELL(script));

    CHECK(handle != NULL && sandlock_start(handle) == 0);
    return handle;
}

static void masks_of_the_host(void)
{
    static const mode_t masks[] = {0, 0100, 0200, 0400, 0777};
    char name[64];

    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        snprintf(name, sizeof(name), "umask-%d-%zu", (int)getpid(), i);
        mode_t before = umask(masks[i]);
        sandlock_handle_t *handle = start_named(name, "sleep 1000");
        CHECK(is_named(geteuid(), name));
        CHECK(sandlock_create(policy, name, SHELL(":")) == NULL);
        sandlock_handle_free(handle);
        umask(before);
        CHECK(!has_directory(geteuid(), name));
    }
}

#define OTHER_USER 61405

/* By the other user: its signals reach no process of root. */
static void handles_outlive_the_rights_of_the_host(void)
{
    sandlock_handle_t *handles[6];
    char name[64];

    CHECK(geteuid() == 0);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof(name), "dropped-%d-%d", (int)getpid(), i);
        handles[i] = start_named(name, i < 2 ? "sleep 0.5; exit 3" : "sleep 1000");
    }
    CHECK(setgroups(0, NULL) == 0 && setresgid(OTHER_USER, OTHER_USER, OTHER_USER) == 0 &&
          setresuid(OTHER_USER, OTHER_USER, OTHER_USER) == 0);
    CHECK(kill(sandlock_handle_pid(handles[2]), SIGKILL) == -1 && errno == EPERM);
    check_exit(sandlock_handle_wait(handles[0]), 3);
    check_exit(sandlock_handle_wait_timeout(handles[1], 20000), 3);
    check_end(sandlock_handle_wait_timeout(handles[2], 100), SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    CHECK(sandlock_handle_kill(handles[3]) == 0);
    check_end(sandlock_handle_wait(handles[3]), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    CHECK(sandlock_handle_kill(handles[3]) == 0);
    CHECK(sandlock_handle_pause(handles[4]) == 0 && sandlock_handle_resume(handles[4]) == 0);
    for (int i = 0; i < 6; i++) {
        int pid = sandlock_handle_pid(handles[i]);
        sandlock_handle_free(handles[i]);
        CHECK(process_state(pid) == 0);
    }
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
}

static void names_belong_to_the_effective_user(void)
{
    char name[64];

    CHECK(getuid() == 0 && setgroups(0, NULL) == 0 && setegid(OTHER_USER) == 0 &&
          seteuid(OTHER_USER) == 0);
    snprintf(name, sizeof(name), "effective-%d", (int)getpid());
    sandlock_handle_t *handle = start_named(name, "sleep 1000");
    CHECK(is_named(OTHER_USER, name));
    CHECK(!has_directory(0, name));
    sandlock_handle_free(handle);
    CHECK(!has_directory(OTHER_USER, name));
}

static void nothing_of_the_process_changes(void)
{
    struct sigaction before[65];
    struct sigaction after;
    sigset_t mask_before;
    sigset_t mask_after;
    char cwd_before[4096];
    char cwd_after[4096];
    mode_t mask = umask(027);

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&mask_before);
    sigaddset(&mask_before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
    CHECK(getcwd(cwd_before, sizeof(cwd_before)) != NULL);
    for (int i = 1; i < 65; i++)
        sigaction(i, NULL, &before[i]);

    sandlock_sandbox_t *other = build(sandlock_sandbox_builder_cwd(base_builder(), "/usr"));
    /* The host ignores SIGPIPE, the command does not. */
    check_end(sandlock_run(other, NULL, SHELL("kill -PIPE $$; exit 1")),
              SANDLOCK_EXIT_REASON_SIGNALED, -1, SIGPIPE);
    CHECK(sandlock_run(other, "bad name", SHELL(":")) == NULL);
    sandlock_sandbox_free(other);

    for (int i = 1; i < 65; i++) {
        sigaction(i, NULL, &after);
        CHECK(after.sa_handler == before[i].sa_handler && after.sa_flags == before[i].sa_flags);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    CHECK(sigismember(&mask_after, SIGUSR2) && !sigismember(&mask_after, SIGPIPE) &&
          !sigismember(&mask_after, SIGCHLD) && !sigismember(&mask_after, SIGTERM));
    CHECK(getcwd(cwd_after, sizeof(cwd_after)) != NULL);
    CHECK_TEXT(cwd_after, cwd_before);
    CHECK(umask(mask) == 027);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1);
    int subreaper = -1;
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper == 0);
    int fd = open("/etc/passwd", O_RDONLY); /* not confined: /etc is not granted */
    CHECK(fd >= 0);
    close(fd);
}

static void read_core_filter(char text[32])
{
    int fd = open("/proc/self/coredump_filter", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    size_t length = read_all(fd, text, 31);
    close(fd);
    text[length] = '\0';
}

/* The child shares the host's memory until it executes the command. */
static void limits_of_the_command_are_not_the_hosts(void)
{
    char before[32];
    char after[32];
    struct rlimit core_before;
    struct rlimit core_after;
    sandlock_builder_t *b = sandlock_sandbox_builder_fs_read(base_builder(), "/proc");

    read_core_filter(before);
    CHECK(strtoul(before, NULL, 16) != 0);
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
    CHECK(getrlimit(RLIMIT_CORE, &core_before) == 0);
    b = sandlock_sandbox_builder_no_coredump(b, true);
    b = sandlock_sandbox_builder_no_huge_pages(b, true);
    sandlock_sandbox_t *limited = build(sandlock_sandbox_builder_no_randomize_memory(b, true));
    sandlock_result_t *result = sandlock_run(
        limited, NULL,
        SHELL("grep -i thp_enabled /proc/self/status; cat /proc/self/coredump_filter"));
    char *text = sandlock_result_stdout(result);
    CHECK_CONTAINS(text, "\t0\n00000000\n"); /* the command has them */
    sandlock_string_free(text);
    check_exit(result, 0);
    sandlock_sandbox_free(limited);

    read_core_filter(after);
    CHECK_TEXT(after, before);
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
    CHECK(getrlimit(RLIMIT_CORE, &core_after) == 0);
    CHECK(memcmp(&core_after, &core_before, sizeof(core_after)) == 0);
}

/* ---- The pid file -------------------------------------------------------------------------------- */

/* In a process of its own. */
static bool others_can_take(const char *name)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execl("/proc/self/exe", "hosts", "takes-name", name, NULL);
        _exit(9);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 0;
}

static int takes_name(const char *name)
{
    sandlock_handle_t *handle = sandlock_create(policy, name, SHELL("exit 0"));

    if (handle == NULL) {
        CHECK_CONTAINS(sandlock_last_error(), "is already running");
        return 1;
    }
    sandlock_handle_free(handle);
    return 0;
}

/* A record lock of a process is gone when it closes any descriptor of the file. */
static void the_pid_file_may_be_read(void)
{
    char name[64];
    char path[128];
    char text[64];

    snprintf(name, sizeof(name), "read-%d", (int)getpid());
    snprintf(path, sizeof(path), "/dev/shm/sandlock-%d/%s/pid", (int)geteuid(), name);
    sandlock_handle_t *handle = sandlock_create(policy, name, SHELL("exec sleep 60"));
    CHECK(handle != NULL && sandlock_start(handle) == 0);
    CHECK(!others_can_take(name)); /* the control */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read_all(fd, text, sizeof(text)) > 0);
    close(fd);
    CHECK(!others_can_take(name));
    CHECK(access(path, F_OK) == 0);
    sandlock_handle_free(handle);
    CHECK(access(path, F_OK) != 0);
    CHECK(others_can_take(name));
}

/* ---- Files of /proc that are root's --------------------------------------------------------------- */

/* So are those of a daemon that gave up root and executed nothing since. */
static void a_host_that_cannot_be_inspected(void)
{
    char error[256];

    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    sandlock_sandbox_t *without_cores =
        build(sandlock_sandbox_builder_no_coredump(base_builder(), true));
    sandlock_result_t *result = sandlock_run(without_cores, NULL, SHELL("ulimit -Sc; ulimit -Hc"));
    char *text = sandlock_result_stdout(result);
    CHECK_TEXT(text, "0\n0\n"); /* in blocks */
    sandlock_string_free(text);
    check_exit(result, 0);
    sandlock_sandbox_free(without_cores);

    sandlock_sandbox_t *mapped = build(sandlock_sandbox_builder_user(base_builder(), 0, 0));
    CHECK(sandlock_run(mapped, NULL, SHELL("exit 0")) == NULL);
    snprintf(error, sizeof(error), "%s", sandlock_last_error());
    CHECK_CONTAINS(error, "not dumpable");
    sandlock_sandbox_free(mapped);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
}

static volatile int watch_ended;

/* Returns a non-null pointer if another group was seen in front. */
static void *watch_foreground(void *unused)
{
    static int seen;

    (void)unused;
    seen = 0;
    while (!watch_ended) {
        if (tcgetpgrp(STDIN_FILENO) != getpgrp())
            seen = 1;
        sleep_ms(1);
    }
    return seen ? &seen : NULL;
}

static bool foreground_moves(bool captured)
{
    pthread_t watcher;
    void *seen = NULL;

    watch_ended = 0;
    CHECK(pthread_create(&watcher, NULL, watch_foreground, NULL) == 0);
    if (captured)
        check_exit(sandlock_run(policy, NULL, SHELL("sleep 0.2; exit 5")), 5);
    else
        CHECK(sandlock_run_interactive(policy, NULL, SHELL("sleep 0.2; exit 5")) == 5);
    watch_ended = 1;
    pthread_join(watcher, &seen);
    CHECK(tcgetpgrp(STDIN_FILENO) == getpgrp());
    return seen != NULL;
}

/* `act` in a process whose standard input is a terminal, in front of which it is; what is written to the other
 * side is typed. */
static int on_a_terminal(void (*act)(int keyboard))
{
    int status = -1;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setsid() > 0);
        int fd = open(ptsname(terminal), O_RDWR); /* becomes the controlling terminal */
        CHECK(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
        CHECK(tcgetpgrp(STDIN_FILENO) == getpgrp());
        act(terminal);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    close(terminal);
    return status == 0 ? 0 : 10;
}

static void captured_runs_on_a_terminal(int keyboard)
{
    (void)keyboard;
    CHECK(!foreground_moves(true));
    CHECK(foreground_moves(false)); /* an interactive run is seen by this watcher */
    CHECK(!foreground_moves(true));
}

#define READING "read line; echo \"$? $line\""

static void type_text(int keyboard, const char *text)
{
    CHECK(write(keyboard, text, strlen(text)) == (ssize_t)strlen(text));
}

static void check_output(sandlock_result_t *result, const char *expected)
{
    char *text = sandlock_result_stdout(result);

    CHECK_TEXT(text, expected);
    sandlock_string_free(text);
    check_exit(result, 0);
}

static sandlock_handle_t *popen_reading(const sandlock_sandbox_t *with, int *out)
{
    return sandlock_popen(with, NULL, SHELL(READING), SANDLOCK_STDIO_INHERIT, SANDLOCK_STDIO_PIPED,
                          SANDLOCK_STDIO_INHERIT, NULL, out, NULL);
}

/* The host keeps what was typed, and its terminal as it is. */
static void uses_from_the_background(const sandlock_sandbox_t *with)
{
    char text[16] = "";
    int out = -1;

    check_output(sandlock_run(with, NULL, SHELL(READING)), "1 \n");
    check_output(sandlock_run(with, NULL, SHELL("cat; test -t 0; echo $?")), "1\n");
    check_output(sandlock_run(with, NULL, SHELL("setsid -w cat; echo $?")), "0\n");
    check_output(sandlock_run(with, NULL, SHELL("stty -echo 2>/dev/null; echo $?")), "1\n");

    sandlock_handle_t *handle = popen_reading(with, &out);
    struct pollfd ended = {.fd = sandlock_handle_poll_fd(handle), .events = POLLIN};
    CHECK(handle != NULL && poll(&ended, 1, 10000) == 1);
    close(ended.fd);
    check_exit(sandlock_handle_wait(handle), 0);
    CHECK(read(out, text, sizeof(text)) == 3 && memcmp(text, "1 \n", 3) == 0);
    close(out);
    sandlock_handle_free(handle);
}

/* It goes on when it is resumed, not before. */
static void a_paused_command_that_was_stopped(void)
{
    sandlock_handle_t *handle =
        sandlock_create(policy, NULL, SHELL("kill -TTIN $$; kill -TTIN $$; echo on"));

    CHECK(handle != NULL && sandlock_start(handle) == 0);
    CHECK(sandlock_handle_pause(handle) == 0);
    sleep_ms(100);
    CHECK(sandlock_handle_resume(handle) == 0);
    check_output(sandlock_handle_wait(handle), "on\n");
    sandlock_handle_free(handle);
}

static void *type_when_it_is_in_front(void *keyboard)
{
    while (tcgetpgrp(STDIN_FILENO) == getpgrp())
        sleep_ms(1);
    type_text(*(const int *)keyboard, "\032");
    sleep_ms(100);
    type_text(*(const int *)keyboard, "typed\n");
    return NULL;
}

/* One that was given the terminal reads it, and the key that stops jobs does nothing. */
static void stops_in_front(const sandlock_sandbox_t *with, int keyboard)
{
    pthread_t typist;

    CHECK(pthread_create(&typist, NULL, type_when_it_is_in_front, &keyboard) == 0);
    CHECK(sandlock_run_interactive(with, NULL,
                                   SHELL("read line; kill -TSTP $$; "
                                         "test \"$line\" = typed && exit 5")) == 5);
    pthread_join(typist, NULL);
}

/* Its guardian has left the session by then, too. */
static void a_host_that_leaves_its_session(void)
{
    const char *script = "trap '' TTOU; kill -TTIN $$; echo up; kill -STOP $$; "
                         "stty -echo <&2 2>/dev/null; echo $?";
    char text[16] = "";
    int status = -1;
    int out = -1;

    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        sandlock_handle_t *handle =
            sandlock_popen(policy, NULL, SHELL(script), SANDLOCK_STDIO_INHERIT,
                           SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_INHERIT, NULL, &out, NULL);
        CHECK(handle != NULL && read(out, text, 3) == 3 && memcmp(text, "up\n", 3) == 0);
        CHECK(setsid() > 0);
        struct pollfd polled = {.fd = out, .events = POLLIN};
        while (poll(&polled, 1, 50) == 0)
            kill(sandlock_handle_pid(handle), SIGCONT);
        CHECK(read(out, text, sizeof(text)) == 2 && memcmp(text, "1\n", 2) == 0);
        sandlock_handle_free(handle);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void nothing_waits_for_a_shell(int keyboard)
{
    char line[16] = "";
    sandlock_sandbox_t *unsupervised =
        build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));

    alarm(30);
    type_text(keyboard, "a secret\n");
    uses_from_the_background(policy);
    uses_from_the_background(unsupervised);
    a_paused_command_that_was_stopped();
    a_host_that_leaves_its_session();
    CHECK(tcgetpgrp(STDIN_FILENO) == getpgrp());
    CHECK(read(STDIN_FILENO, line, sizeof(line)) == 9 && memcmp(line, "a secret\n", 9) == 0);

    stops_in_front(policy, keyboard);
    stops_in_front(unsupervised, keyboard);
    sandlock_sandbox_free(unsupervised);
}

/* Each says so once, as the command line does, and goes on. */
static void runs_without_a_name(void)
{
    check_exit(sandlock_run(policy, "chosen", SHELL("exit 5")), 5);
    CHECK(sandlock_run_interactive(policy, "chosen", SHELL("exit 6")) == 6);
    sandlock_handle_t *handle = sandlock_create(policy, "chosen", SHELL("exit 7"));
    CHECK(handle != NULL && sandlock_start(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 7);
    sandlock_handle_free(handle);
    CHECK_TEXT(sandlock_last_error(), "");
}

/* ---- Descriptor tables ---- */

#define KINDS 4

static sandlock_handle_t *elsewhere[KINDS];

static sandlock_handle_t *handle_of_kind(int kind)
{
    static sandlock_sandbox_t *plain;

    if (plain == NULL)
        plain = build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));
    sandlock_handle_t *handle =
        kind < 2 ? sandlock_create(kind == 0 ? policy : plain, NULL, SHELL("exec sleep 60"))
                 : sandlock_popen(kind == 2 ? policy : plain, NULL, SHELL("exec sleep 60"), 2, 2, 2,
                                  NULL, NULL, NULL);
    CHECK(handle != NULL && (kind >= 2 || sandlock_start(handle) == 0));
    return handle;
}

static pthread_barrier_t made, used;

/* And keeps the table until the end. */
static void *make_with_own_table(void *unused)
{
    (void)unused;
    CHECK(unshare(CLONE_FILES) == 0);
    for (int kind = 0; kind < KINDS; kind++)
        elsewhere[kind] = handle_of_kind(kind);
    pthread_barrier_wait(&made);
    pthread_barrier_wait(&used);
    return NULL;
}

#define NUMBERS 200

/* Every number that may be one of a handle's is an end of ours here. */
static void fill_table(int pipe_end)
{
    for (int fd = 3; fd < NUMBERS; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            CHECK(dup2(pipe_end, fd) == fd);
    }
}

static void check_table(int pipe_end)
{
    for (int fd = 3; fd < NUMBERS; fd++)
        CHECK(fcntl(fd, F_GETFD) >= 0);
    char byte;
    CHECK(read(pipe_end, &byte, 1) == -1 && errno == EAGAIN); /* nor has anything been written */
}

static void check_handle_of_another_table(sandlock_handle_t *handle, int kind, int pipe_end)
{
    int pid = sandlock_handle_pid(handle);
    int fd = sandlock_handle_poll_fd(handle);
    struct pollfd exited = {.fd = fd, .events = POLLIN};

    CHECK(fd >= 0 && poll(&exited, 1, 0) == 0);
    sandlock_result_t *result = sandlock_handle_wait_timeout(handle, 200);
    if (kind < 3)
        check_end(result, SANDLOCK_EXIT_REASON_TIMEOUT, -1, -1);
    else
        CHECK(result == NULL && sandlock_last_errno() == EBADF);
    if (kind == 3)
        CHECK(sandlock_handle_kill(handle) == 0);
    CHECK(poll(&exited, 1, 10000) == 1);
    close(fd);
    sandlock_handle_free(handle);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
    check_table(pipe_end);
}

static sandlock_handle_t *of_first_table;

/* The pid of a descriptor of a process, 0 if it is another's. */
static int pid_of_descriptor(int fd)
{
    char path[64], line[128];
    int pid = 0;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        sscanf(line, "Pid: %d", &pid);
    if (file != NULL)
        fclose(file);
    return pid;
}

static void *command_from_a_table_with_less(void *unused)
{
    (void)unused;
    CHECK(unshare(CLONE_FILES) == 0);
    for (int fd = 3; fd < NUMBERS; fd++) {
        if (pid_of_descriptor(fd) > 0)
            close(fd);
    }
    CHECK(sandlock_handle_pause(of_first_table) == 0);
    CHECK(process_state(sandlock_handle_pid(of_first_table)) == 'T');
    CHECK(sandlock_handle_resume(of_first_table) == 0);
    return NULL;
}

/* What one thread has closed for itself is not lost. */
static void a_table_with_less_ends_nothing(int kind)
{
    pthread_t thread;

    of_first_table = handle_of_kind(kind);
    CHECK(pthread_create(&thread, NULL, command_from_a_table_with_less, NULL) == 0);
    pthread_join(thread, NULL);
    /* By the time limit, and not at once since it was cut off. */
    check_end(sandlock_handle_wait_timeout(of_first_table, 100), SANDLOCK_EXIT_REASON_TIMEOUT, -1,
              -1);
    CHECK_TEXT(sandlock_last_error(), "");
    sandlock_handle_free(of_first_table);
}

static void handles_of_other_tables(void)
{
    pthread_t thread;
    int ends[2];

    alarm(60);
    for (int kind = 0; kind < KINDS; kind++)
        a_table_with_less_ends_nothing(kind);
    pthread_barrier_init(&made, NULL, 2);
    pthread_barrier_init(&used, NULL, 2);
    CHECK(pthread_create(&thread, NULL, make_with_own_table, NULL) == 0);
    pthread_barrier_wait(&made);
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    fill_table(ends[1]);
    for (int kind = 0; kind < KINDS; kind++)
        check_handle_of_another_table(elsewhere[kind], kind, ends[0]);
    pthread_barrier_wait(&used);
    pthread_join(thread, NULL);
}

static char *first_line(const char *path)
{
    static char line[64];
    FILE *file = fopen(path, "re");

    CHECK(file != NULL && fgets(line, sizeof(line), file) != NULL);
    fclose(file);
    return line;
}

/* Also of a thread's, from a thread. */
static void *the_own_entry_is_the_commands(void *grant)
{
    sandlock_builder_t *b = sandlock_sandbox_builder_fs_write(base_builder(), grant);
    sandlock_sandbox_t *with = build(sandlock_sandbox_builder_no_supervisor(b, true));
    char *own = strdup(grant), script[512];

    CHECK(own != NULL);
    snprintf(script, sizeof(script),
             "for entry in %d %d/task/%d; do cat /proc/$entry/cmdline && echo had; "
             "echo 321 >/proc/$entry/oom_score_adj && echo had; echo 1 >/proc/$entry/comm && echo "
             "had; done; "
             "read -r name <%s/comm && echo own $name",
             getpid(), getpid(), (int)syscall(SYS_gettid), own);
    sandlock_result_t *result = sandlock_run(with, NULL, SHELL(script));
    check_output(result, "own sh\n");
    free(own);
    sandlock_sandbox_free(with);
    return NULL;
}

static void the_own_entry_is_never_the_hosts(void)
{
    char self[] = "/proc/self", thread_self[] = "/proc/thread-self";
    pthread_t thread;
    sandlock_builder_t *b = sandlock_sandbox_builder_fs_write(base_builder(), "/proc");
    sandlock_sandbox_t *everything = build(sandlock_sandbox_builder_no_supervisor(b, true));
    char script[64];

    the_own_entry_is_the_commands(self);
    CHECK(pthread_create(&thread, NULL, the_own_entry_is_the_commands, thread_self) == 0);
    pthread_join(thread, NULL);
    CHECK_TEXT(first_line("/proc/self/oom_score_adj"), "0\n");
    /* The control: a grant of all of them. */
    snprintf(script, sizeof(script), "echo 321 >/proc/%d/oom_score_adj", getpid());
    check_exit(sandlock_run(everything, NULL, SHELL(script)), 0);
    CHECK_TEXT(first_line("/proc/self/oom_score_adj"), "321\n");
    sandlock_sandbox_free(everything);
}

/* ---- The host's handlers, and its descriptors ---- */

static volatile sig_atomic_t handled;

static void note_handled(int number)
{
    (void)number;
    handled = handled + 1;
}

/* Until it executes the command the child shares the host's memory, in which a handler would run. The kernel
 * takes them away in clone3, where that is not refused. */
static void no_handler_of_the_host_runs_in_the_child(int refused)
{
    if (refused != 0)
        refuse(SYS_clone3, refused);
    signal(SIGUSR1, note_handled);
    sandlock_handle_t *handle = sandlock_create(policy, NULL, SHELL("exit 3"));
    CHECK(handle != NULL && kill(sandlock_handle_pid(handle), SIGUSR1) == 0);
    CHECK(sandlock_start(handle) == 0);
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_SIGNALED, -1, SIGUSR1);
    sandlock_handle_free(handle);
    CHECK(handled == 0);
    raise(SIGUSR1);
    CHECK(handled == 1); /* the control */
}

#define DESCRIPTORS_LOOKED_AT 1024

static void check_all_close_on_exec(const bool inherited[DESCRIPTORS_LOOKED_AT], int more_than)
{
    int own = 0;

    for (int fd = 0; fd < DESCRIPTORS_LOOKED_AT; fd++) {
        int flags = inherited[fd] ? -1 : fcntl(fd, F_GETFD);
        CHECK(flags < 0 || (flags & FD_CLOEXEC) != 0);
        own += flags >= 0;
    }
    CHECK(own > more_than);
}

/* What another thread of the host executes meanwhile must not get any. */
static void descriptors_of_the_library_close_on_exec(void)
{
    bool inherited[DESCRIPTORS_LOOKED_AT];
    int in, out;

    for (int fd = 0; fd < DESCRIPTORS_LOOKED_AT; fd++)
        inherited[fd] = fcntl(fd, F_GETFD) >= 0;
    sandlock_builder_t *b = sandlock_sandbox_builder_explain(base_builder(), true);
    b = sandlock_sandbox_builder_net_allow(b, "127.0.0.1:80");
    b = sandlock_sandbox_builder_net_allow_bind(b, "80");
    b = sandlock_sandbox_builder_port_remap(b, true);
    sandlock_sandbox_t *rules = build(b);
    sandlock_handle_t *captured = sandlock_create_for_run(rules, NULL, SHELL("exec sleep 60"));
    CHECK(captured != NULL);
    check_all_close_on_exec(inherited, 5);
    CHECK(sandlock_start(captured) == 0);
    sandlock_handle_t *piped =
        sandlock_popen(policy, NULL, SHELL("exec cat"), SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_PIPED,
                       SANDLOCK_STDIO_NULL, &in, &out, NULL);
    CHECK(piped != NULL);
    int ended = sandlock_handle_poll_fd(piped);
    check_all_close_on_exec(inherited, 10);
    CHECK(close(in) == 0 && close(out) == 0 && close(ended) == 0);
    sandlock_handle_free(piped);
    sandlock_handle_free(captured);
    sandlock_sandbox_free(rules);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    int status = 0;

    policy = base_policy();
    if (strcmp(kind, "threads") == 0)
        run_in_threads_and_leave_nothing();
    else if (strcmp(kind, "big") == 0)
        big_host();
    else if (strcmp(kind, "closed-fds") == 0)
        status = closed_descriptors();
    else if (strcmp(kind, "no-clone3") == 0) {
        in_a_copy(no_handler_of_the_host_runs_in_the_child, 0);
        in_a_copy(no_handler_of_the_host_runs_in_the_child, ENOSYS);
        refuse(SYS_clone3, EPERM);
        run_where_threads_fail();
    } else if (strcmp(kind, "no-commands") == 0) {
        in_a_copy(commands_arrive_without_signals, ENOSYS);
        in_a_copy(commands_arrive_without_signals, EACCES);
    } else if (strcmp(kind, "no-ends") == 0) {
        in_a_copy(nothing_starts_without, SYS_kill);
        in_a_copy(nothing_starts_without, SYS_wait4);
        in_a_copy(nothing_starts_without, SYS_waitid);
        in_a_copy(nothing_starts_without, SYS_dup3);
    } else if (strcmp(kind, "no-threads") == 0) {
        refuse_threads();
        run_where_threads_fail();
    } else if (strcmp(kind, "sigpipe") == 0)
        status = broken_standard_error();
    else if (strcmp(kind, "state") == 0) {
        nothing_of_the_process_changes();
        descriptors_of_the_library_close_on_exec();
        limits_of_the_command_are_not_the_hosts();
    } else if (strcmp(kind, "file-limit") == 0)
        no_file_may_grow();
    else if (strcmp(kind, "umask") == 0)
        masks_of_the_host();
    else if (strcmp(kind, "reads-pid") == 0)
        the_pid_file_may_be_read();
    else if (strcmp(kind, "takes-name") == 0)
        status = takes_name(argc > 2 ? argv[2] : "");
    else if (strcmp(kind, "not-dumpable") == 0)
        a_host_that_cannot_be_inspected();
    else if (strcmp(kind, "dropped") == 0)
        handles_outlive_the_rights_of_the_host();
    else if (strcmp(kind, "effective") == 0)
        names_belong_to_the_effective_user();
    else if (strcmp(kind, "no-names") == 0)
        runs_without_a_name();
    else if (strcmp(kind, "tables") == 0)
        handles_of_other_tables();
    else if (strcmp(kind, "terminal") == 0)
        status = on_a_terminal(captured_runs_on_a_terminal);
    else if (strcmp(kind, "own-entry") == 0)
        the_own_entry_is_never_the_hosts();
    else if (strcmp(kind, "stops") == 0)
        status = on_a_terminal(nothing_waits_for_a_shell);
    else
        status = 2;
    sandlock_sandbox_free(policy);
    return status;
}
