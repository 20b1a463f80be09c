/*
 * When kill, pause and resume of a handle return, what they say has been done, whatever order they come in. The argument
 * is how the sandbox is made: "supervised", "no-supervisor", "no-scope"; or "silent": of a guardian that does not answer.
 */
#include "check.h"

#include <stdbool.h>
#include <sys/mman.h>

#define WRITERS 6
#define ROUNDS 10

static const char *how;
static char directory[] = "/tmp/sandlock-commands-XXXXXX";
static char counters_path[64], made_path[64];

/* Each counts in a place of its own, and all are each other's children: only the first is the guardian's. */
static volatile uint64_t *counters;
static const char *const writers = "import mmap, os, struct, sys\n"
                                   "with open(sys.argv[1], 'r+b') as file:\n"
                                   "    memory = mmap.mmap(file.fileno(), 4096)\n"
                                   "own = 0\n"
                                   "while own < 5 and os.fork() == 0:\n"
                                   "    own += 1\n"
                                   "count = 0\n"
                                   "while True:\n"
                                   "    count += 1\n"
                                   "    struct.pack_into('<Q', memory, 8 * own, count)\n";

static sandlock_sandbox_t *make_policy(void)
{
    sandlock_builder_t *b = sandlock_sandbox_builder_fs_write(base_builder(), directory);

    if (strcmp(how, "no-supervisor") == 0)
        b = sandlock_sandbox_builder_no_supervisor(b, true);
    if (strcmp(how, "no-scope") == 0)
        b = sandlock_sandbox_builder_disable(b, SANDLOCK_PROTECTION_SIGNAL_SCOPE);
    return build(b);
}

static void note(uint64_t *noted)
{
    for (int i = 0; i < WRITERS; i++)
        noted[i] = counters[i];
}

static int count_moved(const uint64_t *noted)
{
    int moved = 0;

    for (int i = 0; i < WRITERS; i++)
        moved += counters[i] != noted[i];
    return moved;
}

/* Who runs on another CPU at the moment of the signal is interrupted there: a matter of microseconds. */
static bool all_stand(void)
{
    uint64_t noted[WRITERS];

    sleep_ms(1);
    note(noted);
    sleep_ms(10);
    return count_moved(noted) == 0;
}

static bool all_come_to_move(void)
{
    uint64_t noted[WRITERS];
    int64_t end = now_ms() + 60000;

    note(noted);
    while (count_moved(noted) != WRITERS) { /* one after the other where there is one processor */
        if (now_ms() > end)
            return false;
        sleep_ms(10);
    }
    return true;
}

static sandlock_handle_t *start_writers(const sandlock_sandbox_t *policy)
{
    memset((void *)counters, 0, 4096);
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, ARGV("/usr/bin/python3", "-I", "-S", "-c", writers, counters_path),
        SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_INHERIT, NULL, NULL, NULL);
    CHECK(handle != NULL);
    CHECK(all_come_to_move());
    return handle;
}

/* ---- Kill ---------------------------------------------------------------------------------------- */

static void what_was_killed_cannot_be_started(const sandlock_sandbox_t *policy)
{
    for (int round = 0; round < ROUNDS; round++) {
        bool kill = round > 0; /* the first one would act */
        sandlock_handle_t *handle = (round % 2 == 0 ? sandlock_create_for_run : sandlock_create)(
            policy, NULL, ARGV("/usr/bin/touch", made_path));
        CHECK(handle != NULL);
        if (kill)
            CHECK(sandlock_handle_kill(handle) == 0);
        CHECK(sandlock_start(handle) == (kill ? -1 : 0));
        if (kill)
            check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
        else
            check_exit(sandlock_handle_wait(handle), 0);
        CHECK(sandlock_handle_kill(handle) == 0);
        sandlock_handle_free(handle);
        CHECK((access(made_path, F_OK) == 0) == !kill);
        unlink(made_path);
    }
}

static void nobody_moves_after_a_kill(const sandlock_sandbox_t *policy)
{
    for (int round = 0; round < 3; round++) {
        sandlock_handle_t *handle = start_writers(policy);
        CHECK(sandlock_handle_kill(handle) == 0);
        CHECK(all_stand());
        check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
        sandlock_handle_free(handle);
    }
}

static void *kill_soon(void *handle)
{
    sleep_ms(50);
    CHECK(sandlock_handle_kill(handle) == 0);
    return NULL;
}

static void a_waiting_thread_is_not_kept(const sandlock_sandbox_t *policy)
{
    sandlock_handle_t *handle = start_writers(policy);
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, kill_soon, handle) == 0);
    int64_t start = now_ms();
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(now_ms() - start < 20000);
    sandlock_handle_free(handle);
}

/* ---- Pause and resume ---------------------------------------------------------------------------- */

/* A process that waits for a processor is seen to stop when it has got one, and does nothing else then. */
static bool is_stopped(const sandlock_handle_t *handle)
{
    int64_t end = now_ms() + 20000;

    while (process_state(sandlock_handle_pid(handle)) != 'T') {
        if (now_ms() > end)
            return false;
        sleep_ms(1);
    }
    return true;
}

static void the_last_one_counts(const sandlock_sandbox_t *policy)
{
    sandlock_handle_t *handle = start_writers(policy);

    for (int round = 0; round < ROUNDS; round++) {
        CHECK(sandlock_handle_pause(handle) == 0);
        CHECK(all_stand() && is_stopped(handle));
        CHECK(sandlock_handle_resume(handle) == 0);
        CHECK(sandlock_handle_pause(handle) == 0);
        CHECK(all_stand() && is_stopped(handle));
        CHECK(sandlock_handle_resume(handle) == 0);
    }
    CHECK(all_come_to_move());
    CHECK(sandlock_handle_pause(handle) == 0);
    CHECK(sandlock_handle_resume(handle) == 0);
    CHECK(all_come_to_move());
    sandlock_handle_free(handle);
}

static void *pause_and_resume(void *handle)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(sandlock_handle_pause(handle) == 0);
        CHECK(sandlock_handle_resume(handle) == 0);
    }
    return NULL;
}

static void *resume_and_pause(void *handle)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(sandlock_handle_resume(handle) == 0);
        CHECK(sandlock_handle_pause(handle) == 0);
    }
    return NULL;
}

static void the_last_one_counts_of_several_threads(const sandlock_sandbox_t *policy)
{
    sandlock_handle_t *handle = start_writers(policy);
    pthread_t threads[3];

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&threads[i], NULL, pass == 0 ? resume_and_pause : pause_and_resume,
                                 handle) == 0);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        CHECK(pass == 0 ? all_stand() : all_come_to_move());
    }
    sandlock_handle_free(handle);
}

/* A parked command that is paused and started acts when it is resumed. */
static void a_pause_comes_before_the_start(const sandlock_sandbox_t *policy)
{
    sandlock_handle_t *handle = sandlock_create(policy, NULL, ARGV("/usr/bin/touch", made_path));

    CHECK(handle != NULL);
    CHECK(sandlock_handle_pause(handle) == 0);
    CHECK(sandlock_start(handle) == 0);
    sleep_ms(100);
    CHECK(access(made_path, F_OK) != 0);
    CHECK(sandlock_handle_resume(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 0);
    CHECK(access(made_path, F_OK) == 0);
    CHECK(sandlock_handle_pause(handle) == -1 && sandlock_last_errno() == ESRCH);
    CHECK(sandlock_handle_resume(handle) == -1 && sandlock_last_errno() == ESRCH);
    sandlock_handle_free(handle);
    unlink(made_path);
}

/* ---- A guardian that does not answer ------------------------------------------------------------- */

static int guardian_of(int command)
{
    char path[64];
    char line[256];
    int parent = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", command);
    FILE *status = fopen(path, "r");
    CHECK(status != NULL);
    while (parent == 0 && fgets(line, sizeof(line), status) != NULL)
        sscanf(line, "PPid: %d", &parent);
    fclose(status);
    CHECK(parent > 1);
    return parent;
}

static int silent_guardian;

/* Also when the test fails. */
static void let_guardian_answer(void)
{
    if (silent_guardian > 0)
        kill(silent_guardian, SIGCONT);
    silent_guardian = 0;
}

static void *pause_in_vain(void *handle)
{
    CHECK(sandlock_handle_pause(handle) == -1);
    CHECK(sandlock_last_errno() == ETIMEDOUT);
    CHECK_CONTAINS(sandlock_last_error(), "pause: the guardian process does not answer");
    return NULL;
}

static void an_order_that_is_not_carried_out_fails(const sandlock_sandbox_t *policy)
{
    sandlock_handle_t *handle = start_writers(policy);
    pthread_t thread;

    silent_guardian = guardian_of(sandlock_handle_pid(handle));
    atexit(let_guardian_answer);
    CHECK(kill(silent_guardian, SIGSTOP) == 0);
    int64_t start = now_ms();
    CHECK(pthread_create(&thread, NULL, pause_in_vain, handle) == 0);
    CHECK(sandlock_handle_kill(handle) == -1);
    CHECK(sandlock_last_errno() == ETIMEDOUT);
    CHECK_CONTAINS(sandlock_last_error(), "kill: the guardian process does not answer");
    pthread_join(thread, NULL);
    CHECK(now_ms() - start < 20000);
    CHECK(all_come_to_move());
    let_guardian_answer();
    check_end(sandlock_handle_wait(handle), SANDLOCK_EXIT_REASON_KILLED, -1, -1);
    sandlock_handle_free(handle);
}

int main(int argc, char **argv)
{
    how = argc > 1 ? argv[1] : "";
    CHECK(mkdtemp(directory) != NULL);
    snprintf(counters_path, sizeof(counters_path), "%s/counters", directory);
    snprintf(made_path, sizeof(made_path), "%s/made", directory);
    int fd = open(counters_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(counters != MAP_FAILED);
    close(fd);

    sandlock_sandbox_t *policy = make_policy();
    if (strcmp(how, "silent") == 0) {
        an_order_that_is_not_carried_out_fails(policy);
    } else {
        what_was_killed_cannot_be_started(policy);
        nobody_moves_after_a_kill(policy);
        a_waiting_thread_is_not_kept(policy);
        the_last_one_counts(policy);
        the_last_one_counts_of_several_threads(policy);
        a_pause_comes_before_the_start(policy);
    }
    sandlock_sandbox_free(policy);
    unlink(counters_path);
    return rmdir(directory) == 0 ? 0 : 1;
}
