/* The table of virtual ports: what it answers, and how it forgets sockets that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/port_map.h"

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

static void sockets_that_are_gone_hold_nothing(void **state)
{
    CLEANUP_BUFFER struct buffer json = BUFFER_INIT;
    struct survivor survivor = {.cookie = 2};
    struct port_map *map = port_map_new();

    (void)state;
    assert_true(port_map_record(map, NET_TCP, 80, 9001, 1));
    assert_true(port_map_record(map, NET_TCP, 81, 9002, 2));
    assert_true(port_map_is_held(map, NET_TCP, 80)); /* nobody can tell */
    port_map_ask(map, only_one_lives, &survivor);
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

static void a_crowd_of_dead_sockets_is_cleared(void **state)
{
    struct survivor survivor = {.cookie = 7};
    struct port_map *map = port_map_new();
    unsigned cleared = 0;

    (void)state;
    port_map_ask(map, only_one_lives, &survivor);
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
        cmocka_unit_test(only_remapped_pairs_are_listed_once_and_sorted),
        cmocka_unit_test(sockets_that_are_gone_hold_nothing),
        cmocka_unit_test(a_crowd_of_dead_sockets_is_cleared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
