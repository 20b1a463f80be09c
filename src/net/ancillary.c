/* The walk over control data: see ancillary.h. */
#include "net/ancillary.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* struct cmsghdr of a 64-bit kernel: the length with this header, the level, the type; data follows
 * and the next header is aligned. */
#define HEADER_SIZE 16U
#define ALIGNMENT 8U

/* Not in every libc's headers; the numbers of the kernel's. */
enum {
    LEVEL_UDP = 17,
    IP_TOS_ = 1,
    IP_TTL_ = 2,
    IP_PKTINFO_ = 8,
    IPV6_2292PKTINFO_ = 2,
    IPV6_2292HOPLIMIT_ = 8,
    IPV6_PKTINFO_ = 50,
    IPV6_HOPLIMIT_ = 52,
    IPV6_DONTFRAG_ = 62,
    IPV6_TCLASS_ = 67,
    SO_TIMESTAMPING_OLD_ = 37,
    SCM_TXTIME_ = 61,
    SO_TIMESTAMPING_NEW_ = 65,
    UDP_SEGMENT_ = 103,
    RIGHTS = 1,
    CREDENTIALS = 2,
};

struct header {
    size_t at; /* of its data */
    size_t size;
    int level, type;
};

/* 1: *header is filled and *cursor moved behind it; 0: the end; -EINVAL. */
static int next_header(const uint8_t *control, size_t length, size_t *cursor, struct header *header)
{
    uint64_t size;

    if (length - *cursor < HEADER_SIZE)
        return 0;
    memcpy(&size, control + *cursor, sizeof(size));
    if (size < HEADER_SIZE || size > length - *cursor)
        return -EINVAL;
    memcpy(&header->level, control + *cursor + 8, sizeof(header->level));
    memcpy(&header->type, control + *cursor + 12, sizeof(header->type));
    header->at = *cursor + HEADER_SIZE;
    header->size = (size_t)size - HEADER_SIZE;
    size_t step = ((size_t)size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    *cursor = step > length - *cursor ? length : *cursor + step;
    return 1;
}

static bool is_harmless(const struct header *header)
{
    static const struct {
        int level, type;
    } harmless[] = {
        {IPPROTO_IP, IP_TOS_},
        {IPPROTO_IP, IP_TTL_},
        {IPPROTO_IP, IP_PKTINFO_},
        {IPPROTO_IPV6, IPV6_2292PKTINFO_},
        {IPPROTO_IPV6, IPV6_2292HOPLIMIT_},
        {IPPROTO_IPV6, IPV6_PKTINFO_},
        {IPPROTO_IPV6, IPV6_HOPLIMIT_},
        {IPPROTO_IPV6, IPV6_TCLASS_},
        {IPPROTO_IPV6, IPV6_DONTFRAG_},
        {LEVEL_UDP, UDP_SEGMENT_},
        {SOL_SOCKET, SCM_TXTIME_},
        {SOL_SOCKET, SO_TIMESTAMPING_OLD_},
        {SOL_SOCKET, SO_TIMESTAMPING_NEW_},
        /* Of unix sockets: others ignore it. */
        {SOL_SOCKET, RIGHTS},
        {SOL_SOCKET, CREDENTIALS},
    };

    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (harmless[i].level == header->level && harmless[i].type == header->type)
            return true;
    }
    return false;
}

/* struct in_pktinfo begins with the interface, struct in6_pktinfo ends with it. */
static void drop_interface(uint8_t *data, const struct header *header)
{
    size_t at = header->level == IPPROTO_IP ? 0 : 16;
    bool has_one = header->level == IPPROTO_IP
                       ? header->type == IP_PKTINFO_
                       : header->level == IPPROTO_IPV6 &&
                             (header->type == IPV6_PKTINFO_ || header->type == IPV6_2292PKTINFO_);

    for (size_t i = at; has_one && i < at + sizeof(int) && i < header->size; i++)
        data[i] = 0;
}

int ancillary_check_ip(uint8_t *control, size_t *length, bool keeps_interface)
{
    size_t cursor = 0;
    struct header header;

    for (;;) {
        int result = next_header(control, *length, &cursor, &header);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        if (!is_harmless(&header))
            return -EPERM;
        if (!keeps_interface)
            drop_interface(control + header.at, &header);
    }
    *length = cursor;
    return 0;
}

/* The descriptors of one SCM_RIGHTS message. What does not fill a number is ignored, as the kernel
 * does. */
static int take_rights(uint8_t *data, size_t size, ancillary_fetch fetch, void *context,
                       int fds[ANCILLARY_FDS_MAX], size_t *count)
{
    size_t numbers = size / sizeof(int);

    if (numbers > ANCILLARY_FDS_MAX - *count)
        return -EINVAL;
    for (size_t i = 0; i < numbers; i++) {
        int fd;
        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        int copy = fetch(context, fd);
        if (copy < 0)
            return copy;
        fds[(*count)++] = copy;
        memcpy(data + i * sizeof(copy), &copy, sizeof(copy));
    }
    return 0;
}

void ancillary_put_credentials(uint8_t *place, const struct ucred *credentials)
{
    const uint64_t size = HEADER_SIZE + sizeof(*credentials);
    const int32_t kind[2] = {SOL_SOCKET, CREDENTIALS};

    memset(place, 0, ANCILLARY_CREDENTIALS_SIZE);
    memcpy(place, &size, sizeof(size));
    memcpy(place + sizeof(size), kind, sizeof(kind));
    memcpy(place + HEADER_SIZE, credentials, sizeof(*credentials));
}

void ancillary_put_loopback(uint8_t *place)
{
    enum { ADDRESS_SIZE = 16 };
    const int32_t index = 1, kind[2] = {IPPROTO_IPV6, IPV6_PKTINFO_};
    const uint64_t size = HEADER_SIZE + ADDRESS_SIZE + sizeof(index);

    memset(place, 0, ANCILLARY_LOOPBACK_SIZE);
    memcpy(place, &size, sizeof(size));
    memcpy(place + sizeof(size), kind, sizeof(kind));
    memcpy(place + HEADER_SIZE + ADDRESS_SIZE, &index, sizeof(index));
}

int ancillary_take_unix(uint8_t *control, size_t *length, ancillary_fetch fetch, void *data,
                        int fds[ANCILLARY_FDS_MAX], size_t *count)
{
    size_t cursor = 0;
    struct header header;

    *count = 0;
    for (;;) {
        int result = next_header(control, *length, &cursor, &header);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        if (header.level != SOL_SOCKET)
            continue; /* the kernel skips it too */
        if (header.type == CREDENTIALS)
            return -EPERM;
        if (header.type != RIGHTS)
            continue; /* the kernel knows it or answers EINVAL */
        result = take_rights(control + header.at, header.size, fetch, data, fds, count);
        if (result < 0)
            return result;
    }
    *length = cursor;
    return 0;
}
