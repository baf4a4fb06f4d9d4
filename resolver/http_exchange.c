/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http_exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "resolver/http_authorities.h"
#include "resolver/http_response.h"

enum {
        REFUSAL_MAX_BYTES = 1024 * 1024, /* of a body that nobody reads: then the connection goes */
        POLL_MS = 60 * 1000,
};

static bool is_head_end(const char *line, size_t size)
{
        return (size == 2 && line[0] == '\r' && line[1] == '\n') || (size == 1 && line[0] == '\n');
}

/* An interim answer's head is not the one that was waited for, and behind the head come trailers,
 * which nobody asked for. */
size_t http_exchange_on_header(char *data, size_t one, size_t size, void *exchange)
{
        (void)one;
        struct http_exchange *x = exchange;
        x->header_bytes += size;
        if (x->header_bytes > HTTP_EXCHANGE_HEADERS_MAX_BYTES) {
                x->headers_too_long = true;
                return 0;
        }
        if (x->head_done)
                return size;
        if (size > 5 && memcmp(data, "HTTP/", 5) == 0)
                http_response_begin(x->response, data, size);
        else
                http_response_header(x->response, data, size);
        x->status = x->response->status;
        x->head_done = is_head_end(data, size) && x->status >= 200;
        return size;
}

bool http_exchange_succeeds(const struct http_exchange *x)
{
        return x->status >= 200 && x->status < 300;
}

static size_t collect(struct http_exchange *x, const char *data, size_t size)
{
        x->body_bytes += size;
        struct buf *body = &x->response->body;
        buf_append(body, data, size);
        if (!body->overflow)
                return size;
        if (x->status < 300) {
                x->body_too_long = true;
                return 0;
        }
        x->body_left = x->body_bytes > REFUSAL_MAX_BYTES;
        return x->body_left ? 0 : size;
}

/* All of a piece or nothing of it: curl keeps it, and brings it again when it is unpaused. */
static size_t deliver(struct http_exchange *x, const char *data, size_t size)
{
        if (size == 0)
                return 0;
        if (size > x->room - x->got) {
                x->paused = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        memcpy(x->to + x->got, data, size);
        x->got += size;
        return size;
}

size_t http_exchange_on_body(char *data, size_t one, size_t size, void *exchange)
{
        (void)one;
        struct http_exchange *x = exchange;
        return x->streams && http_exchange_succeeds(x) ? deliver(x, data, size)
                                                       : collect(x, data, size);
}

static void wipe_headers(struct curl_slist *list)
{
        for (struct curl_slist *i = list; i != NULL; i = i->next)
                mem_wipe(i->data, strlen(i->data));
        curl_slist_free_all(list);
}

void http_exchange_end(struct http_exchange *x)
{
        curl_multi_remove_handle(x->connection->multi, x->connection->easy);
        http_pool_check_in(x->pool, x->connection);
        http_authorities_put(x->authorities);
        wipe_headers(x->header_list);
        free(x->origin);
}

int http_exchange_begin(struct http_exchange *x, struct http_pool *p, const struct http_request *q,
        bool streams, struct http_response *r, struct err *e)
{
        *r = (struct http_response){.content_length = -1};
        cleanup_free char *origin = http_url_origin(q->url);
        if (origin == NULL)
                return err_set(e, ERR_PROTOCOL, "not a http or https URL");
        if (q->timeout_ms <= 0)
                return err_set(e, ERR_TIMEOUT, "no time left to ask %s", origin);
        buf_init(&r->body, streams ? 0 : q->max_body_bytes);
        *x = (struct http_exchange){
                .request = *q,
                .response = r,
                .pool = p,
                .origin = take(&origin),
                .proxy = q->unix_socket == NULL ? http_pool_proxy(p, q->url) : NULL,
                .deadline_ms = clock_mono_ms() + q->timeout_ms,
                .streams = streams,
        };
        cleanup(mem_free_secret_at) char *key = http_exchange_key(x);
        x->connection = http_pool_check_out(p, key);
        if (http_exchange_configure(x, e) < 0) {
                http_exchange_end(x);
                http_response_fini(r);
                return -1;
        }
        curl_multi_add_handle(x->connection->multi, x->connection->easy);
        return 0;
}

void http_exchange_step(struct http_exchange *x)
{
        int running = 1;
        int left;
        curl_multi_perform(x->connection->multi, &running);
        if (running > 0)
                return;
        const CURLMsg *message = curl_multi_info_read(x->connection->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE)
                x->code = message->data.result;
        x->done = true;
}

/* What a client that waits does with its socket: 0 nothing, 1 it sends, -1 it has gone. */
static int look_at(int fd)
{
        char byte;
        ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0)
                return 1;
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* One poll, of the server and of who waits for us. False when the latter has gone. One who sends
 * the next request already is there, and would wake each poll: he is not watched any more. */
static bool wait_for_bytes(struct http_exchange *x, int64_t wait_ms, bool *watched)
{
        struct curl_waitfd client = {.fd = x->request.watch_fd, .events = CURL_WAIT_POLLIN};
        int64_t before_ns = clock_mono_ns();
        curl_multi_poll(x->connection->multi, &client, *watched ? 1 : 0,
                (int)(wait_ms < POLL_MS ? wait_ms : POLL_MS), NULL);
        x->waited_ns += clock_mono_ns() - before_ns;
        if (!*watched)
                return true;
        int seen = look_at(client.fd);
        *watched = seen == 0;
        return seen >= 0;
}

static enum http_turn run(
        struct http_exchange *x, int64_t deadline_ms, bool (*enough)(const struct http_exchange *x))
{
        bool watched = x->request.watch_fd > 0;
        while (!cancel_fired(x->request.cancel)) {
                http_exchange_step(x);
                if (x->done)
                        return HTTP_DONE;
                if (enough != NULL && enough(x))
                        return HTTP_ENOUGH;
                int64_t left_ms = deadline_ms - clock_mono_ms();
                if (left_ms <= 0)
                        return HTTP_LATE;
                if (!wait_for_bytes(x, left_ms, &watched))
                        return HTTP_CANCELLED;
        }
        return HTTP_CANCELLED;
}

static void wake(void *multi)
{
        curl_multi_wakeup(multi);
}

enum http_turn http_exchange_run(
        struct http_exchange *x, int64_t deadline_ms, bool (*enough)(const struct http_exchange *x))
{
        struct cancel_hook hook;
        cancel_hook(x->request.cancel, &hook, wake, x->connection->multi);
        enum http_turn turn = run(x, deadline_ms, enough);
        cancel_unhook(x->request.cancel, &hook);
        return turn;
}
