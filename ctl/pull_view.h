/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is shown of a running pull, from the documents /v1/pulls (docs/admin.md) that are read while
 * it runs: a bar per content that is redrawn, or a line per event. What has happened (a source that
 * was left) is a line that stays in either case. Pure: it writes into a buffer. One thread.
 */
#ifndef CRI_RESOLVED_CTL_PULL_VIEW_H
#define CRI_RESOLVED_CTL_PULL_VIEW_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

enum { PULL_VIEW_BARS_MAX = 16 };

struct pull_view_options {
        const char *reference; /* in full, as the daemon names it; borrowed */
        bool redraw;           /* a terminal: bars */
        bool colour;
        int width; /* columns; the last one stays free */
};

struct pull_view;
struct pull_view *pull_view_new(const struct pull_view_options *o);
void pull_view_free(struct pull_view *v); /* accepts NULL */

/* Appends to `out` what to print for what is new in the document. */
void pull_view_update(struct pull_view *v, const json_t *pulls, struct buf *out);
/* The same from the record of the pull that has ended ("recent"; NULL: not known): what happened
 * between the last look and the end. The bars stay as they are, full where it went well. */
void pull_view_end(struct pull_view *v, const json_t *record, bool went_well, struct buf *out);

#endif
