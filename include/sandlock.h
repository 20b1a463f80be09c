/*
 * sandlock: run an untrusted command under kernel confinement (Landlock, seccomp) without root,
 * namespaces or containers. This is the whole public interface of the library.
 *
 *     sandlock_builder_t *b = sandlock_sandbox_builder_new();
 *     b = sandlock_sandbox_builder_fs_read(b, "/usr");
 *     b = sandlock_sandbox_builder_fs_write(b, "/tmp/work");
 *     sandlock_sandbox_t *policy = sandlock_sandbox_build(b, NULL, NULL);
 *     const char *argv[] = {"/usr/bin/sort", "/tmp/work/list"};
 *     sandlock_result_t *result = sandlock_run(policy, NULL, argv, 2);
 *     if (result == NULL)
 *         fprintf(stderr, "%s\n", sandlock_last_error());
 *     sandlock_result_free(result);
 *     sandlock_sandbox_free(policy);
 *
 * Rules that hold for every function
 *
 *   Objects    All types but the plain numbers are opaque. Each has one release function, which
 *              accepts NULL and then does nothing.
 *   Builders   A setter consumes its builder and returns the one to use from then on: always
 *              continue with the returned pointer. A NULL builder gives NULL. A NULL text or array
 *              where one is needed leaves the builder as it is. When memory runs out the builder is
 *              released and NULL returned, and the build then fails, so that no value is lost
 *              unnoticed.
 *   Strings    Strings given to a function end in NUL, are copied during the call and stay the
 *              caller's. A returned `char *` belongs to the caller and is released with
 *              sandlock_string_free(), not with free(). A returned `const` pointer is borrowed.
 *   Bytes      Paths, arguments and environment are passed on byte by byte, whatever their encoding.
 *   Errors     are NULL, -1 or the value named at the function. sandlock_last_error() then has the
 *              reason, except after setters, functions of results and those that return a plain number, which
 *              only say that what they were given is NULL or unknown. Calls that start or confine something
 *              also write one line beginning with "sandlock: " to standard error. errno is unspecified after every call. A text names a
 *              setting by its setter or, since the command line uses the same texts, by its option:
 *              "--fs-read" is fs_read, "--fs-read-try" fs_read_if_exists, "--fs-write-try"
 *              fs_write_if_exists, "--name" a parameter.
 *   Threads    Functions may be called from any thread. One builder belongs to one thread at a time.
 *              A policy never changes and may be used by any number of threads and runs at once.
 *              What may be done concurrently with one handle is said below. A thread that is cancelled
 *              (pthread_cancel) while it is in a call finishes the call first. A call needs 64 KiB of
 *              its thread's stack.
 *   The host   No call changes the process's signal dispositions, working directory, umask,
 *              environment or stdio buffers, raises SIGPIPE or SIGXFSZ in it, or exits or aborts it.
 *              Loading the library does nothing at all. All descriptors it makes are close-on-exec. Its
 *              helper processes and sandboxed commands are never reported to the host's own wait() calls,
 *              except that calls with __WALL or __WCLONE can see the helper processes; what the library
 *              reports stays right.
 *   Commands   In a program that handles signals without SA_RESTART a call that the supervisor answers can
 *              fail with EINTR while a signal arrives, having done nothing, also where the kernel's own never
 *              does: changes of modes, owners, times and attributes in every run. docs/reference.md lists
 *              the calls.
 *   Units      Sizes are bytes; times whose name ends in _ms are milliseconds.
 */
#ifndef SANDLOCK_H
#define SANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ------------------------------------------------------------------------------------- */

/* Collects the settings of a policy. */
typedef struct sandlock_builder_t sandlock_builder_t;

/* A policy: what a sandboxed command may do. Immutable. */
typedef struct sandlock_sandbox_t sandlock_sandbox_t;

/* One live sandbox: a command that is parked, running or ended. */
typedef struct sandlock_handle_t sandlock_handle_t;

/* How a run ended, with its captured output. */
typedef struct sandlock_result_t sandlock_result_t;

/* ---- Constants --------------------------------------------------------------------------------- */

/* Why a run ended. */
#ifdef __cplusplus
enum sandlock_exit_reason : uint32_t {
#else
enum sandlock_exit_reason {
#endif
    /* It exited by itself; there is an exit code. */
    SANDLOCK_EXIT_REASON_EXITED = 0,
    /* A signal other than SIGKILL ended it; there is a signal number. */
    SANDLOCK_EXIT_REASON_SIGNALED = 1,
    /* SIGKILL ended it, whoever sent it, or its status could not be obtained. */
    SANDLOCK_EXIT_REASON_KILLED = 2,
    /* The time limit of sandlock_handle_wait_timeout() was reached. */
    SANDLOCK_EXIT_REASON_TIMEOUT = 3
};
#ifndef __cplusplus
typedef uint32_t sandlock_exit_reason;
#endif

/* Protections of the kernel that can be made optional. A protection that is neither degradable nor
 * disabled is strict: where the kernel lacks it, nothing is run. */
#ifdef __cplusplus
enum sandlock_protection : uint32_t {
#else
enum sandlock_protection {
#endif
    /* Moving and linking files between directories follows the grants of both (Landlock ABI 2). */
    SANDLOCK_PROTECTION_FS_REFER = 0,
    /* Truncating needs a write grant (ABI 3). */
    SANDLOCK_PROTECTION_FS_TRUNCATE = 1,
    /* TCP bind and connect by port (ABI 4). */
    SANDLOCK_PROTECTION_NET_TCP = 2,
    /* ioctl on devices (ABI 5). */
    SANDLOCK_PROTECTION_FS_IOCTL_DEV = 3,
    /* Signals reach members of the sandbox only (ABI 6). */
    SANDLOCK_PROTECTION_SIGNAL_SCOPE = 4,
    /* Abstract unix sockets of others cannot be reached (ABI 6). */
    SANDLOCK_PROTECTION_ABSTRACT_UNIX_SOCKET_SCOPE = 5
};
#ifndef __cplusplus
typedef uint32_t sandlock_protection;
#endif

/* What sandlock_popen() does with one standard stream. */
#ifdef __cplusplus
enum sandlock_stdio_mode : uint32_t {
#else
enum sandlock_stdio_mode {
#endif
    /* The command uses the host's stream; for a terminal see "Running a command to its end". */
    SANDLOCK_STDIO_INHERIT = 0,
    /* A pipe whose other end the caller gets. */
    SANDLOCK_STDIO_PIPED = 1,
    /* /dev/null: reading ends at once, written data is discarded. */
    SANDLOCK_STDIO_NULL = 2
};
#ifndef __cplusplus
typedef uint32_t sandlock_stdio_mode;
#endif

/* ---- Errors, versions, strings ----------------------------------------------------------------- */

/* Why the last failed call on this thread failed. Borrowed, never NULL ("" before any failure), valid
 * until the next call of the library on this thread. A call that succeeds leaves it alone, except
 * where a function below says that it also explains a success. It contains no secrets (no environment
 * values). Any thread. */
const char *sandlock_last_error(void);

/* The errno behind sandlock_last_error(), 0 if there is none. Any thread. */
int sandlock_last_errno(void);

/* The release of this library, such as "1.2.3". Static. */
const char *sandlock_version(void);

/* 1 if this build has the named option of a policy ("max-processes"), protection ("net-tcp") or feature
 * ("metadata-gate"), as the command line spells it; 0 if not, also for NULL and for options of the command
 * line alone ("timeout", "name"). Any thread. */
int sandlock_feature(const char *name);

/* Releases a string that a function of this library handed out. NULL, a pointer that the library did
 * not hand out and one that was released before are ignored. Any thread. */
void sandlock_string_free(char *string);

/* The directory in which profiles are looked up by name: .config/sandlock/profiles in the user's
 * home directory, as raw bytes; it need not exist. Owned string. On failure NULL, and *err_msg (if
 * err_msg is not NULL) is an owned text; on success *err_msg is NULL. Fails when the user has no
 * usable home directory. Any thread. */
char *sandlock_profile_dir(char **err_msg);

/* ---- Building a policy -------------------------------------------------------------------------
 *
 * Setters store what they are given; everything is judged at once by sandlock_sandbox_build(). Paths
 * and the abilities of the kernel are not looked at before a run.
 */

/* A builder that allows nothing. NULL only when memory has run out. */
sandlock_builder_t *sandlock_sandbox_builder_new(void);

/* Releases a builder that is not going to be built. */
void sandlock_builder_free(sandlock_builder_t *b);

/* Allows reading and executing `path` and everything below it. May be called repeatedly. A path that
 * does not exist makes the run fail. A relative path is taken from the command's directory. */
sandlock_builder_t *sandlock_sandbox_builder_fs_read(sandlock_builder_t *b, const char *path);

/* The same, but a path that does not exist when the run begins is left out. */
sandlock_builder_t *sandlock_sandbox_builder_fs_read_if_exists(sandlock_builder_t *b,
                                                               const char *path);

/* Allows reading, executing, writing, creating and removing at `path` and below it. May be called
 * repeatedly. A path that does not exist makes the run fail. */
sandlock_builder_t *sandlock_sandbox_builder_fs_write(sandlock_builder_t *b, const char *path);

/* The same, but a path that does not exist when the run begins is left out. */
sandlock_builder_t *sandlock_sandbox_builder_fs_write_if_exists(sandlock_builder_t *b,
                                                                const char *path);

/* Allows the GPUs with these numbers, replacing an earlier call. `len` 0 (then `devices` may be NULL):
 * every GPU. NULL with a `len` above 0: nothing happens. Default: no GPU. */
sandlock_builder_t *sandlock_sandbox_builder_gpu_devices(sandlock_builder_t *b,
                                                         const uint32_t *devices, uint32_t len);

/* The command's working directory; the last call counts. Default: the host's. */
sandlock_builder_t *sandlock_sandbox_builder_cwd(sandlock_builder_t *b, const char *path);

/* At most `n` processes at a time; threads are not counted. A fork beyond that fails with EAGAIN. Under a
 * limit a fork can also fail with EINTR while a signal arrives, in programs that handle signals without
 * SA_RESTART: dash can then report "Cannot fork" in some pipelines. 0 is refused by the build. Default: no
 * limit. */
sandlock_builder_t *sandlock_sandbox_builder_max_processes(sandlock_builder_t *b, uint32_t n);

/* The CPUs the command may run on, replacing an earlier call. `len` 0: no restriction. NULL with a
 * `len` above 0: nothing happens. Default: as inherited. */
sandlock_builder_t *sandlock_sandbox_builder_cpu_cores(sandlock_builder_t *b, const uint32_t *cores,
                                                       uint32_t len);

/* Allows connections to a destination: "[SCHEME://][TARGET][:PORTS]". SCHEME is tcp, udp or icmp; without
 * one the rule is for TCP and UDP. TARGET is a host, an address, a CIDR or "*" (any address, as without
 * TARGET); PORTS is a comma list of "N" and "LO-HI", or "*" (every port, as without PORTS); icmp takes no
 * ports. An IPv6 address with ports stands in brackets. Hosts are resolved once, when a run begins. May
 * be called repeatedly. A malformed spec is refused by the build. Default: none. */
sandlock_builder_t *sandlock_sandbox_builder_net_allow(sandlock_builder_t *b, const char *spec);

/* Denies a destination, whatever else allows it; the same form without host names. Without any
 * net_allow every other destination is allowed. May be called repeatedly. */
sandlock_builder_t *sandlock_sandbox_builder_net_deny(sandlock_builder_t *b, const char *spec);

/* Allows binding TCP ports: "8080", "8000-8010", a comma list of those, or "*" for every port. May be
 * called repeatedly, but "*" cannot be combined with ports. Default: none. */
sandlock_builder_t *sandlock_sandbox_builder_net_allow_bind(sandlock_builder_t *b,
                                                            const char *spec);

/* Denies binding TCP ports ("8080", "8000-8010", a comma list), whatever else allows it. Without any
 * net_allow_bind every other port may be bound. May be called repeatedly. */
sandlock_builder_t *sandlock_sandbox_builder_net_deny_bind(sandlock_builder_t *b, const char *spec);

/* true: a port that is taken on the host is replaced by a free one, which the command does not see.
 * Allows no port by itself. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_port_remap(sandlock_builder_t *b, bool v);

/* Runs the command as this user and group, through a user namespace with this one entry. Refused by the
 * start in a process that is not dumpable (prctl(2), PR_SET_DUMPABLE), as one that has changed its user
 * and not executed anything since. Default: unchanged. */
sandlock_builder_t *sandlock_sandbox_builder_user(sandlock_builder_t *b, uint32_t uid,
                                                  uint32_t gid);

/* true: the command's environment starts from PATH, HOME, USER, TERM and LANG only. Default: false,
 * everything is inherited. */
sandlock_builder_t *sandlock_sandbox_builder_clean_env(sandlock_builder_t *b, bool v);

/* Sets a variable of the command's environment; the last value of a key counts. A key that is empty
 * or contains '=' is refused by the build. */
sandlock_builder_t *sandlock_sandbox_builder_env_var(sandlock_builder_t *b, const char *key,
                                                     const char *value);

/* Denies further system calls: a comma list of names and groups ("sysv_ipc"). Blanks around names and
 * empty items are ignored. May be called repeatedly. An unknown name is refused by the build, as is one that
 * no command could start without ("read", "dup3", "fcntl", "prlimit64", ...). */
sandlock_builder_t *sandlock_sandbox_builder_extra_deny_syscalls(sandlock_builder_t *b,
                                                                 const char *names);

/* Allows groups of system calls that are denied by default: a comma list of group names
 * ("sysv_ipc"). Single calls cannot be allowed again. May be called repeatedly. */
sandlock_builder_t *sandlock_sandbox_builder_extra_allow_syscalls(sandlock_builder_t *b,
                                                                  const char *names);

/* At most `n` open descriptors per process. 0 is refused by the build. Default: as inherited. */
sandlock_builder_t *sandlock_sandbox_builder_max_open_files(sandlock_builder_t *b, unsigned int n);

/* true: no address space randomisation. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_no_randomize_memory(sandlock_builder_t *b, bool v);

/* true: no transparent huge pages. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_no_huge_pages(sandlock_builder_t *b, bool v);

/* true: no core dumps, also none that a core handler would receive. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_no_coredump(sandlock_builder_t *b, bool v);

/* Enforces the protection where the kernel has it and runs without it where not (see enum
 * sandlock_protection). The last call of allow_degraded and disable counts for a protection. An
 * unknown number changes nothing. */
sandlock_builder_t *sandlock_sandbox_builder_allow_degraded(sandlock_builder_t *b,
                                                            uint32_t protection);

/* Never enforces the protection. Disabling SANDLOCK_PROTECTION_FS_REFER is refused by the build. An
 * unknown number changes nothing. */
sandlock_builder_t *sandlock_sandbox_builder_disable(sandlock_builder_t *b, uint32_t protection);

/* true: kernel enforcement only, no system call is supervised. Needed to start a sandbox inside a
 * sandbox; settings that need supervision are refused by the build. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_no_supervisor(sandlock_builder_t *b, bool v);

/* Switches off a feature that is on by default: "metadata-gate", "process-gate", "unix-gate",
 * "listen-gate", "netlink-view", "hosts-view", "proc-view" or "supervisor-confinement". Weakens the sandbox.
 * May be called repeatedly; an unknown name is refused by the build. */
sandlock_builder_t *sandlock_sandbox_builder_without(sandlock_builder_t *b, const char *feature);

/* The start is refused unless these entries of sandlock_handle_posture() are active: a comma list of names. May be
 * called repeatedly. */
sandlock_builder_t *sandlock_sandbox_builder_require(sandlock_builder_t *b, const char *names);

/* true: what the kernel refuses by itself is also recorded, for sandlock_handle_denials(). Costs time
 * in the command. Default: false. */
sandlock_builder_t *sandlock_sandbox_builder_explain(sandlock_builder_t *b, bool v);

/* Makes the policy. Always consumes the builder. Success: the policy (one reference, released with
 * sandlock_sandbox_free()), *err 0 and *err_msg NULL. Failure: NULL, *err -1 and *err_msg an owned
 * text that names the setting, the value and the reason. `err` and `err_msg` may be NULL. A NULL
 * builder fails without text. */
sandlock_sandbox_t *sandlock_sandbox_build(sandlock_builder_t *b, int *err, char **err_msg);

/* Releases a policy. Running sandboxes keep what they need of it, so this may be called right after
 * starting one. */
void sandlock_sandbox_free(sandlock_sandbox_t *policy);

/* ---- Confining the calling thread; what the system offers ---------------------------------------- */

/* Confines the calling thread, and threads and processes it creates later, to the policy's file
 * grants, and its signals and abstract sockets to what is created under the same call. Irreversible.
 * 0, or -1 and nothing is changed. A policy that says more than file grants and protections is refused
 * and the settings are named. Call it before creating threads: in a process that has others all are
 * confined where the kernel can do that (Landlock ABI 8); elsewhere the call is refused, because they
 * would stay unconfined. Threads that have been joined are none. */
int sandlock_confine(const sandlock_sandbox_t *policy);

/* The Landlock ABI that a protection needs; 0 for an unknown number. */
uint32_t sandlock_protection_min_abi(uint32_t protection);

/* The Landlock ABI of the running kernel, -1 if it has none. */
int sandlock_landlock_abi_version(void);

/* The Landlock ABI that all protections together need. */
int sandlock_min_landlock_abi(void);

/* The number of a system call on this architecture by the kernel's name; -1 for NULL and unknown
 * names. */
int64_t sandlock_syscall_nr(const char *name);

/* ---- Running a command to its end -----------------------------------------------------------------
 *
 * Parameters of all functions that start something:
 *   policy  what the command may do; not consumed
 *   name    name of the sandbox, which is unique among the user's live sandboxes: 1 to 64 bytes of
 *           UTF-8 without blanks, control characters, characters that hide or reorder text (U+200B, U+202E, ...)
 *           and '/', not "." or "..". NULL: sandbox-PID-N
 *   argv    the command (a path, or a name looked up in the command's PATH) and its arguments, `argc`
 *           pointers; no NULL is needed behind them and none is allowed among them
 *   argc    at least 1, at most 2^20
 *
 * A command that cannot be executed is not a failure of the call: it ends with exit code 127 and one
 * line beginning with "sandlock child: " on the command's standard error; sandlock_last_error() of the call that
 * waited for it has the reason, too. A command gets no descriptor of the host but
 * its three streams.
 *
 * The terminal goes only to a command that inherits all three streams while standard input is the terminal and the
 * host is in front of it (sandlock_run_interactive(), or sandlock_popen() with these modes). Every other
 * command is in the background: reading from an inherited terminal, or changing its settings, fails with EIO and
 * leaves it to the host. If not all three streams are inherited, a terminal that is standard input is /dev/null for
 * the command, and in every run one that is of another session than the host's. Give commands that may ask for
 * input a standard input of their own (SANDLOCK_STDIO_NULL, SANDLOCK_STDIO_PIPED). No shell continues a command
 * without its host, so the terminal stops none: Ctrl-Z has no effect on one in front. A program that asks again and
 * again until it is in front, such as an interactive shell, does not end by itself in the background.
 */

/* Runs the command; standard input is inherited, standard output and error are captured. Blocks until
 * the command has exited and every process it left behind is dead. The result is owned. NULL if the
 * command could not be started. */
sandlock_result_t *sandlock_run(const sandlock_sandbox_t *policy, const char *name,
                                const char *const *argv, unsigned int argc);

/* The same with all three streams inherited. If standard input is a terminal the command gets it, and
 * the host gets it back. Returns the exit code; -1 if the command could not be started or was ended by
 * a signal, which sandlock_last_error() tells. */
int sandlock_run_interactive(const sandlock_sandbox_t *policy, const char *name,
                             const char *const *argv, unsigned int argc);

/* ---- Live sandboxes ---------------------------------------------------------------------------------
 *
 * A handle belongs to the process that made it. In one that was forked from it (os.fork(), multiprocessing)
 * every call on the copy fails, and sandlock_handle_free() forgets it and touches nothing else.
 *
 * While one thread waits for a handle, other threads may call pid, kill, pause, resume, poll_fd,
 * posture, denials, port_mappings and start on it, and wait too. sandlock_handle_free() is called when no other call
 * is in progress. A handle may be used by another thread than the one that made it, and that thread
 * may end. The host may become another user meanwhile, or root again (setresuid, seteuid): handles made before
 * stay usable and their commands get nothing of that, but a name can then be had only by the former user again,
 * and what would show the host's new user to others is refused (EACCES: connections of unix stream sockets, and
 * unix sockets that the supervisor binds or makes listen). The host may also change its working directory, its
 * umask and its root directory (chroot), which moves nothing of theirs. Where a container's profile refuses
 * unshare(CLONE_FS), or no thread can be made, a new root directory ends the sandboxes that were made before
 * (KILLED) with their next supervised call.
 *
 * A thread with a descriptor table of its own (unshare(CLONE_FILES)) can do less with handles that were made
 * on another table: port_mappings tells nothing, a popen without a supervisor cannot be waited for (EBADF), and
 * sandlock_handle_free() ends the sandbox but leaves its descriptors in the other table. With the last thread of
 * the table on which a handle was made its sandbox ends.
 *
 * The descriptors of live handles are not to be closed (close_range(), closefrom(), as daemons do at their start): end
 * the sandboxes before, or close what is yours. A host that does it all the same ends those sandboxes: their members
 * are killed at once, waits return KILLED within about a second ("this process has closed the descriptors of the
 * sandbox"; without a supervisor a popen's fails with EBADF, as above), and kill and free return as ever, but some
 * memory stays. What the host opens under the numbers is not read, written or closed. That is looked at before each
 * use, and cannot be certain for a start, or a call of a command, that is under way at that moment. So that it is seen
 * where nothing happens, the supervising thread of each running sandbox wakes up once a second.
 *
 * Until it is freed a handle takes about 20 descriptors of the host, and supervised calls take some more for a
 * moment: for N handles at a time allow for 30 N (RLIMIT_NOFILE). Where too few are left a start fails (EMFILE). A limit
 * that is lowered below what is in use can end a running sandbox (KILLED).
 */

/* Makes a sandbox whose command is confined and parked right before it is executed, until
 * sandlock_start(). Standard input is inherited, output is captured and collected in the background.
 * Owned handle, NULL on failure. */
sandlock_handle_t *sandlock_create(const sandlock_sandbox_t *policy, const char *name,
                                   const char *const *argv, unsigned int argc);

/* The same for callers that start and wait at once on the same thread. Works also where the process
 * may not create threads; then the command makes progress only during the wait, and supervised calls that
 * may wait for others (connections, messages, terminal changes) can be refused with EAGAIN. */
sandlock_handle_t *sandlock_create_for_run(const sandlock_sandbox_t *policy, const char *name,
                                           const char *const *argv, unsigned int argc);

/* Lets the parked command go. 0 once; -1 for NULL, a second time, after sandlock_handle_kill(), and for a
 * handle of sandlock_popen(). */
int sandlock_start(sandlock_handle_t *handle);

/* Starts the command with the given modes (enum sandlock_stdio_mode) for its standard streams. Each
 * out pointer may be NULL. *out_..._fd first becomes -1. For a piped stream it then receives the
 * caller's end: a blocking, close-on-exec descriptor that the caller closes; with a NULL pointer that
 * end is closed at once. Returns when the command is on its way, without waiting for its execution.
 * An unknown mode gives NULL.
 *
 * Nobody closes the caller's ends but the caller: close a piped standard input and read piped output
 * before or while waiting, else the wait may never end. */
sandlock_handle_t *sandlock_popen(const sandlock_sandbox_t *policy, const char *name,
                                  const char *const *argv, unsigned int argc, uint32_t stdin_mode,
                                  uint32_t stdout_mode, uint32_t stderr_mode, int *out_stdin_fd,
                                  int *out_stdout_fd, int *out_stderr_fd);

/* The command's process id, which is also its process group; the same after it has ended. 0 for
 * NULL. Do not signal it after a wait has returned: the number may have been used again. */
int32_t sandlock_handle_pid(const sandlock_handle_t *handle);

/* SIGKILL to every process of the sandbox; when the call returns it has been sent to all, and a command that
 * was parked never runs. 0, also if nothing was left; -1 for NULL or if it could not be done. The status can still
 * be waited for.
 *
 * This, pause and resume wait for the sandbox's guardian process, which takes no longer than the machine is
 * busy. If it has not answered after 5 seconds (it was stopped by a signal, or frozen) they are -1 with
 * ETIMEDOUT, and what was ordered is done as soon as it goes on. */
int sandlock_handle_kill(sandlock_handle_t *handle);

/* Stops every process of the sandbox, and lets those that pause stopped go on; done when the call returns. Of
 * several calls, also on several threads, the last one counts. Up to 256 that had been
 * stopped before stay so; others, and all where /proc hides processes or is another pid namespace's, go
 * on as well. Pausing again stops those whom something has continued meanwhile: a program can arrange for
 * that by a timer whose signal is SIGCONT, as with every SIGSTOP. 0, or -1 for NULL, a command that is not
 * running (sandlock_last_errno() ESRCH when no process is left) or a failure. */
int sandlock_handle_pause(sandlock_handle_t *handle);
int sandlock_handle_resume(sandlock_handle_t *handle);

/* Blocks until the command has exited, kills what it left behind and collects the captured output. On
 * a handle that was never started it blocks until another thread starts or kills it. Owned result;
 * every further call returns the same status and output again. NULL for NULL or on an error.
 *
 * Processes that were killed and do not end (they wait for a file system that does not answer, or are traced) are not
 * waited for without end: when for 5 seconds none of them has ended or run, the result is that of the command as far as
 * it is known, and sandlock_last_error() names them. They execute nothing any more. */
sandlock_result_t *sandlock_handle_wait(sandlock_handle_t *handle);

/* The same for at most `timeout_ms` milliseconds (0: no limit). When they are over, every process is
 * killed and the result has the reason TIMEOUT and the output so far; but a command that has exited by
 * then has its own result, however long the processes it left behind take to end. */
sandlock_result_t *sandlock_handle_wait_timeout(sandlock_handle_t *handle, uint64_t timeout_ms);

/* A new descriptor that becomes readable (POLLIN) when the command has exited, for event loops; then
 * sandlock_handle_wait() does not block for long. Close-on-exec, closed by the caller. -1 for NULL or
 * on an error. */
int sandlock_handle_poll_fd(const sandlock_handle_t *handle);

/* What is enforced in this run and by what, as one JSON object: "v", "sandbox", "kernel", "landlock", "mode",
 * "entries", "methods", "exceptions" (docs/reference.md has their members). Owned string; NULL for NULL or on an
 * error. */
char *sandlock_handle_posture(const sandlock_handle_t *handle);

/* The denials recorded so far as a JSON array, oldest first: what was refused, on which object, why,
 * and what would allow it (docs/reference.md has the members). Equal ones are one record with a count. The first 4096
 * different ones are kept as long as the handle; reading makes no room. Owned string; NULL for NULL, and for a run
 * that nothing supervises. */
char *sandlock_handle_denials(const sandlock_handle_t *handle);

/* How many further denials there have been so far that are not recorded, as 4096 different ones were already or
 * there was no memory. 0 also for NULL and for a run that nothing supervises. */
uint64_t sandlock_handle_denials_dropped(const sandlock_handle_t *handle);

/* With port_remap: the ports the sandbox has bound whose real port on the host is another one, as a JSON
 * object from virtual ports to real ones, {"80":9001,"443":9002}. Ports of sockets that are closed are
 * not listed any more. Released with sandlock_string_free(). NULL if there are none, and for NULL. */
char *sandlock_handle_port_mappings(const sandlock_handle_t *handle);

/* Kills every process of the sandbox, also of one that was never started, waits until they are gone
 * and releases the handle. Results obtained from it stay valid. Where they do not end (see sandlock_handle_wait())
 * it returns after some seconds, and what the handle uses stays until this process ends. */
void sandlock_handle_free(sandlock_handle_t *handle);

/* ---- Results ----------------------------------------------------------------------------------------
 *
 * A result does not change. Any thread may read it.
 */

/* The exit code; -1 for NULL and for every reason but EXITED. */
int sandlock_result_exit_code(const sandlock_result_t *result);

/* Why the run ended; KILLED for NULL. */
sandlock_exit_reason sandlock_result_reason(const sandlock_result_t *result);

/* The signal that ended the command; -1 for NULL and for every reason but SIGNALED. */
int sandlock_result_signal(const sandlock_result_t *result);

/* True if the command exited with code 0; false for NULL. */
bool sandlock_result_success(const sandlock_result_t *result);

/* Output is captured without a limit. Where there is no memory for more of it, it ends and the command's
 * pipe breaks; sandlock_last_error() and a line on standard error say so after the call that gave the result,
 * which is NULL if even a copy of it finds none.
 *
 * The captured output as an owned UTF-8 string in which invalid bytes are replaced by U+FFFD. NULL for
 * NULL, if the stream was not captured, and if it contains a NUL byte. */
char *sandlock_result_stdout(const sandlock_result_t *result);
char *sandlock_result_stderr(const sandlock_result_t *result);

/* The captured bytes, borrowed until the result is freed; *len receives their number. Not captured:
 * NULL and *len 0. Nothing was written: not NULL, and *len 0. NULL if an argument is NULL. */
const uint8_t *sandlock_result_stdout_bytes(const sandlock_result_t *result, uintptr_t *len);
const uint8_t *sandlock_result_stderr_bytes(const sandlock_result_t *result, uintptr_t *len);

/* Releases a result. */
void sandlock_result_free(sandlock_result_t *result);

#ifdef __cplusplus
}
#endif

#endif
