/* Reading and writing the memory of a child process, by both methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/sys.h"
#include "kernel/task_memory.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The child's memory, laid out before the fork, so that its addresses are known:
 *   page 0, 1  writable, filled with 'a'
 *   page 2     read-only, filled with 'r'
 *   page 3     not mapped
 *   page 4     writable, filled with 's', the last bytes are the string "end"
 *   page 5     PROT_NONE
 */
#define PAGES 6

struct fixture {
    char *base;
    size_t page;
    pid_t child;
};

static uint64_t address_of(const struct fixture *fixture, size_t page, ptrdiff_t offset)
{
    return (uintptr_t)fixture->base + page * fixture->page + (size_t)offset;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *base =
        mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (fixture == NULL || base == MAP_FAILED)
        return -1;
    memset(base, 'a', 2 * page);
    memset(base + 2 * page, 'r', page);
    memset(base + 4 * page, 's', page);
    memcpy(base + 5 * page - 4, "end", 4);
    mprotect(base + 2 * page, page, PROT_READ);
    munmap(base + 3 * page, page);
    mprotect(base + 5 * page, page, PROT_NONE);
    *fixture = (struct fixture){.base = base, .page = page, .child = fork()};
    if (fixture->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            pause();
    }
    /* Our own copies are taken away: only the child's memory can satisfy the reads. */
    munmap(base, PAGES * page);
    *state = fixture;
    return fixture->child > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    kill(fixture->child, SIGKILL);
    waitpid(fixture->child, NULL, 0);
    free(fixture);
    return 0;
}

static const enum task_memory_method methods[] = {TASK_MEMORY_CALL, TASK_MEMORY_FILE};
#define FOR_EACH_METHOD(m)                                                         \
    for (size_t m##_index = 0, m##_go = 1; m##_index < 2; m##_index++, m##_go = 1) \
        for (enum task_memory_method m = methods[m##_index]; m##_go; m##_go = 0)

static void a_range_is_read_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    char data[64];

    FOR_EACH_METHOD(method)
    {
        memset(data, 0, sizeof(data));
        assert_int_equal(
            task_memory_read_by(method, fixture->child, address_of(fixture, 2, -2), data, 4), 4);
        assert_memory_equal(data, "aarr", 4);
        assert_int_equal(data[4], 0);
    }
}

static void a_range_that_leaves_the_mapping_yields_its_prefix(void **state)
{
    struct fixture *fixture = *state;
    char data[64];

    FOR_EACH_METHOD(method)
    {
        assert_int_equal(task_memory_read_by(method, fixture->child, address_of(fixture, 3, -5),
                                             data, sizeof(data)),
                         5);
        assert_memory_equal(data, "rrrrr", 5);
        assert_int_equal(task_memory_read_by(method, fixture->child, address_of(fixture, 3, 0),
                                             data, sizeof(data)),
                         -EFAULT);
    }
    assert_int_equal(
        task_memory_read_all(fixture->child, address_of(fixture, 3, -5), data, sizeof(data)),
        -EFAULT);
    assert_int_equal(task_memory_read_all(fixture->child, address_of(fixture, 3, -5), data, 5), 0);
}

static void addresses_that_no_task_has_are_faults(void **state)
{
    static const uint64_t addresses[] = {
        0, 1, UINT64_MAX, UINT64_MAX - 7, 1ULL << 63, 0xffffffff80000000ULL, (1ULL << 63) - 4};
    struct fixture *fixture = *state;
    char data[16];

    FOR_EACH_METHOD(method)
    {
        for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
            assert_int_equal(
                task_memory_read_by(method, fixture->child, addresses[i], data, sizeof(data)),
                -EFAULT);
            assert_int_equal(
                task_memory_write_by(method, fixture->child, addresses[i], data, sizeof(data)),
                -EFAULT);
        }
    }
}

static void nothing_is_read_from_nobody(void **state)
{
    char data[4];
    pid_t gone = fork();

    (void)state;
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    FOR_EACH_METHOD(method)
    {
        assert_int_equal(task_memory_read_by(method, gone, 4096, data, 4), -ESRCH);
        assert_int_equal(task_memory_write_by(method, gone, 4096, data, 4), -ESRCH);
        assert_int_equal(task_memory_read_by(method, 0, 4096, data, 4), -ESRCH);
        assert_int_equal(task_memory_read_by(method, -1, 4096, data, 4), -ESRCH);
        assert_int_equal(task_memory_read_by(method, gone, 4096, data, 0), 0);
    }
    assert_int_equal(task_memory_read_by(TASK_MEMORY_NONE, getpid(), 4096, data, 4), -EPERM);
}

static void a_string_ends_at_its_nul(void **state)
{
    struct fixture *fixture = *state;
    char text[64];

    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 5, -6), text, sizeof(text)), 5);
    assert_string_equal(text, "ssend");
}

static void a_string_at_the_end_of_a_page_does_not_touch_the_next(void **state)
{
    struct fixture *fixture = *state;
    char text[64];

    assert_int_equal(task_memory_read(fixture->child, address_of(fixture, 5, 0), text, 1), -EFAULT);
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 5, -4), text, sizeof(text)), 3);
    assert_string_equal(text, "end");
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 5, -1), text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

static void a_string_goes_on_over_pages(void **state)
{
    struct fixture *fixture = *state;
    char *text = malloc(3 * fixture->page);

    /* Page 0 to 2 hold no NUL: the length is limited by the mapping or by max, whichever is first.
     */
    assert_non_null(text);
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 0, 7), text, 2 * fixture->page),
        -ENAMETOOLONG);
    assert_string_equal(text, "");
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 1, 0), text, 3 * fixture->page),
        -EFAULT);
    uint64_t nul = address_of(fixture, 1, 10);
    assert_int_equal(task_memory_write(fixture->child, nul, "", 1), 1);
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 0, 0), text, 3 * fixture->page),
        (ssize_t)fixture->page + 10);
    assert_int_equal(strlen(text), fixture->page + 10);
    assert_int_equal(task_memory_write(fixture->child, nul, "a", 1), 1);
    free(text);
}

static void the_bound_of_a_string_includes_its_nul(void **state)
{
    struct fixture *fixture = *state;
    char text[8] = "xxxxxxx";

    assert_int_equal(task_memory_read_string(fixture->child, address_of(fixture, 5, -4), text, 4),
                     3);
    assert_int_equal(task_memory_read_string(fixture->child, address_of(fixture, 5, -4), text, 3),
                     -ENAMETOOLONG);
    assert_string_equal(text, "");
    assert_int_equal(task_memory_read_string(fixture->child, address_of(fixture, 5, -4), text, 0),
                     -ENAMETOOLONG);
    assert_int_equal(task_memory_read_string(fixture->child, 0, text, sizeof(text)), -EFAULT);
    assert_int_equal(
        task_memory_read_string(fixture->child, address_of(fixture, 3, 0), text, sizeof(text)),
        -EFAULT);
}

static void ranges_are_gathered_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct iovec ranges[] = {{(void *)(uintptr_t)address_of(fixture, 1, -3), 6},
                             {(void *)(uintptr_t)address_of(fixture, 2, -2), 4}};
    struct iovec places[2];
    char data[10], first[6], second[4];

    assert_int_equal(task_memory_gather(fixture->child, ranges, 2, data, sizeof(data)), 0);
    assert_memory_equal(data, "aaaaaaaarr", 10);
    places[0] = (struct iovec){first, sizeof(first)};
    places[1] = (struct iovec){second, sizeof(second)};
    assert_int_equal(task_memory_gather_into(fixture->child, ranges, places, 2), 0);
    assert_memory_equal(second, "aarr", 4);

    ranges[1].iov_base = (void *)(uintptr_t)address_of(fixture, 3, -2);
    assert_int_equal(task_memory_gather(fixture->child, ranges, 2, data, sizeof(data)), -EFAULT);
    assert_int_equal(task_memory_gather_into(fixture->child, ranges, places, 2), -EFAULT);
}

static void a_write_arrives(void **state)
{
    struct fixture *fixture = *state;
    char data[8];

    FOR_EACH_METHOD(method)
    {
        /* Across the border of two pages of one mapping. */
        uint64_t address = address_of(fixture, 1, -3);
        assert_int_equal(task_memory_write_by(method, fixture->child, address, "WRITES", 6), 6);
        assert_int_equal(task_memory_read_all(fixture->child, address, data, 6), 0);
        assert_memory_equal(data, "WRITES", 6);
        assert_int_equal(task_memory_write_by(method, fixture->child, address, "aaaaaa", 6), 6);
    }
}

static void places_are_scattered_in_order(void **state)
{
    struct fixture *fixture = *state;
    char first[] = "WRI", second[] = "TES", back[] = "aaaaaa", data[6];
    struct iovec ranges[] = {{(void *)(uintptr_t)address_of(fixture, 1, -3), 3},
                             {(void *)(uintptr_t)address_of(fixture, 1, 0), 3}};
    struct iovec places[] = {{first, 3}, {second, 3}};

    assert_int_equal(task_memory_scatter(fixture->child, ranges, places, 2), 0);
    assert_int_equal(
        task_memory_read_all(fixture->child, address_of(fixture, 1, -3), data, sizeof(data)), 0);
    assert_memory_equal(data, "WRITES", sizeof(data));
    assert_int_equal(
        task_memory_write_all(fixture->child, address_of(fixture, 1, -3), back, sizeof(data)), 0);

    assert_int_equal(task_memory_scatter(fixture->child, ranges, places, 0), 0);
    ranges[1].iov_base = (void *)(uintptr_t)address_of(fixture, 2, 0); /* read-only */
    places[0].iov_base = back;
    assert_int_equal(task_memory_scatter(fixture->child, ranges, places, 2), -EFAULT);
}

static void a_write_respects_page_protection(void **state)
{
    struct fixture *fixture = *state;
    char data[4];

    FOR_EACH_METHOD(method)
    {
        uint64_t read_only = address_of(fixture, 2, 0);
        assert_int_equal(task_memory_write_by(method, fixture->child, read_only, "X", 1), -EFAULT);
        assert_int_equal(task_memory_write_by(method, fixture->child, read_only - 2, "YYYY", 4), 2);
        assert_int_equal(task_memory_read_all(fixture->child, read_only - 2, data, 4), 0);
        assert_memory_equal(data, "YYrr", 4);
        assert_int_equal(
            task_memory_write_by(method, fixture->child, address_of(fixture, 3, 0), "X", 1),
            -EFAULT);
        assert_int_equal(
            task_memory_write_by(method, fixture->child, address_of(fixture, 5, 0), "X", 1),
            -EFAULT);
    }
    assert_int_equal(task_memory_write_all(fixture->child, address_of(fixture, 2, -2), "aaaa", 4),
                     -EFAULT);
}

static void a_method_is_found(void **state)
{
    (void)state;
    assert_int_not_equal(task_memory_read_method(), TASK_MEMORY_NONE);
    assert_int_not_equal(task_memory_write_method(), TASK_MEMORY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_read_as_it_is),
        cmocka_unit_test(a_range_that_leaves_the_mapping_yields_its_prefix),
        cmocka_unit_test(addresses_that_no_task_has_are_faults),
        cmocka_unit_test(nothing_is_read_from_nobody),
        cmocka_unit_test(a_string_ends_at_its_nul),
        cmocka_unit_test(a_string_at_the_end_of_a_page_does_not_touch_the_next),
        cmocka_unit_test(a_string_goes_on_over_pages),
        cmocka_unit_test(the_bound_of_a_string_includes_its_nul),
        cmocka_unit_test(ranges_are_gathered_in_order),
        cmocka_unit_test(a_write_arrives),
        cmocka_unit_test(places_are_scattered_in_order),
        cmocka_unit_test(a_write_respects_page_protection),
        cmocka_unit_test(a_method_is_found),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
