/* SPDX-License-Identifier: Apache-2.0 */
#include "nri/frame.h"

#include <assert.h>
#include <string.h>

enum {
        REQUEST = 1,
        RESPONSE = 2,
        REMOTE_OPEN = 2, /* flag of a request: a stream, more data will come */
        /* The largest frame that any version of the runtime's multiplexer writes. */
        FRAME_READ_MAX_BYTES = 1 << 24,
        /* A buffer over this size is not kept: only Synchronize is as large, once. */
        KEPT_MAX_BYTES = 64 * 1024,
};

static uint32_t read_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write_u32(uint8_t *p, uint32_t n)
{
        p[0] = (uint8_t)(n >> 24);
        p[1] = (uint8_t)(n >> 16);
        p[2] = (uint8_t)(n >> 8);
        p[3] = (uint8_t)n;
}

void nri_frame_reader_init(struct nri_frame_reader *r)
{
        *r = (struct nri_frame_reader){0};
        for (size_t i = 0; i < 2; i++)
                buf_init(&r->parts[i].data, NRI_MESSAGE_MAX_BYTES);
}

void nri_frame_reader_fini(struct nri_frame_reader *r)
{
        for (size_t i = 0; i < 2; i++)
                buf_fini(&r->parts[i].data);
}

/* Moves up to `wanted` bytes from the front; how many it were. */
static size_t take_bytes(
        uint8_t *to, size_t have, size_t wanted, const uint8_t **data, size_t *size)
{
        size_t n = wanted - have < *size ? wanted - have : *size;
        memcpy(to + have, *data, n);
        *data += n;
        *size -= n;
        return n;
}

static int open_frame(struct nri_frame_reader *r, struct err *e)
{
        uint32_t connection = read_u32(r->header);
        r->left = read_u32(r->header + 4);
        if (connection != NRI_PLUGIN_SERVICE && connection != NRI_RUNTIME_SERVICE)
                return err_set(e, ERR_PROTOCOL, "NRI: a frame for connection %u", connection);
        if (r->left > FRAME_READ_MAX_BYTES)
                return err_set(e, ERR_TOO_LARGE, "NRI: a frame of %u bytes", r->left);
        r->current = &r->parts[connection - 1];
        r->header_size = 0;
        return 0;
}

static int open_message(struct nri_frame_reader *r, struct nri_frame_part *p, struct err *e)
{
        uint8_t type = p->header[8];
        uint8_t flags = p->header[9];
        p->expected = read_u32(p->header);
        if (p->expected > NRI_MESSAGE_MAX_BYTES)
                return err_set(e, ERR_TOO_LARGE, "NRI: a message of %zu bytes, more than %d",
                        p->expected, NRI_MESSAGE_MAX_BYTES);
        if (type != (p == &r->parts[0] ? REQUEST : RESPONSE))
                return err_set(e, ERR_PROTOCOL, "NRI: a message of type %u on connection %d", type,
                        (int)(p - r->parts) + 1);
        if (flags & REMOTE_OPEN)
                return err_set(e, ERR_PROTOCOL, "NRI: a request that is a stream");
        return 0;
}

/* Bytes of one frame's payload for the connection's message; 1 when it is complete. */
static int read_part(struct nri_frame_reader *r, const uint8_t **data, size_t *size, struct err *e)
{
        struct nri_frame_part *p = r->current;
        if (p->header_size < sizeof(p->header)) {
                p->header_size +=
                        take_bytes(p->header, p->header_size, sizeof(p->header), data, size);
                if (p->header_size < sizeof(p->header))
                        return 0;
                if (open_message(r, p, e) < 0)
                        return -1;
        }
        size_t missing = p->expected - p->data.size;
        size_t n = missing < *size ? missing : *size;
        buf_append(&p->data, *data, n);
        *data += n;
        *size -= n;
        return n == missing;
}

/* What the last call handed out is not needed any more. */
static void forget_delivered(struct nri_frame_reader *r)
{
        struct nri_frame_part *p = r->delivered;
        if (p == NULL)
                return;
        p->header_size = 0;
        if (p->data.capacity > KEPT_MAX_BYTES) {
                buf_fini(&p->data);
                buf_init(&p->data, NRI_MESSAGE_MAX_BYTES);
        }
        buf_reset(&p->data);
        r->delivered = NULL;
}

static void deliver(struct nri_frame_reader *r, struct nri_message *out)
{
        struct nri_frame_part *p = r->current;
        *out = (struct nri_message){
                .connection = p == &r->parts[0] ? NRI_PLUGIN_SERVICE : NRI_RUNTIME_SERVICE,
                .stream = read_u32(p->header + 4),
                .data = (const uint8_t *)buf_str(&p->data),
                .size = p->data.size,
        };
        r->delivered = p;
}

int nri_frame_read(struct nri_frame_reader *r, const uint8_t **data, size_t *size,
        struct nri_message *out, struct err *e)
{
        forget_delivered(r);
        while (*size > 0) {
                if (r->left == 0) {
                        r->header_size += take_bytes(
                                r->header, r->header_size, sizeof(r->header), data, size);
                        if (r->header_size == sizeof(r->header) && open_frame(r, e) < 0)
                                return -1;
                        continue;
                }
                size_t in_frame = r->left < *size ? r->left : *size;
                size_t rest = in_frame;
                int complete = read_part(r, data, &rest, e);
                *size -= in_frame - rest;
                r->left -= (uint32_t)(in_frame - rest);
                if (complete != 0) {
                        if (complete > 0)
                                deliver(r, out);
                        return complete;
                }
        }
        return 0;
}

void nri_frame_write(struct buf *out, const struct nri_message *m)
{
        assert(m->size <= NRI_MESSAGE_MAX_BYTES);
        uint8_t head[NRI_FRAME_HEADER_BYTES + NRI_MESSAGE_HEADER_BYTES] = {0};
        write_u32(head, m->connection);
        write_u32(head + 8, (uint32_t)m->size);
        write_u32(head + 12, m->stream);
        head[16] = m->connection == NRI_PLUGIN_SERVICE ? RESPONSE : REQUEST;
        size_t head_size = sizeof(head); /* of the first frame; the others have no message header */
        for (size_t at = 0, n = 0; at < m->size || head_size == sizeof(head); at += n) {
                size_t room = NRI_FRAME_MAX_BYTES - (head_size - NRI_FRAME_HEADER_BYTES);
                n = m->size - at < room ? m->size - at : room;
                write_u32(head + 4, (uint32_t)(head_size - NRI_FRAME_HEADER_BYTES + n));
                buf_append(out, head, head_size);
                buf_append(out, m->data + at, n);
                head_size = NRI_FRAME_HEADER_BYTES;
        }
}
