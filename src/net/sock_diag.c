/*
 * Questions to NETLINK_SOCK_DIAG: see sock_diag.h. The kernel makes the parts of a dump while they are
 * received, so nothing is ever waited for.
 */
#include "net/sock_diag.h"

#include "kernel/probe.h"
#include "util/fault.h"
#include "util/fd.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#define DATAGRAM_MAX 32768

/* Dumps that a change of the tables spoiled are repeated. */
#define LOOKS 8

struct sock_diag {
    int fd;
    bool lists_bound;
    pthread_mutex_t lock;
    uint32_t sequence;
    uint8_t datagram[DATAGRAM_MAX];
};

static bool kernel_lists_bound(void)
{
    struct utsname host;
    int major, minor;

    return uname(&host) == 0 && probe_parse_release(host.release, &major, &minor) &&
           (major > 6 || (major == 6 && minor >= 8));
}

struct sock_diag *sock_diag_new(int *error)
{
    struct sock_diag *diag = calloc(1, sizeof(*diag));

    *error = ENOMEM;
    if (diag == NULL)
        return NULL;
    diag->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (diag->fd < 0) {
        *error = errno;
        free(diag);
        return NULL;
    }
    diag->lists_bound = kernel_lists_bound() && !fault_is("diag-bound");
    pthread_mutex_init(&diag->lock, NULL);
    return diag;
}

void sock_diag_free(struct sock_diag *diag)
{
    if (diag == NULL)
        return;
    fd_close(diag->fd);
    pthread_mutex_destroy(&diag->lock);
    free(diag);
}

bool sock_diag_lists_bound(const struct sock_diag *diag)
{
    return diag->lists_bound;
}

/* ---- Lists --------------------------------------------------------------------------------------- */

void diag_list_free(struct diag_list *list)
{
    free(list->sockets);
    buffer_free(&list->names);
    *list = DIAG_LIST_INIT;
}

const struct diag_socket *diag_list_find(const struct diag_list *list, uint64_t cookie)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->sockets[i].cookie == cookie)
            return &list->sockets[i];
    }
    return NULL;
}

static int append(struct diag_list *list, const struct diag_socket *socket)
{
    if (list->count == DIAG_SOCKETS_MAX)
        return -ENOSPC;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct diag_socket *larger = realloc(list->sockets, capacity * sizeof(*larger));
        if (larger == NULL)
            return -ENOMEM;
        list->sockets = larger;
        list->capacity = capacity;
    }
    list->sockets[list->count++] = *socket;
    return 0;
}

/* ---- Requests ------------------------------------------------------------------------------------ */

_Static_assert(sizeof(struct inet_diag_req_v2) == 56, "as the kernel expects it");
_Static_assert(sizeof(struct unix_diag_req) == 24, "as the kernel expects it");
_Static_assert(sizeof(struct nlmsghdr) + sizeof(struct inet_diag_req_v2) == DIAG_REQUEST_MAX,
               "room for the larger one");

static uint16_t network_order(uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    uint16_t result;

    memcpy(&result, bytes, sizeof(result));
    return result;
}

size_t diag_request(const struct diag_query *query, uint32_t sequence,
                    uint8_t request[DIAG_REQUEST_MAX])
{
    struct nlmsghdr header = {
        .nlmsg_type = SOCK_DIAG_BY_FAMILY,
        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
        .nlmsg_seq = sequence,
    };
    size_t body;

    if (query->family == AF_UNIX) {
        struct unix_diag_req unix_request = {
            .sdiag_family = AF_UNIX,
            .udiag_states = query->states,
            .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN,
            .udiag_cookie = {UINT32_MAX, UINT32_MAX},
        };
        body = sizeof(unix_request);
        memcpy(request + sizeof(header), &unix_request, body);
    } else {
        struct inet_diag_req_v2 inet_request = {
            .sdiag_family = query->family,
            .sdiag_protocol = query->protocol,
            .idiag_states = query->states,
            .id = {.idiag_sport = network_order(query->local_port),
                   .idiag_cookie = {UINT32_MAX, UINT32_MAX}},
        };
        body = sizeof(inet_request);
        memcpy(request + sizeof(header), &inet_request, body);
    }
    header.nlmsg_len = (uint32_t)(sizeof(header) + body);
    memcpy(request, &header, sizeof(header));
    return header.nlmsg_len;
}

/* ---- Replies ------------------------------------------------------------------------------------- */

static uint64_t join(const uint32_t halves[2])
{
    return (uint64_t)halves[1] << 32 | halves[0];
}

static uint16_t host_order(uint16_t value)
{
    return network_order(value);
}

static void take_address(struct net_address *address, uint8_t family, const void *words)
{
    *address = (struct net_address){.family = family == AF_INET ? 4 : 6};
    memcpy(address->bytes, words, family == AF_INET ? 4 : 16);
}

/* One attribute after the other. */
struct attributes {
    const uint8_t *at;
    size_t size;
};

struct attribute {
    unsigned type;
    const uint8_t *value;
    size_t size;
};

/* 1: *found is the next one, 0: there are no more, -EBADMSG. */
static int next_attribute(struct attributes *attributes, struct attribute *found)
{
    struct nlattr header;

    if (attributes->size < sizeof(header))
        return 0;
    memcpy(&header, attributes->at, sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > attributes->size)
        return -EBADMSG;
    *found = (struct attribute){.type = header.nla_type & NLA_TYPE_MASK,
                                .value = attributes->at + sizeof(header),
                                .size = header.nla_len - sizeof(header)};
    size_t step = NLA_ALIGN(header.nla_len);
    if (step > attributes->size)
        step = attributes->size; /* the last one needs no padding */
    attributes->at += step;
    attributes->size -= step;
    return 1;
}

static int take_inet_attributes(struct diag_socket *socket, struct attributes attributes)
{
    struct attribute one;
    int result;

    while ((result = next_attribute(&attributes, &one)) > 0) {
        if (one.type != INET_DIAG_SKV6ONLY)
            continue;
        if (one.size != 1)
            return -EBADMSG;
        socket->v6_only = one.value[0] != 0;
    }
    return result;
}

static int take_inet(const struct diag_query *query, const uint8_t *body, size_t size,
                     struct diag_list *list)
{
    struct inet_diag_msg message;

    if (size < sizeof(message))
        return -EBADMSG;
    memcpy(&message, body, sizeof(message));
    if (message.idiag_family != query->family)
        return -EBADMSG;
    struct diag_socket socket = {
        .cookie = join(message.id.idiag_cookie),
        .family = message.idiag_family,
        .protocol = query->protocol,
        .state = message.idiag_state,
        .local_port = host_order(message.id.idiag_sport),
        .remote_port = host_order(message.id.idiag_dport),
        .uid = message.idiag_uid,
        .inode = message.idiag_inode,
        .receive_queue = message.idiag_rqueue,
        .send_queue = message.idiag_wqueue,
        .timer = message.idiag_timer,
        .retransmits = message.idiag_retrans,
        .expires = message.idiag_expires,
    };
    take_address(&socket.local, query->family, message.id.idiag_src);
    take_address(&socket.remote, query->family, message.id.idiag_dst);
    const struct attributes attributes = {body + sizeof(message), size - sizeof(message)};
    int result = take_inet_attributes(&socket, attributes);
    if (result < 0)
        return result;
    /* Older kernels may not filter by port alone. */
    if (query->local_port != 0 && socket.local_port != query->local_port)
        return 0;
    return append(list, &socket);
}

static int take_name(struct diag_socket *socket, const uint8_t *value, size_t size,
                     struct diag_list *list)
{
    /* sockaddr_un has no room for more; the kernel says 0 bytes of an unnamed one. */
    if (size > 108)
        return -EBADMSG;
    socket->name_offset = (uint32_t)list->names.length;
    socket->name_length = (uint32_t)size;
    buffer_append(&list->names, value, size);
    return buffer_failed(&list->names) ? -ENOMEM : 0;
}

static int take_unix_attribute(struct diag_socket *socket, const struct attribute *one,
                               struct diag_list *list)
{
    switch (one->type) {
    case UNIX_DIAG_NAME:
        return take_name(socket, one->value, one->size, list);
    case UNIX_DIAG_PEER:
        if (one->size != sizeof(socket->peer_inode))
            return -EBADMSG;
        memcpy(&socket->peer_inode, one->value, sizeof(socket->peer_inode));
        return 0;
    case UNIX_DIAG_RQLEN:
        if (one->size != 2 * sizeof(uint32_t))
            return -EBADMSG;
        memcpy(&socket->receive_queue, one->value, sizeof(uint32_t));
        memcpy(&socket->send_queue, one->value + sizeof(uint32_t), sizeof(uint32_t));
        return 0;
    default:
        return 0;
    }
}

static int take_unix_attributes(struct diag_socket *socket, struct attributes attributes,
                                struct diag_list *list)
{
    struct attribute one;
    int result;

    while ((result = next_attribute(&attributes, &one)) > 0) {
        result = take_unix_attribute(socket, &one, list);
        if (result < 0)
            break;
    }
    return result;
}

static int take_unix(const uint8_t *body, size_t size, struct diag_list *list)
{
    struct unix_diag_msg message;

    if (size < sizeof(message))
        return -EBADMSG;
    memcpy(&message, body, sizeof(message));
    if (message.udiag_family != AF_UNIX)
        return -EBADMSG;
    struct diag_socket socket = {
        .cookie = join(message.udiag_cookie),
        .family = AF_UNIX,
        .type = message.udiag_type,
        .state = message.udiag_state,
        .inode = message.udiag_ino,
    };
    const struct attributes attributes = {body + sizeof(message), size - sizeof(message)};
    int result = take_unix_attributes(&socket, attributes, list);
    return result < 0 ? result : append(list, &socket);
}

/* What a final or error message carries: 0 or a negative errno. */
static int status_of(const uint8_t *body, size_t size)
{
    int32_t status;

    if (size < sizeof(status))
        return -EBADMSG;
    memcpy(&status, body, sizeof(status));
    return status <= 0 && status > -4096 ? status : -EBADMSG;
}

/* 1: the last one; 0: more follow; or -errno. */
static int take_message(const struct diag_query *query, const struct nlmsghdr *header,
                        const uint8_t *body, struct diag_list *list)
{
    size_t size = header->nlmsg_len - sizeof(*header);
    int result;

    switch (header->nlmsg_type) {
    case NLMSG_DONE:
        result = status_of(body, size);
        return result == 0 ? 1 : result;
    case NLMSG_ERROR:
        result = status_of(body, size);
        return result == 0 ? -EBADMSG : result;
    case NLMSG_NOOP:
        return 0;
    case SOCK_DIAG_BY_FAMILY:
        if ((header->nlmsg_flags & NLM_F_MULTI) == 0)
            return -EBADMSG;
        return query->family == AF_UNIX ? take_unix(body, size, list)
                                        : take_inet(query, body, size, list);
    default:
        return -EBADMSG;
    }
}

int diag_parse(const struct diag_query *query, uint32_t sequence, const void *datagram, size_t size,
               struct diag_list *list, bool *changed)
{
    const uint8_t *next = datagram;

    while (size > 0) {
        struct nlmsghdr header;
        if (size < sizeof(header))
            return -EBADMSG;
        memcpy(&header, next, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > size ||
            header.nlmsg_seq != sequence)
            return -EBADMSG;
        if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0)
            *changed = true;
        int result = take_message(query, &header, next + sizeof(header), list);
        if (result != 0)
            return result;
        size_t step = NLMSG_ALIGN(header.nlmsg_len);
        if (step >= size)
            break;
        next += step;
        size -= step;
    }
    return 0;
}

/* ---- Dumps --------------------------------------------------------------------------------------- */

/* One datagram, from the kernel itself and whole; its size or -errno. */
static ssize_t receive(struct sock_diag *diag)
{
    struct sockaddr_nl sender = {0};
    struct iovec vector = {.iov_base = diag->datagram, .iov_len = sizeof(diag->datagram)};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &vector, .msg_iovlen = 1};
    ssize_t size = RETRY_ON_EINTR(recvmsg(diag->fd, &message, MSG_DONTWAIT));

    if (size < 0)
        return -errno;
    if (message.msg_namelen != sizeof(sender) || sender.nl_family != AF_NETLINK ||
        sender.nl_pid != 0 || (message.msg_flags & MSG_TRUNC) != 0 || size == 0)
        return -EBADMSG;
    return size;
}

/* Drops what an earlier question left behind, so that its rest is not taken for an answer. */
static void drain(struct sock_diag *diag)
{
    for (int i = 0; i < 1024; i++) {
        if (receive(diag) == -EAGAIN)
            return;
    }
}

static int look(struct sock_diag *diag, const struct diag_query *query, struct diag_list *list)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    uint8_t request[DIAG_REQUEST_MAX];
    uint32_t sequence = ++diag->sequence;
    size_t size = diag_request(query, sequence, request);
    bool changed = false;

    if (RETRY_ON_EINTR(sendto(diag->fd, request, size, MSG_NOSIGNAL, (struct sockaddr *)&kernel,
                              sizeof(kernel))) != (ssize_t)size)
        return -EIO;
    /* Each datagram holds some hundred sockets: an end is certain. */
    for (unsigned i = 0; i <= DIAG_SOCKETS_MAX; i++) {
        ssize_t received = receive(diag);
        if (received < 0)
            return (int)received;
        int result = diag_parse(query, sequence, diag->datagram, (size_t)received, list, &changed);
        if (result < 0)
            return result;
        if (result == 1)
            return changed ? -EINTR : 0;
    }
    return -ENOSPC;
}

int sock_diag_dump(struct sock_diag *diag, const struct diag_query *query, struct diag_list *list)
{
    size_t count = list->count, names = list->names.length;
    int result = -EINTR;

    pthread_mutex_lock(&diag->lock);
    for (int i = 0; i < LOOKS && result == -EINTR; i++) {
        list->count = count;
        list->names.length = names;
        result = look(diag, query, list);
        if (result < 0)
            drain(diag);
    }
    pthread_mutex_unlock(&diag->lock);
    return result;
}
