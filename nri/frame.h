/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two layers of frames on an NRI socket, pure: bytes in, messages out, and back.
 *
 * The outer frames carry several logical connections: number u32, length u32, payload. In each of
 * them run ttrpc messages: length u32, stream u32, type u8, flags u8, data; all big-endian. The two
 * are cut independently: a message may come in several frames, a frame may hold several messages.
 *
 * What a runtime may send is narrow, and everything else is ERR_PROTOCOL or ERR_TOO_LARGE, after
 * which the reader is of no more use: requests on the plugin's connection, responses on the
 * runtime's, no streams, 4 MiB a message. Memory grows with what has come, not with what a length
 * claims. One owner, one thread.
 *
 * Source of the rules: containerd/nri pkg/net/multiplex (mux.go, ttrpc.go), containerd/ttrpc
 * PROTOCOL.md.
 */
#ifndef CRI_RESOLVED_NRI_FRAME_H
#define CRI_RESOLVED_NRI_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum nri_connection { NRI_PLUGIN_SERVICE = 1, NRI_RUNTIME_SERVICE = 2 };

enum {
        NRI_MESSAGE_MAX_BYTES = 4 << 20,
        NRI_MESSAGE_HEADER_BYTES = 10,
        NRI_FRAME_HEADER_BYTES = 8,
        /* The runtime reads a frame into a buffer of this size and gives the connection up when it
         * does not fit (bufio.Reader's size; mux.go, conn.Read). */
        NRI_FRAME_MAX_BYTES = 4096,
};

/* One ttrpc message: a request on the plugin's connection, a response on the runtime's. */
struct nri_message {
        enum nri_connection connection;
        uint32_t stream;
        const uint8_t *data; /* the reader's, until the next call */
        size_t size;
};

struct nri_frame_reader {
        uint8_t header[NRI_FRAME_HEADER_BYTES];
        size_t header_size;
        uint32_t left; /* of the current frame */
        struct nri_frame_part {
                uint8_t header[NRI_MESSAGE_HEADER_BYTES];
                size_t header_size;
                size_t expected;
                struct buf data;
        } parts[2]; /* by connection */
        struct nri_frame_part *current, *delivered;
};

void nri_frame_reader_init(struct nri_frame_reader *r);
void nri_frame_reader_fini(struct nri_frame_reader *r);

/* Takes bytes from the front of *data, which it moves on, up to the end of the next message: 1 and
 * the message; 0 when all bytes are taken and more are needed; -1. */
int nri_frame_read(struct nri_frame_reader *r, const uint8_t **data, size_t *size,
        struct nri_message *out, struct err *e) ERR_MUST_CHECK;

/* Appends a message in frames that the runtime can read. A size over NRI_MESSAGE_MAX_BYTES is a
 * mistake of the caller's. */
void nri_frame_write(struct buf *out, const struct nri_message *m);

#endif
