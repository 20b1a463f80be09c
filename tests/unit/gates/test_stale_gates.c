/* Gates, limits and records do nothing for a caller that is gone: see stale_run.h. */
#include "../grant_now.h"
#include "../skip_because.h"
#include "stale_run.h"

#include "gates/gates.h"
#include "kernel/landlock.h"
#include "kernel/process_tree.h"
#include "limits/limits.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

static char outside[] = "/tmp/sandlock-stale-XXXXXX"; /* a file that nothing grants */

/* ---- Terminals ----------------------------------------------------------------------------------------- */

static void ignore_stop(void)
{
    signal(SIGTTOU, SIG_IGN);
}

static bool changes_settings(int terminal)
{
    struct termios before, after;

    if (tcgetattr(terminal, &before) != 0)
        return false;
    before.c_lflag ^= ECHO;
    tcsetattr(terminal, TCSANOW, &before);
    return tcgetattr(terminal, &after) == 0 && after.c_lflag == before.c_lflag;
}

/* A process that waits in a group of its own. */
static pid_t start_group(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;)
            pause();
    }
    setpgid(pid, pid);
    return pid;
}

static void end_group(pid_t group)
{
    kill(group, SIGKILL);
    waitpid(group, NULL, 0);
}

/* What the caller may change by that for as long as nobody else is put there. */
static bool puts_a_group_in_front(void)
{
    pid_t group = start_group();

    ignore_stop();
    bool is_there = tcsetpgrp(0, group) == 0 && tcgetpgrp(0) == group;
    end_group(group);
    return is_there && changes_settings(0);
}

static volatile sig_atomic_t stops;

static void on_stop(int number)
{
    (void)number;
    stops++;
}

static bool is_asked_by_signal(void)
{
    const struct sigaction action = {.sa_handler = on_stop};

    sigaction(SIGTTOU, &action, NULL);
    setpgid(0, 0);
    changes_settings(0);
    return stops > 0;
}

static bool changes_another_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    setpgid(0, 0);
    return unlockpt(master) == 0 && changes_settings(open(ptsname(master), O_RDWR | O_NOCTTY));
}

/* ---- Processes ----------------------------------------------------------------------------------------- */

static atomic_int thread_id;

static void *sit(void *data)
{
    atomic_store(&thread_id, (int)syscall(SYS_gettid));
    for (;;)
        pause();
    return data;
}

static bool lowers_a_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, sit, NULL) != 0)
        return false;
    while (atomic_load(&thread_id) == 0)
        sched_yield();
    id_t id = (id_t)atomic_load(&thread_id);
    setpriority(PRIO_PROCESS, id, 19);
    return getpriority(PRIO_PROCESS, id) == 19;
}

static bool joins_a_group(void)
{
    pid_t group = start_group();

    setpgid(0, group);
    bool joined = getpgrp() == group;
    end_group(group);
    return joined;
}

/* As where /proc hides the caller. */
int __real_process_tree_note_fork(struct process_tree *tree, int proc_fd, pid_t pid);
int __wrap_process_tree_note_fork(struct process_tree *tree, int proc_fd, pid_t pid);

static bool is_hidden;

int __wrap_process_tree_note_fork(struct process_tree *tree, int proc_fd, pid_t pid)
{
    return is_hidden ? -ESRCH : __real_process_tree_note_fork(tree, proc_fd, pid);
}

static bool forks(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0;
}

/* ---- What is refused and recorded ---------------------------------------------------------------------- */

static bool changes_mode(void)
{
    return chmod(outside, 0640) == 0;
}

static bool opens(void)
{
    return open(outside, O_RDONLY | O_CLOEXEC) >= 0;
}

/* In the same directory as it is: nothing is done, whoever judges it. */
static bool renames_to_itself(void)
{
    return rename(outside, outside) == 0;
}

static bool connects(void)
{
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)&name, sizeof(name)) ==
           0;
}

/* What the filter refuses by itself is recorded in any case, and whose path it was is not told. */
static bool makes_a_device(void)
{
    return mknod("/nowhere/device", S_IFCHR | 0600, 1) == 0;
}

static bool has_recorded_the_path(void)
{
    return strcmp(stale->object, "/nowhere/device") == 0;
}

static bool opens_a_queue(void)
{
    return syscall(SYS_mq_open, "sandlock-stale", O_CREAT, 0600, NULL) >= 0;
}

/* ---- The runs ------------------------------------------------------------------------------------------ */

static void try_calls(const char *const *words, const struct feature *feature, bool terminal,
                      const struct call *calls, size_t count)
{
    const struct feature *const features[] = {feature, NULL};
    struct grants grants = {0};
    struct policy *policy = build_words(words);
    struct gated_run run = {.policy = policy,
                            .features = features,
                            .grants = &grants,
                            .window = {448, 511},
                            .terminal = terminal};

    stale_try(&run, calls, count);
    policy_unref(policy);
    grants_free(&grants);
}

#define TRY(words, feature, terminal, calls) \
    try_calls(words, feature, terminal, calls, sizeof(calls) / sizeof((calls)[0]))

static void no_terminal_is_changed_and_nobody_stopped(void **state)
{
    static const struct call calls[] = {
        {"TIOCSPGRP", puts_a_group_in_front, NULL, 3, 0, 0},
        {"SIGTTOU", is_asked_by_signal, NULL, 2, 0, 0},
        {"another terminal", changes_another_terminal, NULL, 2, 0, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/usr"), &feature_terminal_gate, true, calls);
}

static void no_number_is_taken_for_the_callers(void **state)
{
    static const struct call calls[] = {
        {"setpriority", lowers_a_thread, NULL, 1, 0, 0},
        {"setpgid", joins_a_group, NULL, 1, 0, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/usr"), &feature_process_gate, false, calls);
}

/* A call at the limit is looked at again until it is refused. */
static void nothing_is_told_of_a_fork(void **state)
{
    static const struct call calls[] = {{"fork", forks, has_recorded, 1, 0, 0}};

    (void)state;
    TRY(WORDS("--fs-read=/usr", "--max-processes=1"), &feature_process_limit, false, calls);
    is_hidden = true;
    TRY(WORDS("--fs-read=/usr", "--max-processes=2"), &feature_process_limit, false, calls);
    is_hidden = false;
}

static void nothing_is_told_of_a_path(void **state)
{
    static const struct call changes[] = {{"chmod", changes_mode, has_recorded, 2, 1, 0}};
    static const struct call calls[] = {
        {"open", opens, has_recorded, 2, 2, 0},
        {"rename", renames_to_itself, has_recorded, 2, 2, 0},
        {"mknod", makes_a_device, has_recorded_the_path, 1, 0, 0},
    };

    (void)state;
    TRY(WORDS("--fs-read=/usr"), &feature_metadata_gate, false, changes);
    TRY(WORDS("--fs-read=/usr", "--explain"), &feature_explain, false, calls);
}

static void nothing_is_told_of_an_address(void **state)
{
    static const struct call calls[] = {{"connect", connects, has_recorded, 2, 0, 0}};

    (void)state;
    if (landlock_support_get()->abi < 4)
        skip_because("Landlock does not judge TCP here");
    TRY(WORDS("--fs-read=/usr", "--net-allow=:2", "--explain"), &feature_explain, false, calls);
}

static void nothing_is_told_of_a_queue(void **state)
{
    static const struct call calls[] = {{"mq_open", opens_a_queue, has_recorded, 2, 0, 0}};

    (void)state;
    if (access("/dev/mqueue/.", F_OK) == 0)
        skip_because("message queues are mounted here");
    TRY(WORDS("--fs-read=/usr", "--extra-allow-syscall=sysv_ipc", "--explain"), &feature_explain,
        false, calls);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(outside);
    fd_close(fd);
    return fd < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_terminal_is_changed_and_nobody_stopped),
        cmocka_unit_test(no_number_is_taken_for_the_callers),
        cmocka_unit_test(nothing_is_told_of_a_fork),
        cmocka_unit_test(nothing_is_told_of_a_path),
        cmocka_unit_test(nothing_is_told_of_an_address),
        cmocka_unit_test(nothing_is_told_of_a_queue),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
