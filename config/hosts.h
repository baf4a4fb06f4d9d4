/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's certs.d: the directory of a host, its hosts.toml or its docker-style certificates.
 * The rules are containerd's (core/remotes/docker/config/hosts.go): a hosts.toml that it would not
 * take in whole is not taken at all, and the certificate files beside it count instead. Mirrors
 * ([host."..."]) are looked at for that alone. Usable from any thread.
 */
#ifndef CRI_RESOLVED_HOSTS_H
#define CRI_RESOLVED_HOSTS_H

#include <stdbool.h>

#include "base/err.h"
#include "config/lists.h"
#include "config/url.h"

struct hosts {
        bool has_server;
        struct url server; /* path up to and including the API root */
        struct strings ca_files;
        char *client_cert; /* the first pair, if there are several */
        char *client_key;
        bool has_skip_verify;
        bool skip_verify;
        struct headers headers;
        char *note; /* "FILE is broken and ignored, as containerd does: line N: ..."; or NULL */
};

/*
 * Looks for `host` in the directories of `roots` (':' between them). Nothing there is no error:
 * *out is then empty. ERR_CONFIG if a directory or file is there but cannot be read, as in
 * containerd.
 */
int hosts_load(
        const char *roots, const char *host, struct hosts *out, struct err *e) ERR_MUST_CHECK;
void hosts_fini(struct hosts *h);
#define cleanup_hosts cleanup(hosts_fini)

#endif
