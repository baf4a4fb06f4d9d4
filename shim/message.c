/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/message.h"

#include <string.h>

enum { GRPC_OK = 0, GRPC_NOT_FOUND = 5, GRPC_UNAVAILABLE = 14 };

uint8_t *message_pack(const ProtobufCMessage *m, size_t *size)
{
        *size = protobuf_c_message_get_packed_size(m);
        uint8_t *packed = mem_zalloc(*size);
        protobuf_c_message_pack(m, packed);
        return packed;
}

static int failed(const char *method, const struct rpc_answer *answer, struct err *e)
{
        enum err_code kind = answer->code == GRPC_NOT_FOUND     ? ERR_NOT_FOUND
                             : answer->code == GRPC_UNAVAILABLE ? ERR_BACKEND
                                                                : ERR_INTERNAL;
        return err_set(e, kind, "containerd: %s: %s", strrchr(method, '/') + 1,
                answer->message != NULL ? answer->message : "no message");
}

int message_ask_until(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, struct cancel *cancel, struct rpc_answer *answer, struct err *e)
{
        size_t size = 0;
        cleanup_free uint8_t *packed = message_pack(request, &size);
        struct rpc_call call = {
                .method = method,
                .request = packed,
                .request_size = size,
                .timeout_ms = timeout_ms,
                .cancel = cancel,
        };
        rpc_do(rpc, &call, answer);
        if (answer->code == GRPC_OK)
                return 0;
        if (cancel_fired(cancel))
                return err_set(e, ERR_CANCELLED, "cancelled");
        return failed(method, answer, e);
}

int message_ask(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, struct rpc_answer *answer, struct err *e)
{
        return message_ask_until(rpc, method, request, timeout_ms, NULL, answer, e);
}

int message_read(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, void (*each)(void *arg, const uint8_t *message, size_t size), void *arg,
        struct err *e)
{
        size_t size = 0;
        cleanup_free uint8_t *packed = message_pack(request, &size);
        struct rpc_call call = {
                .method = method,
                .request = packed,
                .request_size = size,
                .timeout_ms = timeout_ms,
        };
        cleanup_rpc_answer struct rpc_answer answer = {0};
        rpc_read(rpc, &call, each, arg, &answer);
        return answer.code == GRPC_OK ? 0 : failed(method, &answer, e);
}
