/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one pull through the relay has got so far, content by content, and from whom: for those who
 * watch. It lasts for all tries of a flight. Bounded: of what does not fit only the count is kept.
 * Safe from any thread; the bytes are counted without a lock.
 */
#ifndef CRI_RESOLVED_PROGRESS_H
#define CRI_RESOLVED_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/mem.h"
#include "resolver/registry.h"

enum {
        PROGRESS_CONTENTS_MAX = 256,
        PROGRESS_LEFT_MAX = 8,      /* sources that were left, of one content */
        PROGRESS_SOURCES_MAX = 64,  /* with the bytes that they gave */
        PROGRESS_ERROR_BYTES = 256, /* of one error, with NUL */
};

/* A source that was left, and why. */
struct progress_left {
        char *source;
        char error[PROGRESS_ERROR_BYTES];
};

struct progress_content {
        char digest[DIGEST_SHA256_SIZE + 1];
        enum registry_content kind;
        _Atomic int64_t size_bytes; /* -1: not known */
        _Atomic int64_t sent_bytes; /* to containerd, of the request that came last */
        char *source;               /* who feeds it, or fed it last; NULL: nobody yet */
        struct progress_left left[PROGRESS_LEFT_MAX]; /* oldest first */
        size_t left_count;
};

/* What a source gave in all tries that have ended. */
struct progress_source {
        char *name;
        bool is_mirror;
        uint64_t bytes;
};

struct progress;
struct progress *progress_new(void); /* one reference, the caller's */
struct progress *progress_share(struct progress *p);
void progress_put(struct progress *p); /* accepts NULL */
DEFINE_CLEANUP(struct progress, progress_put)
#define cleanup_progress cleanup(progress_put_at)

/* The entry of that content, made where it is missing; lives as long as p. NULL where there is no
 * room, or p is NULL; all that follows accepts that. */
struct progress_content *progress_content(
        struct progress *p, enum registry_content kind, const char *digest);
void progress_size(struct progress_content *c, int64_t size_bytes); /* -1: no news */
void progress_sent(struct progress_content *c, int64_t sent_bytes);
void progress_feeds(struct progress *p, struct progress_content *c, const char *source);
/* The same reason of the same source is kept once. */
void progress_left(
        struct progress *p, struct progress_content *c, const char *source, const char *error);
/* At the end of a try. */
void progress_gave(struct progress *p, const char *source, bool is_mirror, uint64_t bytes);

/* Under the lock: neither may call back into p. Contents in the order in which they were asked for,
 * sources in the order in which they gave. */
void progress_each_content(
        struct progress *p, void (*visit)(void *arg, const struct progress_content *c), void *arg);
void progress_each_source(
        struct progress *p, void (*visit)(void *arg, const struct progress_source *s), void *arg);

#endif
