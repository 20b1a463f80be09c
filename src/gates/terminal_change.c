/* Requests that change a terminal: see terminal_change.h. */
#include "gates/terminal_change.h"

#include <stddef.h>

/* ioctl_tty(2), ioctl_console(2); the numbers of <asm-generic/ioctls.h>, the same on every architecture
 * here, and the sizes of the kernel's structures, which are not those of libc. */
static const struct terminal_change changes[] = {
    {0x5402, 0x5404, .size = 36, .asks = true}, /* TCSETS, TCSETSW, TCSETSF */
    {0x5406, 0x5408, .size = 18, .asks = true}, /* TCSETA, TCSETAW, TCSETAF */
    {0x5409, 0x540B, .asks = true},             /* TCSBRK, TCXONC, TCFLSH */
    {0x540D, 0x540D, .size = 0},                /* TIOCNXCL */
    {0x5414, 0x5414, .size = 8},                /* TIOCSWINSZ */
    {0x5416, 0x5418, .of_line = true},          /* TIOCMBIS, TIOCMBIC, TIOCMSET */
    {0x541A, 0x541A, .size = 4},                /* TIOCSSOFTCAR */
    {0x541F, 0x541F, .of_line = true},          /* TIOCSSERIAL */
    {0x5425, 0x5425, .asks = true},             /* TCSBRKP */
    {0x5427, 0x5428, .asks = true},             /* TIOCSBRK, TIOCCBRK */
    {0x4B2F, 0x4B7F, .of_line = true},          /* KIOCSOUND and the keyboard, screen, fonts */
    {0x5600, 0x560F, .of_line = true},          /* virtual terminals */
    {0x402C542B, 0x402C542D, .size = 44, .asks = true}, /* TCSETS2, TCSETSW2, TCSETSF2 */
};

const struct terminal_change *terminal_change_find(uint32_t request)
{
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        if (changes[i].first <= request && request <= changes[i].last)
            return &changes[i];
    }
    return NULL;
}
