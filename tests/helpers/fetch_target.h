/* Where a datagram of fetch_probe or fetch_escape is to go that the sandbox forbids. */
#ifndef SANDLOCK_TESTS_FETCH_TARGET_H
#define SANDLOCK_TESTS_FETCH_TARGET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static union {
    struct sockaddr_in inet;
    struct sockaddr_un local;
} target;
static socklen_t target_length;
static int datagrams;

/* "inet:PORT" on loopback, or "unix:PATH". Makes the socket `datagrams`. */
static bool parse_target(const char *text)
{
    if (strncmp(text, "inet:", 5) == 0) {
        target.inet = (struct sockaddr_in){.sin_family = AF_INET,
                                           .sin_port = htons((uint16_t)atoi(text + 5)),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        target_length = sizeof(target.inet);
        datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    } else {
        target.local.sun_family = AF_UNIX;
        snprintf(target.local.sun_path, sizeof(target.local.sun_path), "%s", text + 5);
        target_length = sizeof(target.local);
        datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
    }
    return datagrams >= 0;
}

#endif
