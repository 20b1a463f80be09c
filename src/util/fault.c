/* Injected faults: see fault.h. */
#include "util/fault.h"

#if defined(SANDLOCK_FAULT_INJECTION)

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX 32

struct fault {
    const char *name;
    atomic_int left;
};

/* A once-cache: written by read_faults() alone. */
static char text[2048];
static struct fault faults[FAULTS_MAX];
static size_t fault_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_faults(void)
{
    const char *value = getenv("SANDLOCK_FAULT");
    char *rest = NULL;

    if (value == NULL)
        return;
    snprintf(text, sizeof(text), "%s", value);
    for (char *name = strtok_r(text, ",", &rest); name != NULL && fault_count < FAULTS_MAX;
         name = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(name, ':');
        int count = colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
        if (count > 0)
            *colon = '\0';
        faults[fault_count].name = name;
        atomic_store(&faults[fault_count++].left, count > 0 ? count : INT_MAX);
    }
}

static bool take(struct fault *fault)
{
    int left = atomic_load(&fault->left);

    if (left == INT_MAX)
        return true;
    while (left > 0) {
        if (atomic_compare_exchange_weak(&fault->left, &left, left - 1))
            return true;
    }
    return false;
}

bool fault_is(const char *name)
{
    pthread_once(&once, read_faults);
    for (size_t i = 0; i < fault_count; i++) {
        if (strcmp(faults[i].name, name) == 0)
            return take(&faults[i]);
    }
    return false;
}

#endif
