/* Socket tables: see proc_sockets.h. Formats of tcp_ipv4.c, tcp_ipv6.c, udp.c, af_unix.c and proc.c of
 * the kernel; what a dump does not tell is 0, pointers and reference counts too. */
#include "net/proc_sockets.h"

#include "util/text.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Lines of the IPv4 tables have a fixed width. */
#define TCP_WIDTH 149
#define UDP_WIDTH 127

enum { STATE_ESTABLISHED = 1, STATE_CLOSE = 7, STATE_LISTEN = 10, STATE_BOUND = 13 };
enum { TIMER_KEEPALIVE = 2, TIMER_PROBE = 4 };

struct table {
    uint8_t family, protocol;
    size_t width; /* 0: as long as it is */
    const char *header;
};

static const struct table *table_of(enum net_file file)
{
    static const struct table tcp = {AF_INET, IPPROTO_TCP, TCP_WIDTH,
                                     "  sl  local_address rem_address   st tx_queue rx_queue tr "
                                     "tm->when retrnsmt   uid  timeout "
                                     "inode"};
    static const struct table tcp6 = {
        AF_INET6, IPPROTO_TCP, 0,
        "  sl  local_address                         remote_address                        st "
        "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"};
    static const struct table udp = {AF_INET, IPPROTO_UDP, UDP_WIDTH,
                                     "   sl  local_address rem_address   st tx_queue rx_queue tr "
                                     "tm->when retrnsmt   uid  timeout "
                                     "inode ref pointer drops"};
    static const struct table udp6 = {
        AF_INET6, IPPROTO_UDP, 0,
        "  sl  local_address                         remote_address                        st "
        "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"};
    static const struct table unix_sockets = {
        AF_UNIX, 0, 0, "Num       RefCount Protocol Flags    Type St Inode Path"};

    switch (file) {
    case NET_FILE_TCP:
        return &tcp;
    case NET_FILE_TCP6:
        return &tcp6;
    case NET_FILE_UDP:
        return &udp;
    case NET_FILE_UDP6:
        return &udp6;
    case NET_FILE_UNIX:
        return &unix_sockets;
    default:
        return NULL;
    }
}

static void end_line(struct buffer *out, size_t start, size_t width)
{
    while (!buffer_failed(out) && out->length - start < width)
        buffer_append_char(out, ' ');
    buffer_append_char(out, '\n');
}

/* ---- IP -------------------------------------------------------------------------------------------- */

/* Words in the byte order of the machine, as the kernel prints them. */
static void append_address(struct buffer *out, const struct net_address *address, uint16_t port)
{
    size_t size = address->family == 4 ? 4 : 16;

    for (size_t i = 0; i < size; i += 4) {
        uint32_t word;
        memcpy(&word, address->bytes + i, sizeof(word));
        buffer_printf(out, "%08X", word);
    }
    buffer_printf(out, ":%04X", port);
}

static enum net_protocol protocol_of(const struct diag_socket *socket)
{
    return socket->protocol == IPPROTO_UDP ? NET_UDP : NET_TCP;
}

static uint16_t local_port(const struct diag_socket *socket, struct port_map *ports)
{
    uint16_t own = ports == NULL ? 0 : port_map_of(ports, socket->cookie);

    /* An accepted socket has the port of its listener. */
    if (own == 0 && ports != NULL)
        own = port_map_virtual(ports, protocol_of(socket), socket->local_port);
    return own == 0 ? socket->local_port : own;
}

static uint16_t remote_port(const struct diag_socket *socket, struct port_map *ports)
{
    struct net_address remote = net_address_canonical(&socket->remote);
    uint16_t own = 0;

    if (ports != NULL && socket->remote_port != 0 && net_address_is_loopback(&remote))
        own = port_map_virtual(ports, protocol_of(socket), socket->remote_port);
    return own == 0 ? socket->remote_port : own;
}

static void append_ip(struct buffer *out, const struct table *table, unsigned number,
                      const struct diag_socket *socket, struct port_map *ports)
{
    bool tcp = table->protocol == IPPROTO_TCP;
    bool probes = socket->timer == TIMER_KEEPALIVE || socket->timer == TIMER_PROBE;
    unsigned state = socket->state == STATE_BOUND ? STATE_CLOSE : socket->state;
    size_t start = out->length;

    buffer_printf(out, tcp ? "%4u: " : "%5u: ", number);
    append_address(out, &socket->local, local_port(socket, ports));
    buffer_append_char(out, ' ');
    append_address(out, &socket->remote, remote_port(socket, ports));
    buffer_printf(out, " %02X %08X:%08X %02X:%08lX %08X %5u %8u %u 0 %016X", state,
                  state == STATE_LISTEN ? 0 : socket->send_queue, socket->receive_queue,
                  socket->timer, (unsigned long)socket->expires / 10,
                  probes ? 0U : socket->retransmits, socket->uid, probes ? socket->retransmits : 0U,
                  socket->inode, 0U);
    buffer_append_text(out, tcp ? " 0 0 0 0 0" : " 0");
    end_line(out, start, table->width);
}

/* ---- Unix ------------------------------------------------------------------------------------------ */

/* The name as a program of the sandbox may read it: false if the row could be taken for another one. */
static bool append_name(struct buffer *out, const char *name, size_t length)
{
    bool abstract = length > 0 && name[0] == '\0';

    if (length == 0)
        return true;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '\n' || name[i] == '\r')
            return false;
    }
    if (!abstract) {
        length = strnlen(name, length);
        /* It says nothing without the directory it was bound in. */
        if (name[0] != '/' || memmem(name, length, "/..", 3) != NULL)
            return true;
    }
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    for (size_t i = 0; i < length; i++)
        buffer_append_char(&text, name[i] == '\0' ? '@' : name[i]);
    if (buffer_failed(&text) || !text_is_utf8(buffer_text(&text), text.length))
        return false;
    buffer_append_char(out, ' ');
    buffer_append_text(out, buffer_text(&text));
    return true;
}

static void append_unix(struct buffer *out, const struct diag_socket *socket,
                        const struct buffer *names)
{
    CLEANUP_BUFFER struct buffer name = BUFFER_INIT;

    if (socket->name_length > 0 &&
        !append_name(&name, names->data + socket->name_offset, socket->name_length))
        return;
    buffer_printf(out, "%016X: 00000000 00000000 %08X %04X %02X %5u%s\n", 0U,
                  socket->state == STATE_LISTEN ? 0x10000U : 0U, socket->type,
                  socket->state == STATE_ESTABLISHED ? 3 : 1, socket->inode, buffer_text(&name));
}

/* ---- Counts ---------------------------------------------------------------------------------------- */

static unsigned count(const struct own_sockets *own, int domain, int type, int protocol)
{
    unsigned found = 0;

    for (size_t i = 0; i < own->count; i++) {
        const struct own_socket *socket = &own->items[i];
        found += socket->domain == domain && socket->type == type &&
                 (protocol == 0 || socket->protocol == protocol);
    }
    return found;
}

static void append_counts(struct buffer *out, const struct own_sockets *own, int domain)
{
    const char *six = domain == AF_INET6 ? "6" : "";
    unsigned tcp = count(own, domain, SOCK_STREAM, IPPROTO_TCP);
    unsigned udp = count(own, domain, SOCK_DGRAM, IPPROTO_UDP);
    unsigned lite = count(own, domain, SOCK_DGRAM, IPPROTO_UDPLITE);
    unsigned raw = count(own, domain, SOCK_RAW, 0);

    if (domain == AF_INET6) {
        buffer_printf(out, "TCP6: inuse %u\nUDP6: inuse %u\n", tcp, udp);
    } else {
        unsigned all = tcp + count(own, AF_INET6, SOCK_STREAM, IPPROTO_TCP);
        buffer_printf(out,
                      "sockets: used %zu\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\n"
                      "UDP: inuse %u mem 0\n",
                      own->count, tcp, all, udp);
    }
    buffer_printf(out, "UDPLITE%s: inuse %u\nRAW%s: inuse %u\nFRAG%s: inuse 0 memory 0\n", six,
                  lite, six, raw, six);
}

/* ---- Files ----------------------------------------------------------------------------------------- */

void proc_sockets_render(enum net_file file, const struct own_sockets *own,
                         const struct diag_list *listed, struct port_map *ports, struct buffer *out)
{
    const struct table *table = table_of(file);
    size_t start = out->length;
    unsigned number = 0;

    if (table == NULL) {
        append_counts(out, own, file == NET_FILE_SOCKSTAT6 ? AF_INET6 : AF_INET);
        return;
    }
    buffer_append_text(out, table->header);
    end_line(out, start, table->width);
    for (size_t i = 0; i < listed->count; i++) {
        const struct diag_socket *socket = &listed->sockets[i];
        if (own_sockets_find(own, socket->cookie) == NULL)
            continue;
        if (table->family == AF_UNIX)
            append_unix(out, socket, &listed->names);
        else
            append_ip(out, table, number++, socket, ports);
    }
}

static bool any_of(const struct own_sockets *own, uint8_t family)
{
    for (size_t i = 0; i < own->count; i++) {
        if (own->items[i].domain == family)
            return true;
    }
    return false;
}

int proc_sockets_text(const struct proc_sockets *source, enum net_file file, struct buffer *out)
{
    const struct table *table = table_of(file);
    struct own_sockets own = OWN_SOCKETS_INIT;
    struct diag_list listed = DIAG_LIST_INIT;

    int result = own_sockets_collect(&own, source->proc_fd, source->guardian, source->netlink);
    if (result == 0 && table != NULL && any_of(&own, table->family)) {
        const struct diag_query query = {
            .family = table->family, .protocol = table->protocol, .states = DIAG_ALL_STATES};
        result = source->diag == NULL ? -EACCES : sock_diag_dump(source->diag, &query, &listed);
    }
    if (result == 0)
        proc_sockets_render(file, &own, &listed, source->ports, out);
    diag_list_free(&listed);
    own_sockets_free(&own);
    return result == 0 && buffer_failed(out) ? -ENOMEM : result;
}
