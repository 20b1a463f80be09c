/* The first allocations of the static program, in front of an allocator that only counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define ARENA 65536

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* What the linker calls the allocator behind. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

static unsigned behind; /* calls of the allocator behind */

void *__real_malloc(size_t size)
{
    behind++;
    return size > SIZE_MAX / 2 ? NULL : malloc(size); /* a sanitizer would end the program */
}

void *__real_calloc(size_t count, size_t size)
{
    behind++;
    return calloc(count, size);
}

void *__real_realloc(void *block, size_t size)
{
    behind++;
    return realloc(block, size);
}

void __real_free(void *block)
{
    behind++;
    free(block);
}

/* The tests share one arena, in this order: it fills up. */
static void first_blocks_are_apart_aligned_and_zero(void **state)
{
    unsigned char *one = __wrap_malloc(3);
    unsigned char *other = __wrap_calloc(5, 7);

    (void)state;
    assert_int_equal((uintptr_t)one % _Alignof(max_align_t), 0);
    assert_int_equal((uintptr_t)other % _Alignof(max_align_t), 0);
    memset(one, 0xff, 3);
    for (int i = 0; i < 35; i++)
        assert_int_equal(other[i], 0);
    assert_true(other >= one + 3);
    __wrap_free(one);
    assert_true((unsigned char *)__wrap_malloc(3) > other); /* never handed out again: still zero */
    __wrap_free(NULL);
    assert_int_equal(behind, 1); /* that is for the one behind to say */
}

static void a_block_keeps_its_content_when_it_grows(void **state)
{
    unsigned before = behind;
    char *block = __wrap_realloc(NULL, 6);

    (void)state;
    strcpy(block, "hello");
    assert_ptr_equal(__wrap_realloc(block, 2), block);
    char *larger = __wrap_realloc(block, 4000);
    assert_string_equal(larger, "hello");
    assert_int_equal(behind, before);
    char *huge = __wrap_realloc(larger, (size_t)2 * ARENA); /* leaves the arena */
    assert_string_equal(huge, "hello");
    assert_int_equal(behind, before + 1);
    huge = __wrap_realloc(huge, (size_t)3 * ARENA);
    assert_string_equal(huge, "hello");
    assert_int_equal(behind, before + 2);
    __wrap_free(huge);
    assert_int_equal(behind, before + 3);
}

static void what_does_not_fit_is_left_to_the_allocator_behind(void **state)
{
    unsigned before = behind;
    size_t blocks = 0;

    (void)state;
    assert_null(__wrap_calloc(SIZE_MAX / 2, 3));
    assert_int_equal(behind, before);
    while (behind == before) {
        void *block = __wrap_malloc(1000);
        memset(block, 0xff, 1000);
        blocks++;
        if (behind != before)
            __wrap_free(block);
    }
    assert_true(blocks > 40 && blocks < ARENA / 1000 + 1);
    /* The rest goes in blocks of no size, which are blocks all the same: none is the other's to free. */
    void *last = NULL;
    for (before = behind; behind == before;) {
        void *block = __wrap_malloc(0);
        if (behind == before) {
            assert_ptr_not_equal(block, last);
            __wrap_free(block);
            assert_int_equal(behind, before);
            last = block;
        } else {
            __wrap_free(block);
        }
    }
    assert_null(__wrap_malloc(SIZE_MAX)); /* no overflow into the arena */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_blocks_are_apart_aligned_and_zero),
        cmocka_unit_test(a_block_keeps_its_content_when_it_grows),
        cmocka_unit_test(what_does_not_fit_is_left_to_the_allocator_behind),
    };

    return cmocka_run_group_tests_name("early_memory", tests, NULL, NULL);
}
