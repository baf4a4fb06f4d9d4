/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures in Prometheus' text format, version 0.0.4 (docs: "Exposition formats"). A page is, for
 * each metric, metrics_text_head and then its samples. Pure; one thread per buffer.
 */
#ifndef CRI_RESOLVED_METRICS_TEXT_H
#define CRI_RESOLVED_METRICS_TEXT_H

#include "base/buf.h"
#include "base/metrics.h"

#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_text_head(struct buf *out, enum metric m);
/* A sample that somebody has read from elsewhere; not of a histogram. */
void metrics_text_sample(struct buf *out, enum metric m, const char *const *words, double value);
/* All series that were counted. */
void metrics_text_series(struct buf *out, enum metric m);

#endif
