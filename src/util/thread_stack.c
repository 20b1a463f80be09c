/* Room for thread-local variables: see thread_stack.h. */
#include "util/thread_stack.h"

#include <link.h>
#include <stdatomic.h>
#include <stdint.h>

#define PAGE 4096U

static int add_variables(struct dl_phdr_info *object, size_t size, void *data)
{
    size_t *total = data;

    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type == PT_TLS)
            *total += object->dlpi_phdr[i].p_memsz + object->dlpi_phdr[i].p_align;
    }
    return 0;
}

size_t thread_stack_size(size_t bytes)
{
    /* Settled when the program starts: what is loaded later finds room elsewhere. 0: not asked yet. */
    static _Atomic size_t variables;
    size_t known = atomic_load_explicit(&variables, memory_order_relaxed);

    if (known == 0) {
        dl_iterate_phdr(add_variables, &known);
        known = (known / PAGE + 1) * PAGE;
        atomic_store_explicit(&variables, known, memory_order_relaxed);
    }
    return bytes + known;
}
