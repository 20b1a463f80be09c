/*
 * Threads that write to an IPv6 UDP socket while another connects it to an IPv4 address, over and over with a new one:
 * what is sent before the kernel has the address goes to ::1 at the same port.
 *
 * device_connect ADDRESS PORT MILLISECONDS: writes "torn", prints "connects: NUMBER".
 */
#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENOUGH 200

#define WRITERS 3
#define TARGET 200

static _Atomic bool over;

static void *write_always(void *nothing)
{
    while (!over)
        (void)!write(TARGET, "torn", 4);
    return nothing;
}

int main(int count, char **words)
{
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
    pthread_t writers[WRITERS];
    unsigned connects = 0;

    if (count < 4 || inet_pton(AF_INET6, words[1], &peer.sin6_addr) != 1)
        return 2;
    peer.sin6_port = htons((in_port_t)atoi(words[2]));
    dup2(socket(AF_INET6, SOCK_DGRAM, 0), TARGET);
    for (int i = 0; i < WRITERS; i++) {
        if (pthread_create(&writers[i], NULL, write_always, NULL) != 0)
            return 2;
    }
    for (double end = now_ms() + atof(words[3]); goes_on(end, connects, ENOUGH);) {
        int fd = socket(AF_INET6, SOCK_DGRAM, 0);
        dup2(fd, TARGET);
        close(fd);
        connects += connect(TARGET, (const struct sockaddr *)&peer, sizeof(peer)) == 0;
        usleep(20);
    }
    over = true;
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    printf("connects: %u\n", connects);
    return 0;
}
