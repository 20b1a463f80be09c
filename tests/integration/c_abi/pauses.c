/*
 * Pause and resume of members that stand anywhere below the command. The first argument names how they do:
 *   threads    children of threads
 *   deep       each the child of the one before
 *   wide       children of one parent
 *   headless   processes whose first thread has ended
 *   many       more that had stopped themselves than a pause remembers
 * the second whether some stop themselves before the pause ("stopped") or all run ("running"); a third,
 * "no-supervisor" or "no-scope", how the sandbox is made.
 */
#include "check.h"

#include <stdbool.h>

#define MEMBERS_MAX 512
#define NOTED_MAX 256 /* as the header says */

struct member {
    int pid;
    bool stops; /* itself, before the pause */
};

static struct member members[MEMBERS_MAX];
static int member_count;
static bool some_stop;

/* A member tells its number and whether it will stop. */
static const char *const prelude = "import ctypes, os, signal, threading, time\n"
                                   "def run():\n"
                                   "    os.write(1, b'runs %d\\n' % os.getpid())\n"
                                   "    time.sleep(100)\n"
                                   "    os._exit(0)\n"
                                   "def stop():\n"
                                   "    if not some_stop: run()\n"
                                   "    os.write(1, b'stops %d\\n' % os.getpid())\n"
                                   "    os.kill(os.getpid(), signal.SIGSTOP)\n"
                                   "    time.sleep(100)\n"
                                   "    os._exit(0)\n"
                                   "def fork(act):\n"
                                   "    os.fork() or act()\n"
                                   "def thread(act):\n"
                                   "    threading.Thread(target=act).start()\n";

/* In each a number of members run, and one or more stop. */
static const struct shape {
    const char *name, *script;
    int members;
} shapes[] = {
    {"threads",
     "def family():\n"
     "    fork(run)\n"
     "    fork(stop)\n"
     "    time.sleep(100)\n"
     "for i in range(4): thread(family)\n",
     8},
    {"deep",
     "fork(stop)\n"
     "for i in range(20):\n"
     "    if os.fork(): run()\n"
     "fork(stop)\n"
     "run()\n",
     23},
    {"wide",
     "for i in range(250): fork(run)\n"
     "fork(stop)\n"
     "run()\n",
     252},
    {"headless",
     "def headless(act):\n"
     "    thread(lambda: (time.sleep(0.2), act()))\n"
     "    ctypes.CDLL(None).pthread_exit(None)\n"
     "fork(lambda: headless(run))\n"
     "fork(lambda: headless(stop))\n"
     "run()\n",
     3},
    {"many",
     "for i in range(300): fork(stop)\n"
     "for i in range(100): fork(run)\n"
     "run()\n",
     401},
};

/* Of all its threads that have not ended. */
static bool is_stopped(int pid)
{
    char path[64];
    bool stopped = false;

    if (process_state(pid) != 'Z')
        return process_state(pid) == 'T';
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    CHECK(threads != NULL);
    for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        int thread = atoi(entry->d_name);
        stopped = stopped || (thread != 0 && process_state(thread) == 'T');
    }
    closedir(threads);
    return stopped;
}

static int count_stopped(void)
{
    int count = 0;

    for (int i = 0; i < member_count; i++)
        count += is_stopped(members[i].pid);
    return count;
}

/* Now or soon exactly `count` are stopped, and it stays so. */
static bool come_to_be_stopped(int count)
{
    int64_t end = now_ms() + 20000;

    while (count_stopped() != count) {
        if (now_ms() > end)
            return false;
        sleep_ms(10);
    }
    sleep_ms(100);
    return count_stopped() == count;
}

static sandlock_handle_t *start(const sandlock_sandbox_t *policy, const struct shape *shape)
{
    char script[4096];
    char line[64];
    char word[16];
    int out = -1;

    snprintf(script, sizeof(script), "some_stop = %d\n%s%s", some_stop, prelude, shape->script);
    sandlock_handle_t *handle = sandlock_popen(
        policy, NULL, ARGV("/usr/bin/python3", "-I", "-S", "-c", script), SANDLOCK_STDIO_NULL,
        SANDLOCK_STDIO_PIPED, SANDLOCK_STDIO_INHERIT, NULL, &out, NULL);
    CHECK(handle != NULL);
    FILE *lines = fdopen(out, "r");
    CHECK(lines != NULL);
    while (member_count < shape->members && fgets(line, sizeof(line), lines) != NULL) {
        struct member *member = &members[member_count++];
        CHECK(sscanf(line, "%15s %d", word, &member->pid) == 2);
        member->stops = strcmp(word, "stops") == 0;
    }
    fclose(lines);
    CHECK(member_count == shape->members);
    return handle;
}

static void pause_and_resume(const sandlock_sandbox_t *policy, const struct shape *shape)
{
    sandlock_handle_t *handle = start(policy, shape);
    int stopped = 0;

    for (int i = 0; i < member_count; i++)
        stopped += members[i].stops;
    CHECK((stopped > 0) == some_stop);
    CHECK(come_to_be_stopped(stopped));
    int remembered = stopped < NOTED_MAX ? stopped : NOTED_MAX;

    for (int round = 0; round < 2; round++) {
        CHECK(sandlock_handle_pause(handle) == 0);
        CHECK(come_to_be_stopped(member_count));
        CHECK(sandlock_handle_resume(handle) == 0);
        CHECK(come_to_be_stopped(remembered));
        for (int i = 0; i < member_count; i++) {
            if (stopped == remembered || !members[i].stops)
                CHECK(is_stopped(members[i].pid) == members[i].stops);
        }
    }
    sandlock_handle_free(handle);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    const char *how = argc > 3 ? argv[3] : "";

    some_stop = argc > 2 && strcmp(argv[2], "stopped") == 0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(kind, shapes[i].name) != 0)
            continue;
        sandlock_builder_t *b = base_builder();
        if (strcmp(how, "no-supervisor") == 0)
            b = sandlock_sandbox_builder_no_supervisor(b, true);
        if (strcmp(how, "no-scope") == 0)
            b = sandlock_sandbox_builder_disable(b, SANDLOCK_PROTECTION_SIGNAL_SCOPE);
        sandlock_sandbox_t *policy = build(b);
        pause_and_resume(policy, &shapes[i]);
        sandlock_sandbox_free(policy);
        return 0;
    }
    return 2;
}
