/*
 * A call that changes metadata, decoded once: which object, and the values, copied from the member's
 * memory. Decoding is table-driven (metadata_call.def), performing is one function per operation.
 */
#ifndef SANDLOCK_GATES_METADATA_CALL_H
#define SANDLOCK_GATES_METADATA_CALL_H

#include "member/object.h"

#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metadata_operation {
    METADATA_MODE,
    METADATA_OWNER,
    METADATA_TIMES_SECONDS,
    METADATA_TIMES_MICROSECONDS,
    METADATA_TIMES_NANOSECONDS,
    METADATA_XATTR_SET,
    METADATA_XATTR_SET_PACKED, /* value, size and flags in a structure */
    METADATA_XATTR_REMOVE,
    METADATA_FILE_ATTRIBUTES,
    METADATA_INODE_IOCTL,
};

/* A row of the table. Registers that do not exist are -1. */
struct metadata_spelling {
    const char *syscall;
    enum metadata_operation operation;
    int8_t fd, dirfd, path, flags;
    uint32_t known_flags;
    unsigned options; /* enum metadata_option */
    int8_t value;
};

enum metadata_option {
    METADATA_NO_FOLLOW = 1 << 0,
    METADATA_NULL_PATH_IS_FD = 1 << 1,    /* as utimensat(2): then dirfd is the object */
    METADATA_NULL_PATH_IS_EMPTY = 1 << 2, /* with AT_EMPTY_PATH */
};

extern const struct metadata_spelling metadata_spellings[];
extern const size_t metadata_spelling_count;

/* Requests that change an inode's attributes, sorted by number. */
struct inode_ioctl {
    uint32_t command;
    uint16_t size;          /* of what it points to */
    bool whole_file_system; /* reaches beyond the object: no grant covers that */
};

extern const struct inode_ioctl inode_ioctls[];
extern const size_t inode_ioctl_count;

/* Largest value of an extended attribute, and of a signature of FS_IOC_ENABLE_VERITY. */
#define METADATA_VALUE_MAX 65536

/* Of all calls of a sandbox under way, which members can make wait, values longer than a few bytes may take
 * so much memory together: beyond it is ENOMEM. */
#define METADATA_VALUES_MAX ((size_t)1 << 20)
#define METADATA_VALUE_SMALL 1024

struct metadata_call {
    const struct metadata_spelling *spelling;
    struct object object;
    bool is_nothing; /* succeeds without a look at the object, which is not held */
    bool takes_long; /* reads the whole file: never for the receiving thread */

    uint32_t mode;
    uint32_t uid, gid;
    bool times_are_now;
    int64_t times[4]; /* two pairs of seconds and nanoseconds */
    char name[256];   /* of an extended attribute */
    void *value;      /* owned */
    size_t size;
    int flags;
    const struct inode_ioctl *ioctl;
    void *parts[2]; /* owned: what `value` points to */

    atomic_size_t *values; /* borrowed: bytes of long values of all calls; NULL: not counted */
    size_t counted;        /* of them this call's */
};

struct metadata_call *metadata_call_new(void); /* NULL when out of memory */
void metadata_call_free(void *call);           /* a struct metadata_call; NULL is accepted */

/* Fills `call` from the registers and the caller's memory. The caller validates the notification
 * before it uses any of it. 0 or -errno: what the kernel would answer, or why memory could not be read. */
int metadata_decode(struct metadata_call *call, const struct metadata_spelling *spelling,
                    const struct member_view *view, const struct seccomp_data *data);

/* Performs it on the pinned object, with the calling thread's rights. 0 or -errno. */
int metadata_perform(const struct metadata_call *call, int path_fd);

#endif
