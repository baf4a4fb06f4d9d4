/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/rpc.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <string.h>

#include "base/mem.h"
#include "shim/rpc_connection.h"

#define NAMESPACE_KEY   "containerd-namespace"
#define NAMESPACE_VALUE "k8s.io"
#define DETAILS_KEY     "grpc-status-details-bin"

struct rpc {
        struct rpc_target *target;
};

/* One call under way, and all that gRPC writes into. */
struct exchange {
        struct rpc_connection *connection;
        grpc_completion_queue *queue;
        grpc_call *call;
        grpc_metadata *metadata;
        grpc_metadata_array initial;
        grpc_metadata_array trailing;
        grpc_byte_buffer *request;
        grpc_byte_buffer *response;
        grpc_status_code status;
        grpc_slice message;
};

void rpc_answer_fini(struct rpc_answer *a)
{
        free(a->message);
        free(a->details);
        free(a->response);
        *a = (struct rpc_answer){0};
}

static void *copy_bytes(const void *data, size_t size)
{
        if (data == NULL)
                return NULL;
        void *copy = mem_zalloc(size);
        memcpy(copy, data, size);
        return copy;
}

void rpc_answer_copy(struct rpc_answer *to, const struct rpc_answer *from)
{
        rpc_answer_fini(to);
        *to = (struct rpc_answer){
                .code = from->code,
                .message = mem_strdup_or_null(from->message),
                .details = copy_bytes(from->details, from->details_size),
                .details_size = from->details_size,
                .response = copy_bytes(from->response, from->response_size),
                .response_size = from->response_size,
        };
}

struct rpc *rpc_new(const char *target)
{
        struct rpc *r = mem_zalloc(sizeof(*r));
        r->target = rpc_target_new(target);
        return r;
}

void rpc_free(struct rpc *r)
{
        if (r == NULL)
                return;
        rpc_target_free(r->target);
        free(r);
}

static gpr_timespec deadline_of(int64_t timeout_ms)
{
        if (timeout_ms <= 0)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        return gpr_time_add(
                gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

/* Keys that gRPC core sets by itself must not be set again. */
static bool is_reserved(const char *key)
{
        return key[0] == ':' || strncmp(key, "grpc-", 5) == 0 || strcmp(key, "te") == 0 ||
               strcmp(key, "content-type") == 0 || strcmp(key, "user-agent") == 0 ||
               strcmp(key, NAMESPACE_KEY) == 0;
}

static size_t fill_metadata(grpc_metadata *out, const struct rpc_call *call)
{
        size_t n = 0;
        out[n++] = (grpc_metadata){
                .key = grpc_slice_from_static_string(NAMESPACE_KEY),
                .value = grpc_slice_from_static_string(NAMESPACE_VALUE),
        };
        for (size_t i = 0; i < call->metadata_count; i++) {
                const struct rpc_metadatum *m = &call->metadata[i];
                if (is_reserved(m->key))
                        continue;
                out[n++] = (grpc_metadata){
                        .key = grpc_slice_from_copied_string(m->key),
                        .value = grpc_slice_from_copied_buffer(m->value, m->value_size),
                };
        }
        return n;
}

static void open_call(struct exchange *x, const struct rpc_call *call)
{
        grpc_slice method = grpc_slice_from_copied_string(call->method);
        x->queue = grpc_completion_queue_create_for_pluck(NULL);
        x->call = rpc_connection_call(
                x->connection, x->queue, method, NULL, deadline_of(call->timeout_ms));
        grpc_slice_unref(method);
}

/* The whole unary call in one batch. */
static void start(struct exchange *x, size_t metadata_count)
{
        grpc_op ops[] = {
                {.op = GRPC_OP_SEND_INITIAL_METADATA,
                        .data.send_initial_metadata = {.count = metadata_count,
                                .metadata = x->metadata}},
                {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = x->request},
                {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                {.op = GRPC_OP_RECV_INITIAL_METADATA,
                        .data.recv_initial_metadata.recv_initial_metadata = &x->initial},
                {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &x->response},
                {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                        .data.recv_status_on_client = {.trailing_metadata = &x->trailing,
                                .status = &x->status,
                                .status_details = &x->message}},
        };
        grpc_call_error failed =
                grpc_call_start_batch(x->call, ops, sizeof(ops) / sizeof(ops[0]), x, NULL);
        if (failed == GRPC_CALL_OK)
                grpc_completion_queue_pluck(x->queue, x, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        else
                x->status = GRPC_STATUS_INTERNAL;
}

static void wipe_and_free(void *data, size_t size)
{
        mem_wipe(data, size);
        free(data);
}

/* A copy, since a cancelled call may end before the transport has let go of what it sends; wiped
 * when it has, since requests hold credentials. */
static grpc_slice secret_slice(const uint8_t *data, size_t size)
{
        void *copy = mem_zalloc(size);
        if (size > 0)
                memcpy(copy, data, size);
        return grpc_slice_new_with_len(copy, size, wipe_and_free);
}

static uint8_t *slice_bytes(grpc_slice s, size_t *size)
{
        *size = GRPC_SLICE_LENGTH(s);
        return copy_bytes(GRPC_SLICE_START_PTR(s), *size);
}

/* NULL: there is none. The caller frees. */
static uint8_t *read_message(const struct exchange *x, size_t *size)
{
        grpc_byte_buffer_reader reader;
        *size = 0;
        if (x->response == NULL || !grpc_byte_buffer_reader_init(&reader, x->response))
                return NULL;
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        uint8_t *message = slice_bytes(all, size);
        grpc_slice_unref(all);
        grpc_byte_buffer_reader_destroy(&reader);
        return message;
}

static void read_status(const struct exchange *x, struct rpc_answer *a)
{
        a->code = (int)x->status;
        if (GRPC_SLICE_LENGTH(x->message) > 0)
                a->message = mem_strndup((const char *)GRPC_SLICE_START_PTR(x->message),
                        GRPC_SLICE_LENGTH(x->message));
        for (size_t i = 0; i < x->trailing.count; i++)
                if (grpc_slice_str_cmp(x->trailing.metadata[i].key, DETAILS_KEY) == 0)
                        a->details = (char *)slice_bytes(
                                x->trailing.metadata[i].value, &a->details_size);
        if (a->code == GRPC_STATUS_UNAVAILABLE)
                rpc_connection_retire(x->connection);
}

static void read_answer(const struct exchange *x, struct rpc_answer *a)
{
        read_status(x, a);
        if (a->code == GRPC_STATUS_OK)
                a->response = read_message(x, &a->response_size);
        if (a->code == GRPC_STATUS_OK && a->response == NULL) {
                a->code = GRPC_STATUS_INTERNAL;
                a->message = mem_strdup("the backend answered OK without a message");
        }
}

static void wake_call(void *arg)
{
        grpc_call_cancel(arg, NULL);
}

static void exchange_fini(struct exchange *x, size_t metadata_count)
{
        for (size_t i = 0; i < metadata_count; i++) {
                grpc_slice_unref(x->metadata[i].key);
                grpc_slice_unref(x->metadata[i].value);
        }
        free(x->metadata);
        grpc_metadata_array_destroy(&x->initial);
        grpc_metadata_array_destroy(&x->trailing);
        grpc_byte_buffer_destroy(x->request);
        grpc_byte_buffer_destroy(x->response);
        grpc_slice_unref(x->message);
        grpc_call_unref(x->call);
        grpc_completion_queue_shutdown(x->queue);
        grpc_completion_queue_destroy(x->queue);
        rpc_connection_put(x->connection);
}

/* Everything before the call starts; returns how much metadata there is. */
static size_t prepare(struct exchange *x, const struct rpc_call *call)
{
        open_call(x, call);
        x->metadata = mem_zalloc((call->metadata_count + 1) * sizeof(grpc_metadata));
        grpc_metadata_array_init(&x->initial);
        grpc_metadata_array_init(&x->trailing);
        grpc_slice request = secret_slice(call->request, call->request_size);
        x->request = grpc_raw_byte_buffer_create(&request, 1);
        grpc_slice_unref(request);
        return fill_metadata(x->metadata, call);
}

static void run(struct exchange *x, const struct rpc_call *call, struct rpc_answer *a)
{
        size_t metadata_count = prepare(x, call);
        struct cancel_hook hook;
        cancel_hook(call->cancel, &hook, wake_call, x->call);
        start(x, metadata_count);
        cancel_unhook(call->cancel, &hook);
        read_answer(x, a);
        exchange_fini(x, metadata_count);
}

/* The other side had asked us to leave (GOAWAY) before the call could begin; core words it so, and
 * ends none in this way that has begun (chttp2_transport.cc, cancel_unstarted_streams). */
static bool was_sent_away(const struct rpc_answer *a)
{
        static const char words[] = "GOAWAY received";
        return a->code == GRPC_STATUS_UNAVAILABLE && a->message != NULL &&
               strncmp(a->message, words, strlen(words)) == 0;
}

/* False, with *a: containerd is not there. */
static bool connect_call(struct rpc *r, struct exchange *x, struct rpc_answer *a)
{
        struct err e;
        *x = (struct exchange){.message = grpc_empty_slice()};
        *a = (struct rpc_answer){0};
        if (rpc_connection_get(r->target, &x->connection, &e) == 0)
                return true;
        a->code = err_grpc_status(e.code);
        a->message = mem_strdup(e.msg);
        return false;
}

static void do_once(struct rpc *r, const struct rpc_call *call, struct rpc_answer *a)
{
        struct exchange x;
        if (connect_call(r, &x, a))
                run(&x, call, a);
}

void rpc_do(struct rpc *r, const struct rpc_call *call, struct rpc_answer *a)
{
        do_once(r, call, a);
        if (!was_sent_away(a))
                return;
        rpc_answer_fini(a);
        do_once(r, call, a); /* by another connection */
}

/* ---- streams ---- */

/* False: nothing was started, and nothing of it needs to be waited for. */
static bool batch(struct exchange *x, const grpc_op *ops, size_t count, void *tag)
{
        return grpc_call_start_batch(x->call, ops, count, tag, NULL) == GRPC_CALL_OK;
}

static void pluck(struct exchange *x, void *tag)
{
        grpc_completion_queue_pluck(x->queue, tag, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

/* Two batches that end when the stream does, or soon after it began. */
static bool start_stream(struct exchange *x, size_t metadata_count)
{
        const grpc_op begin[] = {
                {.op = GRPC_OP_SEND_INITIAL_METADATA,
                        .data.send_initial_metadata = {.count = metadata_count,
                                .metadata = x->metadata}},
                {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = x->request},
                {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                {.op = GRPC_OP_RECV_INITIAL_METADATA,
                        .data.recv_initial_metadata.recv_initial_metadata = &x->initial},
        };
        const grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                .data.recv_status_on_client = {.trailing_metadata = &x->trailing,
                        .status = &x->status,
                        .status_details = &x->message}};
        if (!batch(x, &end, 1, &x->status))
                return false;
        if (batch(x, begin, sizeof(begin) / sizeof(begin[0]), &x->initial))
                return true;
        grpc_call_cancel(x->call, NULL);
        pluck(x, &x->status);
        return false;
}

/* False at the end of the stream. */
static bool next_message(struct exchange *x, uint8_t **message, size_t *size)
{
        const grpc_op op = {
                .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &x->response};
        if (!batch(x, &op, 1, &x->response)) {
                grpc_call_cancel(x->call, NULL);
                return false;
        }
        pluck(x, &x->response);
        *message = read_message(x, size);
        grpc_byte_buffer_destroy(x->response);
        x->response = NULL;
        return *message != NULL;
}

static void read_stream(
        struct exchange *x, void (*each)(void *arg, const uint8_t *message, size_t size), void *arg)
{
        uint8_t *message = NULL;
        size_t size = 0;
        while (next_message(x, &message, &size)) {
                each(arg, message, size);
                free(message);
        }
        pluck(x, &x->initial);
        pluck(x, &x->status);
}

void rpc_read(struct rpc *r, const struct rpc_call *call,
        void (*each)(void *arg, const uint8_t *message, size_t size), void *arg,
        struct rpc_answer *a)
{
        struct exchange x;
        if (!connect_call(r, &x, a))
                return;
        size_t metadata_count = prepare(&x, call);
        struct cancel_hook hook;
        cancel_hook(call->cancel, &hook, wake_call, x.call);
        if (start_stream(&x, metadata_count))
                read_stream(&x, each, arg);
        else
                x.status = GRPC_STATUS_INTERNAL;
        cancel_unhook(call->cancel, &hook);
        read_status(&x, a);
        exchange_fini(&x, metadata_count);
}
