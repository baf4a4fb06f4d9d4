/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { US_PER_S = 1000000 };

static const char *type_of(enum metric m)
{
        static const char *const types[] = {
                [METRIC_KIND_COUNTER] = "counter",
                [METRIC_KIND_GAUGE] = "gauge",
                [METRIC_KIND_CALLS] = "histogram",
                [METRIC_KIND_PULLS] = "histogram",
        };
        return types[metrics_kind(m)];
}

/* Help texts are our own: there is nothing to escape in them. */
void metrics_text_head(struct buf *out, enum metric m)
{
        const char *name = metrics_name(m);
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, metrics_help(m), name, type_of(m));
}

static void put_word(struct buf *out, const char *word)
{
        for (const char *c = word; *c != '\0'; c++) {
                if (*c == '\n')
                        buf_puts(out, "\\n");
                else if (*c == '"' || *c == '\\')
                        buf_printf(out, "\\%c", *c);
                else
                        buf_append(out, c, 1);
        }
}

/* The name with what follows it, and the labels; `le` is a histogram's own, or NULL. */
static void put_name(struct buf *out, enum metric m, const char *suffix, const char *const *words,
        const char *le)
{
        size_t count = metrics_label_count(m);
        buf_printf(out, "%s%s", metrics_name(m), suffix);
        for (size_t i = 0; i < count; i++) {
                size_t size = 0;
                const char *label = metrics_label(m, i, &size);
                buf_printf(out, "%c%.*s=\"", i == 0 ? '{' : ',', (int)size, label);
                put_word(out, words[i] != NULL ? words[i] : "other");
                buf_puts(out, "\"");
        }
        if (le != NULL)
                buf_printf(out, "%cle=\"%s\"", count == 0 ? '{' : ',', le);
        buf_puts(out, count > 0 || le != NULL ? "} " : " ");
}

void metrics_text_sample(struct buf *out, enum metric m, const char *const *words, double value)
{
        put_name(out, m, "", words, NULL);
        buf_printf(out, "%.15g\n", value);
}

struct page {
        struct buf *out;
        enum metric metric;
};

static void put_histogram(const struct page *p, const struct metrics_reading *r)
{
        const int64_t *bounds_us = NULL;
        size_t count = metrics_buckets(p->metric, &bounds_us);
        uint64_t sum = 0;
        for (size_t i = 0; i <= count; i++) {
                char le[32] = "+Inf";
                sum += r->counts[i];
                if (i < count)
                        snprintf(le, sizeof(le), "%g", (double)bounds_us[i] / US_PER_S);
                put_name(p->out, p->metric, "_bucket", r->words, le);
                buf_printf(p->out, "%" PRIu64 "\n", sum);
        }
        put_name(p->out, p->metric, "_sum", r->words, NULL);
        buf_printf(p->out, "%.15g\n", (double)r->value / US_PER_S);
        put_name(p->out, p->metric, "_count", r->words, NULL);
        buf_printf(p->out, "%" PRIu64 "\n", sum);
}

static void put_series(void *arg, const struct metrics_reading *r)
{
        const struct page *p = arg;
        const int64_t *unused = NULL;
        if (metrics_buckets(p->metric, &unused) > 0) {
                put_histogram(p, r);
                return;
        }
        put_name(p->out, p->metric, "", r->words, NULL);
        buf_printf(p->out, "%" PRIu64 "\n", r->value);
}

void metrics_text_series(struct buf *out, enum metric m)
{
        struct page page = {.out = out, .metric = m};
        if (metrics_label_count(m) == 0) /* what has not happened yet is 0 */
                metrics_series(m, METRICS_WORDS(NULL));
        metrics_each(m, put_series, &page);
}
