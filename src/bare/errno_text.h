/* Errno texts without libc: see errno_text.c. */
#ifndef SANDLOCK_BARE_ERRNO_TEXT_H
#define SANDLOCK_BARE_ERRNO_TEXT_H

const char *bare_errno_text(int number); /* never NULL */

#endif
