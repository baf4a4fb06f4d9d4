/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf-c messages: packed, and asked of containerd. Safe from any thread; message_ask blocks.
 */
#ifndef CRI_RESOLVED_MESSAGE_H
#define CRI_RESOLVED_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "base/mem.h"
#include "shim/rpc.h"

/* The caller frees. Unknown fields that the message was unpacked with are packed again. */
uint8_t *message_pack(const ProtobufCMessage *m, size_t *size);

/* One call; the answer is the caller's to read and to free. timeout_ms 0: none. ERR_NOT_FOUND,
 * ERR_BACKEND when containerd cannot be asked, ERR_INTERNAL with containerd's words for all else.
 */
int message_ask(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, struct rpc_answer *answer, struct err *e) ERR_MUST_CHECK;
/* The same for one who may be told to stop: ERR_CANCELLED. */
int message_ask_until(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, struct cancel *cancel, struct rpc_answer *answer,
        struct err *e) ERR_MUST_CHECK;
/* The same for what is answered by a stream, each message of which is handed over as in rpc_read.
 */
int message_read(struct rpc *rpc, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, void (*each)(void *arg, const uint8_t *message, size_t size), void *arg,
        struct err *e) ERR_MUST_CHECK;

#endif
