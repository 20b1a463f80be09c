/*
 * Decoding and performing changes of metadata: see metadata_call.h.
 *
 * An O_PATH descriptor is performed on by AT_EMPTY_PATH where the kernel takes it, otherwise through its
 * name in /proc/thread-self/fd. Following that link leads to exactly the pinned inode, symbolic links
 * included, and the kernel makes all its checks (read-only mounts, ownership, immutable files) as for any
 * other path.
 */
#include "gates/metadata_call.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* 6.6 */
#endif
#ifndef SYS_file_setattr
#define SYS_file_setattr 469 /* 6.17 */
#endif

#define NONE (-1)
#define AT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
#define NO_FOLLOW METADATA_NO_FOLLOW
#define NULL_PATH_IS_FD METADATA_NULL_PATH_IS_FD
#define NULL_PATH_IS_EMPTY METADATA_NULL_PATH_IS_EMPTY

#define METADATA_CALL(syscall, operation, fd, dirfd, path, flags, known_flags, options, value) \
    {#syscall, METADATA_##operation, fd, dirfd, path, flags, known_flags, options, value},
const struct metadata_spelling metadata_spellings[] = {
#include "gates/metadata_call.def"
};
#undef METADATA_CALL

const size_t metadata_spelling_count = sizeof(metadata_spellings) / sizeof(metadata_spellings[0]);

/* The same on every supported architecture (<linux/fs.h>, <linux/fscrypt.h>, <linux/fsverity.h>,
 * <linux/msdos_fs.h>, ext4). gates/metadata.c lists the gaps between them. */
#define ENABLE_VERITY 0x40806685U
#define SET_ENCRYPTION_POLICY 0x800C6613U

const struct inode_ioctl inode_ioctls[] = {
    {0x40046602U, 4, false},  /* FS_IOC32_SETFLAGS */
    {0x40046604U, 4, false},  /* EXT4_IOC32_SETVERSION */
    {0x40047211U, 4, false},  /* FAT_IOCTL_SET_ATTRIBUTES */
    {0x40047602U, 4, false},  /* FS_IOC32_SETVERSION */
    {0x40086602U, 4, false},  /* FS_IOC_SETFLAGS: a long by its number, an int in truth */
    {0x40086604U, 4, false},  /* EXT4_IOC_SETVERSION */
    {0x40087602U, 4, false},  /* FS_IOC_SETVERSION */
    {0x401C5820U, 28, false}, /* FS_IOC_FSSETXATTR */
    {ENABLE_VERITY, 128, false},
    {0x41009432U, 256, true}, /* FS_IOC_SETFSLABEL */
    {SET_ENCRYPTION_POLICY, 24, false},
};

const size_t inode_ioctl_count = sizeof(inode_ioctls) / sizeof(inode_ioctls[0]);

struct metadata_call *metadata_call_new(void)
{
    struct metadata_call *call = calloc(1, sizeof(*call));

    if (call != NULL)
        call->object.base = -1;
    return call;
}

void metadata_call_free(void *data)
{
    struct metadata_call *call = data;

    if (call == NULL)
        return;
    object_release(&call->object);
    free(call->value);
    free(call->parts[0]);
    free(call->parts[1]);
    if (call->counted > 0)
        atomic_fetch_sub(call->values, call->counted);
    free(call);
}

/* ---- Decoding the object ------------------------------------------------------------------------- */

/* Registers hold `int` parameters in their low half. */
static int int_arg(const struct seccomp_data *data, int number)
{
    return (int)(uint32_t)data->args[number];
}

static int decode_object(struct metadata_call *call, const struct member_view *view,
                         const struct seccomp_data *data)
{
    const struct metadata_spelling *row = call->spelling;
    int dirfd = row->dirfd < 0 ? AT_FDCWD : int_arg(data, row->dirfd);
    unsigned flags = row->flags < 0 ? 0 : (unsigned)int_arg(data, row->flags);
    char path[PATH_MAX];

    if ((flags & ~row->known_flags) != 0)
        return -EINVAL;
    if (row->fd >= 0)
        return object_by_fd(&call->object, view, int_arg(data, row->fd), false);
    if ((row->options & METADATA_NO_FOLLOW) != 0)
        flags |= AT_SYMLINK_NOFOLLOW;

    uint64_t address = data->args[row->path];
    if (address == 0 && (row->options & METADATA_NULL_PATH_IS_FD) != 0 && dirfd != AT_FDCWD)
        return flags != 0 ? -EINVAL : object_by_fd(&call->object, view, dirfd, false);
    if (address == 0 && (row->options & METADATA_NULL_PATH_IS_EMPTY) != 0 &&
        (flags & AT_EMPTY_PATH) != 0)
        return object_by_path(&call->object, view, dirfd, "", flags);
    ssize_t length = task_memory_read_string(view->tid, address, path, sizeof(path));
    if (length < 0)
        return (int)length;
    return object_by_path(&call->object, view, dirfd, path, flags);
}

/* ---- Decoding the values -------------------------------------------------------------------------- */

/* False: the calls that wait hold too much. */
static bool count_value(struct metadata_call *call, size_t size)
{
    if (call->values == NULL || size <= METADATA_VALUE_SMALL)
        return true;
    if (atomic_fetch_add(call->values, size) + size > METADATA_VALUES_MAX) {
        atomic_fetch_sub(call->values, size);
        return false;
    }
    call->counted += size;
    return true;
}

static int copy_block(struct metadata_call *call, const struct member_view *view, uint64_t address,
                      size_t size, void **block)
{
    if (!count_value(call, size))
        return -ENOMEM;
    *block = malloc(size == 0 ? 1 : size);
    if (*block == NULL)
        return -ENOMEM;
    return size == 0 ? 0 : task_memory_read_all(view->tid, address, *block, size);
}

static int decode_times(struct metadata_call *call, const struct member_view *view,
                        uint64_t address)
{
    enum metadata_operation operation = call->spelling->operation;
    int64_t raw[4];
    size_t size = operation == METADATA_TIMES_SECONDS ? 2 * sizeof(raw[0]) : sizeof(raw);

    call->times_are_now = address == 0;
    if (address == 0)
        return 0;
    int result = task_memory_read_all(view->tid, address, raw, size);
    if (result < 0)
        return result;
    if (operation == METADATA_TIMES_SECONDS) {
        call->times[0] = raw[0];
        call->times[2] = raw[1];
        return 0;
    }
    memcpy(call->times, raw, sizeof(raw));
    if (operation == METADATA_TIMES_NANOSECONDS)
        return 0; /* the kernel checks them when they are used */
    for (int i = 1; i < 4; i += 2) {
        if (raw[i] < 0 || raw[i] >= 1000000)
            return -EINVAL;
        call->times[i] = raw[i] * 1000;
    }
    return 0;
}

static int decode_name(struct metadata_call *call, const struct member_view *view, uint64_t address)
{
    ssize_t length = task_memory_read_string(view->tid, address, call->name, sizeof(call->name));

    if (length < 0)
        return length == -ENAMETOOLONG ? -ERANGE : (int)length;
    return length == 0 ? -ERANGE : 0;
}

static int decode_xattr(struct metadata_call *call, const struct member_view *view,
                        uint64_t address, uint64_t size, int flags)
{
    if (size > METADATA_VALUE_MAX)
        return -E2BIG;
    call->size = (size_t)size;
    call->flags = flags;
    return copy_block(call, view, address, call->size, &call->value);
}

/* Reads a structure that grows with the kernel: what is beyond `known` bytes must be zero. */
static int copy_growing(struct metadata_call *call, const struct member_view *view,
                        uint64_t address, uint64_t size, size_t minimum, size_t known, void **block)
{
    if (size < minimum)
        return -EINVAL;
    if (size > 4096)
        return -E2BIG;
    int result = copy_block(call, view, address, (size_t)size, block);
    for (size_t i = known; result == 0 && i < size; i++) {
        if (((const char *)*block)[i] != 0)
            result = -E2BIG;
    }
    return result;
}

static int decode_packed_xattr(struct metadata_call *call, const struct member_view *view,
                               uint64_t address, uint64_t size)
{
    struct {
        uint64_t value;
        uint32_t size, flags;
    } packed;
    CLEANUP_FREE void *block = NULL;
    int result = copy_growing(call, view, address, size, sizeof(packed), sizeof(packed), &block);

    if (result < 0)
        return result;
    memcpy(&packed, block, sizeof(packed));
    return decode_xattr(call, view, packed.value, packed.size, (int)packed.flags);
}

static const struct inode_ioctl *find_ioctl(uint32_t command)
{
    for (size_t i = 0; i < inode_ioctl_count; i++) {
        if (inode_ioctls[i].command == command)
            return &inode_ioctls[i];
    }
    return NULL;
}

/* struct fsverity_enable_arg: salt and signature are pointers; the copy gets copies of them. */
static int decode_verity(struct metadata_call *call, const struct member_view *view)
{
    enum { SALT_SIZE = 12, SALT = 16, SIGNATURE_SIZE = 24, SIGNATURE = 32 };
    static const struct {
        int size_at, pointer_at;
        uint32_t maximum;
        int error;
    } parts[2] = {{SALT_SIZE, SALT, 32, EMSGSIZE}, {SIGNATURE_SIZE, SIGNATURE, 16128, EMSGSIZE}};
    char *block = call->value;

    call->takes_long = true;
    for (int i = 0; i < 2; i++) {
        uint32_t size;
        uint64_t address;
        memcpy(&size, block + parts[i].size_at, sizeof(size));
        memcpy(&address, block + parts[i].pointer_at, sizeof(address));
        if (size == 0)
            continue;
        if (size > parts[i].maximum)
            return -parts[i].error;
        int result = copy_block(call, view, address, size, &call->parts[i]);
        if (result < 0)
            return result;
        address = (uint64_t)(uintptr_t)call->parts[i];
        memcpy(block + parts[i].pointer_at, &address, sizeof(address));
    }
    return 0;
}

static int decode_ioctl(struct metadata_call *call, const struct member_view *view,
                        uint32_t command, uint64_t address)
{
    call->ioctl = find_ioctl(command);
    if (call->ioctl == NULL)
        return -EIO; /* filter and table disagree */
    if (call->ioctl->whole_file_system)
        return 0; /* will be refused, whatever it says */
    size_t size = call->ioctl->size;
    if (command == SET_ENCRYPTION_POLICY) {
        uint8_t version;
        int result = task_memory_read_all(view->tid, address, &version, 1);
        if (result < 0)
            return result;
        size = version == 0 ? 12 : 24;
    }
    /* Room for the largest form: a version that changes between the two reads is then refused by the
     * kernel and reads nothing that is not ours. */
    call->value = calloc(1, call->ioctl->size);
    if (call->value == NULL)
        return -ENOMEM;
    int result = task_memory_read_all(view->tid, address, call->value, size);
    if (result == 0 && command == ENABLE_VERITY)
        result = decode_verity(call, view);
    return result;
}

static int decode_values(struct metadata_call *call, const struct member_view *view,
                         const struct seccomp_data *data)
{
    const __u64 *args = data->args;
    int value = call->spelling->value; /* NOLINT(bugprone-signed-char-misuse): -1 stays -1 */
    int result;

    switch (call->spelling->operation) {
    case METADATA_MODE:
        call->mode = (uint32_t)args[value];
        return 0;
    case METADATA_OWNER:
        call->uid = (uint32_t)args[value];
        call->gid = (uint32_t)args[value + 1];
        return 0;
    case METADATA_TIMES_SECONDS:
    case METADATA_TIMES_MICROSECONDS:
    case METADATA_TIMES_NANOSECONDS:
        return decode_times(call, view, args[value]);
    case METADATA_XATTR_SET:
        result = decode_name(call, view, args[value]);
        return result < 0 ? result
                          : decode_xattr(call, view, args[value + 1], args[value + 2],
                                         int_arg(data, value + 3));
    case METADATA_XATTR_SET_PACKED:
        result = decode_name(call, view, args[value]);
        return result < 0 ? result
                          : decode_packed_xattr(call, view, args[value + 1], args[value + 2]);
    case METADATA_XATTR_REMOVE:
        return decode_name(call, view, args[value]);
    case METADATA_FILE_ATTRIBUTES:
        call->size = (size_t)args[value + 1];
        return copy_growing(call, view, args[value], args[value + 1], 24, 4096, &call->value);
    case METADATA_INODE_IOCTL:
        return decode_ioctl(call, view, (uint32_t)args[value], args[value + 1]);
    }
    return -EIO;
}

/* The kernel does not even look at the path then. */
static bool omits_both(const struct metadata_call *call)
{
    return !call->times_are_now && call->times[1] == UTIME_OMIT && call->times[3] == UTIME_OMIT;
}

int metadata_decode(struct metadata_call *call, const struct metadata_spelling *spelling,
                    const struct member_view *view, const struct seccomp_data *data)
{
    bool times_first = spelling->operation == METADATA_TIMES_NANOSECONDS;

    call->spelling = spelling;
    int result = times_first ? decode_values(call, view, data) : 0;
    call->is_nothing = result == 0 && times_first && omits_both(call);
    if (result < 0 || call->is_nothing)
        return result;
    result = decode_object(call, view, data);
    return result < 0 || times_first ? result : decode_values(call, view, data);
}

/* ---- Performing ----------------------------------------------------------------------------------- */

struct link_name {
    char text[48];
};

static struct link_name link_of(int path_fd)
{
    struct link_name link;

    snprintf(link.text, sizeof(link.text), "/proc/thread-self/fd/%d", path_fd);
    return link;
}

/* An O_PATH descriptor takes no ioctl. Only regular files and directories are opened: the others can
 * wait or act when they are, and have no inode flags. */
static int perform_ioctl(const struct metadata_call *call, int path_fd)
{
    struct link_name link = link_of(path_fd);
    unsigned type = object_type(path_fd);
    const int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

    if (type != S_IFREG && type != S_IFDIR)
        return -ENOTTY;
    CLEANUP_FD int fd = open(link.text, O_RDONLY | flags);
    if (fd < 0 && errno == EACCES && type == S_IFREG)
        fd = open(link.text, O_WRONLY | flags);
    if (fd < 0)
        return -errno;
    return (int)sys_call3(SYS_ioctl, fd, call->ioctl->command, (long)call->value);
}

/* AT_EMPTY_PATH: since Linux 6.6. A container's filter answers a call that it does not know with EPERM; where
 * that is the file's answer it comes again. */
static int perform_mode(const struct metadata_call *call, int path_fd)
{
    long result = sys_call4(SYS_fchmodat2, path_fd, (long)"", call->mode, AT_EMPTY_PATH);

    if (result != -ENOSYS && result != -EPERM)
        return (int)result;
    struct link_name link = link_of(path_fd);
    return (int)sys_call3(SYS_fchmodat, AT_FDCWD, (long)link.text, call->mode);
}

/* AT_EMPTY_PATH: since Linux 5.8. */
static int perform_times(const struct metadata_call *call, int path_fd)
{
    long times = call->times_are_now ? 0 : (long)call->times;
    long result = sys_call4(SYS_utimensat, path_fd, (long)"", times, AT_EMPTY_PATH);

    if (result != -EINVAL) /* may be about the times: then it comes again */
        return (int)result;
    struct link_name link = link_of(path_fd);
    return (int)sys_call4(SYS_utimensat, AT_FDCWD, (long)link.text, times, 0);
}

int metadata_perform(const struct metadata_call *call, int path_fd)
{
    struct link_name link = link_of(path_fd);
    const long name = (long)call->name;
    const long target = (long)link.text;

    switch (call->spelling->operation) {
    case METADATA_MODE:
        return perform_mode(call, path_fd);
    case METADATA_OWNER:
        return (int)sys_call5(SYS_fchownat, path_fd, (long)"", call->uid, call->gid, AT_EMPTY_PATH);
    case METADATA_TIMES_SECONDS:
    case METADATA_TIMES_MICROSECONDS:
    case METADATA_TIMES_NANOSECONDS:
        return perform_times(call, path_fd);
    case METADATA_XATTR_SET:
    case METADATA_XATTR_SET_PACKED:
        return (int)sys_call5(SYS_setxattr, target, name, (long)call->value, (long)call->size,
                              call->flags);
    case METADATA_XATTR_REMOVE:
        return (int)sys_call2(SYS_removexattr, target, name);
    case METADATA_FILE_ATTRIBUTES:
        return (int)sys_call5(SYS_file_setattr, AT_FDCWD, target, (long)call->value,
                              (long)call->size, 0);
    case METADATA_INODE_IOCTL:
        return perform_ioctl(call, path_fd);
    }
    return -EIO;
}
