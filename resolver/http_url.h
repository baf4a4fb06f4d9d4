/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a URL leads, for the rules that depend on it. Pure; belongs to http.c.
 */
#ifndef CRI_RESOLVED_HTTP_URL_H
#define CRI_RESOLVED_HTTP_URL_H

#include <stdbool.h>

#include "base/mem.h"

struct http_place {
        bool https;
        char *host; /* without brackets */
        char *port; /* the scheme's own where the URL has none */
};

/* False unless it is a http or https URL; p is to be freed in either case. */
bool http_place_of(const char *url, struct http_place *p);
void http_place_fini(struct http_place *p);
#define cleanup_http_place cleanup(http_place_fini)

#endif
