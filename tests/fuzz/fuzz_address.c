/* Socket addresses: any bytes of any length decode to one kind, and nothing behind them is read. */
#include "net/address.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct socket_address address;

    if (size > ADDRESS_BYTES_MAX)
        size = ADDRESS_BYTES_MAX;
    address_decode(data, size, &address);
    check(address.length == size && address.bytes[size] == 0);
    check(size == 0 || memcmp(address.bytes, data, size) == 0);
    check((address.kind == ADDRESS_NONE) == (size == 0));
    check(address.kind != ADDRESS_IP || address.has_ip);
    if (address.has_ip) {
        struct net_address again = net_address_canonical(&address.ip);
        check(address.ip.family == 4 || address.ip.family == 6);
        check(memcmp(&again, &address.ip, sizeof(again)) == 0);
    }
    if (address.kind == ADDRESS_UNIX_NAMED)
        check(address.bytes[2] != 0 && strlen((const char *)address.bytes + 2) <= size - 2);
    return 0;
}
