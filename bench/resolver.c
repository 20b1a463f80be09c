/*
 * Measures looking up "localhost" as programs do it, by the C library of the system: it reads the hosts
 * file and asks the kernel which address families the machine has. Dynamic, because the lookup is.
 * Usage: bench-resolver LOOKUPS; prints "lookup NANOSECONDS", the median.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define LOOKUPS_MAX 10000

static double samples[LOOKUPS_MAX];

static int compare(const void *left, const void *right)
{
    const double *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

int main(int argc, char **argv)
{
    int lookups = argc == 2 ? atoi(argv[1]) : 0;

    if (lookups < 1 || lookups > LOOKUPS_MAX)
        return 2;
    for (int i = 0; i < lookups; i++) {
        struct addrinfo *found;
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        int error = getaddrinfo("localhost", "80", NULL, &found);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (error != 0) {
            fprintf(stderr, "bench-resolver: %s\n", gai_strerror(error));
            return 1;
        }
        freeaddrinfo(found);
        samples[i] =
            (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
    }
    qsort(samples, (size_t)lookups, sizeof(samples[0]), compare);
    printf("lookup %.1f\n", samples[lookups / 2]);
    return 0;
}
