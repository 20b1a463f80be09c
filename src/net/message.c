/* Copying what a member sends: see message.h. Lengths are judged before anything is allocated. */
#include "net/message.h"

#include "kernel/task_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The smallest page of the architectures here. */
#define PAGE_SMALLEST 4096U

/* struct msghdr, and its flags, which sending ignores, behind. */
struct raw_header {
    uint64_t name;
    uint32_t name_length;
    uint32_t padding;
    uint64_t ranges;
    uint64_t range_count;
    uint64_t control;
    uint64_t control_length;
    uint32_t flags;
    uint32_t more_padding;
};

_Static_assert(sizeof(struct raw_header) == MESSAGE_HEADER_SIZE, "layout of struct msghdr");
_Static_assert(sizeof(struct iovec) == 16, "layout of struct iovec");

static struct iovec range_of(uint64_t address, size_t size)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)address, .iov_len = size};
}

/* The name's length as the kernel's int. */
static int check_name_length(uint64_t length)
{
    int32_t size = (int32_t)(uint32_t)length;

    return size < 0 || size > ADDRESS_BYTES_MAX ? -EINVAL : size;
}

/* ---- sendto ------------------------------------------------------------------------------------- */

static int copy_name_and_payload(pid_t tid, const uint64_t args[6], size_t name_length,
                                 size_t length, void *payload, struct message *message)
{
    uint8_t name[ADDRESS_BYTES_MAX];
    struct iovec ranges[2] = {range_of(args[4], name_length), range_of(args[1], length)};
    struct iovec copies[2] = {{.iov_base = name, .iov_len = name_length},
                              {.iov_base = payload, .iov_len = length}};

    int result = task_memory_gather_into(tid, ranges, copies, 2);
    if (result == 0)
        address_decode(name, name_length, &message->name);
    return result;
}

int message_read_sendto(pid_t tid, const uint64_t args[6], void *payload, size_t room,
                        struct message *message, bool *copied)
{
    uint64_t length = args[2];

    message->block = NULL;
    message->control = NULL;
    message->control_length = 0;
    *copied = false;
    int name_length = args[4] == 0 ? 0 : check_name_length(args[5]);
    if (name_length < 0)
        return name_length;
    if (length > MESSAGE_LENGTH_MAX)
        length = MESSAGE_LENGTH_MAX;
    if (length > 0 && args[1] == 0)
        return -EFAULT;
    message->length = length;
    message->single = range_of(args[1], (size_t)length);
    message->ranges = &message->single;
    message->range_count = length > 0;
    int result;
    *copied = length <= room;
    if (*copied)
        result =
            copy_name_and_payload(tid, args, (size_t)name_length, (size_t)length, payload, message);
    else
        result = address_read(tid, args[4], (uint64_t)name_length, &message->name);
    /* Unlike sendmsg(), where a name without a length is none. */
    if (result == 0 && args[4] != 0 && name_length == 0)
        message->name.kind = ADDRESS_MALFORMED;
    return result;
}

/* ---- sendmsg ------------------------------------------------------------------------------------ */

/* Drops empty ranges and adds up, as the kernel does. */
static int check_ranges(struct message *message)
{
    size_t kept = 0;

    message->length = 0;
    for (size_t i = 0; i < message->range_count; i++) {
        struct iovec range = message->ranges[i];
        if (range.iov_len > INT64_MAX)
            return -EINVAL;
        if (range.iov_len > MESSAGE_LENGTH_MAX - message->length)
            range.iov_len = MESSAGE_LENGTH_MAX - message->length;
        if (range.iov_len == 0)
            continue;
        if (range.iov_base == NULL)
            return -EFAULT;
        message->length += range.iov_len;
        message->ranges[kept++] = range;
    }
    message->range_count = kept;
    return 0;
}

static int check_header(struct raw_header *header)
{
    if (header->name == 0)
        header->name_length = 0;
    int result = check_name_length(header->name_length);
    if (result < 0)
        return result;
    if (header->range_count > MESSAGE_RANGES_MAX || header->control_length > MESSAGE_CONTROL_MAX)
        return -EMSGSIZE;
    return 0;
}

/* Never beyond the header's page, which is mapped as a whole. */
int surroundings_read(pid_t tid, uint64_t pointer, struct surroundings *around)
{
    uint64_t page = pointer & ~(uint64_t)(PAGE_SMALLEST - 1);
    uint64_t end = pointer + MESSAGE_HEADER_SIZE + MESSAGE_AROUND;

    around->start = pointer - page > MESSAGE_AROUND ? pointer - MESSAGE_AROUND : page;
    if (end > page + PAGE_SMALLEST)
        end = page + PAGE_SMALLEST;
    if (end < pointer + MESSAGE_HEADER_SIZE) { /* on two pages, or at the end of all addresses */
        around->start = pointer;
        around->size = MESSAGE_HEADER_SIZE;
    } else {
        around->size = (size_t)(end - around->start);
    }
    return task_memory_read_all(tid, around->start, around->bytes, around->size);
}

bool surroundings_take(const struct surroundings *around, uint64_t address, size_t size,
                       void *place)
{
    if (address < around->start || address - around->start > around->size ||
        size > around->size - (size_t)(address - around->start))
        return false;
    memcpy(place, around->bytes + (address - around->start), size);
    return true;
}

/* Takes a part from what is there already, or notes it for one more read. */
static void take_part(const struct surroundings *around, uint64_t address, size_t size,
                      uint8_t *place, struct iovec *parts, struct iovec *places, size_t *count)
{
    if (size == 0 || surroundings_take(around, address, size, place))
        return;
    parts[*count] = range_of(address, size);
    places[(*count)++] = (struct iovec){.iov_base = place, .iov_len = size};
}

static uint8_t *make_room(struct message *message, size_t size)
{
    if (size <= sizeof(message->small))
        return (uint8_t *)message->small;
    message->block = malloc(size);
    return message->block;
}

/* Ranges first, which keeps them aligned, then control data, then the name. */
static int read_parts(pid_t tid, const struct raw_header *header, const struct surroundings *around,
                      struct message *message)
{
    size_t ranges_size = (size_t)header->range_count * sizeof(struct iovec);
    size_t control_length = (size_t)header->control_length;
    struct iovec parts[3], places[3];
    size_t count = 0;

    uint8_t *block = make_room(message, ranges_size + control_length + header->name_length);
    if (block == NULL)
        return -ENOMEM;
    uint8_t *control = block + ranges_size;
    uint8_t *name = control + control_length;
    take_part(around, header->ranges, ranges_size, block, parts, places, &count);
    take_part(around, header->control, control_length, control, parts, places, &count);
    take_part(around, header->name, header->name_length, name, parts, places, &count);
    int result = task_memory_gather_into(tid, parts, places, count);
    if (result < 0)
        return result;
    message->ranges = (struct iovec *)(void *)block;
    message->range_count = (size_t)header->range_count;
    message->control = control;
    message->control_length = control_length;
    address_decode(name, header->name_length, &message->name);
    return check_ranges(message);
}

int message_read(pid_t tid, uint64_t pointer, struct message *message)
{
    struct surroundings around;
    struct raw_header header;

    message->block = NULL;
    int result = surroundings_read(tid, pointer, &around);
    if (result < 0)
        return result;
    memcpy(&header, around.bytes + (pointer - around.start), sizeof(header));
    result = check_header(&header);
    if (result == 0)
        result = read_parts(tid, &header, &around, message);
    if (result < 0)
        message_release(message);
    return result;
}

void message_release(struct message *message)
{
    free(message->block);
    message->block = NULL;
}

/* ---- Payload ------------------------------------------------------------------------------------ */

int message_copy_payload(pid_t tid, const struct message *message, uint64_t at, void *data,
                         size_t size)
{
    struct iovec slice[MESSAGE_RANGES_MAX];
    size_t count = 0;
    size_t left = size;

    for (size_t i = 0; i < message->range_count && left > 0; i++) {
        const struct iovec *range = &message->ranges[i];
        if (at >= range->iov_len) {
            at -= range->iov_len;
            continue;
        }
        size_t take = range->iov_len - (size_t)at;
        if (take > left)
            take = left;
        slice[count++] = range_of((uintptr_t)range->iov_base + at, take);
        left -= take;
        at = 0;
    }
    if (left > 0)
        return -EINVAL; /* beyond the end: the caller's mistake */
    return task_memory_gather(tid, slice, count, data, size);
}
