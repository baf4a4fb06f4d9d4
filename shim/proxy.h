/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front door: accepts connections on Unix sockets, lets every gRPC call through to the backend
 * byte for byte, and hands calls of chosen methods to a handler instead.
 *
 * One thread drives one completion queue; every passed-through call is a small state machine on it.
 * A handled call gets a thread of its own. Lifetimes: docs/design.md.
 */
#ifndef CRI_RESOLVED_PROXY_H
#define CRI_RESOLVED_PROXY_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "shim/rpc.h"

struct proxy;
struct proxy_call;

/* Runs on a thread of its own; must call proxy_call_answer exactly once, as its last act on the
 * call. */
typedef void (*proxy_handler_fn)(struct proxy_call *call, void *arg);

struct proxy_method {
        const char *path; /* "/runtime.v1.ImageService/PullImage" */
        proxy_handler_fn handler;
};

/* What the owner may want to know. Members may be NULL. */
struct proxy_events {
        /* On the queue thread, every turn_ms: what was put into the completion queue has come out
         * of it, so that calls are served. For a watchdog. */
        void (*turned)(void *arg);
        int64_t turn_ms;
        /* On the thread that stops the proxy, when the number has changed. */
        void (*draining)(void *arg, unsigned calls_left);
        void *arg;
};

struct proxy_options {
        const char *backend;     /* "unix:///..." */
        int64_t backend_wait_ms; /* how long calls wait for a backend that was never there */
        const struct proxy_method *methods; /* ends with path NULL; borrowed for ever */
        void *handler_arg;
        const char *const *endless; /* methods whose calls end only when somebody ends them; the
                                       last is NULL; borrowed for ever; NULL: there are none */
        struct proxy_events events;
        const uint32_t *allow_gids; /* peers besides root: with one of these as primary or
                                       supplementary group */
        size_t allow_gid_count;
};
struct proxy *proxy_new(const struct proxy_options *o);

/* Listens on a Unix socket path (mode, and gid unless -1). A stale socket file is replaced; one
 * that somebody serves is an error (two daemons never share a socket). Or takes an inherited
 * descriptor. */
int proxy_listen_unix(struct proxy *p, const char *path, uint32_t mode, int64_t gid,
        struct err *e) ERR_MUST_CHECK;
int proxy_listen_fd(struct proxy *p, int fd, struct err *e) ERR_MUST_CHECK;

int proxy_start(
        struct proxy *p, struct err *e) ERR_MUST_CHECK; /* starts accept and queue threads */
/*
 * Stops accepting connections; waits until running calls have ended and clients have heard of the
 * end (five seconds at most), together at most grace_ms, then cancels what is left. What clients
 * send until then is served, too (see proxy_drain.c). Endless calls are ended, with UNAVAILABLE,
 * when there are no others.
 */
void proxy_stop(struct proxy *p, int64_t grace_ms);
void proxy_free(struct proxy *p);

/* For handlers. Borrowed until proxy_call_answer. */
const char *proxy_call_method(const struct proxy_call *c);
const uint8_t *proxy_call_request(const struct proxy_call *c, size_t *size);
const struct rpc_metadatum *proxy_call_metadata(const struct proxy_call *c, size_t *count);
struct cancel *proxy_call_cancel(struct proxy_call *c);
/* Copies what it needs. */
void proxy_call_answer(struct proxy_call *c, const struct rpc_answer *a);

#endif
