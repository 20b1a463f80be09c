/*
 * The memory of guardian and child: a stack for each above a guard page, and the record that all three
 * processes share. A host that runs one sandbox after the other gets the last one's again, which saves
 * it four system calls and the first touch of every page.
 */
#include "launch/internal.h"

#include "util/fault.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* Both run a few small functions; the deepest is the guardian's walk over /proc (eight levels of
 * 1 KiB). A page without access lies below each. */
#define STACK_SIZE (32 * 1024)
#define STACK_GUARD 4096

#define STACKS_SIZE ((size_t)2 * (STACK_SIZE + STACK_GUARD))
#define MEMORY_SIZE (STACKS_SIZE + sizeof(struct launch_record))

/* One block of private memory that nobody uses, or NULL. A fork of the host copies it like all else. */
static struct {
    pthread_mutex_t lock;
    char *block;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Not if another thread is at it: a host that forks must not find the lock held for long. */
static char *exchange_spare(char *block)
{
    if (pthread_mutex_trylock(&spare.lock) != 0)
        return block;
    char *other = spare.block;
    spare.block = block;
    pthread_mutex_unlock(&spare.lock);
    return other;
}

static char *make_block(int flags, struct error *err)
{
    char *block = FAULT_OR("memory", MAP_FAILED,
                           mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0));

    if (block == MAP_FAILED) {
        error_runtime(err, errno, "launch memory");
        return NULL;
    }
    if (FAULT_OR("stacks", -1, mprotect(block, STACK_GUARD, PROT_NONE)) != 0 ||
        mprotect(block + STACK_GUARD + STACK_SIZE, STACK_GUARD, PROT_NONE) != 0) {
        error_runtime(err, errno, "launch stacks");
        munmap(block, MEMORY_SIZE);
        return NULL;
    }
    return block;
}

/* A guardian with an address space of its own sees the host's writes in a shared mapping only, which
 * costs the kernel a file. */
bool launch_memory_prepare(struct launch *launch, bool same_space, struct error *err)
{
    char *block = NULL;

    if (same_space)
        block = exchange_spare(NULL);
    if (block != NULL)
        memset(block + STACKS_SIZE, 0, sizeof(struct launch_record));
    else
        block = make_block(MAP_ANONYMOUS | (same_space ? MAP_PRIVATE : MAP_SHARED), err);
    if (block == NULL)
        return false;
    launch->memory = block;
    launch->memory_is_private = same_space;
    launch->guardian_stack_top = block + STACK_GUARD + STACK_SIZE;
    launch->child_stack_top = block + STACKS_SIZE;
    launch->record = (struct launch_record *)(void *)(block + STACKS_SIZE);
    launch->record->listener = -1;
    return true;
}

/* Where the guardian did not end in order somebody may still stand on these stacks. */
void launch_memory_free(struct launch *launch)
{
    char *block = launch->memory;

    if (block == NULL)
        return;
    if (launch->memory_is_private && atomic_load(&launch->record->finished) != 0)
        block = exchange_spare(block);
    if (block != NULL)
        munmap(block, MEMORY_SIZE);
    launch->memory = NULL;
    launch->record = NULL;
}
