/*
 * A program that uses the library: it keeps MIB mebibytes of touched memory and one policy, and for
 * every byte on descriptor 3 runs the command once by sandlock_run() and answers with the nanoseconds
 * that took. Without policy ("bare") it spawns the command itself, to show what the memory alone costs.
 *
 * Usage: bench-host MIB supervised|no-supervisor|bare [-r PATH | -w PATH]... -- COMMAND...
 */
#include <sandlock.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS 3

extern char **environ;

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* In small pages: a fork of the host then copies the page tables that it would copy in a program whose
 * heap grew bit by bit. */
static void touch_memory(size_t bytes)
{
    if (bytes == 0)
        return;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("bench-host: mmap");
        exit(1);
    }
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        memory[i] = 1;
}

static sandlock_sandbox_t *build_policy(char **words, int count, int unsupervised)
{
    sandlock_builder_t *builder = sandlock_sandbox_builder_new();
    char *text = NULL;

    for (int i = 0; i + 1 < count; i += 2) {
        if (strcmp(words[i], "-w") == 0)
            builder = sandlock_sandbox_builder_fs_write(builder, words[i + 1]);
        else
            builder = sandlock_sandbox_builder_fs_read(builder, words[i + 1]);
    }
    if (unsupervised)
        builder = sandlock_sandbox_builder_no_supervisor(builder, true);
    sandlock_sandbox_t *policy = sandlock_sandbox_build(builder, NULL, &text);
    if (policy == NULL) {
        fprintf(stderr, "bench-host: policy: %s\n", text != NULL ? text : "no reason given");
        exit(1);
    }
    return policy;
}

static int64_t run_library(const sandlock_sandbox_t *policy, char **command, unsigned int words)
{
    int64_t start = now_ns();
    sandlock_result_t *result = sandlock_run(policy, NULL, (const char *const *)command, words);
    int64_t elapsed = now_ns() - start;

    if (!sandlock_result_success(result)) {
        fprintf(stderr, "bench-host: %s did not succeed\n", command[0]);
        exit(1);
    }
    sandlock_result_free(result);
    return elapsed;
}

static int64_t run_bare(char **command)
{
    pid_t pid;
    int status = 0;
    int64_t start = now_ns();

    if (posix_spawn(&pid, command[0], NULL, NULL, command, environ) != 0)
        exit(1);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0)
        exit(1);
    return now_ns() - start;
}

int main(int argc, char **argv)
{
    int end = 3;
    char byte;

    while (end < argc && strcmp(argv[end], "--") != 0)
        end++;
    if (end + 1 >= argc) {
        fprintf(stderr, "usage: bench-host MIB MODE [-r PATH | -w PATH]... -- COMMAND...\n");
        return 2;
    }
    fcntl(REQUESTS, F_SETFD, FD_CLOEXEC);
    touch_memory(strtoul(argv[1], NULL, 10) << 20);
    sandlock_sandbox_t *policy = NULL;
    if (strcmp(argv[2], "bare") != 0)
        policy = build_policy(argv + 3, end - 3, strcmp(argv[2], "no-supervisor") == 0);

    char **command = argv + end + 1;
    while (read(REQUESTS, &byte, 1) == 1) {
        int64_t elapsed = policy == NULL
                              ? run_bare(command)
                              : run_library(policy, command, (unsigned int)(argc - end - 1));
        if (write(REQUESTS, &elapsed, sizeof(elapsed)) != (ssize_t)sizeof(elapsed))
            break;
    }
    sandlock_sandbox_free(policy);
    return 0;
}
