/* Refused destinations: what is judged, and the record with the rule that would allow it. */
#ifndef SANDLOCK_NET_REFUSAL_H
#define SANDLOCK_NET_REFUSAL_H

#include "member/socket.h"
#include "net/address.h"
#include "net/network.h"

/* The protocol whose rules judge a socket; false: rules exist for none of its kind. */
bool net_protocol_of_socket(const struct pinned_socket *socket, enum net_protocol *protocol);

/* Records that the rules refuse this destination ("tcp://192.0.2.1:80"); `want` is "connect" or "send".
 * Returns -`error`, for the caller to answer. */
int refuse_destination(const struct request *request, const struct network *network,
                       enum net_protocol protocol, const struct net_address *address, uint16_t port,
                       const char *want, int error);

/* True if the address names a port that a rule does not allow by the number it has on the host, while one allows
 * its virtual number: a peer of the sandbox's own, perhaps. A member is told the real number by recvfrom(2). */
bool names_own_peer(const struct network *network, enum net_protocol protocol,
                    const struct socket_address *address);

/* Why: nobody would judge it where Landlock has no scope for it. */
#define ABSTRACT_UNJUDGED "the kernel does not tell abstract sockets inside from those outside"

/* Records that an abstract unix address ("@name", with @ for every NUL) is out of reach, with `error`. */
void refuse_abstract(const struct request *request, const struct socket_address *address,
                     const char *want, int error, const char *layer, const char *rule);

/* The same for the kernel's verdict on one outside: `result` of a call that went to this address. */
void note_abstract_scope(const struct request *request, const struct socket_address *address,
                         const char *want, int64_t result);

/* Room for any of refuse_destination()'s texts and those below. */
#define ENDPOINT_TEXT_MAX 64

/* "tcp://0.0.0.0:80": the address of a bind as the member wrote it. */
void name_local_address(char text[ENDPOINT_TEXT_MAX], enum net_protocol protocol,
                        const struct socket_address *address);

#endif
