/*
 * One message on its way: copied, judged, then handed to the kernel on the pinned socket without ever
 * waiting. What the kernel does not take at once, and the member would wait for, goes to the holder.
 */
#ifndef SANDLOCK_NET_SEND_MESSAGE_H
#define SANDLOCK_NET_SEND_MESSAGE_H

#include "member/socket.h"
#include "net/destinations.h"
#include "net/held.h"
#include "net/message.h"
#include "net/unix_target.h"

#include <linux/capability.h>

/* Payload copied along with the other parts of a message, so that the usual small one needs no copy of
 * its own. */
#define SEND_READY_MAX 4096U

/* Capabilities that it takes to say who the member is. */
#define SEND_INTRODUCES (1ULL << CAP_SETUID | 1ULL << CAP_SETGID)

enum send_name {
    SEND_WITHOUT_NAME, /* there is none, or the socket takes none */
    SEND_TO_COPY,      /* message.name */
    SEND_TO_TARGET,    /* a pinned unix socket */
};

struct send {
    struct held held;            /* first: the holder's part */
    struct destinations *shared; /* borrowed */
    pid_t tid;
    struct pinned_socket socket; /* owned */
    unsigned flags;              /* the member's */

    /* Of the present message; released by send_next(). */
    struct message message;
    enum send_name name;
    struct unix_target target;
    int *passed; /* owned duplicates of the descriptors in the control data */
    size_t passed_count;
    bool looked; /* at the member's identity */
    bool lowers; /* the kernel would ask for capabilities: act with the member's */
    bool kept;   /* refused, because of the socket's interface, or as it would begin */
    struct member_identity identity; /* owned, if looked at */

    /* A peer must not take a member of another user for the supervisor: control data that says who it
     * is, with the member's own (owned), and alone, for the further pieces of a stream. NULL: the same user. */
    uint8_t *introduction;
    size_t introduction_length, credentials_at;

    uint64_t done; /* bytes that the kernel has taken */

    /* sendmmsg: messages sent before this one, and where its length goes. */
    unsigned before;
    uint64_t length_at; /* 0: not sendmmsg */

    bool admitted; /* counted by the holder */
};

/* -EAGAIN of send_judge(): a look at what the name means would wait. */
#define SEND_SLOW (-EAGAIN)

struct send *send_new(const struct request *request, unsigned flags); /* NULL: out of memory */
void send_free(struct send *send);                                    /* NULL is accepted */

/* Counts the call, once, before it goes to a worker or to the holder. False: too many are under way. */
bool send_admit(struct send *send);

/* Forgets the message and is ready for the next one on the same socket. */
void send_next(struct send *send);

/* Decides on the name and the control data of send->message; afterwards the notification was
 * validated. 0; SEND_SLOW with `cached_only`; -errno to be answered, recorded where a rule refused. */
int send_judge(const struct request *request, struct send *send, bool cached_only);

/* Before each piece is sent: by whose rights. 0 or -errno. */
int send_find_rights(const struct request *request, struct send *send);

/* Sends what the kernel takes now. `ready` is the whole payload if the caller has it, copied before the
 * notification was last validated; otherwise it is copied here, `windows` pieces at most. True: finished,
 * *result is what the call returns (bytes or -errno). False: the kernel is full. */
bool send_push(const struct request *request, struct send *send, const void *ready,
               unsigned windows, int64_t *result);

/* Pieces for one go. On the receiving thread others wait meanwhile. */
#define SEND_WINDOWS 8U

/* True if the member's call would wait now. */
bool send_waits(const struct send *send);

/* What the call returns if it goes no further: the bytes taken, or `error`. */
int64_t send_partial(const struct send *send, int error);

/* Notes the result of one message of sendmmsg in the member's memory and returns what the call returns
 * after it: the number of messages. Plain result otherwise. */
int64_t send_settle(const struct request *request, struct send *send, int64_t result);

/* Gives the rest, admitted before, to the holder, which owns `send` then. False: not taken. After holder_start(). */
bool send_hold(const struct request *request, struct send *send);

#endif
