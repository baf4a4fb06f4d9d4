/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content that is held whole in memory until it is verified: manifests and small blobs. All of it
 * together is bounded: who needs more waits until others have given back. Safe from any thread.
 */
#ifndef CRI_RESOLVED_BODY_H
#define CRI_RESOLVED_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

enum {
        BODY_MANIFEST_MAX_BYTES = 4 * 1024 * 1024,
        BODY_BLOB_MAX_BYTES = 256 * 1024,
        BODY_ALL_MAX_BYTES = 8 * 1024 * 1024,
        /* Of that, what grants keep for the next request. The rest is always given back soon, so
         * that who waits does not wait for a pull that waits for him. */
        BODY_KEPT_MAX_BYTES = 4 * 1024 * 1024,
};

struct body_room;
struct body_room *body_room_new(void);
void body_room_free(struct body_room *r); /* nothing may be held; accepts NULL */

/* Counted; immutable once it is filled. */
struct body {
        char digest[DIGEST_SHA256_SIZE + 1];
        char *content_type;
        size_t size;
        unsigned char data[];
};

/* Waits for room, at most wait_ms: ERR_TIMEOUT. One reference, the caller's. */
struct body *body_new(struct body_room *r, size_t size, int64_t wait_ms, struct err *e);
struct body *body_share(struct body *b);
void body_put(struct body *b); /* accepts NULL */
DEFINE_CLEANUP(struct body, body_put)
#define cleanup_body cleanup(body_put_at)
/* Whether it may be kept for as long as a pull lasts; body_unkeep ends that. */
bool body_keep(struct body *b);
void body_unkeep(struct body *b);

#endif
