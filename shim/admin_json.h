/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of the admin socket (docs/admin.md), from what the parts of the daemon say of
 * themselves. No secret goes in: names, counts, and errors, which hold none. The caller owns what
 * is returned. Any thread.
 */
#ifndef CRI_RESOLVED_ADMIN_JSON_H
#define CRI_RESOLVED_ADMIN_JSON_H

#include <jansson.h>

#include "config/config.h"
#include "resolver/health.h"
#include "shim/flight.h"
#include "shim/tally.h"

/* As a JSON string: what is not UTF-8 becomes '?'; null for NULL. */
json_t *admin_json_text(const char *s);
/* "2025-03-01T12:00:00Z", with milliseconds where `ms` is no whole second. */
json_t *admin_json_time(int64_t unix_ms);

/* `upstreams`: those of the configuration, then those that were pulled from. */
json_t *admin_json_upstreams(struct tally *t, const struct config *c, struct health *h);
json_t *admin_json_counters(void);
/* `recent` and `running` */
json_t *admin_json_pulls(struct tally *t, struct flights *f);
/* One entry of `contents` */
json_t *admin_json_content(const struct progress_content *c);

#endif
