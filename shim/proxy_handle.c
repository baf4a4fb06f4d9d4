/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that a handler answers: the request is collected here, the rest runs on a thread of its
 * own. */
#include <grpc/byte_buffer_reader.h>
#include <string.h>

#include "shim/proxy_internal.h"

#define DETAILS_KEY "grpc-status-details-bin"

enum {
        HANDLERS_MAX = 512,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        STACK_BYTES = 8 << 20, /* sanitizers pad every frame */
#else
        STACK_BYTES = 256 << 10,
#endif
};

static void answer_code(struct proxy_call *c, int code, const char *message)
{
        struct rpc_answer a = {.code = code, .message = (char *)message}; /* only read */
        proxy_call_answer(c, &a);
}

/* ---- the thread ---- */

static void *handler_main(void *arg)
{
        struct proxy_call *c = arg;
        struct proxy *p = c->proxy;
        c->method->handler(c, p->handler_arg); /* the call is no longer ours after this */
        pthread_mutex_lock(&p->lock);
        p->handler_threads--;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return NULL;
}

static int start_thread(struct proxy_call *c)
{
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        int failed = pthread_create(&thread, &attributes, handler_main, c);
        pthread_attr_destroy(&attributes);
        return failed;
}

static void count_thread(struct proxy *p, int change)
{
        pthread_mutex_lock(&p->lock);
        p->handler_threads += (unsigned)change;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
}

static void run_handler(struct proxy_call *c)
{
        c->proxy->handlers++;
        c->pending++; /* the answer's tag */
        count_thread(c->proxy, 1);
        if (start_thread(c) == 0)
                return;
        count_thread(c->proxy, -1);
        answer_code(c, GRPC_STATUS_RESOURCE_EXHAUSTED, "no thread for this call");
}

static void run_or_queue(struct proxy_call *c)
{
        if (c->proxy->handlers < HANDLERS_MAX)
                run_handler(c);
        else
                proxy_list_append(&c->proxy->queued, c);
}

/* ---- the request ---- */

static char *string_of(grpc_slice s)
{
        return mem_strndup((const char *)GRPC_SLICE_START_PTR(s), GRPC_SLICE_LENGTH(s));
}

static void collect_metadata(struct proxy_call *c)
{
        c->request_metadata = mem_zalloc((c->metadata.count + 1) * sizeof *c->request_metadata);
        c->request_metadata_count = c->metadata.count;
        for (size_t i = 0; i < c->metadata.count; i++) {
                const grpc_metadata *from = &c->metadata.metadata[i];
                struct rpc_metadatum *to = &c->request_metadata[i];
                to->key = string_of(from->key);
                to->value_size = GRPC_SLICE_LENGTH(from->value);
                to->value = mem_zalloc(to->value_size + 1);
                memcpy(to->value, GRPC_SLICE_START_PTR(from->value), to->value_size);
        }
}

static bool collect_request(struct proxy_call *c)
{
        grpc_byte_buffer_reader reader;
        if (!grpc_byte_buffer_reader_init(&reader, c->up.received))
                return false;
        c->request = mem_zalloc(grpc_byte_buffer_length(c->up.received) + 1);
        grpc_slice piece;
        while (grpc_byte_buffer_reader_next(&reader, &piece)) {
                memcpy(c->request + c->request_size, GRPC_SLICE_START_PTR(piece),
                        GRPC_SLICE_LENGTH(piece));
                c->request_size += GRPC_SLICE_LENGTH(piece);
                /* Requests hold credentials. Nobody else has these bytes: they came off a socket.
                 */
                mem_wipe(GRPC_SLICE_START_PTR(piece), GRPC_SLICE_LENGTH(piece));
                grpc_slice_unref(piece);
        }
        grpc_byte_buffer_reader_destroy(&reader);
        return true;
}

static void front_read_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        c->up.reading = false;
        if (c->is_gone)
                return;
        if (ok && c->up.received != NULL && collect_request(c)) {
                collect_metadata(c);
                run_or_queue(c);
                return;
        }
        c->proxy->handlers++;
        c->pending++;
        answer_code(c, GRPC_STATUS_INVALID_ARGUMENT, "the call has no request message");
}

/* ---- the answer ---- */

static void front_sent_done(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        struct proxy *p = c->proxy;
        (void)ok; /* nobody is left to be told */
        p->handlers--;
        struct proxy_call *next = p->queued.first;
        if (next == NULL)
                return;
        proxy_list_remove(next);
        run_handler(next);
}

static grpc_byte_buffer *buffer_of(const struct rpc_answer *a)
{
        grpc_slice body =
                grpc_slice_from_copied_buffer((const char *)a->response, a->response_size);
        grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&body, 1);
        grpc_slice_unref(body);
        return buffer;
}

static void send_answer(struct proxy_call *c, const struct rpc_answer *a, grpc_metadata *details,
        grpc_slice *message)
{
        size_t n = 0;
        grpc_op ops[3] = {0};
        ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
        if (a->code == GRPC_STATUS_OK) {
                c->down.sending = buffer_of(a);
                ops[n++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE,
                        .data.send_message.send_message = c->down.sending};
        }
        ops[n++] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                .data.send_status_from_server = {.trailing_metadata_count = a->details != NULL,
                        .trailing_metadata = details,
                        .status = (grpc_status_code)a->code,
                        .status_details = message}};
        grpc_call *front = c->front;
        c->answered = a->code;
        proxy_tag_release(&c->front_sent);
        if (grpc_call_start_batch(front, ops, n, &c->front_sent, NULL) == GRPC_CALL_OK)
                return;
        grpc_call_cancel(front, NULL);
        grpc_call_start_batch(front, NULL, 0, &c->front_sent, NULL);
}

void proxy_call_answer(struct proxy_call *c, const struct rpc_answer *a)
{
        grpc_slice message = grpc_slice_from_copied_string(a->message != NULL ? a->message : "");
        grpc_metadata details = {
                .key = grpc_slice_from_static_string(DETAILS_KEY),
                .value = grpc_slice_from_copied_buffer(a->details, a->details_size),
        };
        send_answer(c, a, &details, &message);
        grpc_slice_unref(details.value);
        grpc_slice_unref(message);
}

/* ---- for handlers, and for proxy.c ---- */

const char *proxy_call_method(const struct proxy_call *c)
{
        return c->method->path;
}

const uint8_t *proxy_call_request(const struct proxy_call *c, size_t *size)
{
        *size = c->request_size;
        return c->request;
}

const struct rpc_metadatum *proxy_call_metadata(const struct proxy_call *c, size_t *count)
{
        *count = c->request_metadata_count;
        return c->request_metadata;
}

struct cancel *proxy_call_cancel(struct proxy_call *c)
{
        return &c->cancel;
}

static void begin(struct proxy_call *c)
{
        proxy_call_read(c, c->front, &c->up, &c->front_read);
}

static void gone(struct proxy_call *c)
{
        cancel_fire(&c->cancel);
}

void proxy_handle_prepare(struct proxy_call *c)
{
        c->front_read.done = front_read_done;
        c->front_sent.done = front_sent_done;
        c->front_read.owner = c->front_sent.owner = c;
        c->begin = begin;
        c->gone = gone;
        cancel_init(&c->cancel);
}

void proxy_handle_fini(struct proxy_call *c)
{
        if (c->begin != begin)
                return;
        cancel_fini(&c->cancel);
        if (c->request != NULL)
                mem_wipe(c->request, c->request_size);
        free(c->request);
        for (size_t i = 0; i < c->request_metadata_count; i++) {
                free(c->request_metadata[i].key);
                free(c->request_metadata[i].value);
        }
        free(c->request_metadata);
}
