/*
 * Measures looking up "localhost" as programs do it, by the C library of the system: it reads the hosts
 * file and asks the kernel which address families the machine has. Dynamic, because the lookup is.
 * Usage: bench-resolver LOOKUPS; prints "lookup NANOSECONDS", the median.
 */
#include "helpers/timing.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LOOKUPS_MAX 10000

static double samples[LOOKUPS_MAX];

int main(int argc, char **argv)
{
    int lookups = argc == 2 ? atoi(argv[1]) : 0;

    if (lookups < 1 || lookups > LOOKUPS_MAX)
        return 2;
    for (int i = 0; i < lookups; i++) {
        struct addrinfo *found;
        double start = now_ns();
        int error = getaddrinfo("localhost", "80", NULL, &found);
        samples[i] = now_ns() - start;
        if (error != 0) {
            fprintf(stderr, "bench-resolver: %s\n", gai_strerror(error));
            return 1;
        }
        freeaddrinfo(found);
    }
    printf("lookup %.1f\n", median_of(samples, lookups));
    return 0;
}
