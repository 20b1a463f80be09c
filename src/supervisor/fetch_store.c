/* Fetched descriptors: see fetch_store.h. */
#include "supervisor/fetch_store.h"

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* More descriptors than this no call needs; one that makes up new numbers again and again is stopped. */
#define PER_CALL_MAX 16

void fetch_store_init(struct fetch_store *store)
{
    memset(store, 0, sizeof(*store));
    pthread_mutex_init(&store->lock, NULL);
}

void fetch_store_free(struct fetch_store *store)
{
    for (size_t i = 0; i < FETCH_STORE_MAX; i++) {
        if (store->items[i].key.tid != 0)
            fd_close(store->items[i].fd);
    }
    for (unsigned i = 0; i < store->file_count; i++)
        close(store->files[i]);
    pthread_mutex_destroy(&store->lock);
}

/* With the lock. Closing the last one of a file may write it back: a worker does that. */
static void discard(struct fetch_store *store, int fd)
{
    struct stat status;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)) {
        fd_end_lingering(fd);
    } else if (store->file_count < FETCH_STORE_MAX) {
        store->files[store->file_count++] = fd;
        return;
    }
    close(fd);
}

void fetch_store_put(struct fetch_store *store, const struct fetch_key *key, int fd,
                     int64_t expires)
{
    struct fetch_item *place = NULL;

    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < FETCH_STORE_MAX && place == NULL; i++) {
        if (store->items[i].key.tid == 0)
            place = &store->items[i];
    }
    if (place != NULL) {
        *place = (struct fetch_item){.key = *key, .fd = fd, .expires = expires};
        store->count++;
    } else {
        discard(store, fd);
    }
    pthread_mutex_unlock(&store->lock);
}

static bool is_same_call(const struct fetch_key *left, const struct fetch_key *right)
{
    return left->tid == right->tid && left->tgid == right->tgid &&
           memcmp(&left->data, &right->data, sizeof(left->data)) == 0;
}

int fetch_store_find(struct fetch_store *store, const struct fetch_key *key, int *fd)
{
    unsigned of_call = 0;
    int result = 1;

    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; store->count > 0 && i < FETCH_STORE_MAX; i++) {
        const struct fetch_item *item = &store->items[i];
        if (item->key.tid == 0 || !is_same_call(&item->key, key))
            continue;
        of_call++;
        if (item->key.number != key->number)
            continue;
        *fd = item->fd < 0 ? -1 : fcntl(item->fd, F_DUPFD_CLOEXEC, 3);
        result = *fd >= 0 ? 0 : item->fd < 0 ? -EPERM : -errno;
        break;
    }
    pthread_mutex_unlock(&store->lock);
    return result > 0 && of_call >= PER_CALL_MAX ? -EPERM : result;
}

bool fetch_store_drop(struct fetch_store *store, pid_t tid, pid_t tgid, int64_t now)
{
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; store->count > 0 && i < FETCH_STORE_MAX; i++) {
        struct fetch_item *item = &store->items[i];
        if (item->key.tid == 0 ||
            (item->key.tid != tid && item->key.tgid != tgid && item->expires >= now))
            continue;
        item->key.tid = 0;
        store->count--;
        discard(store, item->fd);
    }
    bool files = store->file_count > 0;
    pthread_mutex_unlock(&store->lock);
    return files;
}

bool fetch_store_is_empty(struct fetch_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool empty = store->count == 0;
    pthread_mutex_unlock(&store->lock);
    return empty;
}

unsigned fetch_store_take_files(struct fetch_store *store, int files[FETCH_STORE_MAX])
{
    pthread_mutex_lock(&store->lock);
    unsigned count = store->file_count;
    memcpy(files, store->files, count * sizeof(files[0]));
    store->file_count = 0;
    pthread_mutex_unlock(&store->lock);
    return count;
}
