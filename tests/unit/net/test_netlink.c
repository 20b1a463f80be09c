/* Virtual routing sockets at work: a child under the real filter, answered by a supervisor behind its own
 * filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../gates/gated_run.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FIRST 448
#define LAST 511

/* SO_COOKIE and these are not in every libc's headers. */
#ifndef SO_PROTOCOL
#define SO_PROTOCOL 38
#endif
#ifndef SO_DOMAIN
#define SO_DOMAIN 39
#endif

static const struct policy default_policy;

static struct gated_run prepared(int (*body)(void *data))
{
    static const struct feature *const features[] = {&feature_netlink_view, &feature_interface_view,
                                                     NULL};

    return (struct gated_run){.policy = &default_policy,
                              .features = features,
                              .window = {FIRST, LAST},
                              .confined = true,
                              .body = body};
}

static void expect_success(int (*body)(void *data))
{
    struct gated_run run = prepared(body);

    assert_int_equal(gated_run_apart(&run), 0);
}

/* ---- What bodies use ------------------------------------------------------------------------------- */

static int open_socket(int extra)
{
    return socket(AF_NETLINK, SOCK_RAW | extra, NETLINK_ROUTE);
}

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg body;
};

static struct link_request link_dump(void)
{
    return (struct link_request){
        .header = {sizeof(struct link_request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}};
}

static bool sends(int fd)
{
    struct link_request request = link_dump();

    return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

/* The reply that is there now, or within a second. */
static ssize_t reads(int fd, void *reply, size_t size, int flags)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, 1000) == 1 ? recv(fd, reply, size, flags) : -1;
}

static bool is_link_reply(const uint8_t *reply, ssize_t length, uint32_t port_id)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)reply;

    return length > (ssize_t)sizeof(*header) && header->nlmsg_type == RTM_NEWLINK &&
           header->nlmsg_seq == 7 && header->nlmsg_pid == port_id;
}

static bool answers_as(int fd, uint32_t port_id)
{
    _Alignas(8) uint8_t reply[4096];

    if (!sends(fd))
        return false;
    return is_link_reply(reply, reads(fd, reply, sizeof(reply), 0), port_id);
}

static bool is_virtual(int fd)
{
    return answers_as(fd, (uint32_t)getpid());
}

/* ---- socket ------------------------------------------------------------------------------------------ */

static int opens(void *data)
{
    (void)data;
    int fd = open_socket(SOCK_CLOEXEC);
    EXPECT(fd == LAST);
    EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    EXPECT((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    int second = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    EXPECT(second == LAST - 1);
    EXPECT(fcntl(second, F_GETFD) == 0);
    EXPECT((fcntl(second, F_GETFL) & O_NONBLOCK) != 0);
    char byte;
    EXPECT(recv(second, &byte, 1, 0) == -1 && errno == EAGAIN);
    close(fd);
    EXPECT(open_socket(0) == LAST); /* the highest number again */
    return 0;
}

static void a_socket_lies_in_the_window_with_the_flags_asked_for(void **state)
{
    (void)state;
    expect_success(opens);
}

static int refuses(void *data)
{
    (void)data;
    EXPECT(socket(AF_NETLINK, SOCK_STREAM, 0) == -1 && errno == ESOCKTNOSUPPORT);
    EXPECT(socket(AF_NETLINK, SOCK_SEQPACKET, 0) == -1 && errno == ESOCKTNOSUPPORT);
    EXPECT(socket(AF_NETLINK, SOCK_RAW | 0x100000, 0) == -1 && errno == EINVAL);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG) == -1 && errno == EAFNOSUPPORT);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT) == -1 && errno == EAFNOSUPPORT);
    int pair[2];
    EXPECT(socketpair(AF_NETLINK, SOCK_RAW, 0, pair) == -1 && errno == EOPNOTSUPP);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    return 0;
}

static void other_types_and_protocols_do_not_exist(void **state)
{
    (void)state;
    expect_success(refuses);
}

/* What libraries do with a socket: bind it, look at its name, ask, and read without waiting. */
static bool serves(int fd)
{
    _Alignas(8) uint8_t reply[4096];
    struct sockaddr_nl name = {.nl_family = AF_NETLINK};
    socklen_t length = sizeof(name);

    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) != 0 || length != sizeof(name) ||
        name.nl_family != AF_NETLINK || !sends(fd))
        return false;
    return is_link_reply(reply, recv(fd, reply, sizeof(reply), MSG_DONTWAIT), name.nl_pid);
}

static int fills_the_window(void *data)
{
    int fds[LAST - FIRST + 1];

    (void)data;
    for (int i = 0; i <= LAST - FIRST; i++) {
        fds[i] = open_socket(0);
        EXPECT(fds[i] == LAST - i && serves(fds[i]));
    }
    EXPECT(open_socket(0) == -1 && errno == ENOBUFS);
    close(fds[10]);
    EXPECT(open_socket(0) == fds[10] && serves(fds[10]));
    return 0;
}

static void a_process_has_as_many_sockets_as_numbers(void **state)
{
    (void)state;
    expect_success(fills_the_window);
}

static bool lowers_limit(rlim_t files)
{
    struct rlimit limit = {files, files};

    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static int lowers_its_limit(void *data)
{
    (void)data;
    int before = open_socket(0);
    EXPECT(lowers_limit(FIRST + 2));
    int first = open_socket(0), second = open_socket(0);
    EXPECT(first == FIRST && second == FIRST + 1 && serves(first) && serves(second));
    EXPECT(open_socket(0) == -1 && errno == EMFILE);
    close(first);
    EXPECT(lowers_limit(100));
    EXPECT(open_socket(0) == -1 && errno == EMFILE);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    EXPECT(serves(before) && serves(second)); /* what is open stays */
    return 0;
}

static void numbers_above_a_lowered_limit_are_not_used(void **state)
{
    (void)state;
    expect_success(lowers_its_limit);
}

static int has_a_low_limit(void *data)
{
    struct descriptor_window *window = data;
    int count = (int)(window->last - window->first) + 1;

    EXPECT(lowers_limit(window->last + 1));
    for (int i = 0; i < count; i++) {
        int fd = open_socket(0);
        EXPECT(fd == (int)window->last - i && serves(fd));
    }
    EXPECT(open_socket(0) == -1 && errno == ENOBUFS);
    /* Ordinary descriptors have the rest, and then these numbers too. */
    close((int)window->first);
    int fd, last = -1;
    while ((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0)
        last = fd;
    EXPECT(errno == EMFILE && last == (int)window->first);
    struct sockaddr_un name;
    socklen_t length = sizeof(name);
    EXPECT(getsockname(last, (struct sockaddr *)&name, &length) == 0);
    EXPECT(name.sun_family == AF_UNIX);
    return 0;
}

static void sockets_serve_under_a_low_limit(void **state)
{
    static const rlim_t limits[] = {8, 16, 64, 100, 256, 511};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct gated_run run = prepared(has_a_low_limit);
        run.window = netlink_window(limits[i]);
        run.data = &run.window;
        assert_int_equal(gated_run_apart(&run), 0);
    }
}

static int opens_one(void *data)
{
    (void)data;
    EXPECT(open_socket(0) == -1 && errno == EMFILE);
    return 0;
}

static void without_a_window_there_are_no_sockets(void **state)
{
    struct gated_run run = prepared(opens_one);

    (void)state;
    run.window = DESCRIPTOR_WINDOW_NONE;
    assert_int_equal(gated_run_apart(&run), 0);
}

static void fill_and_wait(int told, int wait)
{
    char byte = 'x';

    for (int i = FIRST; i <= LAST; i++)
        byte = open_socket(0) < 0 ? 'f' : byte;
    _exit(write(told, &byte, 1) == 1 && read(wait, &byte, 1) == 0 ? 0 : 1);
}

static int opens_very_many(void *data)
{
    int told[2], wait[2];

    (void)data;
    EXPECT(pipe(told) == 0 && pipe(wait) == 0);
    for (int i = 0; i < 4; i++) {
        char byte = 0;
        pid_t pid = fork();
        if (pid == 0) {
            close(wait[1]);
            fill_and_wait(told[1], wait[0]);
        }
        EXPECT(pid > 0 && read(told[0], &byte, 1) == 1 && byte == 'x');
    }
    EXPECT(open_socket(0) == -1 && errno == ENOBUFS);
    close(wait[1]);
    for (int i = 0; i < 4; i++) {
        int status;
        EXPECT(wait4(-1, &status, 0, NULL) > 0 && status == 0);
    }
    EXPECT(serves(open_socket(0))); /* what is closed counts no more */
    return 0;
}

static void a_sandbox_has_256_sockets_at_once(void **state)
{
    (void)state;
    expect_success(opens_very_many);
}

static int cycles(void *data)
{
    (void)data;
    for (int i = 0; i < 10000; i++) {
        int fd = open_socket(0);
        EXPECT(fd == LAST);
        if (i % 100 == 0)
            EXPECT(is_virtual(fd));
        close(fd);
    }
    return 0;
}

static size_t count_own_descriptors(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void ten_thousand_cycles_leave_nothing_behind(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        struct gated_run run = prepared(cycles);
        size_t before = count_own_descriptors();
        if (gated_run_here(&run) != 0)
            _exit(1);
        _exit(count_own_descriptors() <= before + 1 ? 0 : 2); /* the listener's number may stay */
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

/* ---- Names -------------------------------------------------------------------------------------------- */

static int has_names(void *data)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK}, got;
    socklen_t length = sizeof(got);
    int fd = open_socket(0);

    (void)data;
    EXPECT(getsockname(fd, (struct sockaddr *)&got, &length) == 0);
    EXPECT(length == 12 && got.nl_family == AF_NETLINK && got.nl_pid == (uint32_t)getpid());
    EXPECT(bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&got, &length) == 0);
    EXPECT(got.nl_pid == (uint32_t)getpid() && got.nl_groups == 0);
    length = 4;
    memset(&got, 0xee, sizeof(got));
    EXPECT(getsockname(fd, (struct sockaddr *)&got, &length) == 0);
    EXPECT(length == 12 && got.nl_family == AF_NETLINK && got.nl_pid == 0xeeeeeeee);
    EXPECT(getsockname(fd, NULL, &length) == -1 && errno == EFAULT);
    length = (socklen_t)-1;
    EXPECT(getsockname(fd, (struct sockaddr *)&got, &length) == -1 && errno == EINVAL);

    int second = open_socket(0);
    name.nl_pid = 4711;
    name.nl_groups = 1;
    EXPECT(bind(second, (struct sockaddr *)&name, sizeof(name)) == 0);
    length = sizeof(got);
    EXPECT(getsockname(second, (struct sockaddr *)&got, &length) == 0);
    EXPECT(got.nl_pid == 4711 && got.nl_groups == 1);
    EXPECT(answers_as(second, 4711));
    EXPECT(bind(fd, (struct sockaddr *)&name, sizeof(name)) == -1 && errno == EADDRINUSE);
    name.nl_pid = 4712;
    EXPECT(bind(second, (struct sockaddr *)&name, sizeof(name)) == -1 && errno == EINVAL);
    EXPECT(bind(fd, (struct sockaddr *)&name, 8) == -1 && errno == EINVAL);
    EXPECT(bind(fd, (struct sockaddr *)&name, 1 << 30) == -1 && errno == EINVAL);
    name.nl_family = AF_UNIX;
    EXPECT(bind(fd, (struct sockaddr *)&name, sizeof(name)) == -1 && errno == EINVAL);
    return 0;
}

static void a_socket_has_its_process_id_or_the_one_bound_to(void **state)
{
    (void)state;
    expect_success(has_names);
}

static int connects(void *data)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK}, got;
    socklen_t length = sizeof(got);
    int fd = open_socket(0);

    (void)data;
    EXPECT(connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
    EXPECT(getpeername(fd, (struct sockaddr *)&got, &length) == 0);
    EXPECT(length == 12 && got.nl_family == AF_NETLINK && got.nl_pid == 0);
    name.nl_pid = 1;
    EXPECT(connect(fd, (struct sockaddr *)&name, sizeof(name)) == -1 && errno == EPERM);
    struct link_request request = link_dump();
    EXPECT(sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&name, sizeof(name)) == -1 &&
           errno == EPERM);
    name.nl_pid = 0;
    EXPECT(sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&name, sizeof(name)) ==
           (ssize_t)sizeof(request));
    return 0;
}

static void only_the_kernel_is_reached(void **state)
{
    (void)state;
    expect_success(connects);
}

/* ---- Requests and replies --------------------------------------------------------------------------------- */

static int is_synchronous(void *data)
{
    _Alignas(8) uint8_t reply[4096];
    int fd = open_socket(0);

    (void)data;
    for (int i = 0; i < 200; i++) {
        EXPECT(sends(fd));
        ssize_t length = recv(fd, reply, sizeof(reply), MSG_DONTWAIT); /* as musl does */
        EXPECT(is_link_reply(reply, length, (uint32_t)getpid()));
    }
    EXPECT(recv(fd, reply, sizeof(reply), MSG_DONTWAIT) == -1 && errno == EAGAIN);
    return 0;
}

static void a_reply_is_there_when_the_send_returns(void **state)
{
    (void)state;
    expect_success(is_synchronous);
}

static int tells_senders(void *data)
{
    _Alignas(8) uint8_t reply[4096];
    struct sockaddr_nl name;
    socklen_t length = sizeof(name);
    int fd = open_socket(0);

    (void)data;
    memset(&name, 0xee, sizeof(name));
    EXPECT(sends(fd));
    EXPECT(recvfrom(fd, reply, sizeof(reply), 0, (struct sockaddr *)&name, &length) > 0);
    EXPECT(length == 12 && name.nl_family == AF_NETLINK && name.nl_pid == 0 && name.nl_groups == 0);

    memset(&name, 0xee, sizeof(name));
    struct iovec parts[2] = {{reply, 16}, {reply + 16, sizeof(reply) - 16}};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = parts, .msg_iovlen = 2};
    EXPECT(sends(fd));
    ssize_t got = recvmsg(fd, &message, 0);
    EXPECT(is_link_reply(reply, got, (uint32_t)getpid()));
    EXPECT(message.msg_namelen == 12 && name.nl_family == AF_NETLINK && name.nl_pid == 0);
    EXPECT(message.msg_flags == 0 && message.msg_controllen == 0);

    /* iproute2 asks for the length first. */
    message.msg_iovlen = 0;
    message.msg_iov = NULL;
    EXPECT(sends(fd));
    EXPECT(recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC) == got);
    EXPECT((message.msg_flags & MSG_TRUNC) != 0);
    message.msg_iov = parts;
    message.msg_iovlen = 1;
    EXPECT(recvmsg(fd, &message, 0) == 16);
    EXPECT((message.msg_flags & MSG_TRUNC) != 0);

    /* Outside the window the kernel itself writes twelve bytes. */
    int copy = dup(fd);
    EXPECT(copy < FIRST);
    memset(&name, 0xee, sizeof(name));
    length = sizeof(name);
    EXPECT(sends(copy));
    EXPECT(recvfrom(copy, reply, sizeof(reply), 0, (struct sockaddr *)&name, &length) == got);
    EXPECT(length == 12 && name.nl_pid == 0);
    return 0;
}

static void replies_come_from_the_kernel(void **state)
{
    (void)state;
    expect_success(tells_senders);
}

static int sends_in_parts(void *data)
{
    _Alignas(8) uint8_t reply[4096];
    struct link_request request = link_dump();
    struct iovec parts[3] = {
        {&request, 10}, {NULL, 0}, {(uint8_t *)&request + 10, sizeof(request) - 10}};
    struct sockaddr_nl name = {.nl_family = AF_NETLINK};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = parts, .msg_iovlen = 3};
    int fd = open_socket(0);

    (void)data;
    EXPECT(sendmsg(fd, &message, 0) == (ssize_t)sizeof(request));
    EXPECT(is_link_reply(reply, recv(fd, reply, sizeof(reply), MSG_DONTWAIT), (uint32_t)getpid()));

    static uint8_t large[8193];
    EXPECT(send(fd, large, sizeof(large), 0) == -1 && errno == EMSGSIZE);
    EXPECT(send(fd, large, 8192, 0) == 8192);
    EXPECT(send(fd, (void *)8, 20, 0) == -1 && errno == EFAULT);
    EXPECT(send(fd, large, SIZE_MAX, 0) == -1 && errno == EMSGSIZE);
    message.msg_iovlen = 1025;
    EXPECT(sendmsg(fd, &message, 0) == -1 && errno == EMSGSIZE);
    EXPECT(sendmsg(fd, (void *)8, 0) == -1 && errno == EFAULT);
    return 0;
}

static void requests_are_copied_with_bounds(void **state)
{
    (void)state;
    expect_success(sends_in_parts);
}

static int survives_empty_datagrams(void *data)
{
    int fd = open_socket(0);
    int copy = dup(fd);

    (void)data;
    EXPECT(send(fd, "", 0, 0) == -1 && errno == ENODATA);
    EXPECT(is_virtual(fd));
    EXPECT(send(copy, "", 0, 0) ==
           0); /* outside the window: the reader must not take it for the end */
    EXPECT(is_virtual(copy));
    EXPECT(is_virtual(fd));
    static uint8_t large[9000];
    EXPECT(send(copy, large, sizeof(large), 0) == (ssize_t)sizeof(large));
    EXPECT(is_virtual(copy));
    return 0;
}

static void an_empty_datagram_is_not_the_end(void **state)
{
    (void)state;
    expect_success(survives_empty_datagrams);
}

static int does_not_read(void *data)
{
    struct link_request request = link_dump();
    _Alignas(8) uint8_t reply[4096];
    int fd = open_socket(0), other = open_socket(0), sent = 0;

    (void)data;
    while (send(fd, &request, sizeof(request), 0) > 0 && sent < 100000)
        sent++;
    EXPECT(errno == ENOBUFS && sent > 10);
    /* The same through the reader: it waits for room. */
    int copy = dup(other);
    fcntl(copy, F_SETFL, O_NONBLOCK);
    while (send(copy, &request, sizeof(request), 0) > 0 && sent < 200000)
        sent++;
    EXPECT(errno == EAGAIN);
    EXPECT(is_virtual(open_socket(0))); /* nobody else is held up */
    int replies = 0;
    while (reads(copy, reply, sizeof(reply), 0) > 0)
        replies++;
    EXPECT(replies > 10);
    EXPECT(is_virtual(copy));
    while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
        ;
    EXPECT(is_virtual(fd));
    return 0;
}

/* Blocking sends outside the window: the kernel's never wait for the reader of the replies. */
static int sends_and_sends(void *data)
{
    struct link_request request = link_dump();
    _Alignas(8) uint8_t reply[4096];
    int fd = dup(open_socket(0));

    (void)data;
    for (int i = 0; i < 2000; i++)
        EXPECT(send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request));
    while (reads(fd, reply, sizeof(reply), 0) > 0)
        ;
    EXPECT(is_virtual(fd));
    return 0;
}

static void a_send_does_not_wait_for_ever(void **state)
{
    (void)state;
    expect_success(sends_and_sends);
}

static void who_does_not_read_only_stops_itself(void **state)
{
    (void)state;
    expect_success(does_not_read);
}

/* ---- Identity --------------------------------------------------------------------------------------------- */

static int pass_descriptor(int channel, int fd)
{
    char byte = 0;
    struct iovec part = {&byte, 1};
    _Alignas(8) uint8_t control[CMSG_SPACE(sizeof(fd))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    if (fd >= 0) {
        *header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        return sendmsg(channel, &message, 0) == 1 ? 0 : -1;
    }
    if (recvmsg(channel, &message, 0) != 1)
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
    return fd;
}

static int keeps_identity(void *data)
{
    uint32_t creator = (uint32_t)getpid();
    int fd = open_socket(0), status, channel[2];
    int high = fcntl(fd, F_DUPFD, FIRST + 20);

    (void)data;
    EXPECT(high == FIRST + 20 && answers_as(high, creator));
    EXPECT(dup2(fd, FIRST + 30) == FIRST + 30 && answers_as(FIRST + 30, creator));
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_nl name;
        socklen_t length = sizeof(name);
        EXPECT(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
        EXPECT(name.nl_family == AF_NETLINK && name.nl_pid == creator);
        EXPECT(answers_as(fd, creator));
        close(fd); /* the creator's copy lives on */
        int own = open_socket(0);
        EXPECT(own == LAST && answers_as(own, (uint32_t)getpid()));
        EXPECT(pass_descriptor(channel[1], own) == 0);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    int passed = pass_descriptor(channel[0], -1);
    EXPECT(passed >= 0 && answers_as(passed, (uint32_t)pid));
    EXPECT(dup2(passed, FIRST + 3) >= 0 && answers_as(FIRST + 3, (uint32_t)pid));
    EXPECT(answers_as(fd, creator));

    /* A number is what it is now. */
    EXPECT(dup2(channel[0], fd) == fd);
    struct sockaddr_un unix_name;
    socklen_t length = sizeof(unix_name);
    EXPECT(getsockname(fd, (struct sockaddr *)&unix_name, &length) == 0);
    EXPECT(unix_name.sun_family == AF_UNIX);
    EXPECT(send(fd, "plain", 5, 0) == 5);
    char text[8];
    EXPECT(recv(channel[1], text, sizeof(text), 0) == 5);
    EXPECT(answers_as(high, creator));
    return 0;
}

static void a_socket_is_known_whatever_its_number(void **state)
{
    (void)state;
    expect_success(keeps_identity);
}

/* ---- Options, interfaces -------------------------------------------------------------------------------------- */

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && length == sizeof(value)
               ? value
               : -1;
}

static int has_options(void *data)
{
    int raw = open_socket(0), datagram = socket(AF_NETLINK, SOCK_DGRAM, 0);
    int one = 1, size = 32768;

    (void)data;
    EXPECT(option_of(raw, SO_DOMAIN) == AF_NETLINK && option_of(raw, SO_PROTOCOL) == 0);
    EXPECT(option_of(raw, SO_TYPE) == SOCK_RAW && option_of(datagram, SO_TYPE) == SOCK_DGRAM);
    EXPECT(option_of(raw, SO_ERROR) == 0);
    EXPECT(setsockopt(raw, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    EXPECT(setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
    static const int accepted[] = {NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP, NETLINK_EXT_ACK,
                                   NETLINK_CAP_ACK, 12 /* GET_STRICT_CHK */};
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        EXPECT(setsockopt(raw, SOL_NETLINK, accepted[i], &one, sizeof(one)) == 0);
    EXPECT(setsockopt(raw, SOL_NETLINK, 99, &one, sizeof(one)) == -1 && errno == ENOPROTOOPT);
    return 0;
}

static void options_that_programs_set_are_accepted(void **state)
{
    (void)state;
    expect_success(has_options);
}

static bool asks(int fd, unsigned long number, struct ifreq *request)
{
    return ioctl(fd, number, request) == 0;
}

static int has_interfaces(void *data)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)data;
    EXPECT(asks(fd, SIOCGIFINDEX, &request) && request.ifr_ifindex == 1);
    EXPECT(asks(fd, SIOCGIFFLAGS, &request) &&
           request.ifr_flags == (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
    EXPECT(asks(fd, SIOCGIFMTU, &request) && request.ifr_mtu == 65536);
    EXPECT(asks(fd, SIOCGIFADDR, &request) && request.ifr_addr.sa_family == AF_INET &&
           memcmp(request.ifr_addr.sa_data + 2, "\177\0\0\1", 4) == 0);
    EXPECT(asks(fd, SIOCGIFNETMASK, &request) &&
           memcmp(request.ifr_addr.sa_data + 2, "\377\0\0\0", 4) == 0);
    EXPECT(asks(fd, SIOCGIFHWADDR, &request) && request.ifr_hwaddr.sa_family == 772 &&
           memcmp(request.ifr_hwaddr.sa_data, "\0\0\0\0\0\0", 6) == 0);
    memset(&request, 0, sizeof(request));
    request.ifr_ifindex = 1;
    EXPECT(asks(fd, SIOCGIFNAME, &request) && strcmp(request.ifr_name, "lo") == 0);
    request.ifr_ifindex = 2;
    EXPECT(!asks(fd, SIOCGIFNAME, &request) && errno == ENODEV);
    strcpy(request.ifr_name, "eth0");
    EXPECT(!asks(fd, SIOCGIFINDEX, &request) && errno == ENODEV);
    EXPECT(!asks(fd, SIOCGIFFLAGS, &request) && errno == ENODEV);
    EXPECT(ioctl(fd, SIOCGIFINDEX, (void *)8) == -1 && errno == EFAULT);
    EXPECT(ioctl(-1, SIOCGIFINDEX, &request) == -1 && errno == EBADF);
    EXPECT(ioctl(0, SIOCGIFINDEX, &request) == -1 && errno == ENOTTY);

    static const unsigned long refused[] = {SIOCGIFCONF,
                                            0x8946 /* SIOCETHTOOL */,
                                            0x8954 /* SIOCGARP */,
                                            SIOCSIFFLAGS,
                                            SIOCSIFADDR,
                                            SIOCSIFLINK,
                                            0x891F,
                                            0x8914};
    strcpy(request.ifr_name, "lo");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        EXPECT(!asks(fd, refused[i], &request) && errno == EPERM);
    return 0;
}

static void interface_requests_show_lo_alone(void **state)
{
    (void)state;
    expect_success(has_interfaces);
}

/* ---- Threads, cost ---------------------------------------------------------------------------------------------- */

static void *ask_often(void *data)
{
    for (int i = 0; i < 300; i++) {
        int fd = open_socket(0);
        if (fd < 0 || !is_virtual(fd))
            return data;
        close(fd);
    }
    return NULL;
}

static int asks_from_threads(void *data)
{
    pthread_t threads[4];

    (void)data;
    for (int i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, ask_often, threads) == 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        EXPECT(failed == NULL);
    }
    return 0;
}

static void the_window_ends_at_the_limit_of_open_files(void **state)
{
    static const struct {
        uint64_t limit;
        uint32_t first, last;
    } windows[] = {{1024, 960, 1023},
                   {576, 512, 575},
                   {4096, 4032, 4095},
                   {4097, 4032, 4095},
                   {1048576, 4032, 4095},
                   {UINT64_MAX, 4032, 4095},
                   /* Lower ones leave most numbers to the program itself. */
                   {512, 448, 511},
                   {511, 448, 510},
                   {256, 224, 255},
                   {100, 88, 99},
                   {64, 56, 63},
                   {32, 28, 31},
                   {16, 12, 15},
                   {8, 6, 7},
                   {4, 3, 3}};

    (void)state;
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        struct descriptor_window window = netlink_window(windows[i].limit);
        assert_int_equal(window.first, windows[i].first);
        assert_int_equal(window.last, windows[i].last);
    }
    for (uint64_t limit = 0; limit < 4; limit++)
        assert_true(netlink_window(limit).first > netlink_window(limit).last);
}

static void four_threads_ask_at_once(void **state)
{
    (void)state;
    expect_success(asks_from_threads);
}

static int uses_ordinary_sockets(void *data)
{
    int pair[2];
    char byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    (void)data;
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int i = 0; i < 100; i++) {
        EXPECT(send(pair[0], &byte, 1, 0) == 1 && recv(pair[1], &byte, 1, 0) == 1);
        EXPECT(sendmsg(pair[0], &message, 0) == 1 && recvmsg(pair[1], &message, 0) == 1);
        EXPECT(write(pair[0], &byte, 1) == 1 && read(pair[1], &byte, 1) == 1);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(fd >= 0 && option_of(fd, SO_TYPE) == SOCK_STREAM);
        close(fd);
    }
    return 0;
}

static void ordinary_sockets_cause_no_notification(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        struct gated_run run = prepared(uses_ordinary_sockets);
        int result = gated_run_here(&run);
        _exit(result != 0 ? 1 : run.notifications == 0 ? 0 : 2);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_lies_in_the_window_with_the_flags_asked_for),
        cmocka_unit_test(other_types_and_protocols_do_not_exist),
        cmocka_unit_test(a_process_has_as_many_sockets_as_numbers),
        cmocka_unit_test(numbers_above_a_lowered_limit_are_not_used),
        cmocka_unit_test(sockets_serve_under_a_low_limit),
        cmocka_unit_test(without_a_window_there_are_no_sockets),
        cmocka_unit_test(a_sandbox_has_256_sockets_at_once),
        cmocka_unit_test(ten_thousand_cycles_leave_nothing_behind),
        cmocka_unit_test(a_socket_has_its_process_id_or_the_one_bound_to),
        cmocka_unit_test(only_the_kernel_is_reached),
        cmocka_unit_test(a_reply_is_there_when_the_send_returns),
        cmocka_unit_test(replies_come_from_the_kernel),
        cmocka_unit_test(requests_are_copied_with_bounds),
        cmocka_unit_test(an_empty_datagram_is_not_the_end),
        cmocka_unit_test(a_send_does_not_wait_for_ever),
        cmocka_unit_test(who_does_not_read_only_stops_itself),
        cmocka_unit_test(a_socket_is_known_whatever_its_number),
        cmocka_unit_test(options_that_programs_set_are_accepted),
        cmocka_unit_test(interface_requests_show_lo_alone),
        cmocka_unit_test(four_threads_ask_at_once),
        cmocka_unit_test(the_window_ends_at_the_limit_of_open_files),
        cmocka_unit_test(ordinary_sockets_cause_no_notification),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
