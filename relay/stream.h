/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One content on its way to containerd, verified before it can be believed.
 *
 * What fits (manifests, blobs up to BODY_BLOB_MAX_BYTES) is held whole until its digest is right,
 * and a wrong one is fetched from the next source without anybody noticing. Of a larger blob the
 * last STREAM_WITHHELD_BYTES are kept back until the digest of all is right: containerd cannot
 * commit what it has not got. When it is wrong, the connection is cut, the digest is locked
 * (spoilt.h), and the flight cleans up. Nothing is copied on the way: a source writes into
 * libmicrohttpd's buffer. One thread.
 */
#ifndef CRI_RESOLVED_STREAM_H
#define CRI_RESOLVED_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "relay/feed.h"
#include "relay/spoilt.h"

enum {
        STREAM_WITHHELD_BYTES = 64 * 1024,
        /* What is held whole has the time that each source may be silent, and as long as it takes
         * at this speed. */
        STREAM_HELD_SLOWEST_BYTES_PER_MS = 64,
};

/* What all streams share; borrowed. */
struct stream_parts {
        struct registry *registry;
        struct body_room *room;           /* of upstreams with an entry */
        struct body_room *room_of_others; /* what their registries hold is held from them alone */
        struct spoilt *spoilt;
};

struct stream;
/*
 * Returns once the content is verified, or once the head of a large one is known. `g` is borrowed
 * until stream_free. Errors: those of feed_open; ERR_DIGEST when what is offered is wrong and
 * nobody offers better; ERR_TOO_LARGE for a manifest of more than BODY_MANIFEST_MAX_BYTES;
 * ERR_UPSTREAM for a digest that is locked.
 */
int stream_open(const struct stream_parts *parts, struct grant *g, enum registry_content kind,
        const char *digest, int client_fd, struct stream **out, struct err *e) ERR_MUST_CHECK;
void stream_free(struct stream *s); /* accepts NULL */

int64_t stream_size(const struct stream *s);
const char *stream_content_type(const struct stream *s);

/* Fills buf with 1 to max bytes; -1 cuts off. max is at least HTTP_PIECE_MIN, or all that is left.
 */
ssize_t stream_read(struct stream *s, char *buf, size_t max);

#endif
