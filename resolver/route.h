/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sources of one upstream's content, in the order in which they are asked: its mirrors as
 * configured, then the upstream itself. Immutable once made; safe from any thread.
 */
#ifndef CRI_RESOLVED_ROUTE_H
#define CRI_RESOLVED_ROUTE_H

#include <stddef.h>

#include "base/metrics.h"
#include "config/config.h"
#include "config/trust.h"
#include "resolver/health.h"

struct source {
        const char *name;                /* for people: the mirror's URL, or the upstream's host */
        struct upstream *access;         /* how to reach it; owned by the route */
        struct mirror *mirror;           /* its breaker; NULL: the upstream itself */
        struct metrics_series *received; /* counts the bytes that it gives */
};

struct route {
        char *label;    /* of the upstream in metrics: config_upstream_label */
        bool has_entry; /* of its own: not one of all the registries that pods may name */
        struct source *sources;
        size_t count;
        int64_t connect_timeout_ms; /* of mirrors */
        int64_t first_byte_timeout_ms;
        int64_t stall_timeout_ms;
        int64_t resolve_timeout_ms; /* of the upstream: to connect */
        int64_t token_reuse_ms;
};

/* ERR_CONFIG as upstream_new. The caller frees. */
int route_new(struct health *h, const struct config *c, const char *host, struct route **out,
        struct err *e) ERR_MUST_CHECK;
void route_free(struct route *r); /* accepts NULL */
/* The source's name in metrics: a mirror's URL, or "upstream". */
const char *route_source_label(const struct source *s);
DEFINE_CLEANUP(struct route, route_free)
#define cleanup_route cleanup(route_free_at)

#endif
