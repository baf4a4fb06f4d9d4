/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange with a server, from the connection's check-out to its check-in: the mechanism under
 * http_do and http_stream, between the files of http. One owner, one thread; curl keeps pointers
 * into it, so it stays where it was begun.
 */
#ifndef CRI_RESOLVED_HTTP_EXCHANGE_H
#define CRI_RESOLVED_HTTP_EXCHANGE_H

#include <curl/curl.h>
#include <stdint.h>

#include "resolver/http.h"
#include "resolver/http_pool.h"
#include "resolver/local_address.h"

enum { HTTP_EXCHANGE_HEADERS_MAX_BYTES = 64 * 1024 };

struct http_exchange {
        struct http_request
                request; /* of a stream that is open: its numbers and its cancel alone */
        struct http_response *response; /* until the head is there, or the end of http_do */
        struct http_pool *pool;
        struct http_connection *connection;
        char *origin;
        const char *proxy; /* NULL: none */
        struct curl_slist *header_list;
        struct x509_store_st *authorities; /* NULL: no use of the shared ones */
        int64_t deadline_ms;               /* of http_do; of http_open: until the head is there */
        bool streams; /* a body of success goes to `to`, not into the response */

        int status; /* once the head is there */
        bool head_done;
        bool done; /* the transfer, with: */
        CURLcode code;
        size_t header_bytes;
        size_t body_bytes;
        bool headers_too_long;
        bool body_too_long;
        bool body_left; /* the rest of a refusal's body was not worth reading */
        char refused[LOCAL_ADDRESS_TEXT_MAX]; /* the address that may not be asked; "": none */
        char text[CURL_ERROR_SIZE];

        char *to; /* room for the body; NULL: nobody reads just now */
        size_t room, got;
        bool paused; /* curl holds a piece for which there was no room */
        int64_t waited_ns;
};

/* Whether this status brings what was asked for. */
bool http_exchange_succeeds(const struct http_exchange *x);

/* Fills x, and *r as an answer to come. After -1 there is nothing to end. */
int http_exchange_begin(struct http_exchange *x, struct http_pool *p, const struct http_request *q,
        bool streams, struct http_response *r, struct err *e) ERR_MUST_CHECK;
/* Gives the connection back; one whose transfer is not over is closed. */
void http_exchange_end(struct http_exchange *x);

/* Why http_exchange_run returned. */
enum http_turn { HTTP_DONE, HTTP_ENOUGH, HTTP_LATE, HTTP_CANCELLED };
/* Lets curl work until the transfer is done, `enough` says so (NULL: never), the time has come, or
 * nobody waits any more. */
enum http_turn http_exchange_run(struct http_exchange *x, int64_t deadline_ms,
        bool (*enough)(const struct http_exchange *x));
/* What can be done without waiting. */
void http_exchange_step(struct http_exchange *x);

/* http_explain.c: 0 for a complete answer, else the error that the turn is. */
int http_exchange_explain(
        const struct http_exchange *x, enum http_turn turn, struct err *e) ERR_MUST_CHECK;
/* A proxy's refusal of ourselves is no answer of the server. */
int http_exchange_check_proxy(const struct http_exchange *x, struct err *e) ERR_MUST_CHECK;

/* http_setup.c: the request as curl's options; what two requests must have in common to use one
 * connection (secret: it may name files). */
int http_exchange_configure(struct http_exchange *x, struct err *e) ERR_MUST_CHECK;
char *http_exchange_key(const struct http_exchange *x);
int64_t http_exchange_connect_timeout_ms(const struct http_exchange *x);

/* curl's callbacks. */
size_t http_exchange_on_header(char *data, size_t one, size_t size, void *exchange);
size_t http_exchange_on_body(char *data, size_t one, size_t size, void *exchange);

#endif
