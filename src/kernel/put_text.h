/*
 * Putting text together where no libc may be used: in the guardian, and in the children of probes. In a
 * header, so that each room compiles it with its own flags.
 */
#ifndef SANDLOCK_KERNEL_PUT_TEXT_H
#define SANDLOCK_KERNEL_PUT_TEXT_H

/* Both return the new end; nothing is terminated, and the caller has left room. */
static inline char *put_text(char *to, const char *text)
{
    while (*text != '\0')
        *to++ = *text++;
    return to;
}

/* In decimal: 20 digits at most. */
static inline char *put_number(char *to, unsigned long number)
{
    char digits[24];
    int count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

#endif
