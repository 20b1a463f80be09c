/* Values out of a fuzzer's bytes, as registers of a member's call hold them. When there are no bytes left
 * they are 0. */
#ifndef SANDLOCK_FUZZ_INPUT_H
#define SANDLOCK_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct input {
    const uint8_t *data;
    size_t left;
};

static inline void check(bool good)
{
    if (!good)
        abort();
}

static inline uint8_t next_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

/* A small number, a pointer into the member's memory (at a multiple of `step`), what `special` makes of a small
 * number, or anything. */
static inline uint64_t next_register(struct input *input, const void *memory, unsigned step,
                                     uint64_t (*special)(uint64_t number))
{
    uint8_t kind = next_byte(input);
    uint64_t value = next_byte(input);

    switch (kind % 4) {
    case 0:
        return value;
    case 1:
        return (uint64_t)(uintptr_t)memory + value * step;
    case 2:
        return special(value);
    default:
        for (int i = 0; i < 7; i++)
            value = value << 8 | next_byte(input);
        return value;
    }
}

#endif
