/* Destination rules: see net_rule.h. */
#include "policy/net_rule.h"

#include <stdlib.h>

void net_rules_free(struct net_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->items[i].host);
        free(rules->items[i].ports);
    }
    free(rules->items);
    *rules = (struct net_rules){0};
}
