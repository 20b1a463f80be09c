/* The table of bound sockets: see port_map.h. Short, so it is searched from one end to the other. */
#include "net/port_map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* From this size on dead sockets are looked for; then at twice what was left. */
#define CROWD_FIRST 32

/* Real ports of one virtual port that are looked at, the latest ones: a bind at another address or of
 * another family can have got another one. */
#define PLACES_MAX 8

struct port_map {
    pthread_mutex_t asking; /* held while a question is asked; before `lock` */
    pthread_mutex_t lock;   /* never held while something slow is done */
    size_t crowd;
    struct port_entry *entries;
    size_t count, capacity;
    const struct port_questions *questions;
    void *data;
};

struct port_map *port_map_new(void)
{
    struct port_map *map = calloc(1, sizeof(*map));

    if (map == NULL)
        return NULL;
    pthread_mutex_init(&map->asking, NULL);
    pthread_mutex_init(&map->lock, NULL);
    map->crowd = CROWD_FIRST;
    return map;
}

void port_map_free(struct port_map *map)
{
    if (map == NULL)
        return;
    pthread_mutex_destroy(&map->lock);
    pthread_mutex_destroy(&map->asking);
    free(map->entries);
    free(map);
}

void port_map_ask(struct port_map *map, const struct port_questions *questions, void *data)
{
    pthread_mutex_lock(&map->asking);
    map->questions = questions;
    map->data = data;
    pthread_mutex_unlock(&map->asking);
}

/* ---- With the lock held -------------------------------------------------------------------------- */

static bool make_room(struct port_map *map)
{
    if (map->count < map->capacity)
        return true;
    size_t capacity = map->capacity == 0 ? CROWD_FIRST : map->capacity * 2;
    struct port_entry *larger = realloc(map->entries, capacity * sizeof(*larger));
    if (larger == NULL)
        return false;
    map->entries = larger;
    map->capacity = capacity;
    return true;
}

/* `judged` are copies of the first `count` entries: meanwhile entries are only appended. */
static void forget(struct port_map *map, const struct port_entry *judged, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < map->count; i++) {
        if (i < count && judged[i].dead)
            continue;
        bool listened = map->entries[i].listened || (i < count && judged[i].listened);
        map->entries[kept] = map->entries[i];
        map->entries[kept++].listened = listened;
    }
    map->count = kept;
    map->crowd = kept * 2 < CROWD_FIRST ? CROWD_FIRST : kept * 2;
}

/* The latest one counts: an older one at another port is dead, or the bind would have failed. */
static const struct port_entry *find(const struct port_map *map, enum net_protocol protocol,
                                     uint16_t virtual_port, uint16_t real_port)
{
    for (size_t i = map->count; i > 0; i--) {
        const struct port_entry *entry = &map->entries[i - 1];
        if (entry->protocol == protocol &&
            (virtual_port == 0 || entry->virtual_port == virtual_port) &&
            (real_port == 0 || (entry->real_port == real_port && !entry->outdated)))
            return entry;
    }
    return NULL;
}

/* ---- Cleaning ------------------------------------------------------------------------------------ */

static struct port_entry *copy_entries(struct port_map *map, size_t *count)
{
    pthread_mutex_lock(&map->lock);
    *count = map->count;
    struct port_entry *copy = map->count == 0 ? NULL : calloc(map->count, sizeof(*copy));
    if (copy != NULL)
        memcpy(copy, map->entries, map->count * sizeof(*copy));
    pthread_mutex_unlock(&map->lock);
    return copy;
}

void port_map_clean(struct port_map *map)
{
    size_t count;

    pthread_mutex_lock(&map->asking);
    struct port_entry *copy = map->questions == NULL ? NULL : copy_entries(map, &count);
    if (copy != NULL) {
        map->questions->liveness(map->data, copy, count);
        pthread_mutex_lock(&map->lock);
        forget(map, copy, count);
        pthread_mutex_unlock(&map->lock);
        free(copy);
    }
    pthread_mutex_unlock(&map->asking);
}

bool port_map_is_crowded(struct port_map *map)
{
    pthread_mutex_lock(&map->lock);
    bool crowded = map->count >= map->crowd;
    pthread_mutex_unlock(&map->lock);
    return crowded;
}

/* ---- Whose a port is ----------------------------------------------------------------------------- */

static bool is_unspecified(const struct net_address *address)
{
    static const uint8_t nothing[16];

    return memcmp(address->bytes, nothing, address->family == 4 ? 4 : 16) == 0;
}

static bool overlaps(const struct port_user *user, const struct net_address *address)
{
    bool user_is_any = is_unspecified(&user->address), other_is_any = is_unspecified(address);

    if (user->address.family == address->family)
        return user_is_any || other_is_any || net_address_equal(&user->address, address);
    if (user->address.family == 6)
        return user_is_any && !user->v6_only;
    return other_is_any;
}

static bool is_own(struct port_map *map, enum net_protocol protocol, uint64_t cookie)
{
    bool own = false;

    pthread_mutex_lock(&map->lock);
    for (size_t i = 0; i < map->count && !own; i++)
        own = map->entries[i].cookie == cookie && map->entries[i].protocol == protocol;
    pthread_mutex_unlock(&map->lock);
    return own;
}

static unsigned users_of(struct port_map *map, enum net_protocol protocol,
                         enum port_interest interest, const struct net_address *address,
                         uint16_t real_port)
{
    struct port_user *users = NULL;
    size_t count = 0;
    unsigned found = PORT_UNTOLD;

    pthread_mutex_lock(&map->asking);
    if (map->questions != NULL &&
        map->questions->users(map->data, protocol, interest, real_port, &users, &count)) {
        found = 0;
        for (size_t i = 0; i < count; i++) {
            if (overlaps(&users[i], address))
                found |= is_own(map, protocol, users[i].cookie) ? PORT_OWN : PORT_FOREIGN;
        }
        free(users);
    }
    pthread_mutex_unlock(&map->asking);
    return found;
}

unsigned port_map_users(struct port_map *map, enum net_protocol protocol,
                        const struct net_address *address, uint16_t real_port)
{
    unsigned users = users_of(map, protocol, PORT_RECEIVERS, address, real_port);

    if (protocol == NET_TCP && (users & (PORT_FOREIGN | PORT_UNTOLD)) == 0)
        users = users_of(map, protocol, PORT_SHARERS, address, real_port);
    return users;
}

/* The different real ports of a virtual one, the latest first. */
static size_t list_places(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port,
                          uint16_t places[PLACES_MAX])
{
    size_t count = 0;

    pthread_mutex_lock(&map->lock);
    for (size_t i = map->count; i > 0 && count < PLACES_MAX; i--) {
        const struct port_entry *entry = &map->entries[i - 1];
        bool is_new = entry->protocol == protocol && entry->virtual_port == virtual_port;
        for (size_t j = 0; j < count && is_new; j++)
            is_new = places[j] != entry->real_port;
        if (is_new)
            places[count++] = entry->real_port;
    }
    pthread_mutex_unlock(&map->lock);
    return count;
}

/* What is only bound is looked for where nothing listens: the kernel then refuses at the real port, while
 * at the virtual one somebody else's socket could answer. */
static bool is_own_alone(struct port_map *map, enum net_protocol protocol,
                         const struct net_address *address, uint16_t real_port)
{
    unsigned users = users_of(map, protocol, PORT_RECEIVERS, address, real_port);

    if (users == 0 && protocol == NET_TCP)
        users = users_of(map, protocol, PORT_SHARERS, address, real_port);
    return users == PORT_OWN;
}

uint16_t port_map_locate(struct port_map *map, enum net_protocol protocol,
                         const struct net_address *address, uint16_t virtual_port)
{
    uint16_t places[PLACES_MAX];
    size_t count = virtual_port == 0 ? 0 : list_places(map, protocol, virtual_port, places);

    for (size_t i = 0; i < count; i++) {
        if (is_own_alone(map, protocol, address, places[i]))
            return places[i];
    }
    return 0;
}

uint16_t port_map_peer(struct port_map *map, enum net_protocol protocol,
                       const struct net_address *address, uint16_t real_port)
{
    uint16_t port = port_map_virtual(map, protocol, real_port);

    return port != 0 && is_own_alone(map, protocol, address, real_port) ? port : 0;
}

/* -------------------------------------------------------------------------------------------------- */

bool port_map_record(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port,
                     uint16_t real_port, uint64_t cookie)
{
    pthread_mutex_lock(&map->lock);
    bool room = make_room(map);
    if (room)
        map->entries[map->count++] = (struct port_entry){.protocol = protocol,
                                                         .virtual_port = virtual_port,
                                                         .real_port = real_port,
                                                         .cookie = cookie};
    pthread_mutex_unlock(&map->lock);
    return room;
}

uint16_t port_map_real(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port)
{
    if (virtual_port == 0)
        return 0;
    pthread_mutex_lock(&map->lock);
    const struct port_entry *entry = find(map, protocol, virtual_port, 0);
    uint16_t port = entry == NULL ? 0 : entry->real_port;
    pthread_mutex_unlock(&map->lock);
    return port;
}

bool port_map_is_moved(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port)
{
    bool moved = false;

    pthread_mutex_lock(&map->lock);
    for (size_t i = 0; i < map->count && !moved; i++) {
        const struct port_entry *entry = &map->entries[i];
        moved = entry->protocol == protocol && entry->virtual_port == virtual_port &&
                entry->real_port != virtual_port;
    }
    pthread_mutex_unlock(&map->lock);
    return moved;
}

uint16_t port_map_virtual(struct port_map *map, enum net_protocol protocol, uint16_t real_port)
{
    if (real_port == 0)
        return 0;
    pthread_mutex_lock(&map->lock);
    const struct port_entry *entry = find(map, protocol, 0, real_port);
    uint16_t port = entry == NULL ? 0 : entry->virtual_port;
    pthread_mutex_unlock(&map->lock);
    return port;
}

uint16_t port_map_of(struct port_map *map, uint64_t cookie)
{
    uint16_t port = 0;

    pthread_mutex_lock(&map->lock);
    for (size_t i = 0; i < map->count && port == 0; i++) {
        if (map->entries[i].cookie == cookie)
            port = map->entries[i].virtual_port;
    }
    pthread_mutex_unlock(&map->lock);
    return port;
}

/* With the lock. */
static struct port_entry *find_own(struct port_map *map, enum net_protocol protocol,
                                   uint64_t cookie, uint16_t real_port)
{
    for (size_t i = 0; i < map->count; i++) {
        struct port_entry *entry = &map->entries[i];
        if (entry->cookie == cookie && entry->protocol == protocol && entry->real_port == real_port)
            return entry;
    }
    return NULL;
}

uint16_t port_map_name(struct port_map *map, enum net_protocol protocol, uint64_t cookie,
                       uint16_t real_port)
{
    pthread_mutex_lock(&map->lock);
    const struct port_entry *entry = find_own(map, protocol, cookie, real_port);
    uint16_t port = entry == NULL ? 0 : entry->virtual_port;
    pthread_mutex_unlock(&map->lock);
    return port != 0 || protocol != NET_TCP ? port : port_map_virtual(map, protocol, real_port);
}

void port_map_pass_on(struct port_map *map, enum net_protocol protocol, uint64_t cookie,
                      uint16_t real_port)
{
    pthread_mutex_lock(&map->lock);
    bool bound = find_own(map, protocol, cookie, real_port) != NULL;
    for (size_t i = 0; i < map->count && !bound; i++) {
        struct port_entry *entry = &map->entries[i];
        if (entry->protocol == protocol && entry->real_port == real_port)
            entry->outdated = true;
    }
    pthread_mutex_unlock(&map->lock);
}

bool port_map_is_held(struct port_map *map, enum net_protocol protocol, uint16_t virtual_port)
{
    port_map_clean(map);
    pthread_mutex_lock(&map->lock);
    bool held = find(map, protocol, virtual_port, 0) != NULL;
    pthread_mutex_unlock(&map->lock);
    return held;
}

static int compare(const void *left, const void *right)
{
    const struct port_entry *a = left, *b = right;

    if (a->virtual_port != b->virtual_port)
        return a->virtual_port < b->virtual_port ? -1 : 1;
    if (a->protocol != b->protocol) /* where TCP and UDP differ, a name is for TCP */
        return a->protocol < b->protocol ? -1 : 1;
    return 0;
}

bool port_map_json(struct port_map *map, struct buffer *out)
{
    bool any = false;
    size_t count;

    port_map_clean(map);
    struct port_entry *sorted = copy_entries(map, &count);
    if (sorted == NULL)
        return false;
    qsort(sorted, count, sizeof(*sorted), compare);
    uint16_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (sorted[i].real_port == sorted[i].virtual_port || sorted[i].virtual_port == last)
            continue;
        last = sorted[i].virtual_port;
        buffer_printf(out, "%s\"%u\":%u", any ? "," : "{", last, sorted[i].real_port);
        any = true;
    }
    if (any)
        buffer_append_char(out, '}');
    free(sorted);
    return any;
}
