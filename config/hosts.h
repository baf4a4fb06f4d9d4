/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's certs.d: the directory of a host, its hosts.toml or its docker-style certificates.
 * The rules are containerd's (core/remotes/docker/config/hosts.go): a hosts.toml that it would not
 * take in whole is not taken at all, and the certificate files beside it count instead. Usable from
 * any thread.
 */
#ifndef CRI_RESOLVED_HOSTS_H
#define CRI_RESOLVED_HOSTS_H

#include <stdbool.h>

#include "base/err.h"
#include "config/lists.h"
#include "config/url.h"

enum hosts_capability { HOSTS_PULL = 1, HOSTS_RESOLVE = 2, HOSTS_PUSH = 4, HOSTS_REFERRERS = 8 };

/* A hosts.toml, or one [host."..."] of it, which has no mirrors. */
struct hosts {
        bool has_server;
        struct url server; /* path up to and including the API root */
        struct strings ca_files;
        char *client_cert; /* the first pair, if there are several */
        char *client_key;
        bool has_skip_verify;
        bool skip_verify;
        struct headers headers;
        unsigned capabilities; /* of enum hosts_capability; without any named all but referrers */
        bool override_path;
        char *name;            /* of a mirror: its URL as written */
        struct hosts *mirrors; /* in the order in which containerd asks them */
        size_t mirror_count;
        char *note; /* "FILE is broken and ignored, as containerd does: line N: ..."; or NULL */
};

/*
 * Looks for `host` in the directories of `roots` (':' between them). Nothing there is no error:
 * *out is then empty. ERR_CONFIG if a directory or file is there but cannot be read, as in
 * containerd.
 */
int hosts_load(
        const char *roots, const char *host, struct hosts *out, struct err *e) ERR_MUST_CHECK;
/* The same for a host's directory itself. */
int hosts_load_dir(const char *dir, struct hosts *out, struct err *e) ERR_MUST_CHECK;
void hosts_fini(struct hosts *h);
#define cleanup_hosts cleanup(hosts_fini)

#endif
