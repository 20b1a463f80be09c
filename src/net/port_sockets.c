/*
 * The questions of a port map, put to the kernel's lists of sockets: see port_sockets.h.
 *
 * Before Linux 6.8 a TCP socket that is bound and does nothing is in no list. There absence proves
 * nothing, until a socket was seen as a listener: what listened and is listed no more is gone.
 */
#include "net/port_sockets.h"

#include "net/sock_diag.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* 1 << TCP_LISTEN */
#define LISTENING (1U << 10)

/* So many sockets nobody tells about are remembered, the latest: no memory grows without end. */
#define UNTOLD_MAX 4096

static bool list_sockets(struct sock_diag *diag, enum net_protocol protocol, uint32_t states,
                         uint16_t port, struct diag_list *list)
{
    struct diag_query query = {.family = AF_INET,
                               .protocol = protocol == NET_TCP ? IPPROTO_TCP : IPPROTO_UDP,
                               .states =
                                   sock_diag_lists_bound(diag) ? states : states & ~DIAG_BOUND,
                               .local_port = port};

    if (sock_diag_dump(diag, &query, list) != 0)
        return false;
    query.family = AF_INET6;
    int result = sock_diag_dump(diag, &query, list);
    return result == 0 || result == -ENOENT; /* a host without IPv6 */
}

/* ---- Which sockets are gone ---------------------------------------------------------------------- */

static void judge(struct port_entry *entry, const struct diag_list *list, bool lists_all)
{
    const struct diag_socket *found = diag_list_find(list, entry->cookie);

    if (found != NULL && (1U << found->state & LISTENING) != 0)
        entry->listened = true;
    entry->dead = found == NULL && (lists_all || entry->protocol != NET_TCP || entry->listened);
}

static void judge_all(struct sock_diag *diag, enum net_protocol protocol,
                      struct port_entry *entries, size_t count)
{
    struct diag_list list = DIAG_LIST_INIT;
    bool lists_all = sock_diag_lists_bound(diag);

    if (list_sockets(diag, protocol, DIAG_ALL_STATES, 0, &list)) {
        for (size_t i = 0; i < count; i++) {
            if (entries[i].protocol == protocol)
                judge(&entries[i], &list, lists_all);
        }
    }
    diag_list_free(&list);
}

static void forget_oldest(struct port_entry *entries, size_t count)
{
    size_t untold = 0;

    for (size_t i = count; i > 0; i--) {
        struct port_entry *entry = &entries[i - 1];
        if (entry->protocol == NET_TCP && !entry->dead && !entry->listened)
            entry->dead = ++untold > UNTOLD_MAX;
    }
}

static void find_dead(void *data, struct port_entry *entries, size_t count)
{
    static const enum net_protocol protocols[] = {NET_TCP, NET_UDP};

    for (size_t p = 0; p < sizeof(protocols) / sizeof(protocols[0]); p++) {
        bool any = false;
        for (size_t i = 0; i < count && !any; i++)
            any = entries[i].protocol == protocols[p];
        if (any)
            judge_all(data, protocols[p], entries, count);
    }
    if (!sock_diag_lists_bound(data))
        forget_oldest(entries, count);
}

/* ---- Who has a port ------------------------------------------------------------------------------ */

static struct net_address unmapped(const struct net_address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    struct net_address inner = {.family = 4};

    if (address->family != 6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
        return *address;
    memcpy(inner.bytes, address->bytes + sizeof(mapped), 4);
    return inner;
}

/* For bound sockets the kernel walks its whole table of bound ports, whatever port is asked for. */
static uint32_t states_of(enum net_protocol protocol, enum port_interest interest)
{
    if (protocol != NET_TCP)
        return DIAG_ALL_STATES;
    return interest == PORT_SHARERS ? LISTENING | DIAG_BOUND : LISTENING;
}

static bool list_users(void *data, enum net_protocol protocol, enum port_interest interest,
                       uint16_t real_port, struct port_user **users, size_t *count)
{
    struct diag_list list = DIAG_LIST_INIT;
    uint32_t states = states_of(protocol, interest);
    bool listed = list_sockets(data, protocol, states, real_port, &list);

    *users = listed ? calloc(list.count + 1, sizeof(**users)) : NULL;
    *count = list.count;
    for (size_t i = 0; i < list.count && *users != NULL; i++)
        (*users)[i] = (struct port_user){.cookie = list.sockets[i].cookie,
                                         .address = unmapped(&list.sockets[i].local),
                                         .v6_only = list.sockets[i].v6_only};
    diag_list_free(&list);
    return *users != NULL;
}

const struct port_questions port_sockets_questions = {.liveness = find_dead, .users = list_users};
