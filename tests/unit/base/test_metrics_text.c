/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "base/metrics_text.h"

static void expect(struct buf *out, const char *text)
{
        assert_string_equal(buf_str(out), text);
        buf_reset(out);
}

static void heads(void **state)
{
        struct buf *out = *state;
        metrics_text_head(out, METRIC_PULLS_RUNNING);
        expect(out, "# HELP cri_resolved_pulls_running PullImage calls not answered yet.\n"
                    "# TYPE cri_resolved_pulls_running gauge\n");
        metrics_text_head(out, METRIC_HEADS_SAVED);
        expect(out, "# HELP cri_resolved_heads_saved_total Such answers that came by another "
                    "pull's question.\n# TYPE cri_resolved_heads_saved_total counter\n");
        metrics_text_head(out, METRIC_PULL_DURATION);
        assert_non_null(strstr(buf_str(out), "_seconds histogram\n"));
        buf_reset(out);
}

static void words_are_escaped(void **state)
{
        struct buf *out = *state;
        metrics_add(METRIC_WRONG_CONTENTS, 3, METRICS_WORDS("a\"b", "c\\d\ne{}=,\xc3\xa9"));
        metrics_text_series(out, METRIC_WRONG_CONTENTS);
        expect(out, "cri_resolved_wrong_contents_total{upstream=\"a\\\"b\","
                    "mirror=\"c\\\\d\\ne{}=,\xc3\xa9\"} 3\n");
}

static void what_has_not_happened_is_nothing_or_0(void **state)
{
        struct buf *out = *state;
        metrics_text_series(out, METRIC_INGESTS_ABORTED);
        expect(out, "cri_resolved_ingests_aborted_total 0\n");
        metrics_add(METRIC_INGESTS_ABORTED, 2, METRICS_WORDS(NULL));
        metrics_text_series(out, METRIC_INGESTS_ABORTED);
        expect(out, "cri_resolved_ingests_aborted_total 2\n");
        metrics_text_series(out, METRIC_FAILOVERS);
        expect(out, "");
}

static void samples(void **state)
{
        static const struct {
                double value;
                const char *text;
        } cases[] = {{0, "0"}, {1, "1"}, {0.1, "0.1"}, {1798761600.25, "1798761600.25"},
                {123456789012345, "123456789012345"}};
        struct buf *out = *state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char expected[128];
                snprintf(expected, sizeof(expected), "cri_resolved_backend_up %s\n", cases[i].text);
                metrics_text_sample(out, METRIC_BACKEND_UP, METRICS_WORDS(NULL), cases[i].value);
                expect(out, expected);
        }
        metrics_text_sample(out, METRIC_MIRROR_UP, METRICS_WORDS(NULL, "http://m:1"), 0);
        expect(out, "cri_resolved_mirror_up{upstream=\"other\",mirror=\"http://m:1\"} 0\n");
}

static void histograms(void **state)
{
        struct buf *out = *state;
        const char *const *words = METRICS_WORDS("runtime.v1.ImageService/ListImages");
        metrics_observe(METRIC_RPC_DURATION, 1000, words);
        metrics_observe(METRIC_RPC_DURATION, 7000, words);
        metrics_observe(METRIC_RPC_DURATION, 11500000, words);
        metrics_text_series(out, METRIC_RPC_DURATION);
#define NAME(suffix)  "cri_resolved_rpc_duration_seconds" suffix
#define METHOD        "{method=\"runtime.v1.ImageService/ListImages\""
#define BUCKET(le, n) NAME("_bucket") METHOD ",le=\"" le "\"} " n "\n"
        expect(out, BUCKET("0.001", "1") BUCKET("0.0025", "1") BUCKET("0.005", "1") BUCKET(
                            "0.01", "2") BUCKET("0.025", "2") BUCKET("0.05", "2") BUCKET("0.1", "2")
                            BUCKET("0.25", "2") BUCKET("0.5", "2") BUCKET("1", "2") BUCKET("2.5",
                                    "2") BUCKET("5", "2") BUCKET("10", "2") BUCKET("+Inf", "3")
                                    NAME("_sum") METHOD "} 11.508\n" NAME("_count") METHOD "} 3\n");
}

static int setup(void **state)
{
        static struct buf out;
        buf_init(&out, 1 << 20);
        *state = &out;
        return 0;
}

static int teardown(void **state)
{
        buf_fini(*state);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(heads),
                cmocka_unit_test(words_are_escaped),
                cmocka_unit_test(what_has_not_happened_is_nothing_or_0),
                cmocka_unit_test(samples),
                cmocka_unit_test(histograms),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
