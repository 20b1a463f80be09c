/*
 * Helpers of the C interface tests: one program per file, which runs its cases one after the other and
 * exits 0 if every statement held. Only the public header is used.
 */
#ifndef CHECK_H
#define CHECK_H

#include <sandlock.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "%s:%d: %s: not true: %s (last error: %s)\n", __FILE__, __LINE__, \
                    __func__, #condition, sandlock_last_error());                             \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                              \
    do {                                                                                          \
        const char *actual_text = (actual);                                                       \
        if (actual_text == NULL || strcmp(actual_text, (expected)) != 0) {                        \
            fprintf(stderr, "%s:%d: %s: '%s' is not '%s' (last error: %s)\n", __FILE__, __LINE__, \
                    __func__, actual_text != NULL ? actual_text : "(null)", (expected),           \
                    sandlock_last_error());                                                       \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

#define CHECK_CONTAINS(text, part)                                                         \
    do {                                                                                   \
        const char *whole_text = (text);                                                   \
        if (whole_text == NULL || strstr(whole_text, (part)) == NULL) {                    \
            fprintf(stderr, "%s:%d: %s: '%s' does not contain '%s'\n", __FILE__, __LINE__, \
                    __func__, whole_text != NULL ? whole_text : "(null)", (part));         \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

/* An argument vector and its length, for the calls that take both. */
#define ARGV(...)                       \
    (const char *const[]){__VA_ARGS__}, \
        (unsigned int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define SHELL(script) ARGV("/bin/sh", "-c", script)

/* Enough for a shell and the usual tools. */
static inline sandlock_builder_t *base_builder(void)
{
    static const char *const optional[] = {"/bin", "/lib", "/lib64", "/etc/ld.so.cache"};
    sandlock_builder_t *b = sandlock_sandbox_builder_new();

    b = sandlock_sandbox_builder_fs_read(b, "/usr");
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        b = sandlock_sandbox_builder_fs_read_if_exists(b, optional[i]);
    b = sandlock_sandbox_builder_fs_read(b, "/dev/zero");
    return sandlock_sandbox_builder_fs_write(b, "/dev/null");
}

static inline sandlock_sandbox_t *build(sandlock_builder_t *b)
{
    sandlock_sandbox_t *policy = sandlock_sandbox_build(b, NULL, NULL);

    CHECK(policy != NULL);
    return policy;
}

static inline sandlock_sandbox_t *base_policy(void)
{
    return build(base_builder());
}

/* Checks how a run ended and releases the result. */
static inline void check_end(sandlock_result_t *result, sandlock_exit_reason reason, int code,
                             int signal)
{
    CHECK(result != NULL);
    if (sandlock_result_reason(result) != reason || sandlock_result_exit_code(result) != code ||
        sandlock_result_signal(result) != signal) {
        char *text = sandlock_result_stderr(result);
        fprintf(stderr, "ended with reason %u, code %d, signal %d; its standard error: %s\n",
                sandlock_result_reason(result), sandlock_result_exit_code(result),
                sandlock_result_signal(result), text != NULL ? text : "(none)");
        sandlock_string_free(text);
    }
    CHECK(sandlock_result_reason(result) == reason);
    CHECK(sandlock_result_exit_code(result) == code);
    CHECK(sandlock_result_signal(result) == signal);
    CHECK(sandlock_result_success(result) == (reason == SANDLOCK_EXIT_REASON_EXITED && code == 0));
    sandlock_result_free(result);
}

static inline void check_exit(sandlock_result_t *result, int code)
{
    check_end(result, SANDLOCK_EXIT_REASON_EXITED, code, -1);
}

/* The state letter of a process, 0 if there is none. */
static inline char process_state(int pid)
{
    char path[64];
    char line[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, line, sizeof(line) - 1);
    close(fd);
    if (got <= 0)
        return 0;
    line[got] = '\0';
    char *end = strrchr(line, ')');
    return end != NULL && end[1] == ' ' ? end[2] : 0;
}

static inline int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(int ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

/* Entries of a /proc directory of this process: "fd" or "task", "." and ".." included. */
static inline int count_entries(const char *directory)
{
    DIR *entries = opendir(directory);
    int count = 0;

    CHECK(entries != NULL);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

/* Whether that many are there, now or soon: a thread that was joined is listed until the kernel has
 * taken it apart, which joining does not wait for. */
static inline bool comes_to_entries(const char *directory, int count)
{
    int64_t end = now_ms() + 30000;

    while (count_entries(directory) != count) {
        if (now_ms() > end)
            return false;
        sleep_ms(1);
    }
    return true;
}

/* Of a process whose threads have all ended but this one: ".", ".." and itself. */
#define ONE_THREAD 3

/* Reads to the end of file. */
static inline size_t read_all(int fd, char *data, size_t size)
{
    size_t length = 0;
    ssize_t got;

    while (length < size && (got = read(fd, data + length, size - length)) > 0)
        length += (size_t)got;
    return length;
}

#endif
