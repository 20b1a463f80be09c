/* Giving up a duplicate of a member's socket never waits for the socket's peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "member/socket.h"
#include "supervisor/loop.h"
#include "util/fd.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SECOND 1000000000LL

/* A connection whose peer, `*server`'s queue, does not read, full and lingering. */
static int lingering_socket(int *server)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    struct linger linger = {.l_onoff = 1, .l_linger = 1};
    CLEANUP_FREE char *data = calloc(1, 65536);

    *server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_non_null(data);
    assert_true(*server >= 0 && client >= 0);
    assert_int_equal(bind(*server, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(getsockname(*server, (struct sockaddr *)&name, &length), 0);
    assert_int_equal(listen(*server, 1), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof(name)), 0);
    while (send(client, data, 65536, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return client;
}

static void an_ordinary_close_waits(void **state)
{
    int server;
    int client = lingering_socket(&server);
    int64_t begin = loop_now();

    (void)state;
    fd_close(client);
    assert_true(loop_now() - begin > SECOND / 2);
    fd_close(server);
}

static void giving_up_a_socket_does_not(void **state)
{
    int server;
    struct pinned_socket pinned = {.fd = lingering_socket(&server)};

    (void)state;
    assert_int_equal(socket_identify(&pinned), 0);
    int64_t begin = loop_now();
    socket_unpin(&pinned);
    assert_true(loop_now() - begin < SECOND / 2);
    assert_int_equal(pinned.fd, -1);
    fd_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_close_waits),
        cmocka_unit_test(giving_up_a_socket_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
