/*
 * The ioctl requests that change a terminal which several jobs share, as one table.
 */
#ifndef SANDLOCK_GATES_TERMINAL_CHANGE_H
#define SANDLOCK_GATES_TERMINAL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

/* The largest argument that is passed by address. */
#define TERMINAL_CHANGE_SIZE_MAX 44

struct terminal_change {
    uint32_t first, last; /* requests, inclusive */
    uint16_t size;        /* of what the argument points to; 0: it is a number */
    bool asks;            /* the kernel asks a job in the background by SIGTTOU */
    bool of_line;         /* of serial lines and consoles: a pseudo terminal has none of it */
};

/* The row of a request; NULL: it changes nothing. TIOCSPGRP is not among them. */
const struct terminal_change *terminal_change_find(uint32_t request);

#endif
