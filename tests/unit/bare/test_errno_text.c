/* Errno texts without libc are those of libc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bare/errno_text.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static void every_number_has_the_text_of_libc(void **state)
{
    int known = 0;

    (void)state;
    for (int number = 1; number <= 200; number++) {
        const char *text = strerror(number);
        if (strncmp(text, "Unknown error", 13) == 0)
            text = "unknown error";
        else
            known++;
        assert_string_equal(bare_errno_text(number), text);
    }
    assert_true(known > 120);
}

static void numbers_outside_have_a_text(void **state)
{
    static const int numbers[] = {0, -1, -EPERM, 4096, INT_MAX, INT_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_string_equal(bare_errno_text(numbers[i]), "unknown error");
    assert_string_equal(bare_errno_text(ENOENT), "No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_has_the_text_of_libc),
        cmocka_unit_test(numbers_outside_have_a_text),
    };

    return cmocka_run_group_tests_name("errno_text", tests, NULL, NULL);
}
