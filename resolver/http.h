/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests to registries and token servers: the one user of libcurl.
 *
 * A pool keeps warm connections by origin and TLS identity. http_do makes one exchange and follows
 * nothing: redirects are the caller's decision, because credentials hang on them. Proxies are taken
 * from the environment as Go programs take them (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, either case;
 * never for loopback). Safe from any thread; blocks its caller, wakes on its cancel token.
 */
#ifndef CRI_RESOLVED_HTTP_H
#define CRI_RESOLVED_HTTP_H

#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "config/config.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST };

/* How to reach and trust a server; strings are borrowed for the length of the call. */
struct http_trust {
        char *const *ca_files;
        size_t ca_file_count;
        const char *client_cert, *client_key;
        bool skip_verify;
};

struct http_request {
        enum http_method method;
        const char *url;
        const char *unix_socket; /* the path of one to connect to instead of the URL's host; NULL */
        const struct http_trust *trust;
        const char *const *headers; /* "Name: value" lines; NULL-terminated; may hold secrets */
        const char *body;           /* POST: application/x-www-form-urlencoded */
        /* Not to loopback, link-local and unspecified addresses, whatever the name is: for where
         * another server sends us. Where a proxy is used, it decides. */
        bool refuse_local_addresses;
        size_t max_body_bytes; /* a longer answer is ERR_TOO_LARGE */
        int64_t timeout_ms;    /* of the whole exchange; of http_open until the head is there */
        int64_t connect_timeout_ms; /* name, connection and TLS; 0: timeout_ms */
        /* Somebody waits for the answer at this socket: should that hang up, the exchange ends with
         * ERR_CANCELLED. -1 or 0: nobody (0 is standard input, and never a client's socket). */
        int watch_fd;
        struct cancel *cancel;
};

struct http_response {
        int status;
        struct buf body;
        char *location; /* NULL if absent, and so on */
        char *docker_content_digest;
        char *content_type;
        char *retry_after;
        char *warning;
        char *content_range;
        char *date;
        char *server;                /* the program's name */
        char *api_version;           /* Docker-Distribution-Api-Version */
        int64_t content_length;      /* -1: not said, or not in one clear number */
        bool content_length_unclear; /* private */
        char **www_authenticate;     /* one per header line */
        size_t www_authenticate_count;
};
void http_response_fini(struct http_response *r);
#define cleanup_http_response cleanup(http_response_fini)

struct http_pool;
struct http_pool *http_pool_new(void); /* before threads start; the program ignores SIGPIPE */
void http_pool_free(struct http_pool *p);

/*
 * 0 with any HTTP status; -1 with ERR_UNREACHABLE (name, connection, TLS; the message says which
 * and to where), ERR_TIMEOUT, ERR_CANCELLED, ERR_TOO_LARGE, ERR_CONFIG (a file of `trust` that is
 * of no use), ERR_PROTOCOL (not HTTP, headers over 64 KiB in all, a local address where those are
 * refused).
 */
int http_do(struct http_pool *p, const struct http_request *q, struct http_response *r,
        struct err *e) ERR_MUST_CHECK;

/*
 * The same exchange, GET or HEAD, but the body is read piece by piece: 0 with the head in *r (its
 * body stays empty) and, for a status of 200 to 299, the rest of the answer in *out (for HEAD a
 * stream at its end); for any other status *out is NULL and the connection is ready for the next
 * request. Errors as http_do. `cancel` and `watch_fd` must live as long as the stream; nothing else
 * of q.
 */
struct http_stream;
int http_open(struct http_pool *p, const struct http_request *q, struct http_response *r,
        struct http_stream **out, struct err *e) ERR_MUST_CHECK;
/*
 * Reads into buf, of at least HTTP_PIECE_MIN bytes, without another copy where it can. Waits until
 * there is at least one byte; *got 0 is the end of a complete body. ERR_TIMEOUT after timeout_ms
 * without a byte (one may read on), ERR_BROKEN when the connection broke or the body is shorter
 * than announced, ERR_CANCELLED. *waited_ms grows by the time that was spent on waiting for the
 * server.
 */
enum { HTTP_PIECE_MIN = 32 * 1024 };
int http_stream_read(struct http_stream *s, void *buf, size_t size, int64_t timeout_ms, size_t *got,
        int64_t *waited_ms, struct err *e) ERR_MUST_CHECK;
/* Keeps the connection if the body was read to its end. Accepts NULL. */
void http_stream_close(struct http_stream *s);

/* Resolves `location` against `base`; ERR_PROTOCOL unless http(s). The caller frees *out. */
int http_url_join(const char *base, const char *location, char **out, struct err *e) ERR_MUST_CHECK;
/* "scheme://host:port", lower case, default port left out; the caller frees; NULL if not a URL. */
char *http_url_origin(const char *url);
/* Whether the host is localhost, or written as an address that refuse_local_addresses refuses. */
bool http_url_is_local(const char *url);
/* Percent-encodes for a query or form value; the caller frees. NULL is "". */
char *http_url_escape(const char *s);

#endif
