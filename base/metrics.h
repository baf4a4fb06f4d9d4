/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened how often since the program began, and how long it took. metrics.def is the one
 * table; /metrics, /v1/status and SIGUSR1 read from here.
 *
 * A metric has a series for each set of words that its labels were given. Series live as long as
 * the process, so their number is bounded here, whatever is said, and across reloads: of each
 * metric METRICS_SERIES_MAX can be told apart by upstream, mirror and source, which the
 * configuration decides; what is said beyond that counts as "other". All other labels take words of
 * our own code alone: no text that came off a socket is ever a label.
 *
 * Usable from any thread, at any time. No lock, except where a series is met for the first time.
 * Each figure stands for itself: nobody concludes from one to another.
 *
 * To add one: a line in metrics.def (and in docs/metrics.md), and metrics_add, metrics_observe or
 * metrics_set where it happens. One that is read from some state when somebody looks: a collector
 * in shim/metrics_page.c instead.
 */
#ifndef CRI_RESOLVED_METRICS_H
#define CRI_RESOLVED_METRICS_H

#include <stddef.h>
#include <stdint.h>

enum metric {
#define METRIC(constant, kind, name, labels, help) METRIC_##constant,
#include "base/metrics.def"
#undef METRIC
        METRIC_COUNT, /* for (enum metric m = 0; m < METRIC_COUNT; m++) walks through all */
};

enum metric_kind {
        METRIC_KIND_COUNTER,
        METRIC_KIND_GAUGE,
        METRIC_KIND_CALLS,
        METRIC_KIND_PULLS,
};

enum {
        METRICS_LABELS_MAX = 3,
        METRICS_SERIES_MAX = 1000,
        METRICS_BUCKETS_MAX = 13, /* without +Inf */
};

/* The words of a metric's labels, in their order: METRICS_WORDS("ghcr.io", "ok"). NULL is "other".
 */
#define METRICS_WORDS(...) ((const char *const[METRICS_LABELS_MAX]){__VA_ARGS__})

void metrics_add(enum metric m, uint64_t n, const char *const *words);
void metrics_observe(enum metric m, int64_t duration_us, const char *const *words);
void metrics_set(enum metric m, uint64_t value, const char *const *words);

/* One series of a counter, for those who count often: it lives for ever. */
struct metrics_series;
struct metrics_series *metrics_series(enum metric m, const char *const *words);
void metrics_series_add(struct metrics_series *s, uint64_t n); /* accepts NULL */

/* ---- reading ---- */

const char *metrics_name(enum metric m); /* "cri_resolved_pulls_total" */
const char *metrics_help(enum metric m);
enum metric_kind metrics_kind(enum metric m);
size_t metrics_label_count(enum metric m);
/* Its name, which is NUL-terminated nowhere: *size bytes. */
const char *metrics_label(enum metric m, size_t at, size_t *size);

struct metrics_reading {
        const char *const *words;
        uint64_t value;                           /* of a histogram: the sum, in microseconds */
        uint64_t counts[METRICS_BUCKETS_MAX + 1]; /* of a histogram, by bucket; the last: above */
};
/* In the order in which they were met. */
void metrics_each(
        enum metric m, void (*visit)(void *arg, const struct metrics_reading *r), void *arg);
/* The upper bounds of a histogram's buckets, in microseconds; 0 for another kind. */
size_t metrics_buckets(enum metric m, const int64_t **bounds_us);

/* ---- the counters of /v1/status: sums, see metrics_counters.def ---- */

enum metrics_counter {
#define COUNTER(constant, name, metric, words) COUNTER_##constant,
#include "base/metrics_counters.def"
#undef COUNTER
        COUNTER_COUNT,
};

const char *metrics_counter_name(enum metrics_counter c); /* "pulls_failed" */
uint64_t metrics_counter_get(enum metrics_counter c);

#endif
