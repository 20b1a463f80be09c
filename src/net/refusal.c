/* See refusal.h. */
#include "net/refusal.h"

#include "net/question.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LAYER "network-rules"

/* Raw sockets that were handed in have protocol numbers too. */
bool net_protocol_of_socket(const struct pinned_socket *socket, enum net_protocol *protocol)
{
    bool is_datagram = socket->type == SOCK_DGRAM;

    if (socket->domain != AF_INET && socket->domain != AF_INET6)
        return false;
    switch (socket->protocol) {
    case IPPROTO_TCP:
        *protocol = NET_TCP;
        return socket->type == SOCK_STREAM;
    case IPPROTO_UDP:
        *protocol = NET_UDP;
        return is_datagram;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        *protocol = NET_ICMP;
        return is_datagram;
    default:
        return false;
    }
}

static void name_destination(struct buffer *out, enum net_protocol protocol,
                             const struct net_address *address, uint16_t port)
{
    bool brackets = address->family == 6 && protocol != NET_ICMP;

    buffer_printf(out, "%s://%s", net_protocol_name(protocol), brackets ? "[" : "");
    net_address_render(address, out);
    if (protocol != NET_ICMP)
        buffer_printf(out, "%s:%u", brackets ? "]" : "", port);
}

/* Where ping sockets exist, what asks for the way is ping: that needs a rule for what it is about to send.
 * Only where UDP sockets work does the question need one, too. Adds it to what is suggested. */
static void suggest_ping(const struct network *network, const struct net_address *address,
                         struct net_verdict *verdict)
{
    struct net_verdict ping;
    CLEANUP_BUFFER struct buffer both = BUFFER_INIT;

    net_explain(network->verdicts, NET_ICMP, address, 0, &ping);
    if (ping.allowed || verdict->suggest[0] == '\0')
        return;
    buffer_append_text(&both, ping.suggest);
    if (ping.suggest[0] != '\0' && network->shape.udp != UDP_INERT)
        buffer_printf(&both, " %s", verdict->suggest);
    /* A cut rule would be another rule. */
    if (!buffer_failed(&both) && both.length < sizeof(verdict->suggest))
        memcpy(verdict->suggest, buffer_text(&both), both.length + 1);
}

int refuse_destination(const struct request *request, const struct network *network,
                       enum net_protocol protocol, const struct net_address *address, uint16_t port,
                       const char *want, int error)
{
    CLEANUP_BUFFER struct buffer object = BUFFER_INIT;
    struct net_verdict verdict;

    net_explain(network->verdicts, protocol, address, port, &verdict);
    if (protocol == NET_UDP && port == QUESTION_ROUTE_PORT && network->shape.ping)
        suggest_ping(network, address, &verdict);
    /* Nothing is sent there: who asks for the way needs another rule. */
    if (protocol == NET_UDP && port == QUESTION_NO_PORT)
        verdict.suggest[0] = '\0';
    name_destination(&object, protocol, address, port);
    request_record_denial(request, buffer_failed(&object) ? NULL : buffer_text(&object), want,
                          error, LAYER, verdict.rule,
                          verdict.suggest[0] == '\0' ? NULL : verdict.suggest);
    return -error;
}

bool names_own_peer(const struct network *network, enum net_protocol protocol,
                    const struct socket_address *address)
{
    if (network->ports == NULL || protocol == NET_ICMP || !net_address_is_loopback(&address->ip))
        return false;
    uint16_t port = port_map_virtual(network->ports, protocol, address->port);
    return port != 0 && net_allows(network->verdicts, protocol, &address->ip, port);
}

void refuse_abstract(const struct request *request, const struct socket_address *address,
                     const char *want, int error, const char *layer, const char *rule)
{
    char object[ADDRESS_BYTES_MAX + 1] = "";
    size_t length = address->length > 2 ? address->length - 2 : 0;

    for (size_t i = 0; i < length; i++) {
        char byte = (char)address->bytes[2 + i];
        object[i] = (char)(byte == '\0' ? '@' : byte);
    }
    request_record_denial(request, object[0] == '\0' ? NULL : object, want, error, layer, rule,
                          NULL);
}

void note_abstract_scope(const struct request *request, const struct socket_address *address,
                         const char *want, int64_t result)
{
    if (result == -EPERM && address->kind == ADDRESS_UNIX_ABSTRACT)
        refuse_abstract(request, address, want, EPERM, "abstract-unix-socket-scope",
                        "abstract sockets are reached inside the sandbox only");
}

void name_local_address(char text[ENDPOINT_TEXT_MAX], enum net_protocol protocol,
                        const struct socket_address *address)
{
    const char *scheme = net_protocol_name(protocol);
    char host[INET6_ADDRSTRLEN] = "*";
    uint8_t bytes[sizeof(struct sockaddr_in6)] = {0};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memcpy(bytes, address->bytes,
           address->length < sizeof(bytes) ? address->length : sizeof(bytes));
    memcpy(&in, bytes, sizeof(in));
    memcpy(&in6, bytes, sizeof(in6));
    if (address->family == AF_INET6)
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
    else
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
    snprintf(text, ENDPOINT_TEXT_MAX, address->family == AF_INET6 ? "%s://[%s]:%u" : "%s://%s:%u",
             scheme, host, ntohs(in.sin_port)); /* in both families at the same place */
}
