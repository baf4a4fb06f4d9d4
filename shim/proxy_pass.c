/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call that goes through: what comes in at one end goes out at the other, message by message.
 *
 * Each batch costs a turn through core, and each write to a socket wakes somebody. So what arrives
 * together leaves together: the headers, a unary call's message and its half-close go to the
 * backend as one batch, and its headers, message and status come back as one. That these belong
 * together shows only when the next event is there. So a call with something to send that might not
 * be all is put on the `held` list, and sent when the queue has no further event (or after very
 * many of them).
 *
 * A half-close is always held for that long: when a client cancels, core reports the end of its
 * messages first and the cancellation next, and the backend must not take the one for the other.
 */
#include <stddef.h>

#include "shim/proxy_internal.h"

static void up_pump(struct proxy_call *c, bool now);
static void down_pump(struct proxy_call *c, bool now);

static void hold(struct proxy_call *c)
{
        proxy_list_append(&c->proxy->held, c);
}

/* Core sets these itself. The client's user-agent is re-worded (core leaves no choice). */
static bool is_reserved(grpc_slice key)
{
        return grpc_slice_str_cmp(key, "user-agent") == 0 || grpc_slice_str_cmp(key, "host") == 0 ||
               grpc_slice_str_cmp(key, "te") == 0 || grpc_slice_str_cmp(key, "content-type") == 0;
}

/* In place: core reads the array while a batch is started, and never again. */
static void drop_reserved(grpc_metadata_array *a)
{
        size_t kept = 0;
        for (size_t i = 0; i < a->count; i++) {
                grpc_metadata m = a->metadata[i];
                if (!is_reserved(m.key))
                        a->metadata[kept++] = m;
        }
        a->count = kept;
}

static void half_advance(struct proxy_half *h)
{
        if (h->ready == NULL && !h->reading)
                h->ready = take(&h->received);
}

static size_t add_message(grpc_op *ops, struct proxy_half *h)
{
        if (h->ready == NULL)
                return 0;
        h->sending = take(&h->ready);
        ops[0] =
                (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = h->sending};
        return 1;
}

static void half_sent(struct proxy_half *h)
{
        h->busy = false;
        grpc_byte_buffer_destroy(h->sending);
        h->sending = NULL;
}

/* A read has come back: a message, or the end. */
static void half_read(struct proxy_half *h, bool ok)
{
        h->reading = false;
        if (!ok || h->received == NULL)
                h->ended = true;
        half_advance(h);
}

/* ---- up: client to containerd ---- */

static grpc_op headers_in(struct proxy_call *c)
{
        return (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA,
                .data.recv_initial_metadata.recv_initial_metadata = &c->headers};
}

/* The other half of the first send: what can come back. */
static void await_answer(struct proxy_call *c, bool headers_awaited)
{
        grpc_op headers = headers_in(c);
        grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                .data.recv_status_on_client = {.trailing_metadata = &c->trailers,
                        .status = &c->status,
                        .status_details = &c->message}};
        if (!headers_awaited)
                proxy_call_batch(c, c->back, &headers, 1, &c->back_headers);
        proxy_call_read(c, c->back, &c->down, &c->back_read);
        proxy_call_batch(c, c->back, &status, 1, &c->back_status);
}

static size_t up_operations(struct proxy_call *c, grpc_op *ops)
{
        struct proxy_half *h = &c->up;
        size_t n = 0;
        if (!h->sent_headers)
                ops[n++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                        .data.send_initial_metadata = {
                                .count = c->metadata.count, .metadata = c->metadata.metadata}};
        n += add_message(ops + n, h);
        if (h->ended && h->received == NULL) {
                ops[n++] = (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
                h->sent_end = true;
        }
        return n;
}

/* Core does not take the batch: metadata that may be received but not sent. */
static void refused(struct proxy_call *c, bool first)
{
        static const char why[] = "the request's metadata cannot be sent";
        if (first)
                proxy_pass_fail(c, GRPC_STATUS_INTERNAL, why);
        else
                grpc_call_cancel_with_status(c->back, GRPC_STATUS_INTERNAL, why, NULL);
}

static void up_send(struct proxy_call *c)
{
        struct proxy_half *h = &c->up;
        bool first = !h->sent_headers;
        grpc_op ops[4];
        size_t n = up_operations(c, ops);
        /* Nothing else to send: one completion for both the send and the headers that answer it. */
        c->whole = first && h->sent_end;
        if (c->whole)
                ops[n++] = headers_in(c);
        h->busy = proxy_call_batch(c, c->back, ops, n, c->whole ? &c->back_headers : &c->back_sent);
        if (!h->busy) {
                refused(c, first);
                return;
        }
        h->sent_headers = true;
        if (first)
                await_answer(c, c->whole);
        half_advance(h);
}

static void up_pump(struct proxy_call *c, bool now)
{
        struct proxy_half *h = &c->up;
        if (c->back == NULL || c->status_known || c->is_gone)
                return;
        bool anything = !h->sent_headers || h->ready != NULL || (h->ended && !h->sent_end);
        if (anything && !h->busy) {
                if (now || (h->sent_headers && !h->ended))
                        up_send(c);
                else
                        hold(c);
        }
        proxy_call_read(c, c->front, h, &c->front_read);
}

static void front_read_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        half_read(&c->up, ok);
        up_pump(c, false);
}

static void back_sent_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        (void)ok; /* a failure shows in the status */
        half_sent(&c->up);
        up_pump(c, false);
}

/* ---- down: containerd to client ---- */

static size_t down_operations(struct proxy_call *c, grpc_op *ops, bool last)
{
        struct proxy_half *h = &c->down;
        size_t n = 0;
        if (!h->sent_headers)
                ops[n++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                        .data.send_initial_metadata = {
                                .count = c->headers.count, .metadata = c->headers.metadata}};
        n += add_message(ops + n, h);
        if (last)
                ops[n++] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                        .data.send_status_from_server = {
                                .trailing_metadata_count = c->trailers.count,
                                .trailing_metadata = c->trailers.metadata,
                                .status = c->status,
                                .status_details = &c->message}};
        return n;
}

static void down_send(struct proxy_call *c, bool last)
{
        struct proxy_half *h = &c->down;
        grpc_op ops[3];
        size_t n = down_operations(c, ops, last);
        h->busy = proxy_call_batch(c, c->front, ops, n, &c->front_sent);
        if (!h->busy) /* metadata that may not be sent: the client sees a broken call */
                grpc_call_cancel_with_status(c->front, GRPC_STATUS_INTERNAL,
                        "the answer's metadata cannot be sent", NULL);
        h->sent_headers = true;
        h->sent_end = last;
        half_advance(h);
}

static void down_pump(struct proxy_call *c, bool now)
{
        struct proxy_half *h = &c->down;
        if (h->busy || h->sent_end || c->is_gone)
                return;
        bool last = c->status_known && !h->reading && h->received == NULL;
        bool anything = c->headers_known && (h->ready != NULL || !h->sent_headers);
        if (last || (anything && (now || h->sent_headers)))
                down_send(c, last);
        else if (anything)
                hold(c);
        /* The first read is under way from the start; a second one only for streams. */
        if (h->sent_headers && !c->status_known)
                proxy_call_read(c, c->back, h, &c->back_read);
}

static void back_headers_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        (void)ok;
        if (c->whole)
                half_sent(&c->up);
        c->headers_known = true;
        down_pump(c, false);
}

static void back_read_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        half_read(&c->down, ok);
        down_pump(c, false);
}

static void back_status_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        (void)ok;
        c->status_known = true;
        if (c->status == GRPC_STATUS_UNAVAILABLE)
                rpc_connection_retire(c->connection);
        down_pump(c, false);
}

static void front_sent_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        half_sent(&c->down);
        if (!ok && c->back != NULL && !c->status_known)
                grpc_call_cancel(c->back, NULL);
        down_pump(c, false);
}

/* ---- the whole call ---- */

void proxy_pass_fail(struct proxy_call *c, grpc_status_code status, const char *message)
{
        if (c->back != NULL)
                grpc_call_cancel(c->back, NULL);
        c->status = status;
        grpc_slice_unref(c->message);
        c->message = grpc_slice_from_copied_string(message);
        c->status_known = true;
        down_pump(c, true);
}

static void begin(struct proxy_call *c)
{
        struct err e;
        if (rpc_connection_get(c->proxy->target, &c->connection, &e) < 0) {
                proxy_pass_fail(c, (grpc_status_code)err_grpc_status(e.code), e.msg);
                return;
        }
        c->back = rpc_connection_call(c->connection, c->proxy->queue, c->details.method,
                GRPC_SLICE_IS_EMPTY(c->details.host) ? NULL : &c->details.host,
                c->details.deadline);
        proxy_call_read(c, c->front, &c->up, &c->front_read);
        hold(c);
}

static void gone(struct proxy_call *c)
{
        if (c->back != NULL)
                grpc_call_cancel(c->back, NULL);
}

void proxy_pass_prepare(struct proxy_call *c)
{
        static const struct {
                size_t offset;
                void (*done)(void *owner, bool ok);
        } tags[] = {
                {offsetof(struct proxy_call, front_read), front_read_done},
                {offsetof(struct proxy_call, front_sent), front_sent_done},
                {offsetof(struct proxy_call, back_sent), back_sent_done},
                {offsetof(struct proxy_call, back_headers), back_headers_done},
                {offsetof(struct proxy_call, back_read), back_read_done},
                {offsetof(struct proxy_call, back_status), back_status_done},
        };
        for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
                struct proxy_tag *t = (struct proxy_tag *)((char *)c + tags[i].offset);
                t->done = tags[i].done;
                t->owner = c;
        }
        grpc_metadata_array_init(&c->headers);
        grpc_metadata_array_init(&c->trailers);
        c->message = grpc_empty_slice();
        c->begin = begin;
        c->gone = gone;
        drop_reserved(&c->metadata);
}

void proxy_pass_flush(struct proxy *p)
{
        struct proxy_list now = p->held;
        p->held = (struct proxy_list){0};
        for (struct proxy_call *c = now.first; c != NULL; c = c->next)
                c->list = &now;
        while (now.first != NULL) {
                struct proxy_call *c = now.first;
                proxy_list_remove(c);
                up_pump(c, true);
                down_pump(c, true);
        }
}

static void half_fini(struct proxy_half *h)
{
        grpc_byte_buffer_destroy(h->received);
        grpc_byte_buffer_destroy(h->ready);
        grpc_byte_buffer_destroy(h->sending);
}

void proxy_pass_fini(struct proxy_call *c)
{
        half_fini(&c->up);
        half_fini(&c->down);
        if (c->begin != begin)
                return;
        grpc_metadata_array_destroy(&c->headers);
        grpc_metadata_array_destroy(&c->trailers);
        grpc_slice_unref(c->message);
        if (c->back != NULL)
                grpc_call_unref(c->back);
        rpc_connection_put(c->connection);
}
