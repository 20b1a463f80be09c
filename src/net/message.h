/*
 * What a member passes to sendto, sendmsg and sendmmsg, copied once from its memory under fixed bounds.
 * The payload is not judged, so it stays where it is until it is sent: message_copy_payload().
 */
#ifndef SANDLOCK_NET_MESSAGE_H
#define SANDLOCK_NET_MESSAGE_H

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MESSAGE_RANGES_MAX 1024          /* as the kernel's UIO_MAXIOV */
#define MESSAGE_CONTROL_MAX (16U * 1024) /* more is -EMSGSIZE */
#define MESSAGE_DATAGRAM_MAX (64U * 1024 * 1024)
#define MESSAGE_LENGTH_MAX 0x7ffff000U /* the kernel takes no more at once and returns this */
#define MESSAGE_BATCH_MAX 256          /* entries of one sendmmsg; fewer than asked for is legal */

/* The layouts of a 64-bit kernel. */
#define MESSAGE_HEADER_SIZE 56U
#define MESSAGE_ENTRY_SIZE 64U /* sendmmsg: the header and the length sent */
#define MESSAGE_ENTRY_LENGTH_AT 56U

/* Room for the parts of a small message, so that it needs no further allocation. */
#define MESSAGE_SMALL 256U

/* What lies around a msghdr. Programs keep a message's parts side by side on their stack, so one read
 * usually brings them all. */
#define MESSAGE_AROUND 256U
struct surroundings {
    uint64_t start;
    size_t size;
    uint8_t bytes[2 * MESSAGE_AROUND + MESSAGE_HEADER_SIZE];
};

struct message {
    struct socket_address name; /* ADDRESS_NONE without one */
    struct iovec *ranges;       /* addresses of the member's; none is empty */
    size_t range_count;
    uint64_t length;  /* of the payload */
    uint8_t *control; /* a copy, may be written to */
    size_t control_length;
    void *block; /* owned: holds ranges and control if they are not in `small` */
    uint64_t small[MESSAGE_SMALL / 8];
    struct iovec single; /* sendto */
};

/* `message` need not be initialised; after a failure there is nothing to release. The ranges may
 * point into `message`, so it must not be moved. The caller validates the notification afterwards.
 * 0; -EINVAL (name longer than 128, negative length), -EMSGSIZE, -EFAULT, -ENOMEM, … */

/* From the registers of sendto. Up to `room` bytes of payload are copied to `payload` along with the
 * name if they are the whole payload; *copied tells. */
int message_read_sendto(pid_t tid, const uint64_t args[6], void *payload, size_t room,
                        struct message *message, bool *copied);

/* From a msghdr at `pointer`. */
int message_read(pid_t tid, uint64_t pointer, struct message *message);

/* Reads the msghdr at `pointer` and what its page holds around it. 0 or -errno. */
int surroundings_read(pid_t tid, uint64_t pointer, struct surroundings *around);

/* Copies a part, the header itself or another. False: it does not lie there as a whole. */
bool surroundings_take(const struct surroundings *around, uint64_t address, size_t size,
                       void *place);

/* Copies `size` bytes of the payload from offset `at` on. 0, or -errno (-EFAULT also for a part). */
int message_copy_payload(pid_t tid, const struct message *message, uint64_t at, void *data,
                         size_t size);

void message_release(struct message *message);

#endif
