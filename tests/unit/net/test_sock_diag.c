/* Lists of sockets: from the kernel itself, and from replies that no kernel would send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../skip_because.h"

#include "member/socket.h"
#include "net/sock_diag.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SEQUENCE 5

static const struct diag_query all_tcp = {
    .family = AF_INET, .protocol = IPPROTO_TCP, .states = DIAG_ALL_STATES};
static const struct diag_query all_unix = {.family = AF_UNIX, .states = DIAG_ALL_STATES};

/* ---- The kernel ---------------------------------------------------------------------------------- */

static int bound_socket(int type, uint16_t *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

static struct sock_diag *diag_or_skip(void)
{
    int error;
    struct sock_diag *diag = sock_diag_new(&error);

    if (diag == NULL)
        skip_because("no sock_diag socket, as in some containers");
    return diag;
}

static void a_listener_is_found_by_its_cookie(void **state)
{
    struct sock_diag *diag = diag_or_skip();
    struct diag_list list = DIAG_LIST_INIT;
    uint16_t port;
    CLEANUP_FD int fd = bound_socket(SOCK_STREAM, &port);

    (void)state;
    assert_int_equal(listen(fd, 7), 0);
    assert_int_equal(sock_diag_dump(diag, &all_tcp, &list), 0);
    const struct diag_socket *found = diag_list_find(&list, socket_cookie_of(fd));
    assert_non_null(found);
    assert_int_equal(found->state, 10 /* TCP_LISTEN */);
    assert_int_equal(found->local_port, port);
    assert_int_equal(found->local.family, 4);
    assert_memory_equal(found->local.bytes, "\x7f\0\0\1", 4);
    assert_int_equal(found->send_queue, 7);
    assert_null(diag_list_find(&list, UINT64_MAX));
    diag_list_free(&list);
    sock_diag_free(diag);
}

static void ipv6_alone_is_told(void **state)
{
    struct sock_diag *diag = diag_or_skip();
    struct diag_query query = {
        .family = AF_INET6, .protocol = IPPROTO_TCP, .states = DIAG_ALL_STATES};
    struct sockaddr_in6 name = {.sin6_family = AF_INET6};

    (void)state;
    for (int only = 0; only < 2; only++) {
        struct diag_list list = DIAG_LIST_INIT;
        CLEANUP_FD int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0 ||
            bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0)
            skip_because("no IPv6 here");
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(sock_diag_dump(diag, &query, &list), 0);
        const struct diag_socket *found = diag_list_find(&list, socket_cookie_of(fd));
        assert_non_null(found);
        assert_int_equal(found->v6_only, only);
        diag_list_free(&list);
    }
    sock_diag_free(diag);
}

static void a_port_filters(void **state)
{
    struct sock_diag *diag = diag_or_skip();
    struct diag_list list = DIAG_LIST_INIT;
    uint16_t port, other;
    CLEANUP_FD int fd = bound_socket(SOCK_DGRAM, &port);
    CLEANUP_FD int neighbour = bound_socket(SOCK_DGRAM, &other);
    struct diag_query query = {
        .family = AF_INET, .protocol = IPPROTO_UDP, .states = DIAG_ALL_STATES, .local_port = port};

    (void)state;
    int result = sock_diag_dump(diag, &query, &list);
    if (result == -ENOENT)
        skip_because("no udp_diag in this kernel");
    assert_int_equal(result, 0);
    assert_non_null(diag_list_find(&list, socket_cookie_of(fd)));
    assert_null(diag_list_find(&list, socket_cookie_of(neighbour)));
    diag_list_free(&list);
    sock_diag_free(diag);
}

static void unix_sockets_come_with_their_names(void **state)
{
    struct sock_diag *diag = diag_or_skip();
    struct diag_list list = DIAG_LIST_INIT;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int pair[2];

    (void)state;
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* An unnamed bind takes an abstract name of five hexadecimal digits. */
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CLEANUP_FD int left = pair[0], right = pair[1];
    int result = sock_diag_dump(diag, &all_unix, &list);
    if (result == -ENOENT)
        skip_because("no unix_diag in this kernel");
    assert_int_equal(result, 0);
    const struct diag_socket *found = diag_list_find(&list, socket_cookie_of(fd));
    assert_non_null(found);
    assert_int_equal(found->type, SOCK_DGRAM);
    assert_int_equal(found->name_length, 6);
    assert_int_equal(list.names.data[found->name_offset], 0);
    const struct diag_socket *first = diag_list_find(&list, socket_cookie_of(left));
    const struct diag_socket *second = diag_list_find(&list, socket_cookie_of(right));
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(first->peer_inode, second->inode);
    assert_int_equal(first->name_length, 0);
    diag_list_free(&list);
    sock_diag_free(diag);
}

/* ---- Replies ------------------------------------------------------------------------------------- */

struct reply {
    _Alignas(8) uint8_t bytes[1024];
    size_t size;
};

static void add(struct reply *reply, uint16_t type, uint16_t flags, const void *body, size_t size)
{
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)(sizeof(header) + size),
                              .nlmsg_type = type,
                              .nlmsg_flags = flags,
                              .nlmsg_seq = SEQUENCE};

    memcpy(reply->bytes + reply->size, &header, sizeof(header));
    memcpy(reply->bytes + reply->size + sizeof(header), body, size);
    reply->size += NLMSG_ALIGN(sizeof(header) + size);
}

static void add_done(struct reply *reply, int32_t status)
{
    add(reply, NLMSG_DONE, NLM_F_MULTI, &status, sizeof(status));
}

static void add_tcp(struct reply *reply, uint16_t flags)
{
    struct inet_diag_msg message = {
        .idiag_family = AF_INET,
        .idiag_state = 1,
        .idiag_timer = 2,
        .idiag_retrans = 3,
        .idiag_expires = 4,
        .idiag_rqueue = 5,
        .idiag_wqueue = 6,
        .idiag_uid = 7,
        .idiag_inode = 8,
        .id = {.idiag_sport = htons(80), .idiag_dport = htons(81), .idiag_cookie = {9, 1}},
    };

    add(reply, SOCK_DIAG_BY_FAMILY, flags, &message, sizeof(message));
}

static int parse(const struct diag_query *query, const struct reply *reply, struct diag_list *list,
                 bool *changed)
{
    /* A buffer of its own, so that a sanitizer sees a look behind its end. */
    CLEANUP_FREE uint8_t *copy = malloc(reply->size == 0 ? 1 : reply->size);

    assert_non_null(copy);
    memcpy(copy, reply->bytes, reply->size);
    *changed = false;
    return diag_parse(query, SEQUENCE, copy, reply->size, list, changed);
}

static int parse_only(const struct diag_query *query, const struct reply *reply)
{
    struct diag_list list = DIAG_LIST_INIT;
    bool changed;
    int result = parse(query, reply, &list, &changed);

    diag_list_free(&list);
    return result;
}

static void every_field_arrives(void **state)
{
    struct diag_list list = DIAG_LIST_INIT;
    struct reply reply = {.size = 0};
    bool changed;

    (void)state;
    add_tcp(&reply, NLM_F_MULTI);
    add_done(&reply, 0);
    assert_int_equal(parse(&all_tcp, &reply, &list, &changed), 1);
    assert_false(changed);
    assert_int_equal(list.count, 1);
    const struct diag_socket *socket = &list.sockets[0];
    assert_int_equal(socket->cookie, 9 | 1ULL << 32);
    assert_int_equal(socket->state, 1);
    assert_int_equal(socket->timer, 2);
    assert_int_equal(socket->retransmits, 3);
    assert_int_equal(socket->expires, 4);
    assert_int_equal(socket->receive_queue, 5);
    assert_int_equal(socket->send_queue, 6);
    assert_int_equal(socket->uid, 7);
    assert_int_equal(socket->inode, 8);
    assert_int_equal(socket->local_port, 80);
    assert_int_equal(socket->remote_port, 81);
    diag_list_free(&list);
}

static void a_dump_that_changed_is_told(void **state)
{
    struct diag_list list = DIAG_LIST_INIT;
    struct reply reply = {.size = 0};
    bool changed;

    (void)state;
    add_tcp(&reply, NLM_F_MULTI | NLM_F_DUMP_INTR);
    assert_int_equal(parse(&all_tcp, &reply, &list, &changed), 0);
    assert_true(changed);
    diag_list_free(&list);
}

static void the_kernels_refusal_is_passed_on(void **state)
{
    struct nlmsgerr error = {.error = -ENOENT};
    struct reply refused = {.size = 0}, failed = {.size = 0}, strange = {.size = 0};

    (void)state;
    add(&refused, NLMSG_ERROR, 0, &error, sizeof(error));
    assert_int_equal(parse_only(&all_tcp, &refused), -ENOENT);
    add_done(&failed, -ENOMEM);
    assert_int_equal(parse_only(&all_tcp, &failed), -ENOMEM);
    add_done(&strange, 1);
    assert_int_equal(parse_only(&all_tcp, &strange), -EBADMSG);
}

static void what_is_not_as_expected_fails(void **state)
{
    struct reply whole = {.size = 0};

    (void)state;
    add_tcp(&whole, NLM_F_MULTI);
    assert_int_equal(parse_only(&all_tcp, &whole), 0);
    /* Cut anywhere. */
    for (size_t size = 1; size < whole.size; size++) {
        struct reply cut = whole;
        cut.size = size;
        assert_int_equal(parse_only(&all_tcp, &cut), -EBADMSG);
    }
    /* Another sequence, family, type; no part of a dump; a length below its header. */
    static const struct {
        size_t offset;
        uint8_t value;
    } wrong[] = {{8, 6}, {16, AF_INET6}, {4, 99}, {6, 0}, {0, 15}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct reply reply = whole;
        reply.bytes[wrong[i].offset] = wrong[i].value;
        assert_int_equal(parse_only(&all_tcp, &reply), -EBADMSG);
    }
}

static void malformed_names_of_unix_sockets_fail(void **state)
{
    struct {
        struct unix_diag_msg message;
        struct nlattr attribute;
        uint8_t name[120];
    } body = {.message = {.udiag_family = AF_UNIX, .udiag_type = SOCK_STREAM},
              .attribute = {.nla_len = 4 + 120, .nla_type = UNIX_DIAG_NAME}};
    struct reply large = {.size = 0}, beyond = {.size = 0}, fitting = {.size = 0};

    (void)state;
    add(&large, SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, &body, sizeof(body));
    assert_int_equal(parse_only(&all_unix, &large), -EBADMSG);
    body.attribute.nla_len = 4 + 100;
    add(&fitting, SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, &body, sizeof(body) - 20);
    assert_int_equal(parse_only(&all_unix, &fitting), 0);
    add(&beyond, SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, &body, sizeof(body) - 24);
    assert_int_equal(parse_only(&all_unix, &beyond), -EBADMSG);
}

static void requests_have_the_size_the_kernel_expects(void **state)
{
    uint8_t request[DIAG_REQUEST_MAX];
    struct diag_query query = all_tcp;

    (void)state;
    query.local_port = 0x1234;
    assert_int_equal(diag_request(&query, 1, request), 16 + 56);
    assert_memory_equal(request + 16 + 8, "\x12\x34", 2);
    assert_memory_equal(request + 16 + 48, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    assert_int_equal(diag_request(&all_unix, 1, request), 16 + 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_is_found_by_its_cookie),
        cmocka_unit_test(ipv6_alone_is_told),
        cmocka_unit_test(a_port_filters),
        cmocka_unit_test(unix_sockets_come_with_their_names),
        cmocka_unit_test(every_field_arrives),
        cmocka_unit_test(a_dump_that_changed_is_told),
        cmocka_unit_test(the_kernels_refusal_is_passed_on),
        cmocka_unit_test(what_is_not_as_expected_fails),
        cmocka_unit_test(malformed_names_of_unix_sockets_fail),
        cmocka_unit_test(requests_have_the_size_the_kernel_expects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
