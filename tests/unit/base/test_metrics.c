/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stddef.h>

#include "base/metrics.h"

enum { THREADS = 4, ROUNDS = 10000 };

static void each_counts_for_itself(void **state)
{
        (void)state;
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                assert_int_equal(metrics_get(m), 0);
                metrics_add(m, (uint64_t)m + 1);
                metrics_add(m, 0);
                metrics_add(m, 100);
        }
        for (enum metric m = 0; m < METRIC_COUNT; m++)
                assert_int_equal(metrics_get(m), (uint64_t)m + 101);
}

static void counts_past_32_bits(void **state)
{
        (void)state;
        uint64_t before = metrics_get(METRIC_RELAY_BYTES_FROM_MIRRORS);
        metrics_add(METRIC_RELAY_BYTES_FROM_MIRRORS, UINT64_C(5) << 40);
        assert_true(metrics_get(METRIC_RELAY_BYTES_FROM_MIRRORS) - before == UINT64_C(5) << 40);
}

static void *add_many(void *arg)
{
        for (int i = 0; i < ROUNDS; i++)
                metrics_add(METRIC_PULLS, 3);
        return arg;
}

static void threads_lose_nothing(void **state)
{
        (void)state;
        uint64_t before = metrics_get(METRIC_PULLS);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(metrics_get(METRIC_PULLS) - before, 3 * THREADS * ROUNDS);
}

/* The names are keys of a line of the log, and later of figures that others collect. */
static void names_are_plain_and_differ(void **state)
{
        (void)state;
        assert_string_equal(metrics_name(METRIC_PULLS), "pulls");
        assert_string_equal(metrics_name(METRIC_ANSWERS_DEGRADED_STALE), "answers_degraded_stale");
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                const char *name = metrics_name(m);
                assert_true(strlen(name) > 0);
                assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
                assert_true(strlen(metrics_help(m)) > strlen("how"));
                for (enum metric other = 0; other < m; other++)
                        assert_string_not_equal(name, metrics_name(other));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_counts_for_itself),
                cmocka_unit_test(counts_past_32_bits),
                cmocka_unit_test(threads_lose_nothing),
                cmocka_unit_test(names_are_plain_and_differ),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
