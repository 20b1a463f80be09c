/*
 * Two threads on one UDP socket: one sends "torn" to its peer all the time, the other connects it to two peers in turn.
 * The kernel reads the parts of the peer one after another.
 *
 * device_torn MILLISECONDS ADDRESS PORT ADDRESS PORT: prints "connects: NUMBER", of those that succeeded.
 */
#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ENOUGH 200

struct sending {
    int fd;
    _Atomic bool over;
};

union peer {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static void *send_always(void *data)
{
    struct sending *sending = data;

    while (!sending->over)
        (void)send(sending->fd, "torn", 4, MSG_DONTWAIT);
    return NULL;
}

static union peer peer_of(const char *host, const char *port)
{
    union peer made = {.any = {0}};

    if (strchr(host, ':') != NULL) {
        made.in6.sin6_family = AF_INET6;
        made.in6.sin6_port = htons((in_port_t)atoi(port));
        inet_pton(AF_INET6, host, &made.in6.sin6_addr);
    } else {
        made.in.sin_family = AF_INET;
        made.in.sin_port = htons((in_port_t)atoi(port));
        inet_pton(AF_INET, host, &made.in.sin_addr);
    }
    return made;
}

int main(int count, char **words)
{
    pthread_t sender;
    unsigned connects = 0;

    if (count != 6)
        return 2;
    union peer peers[] = {peer_of(words[2], words[3]), peer_of(words[4], words[5])};
    struct sending sending = {.fd = socket(peers[0].any.sa_family, SOCK_DGRAM, 0)};
    if (sending.fd < 0 || pthread_create(&sender, NULL, send_always, &sending) != 0)
        return 2;
    for (double end = now_ms() + atof(words[1]); goes_on(end, connects, ENOUGH);) {
        for (int i = 0; i < 2; i++)
            connects += connect(sending.fd, &peers[i].any, sizeof(peers[i])) == 0;
    }
    sending.over = true;
    pthread_join(sender, NULL);
    printf("connects: %u\n", connects);
    return 0;
}
