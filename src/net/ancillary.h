/*
 * Control data of a sendmsg: what a member may attach to a message that the supervisor sends for it.
 * The walk sees exactly the headers that the kernel will see, and what the kernel would not look at is
 * cut off, so that the two readings cannot differ.
 */
#ifndef SANDLOCK_NET_ANCILLARY_H
#define SANDLOCK_NET_ANCILLARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors in one message; the kernel's SCM_MAX_FD. */
#define ANCILLARY_FDS_MAX 253

/* A duplicate of the member's descriptor `fd`, or -errno. */
typedef int (*ancillary_fetch)(void *data, int fd);

/* Where the next message begins behind `length` bytes of control data. */
#define ANCILLARY_ALIGN(length) (((length) + 7) & ~(size_t)7)
#define ANCILLARY_CREDENTIALS_SIZE 32U

struct ucred;

/* Writes an SCM_CREDENTIALS message of that size, at an aligned place. */
void ancillary_put_credentials(uint8_t *place, const struct ucred *credentials);

/* Writes an IPV6_PKTINFO message of that size, at an aligned place, that sends by the loopback interface. The
 * kernel refuses it with EINVAL for a socket that is bound to another one. */
#define ANCILLARY_LOOPBACK_SIZE 40U
void ancillary_put_loopback(uint8_t *place);

/* For IP sockets. 0; -EPERM for anything that is not on the list of harmless options (routing and
 * option headers change where a packet goes); -EINVAL for malformed headers. May shorten *length. The
 * interface that packet information chooses is taken out of it, unless it belongs to the address
 * (`keeps_interface`): servers send back what they were told with a request. */
int ancillary_check_ip(uint8_t *control, size_t *length, bool keeps_interface);

/* For unix sockets: replaces each descriptor of an SCM_RIGHTS message by its duplicate, in `control`
 * itself, and lists the duplicates in `fds`; *count of them are owned by the caller also after a
 * failure. 0; -EPERM for SCM_CREDENTIALS (the member's numbers are not the sender's); -EINVAL; what
 * `fetch` said. May shorten *length. */
int ancillary_take_unix(uint8_t *control, size_t *length, ancillary_fetch fetch, void *data,
                        int fds[ANCILLARY_FDS_MAX], size_t *count);

#endif
