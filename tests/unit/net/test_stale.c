/* The network does nothing for a caller that is gone: see stale_run.h. */
#include "stale_network.h"

#include "gates/gates.h"
#include "net/held.h"
#include "net/net.h"
#include "net/network.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Not in every libc's headers. */
#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif

/* ---- Where, and with what ---------------------------------------------------------------------------- */

static char root[64];
static struct sockaddr_in tcp_peer, udp_peer, free_port;
static int udp_receiver, mailbox;

/* A call that the supervisor is to go on with later. */
bool __real_held_submit(struct holder *holder, struct held *call);
bool __wrap_held_submit(struct holder *holder, struct held *call);

static atomic_int *held; /* how many */

bool __wrap_held_submit(struct holder *holder, struct held *call)
{
    bool submitted = __real_held_submit(holder, call);

    atomic_fetch_add(held, 1);
    return submitted;
}

static int in_root(struct sockaddr_un *name, const char *file)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    return snprintf(name->sun_path, sizeof(name->sun_path), "%s/%s", root, file);
}

static int internet_socket(int type, struct sockaddr_in *name)
{
    socklen_t length = sizeof(*name);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)name, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)name, &length), 0);
    return fd;
}

static int make_place(void **state)
{
    struct sockaddr_un name;

    (void)state;
    strcpy(root, "/tmp/sandlock-stale-XXXXXX");
    assert_non_null(mkdtemp(root));
    in_root(&name, "server");
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(server, 100), 0);
    in_root(&name, "mailbox");
    mailbox = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(mailbox, (struct sockaddr *)&name, sizeof(name)), 0);
    in_root(&name, "file");
    fd_close(open(name.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(listen(internet_socket(SOCK_STREAM, &tcp_peer), 100), 0);
    udp_receiver = internet_socket(SOCK_DGRAM, &udp_peer);
    fd_close(internet_socket(SOCK_STREAM, &free_port));
    /* Where no connection of others begins. */
    free_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    held = mmap(NULL, sizeof(*held), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(held, MAP_FAILED);
    return 0;
}

static int remove_place(void **state)
{
    static const char *const files[] = {"server", "mailbox", "file", "made"};
    struct sockaddr_un name;

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        in_root(&name, files[i]);
        unlink(name.sun_path);
    }
    munmap(held, sizeof(*held));
    return rmdir(root);
}

/* ---- The calls: whether they had their effect -------------------------------------------------------- */

static bool changes_mode(void)
{
    struct sockaddr_un name;

    in_root(&name, "file");
    chmod(name.sun_path, 0640);
    return true;
}

static bool mode_has_changed(void)
{
    struct sockaddr_un name;
    struct stat status;

    in_root(&name, "file");
    bool changed = stat(name.sun_path, &status) == 0 && (status.st_mode & 0777) == 0640;
    return chmod(name.sun_path, 0600) == 0 && changed;
}

static bool is_connected(int fd)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);

    return getpeername(fd, (struct sockaddr *)&name, &length) == 0;
}

static bool connects(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    connect(fd, (struct sockaddr *)&tcp_peer, sizeof(tcp_peer));
    return is_connected(fd);
}

static bool connects_to_a_name(void)
{
    struct sockaddr_un name;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    in_root(&name, "server");
    connect(fd, (struct sockaddr *)&name, sizeof(name));
    return is_connected(fd);
}

/* The queue of its server is full at first. What waits is not the caller's any more: the supervisor holds it. */
static bool connects_when_there_is_room(void)
{
    struct sockaddr_un name;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), status;
    int first = socket(AF_UNIX, SOCK_STREAM, 0);

    in_root(&name, "made");
    unlink(name.sun_path); /* of a run that got no further */
    atomic_store(held, 0);
    if (bind(server, (struct sockaddr *)&name, sizeof(name)) != 0 || listen(server, 0) != 0)
        return false;
    if (connect(first, (struct sockaddr *)&name, sizeof(name)) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(fd, (struct sockaddr *)&name, sizeof(name));
        _exit(is_connected(fd));
    }
    pid_t ended = 0;
    while (ended == 0 && atomic_load(held) == 0) {
        usleep(100);
        ended = waitpid(pid, &status, WNOHANG);
    }
    accept(server, NULL, NULL);
    if (ended == 0)
        waitpid(pid, &status, 0);
    unlink(name.sun_path);
    return WEXITSTATUS(status) == 1;
}

static bool has_arrived(void)
{
    char byte;

    return recv(udp_receiver, &byte, 1, MSG_DONTWAIT) == 1;
}

static bool sends(void)
{
    sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&udp_peer,
           sizeof(udp_peer));
    return true;
}

static bool sends_a_message(void)
{
    struct iovec data = {(void *)"x", 1};
    struct msghdr message = {
        .msg_name = &udp_peer, .msg_namelen = sizeof(udp_peer), .msg_iov = &data, .msg_iovlen = 1};

    sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &message, 0);
    return true;
}

static bool sends_several(void)
{
    struct iovec data = {(void *)"x", 1};
    struct mmsghdr message = {.msg_hdr = {.msg_name = &udp_peer,
                                          .msg_namelen = sizeof(udp_peer),
                                          .msg_iov = &data,
                                          .msg_iovlen = 1}};

    sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), &message, 1, 0);
    return true;
}

static bool binds(void)
{
    struct sockaddr_in name = {0};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    bind(fd, (struct sockaddr *)&free_port, sizeof(free_port));
    return getsockname(fd, (struct sockaddr *)&name, &length) == 0 && name.sin_port != 0;
}

static bool binds_a_name(void)
{
    struct sockaddr_un name;

    in_root(&name, "made");
    bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof(name));
    return unlink(name.sun_path) == 0;
}

static bool listens(void)
{
    int fds[2], listening = 0;
    socklen_t length = sizeof(listening);
    struct sockaddr_un nameless = {.sun_family = AF_UNIX};

    fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fds[0], (struct sockaddr *)&nameless, sizeof(nameless.sun_family)) != 0)
        return false;
    listen(fds[0], 1);
    return getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 &&
           listening != 0;
}

static bool sets_lingering(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct linger linger = {.l_onoff = 1};
    socklen_t length = sizeof(linger);

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    linger.l_onoff = 0;
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff != 0;
}

static bool asks_for_an_interface(void)
{
    struct ifreq request = {.ifr_name = "lo"};

    request.ifr_ifindex = 77;
    ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCGIFINDEX, &request);
    return request.ifr_ifindex != 77;
}

static bool sends_to_a_name(void)
{
    struct sockaddr_un name;

    in_root(&name, "mailbox");
    sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&name, sizeof(name));
    return true;
}

static bool has_mail(void)
{
    char byte;

    return recv(mailbox, &byte, 1, MSG_DONTWAIT) == 1;
}

/* With an address, which is what makes the supervisor send it. */
static bool passes_a_descriptor(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct sockaddr_un name;
    struct iovec data = {(void *)"x", 1};
    struct msghdr message = {.msg_name = &name,
                             .msg_namelen = sizeof(name),
                             .msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    in_root(&name, "mailbox");
    memcpy(CMSG_DATA(&control.header), &(int){0}, sizeof(int));
    sendmsg(socket(AF_UNIX, SOCK_DGRAM, 0), &message, 0);
    return true;
}

static bool widens_its_processors(void)
{
    cpu_set_t set;

    memset(&set, 0xFF, sizeof(set));
    sched_setaffinity(0, sizeof(set), &set);
    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1;
}

static volatile sig_atomic_t pipes_broken;

static void on_broken_pipe(int number)
{
    (void)number;
    pipes_broken++;
}

/* The supervisor sends a descriptor, and raises what the kernel would have. */
static bool breaks_a_pipe(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec data = {(void *)"x", 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int fds[2];

    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = on_broken_pipe}, NULL);
    memcpy(CMSG_DATA(&control.header), &(int){0}, sizeof(int));
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return false;
    close(fds[0]);
    sendmsg(fds[1], &message, 0);
    return pipes_broken != 0;
}

static bool asks_for_its_name(void)
{
    struct sockaddr_in name = {.sin_port = 77};
    socklen_t length = sizeof(name);

    getsockname(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&name, &length);
    return name.sin_port != 77;
}

static bool asks_for_a_peer_name(void)
{
    struct sockaddr_in name = {.sin_port = 77};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&tcp_peer, sizeof(tcp_peer)) == 0)
        getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &name, &length);
    return name.sin_port != 77;
}

static bool listens_at_a_port(void)
{
    int listening = 0;
    socklen_t length = sizeof(listening);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&free_port, sizeof(free_port)) != 0)
        return false;
    listen(fd, 1);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

static bool lists_routes(void)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } request = {.header = {sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}};
    char reply[4096];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);

    send(fd, &request, sizeof(request), 0);
    return recv(fd, reply, sizeof(reply), 0) > 0;
}

static bool binds_a_port_id(void)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_pid = 7777}, bound = {0};
    socklen_t length = sizeof(bound);
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

    bind(fd, (struct sockaddr *)&name, sizeof(name));
    return getsockname(fd, (struct sockaddr *)&bound, &length) == 0 && bound.nl_pid == 7777;
}

static bool asks_for_a_port_id(void)
{
    struct sockaddr_nl name = {.nl_family = 77};
    socklen_t length = sizeof(name);

    getsockname(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), (struct sockaddr *)&name, &length);
    return name.nl_family != 77;
}

static bool asks_for_a_domain(void)
{
    int domain = 77;
    socklen_t length = sizeof(domain);

    getsockopt(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), SOL_SOCKET, SO_DOMAIN, &domain,
               &length);
    return domain != 77;
}

static const struct call calls[] = {
    {"chmod", changes_mode, mode_has_changed, 2, 1, 0},
    {"connect", connects, NULL, 1, 0, 0},
    {"connect to a name", connects_to_a_name, NULL, 5, 2, 0},
    {"connect that waits", connects_when_there_is_room, NULL, 12, 4, 0},
    {"sendto", sends, has_arrived, 1, 0, 0},
    {"sendmsg", sends_a_message, has_arrived, 1, 0, 0},
    {"sendmmsg", sends_several, has_arrived, 2, 0, 1},
    {"sendto a name", sends_to_a_name, has_mail, 5, 3, 0},
    {"SCM_RIGHTS", passes_a_descriptor, has_mail, 5, 2, 0},
    {"bind", binds, NULL, 2, 1, 0},
    {"bind of a name", binds_a_name, NULL, 1, 0, 0},
    {"listen", listens, NULL, 2, 1, 0},
    {"listen at a port", listens_at_a_port, NULL, 4, 1, 0},
    {"SO_LINGER", sets_lingering, NULL, 2, 0, 0},
    {"SIGPIPE", breaks_a_pipe, NULL, 4, 1, 0},
    {"SIOCGIFINDEX", asks_for_an_interface, NULL, 1, 0, 0},
    {"sched_setaffinity", widens_its_processors, NULL, 1, 0, 0}, /* the last: needs two of them */
};

/* Where sockets are named by virtual ports. */
static const struct call remapped_calls[] = {
    {"bind", binds, NULL, 5, 1, 0},
    {"bind of a name", binds_a_name, NULL, 4, 1, 0},
    {"getsockname", asks_for_its_name, NULL, 2, 0, 0},
    {"SO_PEERNAME", asks_for_a_peer_name, NULL, 3, 0, 0},
    {"NETLINK_ROUTE", lists_routes, NULL, 1, 0, 1},
    {"bind of NETLINK_ROUTE", binds_a_port_id, NULL, 1, 0, 1},
    {"getsockname of NETLINK_ROUTE", asks_for_a_port_id, NULL, 1, 0, 0},
    {"getsockopt of NETLINK_ROUTE", asks_for_a_domain, NULL, 1, 0, 0},
};

/* ---- The runs ---------------------------------------------------------------------------------------- */

static const char *first_processor(void)
{
    static char option[32];
    cpu_set_t set;
    int core = 0;

    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(core, &set))
        core++;
    snprintf(option, sizeof(option), "--cpu-cores=%d", core);
    return option;
}

static void try_calls(const char *const *words, const struct feature *const *features,
                      const struct call *tried, size_t count)
{
    stale_try_in_network(root, true, words, features, tried, count);
}

static void a_caller_that_is_gone_has_no_effect(void **state)
{
    static const struct feature *const features[] = {
        &feature_metadata_gate, &feature_interface_view, &feature_destinations, &feature_bind,
        &feature_listen,        &feature_linger,         &feature_cpu_affinity, NULL};

    (void)state;
    try_calls(WORDS("--net-allow=127.0.0.1", "--net-allow=udp://127.0.0.1",
                    "--net-allow-bind=1-65535", "--net-deny-bind=1", first_processor()),
              features, calls,
              sizeof(calls) / sizeof(calls[0]) - (sysconf(_SC_NPROCESSORS_CONF) == 1 ? 1 : 0));
}

static void nor_where_ports_are_virtual(void **state)
{
    static const struct feature *const features[] = {&feature_netlink_view, &feature_destinations,
                                                     &feature_bind,         &feature_listen,
                                                     &feature_port_names,   NULL};

    (void)state;
    try_calls(WORDS("--net-allow=127.0.0.1", "--port-remap", "--disable=net-tcp"), features,
              remapped_calls, sizeof(remapped_calls) / sizeof(remapped_calls[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_caller_that_is_gone_has_no_effect, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(nor_where_ports_are_virtual, make_place, remove_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
