/*
 * What sendto and sendmsg pass, copied from a member's memory (here: our own): the bounds, the faults,
 * and that nothing but the copy counts afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/sys.h"
#include "net/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A kernel's struct msghdr. */
struct header {
    const void *name;
    uint32_t name_length;
    const struct iovec *ranges;
    uint64_t range_count;
    const void *control;
    uint64_t control_length;
    uint32_t flags;
};

_Static_assert(sizeof(struct header) == MESSAGE_HEADER_SIZE, "layout");

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int read_header(const struct header *header, struct message *message)
{
    return message_read(sys_gettid(), (uintptr_t)header, message);
}

/* Readable memory up to a page that is not mapped. */
struct edge {
    char *memory;
    size_t page;
};

static struct edge edge_new(void)
{
    struct edge edge = {.page = (size_t)sysconf(_SC_PAGESIZE)};

    edge.memory =
        mmap(NULL, 2 * edge.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(edge.memory, MAP_FAILED);
    assert_int_equal(munmap(edge.memory + edge.page, edge.page), 0);
    return edge;
}

static char *before_edge(const struct edge *edge, size_t bytes)
{
    return edge->memory + edge->page - bytes;
}

static void all_parts_are_copied(void **state)
{
    char one[] = "hello ", two[] = "world", control[24] = "control";
    struct iovec ranges[] = {{one, 6}, {NULL, 0}, {two, 5}};
    struct sockaddr_in name = loopback(53);
    struct header header = {&name, sizeof(name), ranges, 3, control, sizeof(control), 0};
    struct message message;
    char payload[8];

    (void)state;
    assert_int_equal(read_header(&header, &message), 0);
    memset(&name, 0, sizeof(name)); /* what the member does now changes nothing */
    memset(ranges, 0, sizeof(ranges));
    memset(control, 0, sizeof(control));
    assert_int_equal(message.name.kind, ADDRESS_IP);
    assert_int_equal(message.name.port, 53);
    assert_int_equal(message.range_count, 2);
    assert_int_equal(message.length, 11);
    assert_int_equal(message.control_length, 24);
    assert_memory_equal(message.control, "control", 8);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 4, payload, 5), 0);
    assert_memory_equal(payload, "o wor", 5);
    message_release(&message);
}

static void no_name_is_a_null_pointer_or_no_length(void **state)
{
    struct sockaddr_in name = loopback(53);
    struct header null = {.name = NULL, .name_length = 1000};
    struct header empty = {.name = &name, .name_length = 0};
    struct message message;

    (void)state;
    assert_int_equal(read_header(&null, &message), 0);
    assert_int_equal(message.name.kind, ADDRESS_NONE);
    assert_int_equal(read_header(&empty, &message), 0);
    assert_int_equal(message.name.kind, ADDRESS_NONE);
    assert_int_equal(message.length, 0);
}

static void a_long_name_is_invalid_before_anything_is_read(void **state)
{
    static const uint32_t lengths[] = {129, 1U << 20, INT32_MAX, 1U << 31, UINT32_MAX};
    struct message message;
    bool copied;

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct header header = {.name = (void *)16, .name_length = lengths[i]};
        assert_int_equal(read_header(&header, &message), -EINVAL);
        uint64_t args[6] = {0, 16, 4, 0, 16, lengths[i]};
        assert_int_equal(message_read_sendto(sys_gettid(), args, NULL, 0, &message, &copied),
                         -EINVAL);
    }
}

static void counts_beyond_the_limits_are_too_large(void **state)
{
    struct header ranges = {.ranges = (void *)16, .range_count = MESSAGE_RANGES_MAX + 1};
    struct header many = {.ranges = (void *)16, .range_count = UINT64_MAX};
    struct header control = {.control = (void *)16, .control_length = MESSAGE_CONTROL_MAX + 1};
    struct message message;

    (void)state;
    assert_int_equal(read_header(&ranges, &message), -EMSGSIZE);
    assert_int_equal(read_header(&many, &message), -EMSGSIZE);
    assert_int_equal(read_header(&control, &message), -EMSGSIZE);
}

static void the_limits_themselves_are_taken(void **state)
{
    static struct iovec ranges[MESSAGE_RANGES_MAX];
    static char control[MESSAGE_CONTROL_MAX];
    struct header header = {.ranges = ranges,
                            .range_count = MESSAGE_RANGES_MAX,
                            .control = control,
                            .control_length = sizeof(control)};
    struct message message;
    char bytes[2] = "ab", payload[MESSAGE_RANGES_MAX];

    (void)state;
    for (size_t i = 0; i < MESSAGE_RANGES_MAX; i++)
        ranges[i] = (struct iovec){&bytes[i % 2], 1};
    assert_int_equal(read_header(&header, &message), 0);
    assert_int_equal(message.length, MESSAGE_RANGES_MAX);
    assert_int_equal(message.control_length, sizeof(control));
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 0, payload, sizeof(payload)), 0);
    assert_memory_equal(payload + MESSAGE_RANGES_MAX - 4, "abab", 4);
    message_release(&message);
}

static void unmapped_parts_are_faults(void **state)
{
    struct edge edge = edge_new();
    struct iovec range = {NULL, 1};
    struct header base = {.ranges = &range, .range_count = 1};
    struct header array = {.ranges = (void *)before_edge(&edge, 8), .range_count = 1};
    struct header name = {.name = before_edge(&edge, 8), .name_length = 16};
    struct header control = {.control = NULL, .control_length = 16};
    struct message message;

    (void)state;
    assert_int_equal(read_header(&base, &message), -EFAULT);
    assert_int_equal(read_header(&array, &message), -EFAULT);
    assert_int_equal(read_header(&name, &message), -EFAULT);
    assert_int_equal(read_header(&control, &message), -EFAULT);
    assert_int_equal(message_read(sys_gettid(), (uintptr_t)before_edge(&edge, 40), &message),
                     -EFAULT);
    munmap(edge.memory, edge.page);
}

/* The header's place decides what comes along with it, and nothing else does. */
static void a_header_is_read_wherever_it_lies(void **state)
{
    struct edge edge = edge_new();
    char data[] = "data";
    struct iovec range = {data, 4};
    struct sockaddr_in name = loopback(53);
    struct header header = {&name, sizeof(name), &range, 1, "12345678", 8, 0};
    struct message message;
    static const size_t from_start[] = {0, 8, 200, 2000};
    static const size_t before_end[] = {56, 57, 64, 300};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        char *place = i < 4 ? edge.memory + from_start[i] : before_edge(&edge, before_end[i - 4]);
        memcpy(place, &header, sizeof(header));
        assert_int_equal(message_read(sys_gettid(), (uintptr_t)place, &message), 0);
        assert_int_equal(message.length, 4);
        assert_int_equal(message.name.port, 53);
        assert_memory_equal(message.control, "12345678", 8);
    }
    /* Across two pages, and with its parts beside it. */
    char *pages =
        mmap(NULL, 2 * edge.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *place = pages + edge.page - 20;
    memcpy(place, &header, sizeof(header));
    assert_int_equal(message_read(sys_gettid(), (uintptr_t)place, &message), 0);
    assert_int_equal(message.name.port, 53);
    place = pages + 100;
    memcpy(place - 16, &range, sizeof(range));
    memcpy(place + 60, &name, sizeof(name));
    header.ranges = (void *)(place - 16);
    header.name = place + 60;
    memcpy(place, &header, sizeof(header));
    assert_int_equal(message_read(sys_gettid(), (uintptr_t)place, &message), 0);
    assert_int_equal(message.length, 4);
    assert_int_equal(message.name.port, 53);
    munmap(pages, 2 * edge.page);
    munmap(edge.memory, edge.page);
    assert_int_equal(message_read(sys_gettid(), UINT64_MAX - 30, &message), -EFAULT);
    assert_int_equal(message_read(sys_gettid(), 0, &message), -EFAULT);
}

static void a_payload_that_is_mapped_in_part_is_a_fault(void **state)
{
    struct edge edge = edge_new();
    char first[4] = "1234", payload[16];
    struct iovec ranges[] = {{first, 4}, {before_edge(&edge, 8), 12}};
    struct header header = {.ranges = ranges, .range_count = 2};
    struct message message;
    bool copied;

    (void)state;
    assert_int_equal(read_header(&header, &message), 0);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 0, payload, 12), 0);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 0, payload, 16), -EFAULT);
    message_release(&message);

    struct sockaddr_in name = loopback(53);
    uint64_t args[6] = {0, (uintptr_t)before_edge(&edge, 8), 12, 0, (uintptr_t)&name, sizeof(name)};
    assert_int_equal(
        message_read_sendto(sys_gettid(), args, payload, sizeof(payload), &message, &copied),
        -EFAULT);
    munmap(edge.memory, edge.page);
}

static void lengths_are_those_of_the_kernel(void **state)
{
    struct iovec negative = {(void *)16, (size_t)INT64_MAX + 1};
    struct iovec huge[] = {{(void *)16, 0x7ffffff0}, {(void *)16, INT64_MAX}};
    struct header header = {.ranges = &negative, .range_count = 1};
    struct message message;

    (void)state;
    assert_int_equal(read_header(&header, &message), -EINVAL);
    header.ranges = huge;
    header.range_count = 2;
    assert_int_equal(read_header(&header, &message), 0);
    assert_int_equal(message.length, MESSAGE_LENGTH_MAX);
    assert_int_equal(message.range_count, 1);
}

static void sendto_copies_name_and_small_payload_at_once(void **state)
{
    char data[] = "question", payload[8];
    struct sockaddr_in name = loopback(53);
    uint64_t args[6] = {0, (uintptr_t)data, 8, 0, (uintptr_t)&name, sizeof(name)};
    struct message message;
    bool copied;

    (void)state;
    assert_int_equal(message_read_sendto(sys_gettid(), args, payload, 8, &message, &copied), 0);
    assert_true(copied);
    assert_memory_equal(payload, "question", 8);
    assert_int_equal(message.name.port, 53);

    assert_int_equal(message_read_sendto(sys_gettid(), args, payload, 7, &message, &copied), 0);
    assert_false(copied);
    assert_int_equal(message.length, 8);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 3, payload, 5), 0);
    assert_memory_equal(payload, "stion", 5);
}

static void nothing_is_read_beyond_the_end(void **state)
{
    char data[4] = "1234", payload[8];
    struct iovec range = {data, 4};
    struct header header = {.ranges = &range, .range_count = 1};
    struct message message;

    (void)state;
    assert_int_equal(read_header(&header, &message), 0);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 2, payload, 3), -EINVAL);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 5, payload, 1), -EINVAL);
    assert_int_equal(message_copy_payload(sys_gettid(), &message, 4, payload, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_copied),
        cmocka_unit_test(no_name_is_a_null_pointer_or_no_length),
        cmocka_unit_test(a_long_name_is_invalid_before_anything_is_read),
        cmocka_unit_test(counts_beyond_the_limits_are_too_large),
        cmocka_unit_test(the_limits_themselves_are_taken),
        cmocka_unit_test(unmapped_parts_are_faults),
        cmocka_unit_test(a_header_is_read_wherever_it_lies),
        cmocka_unit_test(a_payload_that_is_mapped_in_part_is_a_fault),
        cmocka_unit_test(lengths_are_those_of_the_kernel),
        cmocka_unit_test(sendto_copies_name_and_small_payload_at_once),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
