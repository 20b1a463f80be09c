/*
 * Two threads on one socket: one sends to a loopback address, the other binds the socket to an interface
 * meanwhile, by a bind that fails. What then leaves by the interface is on the wire.
 *
 * device_race INDEX PORT BIND-PORT MILLISECONDS [ordered]: prints "tries: NUMBER". PORT is where it is sent to,
 * BIND-PORT what a TCP socket may be bound to. Ordered, the bind comes first.
 */
#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IP_BIND_ADDRESS_NO_PORT_ 24
#define DELAY_MAX 4000
#define ENOUGH 200

static _Atomic int target = -1;
static _Atomic unsigned turn, done, delay;
static _Atomic bool over;
static _Atomic bool
    own; /* bind to an address of this machine: a ping socket takes the interface of no other */
static struct sockaddr_in6 bound, bound_own;

static void *bind_meanwhile(void *nothing)
{
    unsigned seen = 0, idle = 0;

    (void)nothing;
    while (!over) {
        if (turn == seen) {
            if (++idle % 1024 == 0) /* where there is one processor alone */
                sched_yield();
            continue;
        }
        seen = turn;
        for (volatile unsigned i = 0; i < delay; i++)
            ;
        (void)bind(target, (const struct sockaddr *)(own ? &bound_own : &bound), sizeof(bound));
        done = seen;
    }
    return NULL;
}

enum kind { DATAGRAM, CONNECTED, CONNECTION, PING, KINDS };

static int open_socket(enum kind kind)
{
    static const int on = 1;
    int fd = socket(AF_INET6, kind == CONNECTION ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM,
                    kind == PING ? IPPROTO_ICMPV6 : 0);

    if (kind != CONNECTION && kind != PING)
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT_, &on, sizeof(on));
    return fd;
}

static void leave(int fd, enum kind kind, const struct sockaddr_in6 *to)
{
    static const char text[] = "raced", echo[] = "\x80\0\0\0\0\0\0\1raced ping";
    const struct sockaddr_in6 ping_to = {.sin6_family = AF_INET6,
                                         .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    if (kind == PING) {
        (void)sendto(fd, echo, sizeof(echo) - 1, 0, (const struct sockaddr *)&ping_to,
                     sizeof(ping_to));
    } else if (kind == DATAGRAM) {
        (void)sendto(fd, text, sizeof(text) - 1, 0, (const struct sockaddr *)to, sizeof(*to));
    } else if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 && kind == CONNECTED) {
        (void)send(fd, text, sizeof(text) - 1, 0);
    }
}

int main(int count, char **words)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    pthread_t binder;
    unsigned tries = 0;

    if (count < 5)
        return 2;
    bound.sin6_family = AF_INET6;
    bound.sin6_scope_id = (uint32_t)atoi(words[1]);
    bound.sin6_port = htons((uint16_t)atoi(words[3]));
    inet_pton(AF_INET6, "fe80::1", &bound.sin6_addr);
    bound_own = bound;
    inet_pton(AF_INET6, "fe80::2", &bound_own.sin6_addr);
    to.sin6_port = htons((uint16_t)atoi(words[2]));
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
    if (pthread_create(&binder, NULL, bind_meanwhile, NULL) != 0)
        return 2;
    for (double end = now_ms() + atof(words[4]); goes_on(end, tries, ENOUGH); tries++) {
        enum kind kind = (enum kind)(tries % KINDS);
        int fd = open_socket(kind);
        target = fd;
        own = kind == PING;
        delay = (unsigned)rand() % DELAY_MAX;
        turn++;
        while (count > 5 && done != turn)
            sched_yield();
        leave(fd, kind, &to);
        usleep(20);
        close(fd);
    }
    over = true;
    pthread_join(binder, NULL);
    printf("tries: %u\n", tries);
    return 0;
}
