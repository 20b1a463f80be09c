/*
 * Strings that belong to callers. Every one handed out is in a registry until it is released, because
 * callers release what they never got: ctypes, told that a function returns a C string, passes its own
 * copy of it to the release function. What is not in the registry is ignored, which makes releasing
 * twice harmless too.
 *
 * The registry is a hash set of addresses with linear probing. Its lock is held across fork() so that
 * a forked copy of a multi-threaded host can go on using strings.
 */
#include "api/api.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 64 /* a power of two */

static struct {
    pthread_mutex_t lock;
    uintptr_t *slots; /* 0: empty; owned */
    size_t capacity;  /* 0 or a power of two */
    size_t count;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t fork_handlers_once = PTHREAD_ONCE_INIT;

static void lock_registry(void)
{
    pthread_mutex_lock(&registry.lock);
}

static void unlock_registry(void)
{
    pthread_mutex_unlock(&registry.lock);
}

static void install_fork_handlers(void)
{
    pthread_atfork(lock_registry, unlock_registry, unlock_registry);
}

/* Allocations are 16 bytes apart and follow each other: the low bits say nothing, the product
 * spreads the rest (Fibonacci hashing). */
static size_t home_slot(uintptr_t address, size_t capacity)
{
    uint64_t spread = (uint64_t)(address >> 4) * 0x9e3779b97f4a7c15ULL;

    return (size_t)(spread >> 32) & (capacity - 1);
}

/* The slot that holds the address, or the empty one where it belongs. */
static size_t find_slot(const uintptr_t *slots, size_t capacity, uintptr_t address)
{
    size_t slot = home_slot(address, capacity);

    while (slots[slot] != 0 && slots[slot] != address)
        slot = (slot + 1) & (capacity - 1);
    return slot;
}

/* At most half full, so that probing is short and always ends. */
static bool make_room(void)
{
    if (registry.capacity > 0 && (registry.count + 1) * 2 <= registry.capacity)
        return true;
    size_t capacity = registry.capacity == 0 ? FIRST_SLOTS : registry.capacity * 2;
    uintptr_t *slots = calloc(capacity, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < registry.capacity; i++) {
        if (registry.slots[i] != 0)
            slots[find_slot(slots, capacity, registry.slots[i])] = registry.slots[i];
    }
    free(registry.slots);
    registry.slots = slots;
    registry.capacity = capacity;
    return true;
}

static bool insert(uintptr_t address)
{
    if (!make_room())
        return false;
    registry.slots[find_slot(registry.slots, registry.capacity, address)] = address;
    registry.count++;
    return true;
}

/* Closes the gap that a removal leaves: entries behind it whose search passes the gap move into it. */
static void close_gap(size_t gap)
{
    size_t mask = registry.capacity - 1;

    for (size_t slot = (gap + 1) & mask; registry.slots[slot] != 0; slot = (slot + 1) & mask) {
        size_t home = home_slot(registry.slots[slot], registry.capacity);
        if (((slot - home) & mask) < ((slot - gap) & mask))
            continue;
        registry.slots[gap] = registry.slots[slot];
        registry.slots[slot] = 0;
        gap = slot;
    }
}

static bool take_out(uintptr_t address)
{
    if (registry.count == 0)
        return false;
    size_t slot = find_slot(registry.slots, registry.capacity, address);
    if (registry.slots[slot] != address)
        return false;
    registry.slots[slot] = 0;
    close_gap(slot);
    registry.count--;
    return true;
}

char *api_string_give(char *text)
{
    if (text == NULL)
        return NULL;
    pthread_once(&fork_handlers_once, install_fork_handlers);
    lock_registry();
    bool known = insert((uintptr_t)text);
    unlock_registry();
    if (known)
        return text;
    free(text);
    return NULL;
}

char *api_string_copy(const char *text)
{
    return api_string_give(strdup(text));
}

size_t api_string_count(void)
{
    lock_registry();
    size_t count = registry.count;
    unlock_registry();
    return count;
}

void sandlock_string_free(char *string)
{
    if (string == NULL)
        return;
    lock_registry();
    bool ours = take_out((uintptr_t)string);
    unlock_registry();
    if (ours)
        free(string);
}
