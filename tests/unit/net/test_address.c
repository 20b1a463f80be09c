/* Socket addresses as members pass them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct socket_address decode(const void *bytes, size_t length)
{
    struct socket_address address;

    memset(&address, 0xaa, sizeof(address));
    address_decode(bytes, length, &address);
    assert_int_equal(address.length, length);
    assert_int_equal(address.bytes[length], 0);
    return address;
}

static struct socket_address decode_ip(const char *text, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return decode(&v4, sizeof(v4));
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return decode(&v6, sizeof(v6));
}

static void assert_reaches(const char *text, const char *reached)
{
    struct socket_address address = decode_ip(text, 443);
    struct net_address expected;

    assert_true(net_address_parse(reached, &expected));
    assert_int_equal(address.kind, ADDRESS_IP);
    assert_int_equal(address.port, 443);
    assert_int_equal(address.ip.family, expected.family);
    assert_memory_equal(address.ip.bytes, expected.bytes, expected.family == 4 ? 4 : 16);
}

static void test_an_ip_address_is_judged_as_what_it_reaches(void **state)
{
    (void)state;
    assert_reaches("192.0.2.7", "192.0.2.7");
    assert_reaches("2001:db8::7", "2001:db8::7");
    assert_reaches("::ffff:192.0.2.7", "192.0.2.7");
    assert_reaches("0.0.0.0", "127.0.0.1");
    assert_reaches("::", "::1");
    assert_reaches("::ffff:0.0.0.0", "127.0.0.1");
}

static void assert_settled(int family, const char *given, const char *settled)
{
    uint8_t bytes[28] = {0};
    uint8_t expected[16];
    size_t at = family == AF_INET ? 4 : 8, size = family == AF_INET ? 4 : 16;
    uint16_t number = (uint16_t)family;
    struct socket_address address;

    memcpy(bytes, &number, sizeof(number));
    bytes[2] = 0x1f, bytes[3] = 0x90;
    if (family == AF_INET6)
        memset(bytes + 4, 0xaa, 4);
    assert_int_equal(inet_pton(family, given, bytes + at), 1);
    assert_int_equal(inet_pton(family, settled, expected), 1);
    address_decode(bytes, family == AF_INET ? 16 : 28, &address);
    address_settle(&address);
    assert_memory_equal(address.bytes + at, expected, size);
    assert_memory_equal(address.bytes, bytes, 4);
    if (family == AF_INET6)
        assert_memory_equal(address.bytes + 4, "\0\0\0\0", 4);
}

static void test_a_destination_is_settled_as_what_was_judged(void **state)
{
    assert_settled(AF_INET, "0.0.0.0", "127.0.0.1");
    assert_settled(AF_INET, "0.0.0.1", "0.0.0.1");
    assert_settled(AF_INET, "10.0.0.7", "10.0.0.7");
    assert_settled(AF_INET6, "::", "::1");
    assert_settled(AF_INET6, "::2", "::2");
    assert_settled(AF_INET6, "::ffff:0.0.0.0", "::ffff:127.0.0.1");
    assert_settled(AF_INET6, "::ffff:10.0.0.7", "::ffff:10.0.0.7");
}

static void test_the_shortest_ip_addresses_the_kernel_reads_are_decoded(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};

    (void)state;
    assert_int_equal(decode(&v4, 8).kind, ADDRESS_IP);
    assert_int_equal(decode(&v4, 7).kind, ADDRESS_MALFORMED);
    assert_int_equal(decode(&v6, 24).kind, ADDRESS_IP);
    assert_int_equal(decode(&v6, 23).kind, ADDRESS_MALFORMED);
    assert_int_equal(decode("\2", 1).kind, ADDRESS_MALFORMED);
    assert_int_equal(decode("", 0).kind, ADDRESS_NONE);
}

static void test_an_unspecified_family_carries_an_ipv4_address_where_it_is_long_enough(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_UNSPEC, .sin_port = htons(53)};

    (void)state;
    struct socket_address address = decode(&v4, sizeof(v4));
    assert_int_equal(address.kind, ADDRESS_UNSPEC);
    assert_true(address.has_ip);
    assert_int_equal(address.port, 53);
    assert_int_equal(address.ip.bytes[0], 127);

    address = decode(&v4, 7);
    assert_int_equal(address.kind, ADDRESS_UNSPEC);
    assert_false(address.has_ip);
}

static void test_unix_names_are_told_apart_by_their_first_byte(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/run/\xff\xfe"};

    (void)state;
    struct socket_address address = decode(&name, sizeof(name));
    assert_int_equal(address.kind, ADDRESS_UNIX_NAMED);
    assert_string_equal((const char *)address.bytes + 2, "/run/\xff\xfe");

    /* No NUL inside the length: the name ends with it. */
    address = decode(&name, 5);
    assert_int_equal(address.kind, ADDRESS_UNIX_NAMED);
    assert_string_equal((const char *)address.bytes + 2, "/ru");

    name.sun_path[0] = '\0';
    assert_int_equal(decode(&name, 9).kind, ADDRESS_UNIX_ABSTRACT);
    assert_int_equal(decode(&name, 2).kind, ADDRESS_UNIX_UNNAMED);
}

static void test_the_longest_name_still_ends(void **state)
{
    uint8_t bytes[ADDRESS_BYTES_MAX];
    uint16_t family = AF_UNIX;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, &family, sizeof(family));
    struct socket_address address = decode(bytes, sizeof(bytes));
    assert_int_equal(strlen((const char *)address.bytes + 2), ADDRESS_BYTES_MAX - 2);
}

static void test_other_families_are_named(void **state)
{
    uint16_t netlink[6] = {AF_NETLINK};
    uint16_t packet[10] = {AF_PACKET};

    (void)state;
    assert_int_equal(decode(netlink, sizeof(netlink)).kind, ADDRESS_NETLINK);
    struct socket_address address = decode(packet, sizeof(packet));
    assert_int_equal(address.kind, ADDRESS_OTHER);
    assert_int_equal(address.family, AF_PACKET);
}

static void test_a_length_is_judged_before_memory_is_read(void **state)
{
    struct socket_address address;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    uint64_t pointer = (uint64_t)(uintptr_t)&v4;

    (void)state;
    assert_int_equal(address_read(getpid(), 0, 129, &address), -EINVAL);
    assert_int_equal(address_read(getpid(), 0, 0xffffffff, &address), -EINVAL);
    assert_int_equal(address_read(getpid(), 0, 0x80000000, &address), -EINVAL);
    assert_int_equal(address_read(getpid(), 0, 16, &address), -EFAULT);
    assert_int_equal(address_read(getpid(), 0, 0, &address), 0);
    assert_int_equal(address.kind, ADDRESS_NONE);
    assert_int_equal(address_read(getpid(), pointer, sizeof(v4), &address), 0);
    assert_int_equal(address.kind, ADDRESS_IP);
    /* The kernel takes an int: the upper half of the register does not count. */
    assert_int_equal(address_read(getpid(), pointer, sizeof(v4) | 1ULL << 32, &address), 0);
    assert_int_equal(address.length, sizeof(v4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ip_address_is_judged_as_what_it_reaches),
        cmocka_unit_test(test_a_destination_is_settled_as_what_was_judged),
        cmocka_unit_test(test_the_shortest_ip_addresses_the_kernel_reads_are_decoded),
        cmocka_unit_test(
            test_an_unspecified_family_carries_an_ipv4_address_where_it_is_long_enough),
        cmocka_unit_test(test_unix_names_are_told_apart_by_their_first_byte),
        cmocka_unit_test(test_the_longest_name_still_ends),
        cmocka_unit_test(test_other_families_are_named),
        cmocka_unit_test(test_a_length_is_judged_before_memory_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
