/*
 * Three threads on one connection that an IPv6 listener accepted from an IPv4 client: one connects it to a
 * link-local address, one ends it (AF_UNSPEC), and one sends pages that are not there yet, so that the kernel holds
 * the socket and the other two wait for it. Ended in time it is connected, and its first packet goes to the IPv4
 * address by the interface of the other.
 *
 * device_family INDEX OWN-PORT PORT ROUNDS: prints how many connects had which result, as "NAME: NUMBER".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAGES (1 << 20)
#define DELAY_NS 60000

enum result { UNREACHABLE, CONNECTED, BEGUN, OTHER };

struct race {
    pthread_barrier_t begin, end;
    struct sockaddr_in6 target;
    long connect_after, end_after; /* nanoseconds */
    int fd;
    unsigned results[OTHER + 1];
};

static void spin(long nanoseconds)
{
    struct timespec from, now;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000000000L + now.tv_nsec - from.tv_nsec < nanoseconds);
}

static void *send_fresh_pages(void *data)
{
    struct race *race = data;
    char *pages = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        exit(2);
    for (;;) {
        pthread_barrier_wait(&race->begin);
        madvise(pages, PAGES, MADV_DONTNEED);
        for (int i = 0; i < 2; i++)
            (void)send(race->fd, pages, PAGES, MSG_DONTWAIT | MSG_NOSIGNAL);
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

static void *connect_it(void *data)
{
    struct race *race = data;

    for (;;) {
        pthread_barrier_wait(&race->begin);
        spin(race->connect_after);
        int result =
            connect(race->fd, (const struct sockaddr *)&race->target, sizeof(race->target));
        race->results[result == 0 || errno == EINPROGRESS ? BEGUN
                      : errno == ENETUNREACH              ? UNREACHABLE
                      : errno == EISCONN                  ? CONNECTED
                                                          : OTHER]++;
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

static void *end_it(void *data)
{
    struct race *race = data;
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    for (;;) {
        pthread_barrier_wait(&race->begin);
        spin(race->end_after);
        (void)connect(race->fd, &nobody, sizeof(nobody));
        pthread_barrier_wait(&race->end);
    }
    return NULL;
}

static int listen_at(in_port_t port)
{
    static const int on = 1, much = 1 << 22;
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &much, sizeof(much));
    if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0 || listen(fd, 5) != 0)
        exit(2);
    return fd;
}

static void run(struct race *race, int listener, in_port_t port)
{
    static const int much = 1 << 22;
    const struct linger now = {.l_onoff = 1};
    struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &much, sizeof(much));
    if (connect(client, (const struct sockaddr *)&here, sizeof(here)) != 0)
        exit(2);
    race->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (race->fd < 0)
        exit(2);
    race->connect_after = rand() % DELAY_NS;
    race->end_after = race->connect_after + rand() % DELAY_NS;
    pthread_barrier_wait(&race->begin);
    pthread_barrier_wait(&race->end);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(client);
    close(race->fd);
}

int main(int count, char **words)
{
    static void *(*const parts[])(void *) = {send_fresh_pages, connect_it, end_it};
    static const char *const names[] = {"ENETUNREACH", "EISCONN", "begun", "other"};
    static struct race race;
    pthread_t thread;

    if (count < 5)
        return 2;
    race.target = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                        .sin6_port = htons((in_port_t)atoi(words[3])),
                                        .sin6_scope_id = (uint32_t)atoi(words[1])};
    inet_pton(AF_INET6, "fe80::1", &race.target.sin6_addr);
    pthread_barrier_init(&race.begin, NULL, 4);
    pthread_barrier_init(&race.end, NULL, 4);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, NULL, parts[i], &race) != 0)
            return 2;
    }
    int listener = listen_at((in_port_t)atoi(words[2]));
    for (int i = 0; i < atoi(words[4]); i++)
        run(&race, listener, (in_port_t)atoi(words[2]));
    for (int i = 0; i <= OTHER; i++)
        printf("%s: %u\n", names[i], race.results[i]);
    fflush(stdout);
    _exit(0);
}
