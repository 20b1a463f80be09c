/* The header as C11 and as C++17: types, sizes and values that users and bindings build on. */
#include <sandlock.h>

#ifdef __cplusplus
#define STATIC_ASSERT static_assert
#else
#define STATIC_ASSERT _Static_assert
#endif

STATIC_ASSERT(sizeof(sandlock_exit_reason) == 4, "an exit reason has 32 bits");
STATIC_ASSERT((sandlock_exit_reason)-1 > (sandlock_exit_reason)0, "an exit reason is unsigned");
STATIC_ASSERT(SANDLOCK_EXIT_REASON_EXITED == 0, "exit reason");
STATIC_ASSERT(SANDLOCK_EXIT_REASON_SIGNALED == 1, "exit reason");
STATIC_ASSERT(SANDLOCK_EXIT_REASON_KILLED == 2, "exit reason");
STATIC_ASSERT(SANDLOCK_EXIT_REASON_TIMEOUT == 3, "exit reason");
STATIC_ASSERT(SANDLOCK_STDIO_INHERIT == 0 && SANDLOCK_STDIO_PIPED == 1 && SANDLOCK_STDIO_NULL == 2,
              "stdio modes");
STATIC_ASSERT(SANDLOCK_PROTECTION_FS_REFER == 0 && SANDLOCK_PROTECTION_FS_TRUNCATE == 1 &&
                  SANDLOCK_PROTECTION_NET_TCP == 2 && SANDLOCK_PROTECTION_FS_IOCTL_DEV == 3 &&
                  SANDLOCK_PROTECTION_SIGNAL_SCOPE == 4 &&
                  SANDLOCK_PROTECTION_ABSTRACT_UNIX_SOCKET_SCOPE == 5,
              "protections");

/* The exact types: another declaration of the same function must agree. */
#ifdef __cplusplus
extern "C" {
#endif
int sandlock_run_interactive(const sandlock_sandbox_t *, const char *, const char *const *,
                             unsigned int);
const uint8_t *sandlock_result_stdout_bytes(const sandlock_result_t *, uintptr_t *);
sandlock_builder_t *sandlock_sandbox_builder_max_open_files(sandlock_builder_t *, unsigned int);
sandlock_builder_t *sandlock_sandbox_builder_cpu_cores(sandlock_builder_t *, const uint32_t *,
                                                       uint32_t);
int32_t sandlock_handle_pid(const sandlock_handle_t *);
int64_t sandlock_syscall_nr(const char *);
#ifdef __cplusplus
}
#endif

int main(void)
{
    sandlock_exit_reason reason = sandlock_result_reason(NULL);

    return reason == SANDLOCK_EXIT_REASON_KILLED ? 0 : 1;
}
