/*
 * Changes what a network call names while the call is judged.
 *
 *     net_race FLIP CALL SECONDS KIND[,KIND] ADDRESS ADDRESS
 *         a second thread turns the call's argument from the first to the second and back:
 *             bytes     the bytes of the address
 *             pointer   the pointer to the address (in a message)
 *             length    the length of the address (in a message): zero and full
 *             vector    the pointer to the payload: of the first address's text and of the second's
 *             number    the descriptor number, by dup2, and the bytes of the address
 *         CALL is connect, sendto, sendmsg, sendmmsg or bind; KIND is tcp, udp, stream or datagram (unix);
 *         ADDRESS is inet:PORT, inet6:PORT, unspec:PORT, unix:PATH, abstract:NAME or none
 *         Prints "tries: N", "done: N" and "failed: N", and for bind "second: N": how often the socket got
 *         the second address.
 *     net_race link CALL SECONDS KIND LINK PATH PATH
 *         calls with the name LINK, a symbolic link that is turned from one PATH to the other
 *     net_race place CALL SECONDS KIND LINK PATH PATH
 *         the same, but LINK is another name of the first socket itself and a symbolic link to the second
 *     net_race table CALL KIND,KIND ADDRESS
 *         a thread with a descriptor table of its own makes the call on a socket of the first KIND, whose
 *         number is one of the second KIND in the other threads. Prints the result of the call and which of
 *         the two sockets has a peer afterwards.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { ADDRESS_SIZE = 128, STACK_SIZE = 64 * 1024 };

enum flip {
    FLIP_BYTES,
    FLIP_POINTER,
    FLIP_LENGTH,
    FLIP_VECTOR,
    FLIP_NUMBER,
    FLIP_LINK,
    FLIP_PLACE
};
enum call { CALL_CONNECT, CALL_SENDTO, CALL_SENDMSG, CALL_SENDMMSG, CALL_BIND };

struct address {
    _Alignas(8) unsigned char bytes[ADDRESS_SIZE];
    socklen_t length;
};

static struct address side[2];
static const char *kinds[2];
static enum flip flip;
static enum call call;
static const char *link_path, *link_targets[2];

/* What both threads see: deliberately plain memory. */
static _Alignas(64) unsigned char shared_address[ADDRESS_SIZE];
static struct mmsghdr shared_message;
static struct iovec shared_vector;
static char texts[2][8] = {"open", "attack"};
static atomic_int over, source[2] = {-1, -1};
static int number = -1;

static void fail(const char *what)
{
    fprintf(stderr, "net_race: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int index_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    errno = EINVAL;
    fail(word);
    return -1;
}

static void parse_address(const char *text, struct address *address)
{
    const char *rest = strchr(text, ':');
    struct sockaddr_in inet = {.sin_family = AF_INET};
    struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const void *from = &inet;
    size_t length = sizeof(inet);

    memset(address, 0, sizeof(*address));
    if (strcmp(text, "none") == 0)
        return;
    if (rest == NULL || strlen(rest + 1) >= sizeof(name.sun_path) - 1) {
        errno = EINVAL;
        fail(text);
    }
    rest++;
    inet.sin_port = inet6.sin6_port = htons((uint16_t)atoi(rest));
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (strncmp(text, "unspec:", 7) == 0) {
        inet.sin_family = AF_UNSPEC;
    } else if (strncmp(text, "inet6:", 6) == 0) {
        from = &inet6;
        length = sizeof(inet6);
    } else if (strncmp(text, "unix:", 5) == 0) {
        strcpy(name.sun_path, rest);
        from = &name;
        length = sizeof(name);
    } else if (strncmp(text, "abstract:", 9) == 0) {
        strcpy(name.sun_path + 1, rest);
        from = &name;
        length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(rest);
    }
    memcpy(address->bytes, from, length);
    address->length = (socklen_t)length;
}

static int open_socket(const char *kind)
{
    int type = strcmp(kind, "tcp") == 0 || strcmp(kind, "stream") == 0 ? SOCK_STREAM : SOCK_DGRAM;
    int family = strcmp(kind, "tcp") == 0 || strcmp(kind, "udp") == 0 ? AF_INET : AF_UNIX;

    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void point_link(int which)
{
    char temporary[256];

    snprintf(temporary, sizeof(temporary), "%s.new", link_path);
    unlink(temporary);
    int made = flip == FLIP_PLACE && which == 0 ? link(link_targets[which], temporary)
                                                : symlink(link_targets[which], temporary);
    if (made == 0)
        rename(temporary, link_path);
}

static void turn(int which)
{
    volatile unsigned char *bytes = shared_address;

    switch (flip) {
    case FLIP_NUMBER: {
        int fd = atomic_load(&source[which]);
        if (fd >= 0 && dup2(fd, number) < 0)
            sched_yield();
        for (int i = 0; i < ADDRESS_SIZE; i++)
            bytes[i] = side[which].bytes[i];
        break;
    }
    case FLIP_BYTES:
        for (int i = 0; i < ADDRESS_SIZE; i++)
            bytes[i] = side[which].bytes[i];
        break;
    case FLIP_POINTER:
        *(void *volatile *)&shared_message.msg_hdr.msg_name =
            side[which].length > 0 ? side[which].bytes : NULL;
        break;
    case FLIP_LENGTH:
        *(volatile socklen_t *)&shared_message.msg_hdr.msg_namelen =
            which == 0 ? 0 : side[1].length;
        break;
    case FLIP_VECTOR:
        *(volatile size_t *)&shared_vector.iov_len = which == 0 ? 4 : 6;
        *(void *volatile *)&shared_vector.iov_base = texts[which];
        break;
    case FLIP_LINK:
    case FLIP_PLACE:
        point_link(which);
        break;
    }
}

static void *turn_until_over(void *unused)
{
    unsigned spin = 1;

    while (!atomic_load(&over)) {
        for (int which = 0; which < 2; which++) {
            turn(which);
            /* Waits of changing length, so that every moment of the call is met. */
            spin = spin * 1664525 + 1013904223;
            for (volatile unsigned i = spin >> 20; i > 0; i--)
                ;
        }
    }
    return unused;
}

static long make_call(int fd, socklen_t length)
{
    switch (call) {
    case CALL_CONNECT:
        return syscall(SYS_connect, fd, shared_address, length);
    case CALL_BIND:
        return syscall(SYS_bind, fd, shared_address, length);
    case CALL_SENDTO:
        return syscall(SYS_sendto, fd, texts[1], 6, MSG_NOSIGNAL, shared_address, length);
    case CALL_SENDMSG:
        return syscall(SYS_sendmsg, fd, &shared_message.msg_hdr, MSG_NOSIGNAL);
    case CALL_SENDMMSG:
        return syscall(SYS_sendmmsg, fd, &shared_message, 1, MSG_NOSIGNAL);
    }
    return -1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void set_up(socklen_t length)
{
    /* Where only the length is turned, the address is there all the time. */
    memcpy(shared_address, side[flip == FLIP_LENGTH].bytes, ADDRESS_SIZE);
    shared_vector = (struct iovec){texts[1], 6};
    shared_message.msg_hdr = (struct msghdr){.msg_name = shared_address,
                                             .msg_namelen = length,
                                             .msg_iov = &shared_vector,
                                             .msg_iovlen = 1};
    if (flip == FLIP_POINTER)
        shared_message.msg_hdr.msg_namelen = side[1].length;
}

/* Puts fresh sockets in the places that the other thread takes them from. */
static void renew_sources(void)
{
    for (int which = 0; which < 2; which++) {
        int fresh = open_socket(kinds[which]);
        int old = atomic_exchange(&source[which], fresh);
        if (old >= 0)
            close(old);
    }
}

/* Whether the socket got the name, or the port, that the second address asks for. */
static bool has_second_name(int fd)
{
    struct address name = {.length = sizeof(name.bytes)};

    if (getsockname(fd, (struct sockaddr *)name.bytes, &name.length) != 0)
        return false;
    if (side[1].bytes[0] == AF_UNIX)
        return name.bytes[0] == AF_UNIX &&
               strcmp((char *)name.bytes + 2, (char *)side[1].bytes + 2) == 0;
    return name.bytes[0] != AF_UNIX && memcmp(name.bytes + 2, side[1].bytes + 2, 2) == 0;
}

#define TRIES_MIN 600
#define PATIENCE 4.0 /* seconds */

static int race(double seconds)
{
    /* One length for both: the second's unless only the first has one. */
    socklen_t length = side[0].length > side[1].length ? side[0].length : side[1].length;
    long tries = 0, done = 0, failed = 0, second = 0;
    double end = now() + seconds;
    pthread_t thread;
    int fd = -1;

    set_up(length);
    if (flip == FLIP_NUMBER) {
        renew_sources();
        number = fcntl(0, F_DUPFD_CLOEXEC, 100);
    }
    if (pthread_create(&thread, NULL, turn_until_over, NULL) != 0)
        fail("pthread_create");
    /* A busy machine may not let us run in that time. */
    while (now() < end || (tries < TRIES_MIN && now() < end + PATIENCE)) {
        if (flip == FLIP_NUMBER) {
            if (tries % 8 == 0)
                renew_sources();
        } else if (fd < 0) {
            fd = open_socket(kinds[0]);
            if (fd < 0)
                fail("socket");
        }
        long result = make_call(flip == FLIP_NUMBER ? number : fd, length);
        tries++;
        if (result >= 0 || errno == EINPROGRESS || errno == EAGAIN)
            done++;
        else
            failed++;
        if (call == CALL_BIND && has_second_name(flip == FLIP_NUMBER ? number : fd))
            second++;
        if (flip != FLIP_NUMBER && (call == CALL_CONNECT || call == CALL_BIND)) {
            close(fd);
            fd = -1;
        }
        for (int which = 0; which < 2 && call == CALL_BIND; which++)
            if (side[which].bytes[0] == AF_UNIX)
                unlink((const char *)side[which].bytes + 2);
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
    printf("tries: %ld\ndone: %ld\nfailed: %ld\n", tries, done, failed);
    if (call == CALL_BIND)
        printf("second: %ld\n", second);
    return 0;
}

/* ---- A thread with a table of its own ------------------------------------------------------------ */

static long table_result;
static int table_error, table_peer;
static atomic_int table_over;

static bool has_peer(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

/* It has the creator's thread-local storage: the creator only waits meanwhile. */
static int in_own_table(void *unused)
{
    int own = open_socket(kinds[0]);

    (void)unused;
    dup2(own, number);
    table_result = make_call(number, side[0].length);
    table_error = errno;
    table_peer = has_peer(number);
    atomic_store(&table_over, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int own_table(void)
{
    char *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int other = open_socket(kinds[1]);

    set_up(side[0].length);
    number = fcntl(other, F_DUPFD_CLOEXEC, 100);
    if (stack == MAP_FAILED || number < 0)
        fail("set-up");
    if (clone(in_own_table, stack + STACK_SIZE, CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD,
              NULL) < 0) {
        printf("clone: %s\n", probe_errno_name(errno));
        return 0;
    }
    puts("clone: OK");
    while (!atomic_load(&table_over))
        syscall(SYS_sched_yield);
    printf("call: %s\n",
           table_result >= 0 || table_error == EINPROGRESS ? "OK" : probe_errno_name(table_error));
    printf("own: %s\n", table_peer ? "connected" : "alone");
    printf("other: %s\n", has_peer(number) ? "connected" : "alone");
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const flips[] = {"bytes",  "pointer", "length", "vector",
                                        "number", "link",    "place"};
    static const char *const calls[] = {"connect", "sendto", "sendmsg", "sendmmsg", "bind"};
    bool table = argc == 5 && strcmp(argv[1], "table") == 0;

    if (!table && argc != 7 && argc != 8) {
        fputs("usage: net_race FLIP CALL SECONDS KIND[,KIND] ADDRESS ADDRESS\n", stderr);
        return 2;
    }
    char *kind = argv[table ? 3 : 4];
    kinds[0] = kinds[1] = kind;
    char *comma = strchr(kind, ',');
    if (comma != NULL) {
        *comma = '\0';
        kinds[1] = comma + 1;
    }
    call = (enum call)index_of(argv[2], calls, 5);
    if (table) {
        parse_address(argv[4], &side[0]);
        return own_table();
    }
    flip = (enum flip)index_of(argv[1], flips, 7);
    if (flip == FLIP_LINK || flip == FLIP_PLACE) {
        char name[256];
        link_path = argv[5];
        link_targets[0] = argv[6];
        link_targets[1] = argv[7];
        snprintf(name, sizeof(name), "unix:%s", link_path);
        parse_address(name, &side[0]);
        side[1] = side[0];
        point_link(0);
    } else {
        parse_address(argv[5], &side[0]);
        parse_address(argv[6], &side[1]);
    }
    return race(atof(argv[3]));
}
