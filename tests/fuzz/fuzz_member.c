/*
 * What members pass by register and by memory, decoded as for a notification: the fuzzer's own memory
 * is the member's. Nothing is performed. Also the pure parts around it: a member's own links, the
 * cover of grants, the advice.
 */
#include "input.h"

#include "gates/metadata_call.h"
#include "member/path_verdict.h"
#include "kernel/procfs.h"
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_SIZE 8192

static uint64_t working_directory(uint64_t number)
{
    (void)number;
    return (uint64_t)(uint32_t)AT_FDCWD;
}

/* A grant of the root directory. */
static const struct grants *get_everything(void)
{
    static struct grants grants;

    if (grants.count == 0) {
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        check(grants_pin(&grants, root, true, true) == 0 && grants_resolve(&grants) == 0);
    }
    return &grants;
}

static void check_object(const struct object *object)
{
    check(memchr(object->path, '\0', sizeof(object->path)) != NULL);
    check(object->base >= 0 || (!object->is_base && object->path[0] == '/'));
    int pinned = object_pin(object, true);
    if (pinned < 0)
        return;
    const struct grants *everything = get_everything();
    char path[PATH_MAX];
    enum path_verdict verdict = path_verdict_of(everything, pinned, true, false, path);
    check(verdict != PATH_REFUSED && (verdict != PATH_GRANTED || path[0] == '/'));
    check(path_verdict_of(NULL, pinned, true, false, path) != PATH_GRANTED);
    close(pinned);
}

static void decode(struct input *input, const struct member_view *view)
{
    struct seccomp_data data = {0};
    const struct metadata_spelling *spelling =
        &metadata_spellings[next_byte(input) % metadata_spelling_count];
    struct metadata_call *call = metadata_call_new();
    char *memory = calloc(1, MEMORY_SIZE);

    check(call != NULL && memory != NULL);
    for (int i = 0; i < 6; i++)
        data.args[i] = next_register(input, memory, 1, working_directory);
    if (spelling->operation == METADATA_INODE_IOCTL) /* the filter lets only these through */
        data.args[1] = inode_ioctls[data.args[1] % inode_ioctl_count].command;
    memcpy(memory, input->data, input->left < MEMORY_SIZE ? input->left : MEMORY_SIZE);

    int result = metadata_decode(call, spelling, view, &data);
    check(result <= 0 && result >= -4095 && result != -EIO);
    if (result == 0) {
        check(memchr(call->name, '\0', sizeof(call->name)) != NULL);
        check(call->size <= METADATA_VALUE_MAX && (call->size == 0 || call->value != NULL));
        if (!call->is_nothing)
            check_object(&call->object);
    }
    metadata_call_free(call);
    free(memory);
}

static void check_own_link(const char *path, const struct member_view *view)
{
    struct own_link link;

    if (!own_link_parse(path, view->tid, view->tgid, &link))
        return;
    check(path[0] == '/' && memchr(link.name, '\0', sizeof(link.name)) != NULL);
    check(strncmp(link.name, "fd/", 3) == 0 || strcmp(link.name, "cwd") == 0 ||
          strcmp(link.name, "root") == 0 || strcmp(link.name, "exe") == 0);
    check(link.rest[0] != '/');
}

static void check_cover(const char *path)
{
    struct grant items[] = {
        {.path = (char *)"/a", .path_fd = -1, .directory = true},
        {.path = (char *)"/a/b", .path_fd = -1, .writable = true, .directory = true},
        {.path = (char *)"/file", .path_fd = -1, .writable = true},
    };
    struct grants grants = {.items = items, .count = 3};
    bool below_a = strcmp(path, "/a") == 0 || strncmp(path, "/a/", 3) == 0;
    bool below_b = strcmp(path, "/a/b") == 0 || strncmp(path, "/a/b/", 5) == 0;
    bool file = strcmp(path, "/file") == 0;

    check((grants_find(&grants, path, false) != NULL) == (below_a || file));
    check((grants_find(&grants, path, true) != NULL) == (below_b || file));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int proc_fd = -1; /* once for all inputs */
    struct input input = {data, size};
    CLEANUP_BUFFER struct buffer advice = BUFFER_INIT;

    if (proc_fd < 0)
        proc_fd = procfs_open();
    check(proc_fd >= 0);
    struct member_view view = {proc_fd, gettid(), getpid()};
    bool is_path = next_byte(&input) % 2 == 0;
    if (!is_path) {
        decode(&input, &view);
        return 0;
    }
    char *path = strndup((const char *)input.data, input.left);
    check(path != NULL);
    check_own_link(path, &view);
    check_cover(path);
    bool itself = input.left % 2 == 0, write = input.left % 4 < 2;
    const char *home = input.left % 3 == 0 ? NULL : "/home/somebody";
    const char *caution = path_advice(&advice, write, path, itself, home);
    check(!buffer_failed(&advice));
    check(caution == NULL || advice.length == 0);
    free(path);
    return 0;
}
