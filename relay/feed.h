/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one content from the sources of a grant, in order: what fails, stalls, crawls or
 * cuts off is left at that byte, and the next source goes on from there. Nothing is verified here:
 * the reader hashes, and blames.
 *
 * A mirror that is down (health.h) or that lied about this digest is passed over; mirrors that are
 * down, and those that were left for slowness, are asked after all when nothing else is left. The
 * upstream may be asked again where it broke off, because there may be nobody else. The last source
 * is never left for slowness, only for silence.
 *
 * Until a manifest has told a size, every source may name another one, and nobody knows who is
 * right. One thread.
 */
#ifndef CRI_RESOLVED_FEED_H
#define CRI_RESOLVED_FEED_H

#include "relay/grant.h"
#include "resolver/registry.h"

enum {
        /* Slower than this over a stall_timeout of waiting, a mirror is left for another source. */
        FEED_SLOWEST_BYTES_PER_S = 16 * 1024,
        /* Slower than this is as good as silent: an image would take days. */
        FEED_SILENT_BYTES_PER_S = 1024,
        FEED_RESUMES_MAX = 3, /* of the upstream, in one content */

};

struct feed {
        struct registry *registry;
        struct grant *grant; /* borrowed */
        enum registry_content kind;
        char digest[DIGEST_SHA256_SIZE + 1];
        int client_fd;

        int64_t position;    /* of the next byte to be read */
        int64_t total_bytes; /* -1: not known yet; stays what it is once feed_read was called */

        /* private */
        struct progress_content *progress; /* NULL: nobody watches */
        size_t at;                         /* the source that is open; the count of sources: none */
        struct registry_body body;
        struct mirror_use use;
        uint64_t tried;       /* bits: asked, or not to be asked */
        uint64_t passed_over; /* bits: mirrors that were down */
        uint64_t gave;        /* bits: whose bytes were read since position 0 */
        unsigned resumes;
        bool read_since_open;
        bool crawls;              /* the open source, by its last window */
        int64_t window_waited_ms; /* of the look at the source's speed */
        int64_t window_bytes;
};

void feed_init(struct feed *f, struct registry *registry, struct grant *g,
        enum registry_content kind, const char *digest, int client_fd);
void feed_fini(struct feed *f);
#define cleanup_feed cleanup(feed_fini)

/* Has a source opened and total_bytes known. -1 when no source is left, with the error of the last
 * one (each is noted in the grant and logged), or ERR_CANCELLED. */
int feed_open(struct feed *f, struct err *e) ERR_MUST_CHECK;
/* Reads 1 to size bytes at `position`, from whichever source it takes; size is at least
 * HTTP_PIECE_MIN. *got is 0 at the end of the content. Errors as feed_open; ERR_DIGEST when the
 * next source names another size than total_bytes: back to position 0, and feed_open goes on with
 * it. */
int feed_read(struct feed *f, void *buf, size_t size, size_t *got, struct err *e) ERR_MUST_CHECK;

/* The media type that the open source names; NULL if it names none. */
const char *feed_content_type(const struct feed *f);

/* What was read has not the digest: every mirror that gave some of it is quarantined for it and
 * left alone in this pull. Back to position 0. False when no mirror is to blame: then nothing can
 * be won by trying again. */
bool feed_blame(struct feed *f, const char *found_digest);

#endif
