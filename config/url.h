/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts of references and the URLs of their servers. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_URL_H
#define CRI_RESOLVED_URL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct url {
        char *scheme;    /* "http" or "https" */
        char *authority; /* "host" or "host:port", as written */
        char *path;      /* "" or "/path", without a slash at its end */
};

/* False, and an empty *out, unless s is http(s)://host[:port][/path]: no user, query or fragment.
 */
bool url_parse(const char *s, struct url *out);
void url_fini(struct url *u);
#define cleanup_url cleanup(url_fini)

/*
 * A server's base URL as we keep it: without slash or /v2 at its end. The caller frees *out.
 * ERR_CONFIG says what is allowed, and not what s is: it may hold a password. s NULL is no URL.
 */
int url_base(const char *s, char **out, struct err *e) ERR_MUST_CHECK;

/* Whether s can be the host part of a reference (distribution: reference.domainAndPort, plus the
 * rule that tells a host from a path: a dot, a port or "localhost"). */
bool url_host_valid(const char *s);
/* Lower case, and index.docker.io as docker.io. The caller frees. */
char *url_host_normalise(const char *s);
/* Whether the port of "host:port" is none or 1 to 65535; the grammar of references and Go's
 * url.Parse take any number. */
bool url_port_valid(const char *host);
/* The port of "host:port", "" if there is none. */
const char *url_host_port(const char *host);
/* localhost, 127.0.0.0/8 and ::1, with or without a port (containerd: docker.IsLocalhost). */
bool url_host_is_loopback(const char *host);

#endif
