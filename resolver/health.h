/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mirrors are worth asking: a breaker and a quarantine for wrong content, both per mirror and
 * entry of the configuration that lists it, shared by all pulls of that entry.
 *
 * Per entry, because what a pull-through mirror answers is also what the upstream behind it does:
 * stalls, 5xx, pauses, wrong bytes. One upstream must not take the mirror away from the others. All
 * hosts without an entry of their own share the default one: anybody can name such hosts, so they
 * spoil the mirror for each other at most, and there is no more to remember than is configured.
 *
 * A mirror is up (asked), down (skipped), or on trial (one request at a time is let through). It
 * goes down at once when it cannot be reached, stays silent, or asks for a pause (Retry-After), and
 * when 3 of its last 8 uses failed. While it is down, and only then, a thread of this module asks
 * whether it is back: first after HEALTH_BACKOFF_FIRST_MS, then after twice as long each time, up
 * to HEALTH_BACKOFF_MAX_MS, each time with jitter. When it answers, it is on trial: the first real
 * use decides. A trial that fails goes on with the longer pause, for a mirror that answers probes
 * and serves nothing must not be met anew by every pull. The log has one line when it goes down and
 * one when it has served again, "mirror went down" and "mirror came back", and none for the probes
 * and trials between the two; mirror_state tells of those.
 *
 * A mirror that served wrong bytes for a digest is not asked for that digest again, for the same
 * entry, for HEALTH_QUARANTINE_MS. Safe from any thread; nothing here blocks on the network but the
 * thread, which asks one mirror after the other.
 */
#ifndef CRI_RESOLVED_HEALTH_H
#define CRI_RESOLVED_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/trust.h"
#include "resolver/breaker.h"

enum {
        HEALTH_BACKOFF_FIRST_MS = 500,
        HEALTH_BACKOFF_MAX_MS = 30 * 1000,
        HEALTH_QUARANTINE_MS = 60 * 60 * 1000,
};

/* Whether the mirror answers at all (registry_ping). Blocks; runs on health's own thread. */
typedef int (*health_probe_fn)(
        void *arg, const struct upstream *mirror, struct cancel *cancel, struct err *e);

struct health;
struct health *health_new(health_probe_fn probe, void *arg);
void health_free(struct health *h); /* accepts NULL; ends the thread */
DEFINE_CLEANUP(struct health, health_free)
#define cleanup_health cleanup(health_free_at)
/* Other pauses than the two above, for mirrors that are met from now on: for tests. */
void health_set_backoff(struct health *h, int64_t first_ms, int64_t max_ms);

/* The mirror with this URL as one entry of the configuration sees it: config_upstream's host, so ""
 * for the default entry, never a reference's own host. Lives as long as h. How to reach it for
 * probes is looked up in the current configuration (config_get), by URL; one that no upstream lists
 * any more is not probed until somebody wants to use it again.
 */
struct mirror;
struct mirror *health_mirror(struct health *h, const char *url, const char *upstream);

/*
 * One request to a mirror, from mirror_admit to mirror_leave, on the stack of whoever makes it:
 *
 *     cleanup_mirror_use struct mirror_use use = {0};
 *     if (!mirror_admit(source->mirror, &use)) ... the next source
 *     ... mirror_report(&use, ...) as often as there is something to say
 *
 * It tells apart what was begun before the mirror went down from what is asked of it now: what is
 * reported about an earlier time is ignored. One thread at a time.
 */
struct mirror_use {
        struct mirror *mirror;
        uint64_t term;
        bool told;
};

/* Whether to ask it now. Where it says no, *use is empty, and report and leave do nothing. m NULL
 * (the upstream itself, which has no breaker): always yes, and nothing is remembered. */
bool mirror_admit(struct mirror *m, struct mirror_use *use);
/* May be called several times for one use (good, then cut off). `why` is for the log: NULL for GOOD
 * and NEUTRAL. retry_after_ms: not before (429, 503; BREAKER_RETRY_AFTER_MAX_MS at most counts);
 * -1: not said. */
void mirror_report(struct mirror_use *use, enum mirror_verdict verdict, int64_t retry_after_ms,
        const struct err *why);
/* Ends the use: MIRROR_NEUTRAL if nothing was said, so that a trial never waits for somebody who
 * has gone. May be called again. */
void mirror_leave(struct mirror_use *use);
#define cleanup_mirror_use cleanup(mirror_leave)

/* The verdict that belongs to an error of registry_open or http_stream_read. */
enum mirror_verdict mirror_verdict_of(const struct err *e);

void mirror_quarantine(struct mirror *m, const char *digest);
bool mirror_quarantined(struct mirror *m, const char *digest);

/* For people. */
struct mirror_state {
        bool up; /* it is asked, be it on trial; not after a trial that failed: then it has to serve
                    first */
        int64_t since_unix_s; /* when that changed last, or when the mirror was first met */
        size_t quarantined;   /* digests that it is not asked for */
        char last_error[256]; /* "": never one */
};
void mirror_state(struct mirror *m, struct mirror_state *out);

#endif
