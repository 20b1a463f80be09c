/*
 * Landlock: what the running kernel offers, the arithmetic of access masks (pure functions, tested
 * for every ABI), and thin wrappers for the three system calls. Definitions are our own, because
 * the headers of the build machine may be older than the kernel the program meets.
 */
#ifndef SANDLOCK_KERNEL_LANDLOCK_H
#define SANDLOCK_KERNEL_LANDLOCK_H

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What can be strict, degradable or disabled. The numbers are part of the C ABI: never
 * reused, new ones appended. */
enum protection {
    PROTECTION_FS_REFER = 0,
    PROTECTION_FS_TRUNCATE = 1,
    PROTECTION_NET_TCP = 2,
    PROTECTION_FS_IOCTL_DEV = 3,
    PROTECTION_SIGNAL_SCOPE = 4,
    PROTECTION_ABSTRACT_UNIX_SCOPE = 5,
    PROTECTION_COUNT
};

enum protection_request { PROTECTION_STRICT = 0, PROTECTION_DEGRADABLE, PROTECTION_DISABLED };

const char *protection_name(enum protection protection);              /* "fs-refer" */
const char *protection_display(enum protection protection);           /* "FsRefer" */
unsigned protection_min_abi(uint32_t protection);                     /* 0 for an unknown number */
bool protection_parse(const char *text, enum protection *protection); /* case-insensitive */

#define LL_FS_EXECUTE (1ULL << 0)
#define LL_FS_WRITE_FILE (1ULL << 1)
#define LL_FS_READ_FILE (1ULL << 2)
#define LL_FS_READ_DIR (1ULL << 3)
#define LL_FS_REMOVE_DIR (1ULL << 4)
#define LL_FS_REMOVE_FILE (1ULL << 5)
#define LL_FS_MAKE_CHAR (1ULL << 6)
#define LL_FS_MAKE_DIR (1ULL << 7)
#define LL_FS_MAKE_REG (1ULL << 8)
#define LL_FS_MAKE_SOCK (1ULL << 9)
#define LL_FS_MAKE_FIFO (1ULL << 10)
#define LL_FS_MAKE_BLOCK (1ULL << 11)
#define LL_FS_MAKE_SYM (1ULL << 12)
#define LL_FS_BASE ((1ULL << 13) - 1) /* the bits of ABI 1 */
#define LL_FS_REFER (1ULL << 13)
#define LL_FS_TRUNCATE (1ULL << 14)
#define LL_FS_IOCTL_DEV (1ULL << 15)
#define LL_FS_RESOLVE_UNIX (1ULL << 16) /* contacting a named unix socket; ABI 9 */

#define LL_NET_BIND_TCP (1ULL << 0)
#define LL_NET_CONNECT_TCP (1ULL << 1)

#define LL_SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define LL_SCOPE_SIGNAL (1ULL << 1)

#define LANDLOCK_ABI_MINIMUM 6 /* what every strict protection together needs */
#define LANDLOCK_LAYERS_MAX 16

/* What the host really supports: per bit, not by the number alone. */
struct landlock_support {
    int abi;                  /* 0: unavailable */
    int unavailable_errno;    /* ENOSYS or EOPNOTSUPP when abi is 0 */
    uint32_t errata;          /* 0 where the kernel does not tell */
    uint64_t fs, net, scoped; /* bits that ruleset creation accepts */
};

enum protection_status {
    STATUS_ACTIVE,
    STATUS_DEGRADED,    /* asked as degradable, host lacks it */
    STATUS_DISABLED,    /* asked to be off */
    STATUS_UNAVAILABLE, /* strict, host lacks it: the launch is refused */
};

/* The handled bits of one domain and the status of every protection behind them. */
struct landlock_masks {
    uint64_t fs, net, scoped;
    enum protection_status status[PROTECTION_COUNT];
};

/* Probes once per process; thread-safe. Extension bits are probed one by one when the whole set is
 * refused with EINVAL, because some kernels report an ABI whose bits they reject. */
const struct landlock_support *landlock_support_get(void);

/* Pure: support that an unmodified kernel of this ABI would have. */
void landlock_support_for_abi(int abi, struct landlock_support *support);

/* Pure: resolves the requests of a policy against the host. */
void landlock_resolve(const struct landlock_support *support,
                      const enum protection_request requests[PROTECTION_COUNT],
                      struct landlock_masks *masks);

/* Fills err and returns false if any status is UNAVAILABLE: names protection, host and required ABI. */
bool landlock_check_strict(const struct landlock_support *support,
                           const struct landlock_masks *masks, struct error *err);

/* Pure: rights of a read or write grant on an object, ANDed with the handled mask. */
uint64_t landlock_read_rights(uint64_t handled_fs, bool is_directory);
uint64_t landlock_write_rights(uint64_t handled_fs, bool is_directory);

/* System calls. Return a descriptor or 0, else -errno. */
int landlock_create(const struct landlock_masks *masks); /* -ENOMSG if all three masks are 0 */
int landlock_add_path(int ruleset, int path_fd, uint64_t rights); /* rights 0: nothing to do */
int landlock_add_port(int ruleset, uint16_t port, uint64_t rights);
int landlock_enter(int ruleset, uint32_t flags); /* landlock_restrict_self */

#endif
