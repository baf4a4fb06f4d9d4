/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is needed to talk to one registry as containerd itself would: address, trust, headers.
 *
 * Taken from our own [upstream."<host>"] where it has any of the keys from server to headers; else
 * from [upstream."default"] by the same rule; else from containerd's certs.d/<host>/hosts.toml (its
 * `server` and the keys beside it, never its mirrors; containerd: core/remotes/docker/config/
 * hosts.go), which is read anew each time: that takes some ten microseconds. The directories are
 * shim.certs_dir, else what the running containerd 1.x reports (trust_set_legacy), else containerd
 * 2's default. A 1.x without config_path reads no certs.d: then its `registry.configs` count. A
 * hosts.toml that containerd would discard is discarded here too, with a note.
 *
 * docker.io is registry-1.docker.io. Loopback hosts without a `server` speak HTTPS without
 * verification at no port or 443, else HTTP. Safe from any thread.
 */
#ifndef CRI_RESOLVED_TRUST_H
#define CRI_RESOLVED_TRUST_H

#include <jansson.h>

#include "config/config.h"

struct upstream {
        char *host; /* of the reference */
        /* Up to and including the API root, no slash at its end: "https://ghcr.io/v2". */
        char *base_url;
        /* "https://ghcr.io": what AuthConfig.server_address is compared with and set to. */
        char *origin;
        char **ca_files;
        size_t ca_file_count;
        char *client_cert;
        char *client_key;
        bool skip_verify;
        struct config_header *headers;
        size_t header_count;
        char *note; /* for people: which hosts.toml was discarded, and why; NULL: none */
        /* Credentials that containerd's own 1.x configuration holds for this server; NULL: none.
         * They count only for a request that brings none, as in containerd, and have AuthConfig's
         * meaning and order: username, identity_token, auth (base64). Secrets. */
        char *username, *password, *identity_token, *auth;
        /* Of config_load_without_secrets, until upstream_read_secrets. */
        char *credentials_file; /* NULL: none */
        bool secrets_unread;
};

/* ERR_CONFIG if a file of certs.d is there but cannot be read: containerd fails the pull then. */
int upstream_new(const struct config *c, const char *host, struct upstream **out,
        struct err *e) ERR_MUST_CHECK;
/* The same without our own entries: where containerd itself goes for this host. */
int upstream_new_as_containerd(const struct config *c, const char *host, struct upstream **out,
        struct err *e) ERR_MUST_CHECK;
/* A mirror, reached by its own table alone: `host` is its URL, the credentials are its own. Never
 * fails; `url` is in the form in which an upstream lists it; where none of c does any more it is
 * reached by its URL alone. The caller frees. */
struct upstream *upstream_new_mirror(const struct config *c, const char *url);
/* Before requests to it, where the configuration came without secrets; else it has nothing to do.
 * ERR_SYSTEM where we may not read one, ERR_CONFIG as config_load. */
int upstream_read_secrets(struct upstream *u, struct err *e) ERR_MUST_CHECK;
/* Whether it is shown anything by which it could know us: credentials, a client certificate, or
 * headers. Also before they are read. */
bool upstream_shows_secrets(const struct upstream *u);
void upstream_free(struct upstream *u); /* accepts NULL */
DEFINE_CLEANUP(struct upstream, upstream_free)
#define cleanup_upstream cleanup(upstream_free_at)

/* The `config.registry` object of CRI Status(verbose), or NULL to forget it (2.x). Copies. */
void trust_set_legacy(const json_t *registry);

#endif
