/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to containerd, as bytes: the client half of gRPC core. proxy.c is the other user of gRPC.
 * Each call blocks its thread on a completion queue of its own. Safe from any thread.
 */
#ifndef CRI_RESOLVED_RPC_H
#define CRI_RESOLVED_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

/* One metadata entry; bytes, not strings (keys that end in -bin). */
struct rpc_metadatum {
        char *key;
        char *value;
        size_t value_size;
};

/* A whole gRPC answer. code is the gRPC status; response counts only when it is 0. */
struct rpc_answer {
        int code;
        char *message; /* NULL: empty */
        char *details; /* grpc-status-details-bin; NULL: none */
        size_t details_size;
        uint8_t *response;
        size_t response_size;
};
void rpc_answer_fini(struct rpc_answer *a);
/* Frees what was in `to`. */
void rpc_answer_copy(struct rpc_answer *to, const struct rpc_answer *from);
#define cleanup_rpc_answer cleanup(rpc_answer_fini)

struct rpc;                              /* a channel */
struct rpc *rpc_new(const char *target); /* "unix:///run/containerd/containerd.sock" */
void rpc_free(struct rpc *r);

struct rpc_call {
        const char *method; /* "/runtime.v1.ImageService/ImageStatus" */
        const uint8_t *request;
        size_t request_size;
        const struct rpc_metadatum *metadata; /* sent besides containerd-namespace */
        size_t metadata_count;
        int64_t timeout_ms;    /* 0: none */
        struct cancel *cancel; /* may be NULL */
};

/* Always fills *a: a failure to reach containerd is code 14 (UNAVAILABLE), a cancellation 1. Every
 * call carries `containerd-namespace: k8s.io`. */
void rpc_do(struct rpc *r, const struct rpc_call *call, struct rpc_answer *a);

/* A call that is answered by a stream: each message is handed over on this thread, one after the
 * other, while the call goes on. Returns when the stream has ended or was cancelled; *a says how,
 * and has no response. */
void rpc_read(struct rpc *r, const struct rpc_call *call,
        void (*each)(void *arg, const uint8_t *message, size_t size), void *arg,
        struct rpc_answer *a);

#endif
