/*
 * Of one page a fork gets an empty copy (madvise(2), MADV_WIPEONFORK); what was counted so far it inherits. Two
 * processes that were forked from the same one may have the same number, but never know anything of each other.
 */
#include "util/process.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#if !defined(MADV_WIPEONFORK)
#define MADV_WIPEONFORK 18
#endif

#define PAGE_MAX 65536 /* of every architecture here */

static _Atomic(_Atomic uint64_t *) page;
static _Atomic uint64_t generations; /* given out here and in those that we were forked from */
static _Atomic uint64_t none;        /* in place of the page, and stays 0 */

/* Where there can be none it stays so: what was noted as 0 is compared with later answers. */
static _Atomic uint64_t *make_page(void)
{
    void *mapped = mmap(NULL, PAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool usable = mapped != MAP_FAILED && madvise(mapped, PAGE_MAX, MADV_WIPEONFORK) == 0;
    _Atomic uint64_t *made = usable ? mapped : &none;
    _Atomic uint64_t *found = NULL;

    bool first = atomic_compare_exchange_strong(&page, &found, made);
    if (mapped != MAP_FAILED && (!usable || !first))
        munmap(mapped, PAGE_MAX);
    return first ? made : found;
}

uint64_t process_generation(void)
{
    _Atomic uint64_t *word = atomic_load_explicit(&page, memory_order_acquire);

    if (word == NULL)
        word = make_page();
    if (word == &none)
        return 0;
    uint64_t generation = atomic_load_explicit(word, memory_order_acquire);
    if (generation != 0)
        return generation;
    uint64_t next = atomic_fetch_add(&generations, 1) + 1;
    return atomic_compare_exchange_strong(word, &generation, next) ? next : generation;
}
