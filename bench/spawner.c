/*
 * Measures how long starts take: each variant of a plan is a command that is spawned and waited for,
 * or a host process (host.c) that is asked to make one library call. All variants are measured once
 * per round, in an order that is shuffled per round: a slow minute of the machine hits all of them,
 * and none always follows the same neighbour, whose clean-up goes on in the kernel after it ended.
 *
 * Usage: bench-spawner PLAN ROUNDS
 * PLAN has a line per variant, fields separated by tabs: EVERY (measured in one of EVERY rounds),
 * "spawn" or "host", the command. The answer is a line of nanoseconds per variant.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VARIANTS_MAX 64
#define WORDS_MAX 64
#define WARM_UP_ROUNDS 3
#define HOST_FD 3 /* where a host finds its end of the socket pair */

extern char **environ;

struct variant {
    int every;
    bool is_host;
    char *argv[WORDS_MAX + 1];
    int host_fd; /* -1: a plain command */
    pid_t host_pid;
    int64_t *samples;
    int count;
};

static struct variant variants[VARIANTS_MAX];
static int variant_count;

static void fail(const char *what, const char *object)
{
    fprintf(stderr, "bench-spawner: %s: %s: %s\n", what, object, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void parse_line(char *line)
{
    struct variant *variant = &variants[variant_count++];
    int words = 0;
    char *save = NULL;

    line[strcspn(line, "\n")] = '\0';
    char *every = strtok_r(line, "\t", &save);
    char *kind = strtok_r(NULL, "\t", &save);
    for (char *word = strtok_r(NULL, "\t", &save); word != NULL && words < WORDS_MAX;
         word = strtok_r(NULL, "\t", &save))
        variant->argv[words++] = word;
    if (every == NULL || kind == NULL || words == 0) {
        fprintf(stderr, "bench-spawner: plan line %d is not EVERY, KIND, COMMAND\n", variant_count);
        exit(2);
    }
    variant->every = atoi(every) > 0 ? atoi(every) : 1;
    variant->is_host = strcmp(kind, "host") == 0;
    variant->host_fd = -1;
}

static void read_plan(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;

    if (file == NULL)
        fail("open", path);
    while (variant_count < VARIANTS_MAX && getline(&line, &size, file) > 0) {
        parse_line(line);
        line = NULL; /* the words point into it */
        size = 0;
    }
    fclose(file);
}

static void start_host(struct variant *variant)
{
    posix_spawn_file_actions_t actions;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        fail("socketpair", variant->argv[0]);
    /* dup2 to itself would leave close-on-exec set. */
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, HOST_FD + 1);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs, HOST_FD);
    errno =
        posix_spawn(&variant->host_pid, variant->argv[0], &actions, NULL, variant->argv, environ);
    if (errno != 0)
        fail("start host", variant->argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(theirs);
    close(pair[1]);
    variant->host_fd = pair[0];
}

static int64_t measure_host(const struct variant *variant)
{
    int64_t elapsed = 0;

    if (write(variant->host_fd, "", 1) != 1 ||
        read(variant->host_fd, &elapsed, sizeof(elapsed)) != (ssize_t)sizeof(elapsed))
        fail("ask host", variant->argv[0]);
    return elapsed;
}

static int64_t measure_spawn(const struct variant *variant)
{
    pid_t pid;
    int status = 0;

    int64_t start = now_ns();
    errno = posix_spawn(&pid, variant->argv[0], NULL, NULL, variant->argv, environ);
    if (errno != 0)
        fail("spawn", variant->argv[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    int64_t elapsed = now_ns() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "bench-spawner: %s ended with wait status 0x%x\n", variant->argv[0],
                status);
        exit(1);
    }
    return elapsed;
}

/* A fixed seed: two runs of the bench measure in the same order. */
static uint32_t next_random(void)
{
    static uint32_t state = 2463534242U;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void run_round(int round)
{
    int order[VARIANTS_MAX];

    for (int i = 0; i < variant_count; i++) {
        int other = (int)(next_random() % (uint32_t)(i + 1));
        order[i] = order[other];
        order[other] = i;
    }
    for (int i = 0; i < variant_count; i++) {
        struct variant *variant = &variants[order[i]];
        if (round >= 0 && round % variant->every != 0)
            continue;
        int64_t elapsed = variant->is_host ? measure_host(variant) : measure_spawn(variant);
        if (round >= 0)
            variant->samples[variant->count++] = elapsed;
    }
}

/* The answer goes to standard output; what the commands print there does not. */
static FILE *take_standard_output(void)
{
    int answer = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, HOST_FD + 1);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    FILE *file = answer >= 0 ? fdopen(answer, "w") : NULL;

    if (file == NULL || nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0)
        fail("redirect", "standard output");
    close(nowhere);
    return file;
}

int main(int argc, char **argv)
{
    int rounds = argc == 3 ? atoi(argv[2]) : 0;

    if (rounds <= 0) {
        fprintf(stderr, "usage: bench-spawner PLAN ROUNDS\n");
        return 2;
    }
    read_plan(argv[1]);
    FILE *answer = take_standard_output();
    for (int i = 0; i < variant_count; i++) {
        variants[i].samples = calloc((size_t)rounds, sizeof(int64_t));
        if (variants[i].samples == NULL)
            fail("samples", argv[2]);
        if (variants[i].is_host)
            start_host(&variants[i]);
    }
    for (int round = -WARM_UP_ROUNDS; round < rounds; round++)
        run_round(round);

    for (int i = 0; i < variant_count; i++) {
        for (int sample = 0; sample < variants[i].count; sample++)
            fprintf(answer, "%lld ", (long long)variants[i].samples[sample]);
        fprintf(answer, "\n");
        if (variants[i].is_host) {
            close(variants[i].host_fd);
            waitpid(variants[i].host_pid, NULL, 0);
        }
    }
    return fclose(answer) == 0 ? 0 : 1;
}
