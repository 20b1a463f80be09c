/* Writes that raise nothing: see quiet.h. */
#include "util/quiet.h"

#include "util/fd.h"

#include <pthread.h>
#include <time.h>

static const int numbers[] = {SIGPIPE, SIGXFSZ};

void quiet_begin(struct quiet *quiet)
{
    sigset_t pending;

    sigemptyset(&quiet->ours);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(&quiet->ours, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &quiet->ours, &quiet->before);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        /* Only one that was blocked before can have been pending. */
        if (sigismember(&quiet->before, numbers[i]) == 1 && sigpending(&pending) == 0 &&
            sigismember(&pending, numbers[i]) == 1)
            sigdelset(&quiet->ours, numbers[i]);
    }
}

void quiet_end(const struct quiet *quiet)
{
    const struct timespec at_once = {0, 0};
    int saved = errno;

    while (RETRY_ON_EINTR(sigtimedwait(&quiet->ours, NULL, &at_once)) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
    errno = saved;
}
