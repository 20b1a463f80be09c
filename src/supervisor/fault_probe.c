/* A supervisor that misbehaves: see fault_probe.h. */
#include "supervisor/fault_probe.h"

#if defined(SANDLOCK_FAULT_INJECTION)

#include "kernel/sys.h"
#include "util/fault.h"
#include "util/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE_ATTACH 16
#define TRACE_DETACH 17

/* What the attempts are aimed at. */
struct targets {
    const char *file;      /* exists, with content */
    const char *directory; /* exists, writable */
    const char *abstract;  /* name of a listening abstract socket */
    int port;              /* of a listening TCP socket on the loopback */
    pid_t process;         /* of the same user */
    uint64_t address;      /* readable there */
};

static const char *setting(const char *name)
{
    const char *value = getenv(name);

    return value != NULL ? value : "";
}

static long open_and_close(const char *path, int flags)
{
    long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        sys_call1(SYS_close, fd);
    return fd >= 0 ? 0 : fd;
}

static long open_in(const char *directory, const char *name, int flags)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return open_and_close(path, flags);
}

static long open_of(pid_t process, const char *name, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)process, name);
    return open_and_close(path, flags);
}

/* ---- Attempts ---------------------------------------------------------------------------------- */

static long try_open(const struct targets *targets)
{
    return open_and_close(targets->file, O_RDONLY);
}

static long try_write(const struct targets *targets)
{
    return open_and_close(targets->file, O_WRONLY | O_APPEND);
}

static long try_list(const struct targets *targets)
{
    return open_and_close(targets->directory, O_RDONLY | O_DIRECTORY);
}

static long try_create(const struct targets *targets)
{
    return open_in(targets->directory, "created", O_WRONLY | O_CREAT | O_EXCL);
}

static long try_read_memory(const struct targets *targets)
{
    char byte;
    long got = sys_process_read(targets->process, targets->address, &byte, 1);

    return got < 0 ? got : 0;
}

static long try_environ(const struct targets *targets)
{
    return open_of(targets->process, "environ", O_RDONLY);
}

static long try_mem(const struct targets *targets)
{
    return open_of(targets->process, "mem", O_RDWR);
}

static long try_rename(const struct targets *targets)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/renamed", targets->directory);
    return sys_call5(SYS_renameat2, AT_FDCWD, (long)targets->file, AT_FDCWD, (long)path, 0);
}

static long try_mkdir(const struct targets *targets)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/made", targets->directory);
    return sys_call3(SYS_mkdirat, AT_FDCWD, (long)path, 0700);
}

static long try_symlink(const struct targets *targets)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/link", targets->directory);
    return sys_call3(SYS_symlinkat, (long)"x", AT_FDCWD, (long)path);
}

static long try_truncate(const struct targets *targets)
{
    return sys_call2(SYS_truncate, (long)targets->file, 1);
}

static long try_connect(const struct targets *targets)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)targets->port)};
    long fd = sys_call3(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    long result = sys_call3(SYS_connect, fd, (long)&address, sizeof(address));
    sys_call1(SYS_close, fd);
    return result;
}

static long try_abstract(const struct targets *targets)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    long fd = sys_call3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    size_t length = strlen(targets->abstract);
    memcpy(address.sun_path + 1, targets->abstract, length);
    long result = sys_call3(SYS_connect, fd, (long)&address,
                            (long)(offsetof(struct sockaddr_un, sun_path) + 1 + length));
    sys_call1(SYS_close, fd);
    return result;
}

static long try_bind(const struct targets *targets)
{
    struct sockaddr_in address = {.sin_family = AF_INET}; /* port 0: any */
    long fd = sys_call3(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)targets;
    if (fd < 0)
        return fd;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    long result = sys_call3(SYS_bind, fd, (long)&address, sizeof(address));
    sys_call1(SYS_close, fd);
    return result;
}

static long try_trace(const struct targets *targets)
{
    int status;
    long result = sys_call4(SYS_ptrace, TRACE_ATTACH, targets->process, 0, 0);

    if (result < 0)
        return result;
    sys_call4(SYS_wait4, targets->process, (long)&status, __WALL, 0);
    sys_call4(SYS_ptrace, TRACE_DETACH, targets->process, 0, 0);
    return 0;
}

static const struct attempt {
    const char *name;
    long (*run)(const struct targets *targets);
    bool filtered; /* the role's filter refuses the call itself */
} attempts[] = {
    {"open", try_open},
    {"write", try_write},
    {"list", try_list},
    {"create", try_create},
    {"read-memory", try_read_memory},
    {"environ", try_environ},
    {"mem", try_mem},
    {"mkdir", try_mkdir, true},
    {"symlink", try_symlink, true},
    {"truncate", try_truncate, true},
    {"connect", try_connect, true},
    {"abstract", try_abstract, true},
    {"bind", try_bind, true},
    {"trace", try_trace, true},
    {"rename", try_rename, true}, /* last: it moves the file */
};

static void say(const char *name, long result)
{
    char line[128];
    int length = snprintf(line, sizeof(line), "probe %s: %s\n", name,
                          result >= 0         ? "OK"
                          : result == -EACCES ? "EACCES"
                          : result == -EPERM  ? "EPERM"
                                              : strerror((int)-result));

    fd_write_all(STDERR_FILENO, line, (size_t)length);
}

static void probe(bool all)
{
    const struct targets targets = {
        .file = setting("SANDLOCK_PROBE_FILE"),
        .directory = setting("SANDLOCK_PROBE_DIRECTORY"),
        .abstract = setting("SANDLOCK_PROBE_ABSTRACT"),
        .port = (int)strtol(setting("SANDLOCK_PROBE_PORT"), NULL, 10),
        .process = (pid_t)strtol(setting("SANDLOCK_PROBE_PROCESS"), NULL, 10),
        .address = strtoull(setting("SANDLOCK_PROBE_ADDRESS"), NULL, 0),
    };

    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        if (all || !attempts[i].filtered)
            say(attempts[i].name, attempts[i].run(&targets));
    }
}

/* ---- Violations -------------------------------------------------------------------------------- */

static long violate_execve(void)
{
    const char *argv[] = {"/bin/true", NULL};

    return sys_call3(SYS_execve, (long)argv[0], (long)argv, (long)(argv + 1));
}

static long violate_socket(void)
{
    return sys_call3(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long violate_mmap(void)
{
    return sys_call6(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long violate_mprotect(void)
{
    static char page[8192];
    long address = ((long)page + 4095) & ~4095L;

    return sys_call3(SYS_mprotect, address, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static long violate_clone(void)
{
    long child = sys_call5(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (child == 0)
        sys_call1(SYS_exit_group, 0);
    return child;
}

static long violate_ptrace(void)
{
    return sys_call4(SYS_ptrace, TRACE_ATTACH, getppid(), 0, 0);
}

static long violate_kill(void)
{
    return sys_call2(SYS_kill, getppid(), 0);
}

static long violate_mount(void)
{
    return sys_call5(SYS_mount, 0, (long)"/", 0, 0, 0);
}

static long violate_sendmsg(void)
{
    return sys_call3(SYS_sendmsg, -1, 0, 0);
}

/* Of another architecture's table, and of none: both are beyond every list. */
static long violate_unknown(void)
{
    return sys_call0(0x7fff);
}

static const struct {
    const char *fault;
    const char *call;
    long (*run)(void);
} violations[] = {
    {"violate-execve", "execve", violate_execve},
    {"violate-socket", "socket", violate_socket},
    {"violate-mmap", "mmap", violate_mmap},
    {"violate-mprotect", "mprotect", violate_mprotect},
    {"violate-clone", "clone", violate_clone},
    {"violate-ptrace", "ptrace", violate_ptrace},
    {"violate-kill", "kill", violate_kill},
    {"violate-mount", "mount", violate_mount},
    {"violate-sendmsg", "sendmsg", violate_sendmsg},
    {"violate-unknown", "system call", violate_unknown},
};

static void violate(struct supervisor *supervisor)
{
    for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
        if (!fault_is(violations[i].fault))
            continue;
        long result = violations[i].run();
        say(violations[i].call, result);
        supervisor_check_violation(supervisor, result, violations[i].call);
    }
    if (fault_is("try-clone3"))
        say("clone3", sys_call2(SYS_clone3, 0, 0));
}

void fault_misbehave(struct supervisor *supervisor, enum wall_role role)
{
    if (role == ROLE_WORKER) {
        if (fault_is("worker-probe"))
            probe(false);
        if (fault_is("worker-violate"))
            supervisor_check_violation(supervisor, sys_call1(SYS_getsid, 0), "getsid");
        return;
    }
    if (fault_is("probe-all"))
        probe(true);
    if (fault_is("probe"))
        probe(false);
    violate(supervisor);
    if (fault_is("crash-serving"))
        raise(fault_is("by-segv") ? SIGSEGV : SIGKILL);
}

#endif
