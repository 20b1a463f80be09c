/* The network of one sandbox: see network.h. */
#include "net/network.h"

#include "supervisor/supervisor.h"

struct network *network_of(const struct supervisor *supervisor)
{
    return supervisor_network(supervisor);
}
