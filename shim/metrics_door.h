/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics on TCP, for a Prometheus that cannot read the admin socket: that page, read-only, and
 * nothing else. Whoever reaches the address may read it; there is no secret in it, but the names of
 * the configuration's upstreams and mirrors.
 */
#ifndef CRI_RESOLVED_METRICS_DOOR_H
#define CRI_RESOLVED_METRICS_DOOR_H

#include "shim/http_listener.h"
#include "shim/pull.h"

/* A listening socket at metrics.listen ("127.0.0.1:9779", "[::1]:9779"); the caller's. ERR_CONFIG
 * names the key. */
int metrics_door_listen(const char *address, int *fd, struct err *e) ERR_MUST_CHECK;

/* Serves at a listening TCP socket, our own or inherited; takes it. The service is borrowed. End it
 * with http_listener_free. */
int metrics_door_new(int fd, struct pull_service *service, struct http_listener **out,
        struct err *e) ERR_MUST_CHECK;

#endif
