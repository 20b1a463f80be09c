/* The table of bound sockets: see port_map.h. Short, so it is searched from one end to the other. */
#include "net/port_map.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* From this size on dead sockets are looked for; then at twice what was left. */
#define CROWD_FIRST 32

struct port_map {
    pthread_mutex_t asking; /* held while `liveness` is asked; before `lock` */
    pthread_mutex_t lock;   /* never held while something slow is done */
    size_t crowd;
    struct port_entry *entries;
    size_t count, capacity;
    port_liveness liveness;
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

void port_map_ask(struct port_map *map, port_liveness liveness, void *data)
{
    pthread_mutex_lock(&map->asking);
    map->liveness = liveness;
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
        if (i >= count || !judged[i].dead)
            map->entries[kept++] = map->entries[i];
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
            (real_port == 0 || entry->real_port == real_port))
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
    struct port_entry *copy = map->liveness == NULL ? NULL : copy_entries(map, &count);
    if (copy != NULL) {
        map->liveness(map->data, copy, count);
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
