/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "resolver/quarantine.h"

static const char *digest(int number)
{
        static char text[80];
        snprintf(text, sizeof(text), "sha256:%064d", number);
        return text;
}

static void holds_until_the_end(void **state)
{
        (void)state;
        struct quarantine q = {0};
        assert_false(quarantine_holds(&q, digest(1), 0));
        quarantine_add(&q, digest(1), 1000);
        assert_true(quarantine_holds(&q, digest(1), 0));
        assert_true(quarantine_holds(&q, digest(1), 999));
        assert_false(quarantine_holds(&q, digest(1), 1000));
        assert_false(quarantine_holds(&q, digest(2), 0));
        quarantine_fini(&q);
        assert_false(quarantine_holds(&q, digest(1), 0));
}

static void again_begins_anew(void **state)
{
        (void)state;
        struct quarantine q = {0};
        for (int i = 0; i < 2 * QUARANTINE_MAX; i++)
                quarantine_add(&q, digest(1), 1000 + i);
        assert_true(quarantine_holds(&q, digest(1), 1000 + 2 * QUARANTINE_MAX - 2));
        assert_false(quarantine_holds(&q, digest(1), 1000 + 2 * QUARANTINE_MAX - 1));
        /* It takes one place: nothing of the others has to go. */
        for (int i = 2; i <= QUARANTINE_MAX; i++)
                quarantine_add(&q, digest(i), 5000);
        for (int i = 1; i <= QUARANTINE_MAX; i++)
                assert_true(quarantine_holds(&q, digest(i), 0));
        quarantine_fini(&q);
}

static void the_first_to_end_makes_room(void **state)
{
        (void)state;
        struct quarantine q = {0};
        for (int i = 0; i < QUARANTINE_MAX; i++)
                quarantine_add(&q, digest(i), 1000 + i);
        quarantine_add(&q, digest(0), 9000); /* said again: not the oldest any more */
        quarantine_add(&q, digest(QUARANTINE_MAX), 9000);
        assert_true(quarantine_holds(&q, digest(0), 0));
        assert_false(quarantine_holds(&q, digest(1), 0));
        for (int i = 2; i <= QUARANTINE_MAX; i++)
                assert_true(quarantine_holds(&q, digest(i), 0));
        quarantine_fini(&q);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(holds_until_the_end),
                cmocka_unit_test(again_begins_anew),
                cmocka_unit_test(the_first_to_end_makes_room),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
