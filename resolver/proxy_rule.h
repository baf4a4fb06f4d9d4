/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which proxy a request takes, by the environment, as Go programs decide it and therefore
 * containerd (golang.org/x/net/http/httpproxy): HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper case
 * first, then in lower case; never for localhost and loopback addresses; NO_PROXY with domains,
 * ".subdomains", addresses, CIDR blocks, ports and "*". Pure but for the environment, which is read
 * once. Immutable after it; usable from any thread.
 */
#ifndef CRI_RESOLVED_PROXY_RULE_H
#define CRI_RESOLVED_PROXY_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct proxy_rule {
        char *http_proxy;  /* NULL: none. May hold a password. */
        char *https_proxy; /* the same */
        char *no_proxy;    /* NULL: empty */
};

void proxy_rule_init(struct proxy_rule *r); /* from the environment */
/* From another process's: "NAME=value" with a NUL behind each, as in /proc/PID/environ. */
void proxy_rule_init_from(struct proxy_rule *r, const char *environment, size_t size);
void proxy_rule_fini(struct proxy_rule *r);
#define cleanup_proxy_rule cleanup(proxy_rule_fini)

/* The proxy's URL for a request to host (without brackets) and port; NULL: none. Borrowed from r.
 */
const char *proxy_rule_for(
        const struct proxy_rule *r, bool https, const char *host, const char *port);

#endif
