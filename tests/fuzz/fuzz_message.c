/*
 * What sendto and sendmsg pass by register and by memory, the fuzzer's own memory being the member's; and
 * the walk over control data, checked against a walk that knows only the kernel's rule.
 */
#include "input.h"

#include "kernel/sys.h"
#include "net/ancillary.h"
#include "net/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_SIZE 4096

/* Lengths of whole pages, flags. */
static uint64_t shifted(uint64_t number)
{
    return number << 7;
}

/* Words of the kind that a msghdr and its ranges hold. */
static void fill(struct input *input, uint8_t *memory)
{
    for (size_t at = 0; at + 8 <= 512; at += 8) {
        uint64_t word = next_register(input, memory, 8, shifted);
        memcpy(memory + at, &word, sizeof(word));
    }
    memcpy(memory + 512, input->data, input->left < 1024 ? input->left : 1024);
}

/* ---- Control data ------------------------------------------------------------------------------- */

static int fetch(void *data, int fd)
{
    size_t *calls = data;

    (*calls)++;
    return fd < 0 ? -EBADF : 5000;
}

/* CMSG_NXTHDR's rule: how far the kernel reads. -1: it says EINVAL. */
static long kernel_end(const uint8_t *control, size_t length)
{
    size_t at = 0;

    while (length - at >= 16) {
        uint64_t size;
        memcpy(&size, control + at, sizeof(size));
        if (size < 16 || size > length - at)
            return -1;
        size_t step = (size_t)((size + 7) & ~7ULL);
        at = step > length - at ? length : at + step;
    }
    return (long)at;
}

static void check_control(const uint8_t *control, size_t length)
{
    uint8_t *copy = malloc(length + 1); /* its own block, so that a step too far is seen */
    int fds[ANCILLARY_FDS_MAX];
    size_t calls = 0, count = 0, taken = length, checked = length;
    long end = kernel_end(control, length);

    check(copy != NULL);
    uint8_t *exact = realloc(copy, length > 0 ? length : 1);
    check(exact != NULL);
    if (length > 0)
        memcpy(exact, control, length);
    int result = ancillary_check_ip(exact, &checked, length % 2 == 1);
    check(result == 0 || result == -EPERM || result == -EINVAL);
    check(result != 0 || (long)checked == end);
    check(end >= 0 || result != 0);

    result = ancillary_take_unix(exact, &taken, fetch, &calls, fds, &count);
    check(count <= ANCILLARY_FDS_MAX && count <= calls && calls <= count + 1);
    check(result == 0 || result == -EPERM || result == -EINVAL || result == -EBADF);
    check(result != 0 || (long)taken == end);
    check(end >= 0 || result != 0);
    free(exact);
}

/* ---- Messages ----------------------------------------------------------------------------------- */

static void check_message(struct message *message)
{
    uint64_t length = 0;
    uint8_t payload[512];

    check(message->name.length <= ADDRESS_BYTES_MAX);
    check(message->range_count <= MESSAGE_RANGES_MAX);
    check(message->control_length <= MESSAGE_CONTROL_MAX);
    for (size_t i = 0; i < message->range_count; i++) {
        check(message->ranges[i].iov_len > 0 && message->ranges[i].iov_base != NULL);
        length += message->ranges[i].iov_len;
    }
    check(length == message->length && length <= MESSAGE_LENGTH_MAX);
    size_t take = length < sizeof(payload) ? (size_t)length : sizeof(payload);
    message_copy_payload(sys_gettid(), message, length - take, payload, take);
    check(message_copy_payload(sys_gettid(), message, length, payload, 1) < 0);
    if (message->control_length > 0)
        check_control(message->control, message->control_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct message message;
    uint8_t *memory;

    switch (next_byte(&input) % 3) {
    case 0:
        check_control(input.data, input.left);
        return 0;
    case 1:
        memory = calloc(1, MEMORY_SIZE);
        check(memory != NULL);
        fill(&input, memory);
        if (message_read(sys_gettid(), (uintptr_t)memory, &message) == 0) {
            check_message(&message);
            message_release(&message);
        }
        free(memory);
        return 0;
    default: {
        uint8_t payload[64];
        uint64_t args[6];
        bool copied;
        memory = calloc(1, MEMORY_SIZE);
        check(memory != NULL);
        for (int i = 0; i < 6; i++)
            args[i] = next_register(&input, memory, 8, shifted);
        fill(&input, memory);
        if (message_read_sendto(sys_gettid(), args, payload, sizeof(payload), &message, &copied) ==
            0) {
            check(!copied || message.length <= sizeof(payload));
            check_message(&message);
        }
        free(memory);
        return 0;
    }
    }
}
