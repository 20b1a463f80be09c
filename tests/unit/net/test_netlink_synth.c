/* What a routing socket answers, byte by byte. */
#include "net/netlink_synth.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define PORT_ID 4711
#define SEQUENCE 77

/* ---- Helpers --------------------------------------------------------------------------------------- */

#define DATAGRAMS_MAX 600

struct replies {
    uint8_t bytes[DATAGRAMS_MAX][64]; /* the start of each */
    uint8_t first[NETLINK_DATAGRAM_MAX];
    size_t lengths[DATAGRAMS_MAX];
    size_t count;
    size_t refuse_at; /* 0: never */
};

static bool collect(void *data, const void *datagram, size_t length)
{
    struct replies *replies = data;

    if (replies->refuse_at != 0 && replies->count + 1 >= replies->refuse_at)
        return false;
    assert_in_range(length, 1, NETLINK_DATAGRAM_MAX);
    assert_true(replies->count < DATAGRAMS_MAX);
    if (replies->count == 0)
        memcpy(replies->first, datagram, length);
    memcpy(replies->bytes[replies->count], datagram,
           length < sizeof(replies->bytes[0]) ? length : sizeof(replies->bytes[0]));
    replies->lengths[replies->count++] = length;
    return true;
}

static const struct netlink_host plain = {.port_id = PORT_ID};

static struct replies replies;

static const struct replies *ask_bytes(const struct netlink_host *host, const void *request,
                                       size_t length)
{
    memset(&replies, 0, sizeof(replies));
    netlink_synthesize(host, request, length, collect, &replies);
    return &replies;
}

struct request {
    struct nlmsghdr header;
    uint8_t body[256];
};

static struct request make(uint16_t type, uint16_t flags, const void *body, size_t length)
{
    struct request request = {
        .header = {(uint32_t)(sizeof(struct nlmsghdr) + length), type, flags, SEQUENCE, 9}};

    if (length > 0)
        memcpy(request.body, body, length);
    return request;
}

static const struct replies *ask(uint16_t type, uint16_t flags, const void *body, size_t length)
{
    struct request request = make(type, (uint16_t)(flags | NLM_F_REQUEST), body, length);

    return ask_bytes(&plain, &request, request.header.nlmsg_len);
}

static size_t add_attribute(uint8_t *body, size_t at, uint16_t type, const void *data,
                            size_t length)
{
    struct rtattr attribute = {(uint16_t)(sizeof(attribute) + length), type};

    memcpy(body + at, &attribute, sizeof(attribute));
    memcpy(body + at + sizeof(attribute), data, length);
    return at + RTA_ALIGN(attribute.rta_len);
}

static void assert_error(const struct replies *got, int error, const struct request *request)
{
    struct {
        struct nlmsghdr header;
        int32_t error;
        struct nlmsghdr echo;
    } expected = {{36, NLMSG_ERROR, NLM_F_CAPPED, SEQUENCE, PORT_ID}, -error, request->header};

    assert_int_equal(got->count, 1);
    assert_int_equal(got->lengths[0], 36);
    assert_memory_equal(got->first, &expected, 36);
}

static void expect_error(uint16_t type, uint16_t flags, const void *body, size_t length, int error)
{
    struct request request = make(type, (uint16_t)(flags | NLM_F_REQUEST), body, length);

    assert_error(ask_bytes(&plain, &request, request.header.nlmsg_len), error, &request);
}

/* The bytes of DONE. */
static const uint8_t done[] = {20, 0, 0,    0,    3, 0, 2, 0, SEQUENCE, 0,
                               0,  0, 0x67, 0x12, 0, 0, 0, 0, 0,        0};

/* NEWLINK for lo, from the flags on. */
static const uint8_t link_start[] = {
    0,   0, 0x04, 0x03, 1,    0,   0,   0,   0x49, 0,   1,   0, 0, 0, 0, 0, /* ifinfomsg */
    7,   0, 3,    0,    'l',  'o', 0,   0,                                  /* IFNAME */
    8,   0, 4,    0,    0,    0,   1,   0,                                  /* MTU */
    8,   0, 13,   0,    0xe8, 3,   0,   0,                                  /* TXQLEN */
    10,  0, 1,    0,    0,    0,   0,   0,   0,    0,   0,   0,             /* ADDRESS */
    10,  0, 2,    0,    0,    0,   0,   0,   0,    0,   0,   0,             /* BROADCAST */
    5,   0, 16,   0,    0,    0,   0,   0,                                  /* OPERSTATE */
    5,   0, 17,   0,    0,    0,   0,   0,                                  /* LINKMODE */
    12,  0, 6,    0,    'n',  'o', 'q', 'u', 'e',  'u', 'e', 0,             /* QDISC */
    8,   0, 27,   0,    0,    0,   0,   0,                                  /* GROUP */
    8,   0, 30,   0,    0,    0,   0,   0,                                  /* PROMISCUITY */
    8,   0, 31,   0,    1,    0,   0,   0,                                  /* queues */
    8,   0, 32,   0,    1,    0,   0,   0,   5,    0,   33,  0, 1, 0, 0, 0, /* CARRIER */
    100, 0, 7,    0,
};

#define LINK_LENGTH (16 + sizeof(link_start) + 96 + 204)

static void assert_link(const uint8_t *bytes, uint16_t flags)
{
    struct nlmsghdr header = {LINK_LENGTH, RTM_NEWLINK, flags, SEQUENCE, PORT_ID};
    static const uint8_t zeros[200];
    static const uint8_t stats64[] = {204, 0, 23, 0};

    assert_memory_equal(bytes, &header, sizeof(header));
    assert_memory_equal(bytes + 16, link_start, sizeof(link_start));
    bytes += 16 + sizeof(link_start);
    assert_memory_equal(bytes, zeros, 96);
    assert_memory_equal(bytes + 96, stats64, 4);
    assert_memory_equal(bytes + 100, zeros, 200);
}

/* ---- Dumps ------------------------------------------------------------------------------------------- */

static void a_link_dump_is_lo_and_done_in_one_datagram(void **state)
{
    const uint8_t all[1] = {AF_UNSPEC};

    (void)state;
    for (int length = 0; length < 2;
         length++) { /* also a request that is a header alone, or 17 bytes */
        const struct replies *got = ask(RTM_GETLINK, NLM_F_DUMP, all, (size_t)length);
        assert_int_equal(got->count, 1);
        assert_int_equal(got->lengths[0], LINK_LENGTH + 20);
        assert_link(got->first, NLM_F_MULTI);
        assert_memory_equal(got->first + LINK_LENGTH, done, sizeof(done));
    }
}

static void either_dump_bit_asks_for_all(void **state)
{
    (void)state;
    assert_int_equal(ask(RTM_GETLINK, NLM_F_ROOT, NULL, 0)->lengths[0], LINK_LENGTH + 20);
    assert_int_equal(ask(RTM_GETLINK, NLM_F_MATCH, NULL, 0)->lengths[0], LINK_LENGTH + 20);
}

static void a_bridge_dump_is_empty(void **state)
{
    const struct ifinfomsg body = {.ifi_family = AF_BRIDGE};
    const struct replies *got = ask(RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));

    (void)state;
    assert_int_equal(got->lengths[0], sizeof(done));
    assert_memory_equal(got->first, done, sizeof(done));
}

static const uint8_t expected4[] = {
    76, 0, 0,    0,   20,   0,   2,   0,   SEQUENCE, 0,   0,   0,   0x67, 0x12, 0, 0, /* header */
    2,  8, 0x80, 254, 1,    0,   0,   0, /* ifaddrmsg */
    8,  0, 1,    0,   127,  0,   0,   1, /* ADDRESS */
    8,  0, 2,    0,   127,  0,   0,   1, /* LOCAL */
    7,  0, 3,    0,   'l',  'o', 0,   0, /* LABEL */
    8,  0, 8,    0,   0x80, 0,   0,   0, /* FLAGS */
    20, 0, 6,    0,   255,  255, 255, 255, 255,      255, 255, 255, 0,    0,    0, 0,
    0,  0, 0,    0, /* CACHEINFO */
};

static const uint8_t expected6[] = {
    72,   0,   0,   0,   20,  0,   2,   0,   SEQUENCE, 0,   0, 0, 0x67, 0x12, 0, 0, 10, 128,
    0x80, 254, 1,   0,   0,   0,   20,  0,   1,        0,   0, 0, 0,    0,    0, 0, 0,  0,
    0,    0,   0,   0,   0,   0,   0,   1,   8,        0,   8, 0, 0x80, 0,    0, 0, 20, 0,
    6,    0,   255, 255, 255, 255, 255, 255, 255,      255, 0, 0, 0,    0,    0, 0, 0,  0,
};

static void an_address_dump_has_both_families_or_the_one_asked_for(void **state)
{
    struct ifaddrmsg body = {.ifa_family = AF_UNSPEC};

    (void)state;
    const struct replies *got = ask(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body));
    assert_int_equal(got->lengths[0], 76 + 72 + 20);
    got = ask(RTM_GETADDR, NLM_F_DUMP, &body, 1);
    assert_int_equal(got->lengths[0], 76 + 72 + 20);
    assert_memory_equal(got->first, expected4, 76);
    assert_memory_equal(got->first + 76, expected6, 72);
    assert_memory_equal(got->first + 148, done, sizeof(done));

    body.ifa_family = AF_INET;
    assert_int_equal(ask(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body))->lengths[0], 76 + 20);
    body.ifa_family = AF_INET6;
    got = ask(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body));
    assert_int_equal(got->lengths[0], 72 + 20);
    assert_memory_equal(got->first, expected6, 72);
    body.ifa_family = AF_PACKET;
    assert_int_equal(ask(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body))->lengths[0], 20);
}

static void more_addresses_come_in_both_families(void **state)
{
    const struct netlink_host host = {.port_id = PORT_ID, .more_addresses = true};
    struct request request = make(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, NULL, 0);
    static const uint8_t mapped[16] = {[10] = 255, [11] = 255, [12] = 127, [15] = 2};

    (void)state;
    const struct replies *got = ask_bytes(&host, &request, request.header.nlmsg_len);
    assert_int_equal(got->lengths[0], 2 * (76 + 72) + 20);
    assert_int_equal(got->first[76 + 24 + 4 + 3], 2); /* 127.0.0.2 */
    assert_int_equal(got->first[76 + 17], 8);
    assert_memory_equal(got->first + 76 * 2 + 72 + 24 + 4, mapped, 16);
    assert_int_equal(got->first[76 * 2 + 72 + 17], 128);
}

static void other_dumps_are_empty(void **state)
{
    static const uint16_t types[] = {RTM_GETROUTE, RTM_GETNEIGH, RTM_GETRULE,   RTM_GETQDISC,
                                     RTM_GETSTATS, RTM_GETNSID,  RTM_GETNETCONF};

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct replies *got = ask(types[i], NLM_F_DUMP | NLM_F_ACK, NULL, 0);
        assert_int_equal(got->count, 1);
        assert_int_equal(got->lengths[0], sizeof(done));
        assert_memory_equal(got->first, done, sizeof(done));
    }
}

/* ---- Single links -------------------------------------------------------------------------------------- */

static const struct replies *ask_link(int index, uint16_t type, const char *name, uint16_t flags)
{
    uint8_t body[64] = {0};
    struct ifinfomsg info = {.ifi_index = index};
    const uint32_t mask = 1;

    memcpy(body, &info, sizeof(info));
    size_t length = add_attribute(body, sizeof(info), IFLA_EXT_MASK, &mask, sizeof(mask));
    if (name != NULL)
        length = add_attribute(body, length, type, name, strlen(name) + 1);
    return ask(RTM_GETLINK, flags, body, length);
}

static int error_of(const struct replies *got)
{
    int32_t error;

    assert_int_equal(got->count, 1);
    assert_int_equal(got->first[4], NLMSG_ERROR);
    memcpy(&error, got->first + 16, sizeof(error));
    return -error;
}

static void a_link_is_found_by_index_or_name(void **state)
{
    (void)state;
    const struct replies *got = ask_link(1, 0, NULL, 0);
    assert_int_equal(got->count, 1);
    assert_int_equal(got->lengths[0], LINK_LENGTH);
    assert_link(got->first, 0);
    assert_link(ask_link(0, IFLA_IFNAME, "lo", 0)->first, 0);
    assert_link(ask_link(0, IFLA_ALT_IFNAME, "lo", 0)->first, 0);
    assert_link(ask_link(0, IFLA_IFNAME | NLA_F_NESTED, "lo", 0)->first, 0);
    assert_link(ask_link(1, IFLA_IFNAME, "eth0", 0)->first, 0); /* the index decides alone */
    assert_int_equal(error_of(ask_link(2, IFLA_IFNAME, "lo", 0)), ENODEV);
    assert_int_equal(error_of(ask_link(2, 0, NULL, 0)), ENODEV);
    assert_int_equal(error_of(ask_link(0, IFLA_IFNAME, "eth0", 0)), ENODEV);
    assert_int_equal(error_of(ask_link(0, IFLA_IFNAME, "lo0", 0)), ENODEV);
    assert_int_equal(error_of(ask_link(0, IFLA_IFNAME, "l", 0)), ENODEV);
    assert_int_equal(error_of(ask_link(0, 0, NULL, 0)), EINVAL);
    assert_int_equal(error_of(ask_link(-1, 0, NULL, 0)), EINVAL);
}

static void an_acknowledgement_follows_in_the_same_datagram(void **state)
{
    const struct replies *got = ask_link(1, 0, NULL, NLM_F_ACK);

    (void)state;
    assert_int_equal(got->count, 1);
    assert_int_equal(got->lengths[0], LINK_LENGTH + 36);
    assert_int_equal(got->first[LINK_LENGTH], 36);
    assert_int_equal(got->first[LINK_LENGTH + 4], NLMSG_ERROR);
    assert_memory_equal(got->first + LINK_LENGTH + 16, "\0\0\0\0", 4);
}

static void a_broken_attribute_ends_the_walk(void **state)
{
    uint8_t body[32] = {0};
    const struct rtattr too_long = {200, IFLA_EXT_MASK}, too_short = {2, IFLA_EXT_MASK};

    (void)state;
    memcpy(body + sizeof(struct ifinfomsg), &too_long, sizeof(too_long));
    expect_error(RTM_GETLINK, 0, body, 24, EINVAL);
    memcpy(body + sizeof(struct ifinfomsg), &too_short, sizeof(too_short));
    expect_error(RTM_GETLINK, 0, body, 24, EINVAL);
    expect_error(RTM_GETLINK, 0, body, 15, EINVAL); /* shorter than its body */
    expect_error(RTM_GETLINK, 0, NULL, 0, EINVAL);
}

/* ---- Routes, errors ---------------------------------------------------------------------------------------- */

static const struct replies *ask_route(uint8_t family, const void *address, size_t length)
{
    uint8_t body[64] = {0};
    struct rtmsg route = {.rtm_family = family, .rtm_dst_len = (uint8_t)(length * 8)};

    memcpy(body, &route, sizeof(route));
    size_t end = sizeof(route);
    if (length > 0)
        end = add_attribute(body, end, RTA_DST, address, length);
    return ask(RTM_GETROUTE, 0, body, end);
}

static void only_loopback_has_a_route(void **state)
{
    static const uint8_t loopback[4] = {127, 0, 0, 5}, other[4] = {1, 1, 1, 1};
    static const uint8_t loopback6[16] = {[15] = 1}, other6[16] = {0x20, 1, [15] = 1};
    static const uint8_t expected[] = {
        60,  0, 0, 0, 24, 0, 0, 0, SEQUENCE, 0, 0, 0, 0x67, 0x12, 0, 0, 2,   32, 0,  0,
        255, 0, 0, 2, 0,  2, 0, 0, 8,        0, 1, 0, 127,  0,    0, 5, 8,   0,  15, 0,
        255, 0, 0, 0, 8,  0, 4, 0, 1,        0, 0, 0, 8,    0,    7, 0, 127, 0,  0,  5,
    };

    (void)state;
    const struct replies *got = ask_route(AF_INET, loopback, 4);
    assert_int_equal(got->lengths[0], sizeof(expected));
    assert_memory_equal(got->first, expected, sizeof(expected));
    assert_int_equal(ask_route(AF_INET6, loopback6, 16)->first[4], RTM_NEWROUTE);
    assert_int_equal(error_of(ask_route(AF_INET, other, 4)), ENETUNREACH);
    assert_int_equal(error_of(ask_route(AF_INET6, other6, 16)), ENETUNREACH);
    assert_int_equal(error_of(ask_route(AF_INET, loopback, 3)), ENETUNREACH);
    assert_int_equal(error_of(ask_route(AF_INET, NULL, 0)), ENETUNREACH);
    assert_int_equal(error_of(ask_route(AF_PACKET, loopback, 4)), EOPNOTSUPP);
}

static void changes_need_privileges(void **state)
{
    static const uint16_t types[] = {RTM_NEWLINK, RTM_DELLINK,  RTM_SETLINK,  RTM_NEWADDR,
                                     RTM_DELADDR, RTM_NEWROUTE, RTM_DELNEIGH, RTM_NEWQDISC};

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        expect_error(types[i], 0, NULL, 0, EPERM);
        expect_error(types[i], NLM_F_DUMP | NLM_F_ACK, NULL, 0, EPERM);
    }
}

static void what_the_host_does_not_know_is_not_supported(void **state)
{
    (void)state;
    expect_error(RTM_GETADDR, 0, NULL, 0, EOPNOTSUPP);
    expect_error(RTM_GETNEIGH, NLM_F_ACK, NULL, 0, EOPNOTSUPP);
    expect_error(128, 0, NULL, 0, EOPNOTSUPP);
    expect_error(130, NLM_F_DUMP, NULL, 0, EOPNOTSUPP);
    expect_error(UINT16_MAX, NLM_F_DUMP, NULL, 0, EOPNOTSUPP);
}

/* ---- The walk ------------------------------------------------------------------------------------------------- */

static void messages_that_ask_nothing_are_only_acknowledged(void **state)
{
    struct request request = make(RTM_NEWLINK, NLM_F_ACK, NULL, 0); /* not a request */

    (void)state;
    assert_error(ask_bytes(&plain, &request, 16), 0, &request);
    request.header.nlmsg_flags = 0;
    assert_int_equal(ask_bytes(&plain, &request, 16)->count, 0);
    request = make(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, NULL, 0);
    assert_error(ask_bytes(&plain, &request, 16), 0, &request);
    request = make(NLMSG_DONE, NLM_F_REQUEST, NULL, 0);
    assert_int_equal(ask_bytes(&plain, &request, 16)->count, 0);
}

static void all_messages_of_a_datagram_are_answered_in_order(void **state)
{
    uint8_t bytes[256] = {0};
    struct request first = make(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, "\0", 1);
    struct request second = make(RTM_NEWADDR, NLM_F_REQUEST, NULL, 0);

    (void)state;
    memcpy(bytes, &first, 17);
    memcpy(bytes + 20, &second, 16); /* the next begins at a multiple of four */
    const struct replies *got = ask_bytes(&plain, bytes, 36);
    assert_int_equal(got->count, 2);
    assert_int_equal(got->bytes[0][4], RTM_NEWADDR);
    assert_int_equal(got->bytes[1][4], NLMSG_ERROR);

    /* iproute2 sends a 24-byte message with zeros behind it. */
    struct request padded = make(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, bytes + 200, 8);
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, &padded, 24);
    assert_int_equal(ask_bytes(&plain, bytes, 152)->count, 1);
}

static void malformed_input_ends_the_walk(void **state)
{
    uint8_t bytes[64] = {0};
    struct request request = make(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, NULL, 0);

    (void)state;
    for (size_t length = 0; length < 16; length++)
        assert_int_equal(ask_bytes(&plain, &request, length)->count, 0);
    request.header.nlmsg_len = 15;
    assert_int_equal(ask_bytes(&plain, &request, 64)->count, 0);
    request.header.nlmsg_len = 65;
    assert_int_equal(ask_bytes(&plain, &request, 64)->count, 0);
    request.header.nlmsg_len = UINT32_MAX;
    assert_int_equal(ask_bytes(&plain, &request, 64)->count, 0);
    /* what came before it is answered */
    request.header.nlmsg_len = 16;
    memcpy(bytes, &request, 16);
    request.header.nlmsg_len = 17;
    memcpy(bytes + 16, &request, 16);
    assert_int_equal(ask_bytes(&plain, bytes, 32)->count, 1);
}

static void a_full_queue_stops_the_answers(void **state)
{
    uint8_t bytes[NETLINK_REQUEST_MAX];
    struct request request = make(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, NULL, 0);

    (void)state;
    for (size_t at = 0; at < sizeof(bytes); at += 16)
        memcpy(bytes + at, &request, 16);
    memset(&replies, 0, sizeof(replies));
    assert_true(netlink_synthesize(&plain, bytes, sizeof(bytes), collect, &replies));
    assert_int_equal(replies.count, sizeof(bytes) / 16);
    memset(&replies, 0, sizeof(replies));
    replies.refuse_at = 3;
    assert_false(netlink_synthesize(&plain, bytes, sizeof(bytes), collect, &replies));
    assert_int_equal(replies.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_dump_is_lo_and_done_in_one_datagram),
        cmocka_unit_test(either_dump_bit_asks_for_all),
        cmocka_unit_test(a_bridge_dump_is_empty),
        cmocka_unit_test(an_address_dump_has_both_families_or_the_one_asked_for),
        cmocka_unit_test(more_addresses_come_in_both_families),
        cmocka_unit_test(other_dumps_are_empty),
        cmocka_unit_test(a_link_is_found_by_index_or_name),
        cmocka_unit_test(an_acknowledgement_follows_in_the_same_datagram),
        cmocka_unit_test(a_broken_attribute_ends_the_walk),
        cmocka_unit_test(only_loopback_has_a_route),
        cmocka_unit_test(changes_need_privileges),
        cmocka_unit_test(what_the_host_does_not_know_is_not_supported),
        cmocka_unit_test(messages_that_ask_nothing_are_only_acknowledged),
        cmocka_unit_test(all_messages_of_a_datagram_are_answered_in_order),
        cmocka_unit_test(malformed_input_ends_the_walk),
        cmocka_unit_test(a_full_queue_stops_the_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
