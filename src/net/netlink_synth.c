/*
 * Requests and replies of the synthetic routing host: see netlink_synth.h, rtnetlink(7), and the
 * kernel's netlink_rcv_skb(), whose walk over a datagram and whose rules for acknowledgements these
 * are. All numbers are in the host's byte order.
 */
#include "net/netlink_synth.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Numbers of <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h> ------ */

enum {
    HEADER_LENGTH = 16,
    ATTRIBUTE_HEADER_LENGTH = 4,

    FLAG_REQUEST = 0x1,
    FLAG_MULTI = 0x2,
    FLAG_ACK = 0x4,
    FLAG_CAPPED = 0x100, /* an error that echoes only the header */
    FLAGS_DUMP = 0x300,  /* either bit asks for all */

    MESSAGE_ERROR = 2,
    MESSAGE_DONE = 3,
    MESSAGE_FIRST = 16,
    MESSAGE_LAST = 127, /* of RTM_* today, rounded up to whole groups of four */
    NEW_LINK = 16,
    GET_LINK = 18,
    NEW_ADDRESS = 20,
    GET_ADDRESS = 22,
    NEW_ROUTE = 24,
    GET_ROUTE = 26,
    KIND_MASK = 3,
    KIND_GET = 2, /* the others (NEW, DEL, SET) change something */

    ATTRIBUTE_TYPE_MASK = 0x3fff, /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */

    LINK_ADDRESS = 1,
    LINK_BROADCAST = 2,
    LINK_NAME = 3,
    LINK_MTU = 4,
    LINK_QDISC = 6,
    LINK_STATS = 7,
    LINK_QUEUE_LENGTH = 13,
    LINK_OPERATION_STATE = 16,
    LINK_MODE = 17,
    LINK_STATS64 = 23,
    LINK_GROUP = 27,
    LINK_PROMISCUITY = 30,
    LINK_SEND_QUEUES = 31,
    LINK_RECEIVE_QUEUES = 32,
    LINK_CARRIER = 33,
    LINK_OTHER_NAME = 53,
    LINK_TYPE_LOOPBACK = 772,
    LINK_FLAGS = 0x10049, /* UP, LOOPBACK, RUNNING, LOWER_UP */

    ADDRESS_ADDRESS = 1,
    ADDRESS_LOCAL = 2,
    ADDRESS_LABEL = 3,
    ADDRESS_CACHE = 6,
    ADDRESS_FLAGS = 8,
    ADDRESS_PERMANENT = 0x80,
    SCOPE_HOST = 254,

    ROUTE_DESTINATION = 1,
    ROUTE_INTERFACE = 4,
    ROUTE_SOURCE = 7,
    ROUTE_TABLE = 15,
    TABLE_LOCAL = 255,
    TYPE_LOCAL = 2,
    ROUTE_CLONED = 0x200, /* an answer to a look-up, not an entry */

    LOOPBACK_INDEX = 1,
};

#define LOOPBACK_NAME "lo"

/* struct nlmsghdr */
struct header {
    uint32_t length;
    uint16_t type;
    uint16_t flags;
    uint32_t sequence;
    uint32_t port_id;
};

struct link_body { /* struct ifinfomsg */
    uint8_t family, pad;
    uint16_t type;
    int32_t index;
    uint32_t flags, change;
};

struct address_body { /* struct ifaddrmsg */
    uint8_t family, prefix_length, flags, scope;
    uint32_t index;
};

struct route_body { /* struct rtmsg */
    uint8_t family, destination_length, source_length, tos;
    uint8_t table, protocol, scope, type;
    uint32_t flags;
};

/* ---- Writing -------------------------------------------------------------------------------------- */

/* One reply datagram in the making. */
struct reply {
    uint8_t bytes[NETLINK_DATAGRAM_MAX];
    size_t length;
    size_t message; /* where the message that is being written starts */
    const struct netlink_host *host;
    netlink_emit emit;
    void *data;
    bool refused;
};

static size_t aligned(size_t length)
{
    return (length + 3) & ~(size_t)3;
}

static void flush(struct reply *reply)
{
    if (reply->length > 0 && !reply->refused)
        reply->refused = !reply->emit(reply->data, reply->bytes, reply->length);
    reply->length = 0;
}

/* No message of this host is longer than a datagram by far, so a cut lies between messages. */
static void append(struct reply *reply, const void *data, size_t length)
{
    size_t padded = aligned(length);

    if (padded > sizeof(reply->bytes) - reply->length)
        return;
    memcpy(reply->bytes + reply->length, data, length);
    memset(reply->bytes + reply->length + length, 0, padded - length);
    reply->length += padded;
}

/* The longest message is the link's, well below this. */
#define MESSAGE_ROOM 768

static void begin(struct reply *reply, const struct header *request, uint16_t type, uint16_t flags)
{
    struct header header = {.type = type,
                            .flags = flags,
                            .sequence = request->sequence,
                            .port_id = reply->host->port_id};

    if (sizeof(reply->bytes) - reply->length < MESSAGE_ROOM)
        flush(reply);
    reply->message = reply->length;
    append(reply, &header, sizeof(header));
}

static void end(struct reply *reply)
{
    uint32_t length = (uint32_t)(reply->length - reply->message);

    memcpy(reply->bytes + reply->message, &length, sizeof(length));
}

static void attribute(struct reply *reply, uint16_t type, const void *data, size_t length)
{
    uint16_t header[2] = {(uint16_t)(ATTRIBUTE_HEADER_LENGTH + length), type};

    append(reply, header, sizeof(header));
    append(reply, data, length);
}

static void attribute_u32(struct reply *reply, uint16_t type, uint32_t value)
{
    attribute(reply, type, &value, sizeof(value));
}

static void attribute_u8(struct reply *reply, uint16_t type, uint8_t value)
{
    attribute(reply, type, &value, sizeof(value));
}

static void attribute_text(struct reply *reply, uint16_t type, const char *text)
{
    attribute(reply, type, text, strlen(text) + 1);
}

static void put_done(struct reply *reply, const struct header *request)
{
    const int32_t status = 0;

    begin(reply, request, MESSAGE_DONE, FLAG_MULTI);
    append(reply, &status, sizeof(status));
    end(reply);
}

/* `error` 0 is an acknowledgement. The echoed header is the sender's, untouched. */
static void put_error(struct reply *reply, const struct header *request, int error)
{
    const int32_t status = -error;

    begin(reply, request, MESSAGE_ERROR, FLAG_CAPPED);
    append(reply, &status, sizeof(status));
    append(reply, request, sizeof(*request));
    end(reply);
}

/* ---- The host --------------------------------------------------------------------------------------- */

static void put_link(struct reply *reply, const struct header *request, uint16_t flags)
{
    static const uint8_t no_address[6];
    static const uint32_t counters[24];   /* struct rtnl_link_stats */
    static const uint64_t counters64[25]; /* struct rtnl_link_stats64 */
    const struct link_body body = {
        .type = LINK_TYPE_LOOPBACK, .index = LOOPBACK_INDEX, .flags = LINK_FLAGS};

    begin(reply, request, NEW_LINK, flags);
    append(reply, &body, sizeof(body));
    attribute_text(reply, LINK_NAME, LOOPBACK_NAME);
    attribute_u32(reply, LINK_MTU, 65536);
    attribute_u32(reply, LINK_QUEUE_LENGTH, 1000);
    attribute(reply, LINK_ADDRESS, no_address, sizeof(no_address));
    attribute(reply, LINK_BROADCAST, no_address, sizeof(no_address));
    attribute_u8(reply, LINK_OPERATION_STATE, 0); /* unknown, as the kernel's lo */
    attribute_u8(reply, LINK_MODE, 0);
    attribute_text(reply, LINK_QDISC, "noqueue");
    attribute_u32(reply, LINK_GROUP, 0);
    attribute_u32(reply, LINK_PROMISCUITY, 0);
    attribute_u32(reply, LINK_SEND_QUEUES, 1);
    attribute_u32(reply, LINK_RECEIVE_QUEUES, 1);
    attribute_u8(reply, LINK_CARRIER, 1);
    attribute(reply, LINK_STATS, counters, sizeof(counters));
    attribute(reply, LINK_STATS64, counters64, sizeof(counters64));
    end(reply);
}

struct loopback_address {
    uint8_t family, prefix_length;
    bool more; /* one of netlink_host.more_addresses */
    uint8_t bytes[16];
};

/* IPv4 before IPv6, as the kernel dumps them. */
static const struct loopback_address addresses[] = {
    {AF_INET, 8, false, {127, 0, 0, 1}},
    {AF_INET, 8, true, {127, 0, 0, 2}},
    {AF_INET6, 128, false, {[15] = 1}},
    {AF_INET6, 128, true, {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 2}},
};

static void put_address(struct reply *reply, const struct header *request,
                        const struct loopback_address *address)
{
    const uint32_t cache[4] = {UINT32_MAX, UINT32_MAX, 0, 0}; /* valid and preferred for ever */
    const struct address_body body = {.family = address->family,
                                      .prefix_length = address->prefix_length,
                                      .flags = ADDRESS_PERMANENT,
                                      .scope = SCOPE_HOST,
                                      .index = LOOPBACK_INDEX};
    size_t length = address->family == AF_INET ? 4 : 16;

    begin(reply, request, NEW_ADDRESS, FLAG_MULTI);
    append(reply, &body, sizeof(body));
    attribute(reply, ADDRESS_ADDRESS, address->bytes, length);
    if (address->family == AF_INET) {
        attribute(reply, ADDRESS_LOCAL, address->bytes, length);
        attribute_text(reply, ADDRESS_LABEL, LOOPBACK_NAME);
    }
    attribute_u32(reply, ADDRESS_FLAGS, ADDRESS_PERMANENT);
    attribute(reply, ADDRESS_CACHE, cache, sizeof(cache));
    end(reply);
}

/* ---- Reading ------------------------------------------------------------------------------------------ */

/* One request message; `bytes` are all of it, `header` its first sixteen. */
struct message {
    struct header header;
    const uint8_t *bytes;
    size_t length;
};

/* The first byte of every body; unspecified in a request that is a header alone. */
static uint8_t family_of(const struct message *message)
{
    return message->length > HEADER_LENGTH ? message->bytes[HEADER_LENGTH] : AF_UNSPEC;
}

/* The next attribute at *offset. False: no more, or malformed. */
static bool next_attribute(const struct message *message, size_t *offset, uint16_t *type,
                           const uint8_t **data, size_t *length)
{
    uint16_t header[2];

    if (*offset > message->length || message->length - *offset < ATTRIBUTE_HEADER_LENGTH)
        return false;
    memcpy(header, message->bytes + *offset, sizeof(header));
    if (header[0] < ATTRIBUTE_HEADER_LENGTH || header[0] > message->length - *offset)
        return false;
    *type = header[1] & ATTRIBUTE_TYPE_MASK;
    *data = message->bytes + *offset + ATTRIBUTE_HEADER_LENGTH;
    *length = header[0] - (size_t)ATTRIBUTE_HEADER_LENGTH;
    *offset += aligned(header[0]);
    return true;
}

static bool is_loopback_name(const uint8_t *text, size_t length)
{
    const size_t name_length = strlen(LOOPBACK_NAME);

    return length >= name_length && memcmp(text, LOOPBACK_NAME, name_length) == 0 &&
           (length == name_length || text[name_length] == '\0');
}

/* A positive index decides alone, then the first name. 0, or the errno of the answer. */
static int find_link(const struct message *message)
{
    size_t offset = HEADER_LENGTH + sizeof(struct link_body);
    struct link_body body;
    const uint8_t *data;
    size_t length;
    uint16_t type;

    if (message->length < offset)
        return EINVAL;
    memcpy(&body, message->bytes + HEADER_LENGTH, sizeof(body));
    if (body.index > 0)
        return body.index == LOOPBACK_INDEX ? 0 : ENODEV;
    while (next_attribute(message, &offset, &type, &data, &length)) {
        if (type == LINK_NAME || type == LINK_OTHER_NAME)
            return is_loopback_name(data, length) ? 0 : ENODEV;
    }
    return EINVAL;
}

static bool is_loopback_address(uint8_t family, const uint8_t *bytes, size_t length)
{
    static const uint8_t loopback6[16] = {[15] = 1};

    if (family == AF_INET)
        return length == 4 && bytes[0] == 127;
    return length == sizeof(loopback6) && memcmp(bytes, loopback6, sizeof(loopback6)) == 0;
}

/* Only what lies on the host itself can be reached. */
static int answer_route(struct reply *reply, const struct message *message)
{
    size_t offset = HEADER_LENGTH + sizeof(struct route_body);
    uint8_t family = family_of(message);
    const uint8_t *data = NULL;
    size_t length = 0;
    uint16_t type = 0;

    if (message->length < offset)
        return EINVAL;
    if (family != AF_INET && family != AF_INET6)
        return EOPNOTSUPP;
    while (type != ROUTE_DESTINATION) {
        if (!next_attribute(message, &offset, &type, &data, &length))
            return ENETUNREACH;
    }
    if (!is_loopback_address(family, data, length))
        return ENETUNREACH;
    const struct route_body body = {.family = family,
                                    .destination_length = family == AF_INET ? 32 : 128,
                                    .table = TABLE_LOCAL,
                                    .type = TYPE_LOCAL,
                                    .flags = ROUTE_CLONED};
    begin(reply, &message->header, NEW_ROUTE, 0);
    append(reply, &body, sizeof(body));
    attribute(reply, ROUTE_DESTINATION, data, length);
    attribute_u32(reply, ROUTE_TABLE, TABLE_LOCAL);
    attribute_u32(reply, ROUTE_INTERFACE, LOOPBACK_INDEX);
    attribute(reply, ROUTE_SOURCE, data, length);
    end(reply);
    return 0;
}

/* ---- Answers -------------------------------------------------------------------------------------------- */

static void dump_addresses(struct reply *reply, const struct message *message)
{
    uint8_t family = family_of(message);

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        const struct loopback_address *address = &addresses[i];
        if ((family == AF_UNSPEC || family == address->family) &&
            (!address->more || reply->host->more_addresses))
            put_address(reply, &message->header, address);
    }
}

static void answer_dump(struct reply *reply, const struct message *message)
{
    /* A dump of bridges asks for links of that family: lo is none. */
    if (message->header.type == GET_LINK && family_of(message) != AF_BRIDGE)
        put_link(reply, &message->header, FLAG_MULTI);
    if (message->header.type == GET_ADDRESS)
        dump_addresses(reply, message);
    put_done(reply, &message->header);
}

/* 0, or the errno of the answer. */
static int answer_single(struct reply *reply, const struct message *message)
{
    if (message->header.type == GET_ROUTE)
        return answer_route(reply, message);
    if (message->header.type != GET_LINK)
        return EOPNOTSUPP;
    int error = find_link(message);
    if (error == 0)
        put_link(reply, &message->header, 0);
    return error;
}

static bool changes(const struct header *header)
{
    return (header->flags & FLAG_REQUEST) != 0 && header->type >= MESSAGE_FIRST &&
           header->type <= MESSAGE_LAST && (header->type & KIND_MASK) != KIND_GET;
}

/* The kernel acknowledges if asked, and reports every error. A dump ends by itself. */
static void answer_message(struct reply *reply, const struct message *message)
{
    const struct header *header = &message->header;
    bool counts = (header->flags & FLAG_REQUEST) != 0 && header->type >= MESSAGE_FIRST;
    int error = 0;

    if (counts && header->type > MESSAGE_LAST) {
        error = EOPNOTSUPP;
    } else if (changes(header)) {
        error = EPERM;
    } else if (counts && (header->flags & FLAGS_DUMP) != 0) {
        answer_dump(reply, message);
        return;
    } else if (counts) {
        error = answer_single(reply, message);
    }
    if (error != 0 || (header->flags & FLAG_ACK) != 0)
        put_error(reply, header, error);
}

/* Only the first: requests for changes come alone. */
bool netlink_asks_for_change(const void *request, size_t length)
{
    struct header header;

    if (length < sizeof(header))
        return false;
    memcpy(&header, request, sizeof(header));
    return header.length >= HEADER_LENGTH && header.length <= length && changes(&header);
}

bool netlink_synthesize(const struct netlink_host *host, const void *request, size_t length,
                        netlink_emit emit, void *data)
{
    struct reply reply = {.host = host, .emit = emit, .data = data};
    const uint8_t *bytes = request;

    _Static_assert(sizeof(struct header) == HEADER_LENGTH, "a header has no padding");
    while (length >= HEADER_LENGTH && !reply.refused) {
        struct message message = {.bytes = bytes};
        memcpy(&message.header, bytes, sizeof(message.header));
        message.length = message.header.length;
        if (message.length < HEADER_LENGTH || message.length > length)
            break;
        answer_message(&reply, &message);
        flush(&reply); /* each message has datagrams of its own, as from the kernel */
        size_t step = aligned(message.length);
        if (step >= length)
            break;
        bytes += step;
        length -= step;
    }
    return !reply.refused;
}
