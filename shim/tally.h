/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there was to do since the start, for people: pulls by upstream, bytes by source, the pulls
 * that run, and the last ones that ended. In memory and bounded; texts are cut to a length that
 * says enough. Safe from any thread.
 */
#ifndef CRI_RESOLVED_TALLY_H
#define CRI_RESOLVED_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/progress.h"

enum {
        TALLY_UPSTREAMS_MAX = 64, /* who has had no pull for longest makes room */
        TALLY_SOURCES_MAX = 32,   /* of one upstream; of one pull */
        TALLY_RECENT_MAX = 256,
        TALLY_FAILOVERS_MAX = 16, /* of one pull */
        TALLY_NAME_BYTES = 1024,  /* a reference, a source */
        TALLY_TEXT_BYTES = 1024,  /* an error */
};

struct tally;
struct tally *tally_new(void);
void tally_free(struct tally *t); /* no pull may be left; accepts NULL */

/* ---- one pull, from arrival to answer: on its own thread ---- */

struct tally_pull;
struct tally_pull *tally_begin(struct tally *t);
/* As soon as it is known. */
void tally_refers(struct tally *t, struct tally_pull *p, const char *reference);
/* What is pulled, "repo@digest": by that name its flight can be found. */
void tally_pulls(struct tally *t, struct tally_pull *p, const char *pulled_name);
/* Its flight is over. progress NULL: it was a direct one. */
void tally_flew(struct tally *t, struct tally_pull *p, struct progress *progress);

struct tally_outcome {
        const char *host;   /* NULL: the request was not understood */
        const char *digest; /* strings: NULL or "" for none */
        const char *previous;
        const char *source; /* "relay", "upstream", "current", "stale", "mirror", "containerd" */
        const char *error;  /* NULL: it went well; "": it did not, without words */
        const char *degraded;
        int64_t duration_ms;
};
/* p is gone. */
void tally_end(struct tally *t, struct tally_pull *p, const struct tally_outcome *o);

/* What the flights of an upstream brought through the relay: once for each flight, however many
 * pulls it served. */
void tally_count(struct tally *t, const char *host, struct progress *progress);

/* ---- for people: visited under the lock, nothing may call back ---- */

struct tally_bytes {
        char *source;
        bool is_mirror;
        uint64_t bytes;
};

struct tally_upstream {
        char *host;
        uint64_t pulls, failed, current, relayed, direct, degraded;
        struct tally_bytes sources[TALLY_SOURCES_MAX];
        size_t source_count;
        uint64_t last; /* private */
};
void tally_each_upstream(
        struct tally *t, void (*visit)(void *arg, const struct tally_upstream *u), void *arg);

struct tally_failover {
        char *source;
        char *error;
};

/* Strings are NULL where there is nothing to say. */
struct tally_record {
        char *reference, *digest, *previous, *source, *error, *degraded;
        bool failed;
        int64_t started_unix_ms;
        int64_t duration_ms;
        struct tally_bytes *bytes;
        size_t byte_count;
        struct tally_failover *failovers;
        size_t failover_count;
};
/* Newest first. */
void tally_each_recent(
        struct tally *t, void (*visit)(void *arg, const struct tally_record *r), void *arg);

struct tally_running {
        const char *reference;   /* NULL: not known yet */
        const char *pulled_name; /* NULL: not resolved yet */
        int64_t started_unix_ms;
        struct progress *progress; /* of a flight that is over; NULL: see flights_progress */
};
/* Oldest first. */
void tally_each_running(
        struct tally *t, void (*visit)(void *arg, const struct tally_running *r), void *arg);

#endif
