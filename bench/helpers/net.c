/*
 * Peers and clients for the network part. Every client prints "NAME NANOSECONDS" per line: the median over
 * batches, or over single calls.
 *
 *     bench-helper-net echo               answers UDP datagrams; prints its port
 *     bench-helper-net sink               accepts TCP connections and closes them when the peer has; prints its port
 *     bench-helper-net full               listens, and its queue is full: connects to it wait; prints its port
 *     bench-helper-net http PORT          one request per connection, one connection after the other
 *     bench-helper-net ask PORT BATCHES REQUESTS    addressed UDP requests and their answers: "udp NS"
 *     bench-helper-net connect PORT CONNECTS        blocking TCP connects: "connect NS"
 *     bench-helper-net stall PORT THREADS CALLS     threads blocked in connects, and a call that the supervisor
 *                                                   answers meanwhile: "median NS", "worst NS", "waiting THREADS"
 */
#include "timing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SAMPLES_MAX 100000

static double samples[SAMPLES_MAX];
static struct sockaddr_in peer;
static atomic_int about_to_wait, given_up;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench-helper-net: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A bound socket on a port of its own, or on this one. */
static int serve_on(int type, int port, int backlog)
{
    struct sockaddr_in address = loopback(port);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, type, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0)
        fail("bind");
    if (type == SOCK_STREAM && listen(fd, backlog) != 0)
        fail("listen");
    if (port == 0) {
        if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
            fail("getsockname");
        peer = address;
        printf("%d\n", ntohs(address.sin_port));
        fflush(stdout);
    }
    return fd;
}

static int echo(void)
{
    int fd = serve_on(SOCK_DGRAM, 0, 0);
    struct sockaddr_in client;
    char data[512];

    for (;;) {
        socklen_t length = sizeof(client);
        ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&client, &length);
        if (got < 0 && errno == EBADF)
            return 1;
        if (got > 0)
            sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&client, length);
    }
}

static int sink(void)
{
    int fd = serve_on(SOCK_STREAM, 0, 1024);
    char byte;

    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0 && errno == EBADF)
            return 1;
        while (client >= 0 && read(client, &byte, 1) > 0)
            ;
        if (client >= 0)
            close(client);
    }
}

static int full(void)
{
    serve_on(SOCK_STREAM, 0, 0);
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0 ||
            (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0 && errno != EINPROGRESS))
            fail("connect");
    }
    for (;;)
        pause();
}

static int http(int port)
{
    static const char reply[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    int fd = serve_on(SOCK_STREAM, port, 1024);
    char data[4096];

    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0)
            continue;
        if (read(client, data, sizeof(data)) > 0 && write(client, reply, sizeof(reply) - 1) < 0)
            fail("write");
        close(client);
    }
}

static int ask(int port, int batches, int requests)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char data[32] = "request";

    for (int batch = 0; batch < batches; batch++) {
        double start = now_ns();
        for (int i = 0; i < requests; i++) {
            if (sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&address, sizeof(address)) < 0)
                fail("sendto");
            if (recv(fd, data, sizeof(data), 0) != sizeof(data))
                fail("recv");
        }
        samples[batch] = (now_ns() - start) / requests;
    }
    printf("udp %.1f\n", median_of(samples, batches));
    return 0;
}

static int connect_often(int port, int connects)
{
    struct sockaddr_in address = loopback(port);

    for (int i = 0; i < connects; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        double start = now_ns();
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            fail("connect");
        samples[i] = now_ns() - start;
        close(fd);
    }
    printf("connect %.1f\n", median_of(samples, connects));
    return 0;
}

static void *wait_in_connect(void *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    atomic_fetch_add(&about_to_wait, 1);
    if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0)
        atomic_fetch_add(&given_up, 1);
    return unused;
}

static int stall(int port, int threads, int calls)
{
    struct timespec moment = {0, 300 * 1000 * 1000};
    pthread_t id;

    peer = loopback(port);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&id, NULL, wait_in_connect, NULL) != 0)
            fail("pthread_create");
    while (atomic_load(&about_to_wait) < threads)
        sched_yield();
    nanosleep(&moment, NULL);
    for (int i = 0; i < calls; i++) {
        double start = now_ns();
        if (setpriority(PRIO_PROCESS, (id_t)getpid(), getpriority(PRIO_PROCESS, 0)) != 0)
            fail("setpriority");
        samples[i] = now_ns() - start;
    }
    double middle = median_of(samples, calls);
    printf("median %.1f\nworst %.1f\nwaiting %d\n", middle, samples[calls - 1],
           threads - atomic_load(&given_up));
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int number[3] = {0};

    for (int i = 0; i < 3 && i + 2 < argc; i++)
        number[i] = atoi(argv[i + 2]);
    if (number[1] > SAMPLES_MAX || number[2] > SAMPLES_MAX)
        return 2;
    if (strcmp(mode, "echo") == 0)
        return echo();
    if (strcmp(mode, "sink") == 0)
        return sink();
    if (strcmp(mode, "full") == 0)
        return full();
    if (strcmp(mode, "http") == 0)
        return http(number[0]);
    if (strcmp(mode, "ask") == 0 && argc == 5)
        return ask(number[0], number[1], number[2]);
    if (strcmp(mode, "connect") == 0 && argc == 4)
        return connect_often(number[0], number[1]);
    if (strcmp(mode, "stall") == 0 && argc == 5)
        return stall(number[0], number[1], number[2]);
    return 2;
}
