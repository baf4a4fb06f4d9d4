/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP on a listening socket, for administrators and Prometheus: a thread accepts, each connection
 * has a thread of its own (relay/httpd.h). Bounded: who says nothing makes room.
 */
#ifndef CRI_RESOLVED_HTTP_LISTENER_H
#define CRI_RESOLVED_HTTP_LISTENER_H

#include "base/err.h"
#include "relay/httpd.h"
#include "shim/peers.h"

struct http_listener_options {
        int fd;              /* listening; becomes the listener's, even when it fails */
        struct peers *peers; /* of a Unix socket: who may connect; borrowed. NULL: everybody */
        httpd_handler_fn handler;
        void *arg;
};

struct http_listener;
/* Serves from now on. ERR_SYSTEM. */
int http_listener_new(const struct http_listener_options *o, struct http_listener **out,
        struct err *e) ERR_MUST_CHECK;
/* Closes the socket and ends running requests. Accepts NULL. */
void http_listener_free(struct http_listener *l);

#endif
