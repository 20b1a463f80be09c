/*
 * What libc tells a program about interfaces, one line per fact: getifaddrs, if_nameindex,
 * if_nametoindex, if_indextoname and getaddrinfo with AI_ADDRCONFIG. Built with glibc and with musl.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *family_name(int family)
{
    return family == AF_INET ? "inet" : family == AF_INET6 ? "inet6" : "other";
}

static void print_addresses(void)
{
    struct ifaddrs *list = NULL;
    char text[INET6_ADDRSTRLEN];

    if (getifaddrs(&list) != 0) {
        printf("getifaddrs error %d\n", errno);
        return;
    }
    for (struct ifaddrs *one = list; one != NULL; one = one->ifa_next) {
        int family = one->ifa_addr == NULL ? 0 : one->ifa_addr->sa_family;
        const void *bytes = NULL;
        if (family == AF_INET)
            bytes = &((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr;
        if (family == AF_INET6)
            bytes = &((struct sockaddr_in6 *)(void *)one->ifa_addr)->sin6_addr;
        if (bytes != NULL)
            printf("address %s %s %s\n", one->ifa_name, family_name(family),
                   inet_ntop(family, bytes, text, sizeof(text)));
        else
            printf("link %s %s\n", one->ifa_name, (one->ifa_flags & IFF_UP) != 0 ? "up" : "down");
    }
    freeifaddrs(list);
}

static void print_names(void)
{
    char name[IF_NAMESIZE];
    struct if_nameindex *list = if_nameindex();

    if (list == NULL)
        printf("if_nameindex error %d\n", errno);
    for (struct if_nameindex *one = list; one != NULL && one->if_index != 0; one++)
        printf("interface %u %s\n", one->if_index, one->if_name);
    if_freenameindex(list);
    printf("lo is %u\n", if_nametoindex("lo"));
    errno = 0;
    printf("eth0 is %u", if_nametoindex("eth0"));
    printf(" error %d\n", errno);
    printf("1 is %s\n", if_indextoname(1, name) != NULL ? name : "nothing");
    errno = 0;
    printf("2 is %s", if_indextoname(2, name) != NULL ? name : "nothing");
    printf(" error %d\n", errno);
}

static void print_families(int family, const char *host)
{
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_ADDRCONFIG, .ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, "80", &hints, &list);
    unsigned seen = 0;

    for (struct addrinfo *one = list; one != NULL; one = one->ai_next)
        seen |= one->ai_family == AF_INET ? 1U : one->ai_family == AF_INET6 ? 2U : 4U;
    printf("getaddrinfo %s %s: %s%s%s\n", host == NULL ? "any" : host,
           family == AF_UNSPEC ? "unspec" : family_name(family), error != 0 ? "failed" : "",
           (seen & 1) != 0 ? " inet" : "", (seen & 2) != 0 ? " inet6" : "");
    if (list != NULL)
        freeaddrinfo(list);
}

int main(void)
{
    print_addresses();
    print_names();
    print_families(AF_UNSPEC, NULL);
    print_families(AF_INET, "127.0.0.1");
    print_families(AF_INET6, "::1");
    return 0;
}
