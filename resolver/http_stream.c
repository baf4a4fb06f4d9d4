/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming half of http.h: an exchange whose body waits for its reader. */
#include "base/clock.h"
#include "resolver/http_exchange.h"

enum {
        REFUSAL_MAX_MS = 1000, /* for the rest of an answer that nobody reads */
};

_Static_assert(HTTP_PIECE_MIN >= CURL_MAX_WRITE_SIZE, "an empty buffer must hold any piece");

struct http_stream {
        struct http_exchange exchange;
        int64_t told_ms; /* of exchange.waited_ns */
};

static bool has_head(const struct http_exchange *x)
{
        return x->head_done;
}

/* The rest of a refusal, so that the connection is good for the next request; where that takes too
 * long, or breaks, the connection goes, and the refusal stands. */
static enum http_turn drain(struct http_exchange *x)
{
        int64_t limit_ms = clock_mono_ms() + REFUSAL_MAX_MS;
        return http_exchange_run(x, limit_ms < x->deadline_ms ? limit_ms : x->deadline_ms, NULL);
}

static int await_head(struct http_exchange *x, struct err *e)
{
        enum http_turn turn = http_exchange_run(x, x->deadline_ms, has_head);
        if (!x->head_done)
                return http_exchange_explain(x, turn, e);
        if (!http_exchange_succeeds(x) && !x->done)
                turn = drain(x);
        if (turn == HTTP_CANCELLED)
                return http_exchange_explain(x, turn, e);
        return http_exchange_check_proxy(x, e);
}

int http_open(struct http_pool *p, const struct http_request *q, struct http_response *r,
        struct http_stream **out, struct err *e)
{
        struct http_stream *s = mem_zalloc(sizeof(*s));
        struct http_exchange *x = &s->exchange;
        *out = NULL;
        if (http_exchange_begin(x, p, q, true, r, e) < 0) {
                free(s);
                return -1;
        }
        int result = await_head(x, e);
        if (result == 0 && x->head_done && http_exchange_succeeds(x)) {
                x->response = NULL; /* the caller's alone from here on */
                x->waited_ns = 0;
                *out = s;
                return 0;
        }
        http_exchange_end(x);
        free(s);
        if (result < 0)
                http_response_fini(r);
        return result;
}

static bool has_bytes(const struct http_exchange *x)
{
        return x->got > 0;
}

/* Brings what curl has kept straight into the buffer. */
static void unpause(struct http_exchange *x)
{
        x->paused = false;
        CURLcode code = curl_easy_pause(x->connection->easy, CURLPAUSE_CONT);
        if (code != CURLE_OK) {
                x->code = code;
                x->done = true;
        }
}

static int end_of_read(
        const struct http_exchange *x, enum http_turn turn, int64_t timeout_ms, struct err *e)
{
        if (turn == HTTP_LATE)
                return err_set(e, ERR_TIMEOUT, "not a byte from %s in %lld ms", x->origin,
                        (long long)timeout_ms);
        return http_exchange_explain(x, turn, e);
}

int http_stream_read(struct http_stream *s, void *buf, size_t size, int64_t timeout_ms, size_t *got,
        int64_t *waited_ms, struct err *e)
{
        struct http_exchange *x = &s->exchange;
        enum http_turn turn = HTTP_DONE;
        x->to = buf;
        x->room = size;
        x->got = 0;
        if (x->paused)
                unpause(x);
        if (x->got == 0 && !x->done)
                turn = http_exchange_run(x, clock_mono_ms() + timeout_ms, has_bytes);
        *got = x->got;
        x->to = NULL;
        x->room = x->got = 0;
        int64_t all_ms = x->waited_ns / 1000000;
        *waited_ms += all_ms - s->told_ms;
        s->told_ms = all_ms;
        return *got > 0 ? 0 : end_of_read(x, turn, timeout_ms, e);
}

void http_stream_close(struct http_stream *s)
{
        if (s == NULL)
                return;
        /* Who knows the length stops at the last byte: what comes after it is the end, mostly. */
        if (!s->exchange.done && !s->exchange.paused)
                http_exchange_step(&s->exchange);
        http_exchange_end(&s->exchange);
        free(s);
}
