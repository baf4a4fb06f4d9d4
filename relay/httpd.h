/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP towards containerd and administrators: the one user of libmicrohttpd. A thread per
 * connection; it may block in the handler and in the reader of a body. Connections come from
 * elsewhere (door.h, with a complete head; shim/admin.h). An answer without a body of its own
 * closes the connection: who is refused keeps nothing.
 */
#ifndef CRI_RESOLVED_HTTPD_H
#define CRI_RESOLVED_HTTPD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Borrowed for the length of the handler. */
struct httpd_request {
        const char *method;
        const char *path;          /* percent-decoded, without the query */
        const char *authorization; /* "" if there is none */
        int client_fd;             /* to see it hang up while a source is waited for */
};

struct httpd_answer {
        int status;
        const char *challenge; /* WWW-Authenticate; NULL: none */
        const char *allow;     /* Allow; NULL: none */
        /* Of an answer with content: */
        const char *content_type;
        const char *digest; /* Docker-Content-Digest; NULL: none */
        int64_t size;
        /* Fills buf with 1 to max bytes and returns how many; -1 cuts the connection short. Not
         * called for HEAD. max is at least HTTPD_BLOCK_BYTES, or all that is left. */
        ssize_t (*read)(void *body, char *buf, size_t max);
        void (*free)(void *body); /* always called in the end, on the connection's thread */
        void *body;
};

enum { HTTPD_BLOCK_BYTES = 128 * 1024 };

typedef void (*httpd_handler_fn)(void *arg, const struct httpd_request *q, struct httpd_answer *a);

struct httpd;
struct httpd_limits {
        unsigned connections;     /* one more takes the place of who was silent for longest; it is
                                     closed if all are at work */
        unsigned idle_timeout_s;  /* for the next request of a connection; see httpd_tick */
        unsigned stall_timeout_s; /* of an answer under way, without a byte to its client; not less
                                     than idle_timeout_s */
};
/* NULL if there are no threads or descriptors for it. */
struct httpd *httpd_new(httpd_handler_fn handler, void *arg, const struct httpd_limits *limits);
void httpd_free(struct httpd *h); /* waits for the connections' threads; accepts NULL */
/* Takes the descriptor; false when it was closed at once. Any thread. */
bool httpd_enter(struct httpd *h, int fd);
/* Ends those who were idle for too long. Who lets connections in calls this, about once a second
 * for as long as it returns true, and again from the next httpd_enter on. Any thread. */
bool httpd_tick(struct httpd *h);
unsigned httpd_connections(struct httpd *h);

#endif
