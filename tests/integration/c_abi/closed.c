/*
 * Hosts that close all their descriptors while sandboxes live, as one does that becomes a daemon, and use the numbers
 * again. The first argument names what the command does meanwhile:
 *   sleeps   nothing
 *   forks    one supervised call after the other. One that is under way when the descriptors are closed may close
 *            a number that has been used again, so here those are not looked at
 *   connects one that a thread of the supervisor holds, as it waits for its peer
 *   orphans  nothing, but has left the session of the guardian, which is killed
 */
#include "check.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PAIRS 80
#define UNREAD 64

static sandlock_sandbox_t *policy, *plain;
static const char *script;
static bool calls_without_end;
static int side; /* the other end of standard input */

/* ---- The host's own descriptors ---- */

/* In the order of their numbers, from the lowest. Nothing is ever taken out. */
static int own[2 * PAIRS];

static void close_all(void)
{
    CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
}

/* `unread`: all of them are readable. Else none is, and nothing tells who waits for one. */
static void use_numbers_again(bool unread)
{
    static const char bytes[UNREAD] = "of the host";

    for (int i = 0; i < PAIRS; i++)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, &own[2 * i]) == 0);
    for (int i = 0; unread && i < 2 * PAIRS; i++)
        CHECK(send(own[i], bytes, UNREAD, MSG_NOSIGNAL) == UNREAD || calls_without_end);
}

/* Nothing has been read, written or closed. */
static void check_own(bool unread)
{
    for (int i = 0; i < 2 * PAIRS && !calls_without_end; i++) {
        int there = -1;
        CHECK(ioctl(own[i], FIONREAD, &there) == 0);
        CHECK(there == (unread ? UNREAD : 0));
    }
}

/* ---- The sandboxes ---- */

/* One that fills the queue of a listener, so that the next connect waits. */
static int full_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 0) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    for (int i = 0; i < 2; i++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK(connect(client, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS);
    }
    return ntohs(address.sin_port);
}

static void prepare(const char *what)
{
    static char connecting[128];
    sandlock_builder_t *b = sandlock_sandbox_builder_max_processes(base_builder(), 50);

    script = "echo up >&0; exec sleep 60";
    calls_without_end = strcmp(what, "forks") == 0;
    if (calls_without_end)
        script = "echo up >&0; while :; do /bin/true; done";
    if (strcmp(what, "connects") == 0) {
        snprintf(connecting, sizeof(connecting), "echo up >&0; exec 3<>/dev/tcp/127.0.0.1/%d",
                 full_listener());
        script = connecting;
        b = sandlock_sandbox_builder_net_allow(b, "127.0.0.1");
    }
    policy = build(b);
    plain = build(sandlock_sandbox_builder_no_supervisor(base_builder(), true));
}

enum kind {
    CAPTURED,
    INHERITED,
    UNSUPERVISED, /* but with a thread, which captures */
    WITHOUT_THREAD,
    KINDS
};

static bool threads_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int awake = 0;

    CHECK(tasks != NULL);
    while ((task = readdir(tasks)) != NULL)
        awake += task->d_name[0] != '.' && process_state(atoi(task->d_name)) == 'R';
    closedir(tasks);
    return awake <= 1; /* this one */
}

/* It runs, and after a moment no thread of the supervisor is at work on its last call. */
static void await_command(void)
{
    char text[3];

    CHECK(read_all(side, text, sizeof(text)) == sizeof(text));
    for (int quiet = 0; quiet < 10 && !calls_without_end; sleep_ms(2))
        quiet = threads_sleep() ? quiet + 1 : 0;
}

static sandlock_handle_t *start(enum kind kind)
{
    const sandlock_sandbox_t *with = kind < UNSUPERVISED ? policy : plain;
    bool captured = kind == CAPTURED || kind == UNSUPERVISED;
    const char *const words[] = {"/bin/bash", "-c", script};
    sandlock_handle_t *handle =
        captured ? sandlock_create(with, NULL, words, 3)
                 : sandlock_popen(with, NULL, words, 3, 0, 2, 2, NULL, NULL, NULL);

    CHECK(handle != NULL && (!captured || sandlock_start(handle) == 0));
    await_command();
    return handle;
}

/* That of the command, where it is not closed. */
static void keep_poll_fd(sandlock_handle_t *handle)
{
    int fd = sandlock_handle_poll_fd(handle);

    CHECK(fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO && close(fd) == 0);
}

static void await_end(void)
{
    struct pollfd exited = {.fd = STDOUT_FILENO, .events = POLLIN};

    CHECK(poll(&exited, 1, 30000) == 1);
}

static void check_waits(sandlock_handle_t *handle, enum kind kind)
{
    sandlock_result_t *result = sandlock_handle_wait_timeout(handle, 2000);

    if (kind == WITHOUT_THREAD) {
        CHECK(result == NULL && sandlock_last_errno() == EBADF);
        return;
    }
    CHECK_CONTAINS(sandlock_last_error(), "has closed the descriptors");
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
}

enum then { NOTHING, QUIET_NUMBERS, READABLE_NUMBERS, NEW_SANDBOX, ONLY_FREED, THENS };

static void close_under(enum kind kind, enum then then)
{
    alarm(60); /* a hang is a failure */
    sandlock_handle_t *handle = start(kind);
    sandlock_handle_t *next = NULL;

    keep_poll_fd(handle);
    close_all();
    if (then == QUIET_NUMBERS || then == READABLE_NUMBERS || then == ONLY_FREED)
        use_numbers_again(then == READABLE_NUMBERS);
    if (then == NEW_SANDBOX)
        CHECK((next = sandlock_create(policy, NULL, SHELL("/bin/true; echo out; exit 5"))) != NULL);
    await_end();
    if (then != ONLY_FREED)
        check_waits(handle, kind);
    CHECK(sandlock_handle_kill(handle) == 0);
    sandlock_handle_free(handle);
    if (next != NULL) {
        CHECK(sandlock_start(next) == 0);
        sandlock_result_t *result = sandlock_handle_wait(next);
        char *text = sandlock_result_stdout(result);
        CHECK_TEXT(text, "out\n");
        sandlock_string_free(text);
        check_exit(result, 5);
        sandlock_handle_free(next);
    }
    if (then == QUIET_NUMBERS || then == READABLE_NUMBERS || then == ONLY_FREED)
        check_own(then == READABLE_NUMBERS);
    /* Nobody is left to spin, or to touch anything later. */
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
}

/* ---- While a run is under way ---- */

static void *close_soon(void *unused)
{
    (void)unused;
    await_command();
    close_all(); /* perhaps before the start is over, which then may touch anything */
    return NULL;
}

static void close_under_a_run(void)
{
    pthread_t thread;

    alarm(60);
    CHECK(pthread_create(&thread, NULL, close_soon, NULL) == 0);
    const char *const words[] = {"/bin/bash", "-c", script};
    sandlock_result_t *result = sandlock_run(policy, NULL, words, 3);
    CHECK_CONTAINS(sandlock_last_error(), "has closed the descriptors");
    check_end(result, SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    pthread_join(thread, NULL);
}

/* ---- Who the guardian leaves behind ---- */

#define FEW_DESCRIPTORS 32
#define ORPHANS 40

static int parent_of(int pid)
{
    char path[64], line[512];
    int parent = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t got = read(fd, line, sizeof(line) - 1);
    close(fd);
    CHECK(got > 0);
    line[got] = '\0';
    CHECK(sscanf(strrchr(line, ')') + 1, " %*c %d", &parent) == 1);
    return parent;
}

/* They are found among all processes, which takes descriptors that are not the sandbox's: none may stay open. */
static void close_under_orphans(void)
{
    static char orphans[160];
    const struct rlimit few = {FEW_DESCRIPTORS, FEW_DESCRIPTORS};
    int ends[2];

    alarm(60);
    snprintf(orphans, sizeof(orphans),
             "exec 3>&0; for i in {1..%d}; do setsid sleep 60 & done; echo up >&0; wait", ORPHANS);
    script = orphans;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[0], 0) == 0);
    side = ends[1];
    sandlock_handle_t *handle = start(INHERITED);
    int guardian = parent_of(sandlock_handle_pid(handle));

    CHECK(dup2(side, STDOUT_FILENO) == STDOUT_FILENO && close(0) == 0);
    CHECK(kill(guardian, SIGSTOP) == 0); /* it is not to obey before it dies */
    close_all();
    int before = count_entries("/proc/self/fd");
    CHECK(kill(guardian, SIGKILL) == 0);
    check_waits(handle, INHERITED);
    struct pollfd members = {.fd = STDOUT_FILENO, .events = POLLIN};
    char byte;
    CHECK(poll(&members, 1, 30000) == 1 && read(STDOUT_FILENO, &byte, 1) == 0); /* all have ended */
    sandlock_handle_free(handle);
    CHECK(comes_to_entries("/proc/self/task", ONE_THREAD));
    CHECK(count_entries("/proc/self/fd") == before);
}

/* In a copy each, all at once: most of the time is spent waiting. */
int main(int argc, char **argv)
{
    int status = 0;
    pid_t copies[KINDS * THENS + 1];

    prepare(argc > 1 ? argv[1] : "");
    if (argc > 1 && strcmp(argv[1], "orphans") == 0) {
        close_under_orphans();
        return 0;
    }
    for (int i = 0; i <= KINDS * THENS; i++) {
        copies[i] = fork();
        CHECK(copies[i] >= 0);
        if (copies[i] == 0) {
            int ends[2];
            CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[0], 0) == 0);
            side = ends[1];
            if (i < KINDS * THENS)
                close_under((enum kind)(i / THENS), (enum then)(i % THENS));
            else
                close_under_a_run();
            _exit(0);
        }
    }
    for (int i = 0; i <= KINDS * THENS; i++) {
        int ended = -1;
        CHECK(waitpid(copies[i], &ended, 0) == copies[i]);
        if (ended != 0)
            fprintf(stderr, "kind %d, then %d: status %x\n", i / THENS, i % THENS, ended);
        status |= ended != 0;
    }
    return status;
}
