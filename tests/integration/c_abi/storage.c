/* A host with so many thread-local variables that our threads' stacks would be full of them. */
#include "check.h"

#ifndef STORAGE
#define STORAGE (240 * 1024)
#endif

static _Thread_local volatile char storage[STORAGE];

int main(void)
{
    static sandlock_sandbox_t *policy;

    storage[0] = storage[STORAGE - 1] = 1;
    policy = build(sandlock_sandbox_builder_net_allow(
        sandlock_sandbox_builder_fs_read(base_builder(), "/proc"), "127.0.0.1:9"));
    sandlock_handle_t *handle =
        sandlock_create(policy, NULL, SHELL("cat /proc/net/tcp > /dev/null; exit 3"));
    CHECK(handle != NULL);
    CHECK(sandlock_start(handle) == 0);
    check_exit(sandlock_handle_wait(handle), 3);
    char *posture = sandlock_handle_posture(handle);
    CHECK_CONTAINS(posture, "\"supervisor-landlock\"");
    CHECK(strstr(posture, "the supervisor itself is not confined") == NULL);
    sandlock_string_free(posture);
    sandlock_handle_free(handle);
    check_exit(sandlock_run(policy, NULL, SHELL("exit 4")), 4);
    sandlock_sandbox_free(policy);
    return 0;
}
