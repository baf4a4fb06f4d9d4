/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The breaker of one mirror (for one upstream), as a state machine without clock, lock or thread:
 * health.c has those.
 *
 * Up: everybody is let in; a bit of history per use. Down: nobody is; a probe is due from time to
 * time. On trial: a probe was answered, one user at a time is let in, and the first that has
 * something to say decides.
 *
 * Each change begins a new term, and so does each user of a trial. Who was let in remembers the
 * term: what is said about another term says nothing about this one. So a body that ends well long
 * after the mirror went down brings nothing back, and one that breaks off late takes nothing down.
 */
#ifndef CRI_RESOLVED_BREAKER_H
#define CRI_RESOLVED_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum mirror_verdict {
        MIRROR_GOOD,    /* it serves what it was asked for: said at the first good byte */
        MIRROR_NEUTRAL, /* nothing can be said: 404, 401, or we left */
        MIRROR_FAILED,  /* an error of its own: 5xx, 429, cut off, wrong content */
        MIRROR_SILENT,  /* cannot be reached, or no byte in time, or too slow: down at once */
};

enum {
        BREAKER_FAILURES_MAX = 3, /* of the last 8 uses */
        BREAKER_RETRY_AFTER_MAX_MS = 5 * 60 * 1000,
};
#define BREAKER_NEVER INT64_MAX

enum breaker_state { BREAKER_UP, BREAKER_DOWN, BREAKER_TRIAL };

enum breaker_change {
        BREAKER_SAME,
        BREAKER_WENT_DOWN,
        BREAKER_STAYS_DOWN, /* the trial failed */
        BREAKER_CAME_BACK,
};

struct breaker {
        enum breaker_state state;
        uint64_t term;
        uint8_t history; /* the last uses, the newest in the lowest bit; 1: failed */
        bool on_trial;   /* the trial has its user */
        int64_t backoff_first_ms;
        int64_t backoff_max_ms;
        int64_t backoff_ms;
        int64_t not_before_ms; /* what Retry-After said */
        int64_t probe_at_ms;   /* while down; BREAKER_NEVER: not until somebody wants it */
        uint64_t noise;        /* for the jitter */
};

/* Up. All times are of one monotonic clock. */
void breaker_init(
        struct breaker *b, int64_t backoff_first_ms, int64_t backoff_max_ms, uint64_t noise);

/* Whether to let somebody in; then *term is what breaker_report wants. */
bool breaker_admit(struct breaker *b, uint64_t *term);

/* *term follows the breaker where the use itself ends its trial well: it is a use like others
 * then. retry_after_ms: -1: not said. */
enum breaker_change breaker_report(struct breaker *b, uint64_t *term, enum mirror_verdict verdict,
        int64_t retry_after_ms, int64_t now_ms);

/* What a probe brought while it is down. */
void breaker_probed(struct breaker *b, bool answers, int64_t now_ms);
/* No probes until somebody wants it: breaker_wanted makes one due then. */
void breaker_put_off(struct breaker *b);
/* Whether that changed anything. */
bool breaker_wanted(struct breaker *b, int64_t now_ms);

#endif
