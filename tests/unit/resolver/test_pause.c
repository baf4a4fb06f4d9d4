/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those above first. */
#include <cmocka.h>

#include "base/clock.h"
#include "resolver/pause.h"

static void lasts_as_long_as_asked(void **state)
{
        (void)state;
        int64_t before_ms = clock_mono_ms();
        assert_true(pause_ms(NULL, 20));
        assert_true(clock_mono_ms() - before_ms >= 20);
        struct cancel cancel;
        cancel_init(&cancel);
        assert_true(pause_ms(&cancel, 1));
        assert_true(pause_ms(&cancel, 0));
        cancel_fini(&cancel);
}

static void does_not_begin_when_cancelled(void **state)
{
        (void)state;
        struct cancel cancel;
        cancel_init(&cancel);
        cancel_fire(&cancel);
        assert_false(pause_ms(&cancel, 600000));
        cancel_fini(&cancel);
}

static void *fire(void *arg)
{
        cancel_fire(arg);
        return NULL;
}

static void wakes_when_cancelled(void **state)
{
        (void)state;
        for (int i = 0; i < 50; i++) {
                struct cancel cancel;
                pthread_t thread;
                cancel_init(&cancel);
                pthread_create(&thread, NULL, fire, &cancel);
                assert_false(pause_ms(&cancel, 600000));
                pthread_join(thread, NULL);
                cancel_fini(&cancel);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lasts_as_long_as_asked),
                cmocka_unit_test(does_not_begin_when_cancelled),
                cmocka_unit_test(wakes_when_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
