/*
 * The first allocations of the static program. musl's allocator maps a page for each size of block it
 * has not seen yet, and touches it twice: for a program that lives two milliseconds that is much. So the
 * first blocks lie one behind the other in memory that is there already, and only what does not fit is
 * musl's. Blocks of the arena are never used again: it is small, and most of it a run keeps anyway.
 *
 * The linker puts these functions in front of musl's (--wrap, src/cli/meson.build).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARENA_SIZE ((size_t)64 * 1024)

/* Before each block its size; both aligned as malloc() promises. */
#define ALIGNMENT 16
#define HEADER ALIGNMENT

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* Common symbols lie behind all other variables, so that those share pages with one another. */
unsigned char early_arena[ARENA_SIZE]
    __attribute__((common, aligned(ALIGNMENT), visibility("hidden")));
static atomic_size_t used;

static bool is_ours(const void *block)
{
    return (uintptr_t)block - (uintptr_t)early_arena < ARENA_SIZE;
}

/* A block of no size has an address of its own too, and at the end of the arena one inside it. */
static size_t rounded(size_t size)
{
    return size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static size_t size_of(const void *block)
{
    return *(const size_t *)(const void *)((const unsigned char *)block - HEADER);
}

/* NULL: it does not fit. Fresh bytes are zero, and used ones are never handed out again. */
static void *take(size_t size)
{
    size_t start = atomic_load_explicit(&used, memory_order_relaxed);

    do {
        if (size > ARENA_SIZE - HEADER || start > ARENA_SIZE - HEADER - rounded(size))
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&used, &start, start + HEADER + rounded(size),
                                                    memory_order_relaxed, memory_order_relaxed));
    *(size_t *)(void *)(early_arena + start) = size;
    return early_arena + start + HEADER;
}

void *__wrap_malloc(size_t size)
{
    void *block = take(size);

    return block != NULL ? block : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = take(total);
    return block != NULL ? block : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    if (block == NULL)
        return __wrap_malloc(size);
    if (!is_ours(block))
        return __real_realloc(block, size);
    if (size <= size_of(block))
        return block;
    void *larger = __wrap_malloc(size);
    if (larger != NULL)
        memcpy(larger, block, size_of(block));
    return larger;
}

void __wrap_free(void *block)
{
    if (!is_ours(block))
        __real_free(block);
}
