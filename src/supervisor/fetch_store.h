/*
 * Descriptors that were fetched, each kept for the very call it was fetched for: same thread, same
 * registers. Which descriptor it is of needs no trust, since the verdict is on what arrived. Any thread.
 */
#ifndef SANDLOCK_SUPERVISOR_FETCH_STORE_H
#define SANDLOCK_SUPERVISOR_FETCH_STORE_H

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FETCH_STORE_MAX 64

/* Whose call, and which of its descriptors. */
struct fetch_key {
    pid_t tid, tgid;
    struct seccomp_data data;
    int number;
};

struct fetch_item {
    struct fetch_key key; /* key.tid 0: free */
    int fd;               /* owned; -1: it could not be had, and the call is to hear so */
    int64_t expires;
};

struct fetch_store {
    pthread_mutex_t lock; /* guards the rest */
    struct fetch_item items[FETCH_STORE_MAX];
    unsigned count;
    int files[FETCH_STORE_MAX]; /* to be closed where that may take time */
    unsigned file_count;
};

void fetch_store_init(struct fetch_store *store);
void fetch_store_free(struct fetch_store *store);

/* Takes `fd` (-1: none), until `expires` (as loop_now()). Without room the call fetches once more. */
void fetch_store_put(struct fetch_store *store, const struct fetch_key *key, int fd,
                     int64_t expires);

/* 0 and a duplicate in *fd; 1: it is not here; -errno: it will not be, or cannot be duplicated. */
int fetch_store_find(struct fetch_store *store, const struct fetch_key *key, int *fd);

/* Drops what belongs to this thread (0: none) or process (0: none), or has expired before `now` (0: no
 * look). True: files wait to be closed, see fetch_store_take_files(). */
bool fetch_store_drop(struct fetch_store *store, pid_t tid, pid_t tgid, int64_t now);

bool fetch_store_is_empty(struct fetch_store *store);

/* Hands over the files that wait; how many. */
unsigned fetch_store_take_files(struct fetch_store *store, int files[FETCH_STORE_MAX]);

#endif
