/*
 * Socket work that needs no network rule: 200 socket pairs that carry data by every kind of call on a
 * connected socket, 200 connections to a named unix socket of its own, 200 TCP and 50 IPv6 sockets, and
 * listening on a TCP port. What is refused without a rule (connecting to TCP) is not tried.
 * Usage: bench-helper-socket DIRECTORY TCP-PORT
 */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define ROUNDS 200

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static void exchange(int left, int right)
{
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};
    struct pollfd ready = {.fd = right, .events = POLLIN};

    must(write(left, &byte, 1) == 1, "write");
    must(send(left, &byte, 1, 0) == 1, "send");
    must(sendto(left, &byte, 1, MSG_NOSIGNAL, NULL, 0) == 1, "sendto");
    must(poll(&ready, 1, 1000) == 1, "poll");
    must(read(right, &byte, 1) == 1, "read");
    must(recv(right, &byte, 1, 0) == 1, "recv");
    must(recvfrom(right, &byte, 1, 0, NULL, NULL) == 1, "recvfrom");
    must(write(right, &byte, 1) == 1, "write");
    must(recvmsg(left, &message, 0) == 1, "recvmsg");
    must(writev(right, &part, 1) == 1, "writev");
    must(recvmmsg(left, &messages, 1, 0, NULL) == 1 && messages.msg_len == 1, "recvmmsg");
    must(shutdown(left, SHUT_WR) == 0, "shutdown");
}

static void use_message(int left, int right)
{
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    must(sendmsg(left, &message, 0) == 1, "sendmsg");
    must(read(right, &byte, 1) == 1, "read");
}

static void use_pairs(void)
{
    int pair[2];

    for (int i = 0; i < ROUNDS; i++) {
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
        use_message(pair[0], pair[1]);
        exchange(pair[0], pair[1]);
        must(close(pair[0]) == 0 && close(pair[1]) == 0, "close");
    }
}

static void use_named_unix(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = 1;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/bench.sock", directory);
    unlink(address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listener >= 0, "socket");
    must(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0, "bind unix");
    must(listen(listener, 8) == 0, "listen unix");
    for (int i = 0; i < ROUNDS; i++) {
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(client >= 0, "socket");
        must(connect(client, (struct sockaddr *)&address, sizeof(address)) == 0, "connect unix");
        int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        must(server >= 0, "accept4");
        must(setsockopt(server, SOL_SOCKET, SO_PASSCRED, &size, sizeof(size)) == 0, "setsockopt");
        exchange(client, server);
        must(close(client) == 0 && close(server) == 0, "close");
    }
    must(close(listener) == 0 && unlink(address.sun_path) == 0, "close");
}

static void use_tcp(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int on = 1;

    for (int i = 0; i < ROUNDS; i++) {
        int family = i % 4 == 0 ? AF_INET6 : AF_INET;
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(fd >= 0 && close(fd) == 0, "socket tcp");
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listener >= 0, "socket");
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0, "setsockopt");
    must(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0, "bind tcp");
    must(listen(listener, 8) == 0, "listen tcp");
    must(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    must(close(listener) == 0, "close");
}

int main(int argc, char **argv)
{
    must(argc == 3, "usage: bench-helper-socket DIRECTORY TCP-PORT");
    use_pairs();
    use_named_unix(argv[1]);
    use_tcp(atoi(argv[2]));
    return 0;
}
