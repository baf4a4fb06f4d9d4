/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is needed to talk to one registry as containerd itself would: address, trust, headers.
 *
 * Taken from our own [upstream] entry where there is one; else from containerd's
 * certs.d/<host>/hosts.toml (its `server` and the keys beside it, never its mirrors; containerd:
 * core/remotes/docker/config/hosts.go), read again when the file changed; and from the 1.x
 * `registry.configs` that the running containerd reports (trust_set_legacy). docker.io is
 * registry-1.docker.io; loopback hosts speak plain HTTP unless told otherwise.
 * Safe from any thread.
 */
#ifndef CRI_RESOLVED_TRUST_H
#define CRI_RESOLVED_TRUST_H

#include <jansson.h>

#include "config/config.h"

struct upstream {
        char *host;     /* of the reference */
        char *base_url; /* up to and including the API root, no slash at its end:
                           "https://ghcr.io/v2" */
        char *origin; /* "https://ghcr.io": what AuthConfig.server_address is compared with and set
                         to */
        char **ca_files;
        size_t ca_file_count;
        char *client_cert;
        char *client_key;
        bool skip_verify;
        struct config_header *headers;
        size_t header_count;
        /* Credentials that containerd's own 1.x configuration holds for this host; NULL: none. They
         * count only for a request that brings none, as in containerd. Secrets. */
        char *username, *password, *identity_token;
};

int upstream_new(const struct config *c, const char *host, struct upstream **out,
        struct err *e) ERR_MUST_CHECK;
void upstream_free(struct upstream *u); /* accepts NULL */
DEFINE_CLEANUP(struct upstream, upstream_free)
#define cleanup_upstream cleanup(upstream_free_at)

/* The `config.registry` object of CRI Status(verbose), or NULL to forget it (2.x). Copies. */
void trust_set_legacy(const json_t *registry);

#endif
