/*
 * Resolution by other processes: see resolve.h. A static program cannot load the host's name service
 * modules (files, DNS, mDNS, LDAP, ...), but getent(1) can, and prints one address per line. Each name
 * goes through the attempts below until one of them knows what it is doing; all names at the same time
 * in one poll loop, killed and reaped at the deadline whatever they do.
 */
#include "net/resolve.h"

#include "util/buffer.h"
#include "util/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Processes at the same time. */
#define PROCESSES_MAX 16

/* Text kept of one; RESOLVE_ADDRESSES_MAX lines of three socket types fit. */
#define OUTPUT_MAX (128 * 1024)

/* A process that has closed its output should end at once; after this it is made to. */
#define END_PATIENCE_MS 500

/* getent's "key not found"; every other failure is of getent itself. */
#define EXIT_NOT_FOUND 2

enum attempt {
    ATTEMPT_ALL_FAMILIES, /* getent -A: also addresses of a family this host has none of */
    ATTEMPT_PLAIN,        /* for a getent without -A */
    ATTEMPT_FORK,         /* the resolver of this program's C library */
    ATTEMPT_COUNT,
};

struct asking {
    const char *name;
    struct resolve_answer *answer;
    enum attempt attempt;
    pid_t pid; /* 0: none runs */
    int fd;    /* its output */
    struct buffer output;
};

static const char *const places[] = {"/usr/bin/getent", "/bin/getent"};

/* ---- Starting ----------------------------------------------------------------------------------- */

static const char *find_getent(void)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

static pid_t spawn(const char *program, char *const *argv, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, reset;
    pid_t pid = 0;

    sigemptyset(&none);
    sigemptyset(&reset);
    sigaddset(&reset, SIGPIPE);
    sigaddset(&reset, SIGCHLD);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &reset);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    /* The output first: the pipe may have one of the numbers 0 to 2. */
    int result = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (result == 0)
        result = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (result == 0)
        result = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (result == 0)
        result = posix_spawn(&pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return result == 0 ? pid : -1;
}

static pid_t spawn_getent(const char *name, bool all_families, int output)
{
    const char *program = find_getent();
    const char *argv[] = {"getent", all_families ? "-A" : "ahosts", all_families ? "ahosts" : name,
                          all_families ? name : NULL, NULL};

    return program != NULL ? spawn(program, (char *const *)argv, output) : -1;
}

static void print_addresses(const char *name, int output)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(name, NULL, &hints, &found);

    if (result != 0)
        dprintf(output, "!%s\n", gai_strerror(result));
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        char text[64] = "";
        if (info->ai_family == AF_INET)
            inet_ntop(AF_INET, &((const struct sockaddr_in *)info->ai_addr)->sin_addr, text,
                      sizeof(text));
        else if (info->ai_family == AF_INET6)
            inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)info->ai_addr)->sin6_addr, text,
                      sizeof(text));
        dprintf(output, "%s\n", text);
    }
}

static pid_t fork_resolver(const char *name, int output)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    print_addresses(name, output);
    _exit(0);
}

/* Starts the attempt, or the next one that can be started. False: none can. */
static bool start(struct asking *asking)
{
    for (; asking->attempt < ATTEMPT_COUNT; asking->attempt++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            return false;
        asking->pid =
            asking->attempt == ATTEMPT_FORK
                ? fork_resolver(asking->name, ends[1])
                : spawn_getent(asking->name, asking->attempt == ATTEMPT_ALL_FAMILIES, ends[1]);
        close(ends[1]);
        if (asking->pid > 0) {
            asking->fd = ends[0];
            return true;
        }
        asking->pid = 0;
        close(ends[0]);
    }
    return false;
}

/* ---- Ending ------------------------------------------------------------------------------------- */

/* Its exit status, 0 where that is unknown because somebody ignores SIGCHLD, -1 if it was killed. */
static int reap(struct asking *asking, int64_t patience)
{
    const struct timespec slice = {0, 1000000};
    int64_t until = resolve_now() + patience;
    int status = 0;
    pid_t result;

    while ((result = waitpid(asking->pid, &status, WNOHANG)) == 0 && resolve_now() < until)
        nanosleep(&slice, NULL);
    if (result == 0) {
        kill(asking->pid, SIGKILL);
        RETRY_ON_EINTR(waitpid(asking->pid, &status, 0));
    }
    asking->pid = 0;
    close(asking->fd);
    asking->fd = -1;
    if (result < 0)
        return 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void set_reason(struct resolve_answer *answer, const char *reason)
{
    snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
}

/* Lines that begin with an address; the rest of a line is the socket type and the name. */
static void parse_output(struct asking *asking)
{
    const char *line = buffer_text(&asking->output);

    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        size_t word = strcspn(line, " \t\n");
        struct net_address address;
        char text[64];
        if (line[0] == '!') {
            snprintf(asking->answer->reason, sizeof(asking->answer->reason), "%.*s",
                     (int)(length - 1), line + 1);
        } else if (word < sizeof(text)) {
            memcpy(text, line, word);
            text[word] = '\0';
            if (net_address_parse(text, &address) && !resolve_answer_add(asking->answer, &address))
                set_reason(asking->answer, "out of memory");
        }
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

/* True if the question is settled; else the next attempt runs. */
static bool finish(struct asking *asking)
{
    int status = reap(asking, END_PATIENCE_MS);

    parse_output(asking);
    buffer_free(&asking->output);
    if (asking->answer->count > 0)
        return true;
    if (asking->attempt == ATTEMPT_FORK) {
        if (asking->answer->reason[0] == '\0')
            set_reason(asking->answer, "no address");
        return true;
    }
    if (status == EXIT_NOT_FOUND) {
        set_reason(asking->answer, "no address found");
        return true;
    }
    asking->attempt++;
    if (start(asking))
        return false;
    set_reason(asking->answer, "no resolver can be started");
    return true;
}

static void give_up(struct asking *asking)
{
    kill(asking->pid, SIGKILL);
    reap(asking, END_PATIENCE_MS);
    buffer_free(&asking->output);
    snprintf(asking->answer->reason, sizeof(asking->answer->reason), "no answer within %d s",
             RESOLVE_DEADLINE_SECONDS);
}

/* ---- All names ---------------------------------------------------------------------------------- */

/* True at the end of the output. */
static bool take_output(struct asking *asking)
{
    char bytes[4096];
    ssize_t got = RETRY_ON_EINTR(read(asking->fd, bytes, sizeof(bytes)));

    if (got > 0 && asking->output.length + (size_t)got <= OUTPUT_MAX)
        buffer_append(&asking->output, bytes, (size_t)got);
    return got <= 0;
}

static size_t start_more(struct asking *running, size_t active, const char *const *names,
                         size_t count, size_t *next, struct resolve_answer *answers)
{
    while (active < PROCESSES_MAX && *next < count) {
        struct asking *asking = &running[active];
        *asking = (struct asking){.name = names[*next], .answer = &answers[*next], .fd = -1};
        (*next)++;
        if (start(asking))
            active++;
        else
            set_reason(asking->answer, "no resolver can be started");
    }
    return active;
}

/* Waits for output and takes it. Returns how many still run, at the front of the array. */
static size_t serve(struct asking *running, size_t active, int timeout)
{
    struct pollfd polled[PROCESSES_MAX];
    size_t kept = 0;

    for (size_t i = 0; i < active; i++)
        polled[i] = (struct pollfd){.fd = running[i].fd, .events = POLLIN};
    if (poll(polled, active, timeout) <= 0)
        return active;
    for (size_t i = 0; i < active; i++) {
        bool settled = polled[i].revents != 0 && take_output(&running[i]) && finish(&running[i]);
        if (!settled)
            running[kept++] = running[i];
    }
    return kept;
}

void resolve_by_program(const char *const *names, size_t count, int64_t deadline,
                        struct resolve_answer *answers)
{
    struct asking running[PROCESSES_MAX];
    size_t active = 0;
    size_t next = 0;

    for (;;) {
        int64_t left = deadline - resolve_now();
        if (left <= 0)
            break;
        active = start_more(running, active, names, count, &next, answers);
        if (active == 0)
            return;
        active = serve(running, active, (int)left);
    }
    for (size_t i = 0; i < active; i++)
        give_up(&running[i]);
    for (; next < count; next++)
        snprintf(answers[next].reason, sizeof(answers[next].reason), "no answer within %d s",
                 RESOLVE_DEADLINE_SECONDS);
}
