/*
 * Any specs, one per line, the first byte says for which side. What is accepted keeps the promises of
 * the header and reads back from its own text as the same rule; a message holds no byte of a stranger
 * as it is.
 */
#include "policy/net_rule.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_rule(const struct net_rule *rule)
{
    check((rule->target == NET_TARGET_HOST) == (rule->host != NULL));
    check((rule->port_count == 0) == (rule->ports == NULL));
    check(rule->protocol != NET_ICMP || rule->port_count == 0);
    for (size_t i = 0; i < rule->port_count; i++) {
        check(rule->ports[i].low >= 1 && rule->ports[i].low <= rule->ports[i].high);
        check(i == 0 || rule->ports[i].low > rule->ports[i - 1].high + 1);
    }
    if (rule->target == NET_TARGET_RANGE) {
        struct net_address masked = rule->base;
        net_address_mask(&masked, rule->prefix);
        check(rule->prefix <= net_address_bits(&rule->base));
        check(net_address_equal(&masked, &rule->base));
    }
    if (rule->target == NET_TARGET_HOST)
        check(rule->host[0] != '-' && strlen(rule->host) <= 254);
}

static void check_reads_back(const struct net_rule *rule, enum net_rule_side side)
{
    CLEANUP_BUFFER struct buffer text = BUFFER_INIT;
    struct net_rules again = {0};

    net_rule_render(rule, &text);
    check(net_rules_parse(&again, buffer_text(&text), side, NULL));
    check(again.count == 1);
    check(net_rule_covers(rule, &again.items[0]) && net_rule_covers(&again.items[0], rule));
    net_rules_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_rules rules = {0};

    if (size == 0)
        return 0;
    enum net_rule_side side = data[0] % 2 == 0 ? NET_ALLOW : NET_DENY;
    char *text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    for (char *line = text; line != NULL;) {
        struct error err = {0};
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        size_t before = rules.count;
        bool good = net_rules_parse(&rules, line, side, &err);
        check(good == (err.kind == ERROR_NONE) && good == (rules.count > before));
        for (const char *at = err.text; *at != '\0'; at++)
            check((unsigned char)*at >= 0x20 && *at != 0x7f);
        line = end;
    }
    for (size_t i = 0; i < rules.count; i++) {
        check_rule(&rules.items[i]);
        check(side == NET_ALLOW || rules.items[i].target != NET_TARGET_HOST);
        check_reads_back(&rules.items[i], side);
    }
    size_t count = rules.count;
    check(net_rules_drop_duplicates(&rules) && rules.count <= count);
    net_rules_free(&rules);
    free(text);
    return 0;
}
