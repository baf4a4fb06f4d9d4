/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page /metrics: every metric of metrics.def, what was counted and what is read from the
 * daemon's state now. The page asks containerd for its version (backend_up), and nobody else
 * anything.
 *
 * A metric that is read from state has a collector in metrics_page.c: a function that calls
 * metrics_text_sample for each set of words, and a line in the table there. Words of upstream and
 * mirror are those of the configuration of that moment, so that what the configuration does not
 * name any more is gone from the page. Any thread.
 */
#ifndef CRI_RESOLVED_METRICS_PAGE_H
#define CRI_RESOLVED_METRICS_PAGE_H

#include "config/config.h"
#include "relay/httpd.h"
#include "shim/pull.h"

#define METRICS_PAGE_PATH "/metrics"

void metrics_page_answer(struct pull_service *s, struct httpd_answer *a);

/* What the configuration names is on the page with 0 before it happens: to who watches, a count
 * that begins with 1 has not grown. Whenever a configuration is published. */
void metrics_page_prime(const struct config *c);

#endif
