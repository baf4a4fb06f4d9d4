/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer with a cap. Whatever comes off a socket goes into one: it never grows past
 * max_bytes, and an append that would is remembered (`overflow`) instead of done, so that a chain
 * of appends needs one check at its end. The bytes are always followed by a NUL that is not
 * counted. One owner, one thread.
 */
#ifndef CRI_RESOLVED_BUF_H
#define CRI_RESOLVED_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct buf {
        char *data; /* NULL while empty, else NUL-terminated */
        size_t size;
        size_t capacity;
        size_t max_bytes;
        bool overflow;
};

/* In place; fini frees and may be called on a zeroed buf. fini_secret wipes first. */
void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);
void buf_fini_secret(struct buf *b);
/* Forgets content and overflow, keeps the memory. */
void buf_reset(struct buf *b);

void buf_append(struct buf *b, const void *data, size_t size);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The content as a string; "" while empty. Valid until the next change. */
const char *buf_str(const struct buf *b);

#define cleanup_buf        cleanup(buf_fini)
#define cleanup_buf_secret cleanup(buf_fini_secret)

#endif
