/*
 * Rules on register values that hold for every policy, as tables. The first row of a set that holds
 * decides. Values of int and unsigned parameters are compared by their low 32 bits, which is what
 * the kernel reads.
 */
#include "filter/argument_rules.h"

#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>

/* clang-format off */
#define DENY(number) .action = FILTER_ERRNO(number)
#define PASS .action = RULE_PASS
#define EQUAL(number, v) {.arg = (number), .op = ARG_EQUAL, .value = (v)}
#define NOT_EQUAL(number, v) {.arg = (number), .op = ARG_NOT_EQUAL, .value = (v)}
#define MASKED(number, m, v) {.arg = (number), .op = ARG_EQUAL, .mask = (m), .value = (v)}
#define MASKED_NOT(number, m, v) {.arg = (number), .op = ARG_NOT_EQUAL, .mask = (m), .value = (v)}
#define ANY_BIT(number, m) {.arg = (number), .op = ARG_ANY_BIT, .mask = (m)}
#define NOT_NULL(number) {.arg = (number), .op = ARG_NOT_NULL}
#define BETWEEN(number, low, high) \
    {.arg = (number), .op = ARG_IN_RANGE, .value = (low), .value_high = (high)}
#define BETWEEN_LOW16(number, low, high) \
    {.arg = (number), .op = ARG_IN_RANGE, .mask = 0xFFFF, .value = (low), .value_high = (high)}

#define ROW_WHEN(condition, answer, ...) \
    {condition, \
     {.test_count = sizeof((struct arg_test[]){__VA_ARGS__}) / sizeof(struct arg_test), \
      .tests = {__VA_ARGS__}, answer}}
#define ROW(answer, ...) ROW_WHEN(RULE_ALWAYS, answer, __VA_ARGS__)
#define ROW_ELSE_WHEN(condition, answer) {condition, {.test_count = 0, answer}}
#define ROW_ELSE(answer) ROW_ELSE_WHEN(RULE_ALWAYS, answer)
/* clang-format on */

/* ---- Processes ------------------------------------------------------------------------------- */

#define CLONE_NAMESPACES                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

static const struct argument_rule clone_rules[] = {
    /* CLONE_NEWTIME lies in the byte that clone(2) takes for the exit signal: only clone3 has it.
     */
    ROW(DENY(EPERM), ANY_BIT(0, CLONE_NAMESPACES)),
    /* CLONE_PARENT would make a member the child of the guardian, or of the host, whose
     * waitpid(-1) then reaps it; CLONE_UNTRACED escapes from ptrace's fork tracking. */
    ROW(DENY(EPERM), ANY_BIT(0, CLONE_PARENT | CLONE_UNTRACED)),
    /* Threads never count and never trap. */
    ROW(.action = FILTER_ALLOW, ANY_BIT(0, CLONE_THREAD)),
    /* Who shares a table could put another socket in the place of the one that a message is injected to
     * (kernel/fetch.h); the threads of a process are stopped meanwhile, other processes are not. No libc
     * spawns so. */
    ROW_WHEN(RULE_TRACED, DENY(EPERM), ANY_BIT(0, CLONE_FILES)),
};

/* Refused under a supervisor only: a nested sandbox needs namespaces. By this flag alone nothing is unshared, it only
 * asks whether the process has other threads, as does who is about to confine itself. */
static const struct argument_rule unshare_rules[] = {
    ROW_WHEN(RULE_SUPERVISED, DENY(EPERM), NOT_EQUAL(0, CLONE_THREAD)),
};

static const struct argument_rule prctl_rules[] = {
    ROW(DENY(EPERM), EQUAL(0, PR_SET_DUMPABLE)), /* the supervisor must be able to read memory */
    ROW(DENY(EPERM), EQUAL(0, PR_SET_SECUREBITS)),
    ROW(DENY(EPERM), EQUAL(0, PR_SET_PTRACER)), /* lets any process attach under Yama */
    ROW_WHEN(RULE_HUGE_PAGES_OFF, DENY(EPERM), EQUAL(0, 41 /* PR_SET_THP_DISABLE */)),
};

/*
 * Refused under a supervisor. Without one, who is killed and traced with PTRACE_O_TRACEEXIT stops once more, and
 * only its tracer, or that one's end, lets it go on: members that trace each other so would stay until the machine
 * starts again, and SIGKILL is dropped by then. Options come with PTRACE_SETOPTIONS, by its old number too, and
 * PTRACE_SEIZE; threads and children of who is traced can have no others.
 */
#define TRACE_EXIT 0x40 /* PTRACE_O_TRACEEXIT */

static const struct argument_rule ptrace_rules[] = {
    ROW_ELSE_WHEN(RULE_SUPERVISED, DENY(EPERM)),
    ROW(DENY(EPERM), EQUAL(0, 0x4200 /* PTRACE_SETOPTIONS */), ANY_BIT(3, TRACE_EXIT)),
    ROW(DENY(EPERM), EQUAL(0, 0x4206 /* PTRACE_SEIZE */), ANY_BIT(3, TRACE_EXIT)),
    ROW(DENY(EPERM), EQUAL(0, 21 /* PTRACE_OLDSETOPTIONS */), ANY_BIT(3, TRACE_EXIT)),
};

static const struct argument_rule personality_rules[] = {
    ROW(PASS, EQUAL(0, 0xFFFFFFFF)), /* a query */
    ROW(DENY(EPERM), NOT_EQUAL(0, 0)),
};

/*
 * Landlock does not keep a member from changing other processes of the same user, the supervisor
 * among them, by these calls. 0 is the caller itself. With the process gate the supervisor decides
 * on other ids, which is a trap; without it they are refused.
 */
static const struct argument_rule own_pid_rules[] = {
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(0, 0)),
};

static const struct argument_rule own_affinity_rules[] = {
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(0, 0)),
    ROW_WHEN(RULE_CORES_UNGATED, DENY(EPERM), EQUAL(0, 0)),
};

static const struct argument_rule own_prlimit_rules[] = {
    /* Without a new limit it only asks. */
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(0, 0), NOT_NULL(2)),
};

static const struct argument_rule own_priority_rules[] = {
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(1, 0)),
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(0, 0 /* PRIO_PROCESS */)),
};

static const struct argument_rule own_ioprio_rules[] = {
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(1, 0)),
    ROW_WHEN(RULE_UNGATED, DENY(EPERM), NOT_EQUAL(0, 1 /* IOPRIO_WHO_PROCESS */)),
};

/* ---- Devices and interfaces ------------------------------------------------------------------ */

static const struct argument_rule ioctl_rules[] = {
    ROW(DENY(EPERM), EQUAL(1, 0x5412 /* TIOCSTI: types into the terminal */)),
    /* TIOCLINUX: selection and paste on the console; TIOCCONS: takes the console's output. */
    ROW(DENY(EPERM), BETWEEN(1, 0x541C, 0x541D)),
    ROW(DENY(EPERM), EQUAL(1, 0x5423 /* TIOCSETD: loads line disciplines */)),
    /* TCXONC with TCOOFF: who writes to the terminal next waits for somebody to switch it on again. */
    ROW(DENY(EPERM), EQUAL(1, 0x540A), EQUAL(2, 0)),
    /* What would stay on the caller's terminal, or take it from its session. */
    ROW(DENY(EPERM), EQUAL(1, 0x540C /* TIOCEXCL */)),
    ROW(DENY(EPERM), EQUAL(1, 0x5437 /* TIOCVHANGUP */)),
    ROW(DENY(EPERM), EQUAL(1, 0x5457 /* TIOCSLCKTRMIOS */)),
    ROW(DENY(EPERM), EQUAL(1, 0x540E /* TIOCSCTTY */), NOT_EQUAL(2, 0 /* by force */)),
    ROW_WHEN(RULE_KEEPS_SESSION, DENY(EPERM), EQUAL(1, 0x5422 /* TIOCNOTTY */)),
    /* Of a console, which whoever has it as controlling terminal may do: what all consoles of the machine share,
     * what stays after the run, and what keeps others from switching. A tone (KIOCSOUND), lights (KDSETLED), ports
     * (KDADDIO to KDDISABIO) and graphics (KDSETMODE), how characters are shown (PIO_SCRNMAP, PIO_FONT, PIO_UNIMAP,
     * PIO_UNIMAPCLR, PIO_UNISCRNMAP, PIO_FONTX, PIO_FONTRESET, KDFONTOP) and colours (PIO_CMAP), the keyboard
     * (KDSKBMODE, KDSKBENT, KDSKBSENT, KDSKBDIACR, KDSETKEYCODE, KDSIGACCEPT, KDKBDREP, KDSKBMETA, KDSKBLED,
     * KDSKBDIACRUC), switching and sizes (VT_SETMODE, VT_RELDISP to VT_UNLOCKSWITCH, VT_SETACTIVATE). */
    ROW(DENY(EPERM), EQUAL(1, 0x4B2F)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B32)),
    ROW(DENY(EPERM), BETWEEN(1, 0x4B34, 0x4B37)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B3A)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B41)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B45)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B47)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B49)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B4B)),
    ROW(DENY(EPERM), BETWEEN(1, 0x4B4D, 0x4B4E)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B52)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B61)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B63)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B65)),
    ROW(DENY(EPERM), BETWEEN(1, 0x4B67, 0x4B68)),
    ROW(DENY(EPERM), EQUAL(1, 0x4B6A)),
    ROW(DENY(EPERM), BETWEEN(1, 0x4B6C, 0x4B6D)),
    ROW(DENY(EPERM), BETWEEN(1, 0x4B71, 0x4B72)),
    ROW(DENY(EPERM), EQUAL(1, 0x4BFB)),
    ROW(DENY(EPERM), EQUAL(1, 0x5602)),
    ROW(DENY(EPERM), BETWEEN(1, 0x5605, 0x560C)),
    ROW(DENY(EPERM), EQUAL(1, 0x560F)),
    /* Of a serial line, for root: ports and interrupts. */
    ROW_WHEN(RULE_PRIVILEGED, DENY(EPERM), EQUAL(1, 0x541F /* TIOCSSERIAL */)),
    /* Routes (SIOCADDRT, for root) and interface requests (SIOCGIFNAME to private and wireless
     * ones) change or tell the host's network, which no Landlock right covers. 0x894B in their midst
     * is SIOCOUTQNSD, a question to a TCP socket; 0x89E0 to 0x89EF belong to the protocols. */
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, EQUAL(1, 0x8910 /* SIOCGIFNAME */)),
    /* SIOCGIFFLAGS, ADDR, DSTADDR, BRDADDR, NETMASK and METRIC: odd numbers to 0x891F. */
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, MASKED(1, ~(uint32_t)0xE, 0x8911)),
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, EQUAL(1, 0x8921 /* SIOCGIFMTU */)),
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, EQUAL(1, 0x8927 /* SIOCGIFHWADDR */)),
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, EQUAL(1, 0x8933 /* SIOCGIFINDEX */)),
    ROW_WHEN(RULE_INTERFACES_TRAPPED, PASS, EQUAL(1, 0x8942 /* SIOCGIFTXQLEN */)),
    ROW(DENY(EPERM), BETWEEN(1, 0x890B, 0x894A)),
    ROW(DENY(EPERM), BETWEEN(1, 0x894C, 0x89DF)),
    ROW(DENY(EPERM), BETWEEN(1, 0x89F0, 0x8BFF)),
    /* For root: requests to files that are no devices, so that Landlock does not judge them, and that do not ask
     * how the file was opened. Access mode 3, for neither reading nor writing, needs no right of Landlock's. That
     * mode itself is not refused, only with O_TRUNC where that does harm (open_arg1_rules below): open and openat
     * have it in a register, openat2 has it in memory, which can change after every look, so no way would be closed
     * without refusing openat2, and all opens would lose the kernel's unconditional pass. */
    /* /proc/mtrr: MTRRIOC_*, but the two that only ask. MTD, also 'M', has other sizes. */
    ROW(DENY(EPERM), BETWEEN(1, 0x40104D00, 0x40104D09)),
    ROW(DENY(EPERM), EQUAL(1, 0xC0086987 /* /proc/i8k: I8K_SET_FAN */)),
    /* /proc/xen/privcmd: hypercalls, which have a size and no direction, as nothing else of type 'P'. */
    ROW(DENY(EPERM), MASKED(1, 0xC000FF00, 0x5000), ANY_BIT(1, 0x3FFF0000)),
    /* OCFS2, exactly, as UBI is 'o', too: groups for root, and OCFS2_IOC_REFLINK, which copies what it names by
     * path. */
    ROW(DENY(EPERM), BETWEEN(1, 0x40186F02, 0x40186F04)),
    /* Ceph: CEPH_IOC_SET_LAYOUT and SET_LAYOUT_POLICY, where a file's data, and new files', go. */
    ROW(DENY(EPERM), BETWEEN(1, 0x40289702, 0x40289705)),
    /* File systems do more through a descriptor than reading it: make and destroy subvolumes,
     * freeze, resize, add encryption keys. By type and number, whatever direction and size a request
     * claims. What is left of these types are questions, clones between files (which need descriptors to
     * read and to write) and what the metadata gate judges. Deduplication reads without such a descriptor,
     * and asking for the salt of encryption makes one (0x6614). */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x5821, 0x58FF)), /* 'X': FIFREEZE, FITRIM, XFS */
    /* 'f': ext4, f2fs, fscrypt keys. For root, as above, also PAGEMAP_SCAN (0x6610) and PROCMAP_QUERY (0x6611),
     * which /proc/PID/pagemap and maps of processes outside answer. */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x6605, 0x6612)),
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x6614, 0x6614)),
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x6617, 0x6684)),
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x6688, 0x66FF)),
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x9400, 0x9408)), /* btrfs, but FICLONE */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x940A, 0x940C)), /* FICLONERANGE */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x940E, 0x9430)), /* FS_IOC_GETFSLABEL, SETFSLABEL */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x9433, 0x94FF)),
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0xF500, 0xF5FF)), /* f2fs */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0x6E80, 0x6E8F)), /* 'n': NILFS2 */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0xBC00, 0xBCFF)), /* bcachefs: subvolumes by path */
    /* autofs, which asks for CAP_SYS_ADMIN alone: AUTOFS_IOC_READY, FAIL, CATATONIC, which ends the automount for
     * the machine, SETTIMEOUT, EXPIRE and EXPIRE_MULTI. */
    ROW_WHEN(RULE_PRIVILEGED, DENY(EPERM), BETWEEN_LOW16(1, 0x9360, 0x9362)),
    ROW_WHEN(RULE_PRIVILEGED, DENY(EPERM), BETWEEN_LOW16(1, 0x9364, 0x9366)),
    /* NS_MNT_GET_INFO, GET_NEXT and GET_PREV tell of every mount namespace, and make descriptors of them. */
    ROW_WHEN(RULE_PRIVILEGED, DENY(EPERM), BETWEEN_LOW16(1, 0xB70A, 0xB70C)),
    /* CIFS_QUERY_INFO opens the file anew, and for root sets its size. */
    ROW(DENY(EPERM), BETWEEN_LOW16(1, 0xCF07, 0xCF07)),
};

/* A lease or delegation on a file under a read grant stalls everybody else who opens it; dnotify
 * shows what others do in a directory. */
static const struct argument_rule fcntl_rules[] = {
    ROW(DENY(EPERM), EQUAL(1, 1024 /* F_SETLEASE */)),
    ROW(DENY(EPERM), EQUAL(1, 1026 /* F_NOTIFY */)),
    ROW(DENY(EPERM), EQUAL(1, 1040 /* F_SETDELEG */)),
};

/* MADV_HWPOISON and MADV_SOFT_OFFLINE take pages of memory from the machine until it starts again, those of a file
 * from everybody who reads it, for whoever may only read it. Both ask for CAP_SYS_ADMIN, so a filter without
 * members who could have it allows every madvise without being run. */
static const struct argument_rule madvise_rules[] = {
    ROW_WHEN(RULE_PRIVILEGED, DENY(EPERM), BETWEEN(2, 100, 101)),
};

/* The node of a device below a write grant opens what no grant names. A whiteout (0:0) opens nothing, and who
 * unpacks images makes it. */
#define TYPE_BITS 0xF000
#define BLOCK_DEVICE 0x6000
#define CHARACTER_DEVICE 0x2000

static const struct argument_rule mknod_arg1_rules[] = {
    ROW(DENY(EPERM), MASKED(1, TYPE_BITS, BLOCK_DEVICE)),
    ROW(DENY(EPERM), MASKED(1, TYPE_BITS, CHARACTER_DEVICE), NOT_EQUAL(2, 0)),
};

static const struct argument_rule mknod_arg2_rules[] = {
    ROW(DENY(EPERM), MASKED(2, TYPE_BITS, BLOCK_DEVICE)),
    ROW(DENY(EPERM), MASKED(2, TYPE_BITS, CHARACTER_DEVICE), NOT_EQUAL(3, 0)),
};

/* Who is in another session than the terminal is not stopped when it reads in the background. A process that leads
 * its group is refused by the kernel, too, so programs know it. */
static const struct argument_rule setsid_rules[] = {
    ROW_ELSE_WHEN(RULE_KEEPS_SESSION, DENY(EPERM)),
};

/* ---- Opening --------------------------------------------------------------------------------- */

/*
 * When a file is opened Landlock asks for the rights of the access mode, which are none in mode 3, and for the one to
 * truncate only after the file system has opened it. By then an overlay has copied the file without its content, and
 * a FUSE server was told to empty it (member/object.h). Opened for writing the file needs a write grant, which is
 * asked for in time; O_TRUNC without writing is of use to hardly anybody.
 */
#define ACCESS_MODE 3U /* O_ACCMODE of musl has O_PATH, too */

#define TRUNCATION_ROWS(number)                                                                    \
    ROW_WHEN(RULE_EARLY_TRUNCATION, DENY(EACCES), MASKED(number, O_TRUNC | ACCESS_MODE, O_TRUNC)), \
        ROW_WHEN(RULE_EARLY_TRUNCATION, DENY(EACCES),                                              \
                 MASKED(number, O_TRUNC | ACCESS_MODE, O_TRUNC | ACCESS_MODE))

static const struct argument_rule open_arg1_rules[] = {
    TRUNCATION_ROWS(1),
};

static const struct argument_rule open_arg2_rules[] = {
    TRUNCATION_ROWS(2),
};

/* As clone3: the flags lie in memory, which a filter cannot read and a supervisor cannot judge without a race. Who
 * uses it falls back to openat. */
static const struct argument_rule openat2_rules[] = {
    ROW_ELSE_WHEN(RULE_EARLY_TRUNCATION, DENY(ENOSYS)),
};

/* ---- Sockets --------------------------------------------------------------------------------- */

/* The numbers of <linux/socket.h> and <linux/in.h>, the same on every architecture here. */
enum {
    FAMILY_UNIX = 1,
    FAMILY_INET = 2,
    FAMILY_INET6 = 10,
    FAMILY_NETLINK = 16,
    TYPE_STREAM = 1,
    TYPE_DGRAM = 2,
    TYPE_RAW = 3,
    TYPE_PACKET = 10, /* on AF_INET it silently becomes AF_PACKET for a privileged caller */
    PROTOCOL_ICMP = 1,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ICMPV6 = 58,
};

#define TYPE_MASK 0xF /* without SOCK_CLOEXEC and SOCK_NONBLOCK */

/* AF_INET and AF_INET6 differ in exactly this bit. */
#define INET_MASK (~(uint32_t)(FAMILY_INET ^ FAMILY_INET6))

/*
 * Landlock's TCP rights do not see other stream protocols (MPTCP, SCTP, SMC), which reach the same
 * peers; programs fall back to TCP on EPROTONOSUPPORT. UDP and ping sockets need a network rule.
 * Other datagram protocols (UDP-Lite, L2TP) never exist.
 */
#define INET_ROWS                                                                                \
    ROW(PASS, MASKED(1, TYPE_MASK, TYPE_STREAM), EQUAL(2, 0)),                                   \
        ROW(PASS, MASKED(1, TYPE_MASK, TYPE_STREAM), EQUAL(2, PROTOCOL_TCP)),                    \
        ROW(DENY(EPROTONOSUPPORT), MASKED(1, TYPE_MASK, TYPE_STREAM)),                           \
        ROW(DENY(EPERM), MASKED(1, TYPE_MASK, TYPE_RAW)),                                        \
        ROW(DENY(EPERM), MASKED(1, TYPE_MASK, TYPE_PACKET)),                                     \
        ROW(DENY(ESOCKTNOSUPPORT), MASKED_NOT(1, TYPE_MASK, TYPE_DGRAM)),                        \
        ROW_WHEN(RULE_UDP_CLOSED, DENY(EPERM), EQUAL(2, 0)),                                     \
        ROW_WHEN(RULE_UDP_CLOSED, DENY(EPERM), EQUAL(2, PROTOCOL_UDP)),                          \
        ROW_WHEN(RULE_UDP_POSSIBLE, PASS, EQUAL(2, 0)),                                          \
        ROW_WHEN(RULE_UDP_POSSIBLE, PASS, EQUAL(2, PROTOCOL_UDP)),                               \
        ROW_WHEN(RULE_PING_CLOSED, DENY(EPERM), EQUAL(2, PROTOCOL_ICMP), EQUAL(0, FAMILY_INET)), \
        ROW_WHEN(RULE_PING_CLOSED, DENY(EPERM), EQUAL(2, PROTOCOL_ICMPV6),                       \
                 EQUAL(0, FAMILY_INET6)),                                                        \
        ROW_WHEN(RULE_PING_POSSIBLE, PASS, EQUAL(2, PROTOCOL_ICMP), EQUAL(0, FAMILY_INET)),      \
        ROW_WHEN(RULE_PING_POSSIBLE, PASS, EQUAL(2, PROTOCOL_ICMPV6), EQUAL(0, FAMILY_INET6)),   \
        ROW_ELSE(DENY(EPROTONOSUPPORT))

static const struct argument_rule socket_rules[] = {
    ROW(PASS, EQUAL(0, FAMILY_UNIX)),
    /* Routing sockets (protocol 0) are the ones the supervisor stands in for. The others show the
     * host's state. */
    ROW_WHEN(RULE_NETLINK_TRAPPED, PASS, EQUAL(0, FAMILY_NETLINK), EQUAL(2, 0)),
    ROW(DENY(EAFNOSUPPORT), MASKED_NOT(0, INET_MASK, FAMILY_INET)),
    INET_ROWS,
};

static const struct argument_rule socketpair_rules[] = {
    ROW(PASS, EQUAL(0, FAMILY_UNIX)),
    ROW(DENY(EOPNOTSUPP), EQUAL(0, FAMILY_NETLINK)),
    ROW(DENY(EAFNOSUPPORT), MASKED_NOT(0, INET_MASK, FAMILY_INET)),
    INET_ROWS,
};

enum {
    LEVEL_IP = 0,
    LEVEL_SOCKET = 1,
    LEVEL_TCP = 6,
    LEVEL_IPV6 = 41,
};

/*
 * Source routing makes a packet pass by other hosts than the address says, and an interface of the socket's
 * (SO_BINDTODEVICE and its kin, a mark that rules of routing ask for, a next hop) sends it where the address
 * does not lead, a loopback address out of the machine; asked back it also tells the interfaces' names. Joining a
 * multicast group sends a packet that carries the group's address, also from a TCP socket; nothing is joined, so
 * what is about a group (to leave it, to block a source) can only tell which interfaces there are, as does the one
 * by which multicast is sent. That one is of use where datagrams are sent. Above lie options that are not
 * known, the tables of the packet filter and multicast routing. An upper layer protocol may turn a TCP socket into
 * one that connects unseen; TCP_REPAIR makes up connections.
 */
static const struct argument_rule setsockopt_rules[] = {
    ROW(DENY(EPERM), EQUAL(1, LEVEL_SOCKET), EQUAL(2, 25 /* SO_BINDTODEVICE */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_SOCKET), EQUAL(2, 36 /* SO_MARK */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_SOCKET), EQUAL(2, 62 /* SO_BINDTOIFINDEX */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), EQUAL(2, 4 /* IP_OPTIONS */)),
    /* IP_FREEBIND: with a source that is not the machine's the answer goes to an address that no rule names, and
     * with the bytes that it answers. IP_IPSEC_POLICY and IP_XFRM_POLICY, for root, lead a packet through a tunnel;
     * IP_TRANSPARENT is the first for root. The same of IPv6 below. */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 15, 17)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), EQUAL(2, 19 /* IP_TRANSPARENT */)),
    ROW_WHEN(RULE_UDP_UNUSED, DENY(EPERM), EQUAL(1, LEVEL_IP), EQUAL(2, 32 /* IP_MULTICAST_IF */)),
    /* IP_ADD_MEMBERSHIP to MCAST_MSFILTER */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 35, 48)),
    /* IP_UNICAST_IF; IP_LOCAL_PORT_RANGE, also of IPv6 sockets: with a range of one port a bind to port 0, and
     * what takes a port without a bind, takes a port of the member's choice. */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 50, 0xFFFFFFFF)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_TCP), EQUAL(2, 19 /* TCP_REPAIR */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_TCP), EQUAL(2, 31 /* TCP_ULP */)),
    /* Makes an IPv4 socket of it, which keeps an interface that no IPv4 socket can have otherwise. */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 1 /* IPV6_ADDRFORM */)),
    /* IPV6_2292RTHDR, IPV6_2292PKTOPTIONS */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 5, 6)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 9 /* IPV6_NEXTHOP */)),
    ROW_WHEN(RULE_UDP_UNUSED, DENY(EPERM), EQUAL(1, LEVEL_IPV6),
             EQUAL(2, 17 /* IPV6_MULTICAST_IF */)),
    /* IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_ROUTER_ALERT */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 20, 22)),
    /* IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 27, 28)),
    /* A flow label brings a routing header of its own to the packets that carry it. */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 32 /* IPV6_FLOWLABEL_MGR */)),
    /* IPV6_IPSEC_POLICY, IPV6_XFRM_POLICY */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 34, 35)),
    /* MCAST_JOIN_GROUP to MCAST_MSFILTER */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 42, 48)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 50 /* IPV6_PKTINFO */)),
    /* IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS; between the others lie IPV6_RECVRTHDR and IPV6_RECVDSTOPTS */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 54, 55)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 57 /* IPV6_RTHDR */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 59 /* IPV6_DSTOPTS */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 64, 65)),
    /* IPV6_TRANSPARENT, IPV6_UNICAST_IF */
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 75, 76)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), EQUAL(2, 78 /* IPV6_FREEBIND */)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 200, 0xFFFFFFFF)),
    /* With it another thread begins datagrams for names; see net/device.h, device_begins(). */
    ROW_WHEN(RULE_SENDS_TRAPPED, DENY(EPERM), EQUAL(1, 17 /* IPPROTO_UDP */),
             EQUAL(2, 1 /* UDP_CORK */)),
    /* What is sent on behalf comes from the supervisor's memory; a completion would mean nothing.
     */
    ROW_WHEN(RULE_SENDS_TRAPPED, DENY(EOPNOTSUPP), EQUAL(1, LEVEL_SOCKET),
             EQUAL(2, 60 /* SO_ZEROCOPY */)),
};

/* The packet filter's tables, for root: beside IPT_SO_ lie ARPT_SO_ and EBT_SO_, and above 200 the options of
 * multicast routing and of IPVS. 80 in their midst is SO_ORIGINAL_DST, about the socket itself. A socket that got
 * bound to an interface with an address would tell its name. Asked for the filter of a group (IP_MSFILTER,
 * MCAST_MSFILTER) the kernel tells whether there is the interface. */
static const struct argument_rule getsockopt_rules[] = {
    ROW(DENY(EPERM), EQUAL(1, LEVEL_SOCKET), EQUAL(2, 25 /* SO_BINDTODEVICE */)),
    /* SO_MEMINFO counts what a filter dropped: of a UDP socket that is to receive nothing (net/inert_udp.c) it would
     * tell of each datagram. */
    ROW_WHEN(RULE_UDP_UNSURE, DENY(EPERM), EQUAL(1, LEVEL_SOCKET), EQUAL(2, 55)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 41, 48)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 64, 67)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 96, 131)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IP), BETWEEN(2, 200, 0xFFFFFFFF)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 42, 48)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 64, 65)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 68, 69)),
    ROW(DENY(EPERM), EQUAL(1, LEVEL_IPV6), BETWEEN(2, 200, 0xFFFFFFFF)),
};

#define FASTOPEN 0x20000000U

/* MSG_FASTOPEN connects while it sends, unseen by Landlock's connect right. The answer is what the
 * kernel says when fast open is off, so clients fall back. */
static const struct argument_rule fastopen_arg2_rules[] = {
    ROW(DENY(EOPNOTSUPP), ANY_BIT(2, FASTOPEN)),
};

static const struct argument_rule fastopen_arg3_rules[] = {
    ROW(DENY(EOPNOTSUPP), ANY_BIT(3, FASTOPEN)),
};

/* ---------------------------------------------------------------------------------------------- */

#define SET(name) [RULES_##name] = {name##_rules, sizeof(name##_rules) / sizeof(name##_rules[0])}

struct argument_rules argument_rules_get(enum rule_set set)
{
    static const struct argument_rules sets[] = {
        [RULES_none] = {NULL, 0},
        SET(clone),
        SET(unshare),
        SET(ioctl),
        SET(prctl),
        SET(ptrace),
        SET(personality),
        SET(socket),
        SET(socketpair),
        SET(setsockopt),
        SET(getsockopt),
        SET(fastopen_arg2),
        SET(fastopen_arg3),
        SET(own_pid),
        SET(own_affinity),
        SET(mknod_arg1),
        SET(mknod_arg2),
        SET(open_arg1),
        SET(open_arg2),
        SET(openat2),
        SET(setsid),
        SET(own_prlimit),
        SET(own_priority),
        SET(own_ioprio),
        SET(fcntl),
        SET(madvise),
    };

    return sets[set];
}
