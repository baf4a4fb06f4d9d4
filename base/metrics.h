/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened how often since the program began. metrics.def is the one table of counters. Usable
 * from any thread, at any time; no lock.
 */
#ifndef CRI_RESOLVED_METRICS_H
#define CRI_RESOLVED_METRICS_H

#include <stdint.h>

enum metric {
#define COUNTER(constant, name, help) METRIC_##constant,
#include "base/metrics.def"
#undef COUNTER
        METRIC_COUNT, /* for (enum metric m = 0; m < METRIC_COUNT; m++) walks through all */
};

void metrics_add(enum metric m, uint64_t n);
uint64_t metrics_get(enum metric m);
const char *metrics_name(enum metric m); /* "pulls_failed" */
const char *metrics_help(enum metric m); /* for people, half a sentence */

#endif
