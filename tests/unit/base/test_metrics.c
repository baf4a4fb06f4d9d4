/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, what is counted, and that nothing that is said makes more series than are allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/metrics.h"

enum { THREADS = 4, ROUNDS = 10000, CROWD = 5000 };

/* One series of a metric, or all of them: what is looked for, and what was found. */
struct look {
        const char *words[METRICS_LABELS_MAX];
        size_t words_count;
        size_t series;
        uint64_t value;
        uint64_t counts[METRICS_BUCKETS_MAX + 1];
};

static void add_reading(void *arg, const struct metrics_reading *r)
{
        struct look *l = arg;
        for (size_t i = 0; i < l->words_count; i++)
                if (l->words[i] != NULL && strcmp(l->words[i], r->words[i]) != 0)
                        return;
        l->series++;
        l->value += r->value;
        for (size_t i = 0; i <= METRICS_BUCKETS_MAX; i++)
                l->counts[i] += r->counts[i];
}

/* Words that are NULL: any. */
static struct look look_at(enum metric m, const char *const *words)
{
        struct look l = {.words_count = metrics_label_count(m)};
        memcpy(l.words, words, sizeof(l.words));
        metrics_each(m, add_reading, &l);
        return l;
}

#define ANY METRICS_WORDS(NULL)

static uint64_t value_of(enum metric m, const char *const *words)
{
        return look_at(m, words).value;
}

static void each_series_counts_for_itself(void **state)
{
        (void)state;
        metrics_add(METRIC_PULLS, 2, METRICS_WORDS("a.io", "relay", "ok"));
        metrics_add(METRIC_PULLS, 3, METRICS_WORDS("a.io", "relay", "failed"));
        metrics_add(METRIC_PULLS, 5, METRICS_WORDS("a.io", "relay", "ok"));
        metrics_add(METRIC_PULLS, 7, METRICS_WORDS("b.io", "relay", "ok"));
        metrics_add(METRIC_TAGS_MOVED, 11, METRICS_WORDS("a.io"));
        assert_int_equal(value_of(METRIC_PULLS, METRICS_WORDS("a.io", "relay", "ok")), 7);
        assert_int_equal(value_of(METRIC_PULLS, METRICS_WORDS("a.io", "relay", "failed")), 3);
        assert_int_equal(value_of(METRIC_PULLS, METRICS_WORDS("b.io", "relay", "ok")), 7);
        assert_int_equal(value_of(METRIC_TAGS_MOVED, METRICS_WORDS("a.io")), 11);
        assert_int_equal(look_at(METRIC_PULLS, ANY).series, 3);
}

/* "ab" "c" and "a" "bc" are two series, and so are those whose words end in the same way. */
static void words_do_not_run_together(void **state)
{
        (void)state;
        metrics_add(METRIC_WRONG_CONTENTS, 1, METRICS_WORDS("ab", "c"));
        metrics_add(METRIC_WRONG_CONTENTS, 2, METRICS_WORDS("a", "bc"));
        metrics_add(METRIC_WRONG_CONTENTS, 4, METRICS_WORDS("", "abc"));
        assert_int_equal(value_of(METRIC_WRONG_CONTENTS, METRICS_WORDS("ab", "c")), 1);
        assert_int_equal(value_of(METRIC_WRONG_CONTENTS, METRICS_WORDS("a", "bc")), 2);
        assert_int_equal(value_of(METRIC_WRONG_CONTENTS, METRICS_WORDS("", "abc")), 4);
}

static void no_word_is_other(void **state)
{
        (void)state;
        metrics_add(METRIC_DEGRADED_ANSWERS, 1, METRICS_WORDS(NULL, "stale"));
        assert_int_equal(value_of(METRIC_DEGRADED_ANSWERS, METRICS_WORDS("other", "stale")), 1);
}

static void counts_past_32_bits(void **state)
{
        (void)state;
        struct metrics_series *s =
                metrics_series(METRIC_RECEIVED_BYTES, METRICS_WORDS("a.io", "upstream"));
        assert_ptr_equal(
                s, metrics_series(METRIC_RECEIVED_BYTES, METRICS_WORDS("a.io", "upstream")));
        metrics_series_add(s, UINT64_C(5) << 40);
        metrics_series_add(NULL, 1);
        assert_true(value_of(METRIC_RECEIVED_BYTES, METRICS_WORDS("a.io", "upstream")) ==
                    UINT64_C(5) << 40);
}

static void the_words_need_not_last(void **state)
{
        (void)state;
        char word[] = "short-lived.io";
        metrics_add(METRIC_HEADS_SENT, 1, METRICS_WORDS(word));
        memset(word, 'x', sizeof(word) - 1);
        metrics_add(METRIC_HEADS_SENT, 1, METRICS_WORDS("short-lived.io"));
        assert_int_equal(value_of(METRIC_HEADS_SENT, METRICS_WORDS("short-lived.io")), 2);
}

static void a_gauge_is_set(void **state)
{
        (void)state;
        metrics_set(METRIC_CONFIG_LOADED, 1234, ANY);
        metrics_set(METRIC_CONFIG_LOADED, 1233, ANY);
        assert_int_equal(value_of(METRIC_CONFIG_LOADED, ANY), 1233);
}

static void durations_fall_into_buckets(void **state)
{
        (void)state;
        const int64_t *bounds_us = NULL;
        assert_int_equal(metrics_buckets(METRIC_RESOLVE_DURATION, &bounds_us), METRICS_BUCKETS_MAX);
        const char *const *words = METRICS_WORDS("a.io");
        for (size_t i = 0; i < METRICS_BUCKETS_MAX; i++) {
                assert_true(i == 0 || bounds_us[i] > bounds_us[i - 1]);
                metrics_observe(METRIC_RESOLVE_DURATION, bounds_us[i], words);
        }
        metrics_observe(METRIC_RESOLVE_DURATION, bounds_us[0] + 1, words);
        metrics_observe(METRIC_RESOLVE_DURATION, bounds_us[METRICS_BUCKETS_MAX - 1] + 1, words);
        metrics_observe(METRIC_RESOLVE_DURATION, 0, words);
        metrics_observe(METRIC_RESOLVE_DURATION, -5, words);
        struct look l = look_at(METRIC_RESOLVE_DURATION, words);
        assert_int_equal(l.counts[0], 3);
        assert_int_equal(l.counts[1], 2);
        for (size_t i = 2; i < METRICS_BUCKETS_MAX; i++)
                assert_int_equal(l.counts[i], 1);
        assert_int_equal(l.counts[METRICS_BUCKETS_MAX], 1);
        assert_int_equal(metrics_buckets(METRIC_PULL_DURATION, &bounds_us), METRICS_BUCKETS_MAX);
        assert_int_equal(bounds_us[METRICS_BUCKETS_MAX - 1], INT64_C(600) * 1000000);
        assert_int_equal(metrics_buckets(METRIC_PULLS, &bounds_us), 0);
}

/* ---- bounds ---- */

/* Reload after reload with upstreams that were never seen before: no more series than allowed, and
 * nothing is lost, nor mixed up with another outcome. */
static void hostile_hosts_make_no_series(void **state)
{
        (void)state;
        uint64_t before = value_of(METRIC_PULLS, METRICS_WORDS(NULL, NULL, "cancelled"));
        size_t told = look_at(METRIC_PULLS, ANY).series;
        for (int i = 0; i < CROWD; i++) {
                char host[64];
                snprintf(host, sizeof(host), "host-%d.example\"}\n", i);
                metrics_add(METRIC_PULLS, 1, METRICS_WORDS(host, "relay", "cancelled"));
                metrics_add(METRIC_PULLS, 1, METRICS_WORDS(host, "relay", "failed"));
        }
        struct look all = look_at(METRIC_PULLS, ANY);
        struct look others = look_at(METRIC_PULLS, METRICS_WORDS("other", NULL, NULL));
        assert_int_equal(others.series, 2);
        assert_int_equal(all.series, METRICS_SERIES_MAX + others.series);
        assert_int_equal(
                value_of(METRIC_PULLS, METRICS_WORDS(NULL, NULL, "cancelled")) - before, CROWD);
        assert_int_equal(value_of(METRIC_PULLS, METRICS_WORDS("other", "other", "cancelled")) +
                                 value_of(METRIC_PULLS, METRICS_WORDS("other", "other", "failed")),
                2 * CROWD - (METRICS_SERIES_MAX - told));
        metrics_add(METRIC_PULLS, 1, METRICS_WORDS("a.io", "relay", "ok"));
        assert_int_equal(value_of(METRIC_PULLS, METRICS_WORDS("a.io", "relay", "ok")), 8);
}

static void *make_series(void *arg)
{
        for (int i = 0; i < CROWD; i++) {
                char host[32];
                snprintf(host, sizeof(host), "h%d", i % (2 * METRICS_SERIES_MAX));
                metrics_add(METRIC_FAILOVERS, 1, METRICS_WORDS(host, host, "timeout"));
        }
        return arg;
}

static void threads_make_no_series_twice(void **state)
{
        (void)state;
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, make_series, NULL), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        struct look all = look_at(METRIC_FAILOVERS, ANY);
        assert_int_equal(all.series, METRICS_SERIES_MAX + 1);
        assert_int_equal(all.value, THREADS * CROWD);
        assert_int_equal(look_at(METRIC_FAILOVERS, METRICS_WORDS("h7", "h7", "timeout")).series, 1);
}

static void *add_many(void *arg)
{
        for (int i = 0; i < ROUNDS; i++)
                metrics_add(METRIC_HEADS_SAVED, 3, METRICS_WORDS("a.io"));
        return arg;
}

static void threads_lose_nothing(void **state)
{
        (void)state;
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(value_of(METRIC_HEADS_SAVED, METRICS_WORDS("a.io")), 3 * THREADS * ROUNDS);
}

/* ---- the tables ---- */

static bool ends_with(const char *s, const char *end)
{
        size_t size = strlen(s);
        return size > strlen(end) && strcmp(s + size - strlen(end), end) == 0;
}

static void names_are_as_prometheus_wants_them(void **state)
{
        (void)state;
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                const char *name = metrics_name(m);
                assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
                assert_true(strncmp(name, "cri_resolved_", 13) == 0 ||
                            strncmp(name, "process_", 8) == 0);
                assert_int_equal(ends_with(name, "_total"), metrics_kind(m) == METRIC_KIND_COUNTER);
                if (metrics_kind(m) >= METRIC_KIND_CALLS)
                        assert_true(ends_with(name, "_seconds"));
                const char *help = metrics_help(m);
                assert_true(ends_with(help, ".") && strpbrk(help, "\\\n") == NULL);
                assert_true(metrics_label_count(m) <= METRICS_LABELS_MAX);
                for (enum metric other = 0; other < m; other++)
                        assert_string_not_equal(name, metrics_name(other));
        }
}

static void labels_are_told(void **state)
{
        (void)state;
        size_t size = 0;
        assert_int_equal(metrics_label_count(METRIC_PULLS), 3);
        assert_memory_equal(metrics_label(METRIC_PULLS, 0, &size), "upstream", 8);
        assert_int_equal(size, 8);
        assert_memory_equal(metrics_label(METRIC_PULLS, 2, &size), "outcome", 7);
        assert_int_equal(size, 7);
        assert_int_equal(metrics_label_count(METRIC_BACKEND_UP), 0);
        assert_int_equal(metrics_label_count(METRIC_RELAY_STATE), 1);
}

/* The names are keys of a line of the log, and of /v1/status. */
static void counters_are_sums(void **state)
{
        (void)state;
        assert_string_equal(metrics_counter_name(COUNTER_PULLS), "pulls");
        for (enum metrics_counter c = 0; c < COUNTER_COUNT; c++) {
                const char *name = metrics_counter_name(c);
                assert_true(strlen(name) > 0);
                assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
                for (enum metrics_counter other = 0; other < c; other++)
                        assert_string_not_equal(name, metrics_counter_name(other));
        }
        uint64_t pulls = metrics_counter_get(COUNTER_PULLS);
        uint64_t failed = metrics_counter_get(COUNTER_PULLS_FAILED);
        uint64_t current = metrics_counter_get(COUNTER_PULLS_CURRENT);
        metrics_add(METRIC_PULLS, 1, METRICS_WORDS("a.io", "current", "ok"));
        metrics_add(METRIC_PULLS, 10, METRICS_WORDS("a.io", "current", "failed"));
        metrics_add(METRIC_PULLS, 100, METRICS_WORDS("a.io", "none", "cancelled"));
        assert_int_equal(metrics_counter_get(COUNTER_PULLS) - pulls, 111);
        assert_int_equal(metrics_counter_get(COUNTER_PULLS_FAILED) - failed, 110);
        assert_int_equal(metrics_counter_get(COUNTER_PULLS_CURRENT) - current, 1);
        uint64_t requests = metrics_counter_get(COUNTER_RELAY_REQUESTS);
        uint64_t refused = metrics_counter_get(COUNTER_RELAY_REQUESTS_REFUSED);
        metrics_add(METRIC_RELAY_REQUESTS, 1, METRICS_WORDS("served"));
        metrics_add(METRIC_RELAY_REQUESTS, 10, METRICS_WORDS("refused"));
        metrics_add(METRIC_RELAY_REQUESTS, 100, METRICS_WORDS("challenged"));
        metrics_add(METRIC_RELAY_REQUESTS, 1000, METRICS_WORDS("refuse"));
        metrics_add(METRIC_RELAY_REQUESTS, 10000, METRICS_WORDS("refused|"));
        assert_int_equal(metrics_counter_get(COUNTER_RELAY_REQUESTS) - requests, 11111);
        assert_int_equal(metrics_counter_get(COUNTER_RELAY_REQUESTS_REFUSED) - refused, 110);
        uint64_t mirrors = metrics_counter_get(COUNTER_RELAY_BYTES_FROM_MIRRORS);
        uint64_t upstreams = metrics_counter_get(COUNTER_RELAY_BYTES_FROM_UPSTREAMS);
        metrics_add(METRIC_RECEIVED_BYTES, 5, METRICS_WORDS("a.io", "http://m:5000"));
        metrics_add(METRIC_RECEIVED_BYTES, 50, METRICS_WORDS("b.io", "upstream"));
        assert_int_equal(metrics_counter_get(COUNTER_RELAY_BYTES_FROM_MIRRORS) - mirrors, 5);
        assert_int_equal(metrics_counter_get(COUNTER_RELAY_BYTES_FROM_UPSTREAMS) - upstreams, 50);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_series_counts_for_itself),
                cmocka_unit_test(words_do_not_run_together),
                cmocka_unit_test(no_word_is_other),
                cmocka_unit_test(counts_past_32_bits),
                cmocka_unit_test(the_words_need_not_last),
                cmocka_unit_test(a_gauge_is_set),
                cmocka_unit_test(durations_fall_into_buckets),
                cmocka_unit_test(counters_are_sums),
                cmocka_unit_test(threads_lose_nothing),
                cmocka_unit_test(threads_make_no_series_twice),
                cmocka_unit_test(hostile_hosts_make_no_series),
                cmocka_unit_test(names_are_as_prometheus_wants_them),
                cmocka_unit_test(labels_are_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
