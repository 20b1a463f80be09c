/*
 * Two threads on one socket: one sends to its peer all the time, the other connects it to a loopback address and to
 * one that has an interface in turn, one half of the time so that it succeeds and one half so that it fails.
 * What then leaves by the interface is on the wire: "switched", or "switched in vain".
 *
 * device_switch INDEX PORT MILLISECONDS: prints "cycles: NUMBER".
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
#include <unistd.h>

#define ENOUGH 200

struct sending {
    int fd;
    const char *text;
    _Atomic bool over;
};

static void *send_always(void *data)
{
    struct sending *sending = data;

    while (!sending->over)
        (void)send(sending->fd, sending->text, strlen(sending->text), MSG_DONTWAIT);
    return NULL;
}

static struct sockaddr_in6 address(const char *text, in_port_t port)
{
    struct sockaddr_in6 made = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    inet_pton(AF_INET6, text, &made.sin6_addr);
    return made;
}

static int enter(int fd, const struct sockaddr_in6 *to)
{
    return connect(fd, (const struct sockaddr *)to, sizeof(*to));
}

static unsigned switch_to_and_fro(struct sending *sending, const char *here, unsigned index,
                                  in_port_t port, double milliseconds)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct sockaddr_in6 plain = address(here, port), group = address("ff02::fb", port);
    pthread_t sender;
    unsigned cycles = 0;

    group.sin6_scope_id = index;
    if (pthread_create(&sender, NULL, send_always, sending) != 0)
        exit(2);
    for (double end = now_ms() + milliseconds; goes_on(end, cycles, ENOUGH); cycles++) {
        (void)enter(sending->fd, &plain);
        if (enter(sending->fd, &group) != 0)
            usleep(20);
        (void)connect(sending->fd, &nobody, sizeof(nobody));
    }
    sending->over = true;
    pthread_join(sender, NULL);
    close(sending->fd);
    return cycles;
}

int main(int count, char **words)
{
    struct sending good = {.fd = socket(AF_INET6, SOCK_DGRAM, 0), .text = "switched"};
    struct sending vain = {.fd = socket(AF_INET6, SOCK_DGRAM, 0), .text = "switched in vain"};
    /* From where no IPv6 address is reached. */
    struct sockaddr_in6 own = address("::ffff:10.9.9.2", 0);

    if (count < 4 || bind(vain.fd, (const struct sockaddr *)&own, sizeof(own)) != 0)
        return 2;
    unsigned index = (unsigned)atoi(words[1]);
    in_port_t port = (in_port_t)atoi(words[2]);
    double half = atof(words[3]) / 2;
    unsigned cycles = switch_to_and_fro(&good, "::1", index, port, half);
    cycles += switch_to_and_fro(&vain, "::ffff:127.0.0.1", index, port, half);
    printf("cycles: %u\n", cycles);
    return 0;
}
