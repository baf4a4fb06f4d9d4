/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm connections by key, and the proxies of the environment: between the files of http. A
 * connection belongs to who checked it out; the pool may be used from any thread.
 */
#ifndef CRI_RESOLVED_HTTP_POOL_H
#define CRI_RESOLVED_HTTP_POOL_H

#include <curl/curl.h>
#include <stdint.h>

#include "resolver/http.h"

/* An easy handle with a multi of its own: the multi is what another thread can wake. */
struct http_connection {
        CURL *easy;
        CURLM *multi;
        char *key;
        int64_t idle_since_ms;
        struct http_connection *next;
};

/* A warm connection that was checked in with this key, or a new one. */
struct http_connection *http_pool_check_out(struct http_pool *p, const char *key);
void http_pool_check_in(struct http_pool *p, struct http_connection *c);

struct http_authorities *http_pool_authorities(const struct http_pool *p);

/* The proxy for a URL, or NULL. Lives as long as the pool. */
const char *http_pool_proxy(const struct http_pool *p, const char *url);

#endif
