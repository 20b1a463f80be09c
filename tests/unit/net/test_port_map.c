/* The table of virtual ports: what it answers, and how it forgets sockets that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/port_map.h"

#include <stdlib.h>
#include <string.h>

static void both_directions_are_told_by_protocol(void **state)
{
    struct port_map *map = port_map_new();

    (void)state;
    assert_non_null(map);
    assert_true(port_map_record(map, NET_TCP, 80, 40000, 1));
    assert_true(port_map_record(map, NET_UDP, 80, 50000, 2));
    assert_int_equal(port_map_real(map, NET_TCP, 80), 40000);
    assert_int_equal(port_map_real(map, NET_UDP, 80), 50000);
    assert_int_equal(port_map_virtual(map, NET_TCP, 40000), 80);
    assert_int_equal(port_map_virtual(map, NET_UDP, 40000), 0);
    assert_int_equal(port_map_of(map, 2), 80);
    assert_int_equal(port_map_of(map, 3), 0);
    assert_int_equal(port_map_real(map, NET_TCP, 81), 0);
    assert_int_equal(port_map_real(map, NET_TCP, 0), 0);
    assert_int_equal(port_map_virtual(map, NET_TCP, 0), 0);
    port_map_free(map);
}

static void the_latest_bind_of_a_port_counts(void **state)
{
    struct port_map *map = port_map_new();

    (void)state;
    assert_true(port_map_record(map, NET_TCP, 80, 40000, 1));
    assert_true(port_map_record(map, NET_TCP, 80, 40001, 2));
    assert_int_equal(port_map_real(map, NET_TCP, 80), 40001);
    port_map_free(map);
}

static void a_socket_is_named_by_its_own_bind_or_its_listener_s(void **state)
{
    struct port_map *map = port_map_new();

    (void)state;
    assert_true(port_map_record(map, NET_TCP, 80, 40000, 1));
    assert_true(port_map_record(map, NET_UDP, 81, 40001, 2));
    assert_int_equal(port_map_name(map, NET_TCP, 1, 40000), 80);
    assert_int_equal(port_map_name(map, NET_TCP, 1, 40002), 0); /* it has got another one since */
    assert_int_equal(port_map_name(map, NET_TCP, 9, 40000), 80);
    assert_int_equal(port_map_name(map, NET_UDP, 2, 40001), 81);
    assert_int_equal(port_map_name(map, NET_UDP, 9, 40001), 0); /* nobody accepts */
    port_map_free(map);
}

static void a_port_that_the_kernel_gave_away_names_nobody_any_more(void **state)
{
    struct port_map *map = port_map_new();

    (void)state;
    assert_true(port_map_record(map, NET_TCP, 80, 40000, 1));
    port_map_pass_on(map, NET_TCP, 1, 40000); /* its own */
    port_map_pass_on(map, NET_UDP, 9, 40000);
    port_map_pass_on(map, NET_TCP, 9, 40001);
    assert_int_equal(port_map_name(map, NET_TCP, 9, 40000), 80);
    port_map_pass_on(map, NET_TCP, 9, 40000);
    assert_int_equal(port_map_name(map, NET_TCP, 9, 40000), 0);
    assert_int_equal(port_map_virtual(map, NET_TCP, 40000), 0);
    assert_true(port_map_record(map, NET_TCP, 82, 40000, 3));
    assert_int_equal(port_map_name(map, NET_TCP, 10, 40000), 82);
    port_map_free(map);
}

static void only_remapped_pairs_are_listed_once_and_sorted(void **state)
{
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct port_map *map = port_map_new();

    (void)state;
    assert_false(port_map_json(map, &json));
    assert_true(port_map_record(map, NET_TCP, 8080, 8080, 1));
    assert_false(port_map_json(map, &json));
    assert_int_equal(json.length, 0);
    assert_true(port_map_record(map, NET_TCP, 443, 9002, 2));
    assert_true(port_map_record(map, NET_TCP, 80, 9001, 3));
    assert_true(port_map_record(map, NET_UDP, 80, 9003, 4));
    assert_true(port_map_json(map, &json));
    assert_string_equal(buffer_text(&json), "{\"80\":9001,\"443\":9002}");
    port_map_free(map);
}

/* Declares every socket but one dead. */
struct survivor {
    uint64_t cookie;
    int questions;
};

static void only_one_lives(void *data, struct port_entry *entries, size_t count)
{
    struct survivor *survivor = data;

    survivor->questions++;
    for (size_t i = 0; i < count; i++)
        entries[i].dead = entries[i].cookie != survivor->cookie;
}

static bool nobody_tells(void *data, enum net_protocol protocol, enum port_interest interest,
                         uint16_t real_port, struct port_user **users, size_t *count)
{
    (void)data, (void)protocol, (void)interest, (void)real_port, (void)users, (void)count;
    return false;
}

static const struct port_questions about_survivors = {.liveness = only_one_lives,
                                                      .users = nobody_tells};

static void sockets_that_are_gone_hold_nothing(void **state)
{
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct survivor survivor = {.cookie = 2};
    struct port_map *map = port_map_new();

    (void)state;
    assert_true(port_map_record(map, NET_TCP, 80, 9001, 1));
    assert_true(port_map_record(map, NET_TCP, 81, 9002, 2));
    assert_true(port_map_is_held(map, NET_TCP, 80)); /* nobody can tell */
    port_map_ask(map, &about_survivors, &survivor);
    assert_false(port_map_is_held(map, NET_TCP, 80));
    assert_true(port_map_is_held(map, NET_TCP, 81));
    assert_int_equal(port_map_real(map, NET_TCP, 80), 0);
    assert_true(port_map_json(map, &json));
    assert_string_equal(buffer_text(&json), "{\"81\":9002}");
    survivor.questions = 0;
    port_map_ask(map, NULL, NULL);
    assert_true(port_map_is_held(map, NET_TCP, 81));
    assert_int_equal(survivor.questions, 0);
    port_map_free(map);
}

/* ---- Whose a port is ----------------------------------------------------------------------------- */

#define V4(a, d)                             \
    {                                        \
        .family = 4, .bytes = { a, 0, 0, d } \
    }
#define V6(last)                              \
    {                                         \
        .family = 6, .bytes = { [15] = last } \
    }

struct place {
    uint16_t port;
    struct port_user user;
    bool only_bound;
};

struct host {
    struct place places[4];
    size_t count;
    int searches; /* for what is only bound */
};

static bool tell_users(void *data, enum net_protocol protocol, enum port_interest interest,
                       uint16_t real_port, struct port_user **users, size_t *count)
{
    struct host *host = data;

    host->searches += interest == PORT_SHARERS;
    assert_int_equal(protocol, NET_TCP);
    *users = calloc(host->count + 1, sizeof(**users));
    assert_non_null(*users);
    *count = 0;
    for (size_t i = 0; i < host->count; i++) {
        bool told = interest == PORT_SHARERS || !host->places[i].only_bound;
        if (host->places[i].port == real_port && told)
            (*users)[(*count)++] = host->places[i].user;
    }
    return true;
}

static const struct port_questions about_users = {.users = tell_users};

static const struct net_address one = V4(127, 1), two = V4(127, 2), any4 = V4(0, 0), one6 = V6(1),
                                any6 = V6(0);

/* Cookies below 10 are the sandbox's own. */
static unsigned users_of(const struct port_user *users, size_t count,
                         const struct net_address *address)
{
    struct port_map *map = port_map_new();
    struct host host = {.count = count};

    assert_non_null(map);
    for (size_t i = 0; i < count; i++) {
        host.places[i] = (struct place){.port = 80, .user = users[i]};
        if (users[i].cookie < 10)
            assert_true(port_map_record(map, NET_TCP, 80, 80, users[i].cookie));
    }
    port_map_ask(map, &about_users, &host);
    unsigned found = port_map_users(map, NET_TCP, address, 80);
    port_map_free(map);
    return found;
}

static void only_addresses_that_overlap_count(void **state)
{
    const struct port_user host_at_one[] = {{.cookie = 11, .address = V4(127, 1)}};
    const struct port_user host_at_any[] = {{.cookie = 11, .address = V4(0, 0)}};
    const struct port_user host_at_any6[] = {{.cookie = 11, .address = V6(0)}};
    const struct port_user host_v6_only[] = {{.cookie = 11, .address = V6(0), .v6_only = true}};

    (void)state;
    assert_int_equal(users_of(NULL, 0, &one), 0);
    assert_int_equal(users_of(host_at_one, 1, &one), PORT_FOREIGN);
    assert_int_equal(users_of(host_at_one, 1, &two), 0);
    assert_int_equal(users_of(host_at_one, 1, &any4), PORT_FOREIGN);
    assert_int_equal(users_of(host_at_one, 1, &any6), PORT_FOREIGN);
    assert_int_equal(users_of(host_at_one, 1, &one6), 0);
    assert_int_equal(users_of(host_at_any, 1, &two), PORT_FOREIGN);
    assert_int_equal(users_of(host_at_any, 1, &one6), 0);
    assert_int_equal(users_of(host_at_any6, 1, &one), PORT_FOREIGN);
    assert_int_equal(users_of(host_at_any6, 1, &one6), PORT_FOREIGN);
    assert_int_equal(users_of(host_v6_only, 1, &one), 0);
    assert_int_equal(users_of(host_v6_only, 1, &one6), PORT_FOREIGN);
}

static void a_shared_port_is_told_from_an_own_one(void **state)
{
    const struct port_user mixed[] = {{.cookie = 1, .address = V4(127, 1)},
                                      {.cookie = 11, .address = V4(0, 0)}};
    const struct port_user own[] = {{.cookie = 1, .address = V4(127, 1)},
                                    {.cookie = 2, .address = V4(0, 0)}};
    struct port_map *map = port_map_new();

    (void)state;
    assert_non_null(map);
    assert_int_equal(users_of(mixed, 2, &one), PORT_OWN | PORT_FOREIGN);
    assert_int_equal(users_of(mixed, 2, &two), PORT_FOREIGN);
    assert_int_equal(users_of(own, 2, &one), PORT_OWN);
    assert_int_equal(port_map_users(map, NET_TCP, &one, 80), PORT_UNTOLD);
    port_map_free(map);
}

static void a_peer_is_known_by_its_real_port_where_nobody_else_has_it(void **state)
{
    struct host host = {
        .places = {{4001, {.cookie = 1, .address = V4(127, 1)}},
                   {4002, {.cookie = 2, .address = V4(127, 1)}},
                   {4002, {.cookie = 11, .address = V4(0, 0)}}},
        .count = 3,
    };
    struct port_map *map = port_map_new();

    (void)state;
    assert_non_null(map);
    assert_true(port_map_record(map, NET_TCP, 80, 4001, 1));
    assert_true(port_map_record(map, NET_TCP, 81, 4002, 2));
    assert_true(port_map_record(map, NET_TCP, 82, 4003, 3));      /* gone */
    assert_int_equal(port_map_peer(map, NET_TCP, &one, 4001), 0); /* nobody tells */
    port_map_ask(map, &about_users, &host);
    assert_int_equal(port_map_peer(map, NET_TCP, &one, 4001), 80);
    assert_int_equal(port_map_peer(map, NET_TCP, &two, 4001), 0);
    assert_int_equal(port_map_peer(map, NET_TCP, &one, 4002), 0);
    assert_int_equal(port_map_peer(map, NET_TCP, &one, 4003), 0);
    assert_int_equal(port_map_peer(map, NET_TCP, &one, 80), 0);
    port_map_free(map);
}

/* Where the sandbox has 80 at 127.0.0.1 (elsewhere: 4001) and at ::1 (in place). */
static void a_port_is_located_where_its_address_is_served(void **state)
{
    struct host host = {
        .places = {{4001, {.cookie = 1, .address = V4(127, 1)}},
                   {80, {.cookie = 2, .address = V6(1)}},
                   {80, {.cookie = 11, .address = V4(127, 1)}}},
        .count = 3,
    };
    struct port_map *map = port_map_new();

    (void)state;
    assert_non_null(map);
    assert_true(port_map_record(map, NET_TCP, 80, 80, 2));
    assert_false(port_map_is_moved(map, NET_TCP, 80));
    assert_true(port_map_record(map, NET_TCP, 80, 4001, 1));
    assert_true(port_map_is_moved(map, NET_TCP, 80));
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 0); /* nobody tells */
    port_map_ask(map, &about_users, &host);
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 4001);
    assert_int_equal(port_map_locate(map, NET_TCP, &one6, 80), 80);
    assert_int_equal(port_map_locate(map, NET_TCP, &two, 80), 0);
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 81), 0);
    assert_int_equal(port_map_locate(map, NET_UDP, &one, 80), 0);
    host.places[0].user.cookie = 12; /* gone, and somebody else came */
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 0);
    port_map_free(map);
}

/* What is only bound takes no connection, but would share the port. It is looked for where that matters. */
static void sockets_that_do_not_listen_matter_to_a_bind_and_where_nothing_listens(void **state)
{
    struct host host = {
        .places = {{80, {.cookie = 1, .address = V4(127, 1)}, .only_bound = true},
                   {80, {.cookie = 11, .address = V4(0, 0)}, .only_bound = true}},
        .count = 2,
    };
    struct port_map *map = port_map_new();

    (void)state;
    assert_non_null(map);
    assert_true(port_map_record(map, NET_TCP, 80, 80, 1));
    port_map_ask(map, &about_users, &host);
    assert_int_equal(port_map_users(map, NET_TCP, &one, 80), PORT_OWN | PORT_FOREIGN);
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 0);
    host.searches = 0;
    host.places[0].only_bound = false;
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 80);
    host.places[1].only_bound = false;
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 0);
    assert_true((port_map_users(map, NET_TCP, &one, 80) & PORT_FOREIGN) != 0);
    assert_int_equal(host.searches, 0);
    host.count = 1;
    host.places[0].only_bound = true;
    assert_int_equal(port_map_locate(map, NET_TCP, &one, 80), 80);
    assert_int_equal(host.searches, 1);
    port_map_free(map);
}

static void learn_listened(void *data, struct port_entry *entries, size_t count)
{
    bool *seen = data;

    for (size_t i = 0; i < count; i++) {
        *seen = entries[i].listened;
        entries[i].listened = true;
    }
}

static void what_was_learnt_about_a_socket_is_kept(void **state)
{
    static const struct port_questions learning = {.liveness = learn_listened};
    struct port_map *map = port_map_new();
    bool seen = true;

    (void)state;
    assert_non_null(map);
    assert_true(port_map_record(map, NET_TCP, 80, 80, 1));
    port_map_ask(map, &learning, &seen);
    port_map_clean(map);
    assert_false(seen);
    port_map_clean(map);
    assert_true(seen);
    port_map_free(map);
}

static void a_crowd_of_dead_sockets_is_cleared(void **state)
{
    struct survivor survivor = {.cookie = 7};
    struct port_map *map = port_map_new();
    unsigned cleared = 0;

    (void)state;
    port_map_ask(map, &about_survivors, &survivor);
    for (unsigned i = 1; i <= 10000; i++) {
        if (port_map_is_crowded(map)) {
            port_map_clean(map);
            cleared++;
        }
        assert_true(port_map_record(map, NET_TCP, (uint16_t)i, (uint16_t)i, i));
    }
    assert_in_range(cleared, 100, 400);
    assert_int_equal(port_map_of(map, 7), 7);
    port_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_are_told_by_protocol),
        cmocka_unit_test(the_latest_bind_of_a_port_counts),
        cmocka_unit_test(a_socket_is_named_by_its_own_bind_or_its_listener_s),
        cmocka_unit_test(a_port_that_the_kernel_gave_away_names_nobody_any_more),
        cmocka_unit_test(only_remapped_pairs_are_listed_once_and_sorted),
        cmocka_unit_test(sockets_that_are_gone_hold_nothing),
        cmocka_unit_test(only_addresses_that_overlap_count),
        cmocka_unit_test(a_shared_port_is_told_from_an_own_one),
        cmocka_unit_test(a_peer_is_known_by_its_real_port_where_nobody_else_has_it),
        cmocka_unit_test(a_port_is_located_where_its_address_is_served),
        cmocka_unit_test(sockets_that_do_not_listen_matter_to_a_bind_and_where_nothing_listens),
        cmocka_unit_test(what_was_learnt_about_a_socket_is_kept),
        cmocka_unit_test(a_crowd_of_dead_sockets_is_cleared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
