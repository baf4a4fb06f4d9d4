/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at a server: who answers GET /v2/ there, and as what. Safe from any thread; blocks.
 */
#ifndef CRI_RESOLVED_PROBE_H
#define CRI_RESOLVED_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "config/trust.h"
#include "resolver/http.h"

struct probe {
        bool answered;
        char *why_not;    /* else */
        bool is_registry; /* 200 or 401, and no page for people */
        char *seen;       /* "404, text/html" */
        bool dated;       /* whether the answer has a date */
        int64_t ahead_s;  /* how much the server's clock is ahead of ours */
        json_t *identity; /* what tells this registry from another: {server, api, realm, catalog} */
};

/* The catalog is asked for only where nothing else proves who it is (no verified TLS). */
void probe_server(
        struct http_pool *pool, const struct upstream *u, struct cancel *cancel, struct probe *out);
void probe_fini(struct probe *p);
#define cleanup_probe cleanup(probe_fini)

/* How `now` shows that another registry answers than the one of `before`; NULL: it does not. A
 * catalog that has grown or shrunk is the same one's. The caller frees. Pure. */
char *probe_difference(const json_t *before, const json_t *now);

/* "Sun, 06 Nov 1994 08:49:37 GMT" as seconds; -1 for anything else. Pure. */
int64_t probe_date(const char *s);

#endif
