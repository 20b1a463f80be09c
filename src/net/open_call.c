/* Decoding an open: see open_call.h. */
#include "net/open_call.h"

#include "kernel/sys.h"
#include "kernel/task_memory.h"

#include <errno.h>
#include <fcntl.h>

/* An absolute path starts at the caller's root, unless dirfd is the root of the walk. */
#define SCOPED (RESOLVE_BENEATH | RESOLVE_IN_ROOT)

/* The kernel takes no more than a page. */
#define HOW_MAX 4096

static int read_how(struct open_call *call, pid_t tid, const struct seccomp_data *data)
{
    struct open_how how;
    uint8_t tail[HOW_MAX];
    uint64_t size = data->args[3];

    /* As the kernel does: a longer structure is the same one, if it says nothing new (openat2(2)). */
    if (size < sizeof(how) || size > HOW_MAX)
        return size < sizeof(how) ? -EINVAL : -E2BIG;
    int result = task_memory_read_all(tid, data->args[2], &how, sizeof(how));
    size -= sizeof(how);
    if (result >= 0 && size > 0)
        result = task_memory_read_all(tid, data->args[2] + sizeof(how), tail, size);
    if (result < 0)
        return result;
    for (size_t i = 0; i < size; i++) {
        if (tail[i] != 0)
            return -E2BIG;
    }
    call->flags = how.flags;
    call->resolve = how.resolve;
    return 0;
}

static int locate(struct open_call *call, const struct member_view *view, int dirfd)
{
    if (call->resolve == 0)
        return object_by_path(&call->object, view, dirfd, call->path,
                              open_call_has(call, O_NOFOLLOW) ? AT_SYMLINK_NOFOLLOW : 0);
    if (call->path[0] == '/' && (call->resolve & SCOPED) == 0)
        return 0;
    if (dirfd == AT_FDCWD)
        return object_by_path(&call->object, view, AT_FDCWD, ".", 0);
    return object_by_fd(&call->object, view, dirfd, true);
}

int open_call_decode(struct open_call *call, enum open_spelling spelling,
                     const struct member_view *view, const struct seccomp_data *data)
{
    bool at = spelling == OPEN_AT || spelling == OPEN_AT2;
    int dirfd = at ? (int)(uint32_t)data->args[0] : AT_FDCWD;
    int result = 0;

    call->object = OBJECT_INIT;
    call->resolve = 0;
    if (spelling == OPEN_AT2)
        result = read_how(call, view->tid, data);
    else if (spelling == OPEN_CREAT)
        call->flags = O_CREAT | O_WRONLY | O_TRUNC;
    else
        call->flags = (uint32_t)data->args[at ? 2 : 1];
    if (result < 0)
        return result;
    ssize_t length =
        task_memory_read_string(view->tid, data->args[at ? 1 : 0], call->path, sizeof(call->path));
    if (length <= 0)
        return length < 0 ? (int)length : -ENOENT;
    return locate(call, view, dirfd);
}

int open_call_pin(const struct open_call *call, bool cached_only)
{
    if (call->resolve == 0)
        return object_pin(&call->object, cached_only);

    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (call->flags & O_NOFOLLOW),
        .resolve = call->resolve | RESOLVE_NO_MAGICLINKS | (cached_only ? RESOLVE_CACHED : 0),
    };
    int start = call->object.base < 0 ? AT_FDCWD : call->object.base;
    return (int)sys_call4(SYS_openat2, start, (long)call->path, (long)&how, sizeof(how));
}

void open_call_release(struct open_call *call)
{
    object_release(&call->object);
}

bool open_call_has(const struct open_call *call, uint64_t flag)
{
    return (call->flags & flag) == flag;
}

bool open_call_writes(const struct open_call *call)
{
    return (call->flags & O_ACCMODE) != O_RDONLY || (call->flags & (O_TRUNC | O_CREAT)) != 0;
}
