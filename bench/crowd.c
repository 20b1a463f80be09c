/*
 * Starts COUNT commands at once and measures the time until all of them run and, once they may end,
 * until all have ended. Each must run helpers/crowd.c in the end: that writes a byte to standard output
 * when it runs, and ends when standard input does.
 *
 * Usage: bench-crowd COUNT COMMAND...    ("%" in a word becomes the number of the command)
 * Prints: SPAWNED-NS RUNNING-NS ENDED-NS AVAILABLE-KIB-BEFORE AVAILABLE-KIB-RUNNING FAILED
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 64
#define WORD_SIZE 4096
#define PATIENCE_MS 60000 /* without one more command coming to life */

extern char **environ;

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static long available_kib(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    long kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "MemAvailable: %ld", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib;
}

static void number_word(const char *word, int number, char *out)
{
    const char *mark = strchr(word, '%');

    if (mark == NULL)
        snprintf(out, WORD_SIZE, "%s", word);
    else
        snprintf(out, WORD_SIZE, "%.*s%d%s", (int)(mark - word), word, number, mark + 1);
}

static pid_t start(char **command, int number, posix_spawn_file_actions_t *actions)
{
    static char texts[WORDS_MAX][WORD_SIZE];
    char *words[WORDS_MAX + 1] = {NULL};
    pid_t pid;

    for (int i = 0; i < WORDS_MAX && command[i] != NULL; i++) {
        number_word(command[i], number, texts[i]);
        words[i] = texts[i];
    }
    errno = posix_spawn(&pid, words[0], actions, NULL, words, environ);
    return errno == 0 ? pid : -1;
}

/* Counts the bytes of the commands that have come to life. */
static int wait_for_all(int fd, int count)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char bytes[256];
    int alive = 0;

    while (alive < count && poll(&poll_fd, 1, PATIENCE_MS) > 0) {
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got <= 0)
            break;
        alive += (int)got;
    }
    return alive;
}

int main(int argc, char **argv)
{
    int count = argc >= 3 ? atoi(argv[1]) : 0;
    int in[2], out[2], started = 0, failed = 0;
    posix_spawn_file_actions_t actions;

    if (count <= 0) {
        fprintf(stderr, "usage: bench-crowd COUNT COMMAND...\n");
        return 2;
    }
    pid_t *pids = calloc((size_t)count, sizeof(*pids));
    if (pids == NULL || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        perror("bench-crowd");
        return 1;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);

    long memory_before = available_kib();
    int64_t begin = now_ns();
    for (int i = 0; i < count; i++) {
        pids[i] = start(argv + 2, i, &actions);
        started += pids[i] > 0;
    }
    close(out[1]); /* a command that dies early then ends the wait */
    int64_t spawned = now_ns();
    int alive = wait_for_all(out[0], started);
    int64_t running = now_ns();
    long memory_running = available_kib();

    int64_t released = now_ns();
    close(in[1]);
    for (int i = 0; i < count; i++) {
        int status = 0;
        if (pids[i] <= 0 || waitpid(pids[i], &status, 0) != pids[i] || status != 0)
            failed++;
    }
    int64_t ended = now_ns();
    printf("%lld %lld %lld %ld %ld %d\n", (long long)(spawned - begin),
           (long long)(running - begin), (long long)(ended - released), memory_before,
           memory_running, failed + (started - alive));
    return 0;
}
