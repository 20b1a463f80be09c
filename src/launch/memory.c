/*
 * The memory of guardian and child: a stack for each, and the record that all three processes share. From
 * below: a page without access, the child's stack, the guardian's, and the record in the same page as the
 * guardian's first frames, because each page that three processes touch costs three faults. A guardian
 * that needs more than its own stack finds the child's, which that has left by its exec. A function that
 * runs in place of a command unmaps everything but its own stack first.
 *
 * A host that runs one sandbox after the other gets the last one's memory again, which saves it three
 * system calls and the first touch of every page.
 */
#include "launch/internal.h"

#include "util/fault.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* Both run a few small functions; the deepest is the guardian's reading of lists in /proc, 6 KiB. */
#define STACK_SIZE (32 * 1024)
#define STACK_GUARD 4096

#define MEMORY_SIZE ((size_t)STACK_GUARD + (size_t)2 * STACK_SIZE)
#define RECORD_SIZE ((sizeof(struct launch_record) + 15) & ~(size_t)15) /* as stacks are aligned */

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
    if (FAULT_OR("stacks", -1, mprotect(block, STACK_GUARD, PROT_NONE)) != 0) {
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
    bool used = false;

    if (same_space)
        block = exchange_spare(NULL);
    if (block != NULL)
        used = true;
    else
        block = make_block(MAP_ANONYMOUS | (same_space ? MAP_PRIVATE : MAP_SHARED), err);
    if (block == NULL)
        return false;
    launch->memory = block;
    launch->memory_is_private = same_space;
    launch->child_stack_top = block + STACK_GUARD + STACK_SIZE;
    launch->guardian_stack_top = block + MEMORY_SIZE - RECORD_SIZE;
    launch->child_plan.guardian_memory = launch->child_stack_top;
    launch->child_plan.guardian_memory_size = STACK_SIZE;
    launch->record = launch->guardian_stack_top;
    if (used)
        *launch->record = (struct launch_record){0};
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
