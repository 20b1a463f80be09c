/*
 * Control data of members: the walk agrees with the kernel's, descriptors are replaced one by one, and
 * what could reroute a packet or speak for somebody else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/ancillary.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct control {
    uint8_t bytes[4096];
    size_t length;
};

/* Appends one header with `size` bytes of `data`, aligned as CMSG_SPACE does. */
static void add(struct control *control, int level, int type, const void *data, size_t size)
{
    uint64_t length = 16 + size;

    memcpy(control->bytes + control->length, &length, 8);
    memcpy(control->bytes + control->length + 8, &level, 4);
    memcpy(control->bytes + control->length + 12, &type, 4);
    if (size > 0)
        memcpy(control->bytes + control->length + 16, data, size);
    control->length += (16 + size + 7) & ~(size_t)7;
}

static void add_number(struct control *control, int level, int type, int value)
{
    add(control, level, type, &value, sizeof(value));
}

static int number_at(const struct control *control, size_t at)
{
    int number;

    memcpy(&number, control->bytes + at, sizeof(number));
    return number;
}

/* Descriptor n becomes n + 1000; 99 is not open. */
static int fetch(void *data, int fd)
{
    int *calls = data;

    (*calls)++;
    return fd == 99 ? -EBADF : fd + 1000;
}

struct taken {
    int result, calls;
    int fds[ANCILLARY_FDS_MAX];
    size_t count;
};

static struct taken take(struct control *control)
{
    struct taken taken = {0};

    taken.result = ancillary_take_unix(control->bytes, &control->length, fetch, &taken.calls,
                                       taken.fds, &taken.count);
    return taken;
}

static void descriptors_are_replaced_in_place(void **state)
{
    const int numbers[] = {3, 7};
    struct control control = {0};

    (void)state;
    add(&control, SOL_SOCKET, SCM_RIGHTS, numbers, sizeof(numbers));
    add_number(&control, SOL_SOCKET, SCM_RIGHTS, 9);
    struct taken taken = take(&control);
    assert_int_equal(taken.result, 0);
    assert_int_equal(taken.count, 3);
    assert_int_equal(taken.fds[2], 1009);
    assert_int_equal(number_at(&control, 16), 1003);
    assert_int_equal(number_at(&control, 20), 1007);
    assert_int_equal(number_at(&control, 24 + 16), 1009);
}

static void a_failure_leaves_the_copies_with_the_caller(void **state)
{
    const int numbers[] = {3, 99, 5};
    struct control control = {0};

    (void)state;
    add(&control, SOL_SOCKET, SCM_RIGHTS, numbers, sizeof(numbers));
    struct taken taken = take(&control);
    assert_int_equal(taken.result, -EBADF);
    assert_int_equal(taken.count, 1);
    assert_int_equal(taken.fds[0], 1003);
}

static void credentials_are_refused(void **state)
{
    const int credentials[3] = {1, 0, 0};
    struct control control = {0};

    (void)state;
    add(&control, SOL_SOCKET, 2 /* SCM_CREDENTIALS */, credentials, sizeof(credentials));
    assert_int_equal(take(&control).result, -EPERM);
}

static void other_messages_pass_unchanged(void **state)
{
    struct control control = {0}, before;

    (void)state;
    add_number(&control, SOL_SOCKET, 4 /* SCM_PIDFD */, 5);
    add_number(&control, IPPROTO_IP, 7, 5);
    before = control;
    struct taken taken = take(&control);
    assert_int_equal(taken.result, 0);
    assert_int_equal(taken.calls, 0);
    assert_int_equal(control.length, before.length);
    assert_memory_equal(control.bytes, before.bytes, control.length);
}

static void no_more_descriptors_than_the_kernel_takes(void **state)
{
    int numbers[ANCILLARY_FDS_MAX + 1] = {0};
    struct control control = {0};

    (void)state;
    add(&control, SOL_SOCKET, SCM_RIGHTS, numbers, sizeof(numbers));
    assert_int_equal(take(&control).result, -EINVAL);
    control.length = 0;
    add(&control, SOL_SOCKET, SCM_RIGHTS, numbers, sizeof(numbers) - sizeof(int));
    assert_int_equal(take(&control).result, 0);
    add_number(&control, SOL_SOCKET, SCM_RIGHTS, 1);
    assert_int_equal(take(&control).result, -EINVAL);
}

static void set_length(struct control *control, size_t at, uint64_t length)
{
    memcpy(control->bytes + at, &length, sizeof(length));
}

static void malformed_lengths_are_invalid_for_both_kinds(void **state)
{
    static const uint64_t lengths[] = {0, 15, 21, 25, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct control control = {0};
        add_number(&control, IPPROTO_IP, 2 /* IP_TTL */, 1);
        control.length = 20; /* what sendmsg gets when nobody pads */
        set_length(&control, 0, lengths[i]);
        assert_int_equal(take(&control).result, -EINVAL);
        assert_int_equal(ancillary_check_ip(control.bytes, &control.length, false), -EINVAL);
        set_length(&control, 0, 20);
        assert_int_equal(ancillary_check_ip(control.bytes, &control.length, false), 0);
        assert_int_equal(control.length, 20);
    }
}

static void bytes_that_hold_no_header_are_cut_off(void **state)
{
    struct control control = {0};

    (void)state;
    add_number(&control, SOL_SOCKET, SCM_RIGHTS, 4);
    control.length = 24 + 15;
    memset(control.bytes + 24, 0xff, 15);
    assert_int_equal(take(&control).result, 0);
    assert_int_equal(control.length, 24);

    control.length = 7;
    assert_int_equal(take(&control).result, 0);
    assert_int_equal(control.length, 0);
}

static void harmless_options_pass_on_ip_sockets(void **state)
{
    static const int options[][2] = {
        {0, 1 /* IP_TOS */},          {0, 2 /* IP_TTL */},
        {0, 8 /* IP_PKTINFO */},      {41, 50 /* IPV6_PKTINFO */},
        {41, 52 /* IPV6_HOPLIMIT */}, {41, 67 /* IPV6_TCLASS */},
        {41, 62 /* IPV6_DONTFRAG */}, {17, 103 /* UDP_SEGMENT */},
        {1, 61 /* SCM_TXTIME */},     {1, SCM_RIGHTS},
        {1, 2 /* SCM_CREDENTIALS */},
    };
    struct control control = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        add_number(&control, options[i][0], options[i][1], 1);
    size_t length = control.length;
    assert_int_equal(ancillary_check_ip(control.bytes, &control.length, false), 0);
    assert_int_equal(control.length, length);
}

static void the_interface_is_taken_out_of_packet_information(void **state)
{
    static const struct {
        int level, type;
        size_t size, at;
    } kinds[] = {
        {0, 8 /* IP_PKTINFO */, 12, 0},
        {41, 50 /* IPV6_PKTINFO */, 20, 16},
        {41, 2 /* IPV6_2292PKTINFO */, 20, 16},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t kind = i / 2;
        bool keeps = i % 2 == 1;
        struct control control = {0};
        add_number(&control, kinds[kind].level, kinds[kind].type, 1);
        set_length(&control, 0, 16 + kinds[kind].size);
        control.length = 16 + kinds[kind].size;
        memset(control.bytes + 16, 0xAB, kinds[kind].size);
        assert_int_equal(ancillary_check_ip(control.bytes, &control.length, keeps), 0);
        for (size_t byte = 0; byte < kinds[kind].size; byte++) {
            bool of_interface = byte >= kinds[kind].at && byte < kinds[kind].at + 4;
            assert_int_equal(control.bytes[16 + byte], of_interface && !keeps ? 0 : 0xAB);
        }
    }
}

static void what_reroutes_a_packet_is_refused(void **state)
{
    static const int options[][2] = {
        {0, 7 /* IP_RETOPTS */},      {41, 57 /* IPV6_RTHDR */},   {41, 54 /* IPV6_HOPOPTS */},
        {41, 55 /* RTHDRDSTOPTS */},  {41, 59 /* IPV6_DSTOPTS */}, {41, 5 /* 2292RTHDR */},
        {41, 11 /* IPV6_FLOWINFO */}, {1, 36 /* SO_MARK */},       {0, 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        struct control control = {0};
        add_number(&control, 0, 2 /* IP_TTL */, 1);
        add_number(&control, options[i][0], options[i][1], 1);
        assert_int_equal(ancillary_check_ip(control.bytes, &control.length, false), -EPERM);
    }
}

static void credentials_of_the_supervisor_are_as_the_kernel_reads_them(void **state)
{
    struct ucred member = {.pid = 7, .uid = 65534, .gid = 65533};
    struct control expected = {.length = 0};
    uint8_t written[ANCILLARY_CREDENTIALS_SIZE];

    (void)state;
    add(&expected, SOL_SOCKET, SCM_CREDENTIALS, &member, sizeof(member));
    assert_int_equal(expected.length, ANCILLARY_CREDENTIALS_SIZE);
    memset(written, 0xa5, sizeof(written));
    ancillary_put_credentials(written, &member);
    assert_memory_equal(written, expected.bytes, sizeof(written));
    assert_int_equal(ANCILLARY_ALIGN(20), 24);
    assert_int_equal(ANCILLARY_ALIGN(24), 24);
}

static void the_loopback_interface_is_as_the_kernel_reads_it(void **state)
{
    const struct in6_pktinfo information = {.ipi6_ifindex = 1};
    struct control expected = {0};
    uint8_t written[ANCILLARY_LOOPBACK_SIZE];

    (void)state;
    add(&expected, IPPROTO_IPV6, IPV6_PKTINFO, &information, sizeof(information));
    assert_int_equal(expected.length, ANCILLARY_LOOPBACK_SIZE);
    memset(written, 0xa5, sizeof(written));
    ancillary_put_loopback(written);
    assert_memory_equal(written, expected.bytes, sizeof(written));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_are_replaced_in_place),
        cmocka_unit_test(a_failure_leaves_the_copies_with_the_caller),
        cmocka_unit_test(credentials_are_refused),
        cmocka_unit_test(credentials_of_the_supervisor_are_as_the_kernel_reads_them),
        cmocka_unit_test(the_loopback_interface_is_as_the_kernel_reads_it),
        cmocka_unit_test(other_messages_pass_unchanged),
        cmocka_unit_test(no_more_descriptors_than_the_kernel_takes),
        cmocka_unit_test(malformed_lengths_are_invalid_for_both_kinds),
        cmocka_unit_test(bytes_that_hold_no_header_are_cut_off),
        cmocka_unit_test(harmless_options_pass_on_ip_sockets),
        cmocka_unit_test(the_interface_is_taken_out_of_packet_information),
        cmocka_unit_test(what_reroutes_a_packet_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
