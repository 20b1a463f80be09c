/* Functions that a pthread_cancel() does not end half-way: see api.h. */
#include "api/api.h"

#include <pthread.h>

int api_forbid_cancel(void)
{
    int state = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void api_allow_cancel(const int *state)
{
    pthread_setcancelstate(*state, NULL);
}
