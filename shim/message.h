/* SPDX-License-Identifier: Apache-2.0 */
/* Packing of protobuf-c messages. Pure. */
#ifndef CRI_RESOLVED_MESSAGE_H
#define CRI_RESOLVED_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/mem.h"

/* The caller frees. Unknown fields that the message was unpacked with are packed again. */
static inline uint8_t *message_pack(const ProtobufCMessage *m, size_t *size)
{
        *size = protobuf_c_message_get_packed_size(m);
        uint8_t *packed = mem_zalloc(*size);
        protobuf_c_message_pack(m, packed);
        return packed;
}

#endif
