/* Replies of sock_diag: the first byte chooses the question, the rest is one datagram. */
#include "net/sock_diag.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct diag_query queries[] = {
        {.family = AF_INET, .protocol = IPPROTO_TCP, .states = DIAG_ALL_STATES},
        {.family = AF_INET6, .protocol = IPPROTO_UDP, .states = DIAG_ALL_STATES},
        {.family = AF_INET, .protocol = IPPROTO_TCP, .states = DIAG_BOUND, .local_port = 80},
        {.family = AF_UNIX, .states = DIAG_ALL_STATES},
    };
    struct diag_list list = DIAG_LIST_INIT;
    bool changed = false;

    if (size == 0)
        return 0;
    const struct diag_query *query = &queries[data[0] % 4];
    int result = diag_parse(query, 1, data + 1, size - 1, &list, &changed);
    if (result > 1)
        abort();
    for (size_t i = 0; i < list.count; i++) {
        const struct diag_socket *socket = &list.sockets[i];
        if (socket->name_length > 108 ||
            (size_t)socket->name_offset + socket->name_length > list.names.length ||
            socket->family != query->family ||
            (query->local_port != 0 && socket->local_port != query->local_port))
            abort();
    }
    diag_list_free(&list);
    return 0;
}
