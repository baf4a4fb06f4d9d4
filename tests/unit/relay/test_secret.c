/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "relay/secret.h"

static void each_is_another(void **state)
{
        (void)state;
        enum { COUNT = 200 };
        static char made[COUNT][SECRET_DIGITS + 1];
        for (size_t i = 0; i < COUNT; i++) {
                secret_make(made[i]);
                assert_int_equal(strlen(made[i]), SECRET_DIGITS);
                assert_int_equal(strspn(made[i], "0123456789abcdef"), SECRET_DIGITS);
                for (size_t k = 0; k < i; k++)
                        assert_false(secret_equal(made[i], made[k]));
        }
}

/* Each digit of one of them has every value sooner or later: nothing is constant. */
static void every_digit_counts(void **state)
{
        (void)state;
        char first[SECRET_DIGITS + 1];
        char other[SECRET_DIGITS + 1];
        bool differs[SECRET_DIGITS] = {false};
        secret_make(first);
        for (int i = 0; i < 200; i++) {
                secret_make(other);
                for (size_t k = 0; k < SECRET_DIGITS; k++)
                        differs[k] = differs[k] || first[k] != other[k];
        }
        for (size_t k = 0; k < SECRET_DIGITS; k++)
                assert_true(differs[k]);
}

static void what_is_equal(void **state)
{
        (void)state;
        static const struct {
                const char *a, *b;
                bool equal;
        } cases[] = {
                {"", "", true},
                {"a", "a", true},
                {"abc", "abc", true},
                {"abc", "abd", false},
                {"abc", "xbc", false},
                {"abc", "aBc", false},
                {"abc", "ab", false},
                {"ab", "abc", false},
                {"", "a", false},
                {"a\x80", "a\x80", true},
                {"a\x80", "a\x81", false},
                {"\x01\x02", "\x02\x01", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (secret_equal(cases[i].a, cases[i].b) != cases[i].equal)
                        fail_msg("%s and %s", cases[i].a, cases[i].b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_is_another),
                cmocka_unit_test(every_digit_counts),
                cmocka_unit_test(what_is_equal),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
