/*
 * A request datagram that a member sent on a routing socket. Whatever it is, the replies are whole
 * messages that carry the socket's id, in datagrams that the readers' buffers hold.
 */
#include "net/netlink_synth.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORT_ID 0x12345678U
#define HEADER_LENGTH 16U

static void check(bool good)
{
    if (!good)
        abort();
}

static bool check_datagram(void *data, const void *datagram, size_t length)
{
    size_t *count = data;
    const uint8_t *bytes = datagram;

    check(length > 0 && length <= NETLINK_DATAGRAM_MAX);
    while (length > 0) {
        uint32_t message, port_id;
        check(length >= HEADER_LENGTH);
        memcpy(&message, bytes, sizeof(message));
        memcpy(&port_id, bytes + 12, sizeof(port_id));
        check(message >= HEADER_LENGTH && message <= length && message % 4 == 0);
        check(port_id == PORT_ID);
        bytes += message;
        length -= message;
    }
    (*count)++;
    return *count < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netlink_host host = {.port_id = PORT_ID};
    size_t count = 0;

    if (size == 0 || size - 1 > NETLINK_REQUEST_MAX)
        return 0;
    host.more_addresses = (data[0] & 1) != 0;
    /* A copy of exactly this size, so that reading beyond it is seen. */
    uint8_t *request = malloc(size);
    if (request == NULL)
        return 0;
    memcpy(request, data + 1, size - 1);
    bool complete = netlink_synthesize(&host, request, size - 1, check_datagram, &count);
    check(complete == (count < 1000));
    check(count <= size / HEADER_LENGTH); /* never more than one for each message */
    free(request);
    return 0;
}
